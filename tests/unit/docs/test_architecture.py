"""The way of a study through the house, module by module: every module and every name in that table exists."""

from __future__ import annotations

import ast
import re

import pytest

from tests.unit.deploy.deployed import ROOT
from tests.unit.docs.markdown import DOCUMENTS

ROW = re.compile(r"^\| [^|]+ \| `(worker/[a-z_/0-9]+\.py)` \| ([^|]+) \|", re.MULTILINE)
ROWS = ROW.findall(DOCUMENTS["docs/architecture.md"])


def defined(path: str) -> set[str]:
    """Functions, classes, and methods as ``Class.method``."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def test_the_whole_way_is_there() -> None:
    assert len(ROWS) > 20
    rooms = {path.split("/")[1] for path, _ in ROWS}
    assert {"intake", "store", "pipeline", "tasks", "decode", "inference", "results", "gate", "deliver"} <= rooms


@pytest.mark.parametrize(("path", "names"), ROWS, ids=[path for path, _ in ROWS])
def test_a_step_is_where_the_table_says(path: str, names: str) -> None:
    wanted = set(re.findall(r"`([A-Za-z_.]+)`", names))
    assert wanted
    assert wanted <= defined(path), f"{path} defines {', '.join(sorted(defined(path)))}"
