"""A worker whose use-cases write down what they were called with: ``python -m ... BROKER_URL FILE``."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from worker.observe import logs
from worker.tasks import program
from worker.tasks.app import BrokerOptions, make_app
from worker.tasks.lanes import Lane
from worker.tasks.stopping import ParentStop
from worker.tasks.work import at_child_start, register, worker_name

PARENT = os.getpid()


class Writes:
    """One use-case."""

    def __init__(self, name: str, said: Path) -> None:
        self._name, self._said = name, said

    def run(self, id_: str, *, worker: str) -> None:
        with self._said.open("a") as stream:
            stream.write(f"{self._name} {id_}\n")
        if (held := self._said.with_name(id_)).is_fifo():  # takes until somebody writes there
            held.read_text()
            held.unlink()


class UseCases:
    """All three."""

    def __init__(self, said: Path) -> None:
        self.route, self.analyse, self.deliver = (Writes(name, said) for name in ("route", "analyse", "deliver"))


def prepare(said: Path) -> None:
    """A warm-up that never ends: tasks must not wait for it."""
    with said.open("a") as stream:
        stream.write(f"prepared {os.getpid() != PARENT}\n")
    threading.Event().wait()


def main() -> None:
    url, said = sys.argv[1], Path(sys.argv[2])
    app = make_app(BrokerOptions(url, deadline_s=60))
    register(app, lambda: UseCases(said), lambda *_args, **_kwargs: None)
    at_child_start(lambda: prepare(said))
    logs.configure(style="json", process="worker")
    program.run(app, list(Lane), concurrency=1, stop=ParentStop(worker_name, len, len))


if __name__ == "__main__":
    main()
