"""What every page drops or escapes, wherever on the page it stands."""

from __future__ import annotations

import htpy as h
import pytest

from tests.unit.pictures.html_page import Parsed
from worker.pictures.markup import document

UNPRINTABLE = ["\x00", "\x1b", "\n", "\x7f", "\x85", "\u200e", "\u2028", "\u202e", "\u2069"]


@pytest.mark.parametrize("character", UNPRINTABLE, ids=ascii)
def test_control_and_direction_characters_are_spaces_in_text_attributes_and_title(character: str) -> None:
    text = f"a{character}b"
    page = Parsed(document(text, "", h.p(title=text)[text]))
    assert [said for said in page.text if said.strip()] == ["a b", "a b"]
    assert page.attributes("title") == ["a b"]


def test_half_of_a_surrogate_pair_is_dropped() -> None:
    html = document("a\ud800b", "", h.p(title="c\udfffd")["e\udc00f"])
    assert html.encode()
    assert all(word in html for word in ("ab", "cd", "ef"))


def test_text_and_attributes_are_escaped_and_the_style_is_not() -> None:
    text = "<b>\"&' </style>"
    page = Parsed(document(text, "p > b { content: '&' }", h.p(title=text)[text, h.br, [text]]))
    assert page.words.count(text) == 3
    assert page.attributes("title") == [text]
    assert page.style == "p > b { content: '&' }"
    assert page.open_ == []


def test_a_page_begins_as_html_does() -> None:
    html = document("t", "", h.p["x"])
    assert html.lower().startswith('<!doctype html><html lang="en"><head><meta charset="utf-8">')
