"""The web server of the viewer: OHIF's files, its configuration, and the PACS behind the same address.

One origin for all, as behind a hospital's reverse proxy, so that the browser needs no cross-origin permissions.
"""

from __future__ import annotations

import http.client
import mimetypes
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

CONFIGURATION = Path(__file__).with_name("ohif-config.js")
DICOM_WEB = "/dicom-web/"
NO_SERVICE_WORKER = frozenset({"/sw.js", "/init-service-worker.js"})
"""Asked for by the page, for use without a network: a test wants every run to be a first one."""

_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
_PASSED_ON = ("Accept", "Content-Type")


class ViewerServer:
    """Serves on a free port of this machine until it is left."""

    def __init__(self, viewer: Path, *, pacs_port: int) -> None:
        handler = type("Handler", (_Handler,), {"viewer": viewer.resolve(), "pacs_port": pacs_port})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ViewerServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    viewer: Path
    pacs_port: int

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith(DICOM_WEB):
            self._pass_on(b"")
        elif path == "/app-config.js":
            self._answer(200, CONFIGURATION.read_bytes(), _TYPES[".js"])
        elif path in NO_SERVICE_WORKER:
            self._answer(200, b"", _TYPES[".js"])
        else:
            self._file(path)

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _file(self, path: str) -> None:
        file = (self.viewer / path.lstrip("/")).resolve()
        if not (file.is_relative_to(self.viewer) and file.is_file()):
            if Path(path).suffix:
                self._answer(404, b"", "text/plain")
                return
            file = self.viewer / "index.html"  # the pages of a single-page application
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self._answer(200, file.read_bytes(), kind)

    def _pass_on(self, body: bytes) -> None:
        pacs = http.client.HTTPConnection("127.0.0.1", self.pacs_port, timeout=120)
        try:
            headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
            pacs.request(self.command, self.path, body, headers)
            answer = pacs.getresponse()
            content, kind = answer.read(), answer.getheader("Content-Type") or "application/octet-stream"
        finally:
            pacs.close()
        if "json" in kind:
            # The PACS puts its own address into what it answers; the browser shall stay here.
            ours, theirs = self.headers["Host"], f"127.0.0.1:{self.pacs_port}"
            content = content.replace(theirs.encode(), ours.encode())
        self._answer(answer.status, content, kind)

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        # Without these a browser lets no page share memory with its workers, which decode the images.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        # Files are named by their content, and the answers of the PACS change with each upload.
        self.send_header("Cache-Control", "no-store" if DICOM_WEB in self.path else "max-age=3600")
        try:
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):  # the browser changed its mind
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a request names a study."""
