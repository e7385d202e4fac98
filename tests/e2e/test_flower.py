"""Flower shows tasks by stage and model, behind a login, and no patient."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests import builders
from tests.e2e.processes import Installation, free_port, overread, until

pytestmark = [pytest.mark.timeout(300)]


def test_flower_shows_what_ran_to_those_who_may_see_it(tmp_path: Path) -> None:
    port = free_port()
    environ = {"OVERREAD_FLOWER__ENABLED": "true", "OVERREAD_FLOWER__PORT": str(port)}
    image = builders.write(builders.a_ct_slice(), tmp_path / "slice.dcm")
    with Installation(tmp_path, send_to=[], environ=environ) as installation:
        secret = installation.data / "flower-password"

        def ask(path: str, *, user: str = "") -> tuple[int, str]:
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
            if user:
                request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, ""
            except (urllib.error.URLError, ConnectionError):
                return 0, ""

        until(lambda: ask("/")[0], what="Flower answers", wait_s=90)
        assert ask("/")[0] == 401
        assert ask("/api/tasks")[0] == 401
        assert secret.stat().st_mode & 0o077 == 0
        user = f"overread:{secret.read_text().strip()}"
        until(lambda: ask("/", user=user)[0] == 200, what="Flower lets us in")
        to = f"OVERREAD@127.0.0.1:{installation.port}"
        assert overread("send", str(image), "--to", to, environ=installation.environ).returncode == 0
        tasks = until(lambda: json.loads(ask("/api/tasks", user=user)[1] or "{}"), what="a task is shown")
        (task,) = tasks.values()
        assert task["name"] == "route"
        (job,) = installation.jobs()
        assert job["job_id"] in task["args"]
        shown = json.dumps(tasks)
        assert builders.ADA.patient_id not in shown
