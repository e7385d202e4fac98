"""The border with Triton: its client library, and what of it can go wrong in our words."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.domain.errors import ConfigurationError, OverreadError, PermanentError, TransientError

_BAD_REQUEST, _NOT_FOUND = 400, 404
_NOT_ALLOWED = (401, 403)
_LONGEST_QUOTE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A server: its URL (http or https, with a path where a proxy needs one), its patience and its certificates.

    ``ca_file`` is what its certificate is checked against, the system's authorities where there is none;
    ``certificate_file`` and ``key_file`` are ours, where the server asks for one. ``timeout_s`` is the longest silence
    during one request.
    """

    url: str
    connect_timeout_s: float = 5.0
    timeout_s: float = 120.0
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def host(self) -> str:
        """Host and port, for people."""
        return urlsplit(self.url).netloc


class _Kept(threading.local):
    """Clients of this thread: the library's belong to the thread that made them. By process, because of forks."""

    def __init__(self) -> None:  # called anew in each thread
        self.clients: dict[tuple[int, Address], Any] = {}


_kept = _Kept()


def client(address: Address) -> Any:
    """The library's client for a server: one for each thread, its connection is kept open.

    Raises ConfigurationError (``triton-client-missing``, ``remote-tls``).
    """
    key = (os.getpid(), address)
    if key not in _kept.clients:
        _kept.clients[key] = _made(address)
    return _kept.clients[key]


def library() -> Any:
    """``tritonclient.http``, imported where it is first used. Raises ConfigurationError (``triton-client-missing``)."""
    try:
        import tritonclient.http
    except ImportError as error:
        raise ConfigurationError(
            "A model is to run on a Triton server, but Triton's client library is not installed.",
            next_step="Install it with Overread: pip install 'overread[triton]'.",
            code="triton-client-missing",
        ) from error
    return tritonclient.http


def _made(address: Address) -> Any:
    parts = urlsplit(address.url)
    options: dict[str, Any] = {}
    if parts.scheme == "https":
        options["ssl"] = True
        options["ssl_options"] = {
            name: str(path)
            for name, path in (
                ("ca_certs", address.ca_file),
                ("certfile", address.certificate_file),
                ("keyfile", address.key_file),
            )
            if path is not None
        }
        try:  # here first: the library leaves half an object behind when a file is none
            context = ssl.create_default_context(cafile=address.ca_file)
            if address.certificate_file is not None:
                context.load_cert_chain(address.certificate_file, address.key_file)
        except OSError as error:  # ssl.SSLError is one
            raise _no_tls(address) from error
    return library().InferenceServerClient(
        parts.netloc + parts.path.rstrip("/"),
        connection_timeout=address.connect_timeout_s,
        network_timeout=address.timeout_s,
        **options,
    )


@contextmanager
def translated(address: Address, *, running: bool) -> Iterator[None]:
    """What the library raises, in our words. ``running`` tells a run from the questions before it.

    Raises
    ------
    TransientError
        ``remote-away`` (no connection, or it was cut), ``remote-timeout``, ``remote-failed`` (5xx, 429).
    ConfigurationError
        ``remote-tls``, ``remote-not-allowed``, ``remote-model-missing``, ``remote-protocol``.
    PermanentError
        ``inference-failed``: the server does not take this input.
    """
    from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as error:
        raise _answered(address, error, running=running) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, HTTPConnectionClosed) as error:
        raise _away(address, "cut the connection") from error
    except ssl.SSLError as error:
        raise _no_tls(address) from error
    except TimeoutError as error:
        raise TransientError(
            f"The Triton server {address.host} did not answer in time.",
            next_step="The job is tried again. Raise the timeout of that server if its runs take longer.",
            code="remote-timeout",
        ) from error
    except OSError as error:
        raise _away(address, "cannot be reached") from error
    except (HTTPParseError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"What answers at {address.host} does not speak the KServe v2 protocol ({type(error).__name__}).",
            next_step="Correct the URL: it is that of Triton's HTTP service, port 8000 by default.",
            code="remote-protocol",
        ) from error


def _answered(address: Address, error: Any, *, running: bool) -> OverreadError:
    """An answer that is an error."""
    status = int(error.status()) if str(error.status()).isdigit() else 0
    words = quoted(str(error.message()))
    if status == _NOT_FOUND or (status == _BAD_REQUEST and not running):
        missing = f"The Triton server {address.host} does not have what was asked for: {words}."
        if running:
            return TransientError(missing, next_step="The job is tried again.", code="remote-failed")
        return ConfigurationError(
            missing,
            next_step="Load the model there, or correct its name or version in the configuration.",
            code="remote-model-missing",
        )
    if status in _NOT_ALLOWED:
        return ConfigurationError(
            f"The Triton server {address.host} does not let us in ({status}).",
            next_step="Ask who runs it: does it want a client certificate?",
            code="remote-not-allowed",
        )
    if status == _BAD_REQUEST:
        return PermanentError(
            f"The Triton server {address.host} does not take this input: {words}.",
            next_step="Compare the manifest with the model's configuration at the server.",
            code="inference-failed",
        )
    return TransientError(
        f"The Triton server {address.host} failed ({status or 'no status'}): {words}.",
        next_step="The job is tried again. Look into the server's log.",
        code="remote-failed",
    )


def quoted(text: str) -> str:
    """Words of a server, short and printable."""
    line = (text.splitlines() or [""])[0]
    return "".join(c if c.isprintable() and c.isascii() else "?" for c in line)[:_LONGEST_QUOTE].rstrip(". ")


def _away(address: Address, what: str) -> TransientError:
    return TransientError(
        f"The Triton server {address.host} {what}.",
        next_step="The job is tried again. Start the server, or correct its URL.",
        code="remote-away",
    )


def _no_tls(address: Address) -> ConfigurationError:
    return ConfigurationError(
        f"No trusted TLS connection to the Triton server {address.host} can be made.",
        next_step="Correct ca_file (what its certificate is checked against), certificate_file and key_file, or the "
        "host name in its URL.",
        code="remote-tls",
    )
