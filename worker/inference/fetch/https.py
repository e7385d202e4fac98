"""A GET by https, from a byte on: the standard library, proxies by the environment, redirects to https alone."""

from __future__ import annotations

import re
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from worker import __version__
from worker.domain.errors import ConfigurationError, OverreadError, PermanentError, TransientError

_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


def shown(url: str) -> str:
    """A URL without what may be a secret: user, password, query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


class Answer:
    """What a server sends, from byte ``begin`` on; ``whole_bytes`` is the length of the whole, if said."""

    def __init__(self, response: HTTPResponse, url: str) -> None:
        self._response = response
        self._url = url
        self.begin, self.whole_bytes = _extent(response, url)

    def read(self, count: int) -> bytes:
        """The next bytes, empty at the end. Raises TransientError (``fetch-interrupted``)."""
        try:
            return self._response.read(count)
        except (OSError, HTTPException) as error:
            raise TransientError(
                f"The connection to {shown(self._url)} broke ({type(error).__name__}).",
                next_step="Run the command again: it goes on from where it stopped.",
                code="fetch-interrupted",
            ) from error


class Https:
    """How connections are made.

    Parameters
    ----------
    tls:
        Whom to trust; by default the certificates of the system (or of SSL_CERT_FILE).
    timeout_s:
        Longest silence of the server.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._opener = urllib.request.OpenerDirector()
        # Nothing else than https can be opened: neither http nor ftp, file or data.
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPSHandler(context=tls or ssl.create_default_context()),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _OnlyToHttps(),
        ):
            self._opener.add_handler(handler)

    @contextmanager
    def get(self, url: str, *, begin: int = 0) -> Iterator[Answer]:
        """The content from byte ``begin`` on, or from the first where the server does not do that.

        Raises
        ------
        ConfigurationError
            ``fetch-certificate``.
        TransientError
            ``fetch-unreachable``.
        PermanentError
            ``fetch-refused`` (with the status), ``fetch-redirect``.
        """
        with self._open(url, begin) as response:
            answer = Answer(response, url)
            if answer.begin > begin:
                raise _nonsense(url, f"sends from byte {answer.begin} on when asked for byte {begin}")
            yield answer

    def _open(self, url: str, begin: int) -> HTTPResponse:
        headers = {"User-Agent": f"overread/{__version__}", "Accept-Encoding": "identity"}
        if begin:
            headers["Range"] = f"bytes={begin}-"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the opener knows https alone
        try:
            response: HTTPResponse | None = self._opener.open(request, timeout=self._timeout_s)
        except HTTPError as error:
            with error:
                if begin and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return self._open(url, 0)
                raise _refused(url, error) from error
        except (OSError, HTTPException) as error:
            raise _unreachable(url, error) from error
        except ValueError as error:
            raise _nonsense(url, "leads to an address that is none") from error
        if response is None:
            raise _nonsense(url, "is not https")
        return response


class _OnlyToHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirects (ten at most) to https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """The next request. Raises PermanentError (``fetch-redirect``)."""
        if urlsplit(newurl).scheme != "https":
            fp.close()
            raise PermanentError(
                f"{shown(req.full_url)} leads to an address that is not https.",
                next_step="Ask the maker of the package for an address that is.",
                code="fetch-redirect",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _extent(response: HTTPResponse, url: str) -> tuple[int, int | None]:
    """First byte, and length of the whole where it is said (RFC 9110 14.4 and 8.6)."""
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if found is None:
            raise _nonsense(url, "sends a part without saying which")
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _refused(url: str, error: HTTPError) -> OverreadError:
    said = f"{shown(url)} answers {error.code} {error.reason}."
    if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in _LATER:
        return TransientError(said, next_step="Run the command again later.", code="fetch-unreachable")
    return PermanentError(
        said,
        next_step="Look whether the address in the manifest is right, and whether one has to log in there: then fetch "
        "the file by hand and put it into the package folder.",
        code="fetch-refused",
    )


def _nonsense(url: str, what: str) -> PermanentError:
    return PermanentError(
        f"{shown(url)} {what}.",
        next_step="Fetch the file by hand and put it into the package folder.",
        code="fetch-refused",
    )


def _unreachable(url: str, error: OSError | HTTPException) -> OverreadError:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"The certificate of {shown(url)} is not trusted: {reason.verify_message}.",
            next_step="If a proxy of the site opens https, name its certificate in SSL_CERT_FILE.",
            code="fetch-certificate",
        )
    detail = " ".join(str(reason).split())[:200] or type(reason).__name__
    return TransientError(
        f"{shown(url)} does not answer: {detail}.",
        next_step="Check the network and the proxy (https_proxy), and run the command again.",
        code="fetch-unreachable",
    )
