"""Gate checks of presentation states: about the analysed images, with what was found drawn where it was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from worker.domain.result import Check
from worker.functional_groups.groups import FunctionalGroups
from worker.functional_groups.macros import FRAME_VOI_LUT, PIXEL_VALUE_TRANSFORMATION
from worker.gate.copied_attributes import is_valid
from worker.gate.display.graphics import graphics_problems, text_problems
from worker.gate.display.key_slices import key_of, slices_by_key, unshown
from worker.gate.header_text import text_of
from worker.gate.reading import Inspection, checked, numbers_of


def is_grey(given: Inspection) -> bool:
    """Tell whether the images are grey: a grayscale presentation state does not apply to others."""
    analysed = {uid for uid, _ in slices_by_key(given.conclusion)}
    kinds = {str(given.evidence.by_instance[uid].PhotometricInterpretation) for uid in analysed}
    return kinds <= {"MONOCHROME1", "MONOCHROME2"}


def presentation_checks(states: Sequence[Dataset], given: Inspection) -> Iterator[Check]:
    """Yield the checks of all presentation states of a set."""
    yield checked("pr-set", "every key slice has its graphics", lambda: _set(states, given))
    for name, check, good in (
        ("pr-form", _form, "layers, texts and areas as the standard wants them"),
        ("pr-references", _references, "analysed images only"),
        ("pr-area", _area, "the whole image"),
        ("pr-values", _values, "values and polarity of the images"),
        ("pr-graphics", graphics_problems, "inside the image, along what was found, with its colour and name"),
        ("pr-words", text_problems, "what was found on each image, as a draft"),
    ):
        yield checked(name, good, lambda check=check: (p for ds in states for p in check(ds, given)))  # type: ignore[misc]


def _set(states: Sequence[Dataset], given: Inspection) -> Iterator[str]:
    known = slices_by_key(given.conclusion)
    shown = [
        known[key]
        for ds in states
        for key in {
            key_of(item) for annotation in ds.GraphicAnnotationSequence for item in annotation.ReferencedImageSequence
        }
    ]
    if len(set(shown)) != len(shown):
        yield "a slice is drawn on by two presentation states"
    yield from unshown(set(shown), given.conclusion)


def _form(ds: Dataset, _: Inspection) -> Iterator[str]:
    layers = [str(layer.GraphicLayer) for layer in ds.GraphicLayerSequence]
    orders = [int(layer.GraphicLayerOrder) for layer in ds.GraphicLayerSequence]
    if len(set(layers)) != len(layers) or len(set(orders)) != len(orders):
        yield "two layers share a name or an order"
    if layers != [*(f"AI_DRAFT_{n + 1}" for n in range(len(layers) - 1)), "AI_DRAFT_TEXT"] or any(
        layer.GraphicLayerDescription != "AI DRAFT, not verified" for layer in ds.GraphicLayerSequence
    ):
        yield "not every layer is called an AI draft"
    texts: list[str] = []
    for annotation in ds.GraphicAnnotationSequence:
        if str(annotation.GraphicLayer) not in layers:
            yield f"layer {annotation.GraphicLayer} is not described"
        objects = annotation.get("GraphicObjectSequence") or []
        written = annotation.get("TextObjectSequence") or []
        if not objects and not written:
            yield "an annotation is empty"
        texts += [str(item.UnformattedTextValue) for item in written]
        for item in written:
            yield from _box(item)
    images = {
        key_of(item) for annotation in ds.GraphicAnnotationSequence for item in annotation.ReferencedImageSequence
    }
    if sum("AI DRAFT" in text for text in texts) != len(images):
        yield "not every image says that this is an AI draft"
    if not str(ds.ContentDescription).startswith("AI DRAFT"):
        yield "ContentDescription does not say that it is an AI draft"


def _box(item: Dataset) -> Iterator[str]:
    first, last = item.BoundingBoxTopLeftHandCorner, item.BoundingBoxBottomRightHandCorner
    if not (first[0] < last[0] and first[1] < last[1]):
        yield "a text has no room"
    if item.BoundingBoxAnnotationUnits == "DISPLAY" and not (min(first) >= 0 and max(last) <= 1):
        yield "a text leaves the display"


def _referenced(ds: Dataset) -> Iterator[Dataset]:
    for series in ds.ReferencedSeriesSequence:
        yield from series.ReferencedImageSequence


def _keys(item: Dataset) -> list[tuple[str, int | None]]:
    """A reference may name several frames."""
    numbers = item.get("ReferencedFrameNumber")
    uid = str(item.ReferencedSOPInstanceUID)
    if numbers is None:
        return [(uid, None)]
    return [(uid, int(n)) for n in ([numbers] if isinstance(numbers, (int, str)) else numbers)]


def _references(ds: Dataset, given: Inspection) -> Iterator[str]:
    known = slices_by_key(given.conclusion)
    if any(
        str(s.SeriesInstanceUID) != given.conclusion.volume.series_instance_uid for s in ds.ReferencedSeriesSequence
    ):
        yield "refers to another series"
    named = {key for item in _referenced(ds) for key in _keys(item)}
    if named - known.keys():
        yield f"{len(named - known.keys())} images were not analysed"
    windows = ds.get("SoftcopyVOILUTSequence") or []
    inner = [i for holder in (*ds.GraphicAnnotationSequence, *windows) for i in holder.ReferencedImageSequence]
    if {key for item in inner for key in _keys(item)} - named:
        yield "an annotation or a window is about an image that is not referenced"
    for item in (*_referenced(ds), *inner):
        image = given.evidence.by_instance.get(str(item.ReferencedSOPInstanceUID))
        if image is None or str(item.ReferencedSOPClassUID) != str(image.SOPClassUID):
            yield f"wrong SOP class for {item.ReferencedSOPInstanceUID}"


def _area(ds: Dataset, given: Inspection) -> Iterator[str]:
    (area,) = ds.DisplayedAreaSelectionSequence
    volume = given.conclusion.volume
    _, rows, columns = volume.geometry.shape
    if area.PresentationSizeMode != "SCALE TO FIT":
        yield f"is shown as {area.PresentationSizeMode}"
    corners = [*area.DisplayedAreaTopLeftHandCorner, *area.DisplayedAreaBottomRightHandCorner]
    if corners != [1, 1, columns, rows]:
        yield f"shows {corners}, the images have {columns} columns and {rows} rows"
    spacing = area.get("PresentationPixelSpacing")
    if volume.has_spacing:
        if not np.allclose([float(v) for v in spacing], volume.geometry.spacing_mm[1:], rtol=1e-4):
            yield "another pixel spacing than the images"
    elif spacing is not None or list(area.PresentationPixelAspectRatio) != [1, 1]:
        yield "claims a pixel spacing that nobody knows"


def _values(ds: Dataset, given: Inspection) -> Iterator[str]:
    for item in _referenced(ds):
        image = given.evidence.by_instance[str(item.ReferencedSOPInstanceUID)]
        inverted = str(image.PhotometricInterpretation) == "MONOCHROME1"
        if ds.PresentationLUTShape != ("INVERSE" if inverted else "IDENTITY"):
            yield f"PresentationLUTShape is {ds.PresentationLUTShape} for {image.PhotometricInterpretation}"
        for _, number in _keys(item):
            for keyword, neutral in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
                stated = _group(image, number, PIXEL_VALUE_TRANSFORMATION).get(keyword)
                expected = neutral if stated is None else float(stated)
                if "ModalityLUTSequence" not in ds and not np.isclose(float(ds.get(keyword, neutral)), expected):
                    yield f"{keyword} is not that of the image"
            unit = _said(str(item.ReferencedSOPInstanceUID), number, PIXEL_VALUE_TRANSFORMATION, "RescaleType", given)
            if "RescaleSlope" in ds and text_of(ds, "RescaleType") != (unit or "US"):
                yield "RescaleType is not that of the image"
    yield from _windows(ds, given)


def _windows(ds: Dataset, given: Inspection) -> Iterator[str]:
    """The window of each image where it states one; another where it states none."""
    for window in ds.get("SoftcopyVOILUTSequence") or []:
        if float(window.WindowWidth) < 1.0 and window.get("VOILUTFunction") != "LINEAR_EXACT":
            yield f"window width {window.WindowWidth}"
        for uid, number in (key for item in window.ReferencedImageSequence for key in _keys(item)):
            stated = _group(given.evidence.by_instance[uid], number, FRAME_VOI_LUT)
            centre, width = (numbers_of(stated, keyword)[:1] for keyword in ("WindowCenter", "WindowWidth"))
            if not centre or not width or width[0] < 1.0 or not np.isfinite([*centre, *width]).all():
                continue
            if not np.allclose([float(window.WindowCenter), float(window.WindowWidth)], [*centre, *width]):
                yield "a window is not that of the image"
            if text_of(window, "VOILUTFunction") != _said(uid, number, FRAME_VOI_LUT, "VOILUTFunction", given):
                yield "the function of a window is not that of the image"


def _said(uid: str, number: int | None, macro: str, keyword: str, given: Inspection) -> str:
    """A text of an image or of its frame; empty where it is no valid one in ASCII."""
    if number is None:
        text = given.evidence.texts[uid].plain(keyword)
    else:
        text = text_of(_group(given.evidence.by_instance[uid], number, macro), keyword).strip()
    return text if text.isascii() and "\\" not in text and is_valid(keyword, [text]) else ""


def _group(image: Dataset, number: int | None, macro: str) -> Dataset:
    return image if number is None else FunctionalGroups(image).speaker(macro, number - 1)
