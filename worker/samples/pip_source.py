"""Fetch a pinned archive with pip, so that the site's own mirror, proxy and certificates apply."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from worker.samples import sdist_backend
from worker.samples.archives import Archive
from worker.samples.errors import DownloadError

_TIMEOUT_S = 1800  # 40 MB on a slow hospital line; pip itself gives up much earlier on a dead one


def pip_download(archive: Archive, directory: Path) -> None:
    """Download exactly `archive` into `directory`; the caller checks its hash.

    Raises
    ------
    DownloadError
        With pip's last words; `obtain` adds what to do.
    """
    with tempfile.TemporaryDirectory(prefix="overread-sdist-") as scratch:
        command, environment = _invocation(archive, directory, Path(scratch))
        try:
            done = subprocess.run(  # a fixed command and a pinned requirement, no shell
                command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise _refusal(archive, f"pip did not finish in {_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise _refusal(archive, _last_words(done.stderr or done.stdout))


def _invocation(archive: Archive, directory: Path, scratch: Path) -> tuple[list[str], Mapping[str, str]]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--ignore-requires-python", "--dest", str(directory)]
    environment = dict(os.environ)
    if archive.kind == "wheel":
        command += ["--only-binary", ":all:"]
    else:
        command += ["--no-binary", ":all:", "--no-build-isolation"]
        environment |= _metadata_only_environment(scratch)
    return [*command, archive.requirement], environment


def _metadata_only_environment(scratch: Path) -> dict[str, str]:
    """Environment in which pip meets our backend instead of the archive's build (see `sdist_backend`)."""
    package = scratch / "setuptools"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copyfile(str(sdist_backend.__file__), package / "build_meta.py")
    path = [str(scratch), *filter(None, [os.environ.get("PYTHONPATH")])]
    # By environment, not by flag: pip ignores an unknown variable but refuses an unknown flag,
    # and the flag has changed between its versions.
    return {"PYTHONPATH": os.pathsep.join(path), "PIP_USE_PEP517": "1"}


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return "this Python has no pip (try: python -m ensurepip)"
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["pip gave no reason"])[-1].removeprefix("ERROR: ").rstrip(".")


def _refusal(archive: Archive, reason: str) -> DownloadError:
    return DownloadError(f"{archive.requirement} could not be fetched: {reason}.")
