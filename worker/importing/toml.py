"""Manifests as TOML text: tables at two levels, everything below in-line, comments where something is left to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any


def to_toml(data: Mapping[str, Any], *, comments: Mapping[str, str] | None = None) -> str:
    """``data`` as TOML. ``comments`` stand above the key or table of that name; values without a key first."""
    said = comments or {}
    plain = {key: value for key, value in data.items() if not _is_table(value)}
    text = "".join(f"{_comment(said.get(key, ''))}{_key(key)} = {inline(value)}\n" for key, value in plain.items())
    for key, value in data.items():
        if key in plain:
            continue
        tables = [value] if isinstance(value, Mapping) else value
        head = f"[{_key(key)}]" if isinstance(value, Mapping) else f"[[{_key(key)}]]"
        if isinstance(value, Mapping) and value and all(item and _is_list_of_tables(item) for item in value.values()):
            for inner, items in value.items():  # [[guards.input]], [[outputs.segments]]
                for number, item in enumerate(items):
                    note = said.get(f"{key}.{inner}", "") if number == 0 else ""
                    text += f"\n{_comment(note)}[[{_key(key)}.{_key(inner)}]]\n{_lines(item)}"
            continue
        for number, table in enumerate(tables):
            text += f"\n{_comment(said.get(key, '') if number == 0 else '')}{head}\n{_lines(table)}"
    return text


def inline(value: Any) -> str:
    """One value on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int():
            return str(int(value))
        case float():
            return repr(float(value))  # not that of NumPy's own numbers, which are floats too
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {inline(item)}" for key, item in value.items()) + " }"
        case Sequence():
            return "[" + ", ".join(inline(item) for item in value) + "]"
        case _:
            raise TypeError(f"{type(value).__name__} has no form in a manifest")


def _text(value: str) -> str:
    """A basic string. JSON's escapes are TOML's, but for DEL, which JSON leaves as it is (TOML 1.0, String).

    What is no character (half of a surrogate pair, as in file names that are no UTF-8) becomes U+FFFD.
    """
    whole = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {inline(value)}\n" for key, value in table.items())


def _comment(text: str) -> str:
    """Comments hold no control characters but the tab (TOML 1.0, Comment)."""
    lines = ("".join(c for c in line if c == "\t" or (c >= " " and c != "\x7f")) for line in text.splitlines())
    return "".join(f"# {line}\n" for line in lines)


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, Mapping) for v in value)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (_is_list_of_tables(value) and len(value) > 0)
