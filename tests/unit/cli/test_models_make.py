"""``models new`` and ``models card`` as commands."""

from __future__ import annotations

import subprocess
from contextlib import chdir
from pathlib import Path

import pytest

from tests.e2e.processes import command
from tests.unit.inference.tiny_models import write_package

pytestmark = pytest.mark.slow


def overread(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    with chdir(cwd):
        return command(*map(str, arguments), environ={"OVERREAD_MODELS__PACKAGED": "false"})


def test_a_package_is_begun_and_the_check_says_what_is_missing(tmp_path: Path) -> None:
    made = overread("models", "new", "lung-nodules-ct", "--family", "detection", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "lung-nodules-ct" / "manifest.toml").is_file()
    checked = overread("models", "check", "lung-nodules-ct", cwd=tmp_path)
    assert checked.returncode != 0
    assert "model.onnx" in checked.stdout
    assert overread("models", "new", "lung-nodules-ct", "--family", "guard", cwd=tmp_path).returncode != 0


def test_a_name_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for name in ("Lung", "../elsewhere", "a--b", "1st"):
        refused = overread("models", "new", name, "--family", "guard", cwd=tmp_path)
        assert refused.returncode != 0
        assert "no name of a package" in refused.stderr + refused.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_card_is_printed_or_written(tmp_path: Path) -> None:
    write_package(tmp_path / "toy")
    printed = overread("models", "card", "toy", cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith("# Toy")
    written = overread("models", "card", "toy", "--format", "html", "--output", "card.html", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    assert (tmp_path / "card.html").read_text(encoding="utf-8").startswith("<!doctype html>")
