"""What ``overread doctor`` looks at: each part by itself, so that one that is broken hides no other."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.broker.binary import find_redis_server
from worker.deliver.echo import c_echo
from worker.domain.errors import OverreadError
from worker.domain.job import JobState
from worker.domain.result import Destination
from worker.inference.packages.routing_table import is_offered
from worker.inference.runtime.providers import runtime_telemetry
from worker.settings import Settings
from worker.wiring import brokers, offline, stores
from worker.wiring.network import free_port


@dataclass(frozen=True, slots=True)
class Examined:
    """One line of the examination; ``next_step`` says what to do when it is not well."""

    what: str
    well: bool
    detail: str
    next_step: str = ""


def examine(settings: Settings) -> Iterator[Examined]:
    """Look at every part, one after the other."""
    yield _guarded("data folder", lambda: _data_folder(settings))
    yield _guarded("free space", lambda: _space(settings))
    yield _guarded("database", lambda: _database(settings))
    yield _guarded("broker", lambda: _broker(settings))
    yield _guarded("ONNX Runtime", _runtime)
    yield from _models(settings)
    yield _guarded("routing rules", lambda: _rules(settings))
    yield _guarded("waiting work", lambda: _waiting(settings))
    yield _guarded("listener", lambda: _listener(settings))
    if not settings.destinations:
        yield Examined(
            "destinations",
            well=False,
            detail="none is configured: results stay in the spool",
            next_step="Add [[destinations]] to the configuration, or use --send-to AET@host:port.",
        )
    for entry in settings.destinations:
        echo = c_echo(entry.to_domain(), calling_ae_title=settings.node.ae_title)
        yield Examined(f"destination {entry.name}", echo.ok, echo.detail, echo.next_step)


def _guarded(what: str, look: Callable[[], Examined]) -> Examined:
    try:
        return look()
    except OverreadError as error:
        return Examined(what, well=False, detail=f"({error.code}) {error.message}", next_step=error.next_step)
    except OSError as error:
        return Examined(what, well=False, detail=error.strerror or type(error).__name__, next_step="See the detail.")


def _data_folder(settings: Settings) -> Examined:
    folder = settings.node.data
    if not folder.exists():
        return Examined(
            "data folder",
            well=False,
            detail=f"{folder} is not there",
            next_step="Name the one that `overread up` was started with (--data, --config); `up` makes a new one.",
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Examined("data folder", well=False, detail=f"{folder} cannot be written", next_step="Change its owner.")
    mode = folder.stat().st_mode & 0o077
    if mode:
        return Examined(
            "data folder",
            well=False,
            detail=f"{folder} is open to other users (mode {folder.stat().st_mode & 0o777:o})",
            next_step=f"chmod 700 {folder}",
        )
    return Examined("data folder", well=True, detail=str(folder))


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _space(settings: Settings) -> Examined:
    free_mb = shutil.disk_usage(_nearest(settings.node.data)).free >> 20
    well = free_mb > settings.storage.reserve_mb
    return Examined(
        "free space",
        well,
        f"{free_mb:,} MiB free, {settings.storage.reserve_mb:,} MiB are kept in reserve",
        "" if well else "New instances get 0xA700 until there is room: free some, or lower storage.reserve_mb.",
    )


def _database(settings: Settings) -> Examined:
    counts = stores.queries(settings).counts()
    kind = settings.database_url.split(":", 1)[0]
    unfinished = sum(counts.jobs.values())
    return Examined("database", well=True, detail=f"{kind}: {counts.instances} instances, {unfinished} jobs")


def _broker(settings: Settings) -> Examined:
    redis = brokers.embedded(settings)
    if redis is not None:
        well, server = redis.is_answering(), find_redis_server()
        kind = f"{server.version}, {server.path}" + (" (packaged, past its end)" if server.is_packaged else "")
        return Examined(
            "broker",
            well,
            f"embedded, answers ({kind})" if well else f"the embedded one is not running ({kind})",
            "" if well else "`overread up` starts it; or set broker.url.",
        )
    with brokers.application(settings).connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=3)
        except Exception as error:  # noqa: BLE001 - each transport has errors of its own
            return Examined(
                "broker",
                well=False,
                detail=f"does not answer ({type(error).__name__})",
                next_step="Start it, or correct broker.url. Receiving goes on meanwhile; jobs wait in the database.",
            )
    return Examined("broker", well=True, detail="answers")


def _runtime() -> Examined:
    version, telemetry = runtime_telemetry()
    return Examined("ONNX Runtime", telemetry.silent, f"{version}: {telemetry.why}", telemetry.next_step)


def _models(settings: Settings) -> Iterator[Examined]:
    installed = offline.registry(settings)
    for package in installed.packages:
        aside = "" if is_offered(package, settings) else " (experimental, not in use)"
        yield Examined(f"model {package.identity}", well=True, detail=package.manifest.package.title + aside)
    for one in installed.broken:
        yield Examined(f"model {one.name}", well=False, detail=one.error.message, next_step=one.error.next_step)
    if not installed.packages:
        yield Examined(
            "models", well=False, detail="no sound model package is installed", next_step="Set models.folders."
        )


def _rules(settings: Settings) -> Examined:
    bound = offline.bound_rules(settings)
    return Examined("routing rules", well=bool(bound), detail=", ".join(f"{b.rule.name} -> {b.model}" for b in bound))


def _waiting(settings: Settings) -> Examined:
    waiting = stores.queries(settings).counts().jobs.get(JobState.WAITING, 0)
    if not waiting:
        return Examined("waiting work", well=True, detail="no job waits for a model")
    return Examined(
        "waiting work",
        well=False,
        detail=f"{waiting} job{'s wait' if waiting > 1 else ' waits'} for a model that cannot be used",
        next_step="Mend the package that is ill above, or put back the one that is missed: the work is then done, "
        "without a restart. `overread jobs --state waiting` lists it with its reason.",
    )


def _listener(settings: Settings) -> Examined:
    bind, port = settings.listener.bind, settings.listener.port
    if free_port(port, host=bind) == port:
        return Examined(
            "listener", well=False, detail=f"nobody listens on {bind}:{port}", next_step="`overread up` or `listen`."
        )
    host = "127.0.0.1" if bind == "0.0.0.0" else bind  # noqa: S104 - asked of, not bound to
    echo = c_echo(Destination("listener", settings.node.ae_title, host, port), calling_ae_title="DOCTOR")
    detail = f"{settings.node.ae_title}@{socket.gethostname()}:{port} {echo.detail}"
    return Examined("listener", echo.ok, detail, echo.next_step)
