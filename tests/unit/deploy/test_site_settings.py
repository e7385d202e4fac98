"""The examples that a site starts from are valid configurations, and name what exists."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

import pytest

from tests.unit.deploy.deployed import DEPLOY, ROOT, assert_command_exists
from worker.settings import load

EXAMPLES = sorted(DEPLOY.rglob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_the_example_loads(path: Path) -> None:
    settings = load(path, environ={})
    assert settings.destinations
    for rule in settings.rules:
        assert (ROOT / "models" / rule.model).is_dir(), f"{path}: there is no model {rule.model!r}"


def test_the_example_shows_rules_and_two_destinations() -> None:
    settings = load(DEPLOY / "overread.toml", environ={})
    assert len(settings.destinations) == 2
    assert {rule.model for rule in settings.rules} == {"lungs-airways-ct", "brain-mr-t1"}


def test_orthanc_routes_images_only_and_keeps_no_password() -> None:
    text = (DEPLOY / "orthanc" / "orthanc.json").read_text(encoding="utf-8")
    orthanc = json.loads(text)
    assert set(orthanc["RegisteredUsers"].values()) == {"${ORTHANC_PASSWORD}"}
    assert orthanc["AuthenticationEnabled"] is True
    assert orthanc["ExecuteLuaEnabled"] is False
    assert not {"SEG", "SR", "KO", "PR"} & set(orthanc["Overread"]["Route"])
    # The Lua keeps its count under this name.
    assert all(number >= 1024 for number in orthanc["UserMetadata"].values())
    lua = (DEPLOY / "orthanc" / "autoroute.lua").read_text(encoding="utf-8")
    (mark,) = re.findall(r"^local MARK = '(\w+)'$", lua, re.MULTILINE)
    assert mark in orthanc["UserMetadata"]


def test_the_systemd_unit_starts_what_exists() -> None:
    unit = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "systemd" / "overread.service", encoding="utf-8")
    service = unit["Service"]
    program, *arguments = service["ExecStart"].split()
    assert program.endswith("/overread")
    assert_command_exists(arguments)
    assert service["User"] not in {"", "root"}
    assert service["NoNewPrivileges"] == "yes"
    assert service["RestartPreventExitStatus"] == "78"
    assert service["ProtectSystem"] == "strict"


def test_the_systemd_unit_lets_nothing_report_to_a_maker() -> None:
    text = (DEPLOY / "systemd" / "overread.service").read_text(encoding="utf-8")
    assert "Environment=ORT_DISABLE_TELEMETRY=1" in text.splitlines()
