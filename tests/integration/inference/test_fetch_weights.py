"""Weights by URL, from a real https server: pinned, bounded, resumed, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.toy_model import write_package
from tests.integration.inference.weights_server import CONTENT, Proxy, WeightsServer, serving
from worker.domain.errors import ConfigurationError, OutOfSpaceError, OverreadError, PermanentError, TransientError
from worker.inference.fetch.fetch import Fetcher, Wanted
from worker.inference.fetch.https import Https, shown
from worker.inference.packages.package import load_package
from worker.inference.packages.registry import Registry
from worker.inference.packages.weights_cache import WeightsCache

DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def server() -> Iterator[WeightsServer]:
    made = WeightsServer()
    with serving(made):
        yield made


@pytest.fixture(autouse=True)
def _nothing_asked(server: WeightsServer) -> None:
    server.asked.clear()


def wanted(server: WeightsServer, path: str = "/weights", **changes: Any) -> Wanted:
    usual = {"package": "toy-ct", "file": "model.onnx", "url": server.url(path), "sha256": DIGEST}
    return Wanted(**{**usual, "size_bytes": len(CONTENT), **changes})


def fetcher(server: WeightsServer, cache: Path, **changes: Any) -> Fetcher:
    usual = {"hosts": ["localhost"], "https": Https(tls=server.trusting(), timeout_s=60)}
    return Fetcher(WeightsCache(cache), **{**usual, **changes})


def left(cache: Path) -> list[str]:
    """What is in the cache, beside locks."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")


def refused(server: WeightsServer, cache: Path, path: str, kind: type[OverreadError], code: str, **changes: Any) -> str:
    with pytest.raises(kind) as caught:
        fetcher(server, cache, **changes).fetch(wanted(server, path))
    assert caught.value.code == code
    assert caught.value.next_step
    return str(caught.value)


def test_a_file_is_fetched_once_whole_and_verified(server: WeightsServer, tmp_path: Path) -> None:
    told: list[int] = []
    path = fetcher(server, tmp_path).fetch(wanted(server), told.append)
    assert path == WeightsCache(tmp_path).path_of(DIGEST)
    assert path.read_bytes() == CONTENT
    assert told[-1] == len(CONTENT)
    assert told == sorted(told)
    assert left(tmp_path) == [DIGEST]
    fetcher(server, tmp_path).fetch(wanted(server))
    assert server.asked == [("/weights", "")]


def test_a_damaged_file_in_the_cache_is_fetched_anew(server: WeightsServer, tmp_path: Path) -> None:
    path = fetcher(server, tmp_path).fetch(wanted(server))
    path.write_bytes(CONTENT[:-1] + b"?")
    assert fetcher(server, tmp_path).fetch(wanted(server)).read_bytes() == CONTENT


def test_nothing_is_fetched_from_a_host_that_the_site_does_not_list(server: WeightsServer, tmp_path: Path) -> None:
    for hosts in ([], ["example.org"]):
        said = refused(server, tmp_path, "/weights", ConfigurationError, "fetch-not-allowed", hosts=hosts)
        assert 'fetch_from = ["localhost"]' in said
    assert server.asked == []
    assert left(tmp_path) == []


def test_a_server_whose_certificate_nobody_vouches_for(server: WeightsServer, tmp_path: Path) -> None:
    said = refused(server, tmp_path, "/weights", ConfigurationError, "fetch-certificate", https=Https())
    assert "localhost" in said
    assert server.asked == []


def test_a_host_that_is_down(server: WeightsServer, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening
        url = f"https://localhost:{nobody.getsockname()[1]}/weights"
        with pytest.raises(TransientError) as caught:
            fetcher(server, tmp_path).fetch(wanted(server, url=url))
    assert caught.value.code == "fetch-unreachable"
    assert "refused" in caught.value.message


def test_answers_that_are_no_file(server: WeightsServer, tmp_path: Path) -> None:
    assert "404" in refused(server, tmp_path, "/missing", PermanentError, "fetch-refused")
    assert "503" in refused(server, tmp_path, "/later", TransientError, "fetch-unreachable")
    refused(server, tmp_path, "/to-http", PermanentError, "fetch-redirect")
    refused(server, tmp_path, "/to-file", PermanentError, "fetch-refused")
    refused(server, tmp_path, "/to-nowhere", PermanentError, "fetch-refused")
    refused(server, tmp_path, "/to-itself", PermanentError, "fetch-refused")
    assert left(tmp_path) == []


def test_a_redirect_to_https_is_followed(server: WeightsServer, tmp_path: Path) -> None:
    assert fetcher(server, tmp_path).fetch(wanted(server, "/moved")).read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["/moved", "/weights"]


def test_other_content_is_not_kept(server: WeightsServer, tmp_path: Path) -> None:
    said = refused(server, tmp_path, "/other", PermanentError, "fetch-hash-mismatch")
    assert DIGEST in said
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in said
    refused(server, tmp_path, "/short", PermanentError, "fetch-size-mismatch")
    refused(server, tmp_path, "/endless", PermanentError, "fetch-size-mismatch")
    assert left(tmp_path) == []


def test_a_connection_that_breaks_is_taken_up_where_it_stopped(server: WeightsServer, tmp_path: Path) -> None:
    refused(server, tmp_path, "/breaks", TransientError, "fetch-interrupted")
    assert left(tmp_path) == [f"{DIGEST}.part"]
    half = len(CONTENT) // 2
    assert fetcher(server, tmp_path).fetch(wanted(server)).read_bytes() == CONTENT
    assert server.asked[-1] == ("/weights", f"bytes={half}-")
    assert left(tmp_path) == [DIGEST]


@pytest.mark.parametrize("path", ["/whole", "/weights"])
@pytest.mark.parametrize("kept", [b"?" * 1000, CONTENT[:1000], CONTENT[:-1] + b"?", CONTENT, CONTENT + b"more", b""],
                         ids=["other", "begun", "other and whole", "whole", "too long", "empty"])  # fmt: skip
def test_what_an_attempt_left_is_used_or_thrown_away(
    server: WeightsServer, tmp_path: Path, path: str, kept: bytes
) -> None:
    partial = WeightsCache(tmp_path).path_of(DIGEST).with_suffix(".part")
    partial.parent.mkdir()
    partial.write_bytes(kept)
    assert fetcher(server, tmp_path).fetch(wanted(server, path)).read_bytes() == CONTENT
    assert left(tmp_path) == [DIGEST]


def test_a_server_that_sends_another_range(server: WeightsServer, tmp_path: Path) -> None:
    assert "999999" in refused(server, tmp_path, "/lies", PermanentError, "fetch-refused")


def test_two_at_once_fetch_once(server: WeightsServer, tmp_path: Path) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetcher(server, tmp_path).fetch(wanted(server)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert server.asked == [("/weights", "")]


def test_a_disk_without_room(server: WeightsServer, tmp_path: Path) -> None:
    refused(server, tmp_path, "/weights", OutOfSpaceError, "out-of-space", reserve_bytes=1 << 60)
    assert server.asked == []
    # The disk fills up on the way: the kernel refuses to write on.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        refused(server, tmp_path, "/weights", OutOfSpaceError, "out-of-space")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert fetcher(server, tmp_path).fetch(wanted(server)).read_bytes() == CONTENT


def test_a_cache_that_is_no_folder(server: WeightsServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    refused(server, tmp_path / "cache", "/weights", ConfigurationError, "cache-not-writable")


def test_secrets_in_an_address_are_not_shown() -> None:
    assert shown("https://user:word@example.org:8443/a/b?token=secret#x") == "https://example.org:8443/a/b"


def a_package_by_url(folder: Path, server: WeightsServer) -> tuple[Path, bytes]:
    """The toy package without its weights, which the server has."""
    package = write_package(folder)
    content = (package / "model.onnx").read_bytes()
    (package / "model.onnx").unlink()
    server.contents["/models/toy.onnx"] = content
    manifest = (package / "manifest.toml").read_text(encoding="utf-8")
    stated = f'file = "model.onnx"\nurl = "{server.url("/models/toy.onnx")}"\nsize_bytes = {len(content)}'
    (package / "manifest.toml").write_text(manifest.replace('file = "model.onnx"', stated, 1), encoding="utf-8")
    return package, content


def test_a_package_finds_its_weights_in_the_cache_and_fetches_nothing(server: WeightsServer, tmp_path: Path) -> None:
    package, content = a_package_by_url(tmp_path / "models", server)
    cache = WeightsCache(tmp_path / "cache")
    (broken,) = Registry([package], cache=cache).broken
    assert broken.error.code == "weights-not-fetched"
    assert "overread models fetch" in broken.error.next_step
    with pytest.raises(ConfigurationError) as caught:
        load_package(package)
    assert caught.value.code == "weights-missing"
    assert server.asked == []
    digest = hashlib.sha256(content).hexdigest()
    entry = wanted(server, "/models/toy.onnx", sha256=digest, size_bytes=len(content))
    path = fetcher(server, cache.folder).fetch(entry)
    assert Registry([package], cache=cache).packages[0].weights["main"].read() == content
    path.write_bytes(content[:-1] + b"?")
    (broken,) = Registry([package], cache=cache).broken
    assert broken.error.code == "weights-hash-mismatch"
    path.write_bytes(content + b"?")
    (broken,) = Registry([package], cache=cache).broken
    assert broken.error.code == "weights-size-mismatch"


def test_the_command_fetches_by_a_proxy_and_says_what_is_wrong(server: WeightsServer, tmp_path: Path) -> None:
    package, content = a_package_by_url(tmp_path / "models", server)
    server.authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    proxy = Proxy()
    environ = os.environ | {
        "OVERREAD_NODE__DATA": str(tmp_path / "data"),
        "OVERREAD_MODELS__FOLDERS": json.dumps([str(package.parent)]),
        "OVERREAD_MODELS__PACKAGED": "false",
        "SSL_CERT_FILE": str(tmp_path / "authority.pem"),
        "https_proxy": f"http://127.0.0.1:{proxy.server_address[1]}",
    }

    def overread(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "worker.cli", "models", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environ | more, check=False, timeout=200)

    with serving(proxy):
        done = overread("fetch")
        assert done.returncode == 78
        assert "fetch-not-allowed" in done.stderr
        assert server.asked == []
        done = overread("fetch", "chaos-ct", "--json", OVERREAD_MODELS__FETCH_FROM='["localhost"]')
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["unsound"] == []
        assert Path(said["fetched"][0]["path"]).read_bytes() == content
        assert Path(said["fetched"][0]["path"]).is_relative_to(tmp_path / "data")
        assert proxy.asked == [f"localhost:{server.server_port}"]
