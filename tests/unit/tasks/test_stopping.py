"""SIGTERM in a child: what computes is interrupted, what sends may end its object, between tasks nothing changes."""

from __future__ import annotations

import subprocess
import sys

PRELUDE = """
import os, signal, threading, time
from worker.domain.errors import ShutdownError
from worker.tasks.stopping import ChildStop
before = []
signal.signal(signal.SIGTERM, lambda *_: before.append(1))
stop = ChildStop()
asked = threading.Event()
stop.on_asked(asked.set)
me = os.getpid()
"""


def run(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PRELUDE + program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_computes_is_interrupted_and_a_thread_of_its_own_hears_of_it() -> None:
    program = """
try:
    with stop.at_work(patient=False):
        os.kill(me, signal.SIGTERM)
        time.sleep(60)
except ShutdownError:
    print("interrupted", asked.wait(30), stop.asked, before)
"""
    assert run(program) == ["interrupted", "True", "True", "[]"]


def test_what_sends_is_interrupted_by_the_second_signal_only() -> None:
    program = """
try:
    with stop.at_work(patient=True):
        os.kill(me, signal.SIGTERM)
        print(stop.asked, asked.is_set())
        os.kill(me, signal.SIGTERM)
        print("not here")
except ShutdownError:
    os.kill(me, signal.SIGTERM)
    print("interrupted")
"""
    assert run(program) == ["True", "False", "interrupted"]


def test_between_two_tasks_the_signal_does_what_it_did() -> None:
    program = """
with stop.at_work(patient=False):
    pass
os.kill(me, signal.SIGTERM)
print(before, stop.asked)
"""
    assert run(program) == ["[1]", "False"]


def test_while_the_job_is_handed_back_nothing_is_raised_again() -> None:
    program = """
with stop.at_work(patient=False):
    try:
        os.kill(me, signal.SIGTERM)
    except ShutdownError:
        os.kill(me, signal.SIGTERM)
        print("handed back")
"""
    assert run(program) == ["handed", "back"]
