"""What a compressed image says about itself, read before any native decoder sees it.

Header and codestream are compared, and a codestream without its end is refused: some decoders fill what is missing
with grey, without a word.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JFIF, _ADOBE = 0xE0, 0xEE
_LOSSY = frozenset({0xC0, 0xC1, 0xC2})
"""Frames of the DCT processes: only these have a colour transform that nobody wrote down (JFIF)."""
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_J2K_START = b"\xff\x4f\xff\x51"
_CODING_STYLE = 0xFF52
_START_OF_TILE = 0xFF90
_END_OF_J2K = 0xFFD9


@dataclass(frozen=True, slots=True)
class Codestream:
    """Size and sample format of a compressed image. ``complete`` is False when its end is missing.

    ``transformed`` says whether its colours are luminance and chrominance: in JPEG that is how they come out of the
    decoder, in JPEG 2000 the decoder undoes it. None: it does not say.
    """

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool
    complete: bool
    transformed: bool | None = None


def read_jpeg(data: bytes) -> Codestream | None:
    """JPEG and JPEG-LS (ISO/IEC 10918-1 B.1, 14495-1 C.1): None when there is no frame header.

    In both, entropy-coded data never contains the end marker by chance (bytes are stuffed after 0xFF).
    """
    if data[:2] != b"\xff\xd8":
        return None
    position = 2
    adobe: int | None = None
    jfif = False
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker in _START_OF_FRAME:
            if position + 10 > len(data):
                return None
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, position + 4)
            complete = data.find(b"\xff\xd9", position) >= 0
            names = data[position + 10 : position + 10 + 3 * components : 3]
            transformed = _jpeg_transform(adobe, names, jfif=jfif and marker in _LOSSY)
            return Codestream(
                rows, columns, components, precision, signed=False, complete=complete, transformed=transformed
            )
        else:
            payload = data[position + 4 : position + 18]
            if marker == _ADOBE and payload.startswith(b"Adobe") and data[position + 2 : position + 4] >= b"\0\x0e":
                adobe = data[position + 15]
            jfif = jfif or (marker == _JFIF and payload.startswith(b"JFIF\0"))
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def read_jpeg2000(data: bytes) -> Codestream | None:
    """JPEG 2000 and HTJ2K (ISO/IEC 15444-1 A.5.1), also inside a JP2 file; None when there is no SIZ marker."""
    start = data.find(_J2K_START, 0, 4096) if data[4:8] == b"jP  " else (0 if data.startswith(_J2K_START) else -1)
    if start < 0 or start + 43 > len(data):
        return None
    size = struct.unpack_from(">HHLLLLLLLLH", data, start + 4)
    _, _, x_end, y_end, x_start, y_start, tile_width, tile_height, tile_x, tile_y, components = size
    if not components or not tile_width or not tile_height:
        return None
    depth = data[start + 42]
    tiles = _ceil(x_end - tile_x, tile_width) * _ceil(y_end - tile_y, tile_height)
    return Codestream(
        rows=y_end - y_start,
        columns=x_end - x_start,
        components=components,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        complete=_tiles_complete(data, start + 2, tiles),
        transformed=_multiple_component_transform(data, start + 2),
    )


def _jpeg_transform(adobe: int | None, names: bytes, *, jfif: bool) -> bool | None:
    """What Adobe's marker, the names of the components and JFIF say about the colours, in this order of trust."""
    if adobe in (0, 1):
        return adobe == 1
    if names == b"RGB":
        return False
    return True if jfif else None


def _multiple_component_transform(data: bytes, position: int) -> bool | None:
    """The transform of the COD marker (ISO/IEC 15444-1 A.6.1)."""
    while position + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == _CODING_STYLE:
            return bool(data[position + 8]) if position + 9 <= len(data) else None
        if marker == _START_OF_TILE or marker < 0xFF30:
            return None
        position += 2 + length
    return None


def _tiles_complete(data: bytes, position: int, tiles: int) -> bool:
    """Whether every tile is there, and every tile-part (A.4.2) with all of its bytes."""
    seen: set[int] = set()
    while position + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == _START_OF_TILE and position + 12 <= len(data):
            tile, part_length = struct.unpack_from(">HL", data, position + 4)
            seen.add(tile)
            if part_length == 0:  # until the end
                return len(seen) == tiles and data.rstrip(b"\0").endswith(b"\xff\xd9")
            position += part_length
        elif marker == _END_OF_J2K or marker < 0xFF30:
            break
        else:
            position += 2 + length
    return len(seen) == tiles and position <= len(data)


def _ceil(whole: int, part: int) -> int:
    return -(-whole // part)
