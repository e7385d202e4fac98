"""Options that several commands share, and how they become settings."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from worker.domain.errors import ConfigurationError
from worker.domain.result import Destination
from worker.observe import logs, stray_output
from worker.settings import Log, Settings, load, stated_log

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="OVERREAD_CONFIG", help="Configuration file (TOML).", show_default=False),
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder: spool, results, database, broker.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]


def parse_destination(text: str) -> Destination:
    """Read ``AET@host:port``; the AE title is the name as well."""
    found = re.fullmatch(r"(?P<aet>[^@\\]{1,16})@(?P<host>[^@\s]+):(?P<port>\d{1,5})", text)
    if not found or not 1 <= int(found["port"]) <= 65535:
        raise ConfigurationError(
            f"{text!r} is no destination.",
            next_step="Write AET@host:port, for example PACS@127.0.0.1:11113.",
            code="destination-invalid",
        )
    name = re.sub(r"[^A-Za-z0-9._-]", "-", found["aet"])
    return Destination(name=name, ae_title=found["aet"], host=found["host"].strip("[]"), port=int(found["port"]))


def overrides(
    *,
    data: Path | None = None,
    ae_title: str | None = None,
    bind: str | None = None,
    port: int | None = None,
    send_to: Sequence[str] = (),
    flower: bool | None = None,
) -> dict[str, str]:
    """Command line options as environment variables, so that child processes see the same configuration."""
    values: dict[str, str] = {}
    if data is not None:
        values["OVERREAD_NODE__DATA"] = json.dumps(str(data.expanduser().absolute()))
    if ae_title is not None:
        values["OVERREAD_NODE__AE_TITLE"] = json.dumps(ae_title)
    if bind is not None:
        values["OVERREAD_LISTENER__BIND"] = json.dumps(bind)
    if port is not None:
        values["OVERREAD_LISTENER__PORT"] = str(port)
    if send_to:
        entries = [
            {"name": one.name, "ae_title": one.ae_title, "host": one.host, "port": one.port}
            for one in map(parse_destination, send_to)
        ]
        values["OVERREAD_DESTINATIONS"] = json.dumps(entries)
    if flower is not None:
        values["OVERREAD_FLOWER__ENABLED"] = json.dumps(flower)
    return values


def environment(config: Path | None, changes: Mapping[str, str]) -> dict[str, str]:
    """The environment of child processes: ours, the configuration file, and the options on top."""
    merged = {**os.environ, **changes}
    if config is not None:
        merged["OVERREAD_CONFIG"] = str(config.expanduser().absolute())
    return merged


def settings_for(config: Path | None, data: Path | None = None, *, process: str = "") -> Settings:
    """Load the configuration for a command, and set up its logs; ``process`` names a part of the system there."""
    environ = environment(config, overrides(data=data))
    if process:
        return settings_of(process, environ)
    settings = load(environ=environ)
    logs.configure(level=settings.log.level, style=settings.log.format)
    return settings


def settings_of(process: str, environ: Mapping[str, str]) -> Settings:
    """Load the configuration of a part of the system. What is wrong with it is said in its log."""
    speak_as(process, stated_log(environ))
    settings = load(environ=environ)
    speak_as(process, settings.log)
    return settings


def speak_as(process: str, wanted: Log) -> None:
    """Set up the log of a part of the system: all that this process says goes there."""
    logs.configure(level=wanted.level, style=wanted.format, process=process)
    stray_output.into_log()


def quiet_logs() -> None:
    """For commands whose output is for people: only what went wrong is logged."""
    logs.configure(level="ERROR", style="auto")
