"""HTML that cannot be broken by what it shows: text is escaped by its type, not by remembering to."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO

from PIL import Image


class Markup(str):
    """Text that is HTML already. Everything else is escaped when it becomes a child or an attribute."""

    __slots__ = ()


Child = str | Markup | Iterable["Child"]
_VOID = frozenset({"img", "meta", "br", "rect"})


def tag(tag_name: str, *children: Child, **attributes: str | int) -> Markup:
    """An element. Attribute names lose a trailing underscore (``class_``) and have hyphens for others."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value), quote=True)}"'
        for name, value in attributes.items()
    )
    if tag_name in _VOID:
        return Markup(f"<{tag_name}{written}>" if tag_name != "rect" else f"<{tag_name}{written}/>")
    return Markup(f"<{tag_name}{written}>{joined(children)}</{tag_name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Children one after the other."""
    parts: list[str] = []
    for child in children:
        match child:
            case Markup():
                parts.append(child)
            case str():
                parts.append(escape(printable(child), quote=True))
            case _:
                parts.append(joined(child))
    return Markup("".join(parts))


def printable(text: str) -> str:
    """Text without what HTML cannot hold or what would turn its direction: control and direction characters."""
    return "".join(" " if ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in _DIRECTION else c for c in text if not _half(c))


def table(columns: Sequence[str], rows: Iterable[Sequence[Child]], *, numbers: Sequence[str] = ()) -> Markup:
    """A table with a head; the columns named in ``numbers`` are set to the right."""

    def cell(kind: str, column: str, content: Child) -> Markup:
        return tag(kind, content, class_="number") if column in numbers else tag(kind, content)

    head = tag("tr", [cell("th", column, column) for column in columns])
    body = [tag("tr", [cell("td", *pair) for pair in zip(columns, row, strict=True)]) for row in rows]
    return tag("table", tag("thead", head), tag("tbody", body))


def facts(pairs: Iterable[tuple[str, Child]]) -> Markup:
    """Names with their values."""
    return tag("dl", [joined([tag("dt", name), tag("dd", value)]) for name, value in pairs])


def swatch(colour_rgb: tuple[int, int, int]) -> Markup:
    """A small square in a colour: an attribute of SVG, which needs no inline style."""
    red, green, blue = colour_rgb
    square = tag("rect", width=12, height=12, fill=f"#{red:02x}{green:02x}{blue:02x}", stroke="#888")
    return tag("svg", square, width=12, height=12, role="img", aria_hidden="true")


def picture(image: Image.Image, text: str) -> Markup:
    """An image as a data URI; ``text`` is what it shows, in words."""
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return tag("img", src=uri, alt=text, width=image.width, height=image.height)


def document(title: str, style: str, body: Iterable[Child]) -> str:
    """A whole page that loads nothing, runs nothing and sends nothing: said to the browser as well (CSP)."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{escape(policy, quote=True)}">'),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', joined(body)), lang='en')}\n"


_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


def _half(character: str) -> bool:
    """Tell whether it is half of a surrogate pair, which UTF-8 cannot write."""
    return 0xD800 <= ord(character) < 0xE000
