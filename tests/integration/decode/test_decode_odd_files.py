"""Every odd file that ships with pydicom: decoded like pydicom does, or refused by this name."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut

from worker.decode.dataset.files import indexed_header, instances_from_folder
from worker.decode.pixels.pixels import PixelReader
from worker.decode.series.headers import HeaderReader
from worker.domain.errors import PermanentError
from worker.domain.study import Digest, StoredInstance, TransferSyntaxUID
from worker.headers.bounded import ReadLimits
from worker.headers.parsing import parse

ROOT = Path(pydicom.__file__).parent / "data" / "test_files"
NO_DICOM = {".txt", ".json", ".icc", ".dump", ".gz", ".py", ""}

EXPECTED = {
    "693_J2KI.dcm": "decoded, padding to air",
    "CT_small.dcm": "decoded",
    "ExplVR_BigEnd.dcm": "colour-image",
    "GDCMJ2K_TextGBR.dcm": "colour-image",
    "J2K_pixelrep_mismatch.dcm": "decoded",
    "JPEG-lossy.dcm": "decoder-failed",  # a scan header that no decoder takes
    "JPEG2000-embedded-sequence-delimiter.dcm": "codestream-mismatch",
    "JPEG2000.dcm": "decoded",
    "JPEGLSNearLossless_08.dcm": "decoded",
    "JPEGLSNearLossless_16.dcm": "decoded",
    "JPGExtended.dcm": "decoded",
    "MR_small.dcm": "decoded",
    "MR_small_RLE.dcm": "decoded",
    "MR_small_bigendian.dcm": "decoded",
    "MR_small_expb.dcm": "decoded",
    "MR_small_implicit.dcm": "decoded",
    "MR_small_jp2klossless.dcm": "decoded",
    "MR_small_jpeg_ls_lossless.dcm": "decoded",
    "MR_small_padded.dcm": "decoded",
    "MR_truncated.dcm": "truncated-pixel-data",
    "OBXXXX1A.dcm": "colour-image",
    "badVR.dcm": "unsupported-pixel-format",
    "examples_overlay.dcm": "decoded",
    "examples_palette.dcm": "colour-image",
    "image_dfl.dcm": "decoded",
    "liver_1frame.dcm": "unsupported-pixel-format",
    "liver_expb_1frame.dcm": "unsupported-pixel-format",
    "meta_missing_tsyntax.dcm": "unsupported-pixel-format",
    "nested_priv_SQ.dcm": "unsupported-pixel-format",
    "no_meta.dcm": "truncated-instance",
    "rtdose.dcm": "decoded",
    "rtdose_1frame.dcm": "decoded",
    "rtdose_expb.dcm": "decoded",
    "rtdose_expb_1frame.dcm": "decoded",
    "rtdose_rle.dcm": "decoded",
    "rtdose_rle_1frame.dcm": "decoded",
    "rtplan_truncated.dcm": "truncated-instance",
}
"""Files by name. Those that are not named are colour images, or have no pixel data, as their name says."""


def files() -> list[Path]:
    found = sorted(path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in found if path.suffix not in NO_DICOM and "dicomdirtests" not in path.parts]


def outcome_of(path: Path) -> str:
    try:
        parsed = parse(path, name="x", limits=ReadLimits())
        instance = StoredInstance(
            header=indexed_header(parsed.dataset),
            transfer_syntax_uid=TransferSyntaxUID(parsed.transfer_syntax_uid),
            sha256=Digest(""),
            size_bytes=path.stat().st_size,
            path=path,
            calling_ae_title="",
            received_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        HeaderReader().headers((instance,))
        ours = PixelReader().frames(instance).values
    except PermanentError as error:
        return error.code
    ds = pydicom.dcmread(path)
    theirs = apply_modality_lut(ds.pixel_array, ds).reshape(ours.shape)
    if np.allclose(ours, theirs, rtol=1e-5):
        return "decoded"
    padding = ds.pixel_array.reshape(ours.shape) == ds.PixelPaddingValue
    assert np.array_equal(ours[~padding], theirs[~padding])
    assert set(ours[padding]) == {-1024.0}
    return "decoded, padding to air"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_decoded_or_named(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="pydicom")
    expected = EXPECTED.get(path.name)
    found = outcome_of(path)
    assert found == expected if expected else found in {"colour-image", "no-pixel-data"}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_folder_as_a_whole() -> None:
    found, skipped = instances_from_folder(ROOT)
    assert len(found) + len(skipped) == sum(path.is_file() for path in ROOT.rglob("*"))
    assert {skip.code for skip in skipped} == {
        "not-dicom",
        "dicomdir",
        "no-uid",
        "truncated-instance",
        "conflict",
        "repeated",
    }
    assert len(HeaderReader().headers(found)) == len(found) > 100
