"""Where the log is JSON, the last words of a process are events in it: what a person has to mend, and defects."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import overread

pytestmark = [pytest.mark.timeout(120)]

PROCESSES = {"up": "up", "listen": "listener", "sweep": "sweeper", "work": "worker", "flower": "flower"}


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("command", PROCESSES)
def test_a_configuration_that_is_wrong(command: str) -> None:
    done = overread(command, environ={"OVERREAD_LISTENER__PROT": "104"})
    (event,) = events(done.stderr)
    assert done.returncode == 78
    assert (event["event"], event["code"]) == ("process-failed", "configuration-invalid")
    assert event["process"].startswith(PROCESSES[command])
    assert "'listener.prot', did you mean 'port'?" in event["reason"]
    assert event["next_step"]


def test_it_is_a_sentence_where_the_log_is_text(tmp_path: Path) -> None:
    path = tmp_path / "overread.toml"
    path.write_text('[log]\nformat = "text"\n[listener]\nprot = 104\n')
    done = overread("listen", "--config", str(path))
    assert done.returncode == 78
    assert done.stderr.startswith("error (configuration-invalid) ")


def test_a_command_line_that_is_wrong() -> None:
    done = overread("work", "--lane", "nowhere")
    (event,) = events(done.stderr)
    assert done.returncode == 2
    assert (event["event"], event["code"]) == ("process-failed", "usage")


def test_what_nobody_caught(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environ = {"OVERREAD_NODE__DATA": str(tmp_path), "OVERREAD_FLOWER__PORT": str(taken.getsockname()[1])}
        done = overread("flower", environ=environ)
    *_, event = events(done.stderr)
    assert done.returncode == 70
    assert (event["event"], event["error"]) == ("process-defect", "OSError")
    assert "worker.tasks.monitor" in event["where"]
