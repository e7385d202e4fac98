"""Named checks that refuse an input before the run, or a result that cannot be.

Each says what it measured and what it needs, so that the reason can stand in the job's record and in front of a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import numpy as np
import scipy
from pydantic import Field, model_validator

from worker.domain.errors import NotApplicableError
from worker.domain.findings import QualityStatement
from worker.domain.volume import Geometry, Volume
from worker.inference.entries.contract import Bounds
from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.guards.region_net import NetGuard
from worker.inference.image import Float, Image, Mask
from worker.inference.steps.orient import reorient

_LOOK_AGAIN = "Check that the series shows the body part and the modality that the model was made for."


def refuse(message: str, code: str) -> NotApplicableError:
    """The error of a guard."""
    return NotApplicableError(message, next_step=_LOOK_AGAIN, code=code)


def inside_body_ml(volume: Volume, *, lower: float, upper: float, body_above: float = -300.0) -> float:
    """Millilitres of values in lower ... upper that lie inside the body and are not open to the air outside.

    In each axial plane the body is the largest region above ``body_above`` (HU) with everything that it encloses; air
    that reaches the edge of the plane is outside. In planes, because in three dimensions the windpipe opens every
    lung to the room. Works on every n-th pixel (not finer than 2 mm): it is a sanity check, not a measurement.
    """
    image = reorient(Image(volume.voxels[None], volume.geometry), axes="SPL")
    strides = [max(1, int(2.0 / spacing)) for spacing in image.geometry.spacing_mm[1:]]
    values: Float = image.values[0, :, :: strides[0], :: strides[1]]
    found = sum(_inside_plane(plane, lower=lower, upper=upper, body_above=body_above) for plane in values)
    return found * image.geometry.voxel_volume_mm3 * strides[0] * strides[1] / 1000.0


def _inside_plane(plane: Float, *, lower: float, upper: float, body_above: float) -> int:
    dense = plane > body_above
    regions, count = scipy.ndimage.label(dense)
    if count == 0:
        return 0
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    body: Mask = scipy.ndimage.binary_fill_holes(regions == int(np.argmax(sizes)))
    return int(np.count_nonzero(body & (plane >= lower) & (plane <= upper)))


class VolumeOfRangeInsideBody(Strict):
    """Millilitres of a range of values inside the body: lungs are air inside the body, a head has next to none."""

    guard: Literal["volume_of_range_inside_body"]
    lower: float
    upper: float
    min_ml: Annotated[float, Field(ge=0)] = 0.0
    max_ml: Annotated[float, Field(gt=0)] | None = None
    body_above: float = -300.0
    what: Annotated[str, Field(min_length=1)] = "tissue"

    @model_validator(mode="after")
    def _ordered(self) -> VolumeOfRangeInsideBody:
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower:g} must be below upper {self.upper:g}")
        return self

    def check(self, volume: Volume) -> None:
        """Raise NotApplicableError (``volume-of-range``) with the millilitres that were found."""
        found = inside_body_ml(volume, lower=self.lower, upper=self.upper, body_above=self.body_above)
        of_what = f"{self.what} ({self.lower:g} to {self.upper:g} inside the body)"
        if found < self.min_ml:
            raise refuse(
                f"Found {found:.0f} mL of {of_what}; at least {self.min_ml:g} mL are needed.", "volume-of-range"
            )
        if self.max_ml is not None and found > self.max_ml:
            raise refuse(f"Found {found:.0f} mL of {of_what}; at most {self.max_ml:g} mL can be.", "volume-of-range")


class Extent(Strict):
    """The field of view along the patient's axes (L, P, S) in mm."""

    guard: Literal["extent"]
    min_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    max_mm: tuple[float, float, float] | None = None

    def check(self, volume: Volume) -> None:
        """Raise NotApplicableError (``extent``) with the field of view that was found."""
        found = extent_mm(volume.geometry)
        shown = " x ".join(f"{x:.0f}" for x in found)
        if any(has < least for has, least in zip(found, self.min_mm, strict=True)):
            least = " x ".join(f"{x:g}" for x in self.min_mm)
            raise refuse(f"The field of view is {shown} mm (left-right, front-back, foot-head); "
                         f"at least {least} mm are needed.", "extent")  # fmt: skip
        if self.max_mm and any(has > most for has, most in zip(found, self.max_mm, strict=True)):
            most = " x ".join(f"{x:g}" for x in self.max_mm)
            raise refuse(f"The field of view is {shown} mm (left-right, front-back, foot-head); "
                         f"at most {most} mm can be.", "extent")  # fmt: skip


def extent_mm(geometry: Geometry) -> tuple[float, float, float]:
    """Length of the field of view along L, P, S: the largest that one array axis covers on each."""
    covered = np.abs(geometry.affine_lps[:3, :3]) * np.asarray(geometry.shape, dtype=np.float64)
    longest = covered.max(axis=1)
    return float(longest[0]), float(longest[1]), float(longest[2])


class NotConstant(Strict):
    """The image has finite values, and more than one."""

    guard: Literal["not_constant"]

    def check(self, volume: Volume) -> None:
        """Refuse an image without contrast or with numbers that are none; raises as ``check_values``."""
        check_values(volume.voxels)


def check_values(values: Float) -> None:
    """Raise NotApplicableError when values are not finite or all the same."""
    low, high = float(values.min()), float(values.max())  # NaN and infinity come through min and max
    if not (np.isfinite(low) and np.isfinite(high)):
        raise refuse("The image has values that are not finite numbers.", "input-not-finite")
    if low == high:
        raise refuse(f"The image is constant: every voxel is {low:g}.", "input-constant")


class ValueRange(Strict):
    """Bounds on the image's extreme values (robust: the 0.1 and 99.9 percentile of every eighth voxel at least)."""

    guard: Literal["value_range"]
    low: Bounds | None = None
    high: Bounds | None = None

    def check(self, volume: Volume) -> None:
        """Raise NotApplicableError (``value-range``) with the percentiles that were found."""
        step = 2 if min(volume.voxels.shape) >= 16 else 1
        low, high = (float(x) for x in np.percentile(volume.voxels[::step, ::step, ::step], [0.1, 99.9]))
        if self.low is not None and not self.low.hold(low):
            raise refuse(f"The darkest values are {low:.0f}; expected {self.low}.", "value-range")
        if self.high is not None and not self.high.hold(high):
            raise refuse(f"The brightest values are {high:.0f}; expected {self.high}.", "value-range")


class Spacing(Strict):
    """The distance of slices, and of pixels within a slice (the larger of both directions), in mm."""

    guard: Literal["spacing"]
    slices_mm: Bounds | None = None
    pixels_mm: Bounds | None = None

    def check(self, volume: Volume) -> None:
        """Raise NotApplicableError (``spacing``) with the distance that was found; nothing is said without spacing."""
        slices, rows, columns = volume.geometry.spacing_mm
        if self.slices_mm is not None and volume.in_patient_space and not self.slices_mm.hold(round(slices, 3)):
            raise refuse(f"The slices are {slices:.2f} mm apart; expected {self.slices_mm}.", "spacing")
        pixels = max(rows, columns)
        if self.pixels_mm is not None and volume.has_spacing and not self.pixels_mm.hold(round(pixels, 3)):
            raise refuse(f"The pixels are {pixels:.2f} mm apart; expected {self.pixels_mm}.", "spacing")


ValueGuard = Annotated[
    VolumeOfRangeInsideBody | Extent | NotConstant | ValueRange | Spacing,
    Field(discriminator="guard"),
]
"""Asked of the volume before the run."""

InputGuard = Annotated[
    VolumeOfRangeInsideBody | Extent | NotConstant | ValueRange | Spacing | NetGuard,
    Field(discriminator="guard"),
]
"""All that may refuse an input: by its values, and by what a net sees in it."""


class SegmentVolume(Strict):
    """The volume of some segments together is within what a human body can have."""

    guard: Literal["segment_volume"]
    segments: Annotated[tuple[str, ...], Field(min_length=1)]
    min_ml: Annotated[float, Field(ge=0)] = 0.0
    max_ml: Annotated[float, Field(gt=0)] | None = None

    def check(self, volumes_ml: Mapping[str, float]) -> None:
        """Raise NotApplicableError (``segment-volume``); ``volumes_ml`` is by segment label, absent ones 0."""
        found = sum(volumes_ml[label] for label in self.segments)
        names = " + ".join(self.segments)
        if found < self.min_ml:
            raise refuse(f"The result is implausible: {names} would have {found:.0f} mL, "
                         f"less than {self.min_ml:g} mL.", "segment-volume")  # fmt: skip
        if self.max_ml is not None and found > self.max_ml:
            raise refuse(f"The result is implausible: {names} would have {found:.0f} mL, "
                         f"more than {self.max_ml:g} mL.", "segment-volume")  # fmt: skip


class SegmentRatio(Strict):
    """One segment's volume over another's is within bounds (one lung that is ten times the other is no finding)."""

    guard: Literal["segment_ratio"]
    segment: Annotated[str, Field(min_length=1)]
    over: Annotated[str, Field(min_length=1)]
    ratio: Bounds

    @property
    def segments(self) -> tuple[str, ...]:
        """The labels it speaks of."""
        return (self.segment, self.over)

    def check(self, volumes_ml: Mapping[str, float]) -> None:
        """Raise NotApplicableError (``segment-ratio``); nothing is said when the second segment is absent."""
        if volumes_ml[self.over] <= 0:
            return
        found = volumes_ml[self.segment] / volumes_ml[self.over]
        if not self.ratio.hold(found):
            raise refuse(f"The result is implausible: {self.segment} over {self.over} is {found:.2f}; "
                         f"expected {self.ratio}.", "segment-ratio")  # fmt: skip


ResultGuard = Annotated[SegmentVolume | SegmentRatio, Field(discriminator="guard")]
"""Asked of the finding after the run."""


class QualityLimit(Strict):
    """A limit that does not refuse: where ``check`` would, the result says so in the whole sentence ``says``."""

    check: ValueGuard
    says: Annotated[str, Field(min_length=1, max_length=1024)]

    def statement(self, volume: Volume) -> QualityStatement | None:
        """The statement, where the check would refuse; its code is the check's."""
        try:
            self.check.check(volume)
        except NotApplicableError as refusal:
            return QualityStatement(code=refusal.code, text=self.says)
        return None


class Guards(Strict):
    """What refuses an input, what refuses a result, and what limits a result that is made."""

    input: Annotated[tuple[InputGuard, ...], Field(min_length=1)]
    result: tuple[ResultGuard, ...] = ()
    quality: tuple[QualityLimit, ...] = ()

    def nets(self) -> tuple[Net, ...]:
        """The nets of the guards, in order."""
        return tuple(guard.net for guard in self.input if isinstance(guard, NetGuard))

    def check_input(self, volume: Volume, run: Callable[[], RunNet]) -> None:
        """Ask every guard of the input: those that look at values first, because a net has to be loaded.

        ``run`` is called when the first net is needed. Raises NotApplicableError.
        """
        asked = sorted(self.input, key=lambda guard: isinstance(guard, NetGuard))  # the order is kept otherwise
        for guard in asked:
            if isinstance(guard, NetGuard):
                guard.check(volume, run())
            else:
                guard.check(volume)
