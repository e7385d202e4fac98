"""A real https server of weights with a certificate authority of its own, and a real proxy before it."""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme

CONTENT = bytes(range(251)) * 4000
"""About a megabyte."""


class Weights(BaseHTTPRequestHandler):
    """What the path says happens; each request is written down as path and Range."""

    protocol_version = "HTTP/1.1"
    server: WeightsServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range", "")))
        self.close_connection = True
        content = self.server.contents.get(self.path, CONTENT)
        own = f"https://localhost:{self.server.server_port}"
        places = {
            "to-http": own.replace("https", "http") + "/weights",
            "to-file": "file:///etc/passwd",
            "to-nowhere": "https://[::bad/x",
            "to-itself": self.path,
            "moved": f"{own}/weights",
        }
        match self.path.split("/")[1]:
            case "missing":
                self._send(404, b"no such file")
            case "later":
                self._send(503, b"come back")
            case "other":
                self._send(200, content[::-1])
            case "short":
                self._send(200, content[:1000])
            case "endless":
                self._send(200, content + b"more", with_length=False)
            case "breaks":  # half of what is left, each time
                self._send_part(content, half=True)
            case "whole":  # knows no ranges
                self._send(200, content)
            case "lies":
                self.send_response(206)
                self.send_header("Content-Range", "bytes 999999-1000000/1000001")
                self.end_headers()
            case word if word in places:
                self._send(302, b"", location=places[word])
            case _:
                self._send_part(content, half=False)

    def _send_part(self, content: bytes, *, half: bool) -> None:
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        if begin >= len(content):
            self._send(416, b"")
            return
        part = content[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: len(part) // 2] if half else part)

    def _send(self, status: int, content: bytes, *, with_length: bool = True, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        if with_length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


class WeightsServer(ThreadingHTTPServer):
    """``asked`` are the requests so far; ``contents`` is what there is by path, beside CONTENT."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Weights)
        self.asked: list[tuple[str, str]] = []
        self.contents: dict[str, bytes] = {}
        self.authority = trustme.CA()
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost").configure_cert(server_side)
        # The handshake belongs to the thread of its connection, not to the one that accepts.
        self.socket = server_side.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.server_port}{path}"

    def trusting(self) -> ssl.SSLContext:
        """What a client needs that trusts the authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is part of the tests."""


class Proxy(socketserver.ThreadingTCPServer):
    """CONNECT, and bytes to and fro; ``asked`` are the targets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.asked: list[str] = []


class _Tunnel(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        _, target, _ = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(target)
        host, _, port = target.partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as there:
            self.wfile.write(b"HTTP/1.1 200 go\r\n\r\n")
            both = [self.connection, there]
            while True:
                ready, _, _ = select.select(both, [], [], 30)
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    both[1 - both.index(one)].sendall(data)
                if not ready:
                    return


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
