"""A listener alone in a process of its own: ``python -m tests.integration.intake.serve --port 0 --spool DIR``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from tests.integration.intake.folder_store import FolderStore
from worker.intake.association.access_policy import AccessPolicy
from worker.intake.association.server import Listener
from worker.observe import logs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--spool", type=Path, required=True)
    parser.add_argument("--called", default="OVERREAD")
    chosen = parser.parse_args()
    logs.configure(level="DEBUG")
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    access = AccessPolicy(require_called_ae_title=chosen.called != "ANY")
    listener = Listener(FolderStore(chosen.spool), ae_title=chosen.called, port=chosen.port, access=access)
    listener.start()
    sys.stdout.write(f"listening on {listener.address}\n")
    sys.stdout.flush()
    done.wait()
    listener.stop(5)


if __name__ == "__main__":
    main()
