"""What the tests of ``deploy/`` share: the repository, the commands that exist, and how settings are loaded there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer.main
import yaml

from worker.cli.main import build
from worker.settings import Settings, load

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
SECRET = "x7d1f0a94c2b8e653"  # noqa: S105 - stands where a site's password stands


def documents(path: Path) -> list[Any]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one is not None]


def assert_command_exists(arguments: Sequence[str]) -> None:
    """Parse an ``overread`` command line with the real command line, without running it."""
    command: Any = typer.main.get_command(build())
    rest = list(arguments)
    while hasattr(command, "commands"):
        assert rest, f"overread {' '.join(arguments)} names no command"
        name = rest.pop(0)
        if name.startswith("--"):  # an option of overread itself, such as --version
            assert any(name in parameter.opts for parameter in command.params), f"there is no option {name}"
            return
        assert name in command.commands, f"overread {' '.join(arguments)}: there is no command {name!r}"
        command = command.commands[name]
    command.make_context("overread", rest)  # parses, and raises what a user would be told


def substituted(text: str) -> str:
    """Put a secret where compose puts a variable of the env file."""
    return re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", SECRET, text)


def loaded(environment: Mapping[str, object], *, config: Path | None = None) -> Settings:
    """Settings as a container with this environment has them. ``config`` stands for the file at OVERREAD_CONFIG."""
    own = {name: substituted(str(value)) for name, value in environment.items() if name != "OVERREAD_CONFIG"}
    return load(config, environ=own)
