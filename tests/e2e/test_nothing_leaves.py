"""A run under strace: it asks for no address outside of the machine, and writes where it was told to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests import builders
from tests.chaos.toy_model import write_package
from tests.e2e.processes import ROOT

# ONNX Runtime is silent by itself where one of these says that it is CI: the test would see nothing, and prove nothing.
OF_CI = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI", "JENKINS_URL", "BUILD_ID", "TRAVIS", "CIRCLECI")
WRITTEN = re.compile(r'\b(?:openat|open|creat|mkdir|mkdirat|rename\w*)\([^"]*"(?P<path>[^"]+)"(?P<rest>.*)$')


def watched(folder: Path, *arguments: str, environ: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run Python under strace with an environment of its own; also gives the trace of files and network."""
    trace = folder / "trace"
    strace = ["strace", "-f", "--seccomp-bpf", "-s", "300", "-o", str(trace), "-e", "trace=%network,%file"]
    command = [*strace, sys.executable, *arguments]
    mine = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environ}
    assert not set(OF_CI) & set(mine)
    return subprocess.run(command, cwd=ROOT, env=mine, capture_output=True, text=True, check=False, timeout=200), trace


def asked(trace: Path) -> list[str]:
    """Calls that reach for an address outside of the machine, or for a name server."""
    calls = re.findall(r"\b(?:connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET.*", trace.read_text())
    return [call for call in calls if "127.0.0.1" not in call and "::1" not in call]


def written(trace: Path) -> set[str]:
    """Paths that were made or opened for writing."""
    found = set()
    for line in trace.read_text().splitlines():
        call = WRITTEN.search(line)
        if call is None or call["rest"].rstrip().endswith("(No such file or directory)"):
            continue
        if "open" not in line.split("(")[0] or re.search(r"O_WRONLY|O_RDWR|O_CREAT", call["rest"]):
            found.add(call["path"])
    return found


def test_a_run_writes_its_results_and_reaches_for_nobody(tmp_path: Path) -> None:
    write_package(tmp_path / "models")
    builders.a_ct_series(tmp_path / "ct", slices=6, rows=64, columns=64)
    home = tmp_path / "home"
    home.mkdir()
    environ = {
        "HOME": str(home),
        "TMPDIR": str(tmp_path),
        "ORT_DISABLE_TELEMETRY": "0",  # whatever a machine says: nothing may leave
        "OVERREAD_MODELS__FOLDERS": json.dumps([str(tmp_path / "models")]),
        "OVERREAD_MODELS__PACKAGED": "false",
    }
    command = ["-m", "worker.cli", "run", str(tmp_path / "ct"), "--output", str(tmp_path / "out"), "--json"]
    done, trace = watched(tmp_path, *command, environ=environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"], "the model ran"
    assert "onnxruntime_pybind11_state" in trace.read_text()
    assert asked(trace) == []
    assert [path for path in home.rglob("*") if path.is_file()] == []
    elsewhere = {one for one in written(trace) if not one.startswith((str(tmp_path), "/dev/", "/proc/self/"))}
    assert elsewhere == set()


def test_the_watch_sees_a_name_that_is_asked_for_and_a_file_in_the_home(tmp_path: Path) -> None:
    """The addresses are reserved for documentation (RFC 5737): no packet of it is for anybody."""
    program = (
        "import socket, pathlib; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 53));"
        "pathlib.Path.home().joinpath('deviceid').write_text('x')"
    )
    done, trace = watched(tmp_path, "-c", program, environ={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert len(asked(trace)) == 1
    assert str(tmp_path / "deviceid") in written(trace)
