"""The model card: what a manifest says, as one page for people, in Markdown or as self-contained HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.inference.entries.description import Evaluation, Metric
from worker.inference.entries.output_parts import CodeEntry
from worker.inference.guards.guards import InputGuard
from worker.inference.guards.region_net import NetGuard
from worker.inference.manifest.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with paragraphs, or with a table (a head and rows)."""

    title: str
    paragraphs: tuple[str, ...] = ()
    bullets: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def sections(manifest: Manifest, *, digest: str) -> tuple[Section, ...]:
    """The card's content, in order."""
    return tuple(section for section in _sections(manifest, digest) if section is not None)


def _sections(manifest: Manifest, digest: str) -> Iterator[Section | None]:
    if manifest.package.experimental:
        yield Section("Experimental", (
            "This model is no product. It runs only where a site lists its name in models.experimental, and every "
            "result says that it is experimental.",
        ))  # fmt: skip
    yield Section("Intended use", (manifest.intended_use,))
    yield Section("Not for", bullets=manifest.not_for)
    yield Section("Known limits", bullets=manifest.limits)
    yield (
        Section(
            "Known bias", head=("group", "what is known"), rows=tuple((one.group, one.known) for one in manifest.bias)
        )
        if manifest.bias
        else Section("Known bias", ("None is stated: it was not examined.",))
    )
    yield Section("Trained on", (manifest.training_data,))
    yield _evaluations(manifest.evaluation)
    yield Section("Input", head=("input", "modality", "slices or frames", "slice spacing"), rows=tuple(
        (name, ", ".join(contract.modalities), str(contract.slices),
         f"{contract.slice_spacing_mm} mm" if contract.slice_spacing_mm else "-")
        for name, contract in manifest.contracts.items()
    ))  # fmt: skip
    yield Section("Findings", head=("kind", "label", "coded as"), rows=tuple(_findings(manifest)))
    if manifest.thresholds:
        yield Section("Thresholds that a site may move", head=("name", "default", "bounds", "meaning"), rows=tuple(
            (one.name, f"{one.default:g}", f"{one.minimum:g} to {one.maximum:g}", one.meaning)
            for one in manifest.thresholds
        ))  # fmt: skip
    if manifest.guards.quality:
        yield Section("Said of weak input", bullets=tuple(one.says for one in manifest.guards.quality))
    yield Section("How it runs", bullets=(
        f"Guards of the input: {', '.join(_guard(one) for one in manifest.guards.input)}.",
        f"Inference mode: {manifest.inference.mode}.",
        *(
            f"Input {one.name}: brought onto the grid of the first; in another Frame of Reference "
            + ("registered rigidly." if one.registration == "rigid" else "refused.")
            for one in manifest.further
        ),
        f"Preprocessing: {', '.join(step.step for step in manifest.preprocessing) or 'none'}.",
        f"Postprocessing: {', '.join(step.step for step in manifest.postprocessing) or 'none'}.",
        f"Memory: {manifest.hardware.memory_mb} MB and {manifest.hardware.memory_bytes_per_voxel} bytes per voxel.",
        *((manifest.hardware.note,) if manifest.hardware.note else ()),
    ))  # fmt: skip
    yield Section("Weights", head=("name", "file", "precision", "SHA-256"), rows=tuple(
        (one.id, one.file, f"{one.precision} {one.precision_note}".strip(), one.sha256) for one in manifest.weights
    ))  # fmt: skip
    if manifest.custom is not None:
        yield Section("Python code of its own", bullets=(
            f"File: {manifest.custom.file}, SHA-256 {manifest.custom.sha256}. It runs only where a site trusts it.",
            f"Called as: {', '.join(step.method for step in manifest.custom_steps)}.",
        ))  # fmt: skip
    yield Section("Licence", (f"{manifest.licence.spdx}. {manifest.licence.notice}",))
    yield Section("Identity", bullets=(
        f"Package: {manifest.package.name} {manifest.package.version}.",
        f"Algorithm in results: {manifest.algorithm.title}, {manifest.algorithm.manufacturer}.",
        f"Digest of manifest and weights: {digest}.",
    ))  # fmt: skip


def _evaluations(found: Sequence[Evaluation]) -> Section:
    if not found:
        return Section("Measured accuracy", ("None is stated in the manifest; see the package's README.",))
    rows = [
        (one.data, "unseen" if one.unseen else "seen in training", str(one.cases), metric.name, _number(metric),
         metric.of, one.note)
        for one in found
        for metric in one.metrics
    ]  # fmt: skip
    return Section(
        "Measured accuracy", head=("images", "", "cases", "measure", "value", "of", "note"), rows=tuple(rows)
    )


def _number(metric: Metric) -> str:
    text = f"{metric.value:g} {metric.unit}".strip()
    return text if metric.low is None or metric.high is None else f"{text} ({metric.low:g} to {metric.high:g})"


def _findings(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    outputs = manifest.outputs
    for segment in outputs.segments:
        side = f", {segment.laterality.meaning}" if segment.laterality else ""
        yield "segment", segment.label, _code(segment.type) + side
    for detection in outputs.detections:
        yield "detection", detection.label, _code(detection.type)
    for classification in outputs.classifications:
        yield "classification", classification.label, _code(classification.finding)
    for quantification in outputs.quantifications:
        yield "quantification", quantification.label, _code(quantification.finding)
    for heat_map in outputs.heat_maps:
        yield "heat map", heat_map.label, _code(heat_map.quantity)


def _guard(guard: InputGuard) -> str:
    return f"net (wants {' or '.join(guard.wanted)})" if isinstance(guard, NetGuard) else guard.guard


def _code(entry: CodeEntry) -> str:
    return f"{entry.meaning} ({entry.value}, {entry.scheme})"


def markdown(manifest: Manifest, *, digest: str) -> str:
    """The model card that the manifest amounts to, as ``overread models card`` prints it."""
    lines = [f"# {manifest.package.title}", ""]
    for section in sections(manifest, digest=digest):
        lines += [f"## {section.title}", ""]
        for paragraph in section.paragraphs:
            lines += [_inline(paragraph), ""]
        if section.bullets:
            lines += [*(f"- {_inline(one)}" for one in section.bullets), ""]
        if section.head:
            table = (section.head, tuple("---" for _ in section.head), *section.rows)
            lines += [*(f"| {' | '.join(_inline(cell).replace('|', chr(92) + '|') for cell in row)} |"
                        for row in table), ""]  # fmt: skip
    return "\n".join(lines)


def _inline(text: str) -> str:
    """On one line, and nothing in it is markup: what stands in a manifest was written by somebody else."""
    joined = " ".join(text.split())
    return joined.replace("<", "&lt;") if joined != "---" else joined


def page(manifest: Manifest, *, digest: str) -> str:
    """The card as one HTML page that needs nothing else: no script, no style sheet, no picture from elsewhere."""
    body = [f"<h1>{html.escape(manifest.package.title)}</h1>"]
    for section in sections(manifest, digest=digest):
        body.append(f"<h2>{html.escape(section.title)}</h2>")
        body += [f"<p>{html.escape(paragraph)}</p>" for paragraph in section.paragraphs]
        if section.bullets:
            body += ["<ul>", *(f"<li>{html.escape(one)}</li>" for one in section.bullets), "</ul>"]
        if section.head:
            body.append("<table>")
            body.append(f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in section.head)}</tr>")
            body += [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in section.rows]
            body.append("</table>")
    content = "\n".join(body)
    return _PAGE.format(title=html.escape(manifest.package.title), content=content)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
h2 {{ margin-top: 2rem; font-size: 1.15rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }}
td {{ overflow-wrap: anywhere; }}
th {{ background: #f3f3f3; }}
</style>
</head>
<body>
{content}
</body>
</html>
"""
