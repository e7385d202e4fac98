"""Reading a page as a browser would, and what every page must be."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from io import BytesIO

from PIL import Image

_VOID = {"img", "meta", "br"}


@dataclass
class Parsed(HTMLParser):
    """Everything that the page has, and whether its elements are closed in order."""

    html: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    style: str = ""
    open_: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open_.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag) -> None:
        assert self.open_.pop() == tag

    def handle_data(self, data) -> None:
        if self.open_ and self.open_[-1] == "style":
            self.style += data
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(self.text)

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    @property
    def images(self) -> list[Image.Image]:
        made = []
        for source in self.attributes("src"):
            kind, _, content = source.partition(",")
            assert kind == "data:image/png;base64"
            image = Image.open(BytesIO(base64.b64decode(content, validate=True)))
            image.load()
            made.append(image)
        return made


def ensure_self_contained(page: Parsed) -> None:
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "a", "base", "audio", "video", "input"}
    assert not page.attributes("href")
    assert not page.attributes("style")
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]
    assert page.images
    assert not re.search(r"url\(|@import|https?:", page.style)
    assert page.open_ == []
    (policy,) = [found["content"] for _, found in page.elements if found.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
