"""Bytes that were made to hurt, and bytes that broke on their way: each is refused by its name."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.builders import a_ct_slice, an_enhanced_ct, data_set_bytes, stored_instance, write
from worker.decode.outcomes import OUTCOMES
from worker.decode.pixels.pixels import PixelReader
from worker.decode.series.headers import HeaderReader
from worker.domain.errors import OverreadError, PermanentError
from worker.domain.study import StoredInstance
from worker.headers.bounded import ReadLimits
from worker.headers.errors import UnreadableInstanceError
from worker.headers.parsing import parse


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    if vr in (b"SQ", b"UN", b"OB", b"UT"):
        return struct.pack("<HH2sHL", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def with_tail(path: Path, tail: bytes) -> Path:
    """The file with other bytes in place of its pixel data."""
    data = path.read_bytes()
    at = data.rindex(b"\xe0\x7f\x10\x00O")
    path.write_bytes(data[:at] + tail)
    return path


def nested(depth: int) -> bytes:
    """Sequences of undefined length in one another."""
    opening = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    closing = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return opening * depth + closing * depth


def code_of(instance: StoredInstance, **limits: int) -> str:
    with pytest.raises(UnreadableInstanceError) as caught:
        HeaderReader(limits=ReadLimits(**limits)).headers((instance,))
    assert caught.value.code in OUTCOMES
    assert instance.sop_instance_uid in caught.value.message
    return caught.value.code


@pytest.fixture
def ct(tmp_path: Path) -> StoredInstance:
    return stored_instance(write(a_ct_slice(), tmp_path / "a.dcm"))


@pytest.mark.parametrize("depth", [500, 10_000, 100_000])
def test_deep_nesting(ct: StoredInstance, depth: int) -> None:
    with_tail(ct.path, nested(depth))
    assert code_of(ct) == "nesting-too-deep"


def test_ordinary_nesting_is_fine(ct: StoredInstance) -> None:
    with_tail(ct.path, nested(30))
    assert HeaderReader().headers((ct,))[0].rows == 32


@pytest.mark.parametrize("kept", [200, 400, 899])
def test_cut_off_header(ct: StoredInstance, kept: int) -> None:
    ct.path.write_bytes(ct.path.read_bytes()[:kept])
    assert code_of(ct) in {"truncated-instance", "unreadable-instance"}


def test_a_header_cut_between_elements_is_another_instance(ct: StoredInstance) -> None:
    data = ct.path.read_bytes()
    ct.path.write_bytes(data[: len(data) - len(data_set_bytes(ct.path))])
    assert code_of(ct) == "file-does-not-match-index"


def test_element_longer_than_the_file(ct: StoredInstance) -> None:
    with_tail(ct.path, struct.pack("<HH2sHL", 0x0040, 0x0555, b"UT", 0, 0xFFFFFFF0))
    assert code_of(ct) == "truncated-instance"
    assert code_of(ct, header_bytes=2**33) == "truncated-instance"


def test_sequence_without_end(ct: StoredInstance) -> None:
    with_tail(ct.path, struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF))
    assert code_of(ct) == "truncated-instance"


def test_too_much_header(ct: StoredInstance) -> None:
    with_tail(ct.path, element(0x0011, 0x1001, b"OB", bytes(200_000)))
    assert HeaderReader().headers((ct,))[0].rows == 32
    assert code_of(ct, header_bytes=100_000) == "header-too-large"


def deflated(path: Path, body: bytes) -> StoredInstance:
    instance = stored_instance(write(a_ct_slice(), path, transfer_syntax_uid=DeflatedExplicitVRLittleEndian))
    data = path.read_bytes()
    meta = data[: 144 + int.from_bytes(data[140:144], "little")]
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    path.write_bytes(meta + squeeze.compress(body) + squeeze.flush())
    return instance


def test_deflate_bomb_by_size(tmp_path: Path) -> None:
    instance = deflated(tmp_path / "a.dcm", bytes(40_000_000))
    assert instance.path.stat().st_size < 50_000
    assert code_of(instance, inflated_bytes=8_000_000) == "deflate-bomb"


def test_deflate_bomb_by_ratio(tmp_path: Path) -> None:
    instance = deflated(tmp_path / "a.dcm", bytes(80 * 2**20))
    assert code_of(instance) == "deflate-bomb"


def test_damaged_and_cut_off_deflate(tmp_path: Path) -> None:
    instance = stored_instance(
        write(a_ct_slice(), tmp_path / "a.dcm", transfer_syntax_uid=DeflatedExplicitVRLittleEndian)
    )
    whole = instance.path.read_bytes()
    instance.path.write_bytes(whole[:-100])
    assert code_of(instance) == "truncated-instance"
    instance.path.write_bytes(whole[:-700] + bytes(700))
    assert code_of(instance) in {"unreadable-instance", "truncated-instance"}


def test_not_dicom_at_all(ct: StoredInstance) -> None:
    ct.path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(3000))
    code_of(ct)


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(OverreadError, match="errno 21") as caught:
        parse(tmp_path, name="x", limits=ReadLimits())
    assert caught.value.code == "spool-unreadable"


SEEDS = {
    "native": ("1.2.840.10008.1.2.1", a_ct_slice),
    "implicit": ("1.2.840.10008.1.2", a_ct_slice),
    "rle": (RLELossless, a_ct_slice),
    "jpeg-ls": (JPEGLSLossless, a_ct_slice),
    "enhanced": (JPEG2000Lossless, an_enhanced_ct),
}


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_damaged_bytes_are_read_or_named(tmp_path_factory, kind: str, seed: int) -> None:
    """Whatever is overwritten in the data set: frames of the right shape, or one of our errors. Nothing else."""
    uid, make = SEEDS[kind]
    path = write(make(), tmp_path_factory.mktemp("fuzz") / "a.dcm", transfer_syntax_uid=uid)
    instance = stored_instance(path)
    data = bytearray(path.read_bytes())
    start = len(data) - len(data_set_bytes(path))
    rng = random.Random(seed)
    # JPEG codecs are native code: here their own data stays whole, a child process is for the rest.
    end = data.rindex(b"\xe0\x7f\x10\x00") + 12
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(start, end)
        data[at] = rng.choice([0, 0xFF, 0x7F, data[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
    path.write_bytes(bytes(data))
    reader = HeaderReader()
    try:
        (header,) = reader.headers((instance,))
        reader.series((header,))
        values = PixelReader(memory_budget_bytes=2**28).frames(instance).values
    except PermanentError as error:
        assert error.code in OUTCOMES  # noqa: PT017
    else:
        assert values.shape == (header.number_of_frames, header.rows, header.columns)
