"""Every piece of a manifest that ``docs/add-a-model.md`` shows is one that can be read, with codes of the standard."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.unit.inference.development.test_inference_scaffold import codes_in, known
from worker.inference.entries.contract import InputContract
from worker.inference.entries.weights import CustomSteps, WeightsEntry
from worker.inference.guards.guards import InputGuard, QualityLimit
from worker.inference.manifest.keys import Identity
from worker.inference.manifest.named_input import NamedInput
from worker.inference.modes import Mode
from worker.inference.outputs import Outputs, Threshold
from worker.inference.steps import PostprocessingStep, PreprocessingStep

PAGE = (Path(__file__).parents[4] / "docs" / "add-a-model.md").read_text(encoding="utf-8")
PIECES = [
    tomllib.loads(text.replace("REPLACE", "a" * 64))
    for text in re.findall(r"```toml manifest\n(.*?)```", PAGE, re.DOTALL)
]
READERS: dict[str, TypeAdapter[Any]] = {
    "package": TypeAdapter(Identity),
    "inference": TypeAdapter(Mode),
    "outputs": TypeAdapter(Outputs),
    "input": TypeAdapter(InputContract),
    "inputs": TypeAdapter(tuple[NamedInput, ...]),
    "thresholds": TypeAdapter(tuple[Threshold, ...]),
    "weights": TypeAdapter(tuple[WeightsEntry, ...]),
    "custom": TypeAdapter(CustomSteps),
    "preprocessing": TypeAdapter(tuple[PreprocessingStep, ...]),
    "postprocessing": TypeAdapter(tuple[PostprocessingStep, ...]),
}


@pytest.mark.parametrize("piece", PIECES, ids=[f"{i} {'-'.join(piece)}" for i, piece in enumerate(PIECES)])
def test_a_documented_piece_can_be_read(piece: dict[str, Any]) -> None:
    for key, value in piece.items():
        if key == "guards":
            TypeAdapter(tuple[QualityLimit, ...]).validate_json(json.dumps(value.get("quality", [])))
            TypeAdapter(tuple[InputGuard, ...]).validate_json(json.dumps(value.get("input", [])))
        else:
            READERS[key].validate_json(json.dumps(value))
    for scheme, value, meaning in codes_in(piece):
        assert known(scheme, value, meaning), (scheme, value, meaning)


def test_the_page_shows_every_kind_of_output_and_mode() -> None:
    shown = {key for piece in PIECES for key in piece.get("outputs", {})}
    assert shown >= set(Outputs.model_fields) - {"segments"}
    modes = {piece["inference"]["mode"] for piece in PIECES if "inference" in piece}
    assert modes >= {"sliding_window", "ensemble", "cascade", "boxes"}
