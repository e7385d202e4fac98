"""Several inputs as one image: each sampled onto the grid of the first, stacked in the manifest's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import NotApplicableError, PermanentError
from worker.domain.findings import QualityStatement
from worker.domain.volume import Volume
from worker.inference.guards.run_checks import check_contract
from worker.inference.image import Float, Image, Mask, index_map
from worker.inference.manifest.manifest import Manifest
from worker.inference.manifest.named_input import NamedInput
from worker.inference.steps.sampling import sample

_SEVERAL = "Look at the series in `overread explain`: a rule or a condition may choose better ones."


class Alignment(Protocol):
    """How a further input lies to the reference, as a registration found it."""

    @property
    def to_input_lps(self) -> NDArray[np.float64]:
        """4x4: from a place in the reference's frame (LPS, mm) to the same place in the input's frame."""

    @property
    def said(self) -> str:
        """What was done, with its figures, as half a sentence."""


Register = Callable[[Volume, Volume], Alignment]
"""``register(reference, moving)``; raises NotApplicableError (``registration-failed``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """The stacked image, and what is to be said of how it was made: in notes, and in the result itself."""

    image: Image
    notes: tuple[str, ...] = ()
    statements: tuple[QualityStatement, ...] = ()


def assemble(manifest: Manifest, volume: Volume, further: Sequence[Volume], register: Register) -> Assembled:
    """Stack the inputs of a model on the grid of the first.

    Parameters
    ----------
    volume:
        The reference, (slice, row, column).
    further:
        The other inputs in the order of the manifest, each on its own grid.
    register:
        Asked for inputs of another Frame of Reference where the manifest allows it.

    Returns
    -------
    Assembled
        Its image is float32 (input, slice, row, column) on the reference's grid.

    Raises
    ------
    NotApplicableError
        What ``bring`` raises.
    """
    if not further:
        return Assembled(Image(volume.voxels[None], volume.geometry))
    reference = next(iter(manifest.contracts))
    stacked: Float = np.empty((1 + len(further), *volume.geometry.shape), dtype=np.float32)
    stacked[0] = volume.voxels
    notes: list[str] = []
    statements: list[QualityStatement] = []
    for number, (entry, one) in enumerate(zip(manifest.further, further, strict=True), start=1):
        values, note, registered = bring(entry, one, volume, register, reference=reference)
        stacked[number] = values
        if registered:
            statements.append(QualityStatement(code="input-registered", text=note))
        else:
            notes.append(note)
    return Assembled(Image(stacked, volume.geometry), tuple(notes), tuple(statements))


def check_further(manifest: Manifest, further: Sequence[Volume]) -> None:
    """Ask each further input what its contract and its guards ask, as it was acquired.

    Raises
    ------
    PermanentError
        ``inputs-mismatch``: another number of volumes than the manifest has inputs.
    NotApplicableError
        As ``check_contract`` and the guards do; the message names the input.
    """
    if len(further) != len(manifest.further):
        raise PermanentError(
            f"The model has {len(manifest.contracts)} input(s); {1 + len(further)} volume(s) were given.",
            next_step="Report this with the job's timeline.",
            code="inputs-mismatch",
        )
    for entry, volume in zip(manifest.further, further, strict=True):
        try:
            check_contract(entry, volume)
            for guard in entry.guards:
                guard.check(volume)
        except NotApplicableError as error:
            raise NotApplicableError(
                f'Input "{entry.name}": {error.message}', next_step=error.next_step, code=error.code
            ) from error


def bring(
    entry: NamedInput, volume: Volume, onto: Volume, register: Register, *, reference: str
) -> tuple[Float, str, bool]:
    """Sample a further input at the voxels of the reference, once, whatever lies between the two grids.

    Returns
    -------
    tuple
        float32 of the reference's shape, a sentence on what was done, and whether it was registered.

    Raises
    ------
    NotApplicableError
        ``frame-of-reference``: the two lie in different frames, and the manifest does not allow to register;
        ``registration-failed``; ``input-coverage``: too little of the reference is covered.
    """
    matrix = index_map(of=onto.geometry, into=volume.geometry)
    said, registered = "by its patient coordinates (same Frame of Reference)", False
    if not _same_frame(volume, onto):
        if entry.registration == "never":
            raise NotApplicableError(
                f'Input "{entry.name}" and the reference "{reference}" have different Frames of Reference, and the '
                "model does not allow to register them.",
                next_step=_SEVERAL,
                code="frame-of-reference",
            )
        found = register(onto, volume)
        matrix = np.linalg.inv(volume.geometry.affine_lps) @ found.to_input_lps @ onto.geometry.affine_lps
        said, registered = found.said, True
    sampled, inside = sample(volume.voxels[None], matrix, onto.geometry.shape, interpolation=entry.interpolation)
    covered = _part(inside)
    if covered < entry.least_covered:
        raise NotApplicableError(
            f'Input "{entry.name}" covers {covered:.0%} of the reference "{reference}"; at least '
            f"{entry.least_covered:.0%} are needed.",
            next_step=_SEVERAL,
            code="input-coverage",
        )
    values: Float = sampled[0] if inside is None else np.where(inside, sampled[0], np.float32(entry.outside))
    note = f'Input "{entry.name}" was brought onto the grid of "{reference}" {said}; it covers {covered:.0%} of it.'
    return values, note, registered


def _same_frame(one: Volume, other: Volume) -> bool:
    """Both say which frame they lie in, and it is one (PS3.3 C.7.4.1); without a UID nothing is known."""
    return one.frame_of_reference_uid is not None and one.frame_of_reference_uid == other.frame_of_reference_uid


def _part(inside: Mask | None) -> float:
    return 1.0 if inside is None else float(np.count_nonzero(inside)) / inside.size
