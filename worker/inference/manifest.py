"""The manifest of a model package, schema version 1: what it says, and what must agree within it."""

from __future__ import annotations

import json
import tomllib
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from worker.domain.errors import ConfigurationError
from worker.inference.contract import InputContract
from worker.inference.guards import Guards
from worker.inference.modes import LocaliseThenSegment, Mode
from worker.inference.outputs import CodeEntry, Name, Outputs, Threshold
from worker.inference.steps import (
    AboveThreshold,
    ClipKept,
    ClipPercentiles,
    DecisionStep,
    MaskStep,
    PostprocessingStep,
    PreprocessingStep,
    ScoreStep,
)
from worker.inference.strict import Strict, nearest, problems

SCHEMA_VERSION = 1
Sentence = Annotated[str, Field(min_length=1)]


class Identity(Strict):
    """What the package is called. The name is also that of its default routing rule."""

    name: Name
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.-]+)?$", max_length=64)]
    title: Annotated[str, Field(min_length=1, max_length=64)]


class AlgorithmEntry(Strict):
    """Algorithm identification as it is written into results (PS3.16 TID 4019)."""

    title: Annotated[str, Field(min_length=1, max_length=64)]
    manufacturer: Annotated[str, Field(min_length=1, max_length=64)]
    family: CodeEntry = CodeEntry(value="123110", scheme="DCM", meaning="Artificial Intelligence")


class WeightsEntry(Strict):
    """A file of weights inside the package folder, pinned by its content."""

    id: Name
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$", max_length=255)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Licence(Strict):
    """Under which terms the weights may be used; ``spdx`` is an SPDX identifier or expression."""

    spdx: Sentence
    notice: Sentence


class Hardware(Strict):
    """What a run needs beside the operating system and Python: a fixed part and a part per voxel of the source."""

    memory_mb: Annotated[int, Field(ge=1)]
    memory_bytes_per_voxel: Annotated[int, Field(ge=1)] = 24


class Manifest(Strict):
    """A model package: everything that is needed to run the model, to write its result, and to judge it."""

    schema_version: Literal[1]
    package: Identity
    algorithm: AlgorithmEntry
    intended_use: Sentence
    not_for: Annotated[tuple[Sentence, ...], Field(min_length=1)]
    limits: Annotated[tuple[Sentence, ...], Field(min_length=1)]
    training_data: Sentence
    licence: Licence
    weights: Annotated[tuple[WeightsEntry, ...], Field(min_length=1)]
    hardware: Hardware
    input: InputContract
    guards: Guards
    preprocessing: tuple[PreprocessingStep, ...]
    inference: Mode
    postprocessing: Annotated[tuple[PostprocessingStep, ...], Field(min_length=1)]
    thresholds: tuple[Threshold, ...] = ()
    outputs: Outputs

    @property
    def score_steps(self) -> tuple[ScoreStep, ...]:
        """The steps before the decision, on the net's grid."""
        return tuple(step for step in self.postprocessing if isinstance(step, ScoreStep))

    @property
    def decision(self) -> DecisionStep:
        """The step that turns scores into labels on the source's grid."""
        return next(step for step in self.postprocessing if isinstance(step, DecisionStep))

    @property
    def mask_steps(self) -> tuple[MaskStep, ...]:
        """The steps after the decision, on the source's grid."""
        return tuple(step for step in self.postprocessing if isinstance(step, MaskStep))

    @model_validator(mode="after")
    def _agrees(self) -> Manifest:
        found = [
            *_weights_disagree(self),
            *_postprocessing_disagrees(self),
            *_channels_disagree(self),
            *_kept_disagree(self),
            *_segments_disagree(self),
        ]
        if found:
            raise ValueError("; ".join(found))
        return self


def _weights_disagree(manifest: Manifest) -> list[str]:
    known = [entry.id for entry in manifest.weights]
    used = {net.weights for net in manifest.inference.nets()}
    found = [f'weights "{i}" are listed twice' for i in sorted({i for i in known if known.count(i) > 1})]
    found += [f'inference uses weights "{i}", which are not listed{nearest(i, known)}' for i in sorted(used - {*known})]
    found += [f'weights "{i}" are listed but no net uses them' for i in sorted({*known} - used)]
    return found


def _postprocessing_disagrees(manifest: Manifest) -> list[str]:
    steps = manifest.postprocessing
    decisions = [i for i, step in enumerate(steps) if isinstance(step, DecisionStep)]
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
    decision = steps[decisions[0]]
    names = [threshold.name for threshold in manifest.thresholds]
    wanted = decision.threshold if isinstance(decision, AboveThreshold) else None
    if wanted is not None and wanted not in names:
        found.append(f'postprocessing[{decisions[0]}]: threshold "{wanted}" is not listed{nearest(wanted, names)}')
    found += [f'threshold "{name}" is listed but no step uses it' for name in names if name != wanted]
    return found


def _channels_disagree(manifest: Manifest) -> list[str]:
    count = manifest.inference.answer().output.shape[1]
    if isinstance(count, str):
        return []
    return [
        f"outputs.segments[{i}]: channel {segment.channel} does not exist; the output has {count} (from 0)"
        for i, segment in enumerate(manifest.outputs.segments)
        if segment.channel >= count
    ]


def _kept_disagree(manifest: Manifest) -> list[str]:
    common = manifest.preprocessing
    mode = manifest.inference
    chains = [("preprocessing", common)]
    if isinstance(mode, LocaliseThenSegment):
        chains.append(("inference.localiser.preprocessing", mode.localiser.preprocessing))
        chains.append(("inference.segmenter.preprocessing", mode.segmenter.preprocessing))
    kept: set[str] = set()
    found = []
    for where, chain in chains:
        for index, step in enumerate(chain):
            if isinstance(step, ClipKept) and step.kept not in kept:
                found.append(f'{where}[{index}]: nothing was kept as "{step.kept}" before{nearest(step.kept, kept)}')
            if isinstance(step, ClipPercentiles) and step.keep_as is not None:
                kept.add(step.keep_as)
    return found


def _segments_disagree(manifest: Manifest) -> list[str]:
    labels = [segment.label for segment in manifest.outputs.segments]
    return [
        f'guards.result[{i}]: there is no segment "{label}"{nearest(label, labels)}'
        for i, guard in enumerate(manifest.guards.result)
        for label in guard.segments
        if label not in labels
    ]


def parse_manifest(content: bytes) -> Manifest:
    """Read ``manifest.toml``.

    Raises
    ------
    ConfigurationError
        ``manifest-not-toml`` with line and column, or ``manifest-invalid`` with one line per problem: the key, the
        value that was found, what was expected.
    """
    try:
        data = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"manifest.toml is not TOML: {error}.",
            next_step="Correct the syntax at that place (https://toml.io).",
            code="manifest-not-toml",
        ) from error
    return manifest_of(data)


def manifest_of(data: dict[str, Any]) -> Manifest:
    """Validate parsed content; raises ConfigurationError (``manifest-invalid``) as ``parse_manifest`` does."""
    try:
        # By way of JSON: TOML lists become tuples, and everything else must have its type as it stands.
        return Manifest.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        lines = problems(Manifest, error)
        raise ConfigurationError(
            f"manifest.toml has {len(lines)} problem{'s' if len(lines) > 1 else ''}:\n  " + "\n  ".join(lines),
            next_step="The keys are described in docs/schema/model-package-1.schema.json.",
            code="manifest-invalid",
        ) from error
