from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from worker.observe.crash_record import BlackBox


def _die_in_decode(folder: Path) -> None:
    box = BlackBox(folder)
    box.begin("attempt")
    box.stage("headers")
    box.stage("decode")
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_child_that_dies_of_a_signal_leaves_its_stage_and_its_place(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=_die_in_decode, args=(tmp_path,))
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGSEGV
    assert child.pid is not None
    left = BlackBox(tmp_path).read(child.pid)
    assert left.startswith("stage decode (peak memory so far ")
    assert "Segmentation fault" in left
    assert "_die_in_decode" in left
    assert list(tmp_path.iterdir()) == []


def test_the_next_attempt_forgets_the_one_before(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    box.begin("attempt")
    box.stage("inference")
    box.begin("attempt")
    assert "inference" not in BlackBox(tmp_path).read(os.getpid())


def test_a_child_that_left_nothing_is_no_error(tmp_path: Path) -> None:
    assert BlackBox(tmp_path).read(1) == ""
