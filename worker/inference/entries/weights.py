"""What a manifest says of files: weights, their variants and origins, custom steps, and what a run needs."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from worker.inference.entries.output_parts import Name
from worker.inference.entries.strict import Strict

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$", max_length=255)]
Precision = Literal["fp32", "fp16", "int8"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class PinnedFile(Strict):
    """A file of the package, pinned by its content.

    ``url`` (https) is where it may be fetched from when it is not in the folder; a site has to allow that.
    ``size_bytes`` is its exact size.
    """

    file: FileName
    sha256: Sha256
    url: Annotated[str, Field(pattern=r"^https://[^/\s@]+/[^\s]*$", max_length=2000)] | None = None
    size_bytes: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if self.url is not None and self.size_bytes is None:
            raise ValueError("size_bytes is missing; weights that are fetched state their size")
        if self.url is not None:
            _ = urlsplit(self.url).port  # raises ValueError for an address that is none
        return self


class ExternalData(PinnedFile):
    """A file that holds tensors of an ONNX file, beside it, pinned by its content."""


class WeightsEntry(PinnedFile):
    """A file of weights inside the package folder, pinned by its content.

    ``url`` (https) is where the file may be fetched from when it is not in the folder; a site has to allow that.
    ``external`` lists every further file that holds its tensors. ``precision`` is what it was converted to, and
    ``precision_note`` what that costs in accuracy. ``variant_of`` names the weights in whose place these may run, with
    the same inputs and outputs, where a site chooses their precision; nets name the others.
    """

    id: Name
    external: tuple[ExternalData, ...] = ()
    precision: Precision = "fp32"
    precision_note: str = ""
    variant_of: Name | None = None

    @model_validator(mode="after")
    def _stated(self) -> WeightsEntry:
        if self.precision != "fp32" and not self.precision_note:
            raise ValueError(f"precision_note is missing; say what {self.precision} costs in accuracy against fp32")
        return self


class Hardware(Strict):
    """What a run needs beside the operating system and Python: a fixed part and a part per voxel of the source."""

    memory_mb: Annotated[int, Field(ge=1)]
    memory_bytes_per_voxel: Annotated[int, Field(ge=1)] = 24
    gpu_memory_mb: Annotated[int, Field(ge=1)] | None = None
    note: str = ""


class CustomSteps(Strict):
    """A Python file of the package with steps of its own; it runs only where the site trusts the file by its digest.

    ``class_name`` is the class in it, whose methods the steps ``custom``, ``custom_scores`` and ``custom_labels`` name.
    See "Custom steps" in docs/add-a-model.md.
    """

    file: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.py$", max_length=64)]
    sha256: Sha256
    class_name: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)]
