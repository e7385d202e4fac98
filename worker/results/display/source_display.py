"""How source images want to be shown, read from the few of them that results draw on: windows, polarity, orientation.

Nothing here says who the patient is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from worker.domain.character_sets import is_plain
from worker.domain.errors import PermanentError
from worker.domain.study import StoredInstance
from worker.functional_groups.groups import FunctionalGroups
from worker.functional_groups.macros import FRAME_VOI_LUT, PIXEL_VALUE_TRANSFORMATION
from worker.results.copied_attributes import copies_of, problem_of, raw_value
from worker.results.evidence import SourceFrame, read_header, unreadable

_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_READ = tuple(map(Tag, (
    "SpecificCharacterSet", "InstanceNumber", "PhotometricInterpretation", "PatientOrientation", "ImageLaterality",
    "Laterality", "WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *_LOSSY,
)))  # fmt: skip
_UNSPECIFIED = "US"
"""What values are where the image does not say it in valid words (PS3.3 C.11.1.1.2)."""
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}
_AXES = (("R", "L"), ("A", "P"), ("F", "H"))
"""For each LPS axis: towards smaller and towards larger coordinates."""

_BROKEN = (OSError, ValueError, KeyError, AttributeError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Window:
    """A window of an image (PS3.3 C.11.2.1.2); ``function`` is empty where the image names none (LINEAR)."""

    centre: float
    width: float
    function: str = ""


@dataclass(frozen=True, slots=True)
class Rescale:
    """Modality LUT of an image as slope and intercept; ``type`` is what the values then are (HU in CT)."""

    slope: float
    intercept: float
    type: str


@dataclass(frozen=True, slots=True, eq=False)
class SourceDisplay:
    """How one frame is shown.

    ``is_grey`` is False for colour, to which a grayscale presentation state does not apply. ``is_inverted`` is
    MONOCHROME1: the lowest value is white. ``window`` is the first that the frame states. Of ``rescale`` and
    ``modality_lut`` at most one is there. ``orientation`` is Patient Orientation (0020,0020), empty where not stated.
    ``common`` are elements for derived images: laterality and lossy compression. ``numbered`` says by which number a
    viewer calls the image, with a comma in front; empty where it has none.
    """

    is_grey: bool
    is_inverted: bool
    window: Window | None
    rescale: Rescale | None
    modality_lut: Dataset | None
    orientation: tuple[str, ...]
    common: Dataset
    numbered: str


@dataclass(frozen=True, slots=True)
class Plane:
    """Where an image lies in the patient (PS3.3 C.7.6.2): LPS mm; spacing along (rows, columns)."""

    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]


def plane_of(frame: SourceFrame) -> Plane | None:
    """Where a frame lies; None for projection images, which have no place in the patient."""
    if frame.position is None or frame.orientation is None or frame.pixel_spacing_mm is None:
        return None
    return Plane(frame.position, frame.orientation, frame.pixel_spacing_mm)


def require_plane(frame: SourceFrame) -> Plane:
    """Where a frame of a series in patient space lies; PermanentError (``geometry-missing``) when it does not say."""
    plane = plane_of(frame)
    if plane is None:
        raise PermanentError(
            f"{frame.sop_instance_uid} does not say where its pixels lie in the patient.",
            next_step="Results need a series with positions and orientation (PS3.3 C.7.6.2).",
            code="geometry-missing",
        )
    return plane


def patient_orientation(orientation: Sequence[float]) -> tuple[str, str]:
    """Patient Orientation (0020,0020) of an image plane: where rows and where columns lead (PS3.3 C.7.6.1.1.1)."""
    return _letters(orientation[:3]), _letters(orientation[3:])


def opposite(letters: str) -> str:
    """The other way: "RA" for "LP"; what is no letter of a biped stays away."""
    return "".join(_OPPOSITE.get(letter, "") for letter in letters)


def decimal(value: float) -> float:
    """What a DS can hold (16 characters, PS3.5 6.2)."""
    return float(f"{value:.10g}")


def read_source_display(frames: Iterable[SourceFrame], evidence: Sequence[StoredInstance]) -> tuple[SourceDisplay, ...]:
    """Read how frames want to be shown, in their order; each instance is opened once.

    Raises PermanentError (``evidence-unreadable``) when an instance cannot be read back.
    """
    instances = {instance.sop_instance_uid: instance for instance in evidence}
    read: dict[str, FunctionalGroups] = {}
    displays = []
    for frame in frames:
        uid = frame.sop_instance_uid
        try:
            with config.disable_value_validation():
                if uid not in read:
                    read[uid] = FunctionalGroups(read_header(instances[uid], _READ))
                displays.append(_display_of(read[uid], frame.number))
        except _BROKEN as error:
            raise unreadable(uid) from error
    return tuple(displays)


def _letters(direction: Sequence[float]) -> str:
    """The axes that a direction follows, the strongest first; what is less than 17 degrees off is not said."""
    order = sorted(range(3), key=lambda axis: -abs(direction[axis]))
    return "".join(_AXES[axis][int(direction[axis] > 0)] for axis in order if abs(direction[axis]) > 0.3)


def _display_of(groups: FunctionalGroups, number: int | None) -> SourceDisplay:
    ds = groups.dataset
    photometric = str(ds.get("PhotometricInterpretation") or "MONOCHROME2").strip()
    values = _group(groups, number, PIXEL_VALUE_TRANSFORMATION)
    rescale = _rescale(values)
    sequence = ds.get("ModalityLUTSequence") if values is ds else None
    common = copies_of(ds, ("ImageLaterality", "Laterality", *_LOSSY)).text
    for keyword in [element.keyword for element in common if element.is_empty]:
        delattr(common, keyword)
    instance_number = _ascii(ds, "InstanceNumber")
    names = [f"instance number {instance_number}"] if instance_number else []
    names += [f"frame {number}"] if number is not None else []
    return SourceDisplay(
        is_grey=photometric in _GREY,
        is_inverted=photometric == "MONOCHROME1",
        window=_window(_group(groups, number, FRAME_VOI_LUT)),
        rescale=None if sequence else rescale,
        modality_lut=_modality_lut(sequence[0]) if sequence else None,
        orientation=tuple(filter(None, _ascii(ds, "PatientOrientation").split("\\"))),
        common=common,
        numbered="".join(f", {name}" for name in names),
    )


def _group(groups: FunctionalGroups, number: int | None, keyword: str) -> Dataset:
    """Functional group of a frame: its own, else the shared; the data set itself where it has none."""
    return groups.dataset if number is None else groups.speaker(keyword, number - 1)


def _window(ds: Dataset) -> Window | None:
    centre, width = _first(ds, "WindowCenter"), _first(ds, "WindowWidth")
    if centre is None or width is None or width < 1.0:
        return None
    return Window(centre, width, _ascii(ds, "VOILUTFunction"))


def _rescale(ds: Dataset) -> Rescale | None:
    slope, intercept = _first(ds, "RescaleSlope"), _first(ds, "RescaleIntercept")
    if slope is None or intercept is None:
        return None
    return Rescale(slope, intercept, _ascii(ds, "RescaleType") or _UNSPECIFIED)


def _modality_lut(item: Dataset) -> Dataset:
    """A modality LUT without its explanation, which is text in the character set of the image (PS3.3 C.11.1)."""
    table = Dataset()
    table.add(deepcopy(item["LUTDescriptor"]))
    table.ModalityLUTType = _ascii(item, "ModalityLUTType") or _UNSPECIFIED
    table.add(deepcopy(item["LUTData"]))
    return table


def _ascii(ds: Dataset, keyword: str) -> str:
    """A text in ASCII that is a valid value; empty for another."""
    value = raw_value(ds, keyword).strip(b" \0")
    text = value.decode("ascii") if is_plain(value) else ""
    return "" if problem_of(keyword, text) else text


def _first(ds: Dataset, keyword: str) -> float | None:
    """The first value as a number; None where it is absent, or something else."""
    try:
        found = float(raw_value(ds, keyword).split(b"\\")[0])
    except ValueError:
        return None
    return found if math.isfinite(found) else None
