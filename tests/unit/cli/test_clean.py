"""``overread clean``: pictures go with their studies, and nothing that is not ours goes at all."""

from __future__ import annotations

import json
import sqlite3
import uuid
from pathlib import Path

from typer.testing import CliRunner

from worker.cli.main import build
from worker.settings.load import validate
from worker.wiring import stores
from worker.wiring.retention import clean


def test_pictures_of_no_job_go_and_other_files_stay(tmp_path: Path) -> None:
    settings = validate({"node": {"data": str(tmp_path / "data")}}, origin="test")
    stores.prepare(settings)
    pictures = settings.node.data / "pictures"
    pictures.mkdir(parents=True)
    left_behind = pictures / f"{uuid.uuid4()}.png"
    others = [pictures / "logo.png", pictures / f"{uuid.uuid4()}.txt"]
    for one in (left_behind, *others):
        one.write_bytes(b"x")
    assert clean(settings, dry_run=True).pictures == 1
    assert left_behind.exists()
    assert clean(settings).pictures == 1
    assert not left_behind.exists()
    assert all(one.exists() for one in others)
    assert clean(settings).pictures == 0


def test_the_site_s_numbers_are_what_retention_gets(tmp_path: Path) -> None:
    storage = {"keep_finished_days": 120, "max_gb": 1.5}
    settings = validate({"node": {"data": str(tmp_path)}, "storage": storage}, origin="test")
    policy = stores.ledger(settings).retention.policy
    assert policy.finished_s == policy.problems_s == 120 * 86400
    assert policy.history_s == 400 * 86400
    assert policy.max_bytes == 1.5 * 2**30


def test_the_command_says_what_went(tmp_path: Path) -> None:
    runner = CliRunner()
    stores.prepare(validate({"node": {"data": str(tmp_path / "data")}}, origin="test"))
    done = runner.invoke(build(), ["clean", "--data", str(tmp_path / "data"), "--dry-run", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["dry_run"] is True
    done = runner.invoke(build(), ["clean", "--data", str(tmp_path / "data")])
    assert done.exit_code == 0
    assert "studies" in done.stdout
    tables = sqlite3.connect(tmp_path / "data" / "overread.sqlite").execute("SELECT name FROM sqlite_master").fetchall()
    assert ("promises",) in tables
