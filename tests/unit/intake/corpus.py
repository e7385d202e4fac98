"""Data sets, sound and hostile, encoded by hand: no library would write most of these."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
MPEG2 = "1.2.840.10008.1.2.4.100"

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.33"
SOP = "1.2.826.0.1.3680043.2.1143.1"
STUDY = "1.2.826.0.1.3680043.2.1143.2"
SERIES = "1.2.826.0.1.3680043.2.1143.3"

LONG_FORM = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class Raw:
    """Bytes that stand in a data set as they are."""

    data: bytes


@dataclass(frozen=True)
class Element:
    tag: int
    vr: bytes
    value: bytes
    length: int | None = None


Part = Element | Raw


def encode(parts: list[Part], syntax: str = EXPLICIT) -> bytes:
    order = ">" if syntax == BIG else "<"
    out = []
    for part in parts:
        if isinstance(part, Raw):
            out.append(part.data)
            continue
        value = part.value + (b"" if len(part.value) % 2 == 0 else (b"\0" if part.vr in (b"UI", b"OB") else b" "))
        length = len(value) if part.length is None else part.length
        tag = struct.pack(order + "HH", part.tag >> 16, part.tag & 0xFFFF)
        if syntax == IMPLICIT:
            out.append(tag + struct.pack("<I", length) + value)
        elif part.vr in LONG_FORM:
            out.append(tag + part.vr + struct.pack(order + "xxI", length) + value)
        else:
            out.append(tag + part.vr + struct.pack(order + "H", length & 0xFFFF) + value)
    body = b"".join(out)
    if syntax == DEFLATED:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = deflater.compress(body) + deflater.flush()
        body += b"\0" * (len(body) % 2)
    return body


def us(number: int, syntax: str = EXPLICIT) -> bytes:
    return struct.pack((">" if syntax == BIG else "<") + "H", number)


def a_ct(
    syntax: str = EXPLICIT,
    *,
    rows: int = 8,
    columns: int = 8,
    change: dict[int, Part | None] | None = None,
    sop: str = SOP,
    study: str = STUDY,
) -> list[Part]:
    """A small CT slice as parts in ascending order; ``change`` replaces, adds or removes (None) by tag."""
    parts: dict[int, Part] = {}

    def put(tag: int, vr: str, value: bytes | str) -> None:
        parts[tag] = Element(tag, vr.encode(), value if isinstance(value, bytes) else value.encode("latin-1"))

    put(0x00080005, "CS", "ISO_IR 100")
    put(0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL")
    put(0x00080016, "UI", CT)
    put(0x00080018, "UI", sop)
    put(0x00080050, "SH", "ACC1")
    put(0x00080060, "CS", "CT")
    put(0x00080070, "LO", "MAKER")
    put(0x00081090, "LO", "MODEL")
    put(0x00100010, "PN", "Doe^Jane")
    put(0x00100020, "LO", "PID1")
    put(0x00100030, "DA", "19700101")
    put(0x00181000, "LO", "SN1")
    put(0x0020000D, "UI", study)
    put(0x0020000E, "UI", SERIES)
    put(0x00280002, "US", us(1, syntax))
    put(0x00280004, "CS", "MONOCHROME2")
    put(0x00280010, "US", us(rows, syntax))
    put(0x00280011, "US", us(columns, syntax))
    put(0x00280100, "US", us(16, syntax))
    put(0x00280101, "US", us(16, syntax))
    put(0x00280102, "US", us(15, syntax))
    put(0x00280103, "US", us(0, syntax))
    put(0x7FE00010, "OW", bytes(range(256)) * (rows * columns * 2 // 256 + 1))
    pixels = parts[0x7FE00010]
    assert isinstance(pixels, Element)
    parts[0x7FE00010] = Element(0x7FE00010, b"OW", pixels.value[: rows * columns * 2])
    for tag, part in (change or {}).items():
        parts.pop(tag, None)
        if part is not None:
            parts[tag] = part
    return [parts[tag] for tag in sorted(parts)]


def item(body: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body) if length is None else length) + body


ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def header(tag: int, vr: str, length: int) -> bytes:
    """Element header in Explicit VR Little Endian."""
    start = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    return start + (struct.pack("<xxI", length) if vr.encode() in LONG_FORM else struct.pack("<H", length))


def nested_explicit(depth: int) -> bytes:
    """Sequences of undefined length, one in the other, properly closed."""
    opening = header(0x00081140, "SQ", UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
    return opening * depth + (ITEM_END + SEQUENCE_END) * depth


def nested_defined(depth: int, *, tag: int, vr: str | None) -> bytes:
    """Sequences of defined length; ``vr`` None is Implicit VR."""
    body = b""
    for _ in range(depth):
        body = item(body)
        body = (header(tag, vr, len(body)) if vr else struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(body))) + body
    return body


def encapsulated(*fragments: bytes, offsets: bytes = b"", end: bytes = SEQUENCE_END) -> Raw:
    body = item(offsets) + b"".join(item(fragment) for fragment in fragments) + end
    return Raw(header(0x7FE00010, "OB", UNDEFINED) + body)


def bomb(inflated_bytes: int) -> bytes:
    """A deflated CT whose private element inflates to that size."""
    parts = a_ct(change={0x7FE00010: None, 0x00280010: None})
    start = encode(parts) + header(0x00990010, "OB", inflated_bytes)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = [deflater.compress(start)]
    zeros = b"\0" * (1 << 20)
    out += [deflater.compress(zeros) for _ in range(inflated_bytes >> 20)]
    return b"".join([*out, deflater.flush()])


@dataclass(frozen=True)
class Case:
    """``code`` is the expected refusal, "" for acceptance; ``status`` its DIMSE status.

    ``decodes``: the image is one that can be analysed, and its pixels are those of ``a_ct``.
    """

    name: str
    make: Callable[[], bytes]
    code: str
    syntax: str = EXPLICIT
    status: int = 0xC000
    sop_class: str = CT
    decodes: bool = False


def _ct(syntax: str = EXPLICIT, /, **changes: Part | None) -> Callable[[], bytes]:
    """``_ct(x00100020=None)``: a CT with elements replaced by tag."""
    change = {int(name[1:], 16): part for name, part in changes.items()}
    return lambda: encode(a_ct(syntax, change=change), syntax)


def _e(tag: int, vr: str, value: bytes | str, length: int | None = None) -> Element:
    return Element(tag, vr.encode(), value if isinstance(value, bytes) else value.encode("latin-1"), length)


def _sound() -> list[Case]:
    odd = _e(0x00080070, "LO", b"")
    return [
        Case("explicit little endian", _ct(), ""),
        Case("implicit little endian", _ct(IMPLICIT), "", IMPLICIT),
        Case("explicit big endian", _ct(BIG), "", BIG),
        Case("deflated", _ct(DEFLATED), "", DEFLATED),
        Case("deflated with gzip trailer", lambda: _ct(DEFLATED)() + b"12345678", "", DEFLATED),
        Case("empty patient id is for the identity guard", _ct(x00100020=_e(0x00100020, "LO", "")), ""),
        Case("no patient at all", _ct(x00100010=None, x00100020=None, x00100030=None), ""),
        Case("empty manufacturer", _ct(x00080070=odd), ""),
        Case("two accession numbers", _ct(x00080050=_e(0x00080050, "SH", "A\\B")), ""),
        Case("uid component with leading zero", _ct(x0020000D=_e(0x0020000D, "UI", "1.2.03.4")), ""),
        Case("uid padded with space", _ct(x0020000D=_e(0x0020000D, "UI", "1.2.3 ")), ""),
        Case("unknown character set", _ct(x00080005=_e(0x00080005, "CS", "unicode_escape")), ""),
        Case("nested 60 deep", _ct(x00081140=Raw(nested_explicit(60))), ""),
        Case("unknown vr has the long form", _ct(x00090010=Raw(b"\x09\0\x10\0ZZ\0\0\x02\0\0\0ab")), ""),
        Case("trailing padding", lambda: encode([*a_ct(), _e(0xFFFCFFFC, "OB", bytes(64))]), ""),
        Case("elements out of order", lambda: encode(a_ct()[1:-1] + a_ct()[:1] + a_ct()[-1:]), ""),
        Case("jpeg", _ct(JPEG, x7FE00010=encapsulated(b"\xff\xd8\xff\xd9")), "", JPEG),
        Case("jpeg in two fragments", _ct(JPEG, x7FE00010=encapsulated(b"\xff\xd8", b"\xff\xd9")), "", JPEG),
        Case("jpeg with offsets", _ct(JPEG, x7FE00010=encapsulated(b"\xff\xd8", offsets=bytes(4))), "", JPEG),
        Case(
            "video frames in one fragment",
            _ct(MPEG2, x00280008=_e(0x00280008, "IS", "200"), x7FE00010=encapsulated(bytes(64))),
            "",
            MPEG2,
        ),
        Case(
            "native icon in a compressed image",
            _ct(JPEG, x00880200=_icon(), x7FE00010=encapsulated(b"\xff\xd8")),
            "",
            JPEG,
        ),
        Case("pixel data longer than described", _ct(x7FE00010=_e(0x7FE00010, "OW", bytes(512))), ""),
        Case("an object that is no image", _no_image, "", sop_class=SR),
        Case("private bytes that look like an item", _ct(x00091010=_e(0x00091010, "UN", item(b"abc", 9999))), ""),
        Case("private implicit bytes that look like an item", _implicit_lookalike, "", IMPLICIT),
        Case("un of undefined length", _ct(x00091010=Raw(_un_sequence())), ""),
        Case(
            "422 colour",
            _ct(
                x00280002=_e(0x00280002, "US", us(3)),
                x00280004=_e(0x00280004, "CS", "YBR_FULL_422"),
                x00280100=_e(0x00280100, "US", us(8)),
            ),
            "",
        ),
        Case(
            "one bit per pixel",
            _ct(x00280100=_e(0x00280100, "US", us(1)), x7FE00010=_e(0x7FE00010, "OB", bytes(8))),
            "",
        ),
    ]


def _no_image() -> bytes:
    parts = a_ct(change={0x00080016: _e(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.88.33")})
    return encode([part for part in parts if isinstance(part, Element) and part.tag < 0x00280000])


def _icon() -> Raw:
    body = item(encode([_e(0x00280010, "US", us(2)), _e(0x00280011, "US", us(2)), _e(0x7FE00010, "OW", bytes(8))]))
    return Raw(header(0x00880200, "SQ", len(body)) + body)


def _un_sequence() -> bytes:
    inside = struct.pack("<HHI", 0x0008, 0x1150, 4) + b"1.2\0"
    return header(0x00091010, "UN", UNDEFINED) + item(inside) + SEQUENCE_END


def _implicit_lookalike() -> bytes:
    blob = item(b"\x01\x02\x03", 77)
    parts = a_ct(IMPLICIT, change={0x00091010: Element(0x00091010, b"UN", blob)})
    return encode(parts, IMPLICIT)


def odd(tag: int, vr: bytes, value: bytes, syntax: str = EXPLICIT) -> Raw:
    """An element with 16 bits of length behind a VR of the writer's own."""
    order = ">" if syntax == BIG else "<"
    return Raw(struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) + vr + struct.pack(order + "H", len(value)) + value)


def odd_long(tag: int, vr: bytes, value: bytes) -> Raw:
    """The same with the long form."""
    return Raw(struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr + struct.pack("<xxI", len(value)) + value)


def _harmless() -> list[Case]:
    """What real writers get wrong, and what means one thing only."""

    def ok(name: str, make: Callable[[], bytes], syntax: str = EXPLICIT, *, sop_class: str = CT) -> Case:
        return Case(name, make, "", syntax, sop_class=sop_class, decodes=sop_class == CT)

    def with_tail(syntax: str, tail: bytes) -> Callable[[], bytes]:
        return lambda: encode(a_ct(syntax), syntax) + tail

    def text_for_sequence(tag: int, value: bytes) -> Callable[[], bytes]:
        return lambda: encode(a_ct(IMPLICIT, change={tag: Element(tag, b"LO", value)}), IMPLICIT)

    def in_sequence(body: bytes) -> Raw:
        return Raw(_sequence(body))

    def twice(tag: int, vr: str, *values: bytes | str) -> Raw:
        return Raw(encode([_e(tag, vr, value) for value in values]))

    cases = [
        ok(f"text where the dictionary has a sequence: {tag:08X} {value!r}", text_for_sequence(tag, value), IMPLICIT)
        for tag in (0x00081032, 0x00082112, 0x00400275, 0x00082218, 0x52009229)
        for value in (b"CHEST ROUTINE ", b"NO", b"1234567890", b"")
    ]
    cases += [
        ok(f"number of frames {value!r}", _ct(x00280008=_e(0x00280008, "IS", value)))
        for value in ("1.0", " 1", "+1", "1 ", "1.", "01", "")
    ]
    # Stored; that such an image is not decoded is said by the decoder.
    cases.append(Case("number of frames '0'", _ct(x00280008=_e(0x00280008, "IS", "0")), ""))
    cases.append(ok("number of frames in binary", _ct(x00280008=_e(0x00280008, "US", us(1)))))
    for vr in (b"  ", b"\0\0", b"??", b"RE", b"ZZ"):
        cases += [
            ok(f"short form with VR {vr!r}", _ct(x00081030=odd(0x00081030, vr, b"CHEST "))),
            ok(f"short form, empty, with VR {vr!r}", _ct(x00081030=odd(0x00081030, vr, b""))),
            ok(f"long form with VR {vr!r}", _ct(x00081030=odd_long(0x00081030, vr, b"CHEST "))),
            ok(f"private, with VR {vr!r}", _ct(x00091001=odd(0x00091001, vr, b"\1\2\3\4"))),
            ok(f"patient id with VR {vr!r}", _ct(x00100020=odd(0x00100020, vr, b"PID1"))),
            ok(
                f"two in a row with VR {vr!r}",
                _ct(x00081030=odd(0x00081030, vr, b"AB"), x0008103E=odd(0x0008103E, vr, b"CD")),
            ),
            ok(f"rows with VR {vr!r}", _ct(x00280010=odd(0x00280010, vr, us(8)))),
            ok(f"last in an item, VR {vr!r}", _ct(x00081140=in_sequence(odd(0x00081155, vr, b"1.2\0").data))),
            ok(f"last before zeros, VR {vr!r}", lambda vr=vr: encode([*a_ct(), odd(0x7FE10010, vr, b"A ")]) + bytes(9)),
            ok(
                f"big endian with VR {vr!r}",
                lambda vr=vr: encode(a_ct(BIG, change={0x00081030: odd(0x00081030, vr, b"CHEST ", BIG)}), BIG),
                BIG,
            ),
            ok(
                f"deflated with VR {vr!r}",
                lambda vr=vr: encode(a_ct(change={0x00081030: odd(0x00081030, vr, b"CHEST ")}), DEFLATED),
                DEFLATED,
            ),
        ]  # fmt: skip
    cases += [
        ok("first of all with VR ??", lambda: encode([odd(0x00080001, b"??", b"AB"), *a_ct()])),
        ok("an equal duplicate", _ct(x00081030=twice(0x00081030, "LO", "CHEST", "CHEST"))),
        ok("an equal duplicate of the patient id", _ct(x00100020=twice(0x00100020, "LO", "PID1", "PID1"))),
        ok("an equal duplicate of the study uid", _ct(x0020000D=twice(0x0020000D, "UI", STUDY, STUDY))),
        ok("three equal rows", _ct(x00280010=twice(0x00280010, "US", us(8), us(8), us(8)))),
        ok("an equal sequence twice", _ct(x00081140=Raw(2 * _sequence(encode([_e(0x00081155, "UI", "1.2")]))))),
        ok("an equal duplicate, far", lambda: encode([*a_ct(), _e(0x00100020, "LO", "PID1")])),
        ok("a private duplicate", _ct(x00091001=twice(0x00091001, "LO", "A", "B"))),
        ok("a private creator twice", _ct(x00090010=twice(0x00090010, "LO", "MAKER", "OTHER"))),
        ok("an equal duplicate, deflated", _ct(DEFLATED, x00081030=twice(0x00081030, "LO", "A", "A")), DEFLATED),
        ok("pixel data twice and equal", lambda: encode([*a_ct(), a_ct()[-1]])),
        ok("group 0000 at the beginning", lambda: header(0, "UL", 4) + bytes(4) + encode(a_ct())),
        ok("command group", lambda: encode([_e(0x00000002, "UI", CT), _e(0x00000100, "US", us(1)), *a_ct()])),
        ok("group 0000, implicit", lambda: b"\0\0\0\0\4\0\0\0abcd" + encode(a_ct(IMPLICIT), IMPLICIT), IMPLICIT),
        ok("group 0000 in the middle", lambda: encode([*a_ct()[:9], _e(0x00000002, "UI", CT), *a_ct()[9:]])),
        ok("directory group", _ct(x00041130=_e(0x00041130, "CS", "SET"))),
        ok("rows as text", _ct(x00280010=_e(0x00280010, "IS", "8"), x00280011=_e(0x00280011, "DS", "8.0"))),
        ok("bits as text", _ct(x00280100=_e(0x00280100, "IS", "16"))),
        ok("rows in 32 bits", _ct(x00280010=_e(0x00280010, "UL", struct.pack("<I", 8)))),
        ok("excess padding behind the pixels", _ct(x7FE00010=_e(0x7FE00010, "OW", a_ct()[-1].value + bytes(130)))),
        ok("zeros behind the deflated", lambda: encode(a_ct(), DEFLATED) + bytes(64), DEFLATED),
        ok("zeros inside of the deflated", _zeros_inside, DEFLATED),
        ok("zeros behind a report", lambda: _no_image() + bytes(11), sop_class=SR),
    ]  # fmt: skip
    for syntax in (EXPLICIT, IMPLICIT, BIG):
        cases += [ok(f"{n} zeros behind {syntax}", with_tail(syntax, bytes(n)), syntax) for n in (1, 2, 7, 8, 9, 4096)]
    for tag in (0x00080016, 0x00080018, 0x0020000D, 0x0020000E):
        uid = {0x00080016: CT, 0x00080018: SOP, 0x0020000D: STUDY, 0x0020000E: SERIES}[tag]
        for pad in ("   ", " ", "\0\0", "\0 ", "  \0"):
            cases.append(ok(f"{tag:08X} padded with {pad!r}", _ct(**{f"x{tag:08X}": _e(tag, "UI", uid + pad)})))
    return cases


def _zeros_inside() -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(encode(a_ct()) + bytes(513)) + deflater.flush()


def _ambiguous() -> list[Case]:
    """What looks like the harmless, and could be read in two ways."""
    twice = encode([_e(0x00281053, "DS", "1"), _e(0x00281053, "DS", "2")])
    padded = encode([_e(0x00100020, "LO", "PID1"), _e(0x00100020, "LO", "PID1  ")])
    return [
        Case("two slopes", _ct(x00281053=Raw(twice)), "duplicate-element"),
        Case("two patient ids that differ in padding", _ct(x00100020=Raw(padded)), "duplicate-element"),
        Case("duplicates, deflated", _ct(DEFLATED, x00281053=Raw(twice)), "duplicate-element", DEFLATED),
        Case("not only zeros behind the end", lambda: encode(a_ct()) + bytes(63) + b"\1", "bad-vr"),
        Case("patient id of a VR that is none, cut", _ct(x00100020=Raw(b"\x10\0\x20\0??\xff\0PID1")), "bad-vr"),
        Case("file meta inside", _ct(x00020010=_e(0x00020010, "UI", "1.2.840.10008.1.2")), "bad-group"),
        Case("rows of letters", _ct(x00280010=_e(0x00280010, "IS", "EIGHT")), "bad-pixel-description"),
        Case("one frame and a half", _ct(x00280008=_e(0x00280008, "IS", "1.5")), "bad-pixel-description"),
    ]


def _identity() -> list[Case]:
    cases = []
    for tag, name in (
        (0x00080016, "sop-class-uid"),
        (0x00080018, "sop-instance-uid"),
        (0x0020000D, "study-instance-uid"),
        (0x0020000E, "series-instance-uid"),
    ):
        key = f"x{tag:08X}"
        for what, value, code in (
            ("empty", "", f"missing-{name}"),
            ("only a pad", "\0", f"missing-{name}"),
            ("with a path", "../../etc/passwd", f"invalid-{name}"),
            ("absolute path", "/etc/passwd", f"invalid-{name}"),
            ("65 characters", "1." + "2" * 63, f"invalid-{name}"),
            ("letters", "1.2.x", f"invalid-{name}"),
            ("double dot", "1..2", f"invalid-{name}"),
            ("trailing dot", "1.2.", f"invalid-{name}"),
            ("leading space", " 1.2", f"invalid-{name}"),
            ("null inside", "1.2\0.3", f"invalid-{name}"),
            ("newline", "1.2\nforged", f"invalid-{name}"),
            ("high bytes", "1.2\xb9", f"invalid-{name}"),
            ("two values", "1.2\\1.3", "ambiguous-identity"),
        ):
            cases.append(Case(f"{name} {what}", _ct(**{key: _e(tag, "UI", value)}), code))
        cases.append(Case(f"{name} absent", _ct(**{key: None}), f"missing-{name}"))
        twice = [_e(tag, "UI", "1.2.3.4"), _e(tag, "UI", "1.2.3.5")]
        cases.append(Case(f"{name} twice", _ct(**{key: Raw(encode(list(twice)))}), "duplicate-element"))
        cases.append(Case(f"{name} as sequence", _ct(**{key: Raw(header(tag, "SQ", 0))}), "bad-value"))
        cases.append(
            Case(
                f"{name} undefined length", _ct(**{key: Raw(header(tag, "UN", UNDEFINED) + SEQUENCE_END)}), "bad-value"
            )
        )
    for tag, vr in ((0x00100010, "PN"), (0x00100020, "LO"), (0x00100030, "DA"), (0x00100021, "LO")):
        key = f"x{tag:08X}"
        cases.append(Case(f"{tag:08X} two values", _ct(**{key: _e(tag, vr, "A\\B")}), "ambiguous-identity"))
        twice = encode([_e(tag, vr, "A"), _e(tag, vr, "B")])
        cases.append(Case(f"{tag:08X} twice", _ct(**{key: Raw(twice)}), "duplicate-element"))
        cases.append(Case(f"{tag:08X} huge", _ct(**{key: _e(tag, vr, "A" * 60000)}), "value-too-long"))
    far = [*a_ct(), _e(0x00100020, "LO", "OTHER")]
    cases.append(Case("patient id again after the pixel data", lambda: encode(far), "duplicate-element"))
    return cases


def _lengths() -> list[Case]:
    whole = encode(a_ct())
    cases = [
        Case(f"cut to {share} %", lambda share=share: whole[: len(whole) * share // 100], "truncated")
        for share in (1, 12, 51, 77, 99)
    ]
    implicit = encode(a_ct(IMPLICIT), IMPLICIT)
    deflated = encode(a_ct(DEFLATED), DEFLATED)
    lying = header(0x00081140, "SQ", 4000) + item(b"")
    inner = header(0x00081140, "SQ", 8) + item(b"", 5000)
    cases += [
        Case("empty", lambda: b"", "missing-sop-class-uid"),
        Case("one byte", lambda: b"\x08", "truncated"),
        Case("implicit cut", lambda: implicit[:-3], "truncated", IMPLICIT),
        Case("deflated cut", lambda: deflated[:-20], "truncated", DEFLATED),
        Case("deflated garbage", lambda: b"\xff" * 100, "bad-deflate", DEFLATED),
        Case("deflated is not deflated", lambda: whole, "", DEFLATED),
        Case("bytes behind the deflated", lambda: deflated + b"\1" * 64, "bytes-after-data-set", DEFLATED),
        Case("length almost undefined", _ct(x00104000=Raw(header(0x00104000, "UT", 0xFFFFFFFE))), "truncated"),
        Case("text of undefined length", _ct(x00104000=Raw(header(0x00104000, "UT", UNDEFINED))), "undefined-length"),
        Case("sequence beyond the data set", lambda: encode(a_ct()) + lying, "truncated"),
        Case("item beyond its sequence", lambda: encode([*a_ct()[:2], Raw(inner), *a_ct()[2:]]), "truncated"),
        Case("element beyond its item", _ct(x00081140=Raw(_sequence(header(0x00081150, "UI", 64)))), "truncated"),
        Case("half an element in an item", _ct(x00081140=Raw(_sequence(b"\x08\0\x50"))), "truncated"),
        Case("sequence never closed", _ct(xFFFC0001=Raw(header(0xFFFC0001, "SQ", UNDEFINED))), "truncated"),
        Case("item never closed", _ct(xFFFC0001=Raw(_open_item())), "truncated"),
        Case("no item in a sequence", _ct(x00081140=Raw(header(0x00081140, "SQ", 8) + bytes(8))), "bad-item"),
        Case("delimiter with a length", _ct(xFFFC0001=Raw(_long_delimiter())), "bad-item"),
        Case("item at top level", lambda: item(b"") + whole, "bad-item"),
        Case("delimiter at top level", lambda: whole + ITEM_END, "bad-item"),
        Case("file meta in the data set", lambda: header(0x00020010, "UI", 4) + b"1.2\0" + whole, "bad-group"),
        Case("a whole file with preamble", lambda: bytes(128) + b"DICM" + whole, "bad-vr"),
        Case("vr of digits", _ct(x00090010=Raw(b"\x09\0\x10\x0012\x02\0ab")), "bad-vr"),
        Case("implicit bytes declared explicit", lambda: implicit, "bad-vr"),
        Case("explicit bytes declared implicit", lambda: whole, "truncated", IMPLICIT),
        Case("little endian declared big", lambda: whole, "truncated", BIG),
        Case("text", lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "bad-vr"),
        Case("zeros", lambda: bytes(4096), "missing-sop-class-uid"),
        Case("ones", lambda: b"\xff" * 4096, "bad-vr"),
    ]
    return [case for case in cases if case.name != "deflated is not deflated"]


def _sequence(body: bytes) -> bytes:
    inside = item(body)
    return header(0x00081140, "SQ", len(inside)) + inside


def _open_item() -> bytes:
    return header(0xFFFC0001, "SQ", UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)


def _long_delimiter() -> bytes:
    return header(0xFFFC0001, "SQ", UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 8) + bytes(8)


def _resources() -> list[Case]:
    def implicit_nest(tag: int) -> Callable[[], bytes]:
        raw = Raw(nested_defined(3000, tag=tag, vr=None))
        return lambda: encode(a_ct(IMPLICIT, change={tag: raw}), IMPLICIT)

    many = b"".join(header(0x00090000 | (n % 65000 + 16), "US", 2) + b"\0\0" for n in range(20))
    flat = item(many) * 6000
    return [
        Case("nested 65 deep", _ct(x00081140=Raw(nested_explicit(65))), "too-deep"),
        Case("nested 10000 deep", _ct(x00081140=Raw(nested_explicit(10_000))), "too-deep"),
        Case("nested 3000 deep, sq", _ct(x00081140=Raw(nested_defined(3000, tag=0x00081140, vr="SQ"))), "too-deep"),
        Case("nested 3000 deep, un", _ct(x00081140=Raw(nested_defined(3000, tag=0x00081140, vr="UN"))), "too-deep"),
        Case("nested 3000 deep, implicit", implicit_nest(0x00081140), "too-deep", IMPLICIT),
        Case("nested 3000 deep, private implicit", implicit_nest(0x00091010), "too-deep", IMPLICIT),
        Case("120000 elements", _ct(x00081140=Raw(header(0x00081140, "SQ", len(flat)) + flat)), "too-many-elements"),
        Case("200000 empty items", _ct(x00081140=Raw(header(0x00081140, "SQ", 1_600_000) + item(b"") * 200_000)),
             "too-many-elements"),
        Case("600000 fragments", _ct(JPEG, x7FE00010=encapsulated(*[b""] * 600_000)), "too-many-elements", JPEG),
        Case("deflate bomb", lambda: bomb(256 << 20), "deflate-bomb", DEFLATED),
    ]  # fmt: skip


def _pixels() -> list[Case]:
    rows, columns = _e(0x00280010, "US", us(65535)), _e(0x00280011, "US", us(65535))
    frames = [_e(0x00280008, "IS", value) for value in ("2", "999999999999", "0", "-1", "2.5", "9" * 40)]
    report = _e(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.88.33")
    short = "pixel-data-short"
    bad = "bad-pixel-description"
    return [
        Case("rows and columns lie", _ct(x00280010=rows, x00280011=columns), short),
        Case("two frames, one there", _ct(x00280008=frames[0]), short),
        Case("10^12 frames", _ct(x00280008=frames[1]), short),
        Case("minus one frame", _ct(x00280008=frames[3]), bad),
        Case("half a frame", _ct(x00280008=frames[4]), bad),
        Case("10^40 frames", _ct(x00280008=frames[5]), bad),
        Case("no rows", _ct(x00280010=_e(0x00280010, "US", us(0))), bad),
        Case("rows without a value", _ct(x00280010=_e(0x00280010, "US", b"")), bad),
        Case("no bits", _ct(x00280100=_e(0x00280100, "US", us(0))), bad),
        Case("65535 samples", _ct(x00280002=_e(0x00280002, "US", us(65535))), short),
        Case("pixel data one byte short", _ct(x7FE00010=_e(0x7FE00010, "OW", bytes(126))), short),
        Case("pixel data empty", _ct(x7FE00010=_e(0x7FE00010, "OW", b"")), short),
        Case("pixel data missing", _ct(x7FE00010=None), "pixel-data-missing"),
        Case("pixel data and its description missing", _no_description, "pixel-data-missing"),
        Case("described pixel data missing", _ct(x00080016=report, x7FE00010=None), "pixel-data-missing", sop_class=SR),
        Case("pixel data length lies", _ct(x7FE00010=_e(0x7FE00010, "OW", bytes(128), 1 << 31)), "truncated"),
        Case("pixel data twice", lambda: encode([*a_ct(), _e(0x7FE00010, "OW", bytes(128))]), "duplicate-element"),
        Case("encapsulated in native", _ct(x7FE00010=encapsulated(b"\xff\xd8")), "pixel-data-encapsulated"),
        Case("native in jpeg", _ct(JPEG), "pixel-data-not-encapsulated", JPEG),
        Case("jpeg without delimiter", _ct(JPEG, x7FE00010=encapsulated(b"\xff\xd8", end=b"")), "truncated", JPEG),
        Case("jpeg without fragment", _ct(JPEG, x7FE00010=encapsulated()), short, JPEG),
        Case("jpeg without offset table", _ct(JPEG, x7FE00010=_no_table()), "bad-fragment", JPEG),
        Case("offset table of three bytes", _ct(JPEG, x7FE00010=encapsulated(b"\xff\xd8", offsets=bytes(3))),
             "bad-fragment", JPEG),
        Case("fragment beyond the end", _ct(JPEG, x7FE00010=_long_fragment(500)), "truncated", JPEG),
        Case("fragment of undefined length", _ct(JPEG, x7FE00010=_long_fragment(UNDEFINED)), "bad-fragment", JPEG),
        Case("three frames, two fragments",
             _ct(JPEG, x00280008=_e(0x00280008, "IS", "3"), x7FE00010=encapsulated(b"aa", b"bb")), short, JPEG),
        Case("no item among the fragments", _ct(RLE, x7FE00010=_garbage_fragment()), "bad-fragment", RLE),
    ]  # fmt: skip


def _no_description() -> bytes:
    return encode([part for part in a_ct() if isinstance(part, Element) and part.tag < 0x00280000])


def _no_table() -> Raw:
    return Raw(header(0x7FE00010, "OB", UNDEFINED) + SEQUENCE_END)


def _long_fragment(length: int) -> Raw:
    return Raw(header(0x7FE00010, "OB", UNDEFINED) + item(b"") + item(b"\xff\xd8", length) + SEQUENCE_END)


def _garbage_fragment() -> Raw:
    return Raw(header(0x7FE00010, "OB", UNDEFINED) + item(b"") + b"\xff" * 64)


CORPUS: tuple[Case, ...] = (
    *_sound(),
    *_harmless(),
    *_ambiguous(),
    *_identity(),
    *_lengths(),
    *_resources(),
    *_pixels(),
)
