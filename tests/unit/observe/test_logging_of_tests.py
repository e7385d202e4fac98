"""A command that runs inside a test, or in a fixture of a whole module, takes no log from the tests after it."""

from __future__ import annotations

import logging

import pytest

from worker.observe import logs

log = logging.getLogger("worker.observe.of_tests")


@pytest.fixture(scope="module", autouse=True)
def _a_command_ran() -> None:
    logs.configure(level="ERROR")


@pytest.mark.parametrize("number", [1, 2])
def test_warnings_are_heard(caplog: pytest.LogCaptureFixture, number: int) -> None:
    log.warning("heard-%d", number)
    assert caplog.messages == [f"heard-{number}"]
    logs.configure(level="CRITICAL")
