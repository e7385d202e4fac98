from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.pipeline.fakes import a_job, an_instance
from worker.cli import console
from worker.cli.options import overrides, parse_destination
from worker.domain.errors import (
    ConfigurationError,
    IdentityError,
    LeaseLostError,
    NotApplicableError,
    OverreadError,
    PermanentError,
    TransientError,
)
from worker.settings import load


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 78),
        (TransientError("x"), 75),
        (PermanentError("x"), 65),
        (IdentityError("x"), 65),
        (NotApplicableError("x"), 65),
        (LeaseLostError("x"), 1),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(error: OverreadError, code: int) -> None:
    with pytest.raises(SystemExit) as ended, console.reporting():
        raise error
    assert ended.value.code == code


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), console.reporting():
        raise ZeroDivisionError


def test_json_shows_no_patient() -> None:
    text = json.dumps(console.plain({"job": a_job(), "instance": an_instance()}))
    assert "Doe" not in text
    assert "19700101" not in text
    assert "job-1" in text
    assert an_instance().sop_instance_uid in text


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d"), (-5, "0 s")]
)
def test_ages_are_short(seconds: float, said: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert console.age(now - timedelta(seconds=seconds), now) == said


def test_a_destination_is_read_or_explained() -> None:
    found = parse_destination("MY PACS@10.0.0.1:104")
    assert (found.name, found.ae_title, found.host, found.port) == ("MY-PACS", "MY PACS", "10.0.0.1", 104)
    for wrong in ("PACS", "PACS@host", "PACS@host:0", "PACS@host:99999", "A TITLE THAT IS TOO LONG@h:1"):
        with pytest.raises(ConfigurationError, match="AET@host:port"):
            parse_destination(wrong)


def test_options_reach_child_processes_as_configuration(tmp_path: Path) -> None:
    changes = overrides(
        data=tmp_path, ae_title="ME", bind="127.0.0.1", port=104, send_to=["A@h:1", "B@h:2"], flower=False
    )
    settings = load(environ=changes)
    assert settings.node.data == tmp_path
    assert settings.node.ae_title == "ME"
    assert settings.listener.port == 104
    assert [entry.name for entry in settings.destinations] == ["A", "B"]
    assert settings.flower.enabled is False
