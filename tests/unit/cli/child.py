"""A child for the tests of the supervisor: ``python -m tests.unit.cli.child WHAT FILE``."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from worker.cli.processes import Processes, end_with_parent, say_ready


def main() -> None:
    what, said = sys.argv[1], Path(sys.argv[2])
    if what == "parent":
        Processes(environment=os.environ).add("child", "stay", str(said), module="tests.unit.cli.child")
        time.sleep(120)
    end_with_parent()
    if what == "config":
        sys.exit(os.EX_CONFIG)
    if what == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with said.open("a") as stream:
        stream.write(f"{os.getpid()}\n")
    if what == "serve":
        say_ready()
    time.sleep(120)


if __name__ == "__main__":
    main()
