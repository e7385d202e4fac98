"""``demo``: the main job on real images, on this machine, and proof that it was done."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from worker import samples
from worker.cli import console, demo_report
from worker.cli.options import environment, overrides, parse_destination
from worker.cli.serve import Stop
from worker.cli.up import Installation
from worker.deliver.echo import c_echo
from worker.deliver.send_files import send_files
from worker.demo.pacs import DemoPacs
from worker.domain.errors import ConfigurationError, OverreadError, TransientError
from worker.domain.job import UNFINISHED, Job, JobState
from worker.domain.result import Destination
from worker.domain.study import StudyInstanceUID
from worker.observe import logs
from worker.settings import Settings, load
from worker.wiring import stores
from worker.wiring.network import free_port

STUDIES = ("chest-ct", "brain-mr")
DEMO_TIMEOUT_S = 900.0
POLL_S = 0.1
READY_S = 60.0


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running for exploration.")] = False,
    pacs: Annotated[
        str, typer.Option("--pacs", help="Use this PACS (AET@host:port) instead of the demonstration PACS.")
    ] = "",
    output: Annotated[Path, typer.Option("--output", help="Folder for the pictures.")] = Path("demo-output"),
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Where sample studies are kept.", show_default=False)
    ] = None,
) -> None:
    """Send a real chest CT and a real brain MR through the whole system, and show what comes back."""
    began = time.monotonic()
    with console.reporting(), ExitStack() as stack:
        logs.configure(level="ERROR", style="text")
        stop = Stop()
        work = stack.enter_context(_workspace(output, keep=keep))
        progress = stack.enter_context(_progress())
        step = progress.add_task("getting sample studies", total=None)
        folders = {name: _fetch(name, cache, progress, step) for name in STUDIES}
        if stop.wait(0):
            raise typer.Exit(console.EXIT_FAILED)

        progress.update(step, description="starting PACS, listener, workers, broker, Flower")
        archive = _pacs(pacs, work, stack)
        environ = environment(None, _environment(work, archive.address))
        settings = load(environ=environ)
        installation = Installation(settings, environ, output=work / "logs")
        stack.callback(installation.stop)
        (work / "logs").mkdir(exist_ok=True)
        installation.start()
        here = Destination("overread", settings.node.ae_title, settings.listener.bind, settings.listener.port)
        _wait_until_listening(here, installation, stop)

        studies: dict[str, StudyInstanceUID] = {}
        for name, folder in folders.items():
            progress.update(step, description=f"sending {samples.SAMPLES[name].title} by C-STORE")
            studies[name] = archive.send(folder, here)
        ends = time.monotonic() + DEMO_TIMEOUT_S
        while not _finished(settings, studies, progress, step):
            installation.watch_once()
            if stop.wait(POLL_S):
                raise typer.Exit(console.EXIT_FAILED)
            if time.monotonic() > ends:
                raise TransientError(
                    f"The demonstration did not end within {DEMO_TIMEOUT_S:.0f} s.",
                    next_step=f"Logs are in {work / 'logs'}.",
                    code="demo-timeout",
                )
        progress.stop()

        queries = stores.queries(settings)
        good = True
        for name, study in studies.items():
            good &= demo_report.print_study(queries, samples.SAMPLES[name].title, study, archive.listing(study))
        pictures = demo_report.copy_pictures(queries, settings, studies, output)
        demo_report.print_end(good=good, pictures=pictures, seconds=time.monotonic() - began)
        if keep:
            demo_report.print_addresses(settings, archive.address, work)
            while not stop.wait(POLL_S):
                installation.watch_once()
    if not good:
        raise typer.Exit(console.EXIT_FAILED)


class _Pacs:
    """The PACS of the demonstration: ours, or a real one that is named on the command line."""

    def __init__(self, own: DemoPacs | None, address: Destination) -> None:
        self._own = own
        self.address = address

    def send(self, folder: Path, worker: Destination) -> StudyInstanceUID:
        """Put a study into the PACS, and route it to the worker as the PACS would."""
        files = sorted(folder.glob("*.dcm"))
        if self._own is not None:
            (study,) = self._own.import_folder(folder)
            routed = self._own.route(study, to=worker)
            if routed.failed:
                raise _not_taken(routed.failed, worker)
            return StudyInstanceUID(study)
        for target in (self.address, worker):
            report = send_files(files, target, calling_ae_title="OVERREAD_DEMO")
            if report.failures:
                raise _not_taken(len(report.failures), target)
        return demo_report.study_of(files[0])

    def listing(self, study: StudyInstanceUID) -> list[str] | None:
        """Kinds of result objects (SOP Class UIDs) that stand in the PACS; None when it cannot be looked into."""
        if self._own is None:
            return None
        return [one.sop_class_uid for one in self._own.studies() if one.study_instance_uid == study]


def _not_taken(count: int, target: Destination) -> OverreadError:
    return TransientError(
        f"{target.ae_title} did not take {count} image(s).", next_step="Look into its log.", code="demo-send-failed"
    )


def _pacs(address: str, work: Path, stack: ExitStack) -> _Pacs:
    if address:
        return _Pacs(None, parse_destination(address))
    own = stack.enter_context(DemoPacs(work / "pacs", ae_title="DEMOPACS"))
    return _Pacs(own, own.address)


def _environment(work: Path, pacs: Destination) -> dict[str, str]:
    # The demonstration has its own place, its own ports and a short wait; else it is an installation like any other.
    changes = overrides(
        data=work / "data",
        port=free_port(11112),
        send_to=[f"{pacs.ae_title}@{pacs.host}:{pacs.port}"],
        flower=True,
    )
    return {
        **changes,
        "OVERREAD_FLOWER__PORT": str(free_port(5555)),
        "OVERREAD_ASSEMBLY__QUIET_AFTER_RELEASE_S": "1",
        "OVERREAD_LOG__FORMAT": "json",
    }


@contextmanager
def _workspace(output: Path, *, keep: bool) -> Iterator[Path]:
    if keep:
        work = output.expanduser().absolute() / "installation"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        yield work
        return
    work = Path(tempfile.mkdtemp(prefix="overread-demo-"))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console.err, transient=True) as progress:
        yield progress


def _fetch(name: str, cache: Path | None, progress: Progress, step: object) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overread" / "samples"

    def say(text: str) -> None:
        progress.update(step, description=f"{samples.SAMPLES[name].title}: {text}")  # type: ignore[arg-type]

    return samples.fetch(name, cache or home, on_progress=say)


def _wait_until_listening(here: Destination, installation: Installation, stop: Stop) -> None:
    ends = time.monotonic() + READY_S
    while not (echo := c_echo(here, calling_ae_title="DEMOPACS")).ok:
        installation.watch_once()
        if stop.wait(POLL_S):
            raise typer.Exit(console.EXIT_FAILED)
        if time.monotonic() > ends:
            raise ConfigurationError(
                f"The listener did not answer: {echo.detail}.", next_step="`overread doctor`", code="demo-not-ready"
            )


def _finished(settings: Settings, studies: dict[str, StudyInstanceUID], progress: Progress, step: object) -> bool:
    queries = stores.queries(settings)
    jobs = {name: queries.list_jobs(states=None, study=study, limit=50) for name, study in studies.items()}
    said = "; ".join(f"{samples.SAMPLES[name].title}: {_where(found)}" for name, found in jobs.items())
    progress.update(step, description=said)  # type: ignore[arg-type]
    return all(found and all(_at_end(job) for job in found) for found in jobs.values())


def _at_end(job: Job) -> bool:
    return job.state not in UNFINISHED or job.state is JobState.DELIVERED


def _where(jobs: list[Job] | tuple[Job, ...]) -> str:
    return ", ".join(f"{job.label} {job.state.value}" for job in jobs) or "receiving"
