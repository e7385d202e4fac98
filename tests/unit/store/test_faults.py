"""Fault points: nothing unless asked, and then exactly what was asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from worker.store.faults import VARIABLE, reach

PROGRAM = "from worker.store.faults import reach\nfor n in range(3):\n reach('a.step'); print(n, flush=True)"


def run(fault: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, VARIABLE: fault}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("fault", ["", "another.step:kill"])
def test_nothing_happens_unless_asked(fault: str) -> None:
    assert run(fault).stdout == "0\n1\n2\n"


def test_a_process_is_killed_at_the_nth_time() -> None:
    killed = run("a.step:kill:2")
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout == "0\n"


@pytest.mark.parametrize(("action", "name"), [("fail", "Errno 5"), ("full", "Errno 28")])
def test_a_step_fails_as_a_disk_does(action: str, name: str) -> None:
    failed = run(f"a.step:{action}")
    assert failed.returncode == 1
    assert name in failed.stderr


def test_in_this_process_nothing_is_armed() -> None:
    for _ in range(3):
        reach("a.step")
