"""What is said beside the log, by processes of their own: hooks and file descriptors belong to a whole process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BEGIN = """
import ctypes, os, sys, threading, traceback, warnings
from worker.observe import logs, stray_output
logs.configure(style={style!r}, process="listener")
stray_output.into_log()
"""
SAYS_ALL = """
def fail(*_):
    raise ValueError("Doe^Jane")

class Ends:
    __del__ = fail

thread = threading.Thread(target=fail, name="recovery")
thread.start()
thread.join()
Ends()
threading.Thread(target=sys.exit, args=["Doe^Jane"]).start()  # an end, no defect
with warnings.catch_warnings():
    warnings.simplefilter("always")
    warnings.warn("invalid value: Doe^Jane")
print("Patient", "Doe^Jane", file=sys.stderr)
try:
    fail()
except ValueError:
    traceback.print_exc()
fail()
"""


def run(script: str, *, style: str = "json", stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BEGIN.format(style=style) + script]
    return subprocess.run(command, stderr=stderr, text=True, timeout=60, check=False)


def test_what_is_no_record_is_an_event_without_its_words() -> None:
    done = run(SAYS_ALL)
    assert done.returncode == 1
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [one["event"] for one in events] == [
        "thread-defect", "exception-ignored", "standard-error-written", "standard-error-written", "process-defect",
    ]  # fmt: skip
    assert {one["process"] for one in events} == {"listener"}
    assert events[0]["child"] == "recovery"
    assert [one.get("error") for one in events] == ["ValueError", "ValueError", None, "ValueError", "ValueError"]
    assert all(one["where"].startswith(("__main__:", "threading:")) for one in events)
    assert "Doe" not in done.stderr


def test_it_is_text_where_the_log_is() -> None:
    done = run('raise ValueError("Doe^Jane")', style="text")
    (line,) = done.stderr.splitlines()
    assert "process-defect" in line
    assert "Doe" not in line


def test_who_ends_without_a_word_has_its_print_written_before() -> None:
    done = run('print("gone", file=sys.stderr, flush=True); os._exit(1)')
    assert json.loads(done.stderr)["event"] == "standard-error-written"


@contextmanager
def a_full_pipe() -> Iterator[int]:
    """Its writing end: not one byte fits any more, and it waits as any other pipe."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield writing
    assert os.get_blocking(writing), "it is shared, and others may count on it"
    os.close(writing)
    os.close(reading)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("ctypes.CDLL(None).perror(b'a library')", 0),
        ("os.system('echo a child >&2')", 0),
        ("ctypes.CDLL(None).free(ctypes.c_void_p(ctypes.addressof(ctypes.c_long(1))))", -signal.SIGABRT),
    ],
    ids=["a library says something", "a child does", "glibc says why it ends us"],
)
def test_native_text_holds_up_nobody_when_nobody_reads(script: str, status: int) -> None:
    with a_full_pipe() as writing:
        assert run(script, stderr=writing).returncode == status


def test_other_standard_errors_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        assert run("os.write(2, b'native')", stderr=file.fileno()).returncode == 0
    assert path.read_bytes() == b"native"
