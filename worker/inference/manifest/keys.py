"""The keys of the manifest, schema version 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from worker.inference.entries.contract import InputContract
from worker.inference.entries.description import Bias, Evaluation, Licence, Sentence
from worker.inference.entries.nets import AnyNet
from worker.inference.entries.strict import Strict
from worker.inference.entries.weights import CustomSteps, Hardware, WeightsEntry
from worker.inference.guards.guards import Guards
from worker.inference.manifest.named_input import NamedInput
from worker.inference.modes import Mode
from worker.inference.outputs import CodeEntry, Name, Outputs, Threshold
from worker.inference.steps import (
    CustomStep,
    DecisionStep,
    MaskStep,
    PostprocessingStep,
    PreprocessingStep,
    ScoreStep,
)

SCHEMA_VERSION = 1
REFERENCE = "image"
"""What a single input is called."""


class Identity(Strict):
    """What the package is called. The name is also that of its default routing rule."""

    name: Name
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.-]+)?$", max_length=64)]
    title: Annotated[str, Field(min_length=1, max_length=64)]
    experimental: Annotated[
        bool,
        Field(description="No product: routed to only where the site lists its name in models.experimental."),
    ] = False


class AlgorithmEntry(Strict):
    """Algorithm identification as it is written into results (PS3.16 TID 4019)."""

    title: Annotated[str, Field(min_length=1, max_length=64)]
    manufacturer: Annotated[str, Field(min_length=1, max_length=64)]
    family: CodeEntry = CodeEntry(value="123110", scheme="DCM", meaning="Artificial Intelligence")


def _one_or_several(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": ["input"]}, {"required": ["inputs"]}]


class ManifestKeys(Strict):
    """The keys of a manifest, each right by itself; what must agree between them is checked by ``Manifest``."""

    model_config = ConfigDict(json_schema_extra=_one_or_several)

    schema_version: Literal[1]
    package: Identity
    algorithm: AlgorithmEntry
    intended_use: Sentence
    not_for: Annotated[tuple[Sentence, ...], Field(min_length=1)]
    limits: Annotated[tuple[Sentence, ...], Field(min_length=1)]
    bias: tuple[Bias, ...] = ()
    training_data: Sentence
    evaluation: tuple[Evaluation, ...] = ()
    licence: Licence
    weights: Annotated[tuple[WeightsEntry, ...], Field(min_length=1)]
    hardware: Hardware
    input: InputContract | None = None
    inputs: Annotated[tuple[NamedInput, ...], Field(min_length=2, max_length=16)] | None = None
    guards: Guards
    custom: CustomSteps | None = None
    preprocessing: tuple[PreprocessingStep, ...]
    inference: Mode
    postprocessing: tuple[PostprocessingStep, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    outputs: Outputs

    @property
    def contracts(self) -> Mapping[str, InputContract]:
        """Every input by name; the first is the reference, on whose grid the findings lie."""
        if self.inputs is not None:
            return {one.name: one for one in self.inputs}
        if self.input is None:
            raise ValueError("a manifest without input and inputs cannot have been parsed")
        return {REFERENCE: self.input}

    @property
    def reference(self) -> InputContract:
        """What the series must be on whose grid the findings lie."""
        return next(iter(self.contracts.values()))

    def nets(self) -> tuple[AnyNet, ...]:
        """Every net that a run may need: of the inference, then of the guards."""
        return (*self.inference.nets(), *self.guards.nets())

    @property
    def further(self) -> tuple[NamedInput, ...]:
        """The inputs that are brought onto the reference's grid, in the order of their channels; none for one input."""
        return self.inputs[1:] if self.inputs is not None else ()

    @property
    def score_steps(self) -> tuple[ScoreStep, ...]:
        """The steps before the decision, on the net's grid."""
        return tuple(step for step in self.postprocessing if isinstance(step, ScoreStep))

    @property
    def decision(self) -> DecisionStep | None:
        """The step that turns scores into labels on the source's grid; None for a model without segments."""
        return next((step for step in self.postprocessing if isinstance(step, DecisionStep)), None)

    @property
    def mask_steps(self) -> tuple[MaskStep, ...]:
        """The steps after the decision, on the source's grid."""
        return tuple(step for step in self.postprocessing if isinstance(step, MaskStep))

    @property
    def custom_steps(self) -> tuple[CustomStep, ...]:
        """The steps that call the package's own Python file."""
        return tuple(step for step in (*self.preprocessing, *self.postprocessing) if isinstance(step, CustomStep))
