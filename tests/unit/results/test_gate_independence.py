"""The gate judges the encoder, so it has nothing of it: what both were wrong about, nobody would notice."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import worker.results

FOLDER = Path(worker.results.__file__).parent
GATE = sorted(FOLDER.glob("gate*.py"))

ALLOWED = ("worker.domain.", "worker.results.gate", "worker.functional_groups.")
"""The last reads the macros of the standard, in one way for whatever reads images."""


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", GATE, ids=lambda path: path.stem)
def test_the_gate_knows_the_domain_and_itself(path: Path) -> None:
    ours = {name for name in imported(path) if name.split(".")[0] == "worker"}
    strange = {name for name in ours if not name.startswith(ALLOWED)}
    assert not strange, f"{path.name} is to judge what these make"
    assert "highdicom" not in {name.split(".")[0] for name in imported(path)}


def test_the_encoder_has_nothing_of_the_gate() -> None:
    assert len(GATE) > 10
    for path in set(FOLDER.glob("*.py")) - set(GATE):
        assert not {name for name in imported(path) if name.startswith("worker.results.gate")}, path.name
