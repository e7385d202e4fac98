"""A peer that speaks raw PDUs, right or wrong: no library would send most of this."""

from __future__ import annotations

import socket
import struct
import time
from typing import Self

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"

Context = tuple[int, str, tuple[str, ...]]


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def item(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body) if length is None else length) + body


def presentation_context(number: int, abstract: str, syntaxes: tuple[str, ...]) -> bytes:
    body = bytes([number, 0, 0, 0]) + item(0x30, abstract.encode("latin-1"))
    return item(0x20, body + b"".join(item(0x40, syntax.encode("latin-1")) for syntax in syntaxes))


def association_request(
    contexts: tuple[Context, ...] = ((1, CT, (EXPLICIT,)), (3, VERIFICATION, (IMPLICIT,))),
    *,
    called: bytes = b"OVERREAD",
    calling: bytes = b"RAW",
    version: int = 1,
    application_context: str = APPLICATION_CONTEXT,
    maximum_length: int = 65536,
    user_items: bytes = b"",
    items: bytes = b"",
    length: int | None = None,
) -> bytes:
    user = item(0x51, struct.pack(">I", maximum_length)) + item(0x52, b"1.2.3.4") + user_items
    body = struct.pack(">HH", version, 0) + called.ljust(16) + calling.ljust(16) + bytes(32)
    if application_context:
        body += item(0x10, application_context.encode())
    body += b"".join(presentation_context(*context) for context in contexts) + items + item(0x50, user)
    return pdu(0x01, body, length)


def pdv(context: int, data: bytes, *, flags: int, length: int | None = None) -> bytes:
    return struct.pack(">IBB", len(data) + 2 if length is None else length, context, flags) + data


def p_data(*pdvs: bytes, length: int | None = None) -> bytes:
    return pdu(0x04, b"".join(pdvs), length)


def command_set(*elements: tuple[int, bytes]) -> bytes:
    body = b""
    for number, value in elements:
        padded = value + b"\0" * (len(value) % 2)
        body += struct.pack("<HHI", 0, number, len(padded)) + padded
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def us(number: int) -> bytes:
    return struct.pack("<H", number)


def c_store(sop_class: str | None, sop_instance: str | None, *, message_id: int | None = 1, data: int = 1) -> bytes:
    elements = [(0x0002, sop_class.encode("latin-1"))] if sop_class is not None else []
    elements.append((0x0100, us(0x0001)))
    if message_id is not None:
        elements.append((0x0110, us(message_id)))
    elements += [(0x0700, us(0)), (0x0800, us(data))]
    if sop_instance is not None:
        elements.append((0x1000, sop_instance.encode("latin-1")))
    return command_set(*elements)


def c_echo(message_id: int = 7) -> bytes:
    return command_set((2, VERIFICATION.encode()), (0x0100, us(0x30)), (0x0110, us(message_id)), (0x0800, us(0x0101)))


RELEASE = pdu(0x05, bytes(4))
ABORT = pdu(0x07, bytes(4))


class ClosedError(Exception):
    """The listener closed the connection."""


class RawPeer:
    """One TCP connection to a listener."""

    def __init__(self, port: int, *, timeout_s: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise ClosedError from error

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except ConnectionError as error:
                raise ClosedError from error
            if not piece:
                raise ClosedError
            data += piece
        return data

    def read_pdu(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BBI", self.exactly(6))
        return kind, self.exactly(length)

    def open(self, request: bytes | None = None) -> tuple[int, bytes]:
        """Send a request (a sound one by default) and return the answering PDU."""
        self.send(association_request() if request is None else request)
        kind, body = self.read_pdu()
        position = 68
        while kind == 0x02 and position < len(body):
            sort, _, length = struct.unpack_from(">BBH", body, position)
            value = body[position + 4 : position + 4 + length]
            if sort == 0x21 and value[2] == 0:
                self.accepted[value[0]] = value[8:].decode()
            position += 4 + length
        return kind, body

    def message(self, command: bytes, data: bytes | None = None, *, context: int = 1, fragment: int = 60000) -> None:
        self.send(p_data(pdv(context, command, flags=3)))
        if data is not None:
            for at in range(0, max(1, len(data)), fragment):
                last = at + fragment >= len(data)
                self.send(p_data(pdv(context, data[at : at + fragment], flags=2 if last else 0)))

    def answer(self) -> dict[int, bytes]:
        """Read one response and return its command elements; ``ClosedError`` when an A-ABORT comes instead."""
        command = b""
        while True:
            kind, body = self.read_pdu()
            if kind != 0x04:
                raise ClosedError(f"PDU {kind}")
            length, _, flags = struct.unpack_from(">IBB", body)
            command += body[6 : 4 + length]
            if flags & 2:
                break
        elements = {}
        position = 0
        while position < len(command):
            _, number, size = struct.unpack_from("<HHI", command, position)
            elements[number] = command[position + 8 : position + 8 + size]
            position += 8 + size
        return elements

    def status(self) -> int:
        return int.from_bytes(self.answer()[0x0900], "little")

    def store(self, data: bytes, sop: str, *, sop_class: str = CT, fragment: int = 60000) -> int:
        self.message(c_store(sop_class, sop), data, fragment=fragment)
        return self.status()

    def echo(self) -> int:
        self.message(c_echo(), context=3)
        return self.status()

    def release(self) -> None:
        self.send(RELEASE)
        assert self.read_pdu()[0] == 0x06
        self.closed_within(5.0)

    def closed_within(self, seconds: float) -> bool:
        """Read until the listener closes; False when it does not in time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(65536):
                    return True
            except TimeoutError:
                return False
            except OSError:
                return True
        return False
