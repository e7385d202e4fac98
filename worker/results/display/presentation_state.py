"""Grayscale Softcopy Presentation State (PS3.3 A.33.1): outlines, shapes and texts that lie over the source images.

One for all key slices whose values mean the same: a presentation state has one modality LUT and one polarity for all
of its images, so that slices with other ones get another. Colour images have none. Nothing but the elements below is
written, so that a viewer finds exactly what was concluded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from worker.drawing.voi_window import default_window
from worker.results.context import EncoderInput
from worker.results.display.graphics import Graphic, graphics_of
from worker.results.display.key_images import choice_of
from worker.results.display.key_slices import Colour, KeySlice
from worker.results.display.source_display import SourceDisplay, Window, decimal, read_source_display
from worker.results.evidence import SourceFrame
from worker.results.header import apply_header, reference

CONTENT_LABEL = "AI_DRAFT"
TEXT_LAYER = "AI_DRAFT_TEXT"

_TEXT_COLOUR: Colour = (255, 196, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """A key slice with its frame, and how that wants to be shown."""

    key_slice: KeySlice
    frame: SourceFrame
    display: SourceDisplay


def encode_presentation(inputs: EncoderInput) -> tuple[Dataset, ...]:
    """Encode the presentation states of the key slices, where the profile wants them and the images are grey."""
    if not inputs.profile.presentation_state:
        return ()
    slices = choice_of(inputs).slices
    frames = [inputs.source.frames[one.index] for one in slices]
    displays = read_source_display(frames, inputs.evidence)
    shown = [_Shown(*one) for one in zip(slices, frames, displays, strict=True) if one[2].is_grey]
    groups = groupby(sorted(shown, key=lambda one: _meaning(one.display)), key=lambda one: _meaning(one.display))
    return tuple(_encode(tuple(group), inputs, part) for part, (_, group) in enumerate(groups))


def _meaning(display: SourceDisplay) -> str:
    """What stored values mean: the same text, the same meaning."""
    table = display.modality_lut
    data = "" if table is None else hashlib.sha256(repr(table).encode()).hexdigest()
    return f"{display.is_inverted} {display.rescale} {data}"


def _encode(shown: tuple[_Shown, ...], inputs: EncoderInput, part: int) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    ds.Modality = "PR"
    ds.ContentLabel = CONTENT_LABEL
    ds.ContentDescription = f"AI DRAFT, not verified: {inputs.stamp.algorithm.title}"[:64]
    ds.ContentCreatorName = inputs.stamp.equipment.model_name.replace("^", " ")
    ds.PresentationCreationDate = inputs.stamp.made_at.strftime("%Y%m%d")
    ds.PresentationCreationTime = inputs.stamp.made_at.strftime("%H%M%S")
    series = Dataset()
    series.SeriesInstanceUID = inputs.source.header.SeriesInstanceUID
    series.ReferencedImageSequence = [_image(one.frame) for one in _first_of_instances(shown)]
    _add_frames(series.ReferencedImageSequence, shown)
    ds.ReferencedSeriesSequence = [series]
    ds.DisplayedAreaSelectionSequence = [_area(shown[0].frame, inputs)]
    drawn = {one.key_slice.index: graphics_of(inputs, one.key_slice) for one in shown}
    layers = _layers(graphic.colour_rgb for graphics in drawn.values() for graphic in graphics)
    ds.GraphicAnnotationSequence = [
        item for one in shown for item in _annotations(one, drawn[one.key_slice.index], layers, inputs)
    ]
    ds.GraphicLayerSequence = [
        *(_layer(name, order + 1, colour) for order, (colour, name) in enumerate(layers.items())),
        _layer(TEXT_LAYER, len(layers) + 1, _TEXT_COLOUR),
    ]
    _add_modality_lut(ds, shown[0].display)
    windows = list(_windows(shown, inputs))
    if windows:
        ds.SoftcopyVOILUTSequence = windows
    ds.PresentationLUTShape = "INVERSE" if shown[0].display.is_inverted else "IDENTITY"
    apply_header(ds, inputs.stamp, inputs.names("PR", part))
    return ds


def _first_of_instances(shown: tuple[_Shown, ...]) -> Iterator[_Shown]:
    seen: set[str] = set()
    for one in shown:
        if one.frame.sop_instance_uid not in seen:
            seen.add(one.frame.sop_instance_uid)
            yield one


def _image(frame: SourceFrame, *, numbered: bool = False) -> Dataset:
    item = reference(frame.sop_class_uid, frame.sop_instance_uid)
    if numbered and frame.number is not None:
        item.ReferencedFrameNumber = frame.number
    return item


def _add_frames(images: list[Dataset], shown: tuple[_Shown, ...]) -> None:
    """Name the frames of multi-frame images that this is about (PS3.3 C.11.11)."""
    for image in images:
        numbers = [one.frame.number for one in shown if one.frame.sop_instance_uid == image.ReferencedSOPInstanceUID]
        if None not in numbers:
            image.ReferencedFrameNumber = numbers


def _area(frame: SourceFrame, inputs: EncoderInput) -> Dataset:
    """The whole image, with pixels as high and wide as they are (PS3.3 C.10.4); the same for all slices."""
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [frame.columns, frame.rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    volume = inputs.conclusion.volume
    if volume.has_spacing:
        area.PresentationPixelSpacing = [decimal(mm) for mm in volume.geometry.spacing_mm[1:]]
    else:
        area.PresentationPixelAspectRatio = [1, 1]
    return area


def _layers(colours: Iterator[Colour]) -> dict[Colour, str]:
    """A layer for each colour."""
    return {colour: f"AI_DRAFT_{n + 1}" for n, colour in enumerate(dict.fromkeys(colours))}


def _layer(name: str, order: int, colour_rgb: Colour) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = name, order
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = 65535
    layer.GraphicLayerRecommendedDisplayCIELabValue = list(hd.color.CIELabColor.from_rgb(*colour_rgb).value)
    layer.GraphicLayerDescription = "AI DRAFT, not verified"
    return layer


def _annotations(
    one: _Shown, graphics: tuple[Graphic, ...], layers: dict[Colour, str], inputs: EncoderInput
) -> Iterator[Dataset]:
    """An annotation for each layer that has something on this image, and one with what is said of the whole."""
    for colour, name in layers.items():
        mine = [graphic for graphic in graphics if graphic.colour_rgb == colour]
        if mine:
            annotation = _annotation(one.frame, name)
            annotation.GraphicObjectSequence = [_graphic_object(graphic) for graphic in mine]
            texts = [_beside(graphic, one.frame) for graphic in mine if graphic.text]
            if texts:
                annotation.TextObjectSequence = texts
            yield annotation
    algorithm = inputs.stamp.algorithm
    lines = [
        "AI DRAFT - not verified by a physician",
        f"{algorithm.title}, version {algorithm.model.version}",
        *(key_finding.line for key_finding in one.key_slice.key_findings),
    ]
    whole = _annotation(one.frame, TEXT_LAYER)
    whole.TextObjectSequence = [_heading(lines)]
    yield whole


def _annotation(frame: SourceFrame, layer: str) -> Dataset:
    annotation = Dataset()
    annotation.ReferencedImageSequence = [_image(frame, numbered=True)]
    annotation.GraphicLayer = layer
    return annotation


def _graphic_object(graphic: Graphic) -> Dataset:
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(graphic.points)
    item.GraphicData = [float(np.float32(value)) for value in graphic.points.ravel()]
    item.GraphicType = graphic.type
    if graphic.is_closed:
        item.GraphicFilled = "N"
    return item


def _beside(graphic: Graphic, frame: SourceFrame) -> Dataset:
    """Write the name to the right of a graphic, or to its left where there is no room."""
    width, height = frame.columns * 0.3, frame.rows * 0.05
    left = float(graphic.points[:, 0].max()) + 2
    if left + width > frame.columns:
        left = max(float(graphic.points[:, 0].min()) - 2 - width, 0.0)
    top = min(max(float(graphic.points[:, 1].min()), 0.0), frame.rows - height)
    return _text(graphic.text, "PIXEL", (left, top), (min(left + width, frame.columns), top + height))


def _heading(lines: list[str]) -> Dataset:
    bottom = min(0.01 + 0.03 * len(lines), 0.99)
    return _text("\r\n".join(lines), "DISPLAY", (0.01, 0.01), (0.99, bottom))


def _text(words: str, units: str, first: tuple[float, float], last: tuple[float, float]) -> Dataset:
    item = Dataset()
    item.BoundingBoxAnnotationUnits = units
    item.UnformattedTextValue = words[:1024]
    item.BoundingBoxTopLeftHandCorner = [float(np.float32(value)) for value in first]
    item.BoundingBoxBottomRightHandCorner = [float(np.float32(value)) for value in last]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    return item


def _add_modality_lut(ds: Dataset, display: SourceDisplay) -> None:
    """What the image has, because a presentation state replaces it (PS3.4 N.2.1.1)."""
    if display.modality_lut is not None:
        ds.ModalityLUTSequence = [display.modality_lut]
    elif display.rescale is not None:
        ds.RescaleIntercept = decimal(display.rescale.intercept)
        ds.RescaleSlope = decimal(display.rescale.slope)
        ds.RescaleType = display.rescale.type


def _windows(shown: tuple[_Shown, ...], inputs: EncoderInput) -> Iterator[Dataset]:
    """The image's own window, else one that suits its values; none where only the image could know."""
    for one in shown:
        window = one.display.window or _suitable(one, inputs)
        if window is not None:
            item = Dataset()
            item.ReferencedImageSequence = [_image(one.frame, numbered=True)]
            item.WindowCenter, item.WindowWidth = decimal(window.centre), decimal(window.width)
            if window.function:
                item.VOILUTFunction = window.function
            yield item


def _suitable(one: _Shown, inputs: EncoderInput) -> Window | None:
    volume = inputs.conclusion.volume
    if one.display.modality_lut is not None or (one.display.is_inverted and not volume.in_patient_space):
        # The values of the volume are not those that a window applies to: the whole range is shown.
        return None
    low, high = default_window(volume.voxels[one.key_slice.index], volume.modality)
    return Window(centre=(low + high) / 2, width=max(high - low, 1.0))
