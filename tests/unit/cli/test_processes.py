from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.cli.processes import Processes
from worker.domain.errors import ConfigurationError

MODULE = "tests.unit.cli.child"
ROOT = Path(__file__).resolve().parents[3]


def wait(question: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not question():
        assert time.monotonic() < ends
        time.sleep(0.02)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def processes() -> Processes:
    return Processes(environment={**os.environ, "PYTHONPATH": str(ROOT)})


def test_a_child_that_dies_is_started_again(processes: Processes, tmp_path: Path) -> None:
    said = tmp_path / "said"
    child = processes.add("child", "stay", str(said), module=MODULE)
    wait(lambda: len(lines(said)) == 1)
    assert child.process is not None
    child.process.kill()

    def again() -> bool:
        processes.watch_once()
        return len(lines(said)) == 2

    wait(again)
    processes.stop(grace_s=10)
    assert len(set(lines(said))) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in lines(said))


def test_a_child_that_is_misconfigured_is_named(processes: Processes, tmp_path: Path) -> None:
    child = processes.add("wrong", "config", str(tmp_path / "said"), module=MODULE)
    assert child.process is not None
    child.process.wait(60)
    with pytest.raises(ConfigurationError, match="'wrong'") as refused:
        processes.watch_once()
    assert refused.value.code == "process-misconfigured"
    processes.stop()


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(processes: Processes, tmp_path: Path) -> None:
    said = tmp_path / "said"
    processes.add("deaf", "deaf", str(said), module=MODULE)
    wait(lambda: len(lines(said)) == 1)
    processes.stop(grace_s=0.5)
    assert not Path(f"/proc/{lines(said)[0]}").exists()


def test_what_serves_is_waited_for(processes: Processes, tmp_path: Path) -> None:
    said = tmp_path / "said"
    processes.add("first", "serve", str(said), module=MODULE, ready_within_s=60)
    assert len(lines(said)) == 1
    processes.stop(grace_s=10)


def test_what_ends_without_serving_is_not_waited_for(processes: Processes, tmp_path: Path) -> None:
    child = processes.add("wrong", "config", str(tmp_path / "said"), module=MODULE, ready_within_s=100_000)
    assert child.process is not None
    assert child.process.wait(60) == os.EX_CONFIG
    processes.stop()


def test_what_never_says_that_it_serves_holds_up_nobody_for_ever(processes: Processes, tmp_path: Path) -> None:
    said = tmp_path / "said"
    processes.add("mute", "stay", str(said), module=MODULE, ready_within_s=0.1)
    wait(lambda: len(lines(said)) == 1)
    processes.stop(grace_s=10)


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    said = tmp_path / "said"
    parent = subprocess.Popen([sys.executable, "-m", MODULE, "parent", str(said)], cwd=ROOT)
    wait(lambda: len(lines(said)) == 1)
    (pid,) = lines(said)
    parent.send_signal(signal.SIGKILL)
    parent.wait(20)
    wait(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])
