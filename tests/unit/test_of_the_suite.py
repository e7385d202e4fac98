"""The suite's own rules, on one process and on several: nothing is skipped in silence, a file goes to one worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEVERAL = ["-n", "2"]


def run(folder: Path, program: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run tests under the rules of this suite."""
    for number in range(3):
        (folder / f"test_{number}.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TESTS_"))}
    environ = {**kept, "PYTHONPATH": str(ROOT), **environ}
    command += [word for name in ("hypothesispytest", "pytest_cov", "anyio") for word in ("-p", f"no:{name}")]
    command += ["--rootdir", str(folder), "-c", str(ROOT / "pyproject.toml"), str(folder)]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", [[], SEVERAL], ids=["alone", "several"])
def test_a_skipped_test_fails_where_nothing_may_be_skipped(tmp_path: Path, workers: list[str]) -> None:
    program = "import pytest\ndef test_it():\n    pytest.skip('why not')\n"
    forgiven, forbidden = (run(tmp_path, program, *workers, **more) for more in ({}, {"TESTS_NO_SKIP": "1"}))
    assert (forgiven.returncode, forbidden.returncode) == (0, 1), forbidden.stdout + forbidden.stderr
    assert "3 skipped" in forbidden.stdout


@pytest.mark.parametrize("workers", [[], SEVERAL], ids=["alone", "several"])
def test_a_server_that_is_missing_is_named(tmp_path: Path, workers: list[str]) -> None:
    program = "import pytest\n@pytest.mark.dcmtk\ndef test_a():\n    assert False\ndef test_b():\n    pass\n"
    nowhere = {"PATH": str(tmp_path)}
    left_out = run(tmp_path, program, *workers, **nowhere)
    assert left_out.returncode == 0, left_out.stdout + left_out.stderr
    assert "3 passed" in left_out.stdout
    refused = run(tmp_path, program, *workers, **nowhere, TESTS_NO_SKIP="1")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "dcmtk" in refused.stderr


def test_a_file_is_run_by_one_worker_and_its_fixtures_are_made_once(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, pytest\n"
        "@pytest.mark.parametrize('n', range(10))\n"
        "def test_it(n):\n"
        "    with pathlib.Path(__file__).with_suffix('.pids').open('a') as file:\n"
        "        file.write(f'{os.getpid()}\\n')\n"
    )
    done = run(tmp_path, program, *SEVERAL)
    assert done.returncode == 0, done.stdout + done.stderr
    by_file = [set(path.read_text().split()) for path in tmp_path.glob("*.pids")]
    assert [len(pids) for pids in by_file] == [1, 1, 1]
    assert len(set.union(*by_file)) == 2
