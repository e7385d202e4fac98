"""Log lines on a stream that does not take them: nobody waits, every line is whole, what is missing is said."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from tests.integration.intake.waiting import until
from worker.observe import logs
from worker.observe.log_queue import LineHandler, takes


class Pipe:
    """A pipe and its writing end as a stream."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        self.stream: IO[str] = os.fdopen(writing, "w")

    def read_to_the_end(self) -> list[bytes]:
        self.stream.close()
        with os.fdopen(self.reading, "rb") as reading:
            return reading.read().splitlines(keepends=True)


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def a_logger(handler: logging.Handler) -> logging.Logger:
    handler.setFormatter(logs.JsonFormatter())
    log = logging.getLogger("worker.of-lines")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.handlers[:] = [handler]
    return log


def test_an_unread_pipe_holds_nobody_up_and_what_is_missing_is_said(pipe: Pipe) -> None:
    handler = LineHandler(pipe.stream, limit_bytes=100_000)
    log = a_logger(handler)
    for number in range(5000):  # 90 bytes and more each: the pipe holds 64 KiB, the queue 100 kB
        log.warning("event", extra={"count": number, "reason": "x" * 50})
    assert until(lambda: not takes(pipe.stream))
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.extend(os.fdopen(pipe.reading, "rb")))
    reader.start()
    assert until(lambda: any(b"log-lines-dropped" in line for line in lines))
    log.warning("afterwards")
    assert until(lambda: any(b"afterwards" in line for line in lines))
    pipe.stream.close()
    reader.join()
    events = [json.loads(line) for line in lines]
    assert events.pop()["event"] == "afterwards"
    expected = missing = 0
    for event in events:  # each gap is said where it is, with its size
        if event["event"] == "log-lines-dropped":
            expected += event["count"]
            missing += event["count"]
        else:
            assert event["count"] == expected
            expected += 1
    assert expected == 5000
    assert missing > 0


def test_lines_of_many_threads_are_whole(pipe: Pipe) -> None:
    handler = LineHandler(pipe.stream)
    log = a_logger(handler)
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.extend(os.fdopen(pipe.reading, "rb")))
    reader.start()
    threads = [
        threading.Thread(
            target=lambda n=n: [log.info("event", extra={"count": n, "path": "y" * 9000}) for _ in "12345"]
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.flush()
    pipe.stream.close()
    reader.join()
    assert sorted(json.loads(line)["count"] for line in lines) == sorted([n for n in range(8) for _ in "12345"])


def test_a_stream_whose_reader_is_gone_holds_nobody_up(pipe: Pipe) -> None:
    os.close(pipe.reading)
    handler = LineHandler(pipe.stream)
    log = a_logger(handler)
    for _ in range(100):
        log.warning("event")
    handler.flush()
    pipe.stream.close()
    log.warning("event")
    handler.flush()


class Moving:
    """A stream whose descriptor is another one later."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.asked = 0

    def fileno(self) -> int:
        self.asked += 1
        return self.stream.fileno()


def test_a_stream_that_is_gone_is_tried_once_for_each_record_and_not_for_ever(pipe: Pipe) -> None:
    """Its own line about what is missing was lost as well, and said again, and lost: a thread that never rested."""
    os.close(pipe.reading)
    moving = Moving(pipe.stream)
    handler = LineHandler(moving)  # type: ignore[arg-type]
    log = a_logger(handler)
    for number in range(1, 4):
        log.warning("lost")
        assert until(lambda: handler._thread is None)
        assert not handler._lines
        assert moving.asked <= 2 * number
    mended = Pipe()
    moving.stream = mended.stream
    log.warning("heard")
    handler.flush()
    said = [json.loads(line) for line in mended.read_to_the_end()]
    assert [one["event"] for one in said] == ["log-lines-dropped", "heard"]
    assert said[0]["count"] == 3


def test_a_record_that_cannot_be_formatted_is_counted(pipe: Pipe) -> None:
    handler = LineHandler(pipe.stream)
    log = a_logger(handler)
    log.warning("%d", "Doe^Jane")
    log.warning("next")
    handler.flush()
    assert [json.loads(line)["event"] for line in pipe.read_to_the_end()] == ["log-lines-dropped", "next"]


def test_a_full_disk_costs_lines_and_leaves_whole_ones(tmp_path: Path) -> None:
    """The size of the file is limited for a while, which is as good: it takes half a line, then nothing, then all."""
    child = """
import logging, resource, signal, sys
from worker.observe import logs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
logs.configure(style="json", stream=open(sys.argv[1], "ab"))
log = logging.getLogger("worker.x")
for number in range(10):
    log.warning("event", extra={"count": number})
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for handler in logging.getLogger().handlers:
    handler.flush()
"""
    subprocess.run([sys.executable, "-c", child, str(tmp_path / "log")], check=True, timeout=60)
    written = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert [line["count"] for line in written] == list(range(10))


def test_a_forked_child_writes_its_own_lines_and_not_its_parents(pipe: Pipe) -> None:
    handler = LineHandler(pipe.stream)
    log = a_logger(handler)
    log.warning("of-the-parent")
    child = os.fork()
    if child == 0:
        log.warning("of-the-child")
        handler.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    handler.flush()
    events = [json.loads(line)["event"] for line in pipe.read_to_the_end()]
    assert sorted(events) == ["of-the-child", "of-the-parent"]


def test_what_was_logged_last_is_written_before_the_process_ends() -> None:
    code = "import logging, worker.observe.logs as o; o.configure(); logging.getLogger('worker.x').warning('last')"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
    assert json.loads(done.stderr)["event"] == "last"
