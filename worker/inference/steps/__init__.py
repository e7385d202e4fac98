"""Named steps: a new one is a file (or a class in a fitting file) and its name in one of the unions below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from worker.inference.image import Image
from worker.inference.steps.crop import CropToForeground, PadToMultiple, PadToSquare
from worker.inference.steps.custom import CustomCode, CustomOnImage, CustomOnLabels, CustomOnScores, CustomStep
from worker.inference.steps.decide import AboveThreshold, Argmax, Hysteresis, LastAbove
from worker.inference.steps.intensity import Channels, Clip, ClipKept, ClipPercentiles, ScaleShift, ZScore
from worker.inference.steps.masks import FillHoles, LargestComponent, MinVolume
from worker.inference.steps.nnunet import ResampleNnunet
from worker.inference.steps.orient import Rectify, Reorient
from worker.inference.steps.resample import CropOrPad, ResampleToGrid, ResampleToShape, ResampleToSpacing
from worker.inference.steps.scaling import NormaliseChannels, RepeatChannel, ScalePercentiles, WindowLevel
from worker.inference.steps.scores import Sigmoid, Softmax

PreprocessingStep = Annotated[
    Reorient
    | Rectify
    | ResampleToSpacing
    | ResampleToShape
    | ResampleToGrid
    | ResampleNnunet
    | CropOrPad
    | CropToForeground
    | PadToMultiple
    | PadToSquare
    | Clip
    | ClipPercentiles
    | ClipKept
    | ZScore
    | ScaleShift
    | WindowLevel
    | ScalePercentiles
    | Channels
    | RepeatChannel
    | NormaliseChannels
    | CustomOnImage,
    Field(discriminator="step"),
]
"""From the source to the net: Image in, Image out."""

ScoreStep = Softmax | Sigmoid | CustomOnScores
"""On what the net says: Scores in, Scores out."""

DecisionStep = Argmax | AboveThreshold | LastAbove | Hysteresis
"""From scores on the net's grid to labels on the source's: exactly one in a chain that makes segments."""

MaskStep = LargestComponent | FillHoles | MinVolume | CustomOnLabels
"""On the labels, on the source's grid."""

PostprocessingStep = Annotated[ScoreStep | DecisionStep | MaskStep, Field(discriminator="step")]


def preprocess(image: Image, chain: Iterable[PreprocessingStep], code: CustomCode | None = None) -> Image:
    """Run the steps one after another; ``code`` is what custom steps call."""
    for step in chain:
        image = step.apply(image, code) if isinstance(step, CustomOnImage) else step.apply(image)
    return image


__all__ = [
    "AboveThreshold",
    "Argmax",
    "Channels",
    "ClipKept",
    "ClipPercentiles",
    "CustomCode",
    "CustomOnImage",
    "CustomOnLabels",
    "CustomOnScores",
    "CustomStep",
    "DecisionStep",
    "MaskStep",
    "NormaliseChannels",
    "PostprocessingStep",
    "PreprocessingStep",
    "RepeatChannel",
    "ScoreStep",
    "preprocess",
]
