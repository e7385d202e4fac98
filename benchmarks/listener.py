"""How fast instances are received, durably, beside DCMTK's storescp (which syncs nothing) in the same run.

``python -m benchmarks.listener [--senders 8] [--instances 100]`` sends the same files by DCMTK's storescu, from several
senders at once, to both, and prints one JSON object: instances per second, and the ratio.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import builders

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, environ: dict[str, str] | None = None) -> Iterator[None]:
    server = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(30)


def seconds_to_send(folders: list[Path], port: int) -> float:
    """All senders at once; raises CalledProcessError when one instance was not taken."""
    began = time.perf_counter()
    command = ["storescu", "-aet", "BENCH", "-aec", "OVERREAD", "+sd", "127.0.0.1", str(port)]
    senders = [subprocess.Popen([*command, str(folder)], stderr=subprocess.DEVNULL) for folder in folders]
    for sender in senders:
        if sender.wait(300):
            raise subprocess.CalledProcessError(sender.returncode, command)
    return time.perf_counter() - began


def measure(*, senders: int, instances: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="overread-bench-") as name:
        work = Path(name)
        folders = [work / f"sender-{number}" for number in range(senders)]
        for number, folder in enumerate(folders):
            builders.a_ct_series(
                folder, slices=instances, rows=128, columns=128, study=f"study-{number}", series=f"series-{number}"
            )
        rates = {}
        port = free_port()
        (work / "dcmtk").mkdir()
        storescp = shutil.which("storescp")
        if storescp is None:
            raise SystemExit("storescp (DCMTK) is missing: it is the peer of this benchmark")
        with serving([storescp, "--fork", "-aet", "OVERREAD", "-od", str(work / "dcmtk"), str(port)], port):
            rates["storescp"] = senders * instances / seconds_to_send(folders, port)
        port = free_port()
        environ = {
            "PATH": "/usr/bin:/bin",
            "OVERREAD_NODE__DATA": str(work / "overread"),
            "OVERREAD_LISTENER__PORT": str(port),
        }
        with serving([sys.executable, "-m", "worker.cli", "listen"], port, environ):
            rates["overread"] = senders * instances / seconds_to_send(folders, port)
    return {
        "senders": senders,
        "instances_each": instances,
        "instances_per_s": {name: round(rate, 1) for name, rate in rates.items()},
        "overread_over_storescp": round(rates["overread"] / rates["storescp"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--instances", type=int, default=100)
    chosen = parser.parse_args()
    sys.stdout.write(json.dumps(measure(senders=chosen.senders, instances=chosen.instances), indent=1) + "\n")


if __name__ == "__main__":
    main()
