"""The listener alone, with a store that really syncs, for floods and hostile peers.

    python benchmarks/listener.py serve --port 11112 --spool DIR     # until Ctrl-C; prints counters at the end
    python benchmarks/listener.py flood --tools ../shared/tools/reliability [-n 8] [-m 100] [any option of flood.py]

``flood`` starts a listener in a process of its own, runs flood.py against it and prints what it printed.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def serve(port: int, spool: Path, called: str) -> None:
    """Run a listener until SIGTERM or SIGINT."""
    from tests.integration.intake.folder_store import FolderStore
    from worker.intake.limits import AccessPolicy
    from worker.intake.server import Listener

    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    access = AccessPolicy(require_called_ae_title=called != "ANY")
    listener = Listener(FolderStore(spool), ae_title=called, port=port, access=access)
    listener.start()
    print(f"listening on {listener.address}", flush=True)
    done.wait()
    listener.stop(5)
    print(listener.stats(), flush=True)


def flood(tools: Path, options: list[str]) -> int:
    """Run flood.py against a fresh listener; returns its exit status."""
    with tempfile.TemporaryDirectory(prefix="overread-flood-") as spool:
        command = [sys.executable, __file__, "serve", "--port", "0", "--spool", spool]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            port = server.stdout.readline().rpartition(",")[2].strip(" )\n")
            arguments = ["--port", port, "--called", "OVERREAD", "--pid", str(server.pid), *options]
            return subprocess.call([sys.executable, str(tools / "flood.py"), *arguments])
        finally:
            server.terminate()
            print(server.communicate(timeout=30)[0])


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("serve", "flood"))
    parser.add_argument("--port", type=int, default=11112)
    parser.add_argument("--spool", type=Path)
    parser.add_argument("--called", default="OVERREAD")
    parser.add_argument("--tools", type=Path, default=ROOT.parent / "shared/tools/reliability")
    known, rest = parser.parse_known_args()
    if known.what == "flood":
        return flood(known.tools, rest)
    serve(known.port, known.spool or Path(tempfile.mkdtemp(prefix="overread-listener-")), known.called)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
