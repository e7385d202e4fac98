"""What must agree between the keys of a manifest. Each function returns one sentence per disagreement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from worker.inference.entries.nets import Net
from worker.inference.entries.strict import nearest
from worker.inference.guards.region_net import NetGuard
from worker.inference.manifest.keys import ManifestKeys
from worker.inference.modes import Cascade, Clips, Ensemble, LocaliseThenSegment, NnunetCascade
from worker.inference.outputs.detections import BoxesEntry, ComponentsEntry, PeaksEntry
from worker.inference.outputs.quantifications import ChannelEntry, VolumeRatioEntry
from worker.inference.outputs.segments import numbers_within
from worker.inference.steps import (
    Channels,
    ClipKept,
    ClipPercentiles,
    CustomStep,
    DecisionStep,
    MaskStep,
    NormaliseChannels,
    PreprocessingStep,
    RepeatChannel,
    ScoreStep,
)

_IN_MILLIMETRES = ("resample_to_spacing", "resample_to_grid", "resample_nnunet")


def disagreements(manifest: ManifestKeys) -> list[str]:
    """Everything that does not agree."""
    return [
        *_weights(manifest),
        *_variants(manifest),
        *_postprocessing(manifest),
        *_thresholds(manifest),
        *_kinds(manifest),
        *_channels(manifest),
        *_kept(manifest),
        *_custom(manifest),
        *_segments(manifest),
        *_spaces(manifest),
        *_inputs(manifest),
    ]


def chains(manifest: ManifestKeys) -> Iterator[tuple[str, tuple[PreprocessingStep, ...]]]:
    """Every preprocessing chain with its place, in the order in which they run."""
    yield "preprocessing", manifest.preprocessing
    mode = manifest.inference
    if isinstance(mode, LocaliseThenSegment):
        yield "inference.localiser.preprocessing", mode.localiser.preprocessing
        yield "inference.segmenter.preprocessing", mode.segmenter.preprocessing
    if isinstance(mode, Cascade | NnunetCascade):
        yield "inference.first.preprocessing", mode.first.preprocessing
        yield "inference.second.preprocessing", mode.second.preprocessing


def guard_chains(manifest: ManifestKeys) -> Iterator[tuple[str, tuple[PreprocessingStep, ...]]]:
    """The chains of guards that ask a net; each begins at the source."""
    for index, guard in enumerate(manifest.guards.input):
        if isinstance(guard, NetGuard):
            yield f"guards.input[{index}].preprocessing", guard.preprocessing


def _weights(manifest: ManifestKeys) -> list[str]:
    known = [entry.id for entry in manifest.weights]
    used = {net.weights for net in manifest.nets()}
    found = [f'weights "{i}" are listed twice' for i in sorted({i for i in known if known.count(i) > 1})]
    found += [f'a net uses weights "{i}", which are not listed{nearest(i, known)}' for i in sorted(used - {*known})]
    variants = {entry.id for entry in manifest.weights if entry.variant_of is not None}
    found += [f'weights "{i}" are listed but no net uses them' for i in sorted({*known} - used - variants)]
    return found


def _variants(manifest: ManifestKeys) -> list[str]:
    """Weights that may run in the place of others."""
    entries = {entry.id: entry for entry in manifest.weights}
    used = {net.weights for net in manifest.nets()}
    found = []
    offered: dict[tuple[str, str], str] = {}
    for entry in manifest.weights:
        if entry.variant_of is None:
            continue
        base = entries.get(entry.variant_of)
        where = f'weights "{entry.id}" are a variant of "{entry.variant_of}", '
        if entry.id in used:
            found.append(where + "but a net names them; it must name what they are a variant of")
        if base is None:
            found.append(where + f"which are not listed{nearest(entry.variant_of, entries)}")
            continue
        if base.variant_of is not None:
            found.append(where + "which are a variant themselves")
        if base.precision == entry.precision:
            found.append(where + f"which have the same precision ({entry.precision})")
        twin = offered.setdefault((entry.variant_of, entry.precision), entry.id)
        if twin != entry.id:
            found.append(where + f'and so are "{twin}" in the same precision ({entry.precision})')
    return found


def _postprocessing(manifest: ManifestKeys) -> list[str]:
    steps = manifest.postprocessing
    decisions = [i for i, step in enumerate(steps) if isinstance(step, DecisionStep)]
    if not manifest.outputs.segments:
        return [
            f"postprocessing[{i}]: {step.step} makes or changes labels, but outputs has no segments"
            for i, step in enumerate(steps)
            if not isinstance(step, ScoreStep)
        ]
    if len(decisions) != 1:
        return [f"postprocessing needs exactly one argmax or threshold step; found {len(decisions)}"]
    found = [
        f"postprocessing[{i}]: {step.step} works on scores and must come before {steps[decisions[0]].step}"
        for i, step in enumerate(steps)
        if isinstance(step, ScoreStep) and i > decisions[0]
    ]
    found += [
        f"postprocessing[{i}]: {step.step} works on labels and must come after {steps[decisions[0]].step}"
        for i, step in enumerate(steps)
        if isinstance(step, MaskStep) and i < decisions[0]
    ]
    return found


def _thresholds(manifest: ManifestKeys) -> list[str]:
    names = [threshold.name for threshold in manifest.thresholds]
    used = [
        (f"postprocessing[{i}]", name)
        for i, step in enumerate(manifest.postprocessing)
        if isinstance(step, DecisionStep)
        for name in step.thresholds()
    ]
    used += manifest.outputs.thresholds()
    wanted = {name for _, name in used}
    found = [f'{where}: threshold "{name}" is not listed{nearest(name, names)}' for where, name in used
             if name not in names]  # fmt: skip
    found += [f'threshold "{name}" is listed but no step uses it' for name in names if name not in wanted]
    found += [f'threshold "{name}" is listed twice' for name in sorted({n for n in names if names.count(n) > 1})]
    return found


def _kinds(manifest: ManifestKeys) -> list[str]:
    """Outputs against what the inference mode answers."""
    kind = manifest.inference.kind
    outputs = manifest.outputs
    needs: list[tuple[str, tuple[str, ...]]] = []
    if outputs.segments:
        needs.append(("outputs.segments", ("scores",)))
    needs += [(f"outputs.heat_maps[{i}]", ("scores",)) for i in range(len(outputs.heat_maps))]
    needs += [(f"outputs.classifications[{i}]", ("scores", "ratings")) for i in range(len(outputs.classifications))]
    for i, quantification in enumerate(outputs.quantifications):
        if isinstance(quantification, ChannelEntry):
            needs.append((f"outputs.quantifications[{i}]", ("scores", "ratings")))
    for i, detection in enumerate(outputs.detections):
        if isinstance(detection, PeaksEntry):
            needs.append((f"outputs.detections[{i}]", ("scores",)))
        if isinstance(detection, BoxesEntry):
            needs.append((f"outputs.detections[{i}]", ("boxes",)))
    words = {"scores": "a score map", "ratings": "numbers about the image", "boxes": "boxes"}
    return [
        f"{where} needs {' or '.join(words[one] for one in wanted)}, but inference answers {words[kind]}"
        for where, wanted in needs
        if kind not in wanted
    ]


def _channels(manifest: ManifestKeys) -> list[str]:
    net = manifest.inference.answer()
    count = net.output.shape[1] if isinstance(net, Net) else 0
    if isinstance(count, str):
        return []
    return [
        f"{where}: channel {channel} does not exist; the output has {count} (from 0)"
        for where, channel in manifest.outputs.channels()
        if channel >= count
    ]


def _kept(manifest: ManifestKeys) -> list[str]:
    found = _kept_in(chains(manifest))
    for one in guard_chains(manifest):
        found += _kept_in([one])
    return found


def _kept_in(several: Iterable[tuple[str, tuple[PreprocessingStep, ...]]]) -> list[str]:
    kept: set[str] = set()
    found = []
    for where, chain in several:
        for index, step in enumerate(chain):
            if isinstance(step, ClipKept) and step.kept not in kept:
                found.append(f'{where}[{index}]: nothing was kept as "{step.kept}" before{nearest(step.kept, kept)}')
            if isinstance(step, ClipPercentiles) and step.keep_as is not None:
                kept.add(step.keep_as)
    return found


def _custom(manifest: ManifestKeys) -> list[str]:
    """Custom steps against ``[custom]``; only the common chain may have them."""
    found = [
        f"{where}[{index}]: custom steps stand in preprocessing and postprocessing only, not in the chain of a stage"
        for where, chain in (*chains(manifest), *guard_chains(manifest))
        for index, step in enumerate(chain)
        if isinstance(step, CustomStep) and where != "preprocessing"
    ]
    used = manifest.custom_steps
    if used and manifest.custom is None:
        found.append(f'step "custom" with method "{used[0].method}" needs [custom], which names the Python file')
    if manifest.custom is not None and not used:
        found.append(f"custom names {manifest.custom.file}, but no step calls it")
    return found


def _segments(manifest: ManifestKeys) -> list[str]:
    numbers = numbers_within(manifest.outputs.segments)
    added = [(f"guards.result[{i}]", guard.segments) for i, guard in enumerate(manifest.guards.result)]
    for i, entry in enumerate(manifest.outputs.quantifications):
        if isinstance(entry, VolumeRatioEntry):
            where = f"outputs.quantifications[{i}]"
            added += [(f"{where}.segments_of", entry.segments_of), (f"{where}.segments_over", entry.segments_over)]
    used = [(where, label) for where, together in added for label in together]
    for i, detection in enumerate(manifest.outputs.detections):
        if isinstance(detection, ComponentsEntry):
            used.append((f"outputs.detections[{i}]", detection.segment))
    found = [f'{where}: there is no segment "{label}"{nearest(label, list(numbers))}' for where, label in used
             if label not in numbers]  # fmt: skip
    for where, together in added:
        counted = [number for label in together for number in numbers.get(label, ())]
        if len(set(counted)) != len(counted):
            found.append(f"{where}: one of {', '.join(together)} lies in another, and would be counted twice")
    return found


def _spaces(manifest: ManifestKeys) -> list[str]:
    """Steps that need millimetres, against images that have none."""
    if all("pixels" not in contract.spaces for contract in manifest.contracts.values()):
        return []
    return [
        f'{where}[{index}]: {step.step} needs millimetres, but input.spaces allows "pixels"'
        for where, chain in (*chains(manifest), *guard_chains(manifest))
        for index, step in enumerate(chain)
        if step.step in _IN_MILLIMETRES
    ]


def _inputs(manifest: ManifestKeys) -> Iterator[str]:
    """Several inputs against each other, and the chain against their number: they are its channels."""
    if manifest.inputs is None:
        return
    names = [one.name for one in manifest.inputs]
    yield from (f'input "{name}" is listed twice' for name in sorted({n for n in names if names.count(n) > 1}))
    yield from (
        f"inputs[0]: {key} is stated, but the first input is the reference"
        + ("; its guards stand under guards.input" if key == "guards" else ", which the others are brought to")
        for key in manifest.inputs[0].stated_of_further
    )
    mode = manifest.inference
    if isinstance(mode.of if isinstance(mode, Ensemble) else mode, Clips):
        yield "inference: mode clips is for one input: frames in time have no grid that others could be brought to"
    for where, chain in chains(manifest):
        if where.startswith("guards."):  # a guard's net sees the reference alone
            continue
        for index, step in enumerate(chain):
            if isinstance(step, Channels | RepeatChannel):
                yield f"{where}[{index}]: {step.step} takes the first channel alone; the other inputs would be left out"
            elif isinstance(step, NormaliseChannels) and len(step.mean) != len(names):
                yield f"{where}[{index}]: {step.step} is for {len(step.mean)} channels; there are {len(names)} inputs"
            elif (channel := getattr(step, "channel", None)) is not None and channel >= len(names):
                yield f"{where}[{index}]: channel {channel} does not exist; there are {len(names)} inputs (from 0)"
    yield from _fed(manifest, len(names))


def _fed(manifest: ManifestKeys, count: int) -> Iterator[str]:
    """The channels that a net gets, where the manifest says their number."""
    mode = manifest.inference
    if isinstance(mode, Cascade | LocaliseThenSegment | NnunetCascade):  # the second of their nets may get more
        return
    planes = 2 * getattr(mode.of if isinstance(mode, Ensemble) else mode, "neighbours", 0) + 1
    for net in mode.nets():
        channels = net.input.shape[1]
        if isinstance(channels, int) and channels != count * planes:
            yield f'the input "{net.input.name}" has {channels} channels; {count} inputs make {count * planes}'
