"""Rigid registration of images whose coordinates have nothing to do with each other, by SimpleITK.

SimpleITK comes with the extra ``registration``: sites whose models need none do without it. The same images give the
same result, bit for bit: one thread, and sampling by a fixed seed. What it found is judged here, by other code than
found it, and refused when it is no alignment that one could rely on.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.domain.volume import Geometry, Volume
from worker.inference.image import Float, Mask, index_map
from worker.inference.steps.sampling import sample

_FINEST_MM = 1.0
_MOST_VOXELS = 3_000_000
"""The grid on which is registered is at least this coarse: a finer one costs time and moves nothing."""
_SHRINK = (4, 2, 1)
_SMOOTH_MM = (4.0, 2.0, 0.0)
_BINS = 32
_SAMPLES = 30_000
_SEED = 20260101
_STEPS = 300

_LARGEST_TURN_DEGREES = 30.0
"""Nobody lies in a scanner turned by more against the time before; farther minima are mirror images and accidents."""
_LEAST_INFORMATION = 0.08
"""Mutual information (nats, bias removed) of images that show the same; of unrelated ones it is next to 0."""
_SHARPNESS = 0.85
_AWAY_MM = 8.0
_AWAY_DEGREES = 8.0
"""An alignment is a peak: moved away by so much, not more than this part of the mutual information is left."""


@dataclass(frozen=True, slots=True, eq=False)
class RigidAlignment:
    """What a registration found. ``to_input_lps`` (4x4) maps the reference's LPS to the moving image's LPS, in mm."""

    to_input_lps: NDArray[np.float64]
    turned_degrees: float
    moved_mm: float
    information_before: float
    information: float

    @property
    def said(self) -> str:
        """What was done, as half a sentence."""
        return (
            f"by a rigid registration (its middle moved by {self.moved_mm:.1f} mm and turned by "
            f"{self.turned_degrees:.1f} degrees, mutual information {self.information_before:.2f} before and "
            f"{self.information:.2f} after)"
        )


def ensure_available(find: Callable[[str], object] = importlib.util.find_spec) -> None:
    """Raise ConfigurationError (``registration-missing``) when SimpleITK is not installed."""
    if find("SimpleITK") is None:
        raise ConfigurationError(
            "The model registers its inputs, and SimpleITK is not installed.",
            next_step="pip install 'overread[registration]'",
            code="registration-missing",
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Box:
    """An image on an upright grid (S, P, L) of one spacing, as the library can take it, and where it has values."""

    values: Float
    inside: Mask
    geometry: Geometry


def register_rigidly(reference: Volume, moving: Volume) -> RigidAlignment:
    """Find how ``moving`` lies to ``reference`` when it is turned and shifted, and not deformed.

    Mattes' mutual information (any two modalities), three resolutions, begun at the best of: coordinates as they
    stand, middle on middle, centre of mass on centre of mass.

    Raises
    ------
    ConfigurationError
        ``registration-missing``.
    NotApplicableError
        ``registration-failed``: no alignment was found, or none to rely on; the message has the figures.
    """
    ensure_available()
    spacing = _spacing_mm(reference, moving)
    fixed, other = _upright(reference, spacing), _upright(moving, spacing)
    begin = max(_beginnings(fixed, other), key=lambda one: mutual_information(fixed, other, one))
    before = mutual_information(fixed, other, begin)
    # Where it began may be as good as it gets: the search has steps.
    found, after = max(
        ((one, mutual_information(fixed, other, one)) for one in (_optimised(fixed, other, begin), begin)),
        key=lambda pair: pair[1],
    )
    alignment = RigidAlignment(
        to_input_lps=found,
        turned_degrees=_turn_degrees(found),
        moved_mm=_shift_mm(found, begin, fixed),
        information_before=before,
        information=after,
    )
    _ensure_plausible(alignment, fixed, other)
    return alignment


def _ensure_plausible(found: RigidAlignment, fixed: _Box, other: _Box) -> None:
    if found.turned_degrees > _LARGEST_TURN_DEGREES:
        raise _failed(f"it would turn the image by {found.turned_degrees:.0f} degrees")
    if found.information < _LEAST_INFORMATION:
        raise _failed(
            f"the mutual information is {found.information:.2f} after it, and {_LEAST_INFORMATION:.2f} at least where "
            "two images show the same"
        )
    left = float(np.mean([mutual_information(fixed, other, one) for one in _away(found.to_input_lps, fixed)]))
    if left > _SHARPNESS * found.information:
        raise _failed(
            f"moved by {_AWAY_MM:g} mm or {_AWAY_DEGREES:g} degrees it would fit nearly as well (mutual information "
            f"{left:.2f} against {found.information:.2f})"
        )


def mutual_information(fixed: _Box, other: _Box, to_other: NDArray[np.float64]) -> float:
    """Mutual information in nats of two images where both have values, less what chance makes of so few samples.

    0 when less than a fifth of the reference is left in common.
    """
    step = max(1, math.ceil((fixed.values.size / _SAMPLES) ** (1 / 3)))
    index = np.stack(np.meshgrid(*(np.arange(0, n, step) for n in fixed.values.shape), indexing="ij")).reshape(3, -1)
    matrix = np.linalg.inv(other.geometry.affine_lps) @ to_other @ fixed.geometry.affine_lps
    place = matrix[:3, :3] @ index + matrix[:3, 3:]
    limits = np.asarray(other.values.shape, dtype=np.float64)[:, None] - 1
    nearest = np.clip(np.rint(place), 0, limits).astype(np.intp)
    here = fixed.inside[tuple(index)]
    both = here & np.all((place >= 0) & (place <= limits), axis=0) & other.inside[tuple(nearest)]
    count = int(np.count_nonzero(both))
    if count < max(1000, int(np.count_nonzero(here)) // 5):
        return 0.0
    one = _binned(fixed.values[tuple(index[:, both])])
    two = _binned(scipy.ndimage.map_coordinates(other.values, place[:, both], order=1, mode="nearest"))
    joint = np.bincount(one * _BINS + two, minlength=_BINS * _BINS).reshape(_BINS, _BINS) / count
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    found = float(np.sum(joint[filled] * np.log(joint[filled] / apart[filled])))
    # Miller and Madow: each of the free cells adds 1 / (2 n) by chance alone.
    rows, columns = np.count_nonzero(joint.sum(axis=1)), np.count_nonzero(joint.sum(axis=0))
    return max(0.0, found - float((rows - 1) * (columns - 1)) / (2 * count))


def _binned(values: Float) -> NDArray[np.intp]:
    low, high = (float(x) for x in np.percentile(values, [0.5, 99.5]))
    scaled = (values.astype(np.float64) - low) / max(high - low, 1e-6)
    return np.clip((scaled * _BINS).astype(np.intp), 0, _BINS - 1)


def _spacing_mm(reference: Volume, moving: Volume) -> float:
    finest = max(_FINEST_MM, *(min(one.geometry.spacing_mm) for one in (reference, moving)))
    room = max(float(np.prod(_extent(one.geometry)[1])) for one in (reference, moving))
    return float(max(finest, (room / _MOST_VOXELS) ** (1 / 3)))


def _extent(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest corner of voxel centres and the size of the upright box around the grid, LPS in mm."""
    last = np.asarray(geometry.shape) - 1
    corners = np.array([[last[a] * (n >> a & 1) for a in range(3)] for n in range(8)], dtype=np.float64)
    places = geometry.to_patient_mm(corners)
    return places.min(axis=0), np.ptp(places, axis=0)


def _upright(volume: Volume, spacing_mm: float) -> _Box:
    """Sample onto a grid along the patient's axes, in the order S, P, L: no tilt, no shear, one spacing.

    Smoothed before where the image is finer, so that nothing folds over.
    """
    first, size = _extent(volume.geometry)
    counts = np.maximum(np.floor(size / spacing_mm + 1e-6).astype(int) + 1, 1)[::-1]
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
    affine[:3, 3] = first
    affine[3, 3] = 1.0
    geometry = Geometry((int(counts[0]), int(counts[1]), int(counts[2])), affine)
    widths = [0.5 * math.sqrt(max((spacing_mm / s) ** 2 - 1, 0.0)) for s in volume.geometry.spacing_mm]
    smooth: Float = scipy.ndimage.gaussian_filter(volume.voxels, widths) if any(widths) else volume.voxels
    values, inside = sample(
        smooth[None], index_map(of=geometry, into=volume.geometry), geometry.shape, interpolation="linear"
    )
    whole: Mask = np.ones(geometry.shape, dtype=bool) if inside is None else np.broadcast_to(inside, geometry.shape)
    return _Box(values[0], np.ascontiguousarray(whole), geometry)


def _beginnings(fixed: _Box, other: _Box) -> tuple[NDArray[np.float64], ...]:
    stand = np.eye(4)
    return (stand, _shifted(_middle(other) - _middle(fixed)), _shifted(_mass(other) - _mass(fixed)))


def _shifted(by_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, 3] = by_mm
    return matrix


def _middle(box: _Box) -> NDArray[np.float64]:
    return box.geometry.to_patient_mm((np.asarray(box.values.shape, dtype=np.float64) - 1) / 2)


def _mass(box: _Box) -> NDArray[np.float64]:
    weights = np.where(box.inside, box.values - box.values[box.inside].min(), 0.0)
    return box.geometry.to_patient_mm(np.asarray(scipy.ndimage.center_of_mass(weights), dtype=np.float64))


def _optimised(fixed: _Box, other: _Box, begin: NDArray[np.float64]) -> NDArray[np.float64]:
    import SimpleITK

    sitk: Any = SimpleITK  # its types are incomplete
    sitk.ProcessObject.GlobalWarningDisplayOff()  # it writes them to standard error, which is our log
    # The metric adds up in one thread only when this is set before it is made: else its last bits vary.
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        return _searched(sitk, fixed, other, begin)
    except RuntimeError as error:  # the library's own: too few samples in common, and the like
        raise _failed("the images have too little in common") from error
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _searched(sitk: Any, fixed: _Box, other: _Box, begin: NDArray[np.float64]) -> NDArray[np.float64]:
    transform = sitk.Euler3DTransform()
    transform.SetCenter([float(x) for x in _middle(fixed)])
    # Every beginning is a shift without a turn: it is the translation, whatever the centre.
    transform.SetTranslation([float(x) for x in begin[:3, 3]])
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=_BINS)
    method.SetMetricFixedMask(_as_sitk(sitk, fixed.inside.astype(np.uint8), fixed.geometry))
    method.SetMetricMovingMask(_as_sitk(sitk, other.inside.astype(np.uint8), other.geometry))
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentagePerLevel(
        [min(1.0, _SAMPLES * shrink**3 / fixed.values.size) for shrink in _SHRINK], _SEED
    )
    method.SetInterpolator(sitk.sitkLinear)
    # Slow to shorten its steps: what turns an image changes little, and is found late.
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=4.0, minStep=3e-4, numberOfIterations=_STEPS, relaxationFactor=0.9,
        gradientMagnitudeTolerance=1e-8,
    )  # fmt: skip
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(_SHRINK))
    method.SetSmoothingSigmasPerLevel(list(_SMOOTH_MM))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(_as_sitk(sitk, fixed.values, fixed.geometry), _as_sitk(sitk, other.values, other.geometry))
    return _matrix_of(transform)


def _as_sitk(sitk: Any, values: NDArray[Any], geometry: Geometry) -> Any:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([float(s) for s in geometry.spacing_mm[::-1]])
    image.SetOrigin([float(x) for x in geometry.affine_lps[:3, 3]])
    return image


def _matrix_of(transform: Any) -> NDArray[np.float64]:
    """The 4x4 matrix of x -> R (x - centre) + centre + translation."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(transform.GetMatrix(), dtype=np.float64).reshape(3, 3)
    centre = np.asarray(transform.GetCenter(), dtype=np.float64)
    matrix[:3, 3] = np.asarray(transform.GetTranslation()) + centre - matrix[:3, :3] @ centre
    return matrix


def _turn_degrees(matrix: NDArray[np.float64]) -> float:
    return math.degrees(math.acos(float(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1.0, 1.0))))


def _shift_mm(matrix: NDArray[np.float64], begin: NDArray[np.float64], fixed: _Box) -> float:
    """How far the middle of the reference moved from where the search began."""
    middle = np.append(_middle(fixed), 1.0)
    return float(np.linalg.norm((matrix @ middle - begin @ middle)[:3]))


def _away(matrix: NDArray[np.float64], fixed: _Box) -> list[NDArray[np.float64]]:
    """The alignment moved along, and turned about, each axis through the middle, to either side."""
    middle = _middle(fixed)
    moved = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            shift = np.zeros(3)
            shift[axis] = sign * _AWAY_MM
            moved.append(matrix @ _shifted(shift))
            moved.append(matrix @ _shifted(middle) @ _turn(axis, sign * _AWAY_DEGREES) @ _shifted(-middle))
    return moved


def _turn(axis: int, degrees: float) -> NDArray[np.float64]:
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(4)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix[[one, two], [one, two]] = cos
    matrix[one, two], matrix[two, one] = -sin, sin
    return matrix


def _failed(why: str) -> NotApplicableError:
    return NotApplicableError(
        f"The registration of the inputs is not to be relied on: {why}.",
        next_step="Look whether both series show the same part of the same patient.",
        code="registration-failed",
    )
