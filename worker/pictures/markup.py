"""HTML that cannot be broken by what it shows: htpy escapes text by its type, not by remembering to.

Elements are htpy's. Here is what the pages share, and the border at which characters that HTML cannot hold are dropped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from io import BytesIO

import htpy as h
from markupsafe import Markup
from PIL import Image

# Control characters, and what would turn the direction of the text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")  # UTF-8 cannot write it


def printable(text: str) -> str:
    """Text without what HTML cannot hold or what would turn its direction: control and direction characters."""
    return _UNPRINTABLE.sub(" ", _HALF_OF_A_PAIR.sub("", text))


def table(columns: Sequence[str], rows: Iterable[Sequence[h.Node]], *, numbers: Sequence[str] = ()) -> h.Element:
    """A table with a head; the columns named in ``numbers`` are set to the right."""

    def cell(kind: h.Element, column: str, content: h.Node) -> h.Element:
        return kind(class_=column in numbers and "number")[content]

    head = h.tr[[cell(h.th, column, column) for column in columns]]
    body = [h.tr[[cell(h.td, *pair) for pair in zip(columns, row, strict=True)]] for row in rows]
    return h.table[h.thead[head], h.tbody[body]]


def facts(pairs: Iterable[tuple[str, h.Node]]) -> h.Element:
    """A description list: each name with its value."""
    return h.dl[[(h.dt[name], h.dd[value]) for name, value in pairs]]


def swatch(colour_rgb: tuple[int, int, int]) -> h.Element:
    """A small square in a colour: an attribute of SVG, which needs no inline style."""
    red, green, blue = colour_rgb
    square = h.rect(width=12, height=12, fill=f"#{red:02x}{green:02x}{blue:02x}", stroke="#888")
    return h.svg(width=12, height=12, role="img", aria_hidden="true")[square]


def picture(image: Image.Image, text: str) -> h.VoidElement:
    """An image as a data URI; ``text`` is what it shows, in words."""
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return h.img(src=uri, alt=text, width=image.width, height=image.height)


def document(title: str, style: str, body: h.Node) -> str:
    """A whole page that loads nothing, runs nothing and sends nothing: said to the browser as well (CSP)."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = h.head[
        h.meta(charset="utf-8"),
        h.meta(http_equiv="Content-Security-Policy", content=policy),
        h.meta(name="referrer", content="no-referrer"),
        h.meta(name="robots", content="noindex"),
        h.meta(name="viewport", content="width=device-width, initial-scale=1"),
        h.title[printable(title)],
        h.style[Markup(style)],  # noqa: S704 - our own sheet; its digest is in the policy
    ]
    shown = Markup(printable(str(h.body[body])))  # noqa: S704 - escaped by htpy
    return f"{h.html(lang='en')[head, shown]}\n"
