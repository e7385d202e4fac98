"""The Dockerfile and what it is built from, without an engine."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.unit.deploy.deployed import DEPLOY, ROOT, assert_command_exists

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
STAGES = re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)[1:]


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{Path('/usr/local/bin')}")
    assert hadolint
    done = subprocess.run([hadolint, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_runs_as_somebody_and_the_build_tools_stay_behind() -> None:
    build, final = STAGES
    assert "pip install" in build
    assert "pip install" not in final
    (user,) = re.findall(r"^USER (\d+):(\d+)$", final, re.MULTILINE)
    assert "0" not in user
    assert final.index("USER ") < final.index("ENTRYPOINT")


def test_nothing_in_it_reports_to_a_maker() -> None:
    assert re.search(r"^ +ORT_DISABLE_TELEMETRY=1 ", STAGES[-1], re.MULTILINE)


def test_what_is_copied_exists_and_reaches_the_build() -> None:
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert _in_context(source), f".dockerignore keeps {source} out"


def test_nothing_else_reaches_the_build() -> None:
    for name in (".git", "tests", "docs", "deploy/compose.env", "deploy/compose.env.example", ".venv", "demo-output"):
        assert not _in_context(name)


def test_its_commands_exist() -> None:
    (default,) = re.findall(r'^CMD \["(\w+)"\]$', DOCKERFILE, re.MULTILINE)
    assert_command_exists([default])
    (check,) = re.findall(r"^\s+CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    program, *arguments = [part.strip(' "') for part in check.split(",")]
    assert program == "overread"
    assert_command_exists(arguments)
    entrypoint = re.findall(r'^ENTRYPOINT \["(\w+)"\]$', DOCKERFILE, re.MULTILINE)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert entrypoint == list(scripts)


def test_every_dependency_is_pinned_to_a_version_that_will_do() -> None:
    pinned = _pinned()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in project["dependencies"]:
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        assert name in pinned, f"deploy/constraints.txt lacks {name}"
        assert wanted.specifier.contains(pinned[name], prereleases=True), f"{name} {pinned[name]} is not {wanted}"


def test_no_torch() -> None:
    assert not {"torch", "onnx", "safetensors", "torchvision", "triton"} & set(_pinned())


def _pinned() -> dict[str, Version]:
    lines = (DEPLOY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def _in_context(name: str) -> bool:
    """Docker's rule: the last line that matches the path, or a folder above it, decides."""
    kept = True
    parents = ["/".join(name.split("/")[: n + 1]) for n in range(name.count("/") + 1)]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        if any(fnmatch.fnmatchcase(parent, pattern) for parent in parents):
            kept = line.startswith("!")
    return kept
