"""``up``: all of it on one machine -- broker, listener, sweeper, workers, Flower -- from one command."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import console
from worker.cli.options import Config, environment, overrides, settings_of
from worker.cli.processes import LONGEST_PAUSE_S, WATCH_EVERY_S, Processes
from worker.cli.serve import Stop
from worker.domain.errors import TransientError
from worker.observe import collector, stray_output
from worker.settings import Settings
from worker.store.spool.data_folder import make_data_folder
from worker.tasks.lanes import Lane

if TYPE_CHECKING:
    from worker.broker.embedded import EmbeddedRedis

log = logging.getLogger(__name__)

LISTENER_FIRST_S = 10.0
"""How long everything else waits for the listener: on a busy machine each would take its processor away."""
LISTENER_PAUSE_S = 1.0
"""A listener that dies again and again is tried this often: senders wait for nothing else."""


class Installation:
    """The processes of one installation on this machine.

    Parameters
    ----------
    environ:
        Environment of the child processes; it carries the whole configuration.
    output:
        Folder for the children's logs, or None for our own standard error.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str], *, output: Path | None = None) -> None:
        self._settings = settings
        self._output = output
        self._processes = Processes(environment=environ)
        self._broker: EmbeddedRedis | None = None

    def start(self) -> None:
        """Start everything. Raises ConfigurationError for what can be seen to be wrong."""
        # The listener first, before our own libraries: a PACS is waiting, and receiving needs neither broker nor
        # workers. It brings the database to this version as everybody does.
        make_data_folder(self._settings)
        self._add("listener", "listen", longest_pause_s=LISTENER_PAUSE_S, ready_within_s=LISTENER_FIRST_S)
        from worker.wiring import brokers, stores

        stores.prepare(self._settings)
        self._broker = brokers.embedded(self._settings)
        if self._broker is not None:
            self._broker.start()
        self._add("sweeper", "sweep")
        for lane in Lane:
            self._add(f"worker-{lane.value}", "work", "--lane", lane.value)
        if self._settings.flower.enabled:
            self._add("flower", "flower")

    def watch_once(self) -> None:
        """Start again what died. Raises ConfigurationError when starting again cannot help."""
        self._processes.watch_once()
        if self._broker is not None:
            try:
                self._broker.restart_if_dead()
            except TransientError as error:
                log.warning("broker-away", extra={"code": error.code})

    def stop(self) -> None:
        """End everything in order: workers hand back their jobs, the broker goes last."""
        self._processes.stop()
        if self._broker is not None:
            self._broker.stop()

    def _add(
        self, name: str, *arguments: str, longest_pause_s: float = LONGEST_PAUSE_S, ready_within_s: float = 0.0
    ) -> None:
        output = self._output / f"{name}.log" if self._output else None
        self._processes.add(
            name, *arguments, output=output, longest_pause_s=longest_pause_s, ready_within_s=ready_within_s
        )


def up(
    config: Config = None,
    data: Annotated[Path | None, typer.Option("--data", help="Data folder.", show_default=False)] = None,
    aet: Annotated[str | None, typer.Option("--aet", help="Our AE title.", show_default=False)] = None,
    bind: Annotated[str | None, typer.Option("--bind", help="Address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.", show_default=False)] = None,
    send_to: Annotated[
        list[str] | None, typer.Option("--send-to", help="Where results go: AET@host:port; may be repeated.")
    ] = None,
    flower: Annotated[bool | None, typer.Option("--flower/--no-flower", show_default=False)] = None,
) -> None:
    """Run everything on this machine until Ctrl-C or SIGTERM."""
    with console.reporting():
        changes = overrides(data=data, ae_title=aet, bind=bind, port=port, send_to=send_to or (), flower=flower)
        environ = environment(config, changes)
        settings = settings_of("up", environ)
        stop = Stop()
        installation = Installation(settings, environ)
        try:
            with collector.starting():
                installation.start()
            if not stray_output.takes_events_only():
                _say_where(settings)
            while not stop.wait(WATCH_EVERY_S):
                installation.watch_once()
        finally:
            installation.stop()
        log.info("stopped")


def _say_where(settings: Settings) -> None:
    listener, flower = settings.listener, settings.flower
    console.err.print(f"[bold]Overread[/] {settings.node.ae_title} listens on {listener.bind}:{listener.port}")
    for destination in settings.destinations:
        console.err.print(f"results go to {destination.ae_title}@{destination.host}:{destination.port}")
    if not settings.destinations:
        console.err.print(
            "[yellow]results stay in the spool[/]: no destination is configured (--send-to AET@host:port)"
        )
    if flower.enabled:
        console.err.print(
            f"Flower: http://{flower.bind}:{flower.port} (user {flower.user}, "
            f"password in {settings.node.data / 'flower-password'})"
        )
    console.err.print(f"data: {settings.node.data}; `overread jobs` shows the work; Ctrl-C ends it", soft_wrap=True)
