"""``python -m tests.chaos --rounds N --seed S``: the long form of the chaos test."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

from tests.chaos.driver import Load, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="rounds of the chaos (default 40)")
    parser.add_argument("--seed", type=int, default=None, help="repeat the plan of an earlier run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no round after this time")
    parser.add_argument("--control", action="store_true", help="only the control: the same load, nothing is broken")
    parser.add_argument("--control-rounds", type=int, default=3, help="rounds of the control before (default 3)")
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--studies", type=int, default=8, help="new studies in each round (default 8)")
    parser.add_argument(
        "--confirm",
        choices=("no", "read-back", "commitment"),
        default="commitment",
        help="how the worker makes sure that the PACS keeps what it took; without, the PACS never lies",
    )
    parser.add_argument("--settle", type=float, default=900.0, help="longest wait for the end of all work, in seconds")
    parser.add_argument("--folder", type=Path, default=None, help="where the data goes (default: the temporary folder)")
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else secrets.randbelow(1_000_000)
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - began:6.1f}] {text}\n")
        sys.stdout.flush()

    say(f"seed {seed} (repeat with --seed {seed} --rounds {chosen.rounds})")
    outcomes = run(
        seed=seed,
        rounds=0 if chosen.control else chosen.rounds,
        calm_rounds=chosen.control_rounds,
        load=Load(senders=chosen.senders, studies_per_round=chosen.studies),
        settle_s=chosen.settle,
        confirm=chosen.confirm,
        say=say,
        seconds=60 * chosen.minutes,
        folder=chosen.folder,
    )
    return 0 if outcomes and all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
