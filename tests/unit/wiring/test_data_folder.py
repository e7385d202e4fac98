"""Where an installation lives: through links, and never made by a command that only asks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.ports import free_port
from worker.broker.embedded import EmbeddedRedis
from worker.cli.main import build
from worker.deliver.echo import c_echo
from worker.domain.errors import ConfigurationError
from worker.domain.result import Destination
from worker.settings import Settings
from worker.settings.load import validate
from worker.store.spool.data_folder import check_owner, make_data_folder
from worker.wiring import stores
from worker.wiring.listener import build_listener


def settings_in(data: Path, port: int = 11112) -> Settings:
    return validate({"node": {"data": str(data)}, "listener": {"port": port}}, origin="test")


@pytest.mark.parametrize("linked", ["data", "data/spool", "data/broker"])
def test_what_lies_behind_a_link_is_used_as_if_it_lay_there(tmp_path: Path, linked: str) -> None:
    elsewhere = tmp_path / "large-disk"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / linked).parent.mkdir(exist_ok=True, mode=0o700)
    (tmp_path / linked).symlink_to(elsewhere, target_is_directory=True)
    settings = settings_in(tmp_path / "data", free_port())
    make_data_folder(settings)
    served = build_listener(settings)
    served.start()
    try:
        us = Destination("us", settings.node.ae_title, "127.0.0.1", served.port)
        assert c_echo(us, calling_ae_title="PACS").ok
        with EmbeddedRedis(settings.node.data / "broker") as broker:
            assert broker.is_answering()
    finally:
        served.stop(grace_s=0)
    assert stores.queries(settings).counts().instances == 0
    assert any(elsewhere.iterdir())


@pytest.mark.parametrize("missing", ["data", "parent/data"])
def test_a_link_to_a_disk_that_is_not_mounted_is_no_data_folder(tmp_path: Path, missing: str) -> None:
    """Made in its place, a folder on the wrong disk would take the studies until it is full."""
    (tmp_path / missing.partition("/")[0]).symlink_to(tmp_path / "not-mounted" / "overread")
    with pytest.raises(ConfigurationError, match="leads nowhere") as refused:
        make_data_folder(settings_in(tmp_path / missing))
    assert refused.value.code == "data-folder-unusable"
    assert not (tmp_path / "not-mounted").exists()


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigurationError, match="is no folder"):
        make_data_folder(settings_in(tmp_path / "data"))


STUDY = "1.2.826.0.1.3680043.10.1339.1"


@pytest.mark.parametrize(
    "command",
    [
        ["jobs"],
        ["jobs", "--state", "quarantined"],
        ["show", "abc"],
        ["view", "abc"],
        ["explain", STUDY],
        ["retry", "abc"],
        ["cancel", "abc"],
        ["rerun", STUDY],
        ["clean"],
    ],
    ids=lambda one: " ".join(one[:2]),
)
def test_a_command_that_asks_makes_no_installation_and_says_where_it_looked(tmp_path: Path, command: list[str]) -> None:
    done = CliRunner().invoke(build(), [*command, "--data", str(tmp_path / "data")])
    assert done.exit_code == 78
    said = " ".join(done.output.split())
    assert "no-installation" in said
    assert "--data" in said
    assert not (tmp_path / "data").exists()


def test_doctor_says_that_there_is_none_and_makes_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(build(), ["doctor", "--data", str(tmp_path / "data")])
    assert done.exit_code == 1
    assert "is not there" in " ".join(done.output.split())
    assert not (tmp_path / "data").exists()


def test_an_installation_that_has_received_nothing_says_which_one_it_is(tmp_path: Path) -> None:
    stores.prepare(settings_in(tmp_path / "data"))
    done = CliRunner().invoke(build(), ["jobs", "--data", str(tmp_path / "data")])
    assert done.exit_code == 0
    assert f"No jobs yet in {tmp_path / 'data'}" in done.output
    done = CliRunner().invoke(build(), ["jobs", "--data", str(tmp_path / "data"), "--state", "failed"])
    assert "No such jobs in" in done.output


@pytest.mark.parametrize("made", ["overread.sqlite", "spool"])
def test_the_folder_of_another_user_is_not_touched(tmp_path: Path, made: str) -> None:
    settings = settings_in(tmp_path)
    check_owner(settings, user_id=os.geteuid() + 1)  # nothing is in it yet
    (tmp_path / made).touch()
    check_owner(settings)
    with pytest.raises(ConfigurationError, match="belongs to another user") as refused:
        check_owner(settings, user_id=os.geteuid() + 1)
    assert refused.value.code == "data-folder-of-another-user"
    assert "sudo -u" in refused.value.next_step
