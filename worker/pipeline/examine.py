"""What ``overread doctor`` says: of each part by itself, so that one that is broken hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.domain.errors import OverreadError
from worker.domain.routing import BoundRule


@dataclass(frozen=True, slots=True)
class Examined:
    """One line of the examination; ``next_step`` says what to do when it is not well."""

    what: str
    well: bool
    detail: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """The data folder: whether it is there, whether this user may use it, and its permission bits."""

    path: Path
    there: bool
    usable: bool
    mode: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds; ``kind`` of database by the scheme of its URL."""

    kind: str
    instances: int
    jobs: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Broker:
    """Whether it answers; ``detail`` is the server of the embedded one, or the error of another."""

    answers: bool
    embedded: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the listener should be; ``echo`` is its answer to C-ECHO, None when nobody has the port."""

    ae_title: str
    host_name: str
    bind: str
    port: int
    echo: Examined | None


class Site(Protocol):
    """The parts of an installation. Each method may raise OverreadError or OSError: then that part is ill."""

    def data_folder(self) -> Folder:
        """Whether its data folder is there, usable, and closed to others."""

    def space_mb(self) -> tuple[int, int]:
        """Free space of its disk, and what of it is kept in reserve, in MiB."""

    def stored(self) -> Stored:
        """Which database it has, and what that counts."""

    def broker(self) -> Broker:
        """Which broker it has, and whether that answers."""

    def runtime(self) -> Examined:
        """ONNX Runtime: what is installed, and whether it is known to report nothing."""

    def models(self) -> Sequence[Examined]:
        """Its model packages, the sound ones first."""

    def rules(self) -> Sequence[BoundRule]:
        """Its rules whose models can be used."""

    def listening(self) -> Listening:
        """Where its listener is to listen, and who has the port."""

    def destinations(self) -> Iterator[Examined]:
        """The answer of each destination to C-ECHO."""


def examine(site: Site) -> Iterator[Examined]:
    """Look at every part, one after the other."""
    yield _guarded("data folder", lambda: _data_folder(site.data_folder()))
    yield _guarded("free space", lambda: _space(*site.space_mb()))
    yield _guarded("database", lambda: _database(site.stored()))
    yield _guarded("broker", lambda: _broker(site.broker()))
    yield _guarded("ONNX Runtime", site.runtime)
    models = site.models()
    yield from models
    if not any(one.well for one in models):
        yield Examined(
            "models", well=False, detail="no sound model package is installed", next_step="Set models.folders."
        )
    yield _guarded("routing rules", lambda: _rules(site.rules()))
    yield _guarded("waiting work", lambda: _waiting(site.stored().waiting))
    yield _guarded("listener", lambda: _listener(site.listening()))
    there_is_one = False
    for one in site.destinations():
        there_is_one = True
        yield one
    if not there_is_one:
        yield Examined(
            "destinations",
            well=False,
            detail="none is configured: results stay in the spool",
            next_step="Add [[destinations]] to the configuration, or use --send-to AET@host:port.",
        )


def _guarded(what: str, look: Callable[[], Examined]) -> Examined:
    try:
        return look()
    except OverreadError as error:
        return Examined(what, well=False, detail=f"({error.code}) {error.message}", next_step=error.next_step)
    except OSError as error:
        return Examined(what, well=False, detail=error.strerror or type(error).__name__, next_step="See the detail.")


def _data_folder(folder: Folder) -> Examined:
    if not folder.there:
        return Examined(
            "data folder",
            well=False,
            detail=f"{folder.path} is not there",
            next_step="Name the one that `overread up` was started with (--data, --config); `up` makes a new one.",
        )
    if not folder.usable:
        return Examined(
            "data folder", well=False, detail=f"{folder.path} cannot be written", next_step="Change its owner."
        )
    if folder.mode & 0o077:
        return Examined(
            "data folder",
            well=False,
            detail=f"{folder.path} is open to other users (mode {folder.mode:o})",
            next_step=f"chmod 700 {folder.path}",
        )
    return Examined("data folder", well=True, detail=str(folder.path))


def _space(free_mb: int, reserve_mb: int) -> Examined:
    well = free_mb > reserve_mb
    return Examined(
        "free space",
        well,
        f"{free_mb:,} MiB free, {reserve_mb:,} MiB are kept in reserve",
        "" if well else "New instances get 0xA700 until there is room: free some, or lower storage.reserve_mb.",
    )


def _database(stored: Stored) -> Examined:
    detail = f"{stored.kind}: {stored.instances} instances, {stored.jobs} jobs"
    return Examined("database", well=True, detail=detail)


def _broker(broker: Broker) -> Examined:
    if broker.embedded:
        return Examined(
            "broker",
            broker.answers,
            f"embedded, answers ({broker.detail})"
            if broker.answers
            else f"the embedded one is not running ({broker.detail})",
            "" if broker.answers else "`overread up` starts it; or set broker.url.",
        )
    if not broker.answers:
        return Examined(
            "broker",
            well=False,
            detail=f"does not answer ({broker.detail})",
            next_step="Start it, or correct broker.url. Receiving goes on meanwhile; jobs wait in the database.",
        )
    return Examined("broker", well=True, detail="answers")


def _rules(bound: Sequence[BoundRule]) -> Examined:
    return Examined("routing rules", well=bool(bound), detail=", ".join(f"{b.rule.name} -> {b.model}" for b in bound))


def _waiting(waiting: int) -> Examined:
    if not waiting:
        return Examined("waiting work", well=True, detail="no job waits for a model")
    return Examined(
        "waiting work",
        well=False,
        detail=f"{waiting} job{'s wait' if waiting > 1 else ' waits'} for a model that cannot be used",
        next_step="Mend the package that is ill above, or put back the one that is missed: the work is then done, "
        "without a restart. `overread jobs --state waiting` lists it with its reason.",
    )


def _listener(found: Listening) -> Examined:
    if found.echo is None:
        return Examined(
            "listener",
            well=False,
            detail=f"nobody listens on {found.bind}:{found.port}",
            next_step="`overread up` or `listen`.",
        )
    detail = f"{found.ae_title}@{found.host_name}:{found.port} {found.echo.detail}"
    return Examined("listener", found.echo.well, detail, found.echo.next_step)
