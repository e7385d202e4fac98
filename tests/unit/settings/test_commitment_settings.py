"""A site that promises must be able to keep it: said in the configuration, and checked before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.domain.errors import ConfigurationError
from worker.domain.result import Destination
from worker.settings import Settings, load
from worker.wiring.background_work import background_tasks
from worker.wiring.commitment import listening
from worker.wiring.stores import ledger

REQUESTER = '[[listener.commitment_requesters]]\nae_title = "CT1"\nhost = "192.0.2.5"\nport = 104\n'
OFFER = "[listener]\noffer_storage_commitment = true\n"


def settings(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "overread.toml"
    path.write_text(f'[node]\ndata = "{tmp_path}/data"\n{text}', encoding="utf-8")
    return load(path, environ={})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OFFER + REQUESTER, "needs storage.retention_days"),
        (OFFER + REQUESTER + "[storage]\nretention_days = 31\n", "keep_finished_days (30) is less than"),
        (OFFER + "[storage]\nretention_days = 10\n", "needs listener.commitment_requesters"),
        (OFFER + REQUESTER * 2 + "[storage]\nretention_days = 10\n", "an ae_title is used twice"),
        (REQUESTER.replace("CT1", "A TITLE THAT IS TOO LONG"), "commitment_requesters.0.ae_title"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(tmp_path, text)
    assert said in str(caught.value)


def test_a_promise_that_can_be_kept(tmp_path: Path) -> None:
    found = settings(tmp_path, OFFER + REQUESTER + "[storage]\nretention_days = 30\n")
    (requester,) = found.listener.commitment_requesters
    assert requester.to_domain() == Destination("CT1", "CT1", "192.0.2.5", 104)
    assert {one.name for one in background_tasks(found)} == {"commitments", "promise-CT1", "retention"}
    assert listening(found) is not None


def test_nothing_is_asked_or_promised_by_default(tmp_path: Path) -> None:
    found = settings(tmp_path, "")
    assert listening(found) is None
    assert {one.name for one in background_tasks(found)} == {"commitments", "retention"}


def test_each_destination_that_confirms_is_asked_by_itself(tmp_path: Path) -> None:
    text = "".join(
        f'[[destinations]]\nname = "{name}"\nae_title = "{name}"\nhost = "h"\nport = 1\n{more}\n'
        for name, more in (("A", "storage_commitment = true"), ("B", "read_back = true"), ("C", ""))
    )
    found = settings(tmp_path, text)
    assert {one.name for one in background_tasks(found)} == {"commitments", "confirm-A", "confirm-B", "retention"}
    assert ledger(found).committing == {"A", "B"}
