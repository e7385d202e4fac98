"""DIMSE command sets (PS3.7 Section 6.3): strict in, minimal out."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from worker.intake.uids import trim_uid, valid_uid
from worker.intake.upper_layer.negotiation import ProtocolError

C_STORE_RQ: Final = 0x0001
C_ECHO_RQ: Final = 0x0030
N_EVENT_REPORT_RQ: Final = 0x0100
C_CANCEL_RQ: Final = 0x0FFF
_RESPONSE: Final = 0x8000
_NO_DATA_SET: Final = 0x0101
_KNOWN_REQUESTS: Final = frozenset(
    {
        C_STORE_RQ,
        0x0010,
        0x0020,
        0x0021,
        C_ECHO_RQ,
        N_EVENT_REPORT_RQ,
        0x0110,
        0x0120,
        0x0130,
        0x0140,
        0x0150,
        C_CANCEL_RQ,
    }
)


@dataclass(frozen=True, slots=True)
class Command:
    """A request. UIDs are as sent (one trailing pad removed), perhaps empty or invalid."""

    field: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool


def parse_command(data: bytes) -> Command:
    """Parse a command set (Implicit VR Little Endian). ProtocolError when no answer could be addressed."""
    elements: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        if len(data) - position < 8:
            raise ProtocolError("bad-command-set")
        group, number, length = struct.unpack_from("<HHI", data, position)
        position += 8
        if group != 0 or length > len(data) - position or number in elements:
            raise ProtocolError("bad-command-set")
        elements[number] = data[position : position + length]
        position += length
    field = _us(elements, 0x0100)
    message_id = _us(elements, 0x0110)
    if field is None or field & _RESPONSE or field not in _KNOWN_REQUESTS:
        raise ProtocolError("unexpected-command")
    if message_id is None:
        if field != C_CANCEL_RQ:
            raise ProtocolError("command-without-message-id")
        message_id = 0
    data_set = _us(elements, 0x0800)
    if data_set is None:
        raise ProtocolError("bad-command-set")
    return Command(
        field=field,
        message_id=message_id,
        sop_class_uid=trim_uid(elements.get(0x0002) or elements.get(0x0003) or b""),
        sop_instance_uid=trim_uid(elements.get(0x1000) or elements.get(0x1001) or b""),
        has_data_set=data_set != _NO_DATA_SET,
    )


def _us(elements: dict[int, bytes], number: int) -> int | None:
    raw = elements.get(number)
    if raw is None or len(raw) != 2:
        return None
    return int.from_bytes(raw, "little")


def response_set(command: Command, *, status: int, comment: str = "") -> bytes:
    """Encode the answer to a request; ``comment`` becomes Error Comment (0000,0902)."""
    elements: list[tuple[int, bytes]] = []
    if valid_uid(command.sop_class_uid):
        elements.append((0x0002, _text(command.sop_class_uid, b"\0")))
    elements += [
        (0x0100, struct.pack("<H", command.field | _RESPONSE)),
        (0x0120, struct.pack("<H", command.message_id)),
        (0x0800, struct.pack("<H", _NO_DATA_SET)),
        (0x0900, struct.pack("<H", status)),
    ]
    if comment:
        elements.append((0x0902, _text(comment[:64], b" ")))
    if command.field != C_ECHO_RQ and valid_uid(command.sop_instance_uid):
        elements.append((0x1000, _text(command.sop_instance_uid, b"\0")))
    body = b"".join(struct.pack("<HHI", 0, number, len(value)) + value for number, value in elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _text(text: str, pad: bytes) -> bytes:
    raw = text.encode("ascii")
    return raw + pad if len(raw) % 2 else raw


def command_pdus(context_id: int, command_set: bytes, *, maximum_length: int) -> bytes:
    """Wrap a command set in P-DATA-TF PDUs, ready to leave in one write (two writes cost 40 ms of delayed ACK)."""
    room = max(1, min(maximum_length or 16382, 16382) - 6)
    pdus = []
    for start in range(0, len(command_set), room):
        part = command_set[start : start + room]
        flags = 3 if start + room >= len(command_set) else 1
        pdus.append(struct.pack(">BBIIBB", 4, 0, len(part) + 6, len(part) + 2, context_id, flags) + part)
    return b"".join(pdus)
