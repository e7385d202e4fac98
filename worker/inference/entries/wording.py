"""What the manifest's validation expected, in words for the person who wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PATTERNS = {
    "^[0-9a-f]{64}$": "64 hexadecimal digits in lower case, as sha256sum prints them",
    r"^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.-]+)?$": 'three numbers such as "1.0.0"',
    "^[A-Z0-9_]{1,16}$": 'a Modality (0008,0060) such as "CT"',
    "^[a-z][a-z0-9]*(-[a-z0-9]+)*$": 'lower-case words joined by hyphens, such as "lung-nodules"',
    r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$": "a file inside the package folder, without ..",
    r"^https://[^/\s@]+/[^\s]*$": "an address that begins with https:// and has a path",
    "^[a-z][a-z0-9_]*$": "lower-case letters, digits and underscores, a letter first",
    r"^[A-Za-z_][A-Za-z0-9_]*\.py$": 'a Python file in the package folder, such as "steps.py"',
    "^[A-Z][A-Za-z0-9]*$": 'the name of a class, such as "LungSteps"',
    "^([A-Z][A-Za-z0-9]*|orientation|slice_count|slice_spacing_mm|slice_thickness_mm|rows|columns|body_region)$": (
        "a DICOM keyword or a derived name"
    ),
}
"""Every pattern of the manifest's schema. A test holds this complete."""

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "less than {lt:g}",
    "too_short": "at least {min_length} values, not {actual_length}",
    "too_long": "at most {max_length} values, not {actual_length}",
    "string_too_short": "a text that is not empty",
    "string_too_long": "a text of at most {max_length} characters",
    "literal_error": "{expected}",
}
"""Manifests are checked by way of JSON, but the person wrote TOML: tables and lists."""


def expectation(kind: str, context: Mapping[str, Any]) -> str | None:
    """What pydantic's error of that type expected; None where its own message says it better."""
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(str(context["pattern"]))
    template = _EXPECTED.get(kind)
    return None if template is None else template.format(**context).replace("'", '"')
