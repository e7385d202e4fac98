"""Inference modes: a new one is a file with one class, and its name in the union below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from worker.inference.modes.boxes import Boxes
from worker.inference.modes.cascade import Cascade
from worker.inference.modes.clips import Clips
from worker.inference.modes.ensemble import Ensemble
from worker.inference.modes.localise_then_segment import LocaliseThenSegment
from worker.inference.modes.nnunet_cascade import NnunetCascade
from worker.inference.modes.slices import Slices
from worker.inference.modes.sliding_window import SlidingWindow
from worker.inference.modes.volume import WholeVolume

Mode = Annotated[
    Slices | WholeVolume | SlidingWindow | Clips | Boxes | Ensemble | Cascade | NnunetCascade | LocaliseThenSegment,
    Field(discriminator="mode"),
]
"""How nets are run over an image: Image in, an answer out."""

__all__ = [
    "Boxes",
    "Cascade",
    "Clips",
    "Ensemble",
    "LocaliseThenSegment",
    "Mode",
    "NnunetCascade",
    "Slices",
    "SlidingWindow",
    "WholeVolume",
]
