"""The base of every part of the manifest, and its errors in words for the person who wrote it."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from worker.inference.entries.wording import expectation


class Strict(BaseModel):
    """Frozen, no unknown key, no conversion ("1" is not 1), no infinity: what is written is what runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


TOP = "(top level)"
"""Where what does not agree between keys is said."""


def problems(model: type[BaseModel], error: ValidationError) -> tuple[str, ...]:
    """One line per problem: the key, the value that was found, and what was expected."""
    lines: dict[str, list[str]] = {}
    items = error.errors()
    for item in items:
        if item["type"] == "too_short" and any(_within(other["loc"], item["loc"]) for other in items):
            continue  # pydantic does not count the values that it refuses one by one
        where = _path(model, item["loc"])
        lines.setdefault(where, []).append(_reason(model, item))
    # A value that may be of several types has one reason for each: they belong on one line.
    return tuple(
        line
        for where, reasons in lines.items()
        for line in (
            # What does not agree between keys names them itself, one to a line.
            " ".join(reasons).splitlines() if where == TOP else [f"{where}: {' Or: '.join(reasons)}"]
        )
    )


def _within(inner: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def nearest(word: str, known: Iterable[str]) -> str:
    """``; the nearest known one is "x"`` where one is near, else ``; known are a, b, c``."""
    names = sorted(known)
    if not names:
        return "; there is none"
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f'; the nearest known one is "{close[0]}"'
    return f"; known are {', '.join(names)}" if len(names) <= 30 else ""


def _reason(model: type[BaseModel], item: ErrorDetails) -> str:
    *parent, key = item["loc"] or ("",)
    if item["type"] == "extra_forbidden":
        owner = _model_at(model, tuple(parent))
        return f'unknown key "{key}"{nearest(str(key), owner.model_fields if owner else ())}.'
    if item["type"] == "missing":
        return "missing; this value is required." if isinstance(key, int) else "missing; this key is required."
    if item["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return _kind_reason(item)
    expected = expectation(item["type"], item.get("ctx", {}))
    message = item["msg"].removeprefix("Value error, ") if expected is None else f"expected {expected}"
    message = message[:1].lower() + message[1:]
    if isinstance(item["input"], dict):
        return f"{message}."
    return f"found {_shown(item['input'])}, but {message}."


def _kind_reason(item: ErrorDetails) -> str:
    """The key that says what kind of thing this is (step, guard, mode) is missing or unknown."""
    found = item["input"]
    if not isinstance(found, dict):
        return f"found {_shown(found)}, but expected a table."
    if item["type"] == "union_tag_not_found":
        return f"found the keys {', '.join(found) or '(none)'}; expected {item['ctx']['discriminator']} among them."
    tags = [tag.strip(" '") for tag in item["ctx"]["expected_tags"].split(",")]
    tag = str(item["ctx"]["tag"])
    key = str(item["ctx"]["discriminator"]).strip("'")
    return f'found {key} = "{tag}", expected one of {", ".join(tags)}{_near_tag(tag, tags)}.'


def _near_tag(found: str, tags: list[str]) -> str:
    close = difflib.get_close_matches(found, tags, n=1, cutoff=0.5)
    return f'; the nearest is "{close[0]}"' if close else ""


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    kind = {str: "text", bool: "true/false", int: "whole number", float: "number", dict: "table", list: "list"}
    named = kind.get(type(value), type(value).__name__)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({named})"


def _path(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """``preprocessing[1].lower``: the location without the tags that pydantic adds for unions."""
    text = ""
    for part, is_tag in _walk(model, location):
        if is_tag:
            continue
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or TOP


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    here: Any = model
    for part in location:
        here, _ = _descend(here, part)
    found = _plain(here)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> Iterator[tuple[int | str, bool]]:
    here: Any = model
    for part in location:
        here, is_tag = _descend(here, part)
        yield part, is_tag


def _descend(annotation: Any, part: int | str) -> tuple[Any, bool]:
    """The type one step further, and whether the step was a union's tag instead of a key."""
    plain = _plain(annotation)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        field = plain.model_fields.get(str(part))
        return (None if field is None else field.annotation), False
    if members := _union_members(plain):
        return _descend_union(members, part)
    if get_origin(plain) is dict:
        return get_args(plain)[1], False
    if get_origin(plain) is tuple:
        arguments = [argument for argument in get_args(plain) if argument is not Ellipsis]
        return arguments[part if isinstance(part, int) and part < len(arguments) else 0], False
    return None, isinstance(part, str)


def _descend_union(members: tuple[Any, ...], part: int | str) -> tuple[Any, bool]:
    for member in members:
        if part in _tags(member):
            return member, True
    # Not tagged: "X | None" is entered as X; of numbers and words pydantic names the one that it tried.
    others = [member for member in members if member is not type(None)]
    if len(others) == 1:
        return _descend(others[0], part)
    models = [member for member in map(_plain, members) if isinstance(member, type) and issubclass(member, BaseModel)]
    return _descend(models[0], part) if len(models) == 1 else (None, True)


def _plain(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _union_members(annotation: Any) -> tuple[Any, ...]:
    plain = _plain(annotation)
    return get_args(plain) if get_origin(plain) in (Union, types.UnionType) else ()


def _tags(member: Any) -> tuple[str, ...]:
    """What identifies a member of a tagged union: the values of its Literal fields (step, guard, mode)."""
    plain = _plain(member)
    if not (isinstance(plain, type) and issubclass(plain, BaseModel)):
        return ()
    literals = [f.annotation for f in plain.model_fields.values() if get_origin(f.annotation) is typing.Literal]
    return tuple(str(value) for literal in literals for value in get_args(literal))
