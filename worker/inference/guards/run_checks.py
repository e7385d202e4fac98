"""What is asked of a volume before a run, and of a net's answer after it, whatever the model."""

from __future__ import annotations

import numpy as np

from worker.domain.errors import NotApplicableError, PermanentError
from worker.domain.volume import Volume
from worker.inference.answers import Answer, Candidates, Ratings
from worker.inference.entries.contract import InputContract
from worker.inference.entries.nets import AnyNet
from worker.inference.guards.guards import check_values
from worker.inference.image import Float, Scores


def check_contract(contract: InputContract, volume: Volume) -> None:
    """What routing has asked of the headers, asked of the pixels' own geometry. Raises NotApplicableError."""
    if volume.modality not in contract.modalities:
        raise NotApplicableError(
            f"Modality is {volume.modality}; the model is for {' or '.join(contract.modalities)}.", code="modality"
        )
    if volume.space not in contract.spaces:
        raise NotApplicableError(
            f"The image is one of {volume.space.value} space; the model is for {' or '.join(contract.spaces)}.",
            code="space",
        )
    count = volume.geometry.shape[0]
    if not contract.slices.hold(count):
        raise NotApplicableError(f"The volume has {count} slices; expected {contract.slices}.", code="slice-count")
    spacing = volume.geometry.spacing_mm[0]
    bounds = contract.slice_spacing_mm
    if bounds is not None and volume.in_patient_space and not bounds.hold(round(spacing, 3)):
        raise NotApplicableError(f"The slices are {spacing:.2f} mm apart; expected {bounds}.", code="slice-spacing")
    check_values(volume.voxels)


def check_finite(net: AnyNet, result: Float) -> None:
    """Raise PermanentError (``output-not-finite``) when what a net packed has NaN or infinity in it."""
    # The sum first: it is finite for nearly every answer, and takes no array of its own.
    if not np.isfinite(result.sum(dtype=np.float64)) and not np.isfinite(result).all():
        raise PermanentError(
            f'Output "{net.outputs[0].name}" of net {net.weights} has values that are not finite numbers.',
            next_step="No result is made. Report the case to the model's maker.",
            code="output-not-finite",
        )


def check_not_constant(answer: Answer) -> None:
    """Raise PermanentError (``output-constant``) when the net says the same of everything.

    One rating has nothing to differ from but its own channels; no box at all is an answer.
    """
    match answer:
        case Scores(values=values):
            constant = all(float(channel.max()) == float(channel.min()) for channel in values)
        case Ratings(values=values):
            constant = values.size > 1 and bool(np.all(values == values.flat[0]))
        case Candidates():
            constant = False
    if constant:
        raise PermanentError(
            "The net's output is the same everywhere: it did not react to the image.",
            next_step="No result is made. Compare the preprocessing chain with what the net was trained on.",
            code="output-constant",
        )
