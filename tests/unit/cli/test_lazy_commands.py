"""A command brings its own libraries only: the listener is small, and quickly back after it was killed."""

from __future__ import annotations

import subprocess
import sys

import typer.main

from worker.cli.main import build

HEAVY = ("onnxruntime", "highdicom", "scipy", "celery", "alembic", "redis")


def test_the_listener_does_not_load_what_only_workers_need() -> None:
    program = f"""
import sys
from worker.cli.main import build
build("listen")
import worker.wiring.listener
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_listener_is_started_before_libraries_are_loaded() -> None:
    """``up`` starts it with what it has loaded itself until then: next to nothing."""
    program = f"""
import sys
from worker.cli.main import build
build("up")
print([name for name in {(*HEAVY, "sqlalchemy", "pydicom", "pynetdicom", "numpy")!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_command_is_the_same_as_in_the_whole() -> None:
    whole = typer.main.get_command(build())
    alone = typer.main.get_command(build("listen"))
    assert set(alone.commands) == {"listen"}  # type: ignore[attr-defined]
    assert {"up", "listen", "models", "doctor"} <= set(whole.commands)  # type: ignore[attr-defined]
    assert set(typer.main.get_command(build("no-such-command")).commands) == set(whole.commands)  # type: ignore[attr-defined]


def test_the_version_needs_no_command() -> None:
    done = subprocess.run([sys.executable, "-m", "worker.cli", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("overread ")
