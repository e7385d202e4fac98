"""Siemens mosaics: one image of many slices, laid out like tiles, at the position of none of them."""

from __future__ import annotations

from pydicom.dataset import Dataset

from worker.decode.outcomes import VolumeError
from worker.decode.planes.plane_attributes import private_values
from worker.domain.study import InstanceHeader

_SIEMENS = (0x0019, "SIEMENS MR HEADER", 0x0A)
"""Number of Images in Mosaic (US)."""


def refuse_mosaic(header: InstanceHeader, dataset: Dataset) -> None:
    """Raise VolumeError ``bad-geometry`` for a mosaic: by Image Type, or by the vendor's number of tiles."""
    named = any(value.strip().upper() == "MOSAIC" for value in header.attributes.get("ImageType", ()))
    tiles = private_values(dataset, *_SIEMENS, vr="US")
    if named or (tiles and tiles[0].strip().isdigit() and int(tiles[0]) > 1):
        raise VolumeError(
            f"Instance {header.instance.sop_instance_uid} is a mosaic: an image of "
            f"{tiles[0] if tiles else 'many'} slices side by side, whose position is that of none of them. One slice "
            "per image was expected.",
            next_step="Have the scanner send single slices or Enhanced MR (without Mosaic in the protocol).",
            code="bad-geometry",
        )
