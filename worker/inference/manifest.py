"""The manifest of a model package, schema version 1: what it says, and what must agree within it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from worker.domain.errors import ConfigurationError
from worker.inference.contract import InputContract
from worker.inference.description import Bias, Evaluation, Licence, Sentence
from worker.inference.guards import Guards
from worker.inference.manifest_checks import disagreements
from worker.inference.modes import Mode
from worker.inference.named_input import NamedInput
from worker.inference.nets import AnyNet
from worker.inference.outputs import CodeEntry, Name, Outputs, Threshold
from worker.inference.steps import (
    CustomStep,
    DecisionStep,
    MaskStep,
    PostprocessingStep,
    PreprocessingStep,
    ScoreStep,
)
from worker.inference.strict import Strict, problems
from worker.inference.weights_entry import CustomSteps, Hardware, WeightsEntry

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


class Manifest(Strict):
    """A model package: everything that is needed to run the model, to write its result, and to judge it."""

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

    @model_validator(mode="after")
    def _agrees(self) -> Manifest:
        if (self.input is None) == (self.inputs is None):
            raise ValueError("expected either input (one series) or inputs (several), and not both")
        found = disagreements(self)
        if found:
            raise ValueError(".\n".join(found))
        return self


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
