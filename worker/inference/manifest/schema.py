"""The published JSON Schema of the manifest: ``docs/schema/model-package-1.schema.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worker.inference.manifest.keys import SCHEMA_VERSION
from worker.inference.manifest.manifest import Manifest

FILE_NAME = f"model-package-{SCHEMA_VERSION}.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema, made from the models that also read manifests.

    It says the form of every key. What must agree between keys (a step that uses a threshold that is not listed) is
    beyond a schema; ``parse_manifest`` says that too.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": FILE_NAME,
        **Manifest.model_json_schema(mode="validation"),
    }


def schema_text() -> str:
    """The schema as the file has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def write_schema(folder: Path) -> Path:
    """Write the file into ``docs/schema`` (or wherever) and return its path."""
    path = folder / FILE_NAME
    path.write_text(schema_text(), encoding="utf-8")
    return path
