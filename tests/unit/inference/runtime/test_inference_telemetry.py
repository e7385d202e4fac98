"""ONNX Runtime tells its maker nothing: switched off before its library can be loaded, on versions that obey."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from worker.inference.runtime.providers import runtime
from worker.inference.runtime.telemetry import FIRST_NOT_WATCHED, VARIABLE, telemetry_of

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("before", [None, "0", "", "1"])
def test_whatever_imports_any_part_switches_it_off(before: str | None) -> None:
    environ = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environ |= {} if before is None else {VARIABLE: before}
    program = f"import worker.domain.codes, os, sys; print(os.environ[{VARIABLE!r}], 'onnxruntime' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "1 False\n"


def _imports(path: Path) -> bool:
    """Tell whether a file loads ONNX Runtime; what only a type checker reads does not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unread = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    named = [
        name
        for node in ast.walk(tree)
        if id(node) not in unread
        for name in (
            [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    return any(name.split(".")[0] == "onnxruntime" for name in named)


def test_nobody_loads_it_but_what_lies_behind_the_switch() -> None:
    """Scripts of models and benchmarks ask ``providers.runtime``; tests come after tests/conftest.py."""
    folders = (ROOT / "worker", ROOT / "models", ROOT / "benchmarks")
    found = {str(path.relative_to(ROOT)) for one in folders for path in one.rglob("*.py") if _imports(path)}
    assert found == {"worker/inference/runtime/providers.py", "worker/inference/development/convert.py"}
    assert "from worker" in (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("version", "silent"),
    [
        ("1.22.0", True),
        ("1.28.1", True),
        ("1.29.0", True),
        ("1.32.0", True),
        ("1.32.7", True),
        ("1.29.0.dev20260718001", False),  # the first that had telemetry: one event went out all the same
        ("1.31.0rc1", False),
        ("1.30.0+site", False),
        ("1.33.0", False),
        ("2.0.0", False),
        ("nightly", False),
    ],
)
def test_which_versions_are_trusted(version: str, *, silent: bool) -> None:
    found = telemetry_of(version)
    assert found.silent is silent
    assert found.why
    assert bool(found.next_step) is not silent


def test_the_one_that_is_installed_is_trusted() -> None:
    assert telemetry_of(runtime().__version__).silent


def test_the_installation_stops_where_the_trust_ends() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = (one for one in map(Requirement, project["dependencies"]) if one.name == "onnxruntime")
    first = ".".join(map(str, FIRST_NOT_WATCHED))
    assert not wanted.specifier.contains(f"{first}.0")
    assert wanted.specifier.contains(f"{FIRST_NOT_WATCHED[0]}.{FIRST_NOT_WATCHED[1] - 1}.0")
