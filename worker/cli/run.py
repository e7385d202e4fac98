"""``run``: offline. Files in, result objects out; no network, no database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from worker.cli import console, render
from worker.cli.options import Config, Json, quiet_logs, settings_for
from worker.cli.view import BurnedIn, write_page
from worker.domain.errors import (
    ConfigurationError,
    ModelUnusableError,
    NotApplicableError,
    OverreadError,
    PermanentError,
)
from worker.domain.profile import OHIF, Profile
from worker.domain.result import ResultContext
from worker.domain.routing import RoutingTable
from worker.domain.study import StoredInstance, one_of_each_series
from worker.domain.work import PlannedAnalysis
from worker.pipeline.analyse import Analysis, refuse_unless_passed
from worker.pipeline.attempt import Stopwatch
from worker.pipeline.ports import SeriesReader
from worker.pipeline.route import Plan, plan_now
from worker.pipeline.summary import findings_of
from worker.settings import Settings
from worker.wiring import packages, reading, viewing
from worker.wiring.analysis import analyser as new_analyser


def run(
    folder: Annotated[Path, typer.Argument(help="Folder (or file) with DICOM images of one or more studies.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the result objects.")] = Path("results"),
    model: Annotated[str, typer.Option("--model", help="Only this model.")] = "",
    profile: Annotated[str, typer.Option("--profile", help="Destination profile of the results.")] = OHIF.name,
    view: Annotated[bool, typer.Option("--view", help="Write a page on each run as well (HTML).")] = False,
    burned_in: BurnedIn = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Run the models on files, write SEG, SR and a picture, and send nothing."""
    with console.reporting():
        settings = settings_for(config)
        standard = _profile(settings, profile)
        quiet_logs()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console.err, transient=True) as progress:
            step = progress.add_task("reading headers", total=None)
            reader = reading.reader(settings)
            instances, skipped = reading.instances_in(folder)
            table = packages.table_of(settings, model)
            found = _plan(table, reader, instances, settings)
            decisions, planned = found.decisions, found.planned
            if not as_json:
                for missed in found.missed:
                    words = f"not run: {missed.model} cannot be used ({missed.code}): {missed.reason}"
                    console.out.print(Text(words))
            if not planned:
                progress.stop()
                if not as_json:
                    console.out.print(render.decisions_table(decisions))
                raise _nothing_to_run(found, f"{len(instances)} instances in {folder}", left_out=len(skipped))
            output.mkdir(parents=True, exist_ok=True)
            written: list[dict[str, object]] = []
            failed: list[OverreadError] = []
            analyser = new_analyser(settings, standard=standard)
            for one in planned:
                progress.update(step, description=f"running {one.model}")
                watch = Stopwatch()
                context = ResultContext(created_at=datetime.now(UTC), config_digest=settings.result_digest)
                context = analyser.beside(one_of_each_series(one.evidence, instances), context)
                began = time.monotonic()
                try:
                    analysis = analyser.analyse(one.model, one.evidence, context, watch)
                    refuse_unless_passed(analysis.report)
                except PermanentError as error:
                    failed.append(error)
                    continue
                written.append(_write(analysis, one, output, watch, time.monotonic() - began))
                if view:
                    record = viewing.record_of_run(settings, analysis, one, watch.stages, burned_in=burned_in)
                    written[-1]["view"] = write_page(record, output / f"{_stem(one)}.html")
        if as_json:
            console.print_json({"decisions": decisions, "skipped": skipped, "results": written})
        else:
            _show(written, [(item.path, item.reason) for item in skipped])
        for failure in failed:
            console.print_error(failure)
        if failed:
            raise typer.Exit(console.EXIT_DATA)


def _plan(table: RoutingTable, reader: SeriesReader, instances: Sequence[StoredInstance], settings: Settings) -> Plan:
    """Plan each study by itself."""
    plans = []
    for study in sorted({one.header.study_instance_uid for one in instances}):
        own = [one for one in instances if one.header.study_instance_uid == study]
        plans.append(plan_now(table, reader.series(reader.survey(own)[0]), config_digest=settings.result_digest))
    return Plan(
        tuple(decision for one in plans for decision in one.decisions),
        tuple(planned for one in plans for planned in one.planned),
        tuple({missed.model: missed for one in plans for missed in one.missed}.values()),
    )


def _nothing_to_run(found: Plan, what: str, *, left_out: int) -> OverreadError:
    if found.missed:
        return ModelUnusableError(
            f"{', '.join(one.model for one in found.missed)} would be run on the {what}, and cannot be used.",
            next_step="`overread models check` says what to mend.",
            code=found.missed[0].code,
        )
    return NotApplicableError(
        f"No model applies to the {what}{f' ({left_out} files left out)' if left_out else ''}.",
        next_step="The reasons are above; `overread explain --files` shows them again.",
        code="no-model-applies",
    )


def _profile(settings: Settings, name: str) -> Profile:
    try:
        return settings.profile(name)
    except KeyError as error:
        known = ", ".join(settings.profile_names)
        raise ConfigurationError(
            f"There is no profile {name!r}.", next_step=f"Known profiles: {known}.", code="profile-unknown"
        ) from error


def _stem(planned: PlannedAnalysis) -> str:
    return f"{planned.model.name}-{planned.key[:12]}"


def _write(
    analysis: Analysis, planned: PlannedAnalysis, output: Path, watch: Stopwatch, seconds: float
) -> dict[str, object]:
    from worker.pictures.overlay import write_overlay

    stem = _stem(planned)
    files = []
    for number, encoded in enumerate(analysis.objects, start=1):
        path = output / f"{stem}-{number}-{encoded.kind.value.lower()}.dcm"
        path.write_bytes(encoded.content)
        files.append(path)
    picture = output / f"{stem}.png"
    write_overlay(analysis.conclusion, picture)
    return {
        "model": str(planned.model),
        "files": files,
        "picture": picture,
        "findings": [
            {"structure": entry["label"], "statement": entry["statement"], **m}
            for entry in findings_of(analysis.conclusion)
            for m in entry["measurements"] or [{"name": entry["kind"], "value": None, "unit": ""}]
        ],
        "notes": [*analysis.conclusion.volume.notes, *analysis.conclusion.notes],
        "stages": list(watch.stages),
        "seconds": seconds,
    }


def _show(written: list[dict[str, object]], skipped: list[tuple[Path, str]]) -> None:
    for path, reason in skipped:
        console.out.print(Text(f"left out {path.name}: {reason}", style="dim"))
    for one in written:
        made = console.table(f"{one['model']} in {one['seconds']:.1f} s", "structure", "what", "value", "unit")
        for finding in one["findings"]:  # type: ignore[attr-defined]
            value = finding["statement"] if finding["value"] is None else f"{finding['value']:,.1f}"
            made.add_row(finding["structure"], finding["name"], value, finding["unit"])
        console.out.print(made)
        for note in one["notes"]:  # type: ignore[attr-defined]
            console.out.print(Text(f"note: {note}", style="dim"))
        for path in (*one["files"], one["picture"], *([one["view"]] if "view" in one else [])):  # type: ignore[misc]
            console.out.print(f"wrote {path}", soft_wrap=True)
