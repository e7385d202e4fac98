"""The short form of ``make chaos``: the whole system under load, while everything in it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.chaos.driver import Load, run

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(600)]

SEED = 20
ROUNDS = 6


def test_nothing_acknowledged_is_lost_doubled_or_misfiled(tmp_path: Path) -> None:
    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")

    say(f"seed {SEED}: repeat with `python -m tests.chaos --seed {SEED} --rounds {ROUNDS}`")
    outcomes = run(
        seed=SEED,
        rounds=ROUNDS,
        calm_rounds=1,
        load=Load(senders=4, studies_per_round=5, pace_s=0.3),
        settle_s=240,
        say=say,
        folder=tmp_path,
    )
    assert [outcome.title for outcome in outcomes if outcome.passed] == ["control", "chaos"], "\n".join(
        outcome.table() for outcome in outcomes
    )
    assert sum(outcomes[-1].kills.values()) == ROUNDS
