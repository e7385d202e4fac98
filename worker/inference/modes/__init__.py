"""Inference modes: a new one is a file with one class, and its name in the union below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from worker.inference.modes.localise_then_segment import LocaliseThenSegment
from worker.inference.modes.slices import Slices
from worker.inference.modes.volume import WholeVolume

Mode = Annotated[Slices | WholeVolume | LocaliseThenSegment, Field(discriminator="mode")]
"""How nets are run over an image: Image in, Scores out."""

__all__ = ["LocaliseThenSegment", "Mode", "Slices", "WholeVolume"]
