from __future__ import annotations

import pytest

from worker.drawing.lettering import REPLACEMENT, fitting, width_of, with_unit, writable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Right lung", "Right lung"),
        ("Größe ≤ 3 µm²", "Grosse <= 3 um2"),
        ("Ørsted Łódź", "Orsted Lodz"),
        ("肺", REPLACEMENT),
        ("Лёгкое", REPLACEMENT * 6),
        ("a\tb\nc\x00d", "a b c d"),
        ("\u202eevil\u202c", "evil"),
        ("half \ud800 pair", f"half {REPLACEMENT} pair"),
        ("🫁", REPLACEMENT),
        ("", ""),
    ],
)
def test_what_the_font_lacks_is_spelled_or_replaced(text, expected) -> None:
    assert writable(text) == expected


def test_long_lines_are_shortened_to_the_pixel() -> None:
    text = "A structure with a very long name " * 10
    short = fitting(text, 200, 15)
    assert short.endswith("...")
    assert width_of(short, 15) <= 200
    assert width_of(fitting(text, 210, 15), 15) > 180
    assert fitting("short", 200, 15) == "short"
    assert fitting("short", 3, 15) == ""


@pytest.mark.parametrize(
    ("value", "ucum", "expected"),
    [(12.345678, "mL", "12.35 mL"), (0.5, "1", "0.5"), (3, "{nodules}", "3"), (-900.0, "[hnsf'U]", "-900 [hnsf'U]")],
)
def test_units_are_written_where_there_is_one(value, ucum, expected) -> None:
    assert with_unit(value, ucum) == expected
