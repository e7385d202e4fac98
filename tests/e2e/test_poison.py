"""A job that kills its worker is tried a few times, then set aside with the evidence; the next study goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.chaos.toy_model import write_package
from tests.e2e.processes import Installation, command, command_line, tree, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def is_offered(pid: int) -> bool:
    """Tell whether a process is the first that the kernel ends when memory is short; False when it has gone."""
    try:
        return Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii") == "1000\n"
    except OSError:
        return False


def test_a_job_that_kills_its_worker_is_quarantined_with_the_evidence(tmp_path: Path) -> None:
    package = write_package(tmp_path / "models" / "toy")
    environ = {
        "OVERREAD_MODELS__FOLDERS": json.dumps([str(package.parent)]),
        "OVERREAD_MODELS__PACKAGED": "false",
        # Each attempt dies of SIGKILL after its inference, as the kernel's memory guard would end it.
        "OVERREAD_FAULT": "produce.kept-one:kill",
    }
    images = builders.a_ct_series(tmp_path / "ct", slices=12, rows=64, columns=64)
    other = builders.write(builders.a_secondary_capture(study="other"), tmp_path / "capture.dcm")
    with Installation(tmp_path, send_to=[], environ=environ) as installation:

        def analyses() -> list[dict[str, Any]]:
            return [job for job in installation.jobs() if job["kind"] == "analyse"]

        assert installation.send(*images).returncode == 0
        (job,) = until(lambda: [j for j in analyses() if j["state"] == "quarantined"], what="the job is set aside")
        assert job["attempt"] == 3
        assert "signal 9 (SIGKILL)" in job["reason"]
        assert "stage keep" in job["reason"]
        assert "peak memory" in job["reason"]
        # The kernel would have ended a child that runs models before the listener, the broker or any other process.
        # The child that takes the place of the last one may still have to come.
        first = until(lambda: [pid for pid in tree(installation.pid) if is_offered(pid)], what="a child offers itself")
        assert all("--lane analyse" in command_line(pid) for pid in first)
        # The workers live, and take the next study.
        assert installation.send(other).returncode == 0
        until(lambda: [j for j in installation.jobs() if j["state"] == "no-model-applies"], what="the next study ends")
        installation.stop()
    # A person's retry, once the cause is gone, brings it to its end.
    del installation.environ["OVERREAD_FAULT"]
    with installation:
        retried = command("retry", job["job_id"], "--data", str(installation.data), environ=installation.environ)
        assert retried.returncode == 0
        assert "quarantined -> ready" in retried.stdout
        until(lambda: [j for j in analyses() if j["state"] in {"committed", "delivered"}], what="the job ends well")
