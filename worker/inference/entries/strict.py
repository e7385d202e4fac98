"""The base of every part of the manifest, and its errors in words for the person who wrote it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

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
    items, schema = error.errors(), model.model_json_schema()
    for item in items:
        if item["type"] == "too_short" and any(_within(other["loc"], item["loc"]) for other in items):
            continue  # pydantic does not count the values that it refuses one by one
        unknown = item["loc"][-1:] if item["type"] == "extra_forbidden" else ()
        keys, known = _without_tags(schema, item["loc"][: len(item["loc"]) - len(unknown)])
        lines.setdefault(_path((*keys, *unknown)), []).append(_reason(item, known))
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


def _reason(item: ErrorDetails, known: Collection[str]) -> str:
    if item["type"] == "extra_forbidden":
        key = str(item["loc"][-1])
        return f'unknown key "{key}"{nearest(key, known)}.'
    if item["type"] == "missing":
        return f"missing; this {'value' if isinstance(item['loc'][-1], int) else 'key'} is required."
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


def _path(location: Iterable[int | str]) -> str:
    """The location as the manifest's author would write it: ``preprocessing[1].lower``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or TOP


def _without_tags(
    schema: Mapping[str, Any], location: Sequence[int | str]
) -> tuple[tuple[int | str, ...], Collection[str]]:
    """The keys and indices of a location, without what pydantic adds for unions, and the keys that are known there.

    By the published schema: it names the members of a union by their tags as pydantic does, and has no other key.
    """
    kept: list[int | str] = []
    nodes = [*_options(schema, schema)]
    for part in location:
        tagged = [{"$ref": tags[part]} for node in nodes if part in (tags := _tags(node))]
        inside = tagged or [child for node in nodes if (child := _child(node, part)) is not None]
        if not tagged and (inside or isinstance(part, int)):
            kept.append(part)
        if inside or isinstance(part, int):  # else the name of a type, which leads nowhere
            nodes = [option for child in inside for option in _options(schema, child)]
    return tuple(kept), {key for node in nodes for key in node.get("properties", ())}


def _tags(node: Mapping[str, Any]) -> Mapping[int | str, str]:
    found: Mapping[int | str, str] = node.get("discriminator", {}).get("mapping", {})
    return found


def _child(node: Mapping[str, Any], part: int | str) -> Any:
    if isinstance(part, int):
        return dict(enumerate(node.get("prefixItems", ()))).get(part, node.get("items"))
    # In a table with names of its author's own every name leads to the same, whatever is wrong with it.
    of_any_name = next(iter(node.get("patternProperties", {}).values()), node.get("additionalProperties") or None)
    return node.get("properties", {}).get(part, of_any_name)


def _options(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a value may be: references followed, members of a union one by one unless a tag names them."""
    if "$ref" in node:
        yield from _options(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    elif "anyOf" in node and "properties" not in node:
        for member in node["anyOf"]:
            yield from _options(schema, member)
    else:
        yield node
