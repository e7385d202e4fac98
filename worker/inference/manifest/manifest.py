"""The manifest of a model package, schema version 1: what it says, and what must agree within it."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from pydantic import ValidationError, model_validator

from worker.domain.errors import ConfigurationError
from worker.inference.entries.strict import problems
from worker.inference.manifest.checks import disagreements
from worker.inference.manifest.keys import ManifestKeys


class Manifest(ManifestKeys):
    """A model package: everything that is needed to run the model, to write its result, and to judge it."""

    @model_validator(mode="after")
    def _agrees(self) -> Manifest:
        if (self.input is None) == (self.inputs is None):
            raise ValueError("expected either input (one series) or inputs (several), and not both")
        found = disagreements(self)
        if found:
            raise ValueError(".\n".join(found))
        return self


def parse_manifest(content: bytes) -> Manifest:
    """Read ``manifest.toml``.

    Raises
    ------
    ConfigurationError
        ``manifest-not-toml`` with line and column, or ``manifest-invalid`` with one line per problem: the key, the
        value that was found, what was expected.
    """
    try:
        data = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"manifest.toml is not TOML: {error}.",
            next_step="Correct the syntax at that place (https://toml.io).",
            code="manifest-not-toml",
        ) from error
    return manifest_of(data)


def manifest_of(data: dict[str, Any]) -> Manifest:
    """Validate parsed content; raises ConfigurationError (``manifest-invalid``) as ``parse_manifest`` does."""
    try:
        # By way of JSON: TOML lists become tuples, and everything else must have its type as it stands.
        return Manifest.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        lines = problems(Manifest, error)
        raise ConfigurationError(
            f"manifest.toml has {len(lines)} problem{'s' if len(lines) > 1 else ''}:\n  " + "\n  ".join(lines),
            next_step="The keys are described in docs/schema/model-package-1.schema.json.",
            code="manifest-invalid",
        ) from error
