"""Whatever the bytes: a header or a ScanError, and nothing else. Mutations of real files and of the corpus."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.intake.corpus import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    a_ct,
    encapsulated,
    encode,
    nested_explicit,
)
from tests.unit.intake.corpus import Raw as RawPart
from worker.data_elements.faults import ScanError
from worker.data_elements.limits import ScanLimits
from worker.domain.character_sets import Reading
from worker.domain.study import IndexedHeader
from worker.intake.dimse.command import parse_command
from worker.intake.scan.index_text import decode_text
from worker.intake.scan.scan import scan_data_set
from worker.intake.supported_syntaxes import TRANSFER_SYNTAXES
from worker.intake.upper_layer.negotiation import ProtocolError, RejectError, parse_request

FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck))
LIMITS = ScanLimits(inflated_free_bytes=1 << 20)


def scan(data: bytes, syntax: str) -> IndexedHeader | ScanError:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            header = scan_data_set(
                file.fileno(), offset=0, length_bytes=len(data), transfer_syntax_uid=syntax, limits=LIMITS
            )
        except ScanError as refusal:
            return refusal
        assert header.sop_instance_uid
        assert header.study_instance_uid
        return header


def _seeds() -> list[tuple[bytes, str]]:
    seeds = []
    for syntax in (EXPLICIT, IMPLICIT, BIG, DEFLATED):
        change = {0x00081140: RawPart(nested_explicit(3))} if syntax == EXPLICIT else {}
        seeds.append((encode(a_ct(syntax, change=change), syntax), syntax))
    seeds.append(
        (encode(a_ct(JPEG, change={0x7FE00010: encapsulated(b"\xff\xd8", b"\xff\xd9", offsets=bytes(4))})), JPEG)
    )
    root = Path(pydicom.data.__file__).parent
    for name in (
        "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "rtplan.dcm", "reportsi.dcm",
        "test-SR.dcm", "JPEG2000.dcm", "SC_rgb_rle_2frame.dcm", "nested_priv_SQ.dcm", "UN_sequence.dcm",
    ):  # fmt: skip
        path = next(root.rglob(name))
        with path.open("rb") as file:
            pydicom.filereader.read_preamble(file, force=True)
            meta = pydicom.filereader._read_file_meta_info(file)
            seeds.append((file.read(), str(meta.get("TransferSyntaxUID", IMPLICIT))))
    return seeds


SEEDS = _seeds()


@FUZZ
@given(data=st.binary(max_size=400), syntax=st.sampled_from(TRANSFER_SYNTAXES))
def test_random_bytes_are_never_more_than_a_refusal(data: bytes, syntax: str) -> None:
    scan(data, syntax)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[bytes, str]:
    data, syntax = draw(st.sampled_from(SEEDS))
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, min(len(changed), 4000) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                changed[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                changed[place : place + 4] = draw(
                    st.sampled_from([b"\xff" * 4, b"\xfe\xff\xff\xff", bytes(4), b"\0\0\0\x80"])
                )
            case 2:
                del changed[place : place + draw(st.integers(1, 64))]
            case 3:
                piece = bytes(changed[place : place + draw(st.integers(1, 200))])
                changed[place:place] = piece
            case _:
                marker = draw(
                    st.sampled_from(
                        [b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"SQ\0\0", b"UN\0\0"]
                    )
                )
                changed[place : place + len(marker)] = marker
    if draw(st.booleans()):
        del changed[draw(st.integers(0, len(changed))) :]
    return bytes(changed), draw(st.sampled_from([syntax, syntax, syntax, EXPLICIT, IMPLICIT, BIG, DEFLATED, JPEG]))


@settings(FUZZ, max_examples=600)
@given(mutated())
def test_mutated_files_are_never_more_than_a_refusal(case: tuple[bytes, str]) -> None:
    scan(*case)


@settings(FUZZ, max_examples=300)
@given(seed=st.sampled_from(SEEDS[:5]), share=st.floats(0, 1, exclude_max=True))
def test_no_part_of_an_image_passes_for_the_whole(seed: tuple[bytes, str], share: float) -> None:
    data, syntax = seed
    cut = data[: int(len(data) * share)]
    if syntax == DEFLATED and len(data) - len(cut) == 1:
        return  # the pad that makes the length even
    assert isinstance(scan(cut, syntax), ScanError)


@FUZZ
@given(
    value=st.binary(max_size=80),
    terms=st.one_of(
        st.binary(max_size=40),
        st.lists(
            st.sampled_from(
                ["", "ISO_IR 100", "ISO_IR 192", "GB18030", "GBK", "ISO_IR 13", "ISO 2022 IR 87", "ISO 2022 IR 149",
                 "ISO 2022 IR 58", "ISO 2022 IR 6", "ISO 2022 IR 166", "utf_7", "unicode_escape", "idna", "zip"]
            ),
            max_size=4,
        ).map(lambda names: "\\".join(names).encode()),
    ),
)  # fmt: skip
def test_text_is_always_text(value: bytes, terms: bytes) -> None:
    assert isinstance(decode_text(value, Reading.of(terms)), str)


@FUZZ
@given(st.binary(max_size=300))
def test_command_sets_are_parsed_or_refused(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert parse_command(data).field


@FUZZ
@given(tail=st.binary(max_size=300), fixed=st.binary(min_size=36, max_size=36))
def test_association_requests_are_parsed_or_refused(tail: bytes, fixed: bytes) -> None:
    body = b"\0\x01\0\0" + fixed[4:] + bytes(36) + tail
    with contextlib.suppress(ProtocolError, RejectError):
        assert parse_request(b"\x01\0" + len(body).to_bytes(4, "big") + body).contexts


@pytest.mark.parametrize(
    ("raw", "terms", "text"),
    [
        (b"M\xfcller", "ISO_IR 100", "Müller"),
        ("Müller".encode(), "ISO_IR 192", "Müller"),
        (b"M\xfcller", "ISO_IR 192", "Müller"),  # not UTF-8 at all: Latin-1, never an exception
        (b"M\xfcller", "no-such-term", "Müller"),
        (b"\xc4\xcf\xbf\xb3", "GB18030", "南砍"),
        (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"),
        (b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞"),
        (b"\xd4\xcf\xce", "ISO_IR 13", "ﾔﾏﾎ"),
        (b"\\u0041", "unicode_escape", "\\u0041"),
    ],
)
def test_text_by_defined_terms(raw: bytes, terms: str, text: str) -> None:
    assert decode_text(raw, Reading.of(terms.encode())) == text
