"""SIGTERM ends a process that waits, whichever of its threads the system hands the signal to."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, threading, time
from worker.cli.serve import Stop
stop = Stop()
assert not stop.wait(0) and not stop.wait(0.01)

def hand_it_to_this_thread():
    time.sleep(0.2)  # the main thread waits by then; when it does not, the test passes all the same
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(60)

threading.Thread(target=hand_it_to_this_thread, daemon=True).start()
print(stop.wait({seconds}), stop.wait(), stop.wait(0.0))
"""


@pytest.mark.parametrize("seconds", ["None", "100_000.0"])
def test_a_signal_to_another_thread_is_heard(seconds: str) -> None:
    program = PROGRAM.format(seconds=seconds)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == ["True", "True", "True"]


def test_a_second_signal_ends_the_process() -> None:
    program = """
import os, signal
from worker.cli.serve import Stop
stop = Stop()
os.kill(os.getpid(), signal.SIGTERM)
assert stop.wait()
os.kill(os.getpid(), signal.SIGTERM)
stop.wait(60)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=100, check=False)
    assert done.returncode == -signal.SIGTERM
