"""Manifests are written by a writer of our own, for its comments: whatever is in them, TOML reads it back."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.importing.toml import to_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@given(st.dictionaries(TEXT, st.dictionaries(TEXT, VALUES, max_size=4), max_size=3), TEXT)
def test_what_is_written_is_read_back(tables: dict[str, dict[str, Any]], comment: str) -> None:
    data: dict[str, Any] = {'a plain "key"': comment, **{f"t{key}": value for key, value in tables.items()}}
    comments = dict.fromkeys(data, comment)
    assert tomllib.loads(to_toml(data, comments=comments)) == data


def test_control_characters_and_quotes() -> None:
    text = "".join(map(chr, range(0xA0))) + "\"\"\"'''\\ \ufeff\u2028\U0001fac1"
    assert tomllib.loads(to_toml({"key": text, "table": {text: [text]}})) == {"key": text, "table": {text: [text]}}


def test_halves_of_characters_and_numbers_of_numpy() -> None:
    written = to_toml({"name": "net\udcff", "share": np.float64(0.5), "infinite": float("inf")})
    assert tomllib.loads(written) == {"name": "net\ufffd", "share": 0.5, "infinite": float("inf")}
