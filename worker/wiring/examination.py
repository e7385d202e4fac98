"""The parts of an installation, as ``overread doctor`` looks at them."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator

from worker.broker.binary import find_redis_server
from worker.deliver.echo import c_echo
from worker.domain.job import JobState
from worker.domain.result import Destination
from worker.domain.routing import BoundRule
from worker.inference.packages.routing_table import is_offered
from worker.inference.runtime.providers import runtime_telemetry
from worker.pipeline import examine as examination
from worker.pipeline.examine import Broker, Examined, Folder, Listening, Stored
from worker.settings import Settings
from worker.wiring import brokers, packages, stores
from worker.wiring.network import free_port


class InstalledSite:
    """The installation that the settings describe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def data_folder(self) -> Folder:
        """As the operating system sees it."""
        path = self._settings.node.data
        there = path.exists()
        usable = there and os.access(path, os.R_OK | os.W_OK | os.X_OK)
        return Folder(path, there, usable, path.stat().st_mode & 0o777 if usable else 0)

    def space_mb(self) -> tuple[int, int]:
        """Of the folder, or of the first above it that is there."""
        folder = self._settings.node.data
        nearest = next(one for one in (folder, *folder.parents) if one.exists())
        return shutil.disk_usage(nearest).free >> 20, self._settings.storage.reserve_mb

    def stored(self) -> Stored:
        """Instances and jobs, as the ledger counts them."""
        counts = stores.queries(self._settings).counts()
        kind = self._settings.database_url.split(":", 1)[0]
        return Stored(kind, counts.instances, sum(counts.jobs.values()), counts.jobs.get(JobState.WAITING, 0))

    def broker(self) -> Broker:
        """The embedded Redis, or whatever answers at ``broker.url``."""
        redis = brokers.embedded(self._settings)
        if redis is not None:
            answers, server = redis.is_answering(), find_redis_server()
            past = " (packaged, past its end)" if server.is_packaged else ""
            return Broker(answers, embedded=True, detail=f"{server.version}, {server.path}{past}")
        with brokers.application(self._settings).connection_for_write() as connection:
            try:
                connection.ensure_connection(max_retries=1, timeout=3)
            except Exception as error:  # noqa: BLE001 - each transport has errors of its own
                return Broker(answers=False, embedded=False, detail=type(error).__name__)
        return Broker(answers=True, embedded=False, detail="")

    def runtime(self) -> Examined:
        """The one that is imported."""
        version, telemetry = runtime_telemetry()
        return Examined("ONNX Runtime", telemetry.silent, f"{version}: {telemetry.why}", telemetry.next_step)

    def models(self) -> tuple[Examined, ...]:
        """Every installed package, sound or broken, as the registry finds it."""
        installed = packages.registry(self._settings)
        return (
            *(
                Examined(
                    f"model {one.identity}",
                    well=True,
                    detail=one.manifest.package.title
                    + ("" if is_offered(one, self._settings) else " (experimental, not in use)"),
                )
                for one in installed.packages
            ),
            *(
                Examined(f"model {one.name}", well=False, detail=one.error.message, next_step=one.error.next_step)
                for one in installed.broken
            ),
        )

    def rules(self) -> tuple[BoundRule, ...]:
        """The rules whose models can be used, as routing reads them."""
        return packages.bound_rules(self._settings)

    def listening(self) -> Listening:
        """Asked by C-ECHO where somebody has the port."""
        ae_title, entry = self._settings.node.ae_title, self._settings.listener
        host = "127.0.0.1" if entry.bind == "0.0.0.0" else entry.bind  # noqa: S104 - asked of, not bound to
        echo = None
        if free_port(entry.port, host=entry.bind) != entry.port:
            echo = _echo("listener", Destination("listener", ae_title, host, entry.port), "DOCTOR")
        return Listening(ae_title, socket.gethostname(), entry.bind, entry.port, echo)

    def destinations(self) -> Iterator[Examined]:
        """Each destination of the configuration, as it answers a C-ECHO."""
        for entry in self._settings.destinations:
            yield _echo(f"destination {entry.name}", entry.to_domain(), self._settings.node.ae_title)


def _echo(what: str, destination: Destination, calling_ae_title: str) -> Examined:
    echo = c_echo(destination, calling_ae_title=calling_ae_title)
    return Examined(what, echo.ok, echo.detail, echo.next_step)


def examine(settings: Settings) -> Iterator[Examined]:
    """Look at every part of this installation, one after the other."""
    site: examination.Site = InstalledSite(settings)
    return examination.examine(site)
