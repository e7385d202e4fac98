"""Gate checks of key images: pixels that show something, at the right place, marked as a draft, without a patient."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.findings import Conclusion
from worker.domain.profile import KeyImages
from worker.domain.result import Check
from worker.gate.copied_attributes import is_valid
from worker.gate.display.key_slices import Edge, edges_on, key_of, slices_by_key, unshown
from worker.gate.display.parametric_map import expected_maps
from worker.gate.display.secondary_capture_text import Shown, word_problems
from worker.gate.header import CAPTURE_CLASS, FRAMES_CLASS
from worker.gate.reading import Inspection, checked, code_of
from worker.gate.seg.reading import plane_of

_Problems = Callable[[Dataset, Inspection], Iterator[str]]
_Vector = NDArray[np.float64]

_SAMPLES = 200
_LEAST_DRAWN = 0.9
"""Share of an edge that must be seen in the colour of something that was found, or of the words that it is a draft."""

_WARNING = (255, 196, 0)

_CORNER_MM = 0.02


def wants_key_images(given: Inspection) -> bool:
    """Tell whether key images are expected: the profile has them, or a heat map cannot be seen otherwise."""
    if given.profile.key_images is not KeyImages.NONE:
        return True
    return given.profile.heat_maps and len(expected_maps(given)) < len(given.conclusion.heat_maps)


def capture_checks(captures: Sequence[Dataset], given: Inspection) -> Iterator[Check]:
    """Yield the checks of all key images of a set."""
    yield checked("sc-set", f"{len(captures)} key images show every finding", lambda: _set(captures, given))
    yield checked("sc-words", "everything concluded is written", lambda: word_problems(_shown(captures, given), given))
    for check, good in (
        (_form, "RGB, complete pixel data"),
        (_draft, "marked as a draft, no patient in its words"),
        (_references, "evidence only"),
        (_geometry, "as the images lie"),
        (_drawn, "what was found is drawn where it was found"),
    ):
        name = f"sc{check.__name__.replace('_', '-')}"
        yield checked(name, good, lambda check=check: _each(check, captures, given))  # type: ignore[misc]


def _each(check: _Problems, captures: Sequence[Dataset], given: Inspection) -> Iterator[str]:
    for number, ds in enumerate(captures):
        yield from (f"key image {number + 1}: {problem}" for problem in check(ds, given))


def _is_page(ds: Dataset) -> bool:
    return "a page of text" in str(ds.DerivationDescription)


def _slices_of(ds: Dataset, given: Inspection) -> list[int]:
    """The slices that the frames of a key image show, in their order; [] for pages of statements."""
    if _is_page(ds):
        return []
    labels = ds.get("FrameLabelVector")
    if labels:
        return [int(name.split()[1]) - 1 for name in ([labels] if isinstance(labels, str) else labels)]
    known = slices_by_key(given.conclusion)
    return [known[key_of(item)] for item in ds.SourceImageSequence]


def _shown(captures: Sequence[Dataset], given: Inspection) -> list[Shown]:
    return [Shown(ds, tuple(_slices_of(ds, given))) for ds in captures]


def _set(captures: Sequence[Dataset], given: Inspection) -> Iterator[str]:
    if not any(_is_page(ds) for ds in captures[:1]):
        yield "the first is no page of statements"
    many = given.profile.key_images is KeyImages.MULTI_FRAME
    for ds in captures:
        if (str(ds.SOPClassUID) == FRAMES_CLASS) != many:
            yield f"SOP class {ds.SOPClassUID} is not what the profile asks for"
    yield from unshown({index for ds in captures for index in _slices_of(ds, given)}, given.conclusion)


def _form(ds: Dataset, _: Inspection) -> Iterator[str]:
    for keyword, expected in (
        ("SamplesPerPixel", 3),
        ("PhotometricInterpretation", "RGB"),
        ("PlanarConfiguration", 0),
        ("BitsAllocated", 8),
        ("BitsStored", 8),
        ("HighBit", 7),
        ("PixelRepresentation", 0),
        ("ConversionType", "WSD"),
    ):
        if ds[keyword].value != expected:
            yield f"{keyword} is {ds[keyword].value}, expected {expected}"
    if [str(v) for v in ds.ImageType[:2]] != ["DERIVED", "SECONDARY"]:
        yield "ImageType does not begin with DERIVED\\SECONDARY"
    frames = int(ds.get("NumberOfFrames") or 1)
    if (str(ds.SOPClassUID) == CAPTURE_CLASS) != ("NumberOfFrames" not in ds):
        yield "NumberOfFrames does not fit the SOP class"
    expected_bytes = frames * ds.Rows * ds.Columns * 3
    if len(ds.PixelData) != expected_bytes + expected_bytes % 2:
        yield f"pixel data has {len(ds.PixelData)} bytes, {frames} frames need {expected_bytes}"
    if frames > 1 and (ds.FrameIncrementPointer != 0x00182002 or len(ds.FrameLabelVector) != frames):
        yield "not every frame has its label"
    if not all(re.fullmatch(r"(SLICE|PAGE) [0-9]+", str(label)) for label in ds.get("FrameLabelVector") or []):
        yield "a frame is labelled as something else than a slice or a page"


def _draft(ds: Dataset, given: Inspection) -> Iterator[str]:
    if ds.BurnedInAnnotation != "YES":
        yield "BurnedInAnnotation is not YES"
    for keyword in ("DerivationDescription", "ImageComments"):
        if "AI DRAFT" not in str(ds[keyword].value):
            yield f"{keyword} does not say that it is an AI draft"
    if given.conclusion.algorithm.model.version not in str(ds.ImageComments) and not _is_page(ds):
        yield "the model's version is not written"
    words = f" {' '.join(str(ds.ImageComments).split())} ".casefold()
    patient = given.evidence.any_text
    name = " ".join(part for part in patient.text("PatientName").replace("^", " ").split() if part)
    for what, text in (("name", name), ("ID", patient.text("PatientID"))):
        # Short ones may be parts of ordinary words.
        if len(text) > 4 and f" {text.casefold()} " in words:
            yield f"the patient's {what} is written"


def _references(ds: Dataset, given: Inspection) -> Iterator[str]:
    known, instances = slices_by_key(given.conclusion), {uid for uid, _ in slices_by_key(given.conclusion)}
    for item in ds.SourceImageSequence:
        uid = str(item.ReferencedSOPInstanceUID)
        image = given.evidence.by_instance.get(uid)
        if image is None or uid not in instances:
            yield f"{uid} is no analysed image"
        elif str(item.ReferencedSOPClassUID) != str(image.SOPClassUID):
            yield f"wrong SOP class for {uid}"
        if not _is_page(ds) and key_of(item) not in known:
            yield f"{uid} is named without the frame that was analysed"
        if code_of(item, "PurposeOfReferenceCodeSequence")[0] != "121322":
            yield f"{uid} is named for another purpose"


def _factors(ds: Dataset, conclusion: Conclusion) -> tuple[float, float]:
    """Pixels of a key image for each pixel of the source, along rows and columns: its pixels are square."""
    volume = conclusion.volume
    _, row_mm, column_mm = volume.geometry.spacing_mm if volume.has_spacing else (1.0, 1.0, 1.0)
    across = int(ds.Columns) / volume.geometry.shape[2]
    return across * row_mm / column_mm, across


def _geometry(ds: Dataset, given: Inspection) -> Iterator[str]:
    slices, volume = _slices_of(ds, given), given.conclusion.volume
    if not slices:
        if "PixelSpacing" in ds or "ImagePositionPatient" in ds:
            yield "a page of text has a place"
        return
    reference = volume.slices[slices[0]]
    image = given.evidence.by_instance[reference.sop_instance_uid]
    factors = _factors(ds, given.conclusion)
    if volume.has_spacing:
        spacing = np.array(volume.geometry.spacing_mm[1:]) / factors
        if not np.allclose([float(v) for v in ds.PixelSpacing], spacing, rtol=5e-3):
            yield "PixelSpacing is not that of the enlarged image"
    elif "PixelSpacing" in ds:
        yield "PixelSpacing claims millimetres that nobody knows"
    if int(ds.Rows) < int(volume.geometry.shape[1] * factors[0]):
        yield "a part of the image is cut off"
    stated = [str(value) for value in ds.get("PatientOrientation") or ()]
    if not volume.in_patient_space:
        of_image = [str(value) for value in image.get("PatientOrientation") or ()]
        if stated != (of_image if is_valid("PatientOrientation", of_image) else []):
            yield "PatientOrientation is not that of the image"
        if "ImagePositionPatient" in ds:
            yield "a projection image has got a place in the patient"
        return
    position, orientation, source_spacing = plane_of(image, reference.frame_number)
    if stated != _directions(orientation):
        yield f"PatientOrientation is {stated}, the image lies {_directions(orientation)}"
    if str(ds.SOPClassUID) == CAPTURE_CLASS:
        yield from _place(ds, image, position, orientation, source_spacing)


def _place(
    ds: Dataset, image: Dataset, position: _Vector, orientation: _Vector, source_spacing: _Vector
) -> Iterator[str]:
    """The outer corner of the first pixel is that of the image."""
    if str(ds.FrameOfReferenceUID) != str(image.FrameOfReferenceUID):
        yield "another Frame of Reference than the image"
    found = np.array([float(v) for v in ds.ImageOrientationPatient])
    if not np.allclose(found, orientation, rtol=0, atol=1e-4):
        yield "turned against the image"
    corners = [
        place - (axes[3:] * spacing[0] + axes[:3] * spacing[1]) / 2
        for place, axes, spacing in (
            (np.array([float(v) for v in ds.ImagePositionPatient]), found, [float(v) for v in ds.PixelSpacing]),
            (position, orientation, source_spacing),
        )
    ]
    if np.linalg.norm(corners[0] - corners[1]) > _CORNER_MM:
        yield "lies off the image"


def _directions(orientation: _Vector) -> list[str]:
    """Patient Orientation of a plane: letters of the axes, the strongest first (PS3.3 C.7.6.1.1.1)."""
    letters = []
    for direction in (orientation[:3], orientation[3:]):
        axes = [axis for axis in np.argsort(-np.abs(direction), kind="stable") if abs(direction[axis]) > 0.3]
        letters.append("".join("RAF"[axis] if direction[axis] < 0 else "LPH"[axis] for axis in axes))
    return letters


def _drawn(ds: Dataset, given: Inspection) -> Iterator[str]:
    """Along the edges of what was found, most places are near a pixel in one of the colours of that slice."""
    frames = np.frombuffer(ds.PixelData, dtype=np.uint8)[: _count(ds)].reshape(-1, ds.Rows, ds.Columns, 3)
    if not all(plane.any() for plane in frames):
        yield "it is black"
    factors = _factors(ds, given.conclusion)
    for picture, index in zip(frames, _slices_of(ds, given), strict=bool(_slices_of(ds, given))):
        edges = list(edges_on(index, given.conclusion, given.profile))
        # Where a heat map is blended in, with its colour bar, any colour will do.
        is_hot = any(int(np.argmax([p.max() for p in h.values])) == index for h in given.conclusion.heat_maps)
        colours = [] if is_hot else [_WARNING, *(edge.colour_rgb for edge in edges)]
        for edge in edges:
            share = _seen(picture, edge, colours, factors)
            if share < _LEAST_DRAWN:
                yield f"{share:.0%} of the edge of something on slice {index + 1} is drawn"


def _count(ds: Dataset) -> int:
    return int(ds.get("NumberOfFrames") or 1) * int(ds.Rows) * int(ds.Columns) * 3


def _seen(
    picture: NDArray[np.uint8],
    edge: Edge,
    colours: Sequence[tuple[int, int, int]],
    factors: tuple[float, float],
) -> float:
    """Share of places on an edge with a pixel nearby that has one of the colours; of any, when there are none."""
    reach = int(np.ceil(max(factors) / 2)) + 4
    step = max(len(edge.places) // _SAMPLES, 1)
    if _tint(edge.colour_rgb) is None:
        return 1.0  # grey on grey cannot be told apart
    tints = [tint for tint in map(_tint, colours) if tint is not None]
    height, width = picture.shape[:2]
    limit = np.array([height, width])
    seen = total = 0
    for place in edge.places[::step]:
        at = (place + 0.5) * factors
        if (at < 0).any() or (at >= limit).any():
            continue  # a shape may leave the image
        total += 1
        low, high = np.maximum(at - reach, 0).astype(int), (at + reach + 1).astype(int)
        part = picture[low[0] : high[0], low[1] : high[1]].reshape(-1, 3).astype(np.float32)
        chroma = part - part.mean(axis=1, keepdims=True)
        strength = np.linalg.norm(chroma, axis=1)
        strong = chroma[strength > 25] / strength[strength > 25, None]
        seen += int(any((strong @ tint > 0.93).any() for tint in tints) if colours else len(strong) > 0)
    return seen / total if total else 1.0


def _tint(colour_rgb: tuple[int, int, int]) -> NDArray[np.float32] | None:
    """Direction of a colour away from grey; None for what is nearly grey."""
    colour = np.array(colour_rgb, dtype=np.float32)
    chroma = colour - colour.mean()
    strength = float(np.linalg.norm(chroma))
    tint: NDArray[np.float32] = chroma / max(strength, 1e-6)
    return tint if strength > 40 else None
