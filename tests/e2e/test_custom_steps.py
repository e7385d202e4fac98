"""The Python file of a package runs in a child of the worker, and in no other process of an installation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.chaos.system import below
from tests.chaos.toy_model import write_package
from tests.e2e.processes import Installation, overread, until

pytestmark = [pytest.mark.timeout(300)]

STEPS = """
import os, pathlib, sys, warnings

with pathlib.Path({marker!r}).open("a") as file:
    file.write(f"{{os.getpid()}}\\n")


class Steps:
    def same(self, values, *, spacing_mm):
        warnings.simplefilter("always")
        warnings.warn("Doe^Jane")
        print("Doe^Jane", file=sys.stderr)
        return values.copy()
"""
CUSTOM = """
[custom]
file = "steps.py"
sha256 = "{sha256}"
class_name = "Steps"

[[preprocessing]]
step = "custom"
method = "same"
"""


def test_custom_steps_run_in_a_child_of_the_worker_alone(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    package = write_package(tmp_path / "models")
    (package / "steps.py").write_text(STEPS.format(marker=str(marker)), encoding="utf-8")
    digest = hashlib.sha256((package / "steps.py").read_bytes()).hexdigest()
    manifest = (package / "manifest.toml").read_text(encoding="utf-8") + CUSTOM.format(sha256=digest)
    (package / "manifest.toml").write_text(manifest, encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    environ = {
        "HOME": str(home),
        "OVERREAD_MODELS__FOLDERS": json.dumps([str(package.parent)]),
        "OVERREAD_MODELS__PACKAGED": "false",
        "OVERREAD_MODELS__TRUSTED": json.dumps([digest]),
    }
    images = builders.a_ct_series(tmp_path / "ct", slices=6, rows=64, columns=64)
    done = overread("models", "check", environ=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not marker.exists()
    with Installation(tmp_path, send_to=[], environ=environ) as installation:

        def finished(state: str) -> list[dict[str, Any]]:
            return [one for one in installation.jobs() if one["kind"] == "analyse" and one["state"] == state]

        assert installation.send(*images).returncode == 0
        until(lambda: finished("committed"), what="the job ends well")
        assert installation.process is not None
        own = {one.pid: one for one in below(installation.process.pid)}
        (pid,) = {int(word) for word in marker.read_text().split()}
        assert own[pid].role == "worker"
        assert own[own[pid].parent].role == "worker"  # the parent of the pool, which did not load it
        assert installation.stop() == 0
    events = [json.loads(line) for line in installation.log.read_text(encoding="utf-8").splitlines()]
    assert "standard-error-written" in {one["event"] for one in events if one["process"] == "worker-analyse"}
    assert "Doe" not in installation.log.read_text(encoding="utf-8")
    assert list(home.rglob("*")) == [], "no process of an installation writes outside of its data folder"
