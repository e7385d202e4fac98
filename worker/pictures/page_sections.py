"""The parts of the page: each from records to HTML, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import htpy as h

from worker.domain.analysis_record import AnalysisRecord
from worker.domain.result import Check
from worker.drawing.lettering import with_unit
from worker.pictures.markup import facts, swatch, table
from worker.pictures.reading.report import Group, Number
from worker.pictures.reading.results import Problem, ReadBack

_GOOD = frozenset({"committed", "delivered", "sent"})
_BAD = frozenset({"quarantined", "failed", "parked"})


def overview(record: AnalysisRecord) -> h.Element:
    """Which job, which model, on which images."""
    job = record.job
    rows: list[tuple[str, h.Node]] = []
    if job is not None:
        rows += [
            ("Job", _code(job.job_id)),
            ("State", _state(job.state.value)),
            *([("Reason", job.reason)] if job.reason else []),
            ("Rule", job.rule),
            ("Revision of the study", str(job.revision)),
            ("Attempt", str(job.attempt)),
            ("Created", _moment(job.created_at)),
        ]
    rows += [
        ("Model", f"{record.model.name} {record.model.version}"),
        ("Execution provider", record.provider or "not recorded"),
        ("Study Instance UID", _code(record.study_instance_uid)),
        ("Series Instance UID", _code(record.series_instance_uid or "not recorded")),
    ]
    if record.volume is not None:
        rows.append(("Images", _images(record)))
    return facts(rows)


def _images(record: AnalysisRecord) -> str:
    volume = record.volume
    if volume is None:
        return ""
    slices, rows, columns = volume.geometry.shape
    what = f"{volume.modality}, {slices} x {rows} x {columns} (slices or frames, rows, columns)"
    if not volume.has_spacing:
        return f"{what}, spacing not known"
    spacing = volume.geometry.spacing_mm if volume.in_patient_space else volume.geometry.spacing_mm[1:]
    return f"{what}, {' x '.join(f'{v:.4g}' for v in spacing)} mm"


def notices(record: AnalysisRecord, problems: Sequence[Problem]) -> h.Element | None:
    """What is missing on this page, and why; nothing when nothing is."""
    said = list(record.notices)
    said += [f"{one.kind.value} {one.sop_instance_uid} is not shown. {one.reason}" for one in problems]
    if not said:
        return None
    return h.div(class_="notices")[h.ul[[h.li[text] for text in said]]]


def findings(record: AnalysisRecord, said: ReadBack) -> h.Element:
    """What was found, in words and numbers, as the objects say it; as the ledger noted it where they are gone."""
    parts: list[h.Node] = [h.h2["Findings"]]
    if said.reports:
        parts += _from_reports(said)
    else:
        parts.append(h.p(class_="warn")[_no_reports(record)])
        parts += _from_summary(record.summary)
    absent = [str(label) for label in record.summary.get("absent") or []]
    if absent:
        parts.append(h.h3["Looked for and not found"])
        parts.append(h.ul[[h.li[label] for label in absent]])
    notes = [str(note) for note in record.summary.get("notes") or []]
    quality = [one for one in record.summary.get("findings") or [] if _entry(one, "kind") == "quality"]
    if notes or quality:
        parts.append(h.h3["Quality and notes"])
        items = [f"{_entry(one, 'label')}: {_entry(one, 'statement')}" for one in quality] + notes
        parts.append(h.ul[[h.li[text] for text in items]])
    return h.section[parts]


def _no_reports(record: AnalysisRecord) -> str:
    if record.objects:
        return "No report could be read, or none was made: this is what the ledger noted when the job ran."
    return "There are no result objects."


def _from_reports(said: ReadBack) -> Iterator[h.Element]:
    colours = {uid: one.colour_rgb for uid, one in said.structures.items()}
    rows = [row for group in said.groups for row in _group_rows(group, colours.get(group.tracking_uid))]
    if rows:
        yield h.h3["Measurements, as the report has them"]
        columns = ("", "tracked as", "finding", "site", "measurement", "value", "unit", "how")
        yield table(columns, rows, numbers=("value",))
    for report in said.reports:
        if report.sentences:
            yield h.h3[report.title or "Report"]
            lines = [(one.section, one.name, one.text) for one in report.sentences]
            yield table(("section", "what", "text"), dict.fromkeys(lines))


def _group_rows(group: Group, colour_rgb: tuple[int, int, int] | None) -> Iterator[tuple[h.Node, ...]]:
    values: list[tuple[str, str, str, str]] = [_number(number) for number in group.numbers]
    values += [(name, text, "", "") for name, text in group.answers]
    first = True
    for name, value, unit, how in values or [("", "", "", "")]:
        mark: h.Node = swatch(colour_rgb) if first and colour_rgb else ""
        who = (group.name, group.finding, "; ".join(group.sites)) if first else ("", "", "")
        yield (mark, *who, name, value, unit, how)
        first = False


def _number(number: Number) -> tuple[str, str, str, str]:
    return number.name, number.value, number.unit, ", ".join(number.qualifiers)


def _from_summary(summary: Mapping[str, Any]) -> Iterator[h.Element]:
    rows: list[tuple[str, ...]] = []
    for one in summary.get("findings") or []:
        values = one.get("measurements") or [{}] if isinstance(one, dict) else [{}]
        rows += [
            (_entry(one, "kind"), _entry(one, "label"), _entry(one, "statement"), _entry(m, "name"), _measured(m))
            for m in values
        ]
    if rows:
        yield table(("kind", "label", "statement", "measurement", "value"), rows, numbers=("value",))


def _measured(measurement: Mapping[str, Any]) -> str:
    value = measurement.get("value")
    return with_unit(value, _entry(measurement, "unit")) if isinstance(value, int | float) else ""


def _entry(record: object, key: str) -> str:
    return str(record.get(key) or "") if isinstance(record, Mapping) else ""


def gate(checks: Sequence[Check]) -> h.Element:
    """Every check of the gate."""
    rows = [(one.name, _passed(one), one.detail) for one in checks]
    failed = sum(not one.passed for one in checks)
    said = f"{len(checks)} checks on the encoded bytes, {failed} failed." if checks else "Nothing was checked."
    return h.section[h.h2["Gate"], h.p[said], table(("check", "passed", "detail"), rows) if rows else None]


def _passed(check: Check) -> h.Element:
    return h.span(class_="good")["yes"] if check.passed else h.span(class_="bad")["NO"]


def objects(record: AnalysisRecord) -> h.Element:
    """The result objects, whether they are still there or not."""
    rows = [
        (
            one.kind.value,
            h.fragment[_code(one.sop_instance_uid), h.br, "series ", _code(one.series_instance_uid)],
            f"{one.size_bytes:,}",
            _code(one.sha256),
            "all" if one.destinations is None else ", ".join(one.destinations) or "none",
            one.note or "kept",
        )
        for one in record.objects
    ]
    columns = ("kind", "SOP Instance UID", "bytes", "SHA-256 of the file", "for", "here")
    shown = table(columns, rows, numbers=("bytes",)) if rows else h.p["None."]
    return h.section[h.h2["Result objects"], shown]


def deliveries(record: AnalysisRecord) -> h.Element:
    """A table of the deliveries: each object, its destination, the DIMSE status and the state."""
    rows = [
        (
            one.destination,
            _state(one.state.value),
            str(one.attempt),
            h.fragment[item.result.kind.value, " ", _code(item.result.sop_instance_uid)],
            "-" if item.status is None else f"0x{item.status:04X}",
            one.reason,
        )
        for one in record.deliveries
        for item in one.items
    ]
    if not rows:
        said = "Nothing is sent by an offline run." if record.job is None else "Nothing was to be sent."
        return h.section[h.h2["Deliveries"], h.p[said]]
    parts: list[h.Node] = [
        h.h2["Deliveries"],
        table(("destination", "state", "attempt", "object", "DIMSE status", "reason"), rows),
    ]
    if record.asked:
        asked = [(one.asked_at, one.destination, one.outcome, _code(one.transaction_uid)) for one in record.asked]
        parts += [h.h3["Safe-keeping"], table(("asked", "destination", "outcome", "Transaction UID"), asked)]
    return h.section[parts]


def timeline(record: AnalysisRecord) -> h.Element:
    """What happened when, and how long each stage took."""
    parts: list[h.Node] = [h.h2["Timeline"]]
    steps = record.timeline
    if steps:
        gaps = [0.0, *((later.at - earlier.at).total_seconds() for earlier, later in pairwise(steps))]
        rows = [
            (_moment(step.at), f"{gap:.2f} s", _state(step.after.value), str(step.attempt), step.reason)
            for step, gap in zip(steps, gaps, strict=True)
        ]
        parts.append(table(("time", "after", "state", "attempt", "reason"), rows, numbers=("after",)))
    if record.stages:
        stages = [(one.stage, f"{one.seconds:.2f} s") for one in record.stages]
        stages.append(("together", f"{sum(one.seconds for one in record.stages):.2f} s"))
        parts.append(h.h3["Stages of the last attempt"])
        parts.append(table(("stage", "time"), stages, numbers=("time",)))
    if len(parts) == 1:
        parts.append(h.p["Not recorded."])
    return h.section[parts]


def provenance(record: AnalysisRecord, said: ReadBack) -> h.Element:
    """What it was made from, by what, with which settings."""
    stated = sorted({text for text in said.contributions if "digest" in text})
    rows: list[tuple[str, h.Node]] = [
        ("Model package digest", _code(f"sha256:{record.model.digest}")),
        ("Configuration digest", _code(f"sha256:{record.config_digest}")),
        ("Evidence", f"{record.evidence_count} instances" if record.evidence_count else "not kept any more"),
    ]
    if record.evidence_digest:
        rows.append(
            (
                "Evidence digest",
                h.fragment[_code(f"sha256:{record.evidence_digest}"), " ", _agreement(record, stated)],
            )
        )
    rows += [("Stated in the objects", text) for text in stated]
    rows += [("Algorithm in the objects", f"{name} {version}") for name, version in sorted(said.algorithms) if name]
    return h.section[h.h2["Provenance"], facts(rows)]


def _agreement(record: AnalysisRecord, stated: Sequence[str]) -> h.Element | None:
    if not stated:
        return None
    agrees = all(record.evidence_digest in text and record.model.digest in text for text in stated)
    if agrees:
        return h.span(class_="good")["as the objects state it"]
    return h.span(class_="bad")["NOT what the objects state"]


def _state(value: str) -> h.Element:
    return h.span(class_="good" if value in _GOOD else "bad" if value in _BAD else "warn")[value]


def _code(text: str) -> h.Element:
    return h.code[text]


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
