"""The gate judges the encoder, so it has nothing of it: what both were wrong about, nobody would notice."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import worker.gate
import worker.results

FOLDER = Path(worker.gate.__file__).parent
GATE = sorted(FOLDER.rglob("*.py"))

OF_THE_ENCODER = ("worker.results", "worker.drawing", "highdicom")
"""Rooms further down may serve both: the domain, and what reads files as the standard has them."""


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", GATE, ids=lambda path: path.relative_to(FOLDER).with_suffix("").as_posix())
def test_the_gate_knows_nothing_of_the_encoder(path: Path) -> None:
    judged = {name for name in imported(path) if name.startswith(OF_THE_ENCODER)}
    assert not judged, f"{path.name} is to judge what these make"


def test_the_encoder_has_nothing_of_the_gate() -> None:
    assert len(GATE) > 10
    for path in Path(worker.results.__file__).parent.rglob("*.py"):
        assert not {name for name in imported(path) if name.startswith("worker.gate")}, path.name
