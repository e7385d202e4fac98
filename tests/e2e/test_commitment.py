"""Delivered is not committed: the whole system, its processes and a PACS that is asked for its promise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.chaos.toy_model import NAME, write_package
from tests.e2e.processes import Installation, command, until
from tests.ports import free_port
from worker.demo.pacs import DemoPacs
from worker.domain.result import Destination

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]


def a_study(folder: Path) -> Path:
    builders.a_ct_series(folder, slices=8, rows=64, columns=64)
    return folder


def an_installation(folder: Path, pacs: DemoPacs, port: int, **more: str) -> Installation:
    entry = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port, "storage_commitment": True}
    write_package(folder / "models")
    environ = {
        "OVERREAD_DESTINATIONS": json.dumps([entry]),
        "OVERREAD_MODELS__FOLDERS": json.dumps([str(folder / "models")]),
        "OVERREAD_MODELS__ENABLED": json.dumps([NAME]),
        **more,
    }
    return Installation(folder, send_to=[], port=port, environ=environ)


def send(installation: Installation, folder: Path) -> None:
    assert installation.send(folder).returncode == 0


def analyses(installation: Installation, state: str) -> list[dict[str, Any]]:
    return [job for job in installation.jobs() if job["kind"] == "analyse" and job["state"] == state]


def test_a_job_is_committed_by_the_promise_and_goes_when_it_is_old(tmp_path: Path) -> None:
    port = free_port()
    us = Destination("overread", "OVERREAD", "127.0.0.1", port)
    with (
        DemoPacs(tmp_path / "pacs", ae_title="PACS", peers=[us]) as pacs,
        an_installation(tmp_path, pacs, port) as installation,
    ):
        send(installation, a_study(tmp_path / "study"))
        (job,) = until(lambda: analyses(installation, "committed"), what="the PACS has promised")
        assert job["reason"] == "safe-keeping promised by 1 destination(s)"
        shown = installation.json("show", job["job_id"])
        (asked,) = shown["commitments"]
        assert asked["outcome"] == "reported: 2 of 2 object(s) confirmed"
        assert Path(shown["picture"]).is_file()
        assert installation.json("clean", "--dry-run")["studies"] == []
        old = {**installation.environ, "OVERREAD_STORAGE__KEEP_FINISHED_DAYS": "0.000001"}
        data = ("--data", str(installation.data), "--json")

        def would_go() -> dict[str, Any]:
            would: dict[str, Any] = json.loads(command("clean", "--dry-run", *data, environ=old).stdout)
            return would if would["studies"] else {}

        would = until(would_go, what="the study is older than the site keeps it")
        assert (len(would["studies"]), would["instances"], would["pictures"]) == (1, 8, 1)
        assert Path(shown["picture"]).is_file()
        gone = json.loads(command("clean", *data, environ=old).stdout)
        assert gone["studies"] == [job["study_instance_uid"]]
        assert not Path(shown["picture"]).exists()
        assert list((installation.data / "spool" / "objects").rglob("*.dcm")) == []
        assert analyses(installation, "committed") == [job]  # who asks later still learns what happened


def test_a_promise_that_comes_after_kill_9_counts(tmp_path: Path) -> None:
    port = free_port()
    us = Destination("overread", "OVERREAD", "127.0.0.1", port)
    with DemoPacs(tmp_path / "pacs", ae_title="PACS", peers=[us], commitment_delay_s=6.0) as pacs:
        installation = an_installation(tmp_path, pacs, port).start()
        try:
            send(installation, a_study(tmp_path / "study"))
            (job,) = until(lambda: analyses(installation, "delivered"), what="the results are delivered")
            until(lambda: installation.json("show", job["job_id"])["commitments"], what="the PACS is asked")
            until(lambda: pacs._commitments._threads, what="it has taken the request: it will report")
            installation.kill()
            installation.start()
            until(lambda: analyses(installation, "committed"), what="the PACS has promised")
            assert len(installation.json("show", job["job_id"])["commitments"]) == 1
        finally:
            installation.stop()
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
