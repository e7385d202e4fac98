"""Read the TOML file, put environment variables on top, and say clearly what is wrong."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from worker.domain.errors import ConfigurationError
from worker.settings.model import Log, Settings

PREFIX = "OVERREAD_"
NOT_SETTINGS = frozenset({"OVERREAD_CONFIG", "OVERREAD_FAULT"})
"""Variables of ours that are no configuration entries: where the file is, and the fault points of the test suite."""


def load(path: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Settings:
    """Load the configuration.

    ``path`` wins over the variable OVERREAD_CONFIG; without either, defaults and environment variables hold.
    ``OVERREAD_LISTENER__PORT=104`` sets ``listener.port``; lists and tables are written in JSON.

    Raises
    ------
    ConfigurationError
        When the file cannot be read or an entry is wrong; the message names each entry, its value and what was
        expected, and for an unknown key the nearest known one.
    """
    path = path or (Path(environ["OVERREAD_CONFIG"]) if environ.get("OVERREAD_CONFIG") else None)
    data = _read(path) if path else {}
    _overlay(data, environ)
    return validate(data, origin=str(path) if path else "environment")


def stated_log(environ: Mapping[str, str] = os.environ) -> Log:
    """The section ``log`` alone, whatever is wrong with the rest: that is to be said as it asks for."""
    try:
        data = _read(Path(environ["OVERREAD_CONFIG"])) if environ.get("OVERREAD_CONFIG") else {}
        _overlay(data, environ)
        return Log.model_validate(data.get("log", {}))
    except (ConfigurationError, ValidationError):
        return Log()


def validate(data: Mapping[str, Any], *, origin: str) -> Settings:
    """Validate a configuration given as nested tables."""
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(
            f"The configuration ({origin}) is wrong: {explain(error, Settings)}.",
            next_step="docs/configuration.md lists every entry.",
            code="configuration-invalid",
        ) from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Every error of a validation in words: key, value found, what was expected, nearest known key."""
    return "; ".join(_explain_one(dict(one), model) for one in error.errors(include_url=False))


def _explain_one(one: dict[str, Any], model: type[BaseModel]) -> str:
    location = [str(part) for part in one["loc"]]
    key = ".".join(location)
    if one["type"] == "extra_forbidden":
        known = _keys_at(model, location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"unknown key {key!r}, {hint}"
    message = str(one["msg"]).removeprefix("Value error, ")
    if not location:
        return message
    # A secret must not come back in an error message, nor a whole table.
    shown = one.get("input")
    quoted = "" if isinstance(shown, dict | list) or {"url", "password"} & set(location) else f" (found {shown!r})"
    return f"{key}: {message}{quoted}"


def _keys_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Known keys of the table at ``location``; list indices are passed over."""
    current: Any = model
    for part in location:
        if part.isdigit():
            continue
        field = current.model_fields.get(part)
        nested = _models_in(field.annotation) if field else []
        if not nested:
            return []
        current = nested[0]
    return list(current.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in getattr(annotation, "__args__", ()) for found in _models_in(inner)]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"There is no configuration file {path}.", next_step="Check the path.", code="configuration-missing"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The configuration file {path} cannot be read: {error}.", code="configuration-unreadable"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"The configuration file {path} is not TOML: {error}.", code="configuration-invalid"
        ) from error


def _overlay(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        *sections, key = variable.removeprefix(PREFIX).lower().split("__")
        table = data
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigurationError(f"{variable}: {section!r} is not a table.", code="configuration-invalid")
        table[key] = _value(environ[variable])


def _value(text: str) -> Any:
    """JSON where the text is a list, a table or a quoted text; else the text itself, which validation converts.

    A password of digits must stay a text.
    """
    if text[:1] not in {"[", "{", '"'}:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
