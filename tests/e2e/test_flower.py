"""Flower tells the truth: behind a login, what work came to and nothing else, also after it was killed; no patient."""

from __future__ import annotations

import base64
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.chaos.toy_model import NAME, write_package
from tests.e2e.processes import Installation, tree, until
from tests.ports import free_port
from worker.broker.embedded import EmbeddedRedis
from worker.domain.job import JobId, JobKind
from worker.domain.work import DueWork
from worker.tasks.app import BrokerOptions, make_app
from worker.tasks.publisher import CeleryPublisher

pytestmark = [pytest.mark.timeout(300)]

ADDRESSES = (
    "/", "/workers", "/worker/x", "/tasks", "/tasks/datatable", "/task/x", "/broker", "/metrics", "/healthcheck",
    "/api/tasks", "/api/workers", "/api/task/info/x", "/api/queues/length", "/static/css/flower.css", "/login",
    "/logout", "/nowhere",
)  # fmt: skip


class Site:
    def __init__(self, installation: Installation, port: int) -> None:
        self.installation = installation
        self._port = port
        self.secret = installation.data / "flower-password"

    def ask(self, path: str, *, user: str = "", method: str = "GET", authorization: str = "") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", method=method)
        if user or authorization:
            request.add_header("Authorization", authorization or "Basic " + base64.b64encode(user.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except (urllib.error.URLError, ConnectionError):
            return 0, ""

    @property
    def user(self) -> str:
        return f"overread:{self.secret.read_text().strip()}"

    def tasks(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = json.loads(self.ask("/api/tasks", user=self.user)[1] or "{}")
        return found

    def states(self) -> list[tuple[str, str]]:
        return sorted((task["name"], task["state"]) for task in self.tasks().values())

    def pid(self) -> int:
        assert self.installation.process is not None
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in tree(self.installation.process.pid)}
        return next(pid for pid, command in commands.items() if command.endswith(b"\0flower\0"))

    def publish(self, job_id: str) -> None:
        options = BrokerOptions(EmbeddedRedis(self.installation.data / "broker").url)
        CeleryPublisher(make_app(options), options).publish(DueWork(JobId(job_id), None, JobKind.ROUTE, "route", 5))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A study that no model wants, one of two patients, and one whose analysis kills its worker."""
    folder, port = tmp_path_factory.mktemp("flower"), free_port()
    write_package(folder / "models")
    environ = {
        "OVERREAD_FLOWER__ENABLED": "true",
        "OVERREAD_FLOWER__PORT": str(port),
        "OVERREAD_MODELS__FOLDERS": json.dumps([str(folder / "models")]),
        "OVERREAD_MODELS__ENABLED": json.dumps([NAME]),
        "OVERREAD_WORK__MAX_ATTEMPTS": "1",
        "OVERREAD_FAULT": "produce.kept-one:kill",
    }
    images = [*builders.a_ct_series(folder / "ct", slices=8, rows=64, columns=64)]
    one = builders.a_ct_slice(study="two")
    same = {"StudyInstanceUID": one.StudyInstanceUID, "SeriesInstanceUID": one.SeriesInstanceUID}
    other = builders.a_ct_slice(patient=builders.BEN, attributes=same)
    others = [builders.a_secondary_capture(study="capture"), one, other]
    images += [builders.write(one, folder / f"{number}.dcm") for number, one in enumerate(others)]
    with Installation(folder, send_to=[], environ=environ) as installation:
        assert installation.send(*images).returncode == 0
        site = Site(installation, port)
        until(lambda: site.ask("/")[0] == 401, what="Flower answers", wait_s=90)
        yield site


@pytest.mark.parametrize("path", ADDRESSES)
def test_every_address_asks_for_the_login(site: Site, path: str) -> None:
    assert site.ask(path)[0] == 401
    for method in ("POST", "OPTIONS", "HEAD", "PUT"):
        assert site.ask(path, method=method)[0] == 401
    for wrong in ("overread:", "overread:wrong", f"{site.user}x", "é:ü"):
        assert site.ask(path, user=wrong)[0] == 401
    for broken in ("Basic", "Basic !!", "Bearer x"):
        assert site.ask(path, authorization=broken)[0] == 401


def test_it_shows_what_work_came_to_and_remembers_it_when_it_is_killed(site: Site) -> None:
    expected = [
        ("analyse chaos-ct 1.0.0", "FAILURE"),  # its worker died, and the job is set aside
        ("route", "FAILURE"),  # two patients in one study
        ("route", "SUCCESS"),
        ("route", "SUCCESS"),
    ]
    until(lambda: site.states() == expected, what="each attempt is a task in the state of its work")
    tasks = site.tasks()
    for task in tasks.values():
        assert (task["result"] is not None) is (task["state"] == "SUCCESS")
    assert {"'no-model-applies'", "'routed'"} <= {task["result"] for task in tasks.values()}
    said = " ".join(str(task["exception"]) for task in tasks.values())
    assert "quarantined" in said
    assert "SIGKILL" in said
    jobs = {job["job_id"] for job in site.installation.jobs()}
    assert {task["args"].strip("[]'") for task in tasks.values()} == jobs
    # Messages that find nothing to do are no tasks; one more study says when they are through.
    for job_id in jobs:
        site.publish(job_id)
    capture = builders.write(builders.a_secondary_capture(study="later"), site.installation.data.parent / "later.dcm")
    assert site.installation.send(capture).returncode == 0
    until(lambda: len(site.tasks()) > 4, what="the next study is shown")
    assert site.states() == sorted([*expected, ("route", "SUCCESS")])
    # Killed, it still knows.
    before = site.tasks()
    os.kill(site.pid(), signal.SIGKILL)
    until(lambda: site.ask("/")[0] == 0, what="Flower is gone")
    until(lambda: site.ask("/", user=site.user)[0] == 200, what="Flower is back")
    after = site.tasks()
    told = ("name", "state", "args", "result", "exception", "received", "started", "timestamp", "worker")
    assert {uuid: [task[name] for name in told] for uuid, task in after.items()} == {
        uuid: [task[name] for name in told] for uuid, task in before.items()
    }
    assert {json.loads(line)["process"] for line in site.installation.log.read_text().splitlines()} >= {"flower"}
    # It sees its workers by their events alone, and nobody else's files.
    until(lambda: "analyse-" in site.ask("/workers", user=site.user)[1], what="workers are shown")
    assert builders.ADA.patient_id not in json.dumps(after)
    data = site.installation.data
    assert data.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in data.glob("flower*")} == {
        "flower-history.jsonl": 0o600,
        "flower-password": 0o600,
    }
