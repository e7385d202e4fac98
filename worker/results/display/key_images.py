"""Key images: Secondary Capture objects (PS3.3 A.8.1, A.8.4) with everything drawn into the pixels.

They are for viewers that show neither segmentations nor reports. What was concluded about the study as a whole is
written on pages that come first, so that a study does not display normal because a finding has no picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from worker.domain.codes import Code
from worker.domain.profile import KeyImages
from worker.results.coding import code_item
from worker.results.context import EncoderInput
from worker.results.display.key_image_pixels import Picture, draw_pages, draw_slices, same_size
from worker.results.display.key_slices import Choice, choose, highlights_of
from worker.results.display.parametric_map import is_mappable
from worker.results.display.source_display import (
    SourceDisplay,
    decimal,
    patient_orientation,
    plane_of,
    read_source_display,
)
from worker.results.evidence import SourceFrame
from worker.results.header import apply_header, reference

_WHAT = {True: "drawn into an image, conclusions of", False: "a page of text, conclusions of"}
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")


def wants_key_images(inputs: EncoderInput) -> bool:
    """Tell whether key images are made: the profile asks for them, or a heat map can be shown in no other way."""
    if inputs.profile.key_images is not KeyImages.NONE:
        return True
    return inputs.profile.heat_maps and not all(is_mappable(one, inputs) for one in inputs.conclusion.heat_maps)


def choice_of(inputs: EncoderInput) -> Choice:
    """The slices that are shown, and the findings that are shown on none."""
    return choose(highlights_of(inputs.conclusion, inputs.structures, inputs.profile))


def encode_key_images(inputs: EncoderInput) -> tuple[Dataset, ...]:
    """Encode pages and slices, as single frames or as two multi-frame objects."""
    if not wants_key_images(inputs):
        return ()
    choice = choice_of(inputs)
    displays = read_source_display([inputs.source.frames[one.index] for one in choice.slices], inputs.evidence)
    display_at = {one.index: display for one, display in zip(choice.slices, displays, strict=True)}
    pages, slices = draw_pages(inputs, choice), tuple(draw_slices(inputs, choice, displays))
    if inputs.profile.key_images is KeyImages.MULTI_FRAME:
        return tuple(
            _encode(same_size(pictures), inputs, part, display_at, multi_frame=True)
            for part, pictures in enumerate((pages, slices))
            if pictures
        )
    return tuple(
        _encode((picture,), inputs, part, display_at, multi_frame=False)
        for part, picture in enumerate((*pages, *slices))
    )


def _encode(
    pictures: Sequence[Picture],
    inputs: EncoderInput,
    part: int,
    displays: dict[int, SourceDisplay],
    *,
    multi_frame: bool,
) -> Dataset:
    """One object of pictures of the same size: pages, or slices of one series."""
    shown = [(one.key_slice.index, one) for one in pictures if one.key_slice is not None]
    ds = Dataset()
    ds.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage if multi_frame else SecondaryCaptureImageStorage
    ds.Modality = "OT"
    ds.ConversionType = "WSD"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.BurnedInAnnotation = "YES"
    title = inputs.stamp.algorithm.title
    ds.DerivationDescription = f"AI DRAFT, not verified: {_WHAT[bool(shown)]} {title}"[:1024]
    ds.ImageComments = "\r\n".join(line for one in pictures for line in one.words)[:10240]
    ds.PatientOrientation = None
    if shown:
        _add_geometry(ds, shown[0], inputs, displays, alone=not multi_frame)
    frames = [inputs.source.frames[index] for index, _ in shown] or _one_of_each_instance(inputs.source.frames)
    ds.SourceImageSequence = [_source_image(frame) for frame in dict.fromkeys(frames)]
    _add_pixels(ds, pictures, multi_frame=multi_frame)
    apply_header(ds, inputs.stamp, inputs.names("SC", part))
    return ds


def _add_geometry(
    ds: Dataset, shown: tuple[int, Picture], inputs: EncoderInput, displays: dict[int, SourceDisplay], *, alone: bool
) -> None:
    """Orientation, spacing and laterality of the image; its place in the patient only for a single frame."""
    index, picture = shown
    frame, display, volume = inputs.source.frames[index], displays[index], inputs.conclusion.volume
    for element in deepcopy(display.common):
        ds.add(element)
    plane = plane_of(frame)
    directions = display.orientation if plane is None else patient_orientation(plane.orientation)
    ds.PatientOrientation = list(directions) if len(directions) == 2 else None
    if not volume.has_spacing:
        return
    # Pixels of the picture for each pixel of the image.
    factor = picture.image_px[0] / frame.rows, picture.image_px[1] / frame.columns
    _, row_mm, column_mm = volume.geometry.spacing_mm
    ds.PixelSpacing = [decimal(row_mm / factor[0]), decimal(column_mm / factor[1])]
    if plane is None or not alone:
        return
    along, down = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    # Both begin at the same outer corner, and a position is that of the first pixel's centre.
    corner = np.array(plane.position) - (along * column_mm + down * row_mm) / 2
    first = corner + along * column_mm / factor[1] / 2 + down * row_mm / factor[0] / 2
    ds.FrameOfReferenceUID = inputs.source.header.FrameOfReferenceUID
    ds.PositionReferenceIndicator = inputs.source.header.get("PositionReferenceIndicator")
    ds.ImagePositionPatient = [decimal(float(value)) for value in first]
    ds.ImageOrientationPatient = list(plane.orientation)
    ds.SliceThickness = frame.slice_thickness_mm


def _one_of_each_instance(frames: Sequence[SourceFrame]) -> list[SourceFrame]:
    """What a page is about: all analysed instances, without frame numbers."""
    return [replace(frame, number=None) for frame in {one.sop_instance_uid: one for one in frames}.values()]


def _source_image(frame: SourceFrame) -> Dataset:
    item = reference(frame.sop_class_uid, frame.sop_instance_uid)
    if frame.number is not None:
        item.ReferencedFrameNumber = frame.number
    item.PurposeOfReferenceCodeSequence = [code_item(_SOURCE_IMAGE.value, _SOURCE_IMAGE.scheme, _SOURCE_IMAGE.meaning)]
    return item


def _add_pixels(ds: Dataset, pictures: Sequence[Picture], *, multi_frame: bool) -> None:
    rows, columns, _ = pictures[0].pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    if multi_frame:
        ds.NumberOfFrames = len(pictures)
        if len(pictures) > 1:
            ds.FrameIncrementPointer = Tag("FrameLabelVector")
            ds.FrameLabelVector = [
                f"SLICE {one.key_slice.index + 1}" if one.key_slice else f"PAGE {n + 1}"
                for n, one in enumerate(pictures)
            ]
    raw = b"".join(one.pixels.tobytes() for one in pictures)
    ds.add_new("PixelData", "OB", raw + b"\0" * (len(raw) % 2))
