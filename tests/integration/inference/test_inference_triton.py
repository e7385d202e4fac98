"""Nets on a real Triton server: the same numbers as here, and a name for all that can go wrong."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.triton_server import RUNS_ONNX, add_model, triton_server
from tests.unit.inference.tiny_models import a_volume, changed, half_net, package_data, write_package
from worker.domain.errors import ConfigurationError, OverreadError, PermanentError, TransientError
from worker.domain.findings import Conclusion
from worker.inference.packages.package import Package
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.execution import Execution
from worker.inference.runtime.triton import RemoteModel, TritonSessions
from worker.inference.runtime.triton_client import Address
from worker.results.header import algorithm_parameters

pytestmark = pytest.mark.triton

ASKS_ONLY = "\n    def answer(self, image):\n        raise AssertionError\n"
TWO_EQUAL = "\n    def answer(self, image):\n        return np.concatenate([image, image], axis=1)\n"
THREE = "\n    def answer(self, image):\n        return np.concatenate([image, image, image], axis=1)\n"
BREAKS = '\n    def answer(self, image):\n        raise RuntimeError("no memory on the card")\n'
SLEEPS = "\n    def answer(self, image):\n        import time\n        time.sleep(20)\n        return image\n"
BATCH_OF_TWO = """
    def answer(self, image):
        assert len(image) <= 2
        return np.concatenate([image * 0, -image - 500], axis=1)
"""


@dataclass(frozen=True)
class Site:
    """A server and the package whose nets it runs."""

    url: str
    package: Package
    half: Package

    def model(self, name: str = "toy-ct.main", **options: Any) -> RemoteModel:
        address = Address(
            url=options.pop("url", self.url), timeout_s=options.pop("timeout_s", 60.0), connect_timeout_s=2
        )
        return RemoteModel(address=address, names={"main": name}, **options)

    def predict(self, model: RemoteModel, volume: Any = None, *, package: Package | None = None) -> Conclusion:
        package = package or self.package
        execution = Execution(remote=TritonSessions({package.identity.name: model}))
        predictor = PackagePredictor(Registry([package.folder]), execution=execution)
        return predictor.predict(package.identity, a_volume(VOXELS) if volume is None else volume)

    def refuses(self, model: RemoteModel, kind: type[OverreadError], code: str) -> str:
        with pytest.raises(kind) as caught:
            self.predict(model)
        assert caught.value.code == code
        assert caught.value.next_step
        return str(caught.value)


VOXELS = np.full((6, 10, 12), 40.0, np.float32)
VOXELS[2:4, 3:7, 5:9] = -800.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("triton")
    package = Registry([write_package(root / "packages")]).packages[0]
    (root / "half").mkdir()
    onnx = half_net(root / "half" / "model.onnx")
    data = changed(package_data(hashlib.sha256(onnx.read_bytes()).hexdigest()), "inference.net.input.dtype", "float16")
    data = changed(data, "inference.net.output.dtype", "float16")
    half = Registry([write_package(root / "half", data)]).packages[0]
    weights, halves = package.weights["main"], half.weights["main"]
    models = root / "models"
    add_model(models, "toy-ct.main", RUNS_ONNX, sha256=weights.sha256, onnx=weights.path)
    add_model(models, "half", RUNS_ONNX, sha256=halves.sha256, onnx=halves.path, dtype="TYPE_FP16")
    add_model(models, "other-weights", ASKS_ONLY, sha256="0" * 64)
    add_model(models, "says-nothing", BATCH_OF_TWO, max_batch_size=2, shapes=((1, -1, -1), (2, -1, -1)))
    add_model(models, "three", ASKS_ONLY, shapes=((-1, 1, -1, -1), (-1, 3, -1, -1)))
    add_model(models, "doubles", ASKS_ONLY, dtype="TYPE_FP64")
    add_model(models, "lies", THREE, shapes=((-1, 1, -1, -1), (-1, -1, -1, -1)))
    add_model(models, "breaks", BREAKS)
    add_model(models, "sleeps", SLEEPS)
    with triton_server(models, root / "log") as url:
        yield Site(url, package, half)


def test_the_same_result_as_here(site: Site) -> None:
    far = site.predict(site.model())
    near = PackagePredictor(Registry([site.package.folder])).predict(site.package.identity, a_volume(VOXELS))
    np.testing.assert_array_equal(far.findings[0].labels, near.findings[0].labels)
    assert np.count_nonzero(far.findings[0].labels) == 2 * 4 * 4


def test_the_result_says_where_it_was_made_and_how_the_weights_are_known(site: Site) -> None:
    algorithm = site.predict(site.model()).algorithm
    assert algorithm.provider.startswith("triton 2.")
    assert algorithm.provider.endswith(", model toy-ct.main version 1")
    digest = site.package.weights["main"].sha256
    assert algorithm.parameters == (f"main weights sha256={digest} (stated by the server)",)
    assert f"provider={algorithm.provider}" in algorithm_parameters(algorithm)


def test_float16_travels(site: Site) -> None:
    far = site.predict(site.model("half"), package=site.half)
    near = PackagePredictor(Registry([site.half.folder])).predict(site.half.identity, a_volume(VOXELS))
    np.testing.assert_array_equal(far.findings[0].labels, near.findings[0].labels)


def test_a_batch_larger_than_the_server_takes_goes_in_parts(site: Site) -> None:
    conclusion = site.predict(site.model("says-nothing", identity="trusted"))
    assert np.count_nonzero(conclusion.findings[0].labels) == 2 * 4 * 4
    (parameter,) = conclusion.algorithm.parameters
    assert parameter.endswith("(of the package; the server is trusted)")


def test_whether_the_server_has_our_weights(site: Site) -> None:
    said = site.refuses(site.model("says-nothing"), ConfigurationError, "remote-weights-unknown")
    assert f'"overread.sha256" with the value {site.package.weights["main"].sha256}' in said
    said = site.refuses(site.model("other-weights"), ConfigurationError, "remote-weights-mismatch")
    assert "0" * 64 in said


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("three", "net-output-mismatch", "[?, 3, ?, ?] in the file"),
        ("doubles", "net-input-mismatch", "tensor(fp64)"),
        ("missing", "remote-model-missing", "unknown model"),
    ],
)
def test_a_model_that_is_not_the_packages(site: Site, name: str, code: str, words: str) -> None:
    assert words in site.refuses(site.model(name, identity="trusted"), ConfigurationError, code)


def test_a_version_that_is_not_there(site: Site) -> None:
    site.refuses(site.model(version="7"), ConfigurationError, "remote-model-missing")


def test_an_answer_that_is_not_what_was_described(site: Site) -> None:
    said = site.refuses(site.model("lies", identity="trusted"), PermanentError, "net-output-mismatch")
    assert "float32 (4, 3, 10, 12)" in said


def test_a_model_that_breaks_is_tried_again(site: Site) -> None:
    said = site.refuses(site.model("breaks", identity="trusted"), TransientError, "remote-failed")
    assert "no memory on the card" in said


def test_a_server_that_is_silent_for_too_long(site: Site) -> None:
    site.refuses(site.model("sleeps", identity="trusted", timeout_s=1.0), TransientError, "remote-timeout")
    assert site.predict(site.model()).findings  # the late answer is not taken for that of the next request


def test_no_server(site: Site) -> None:
    with socket.socket() as nobody:  # bound, and nobody listens
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert url.removeprefix("http://") in site.refuses(site.model(url=url), TransientError, "remote-away")


def test_several_threads(site: Site) -> None:
    """A worker's warm-up and its jobs are threads of one process; the library's clients belong to one each."""
    sessions = TritonSessions({"toy-ct": site.model()})
    (net,) = site.package.manifest.inference.nets()
    session = sessions.get("toy-ct", site.package.manifest.weights[0], net)
    images = [np.full((1, 1, 3, 3), float(n), np.float32) for n in range(4)]
    answers: dict[int, float] = {}

    def ask(index: int) -> None:
        for _ in range(3):
            answers[index] = float(session.run(images[index])[0, 1, 0, 0])

    threads = [threading.Thread(target=ask, args=[index], daemon=True) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {n: -n - 500.0 for n in range(4)}


# ------------------------------------------------------------- what a server or a proxy can answer, said by one of ours


class Says(BaseHTTPRequestHandler):
    """Answers everything alike: (status, body)."""

    said: ClassVar[tuple[int, bytes]] = (200, b"")

    def do_GET(self) -> None:
        status, body = self.said
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    handler = type("Handler", (Says,), {"said": (status, body)})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (503, b"", TransientError, "remote-not-ready"),
        (200, b"<html>Welcome</html>", ConfigurationError, "remote-protocol"),
        (200, json.dumps({"name": "x"}).encode(), ConfigurationError, "remote-protocol"),
    ],
)
def test_what_else_may_answer(site: Site, status: int, body: bytes, kind: type[OverreadError], code: str) -> None:
    with answering(status, body) as url:
        site.refuses(site.model(url=url), kind, code)


# ------------------------------------------------------------------------------------------------------------------ TLS


@contextmanager
def tls_in_front(url: str, certificate: Path, key: Path) -> Iterator[str]:
    """A proxy that ends TLS, as sites put one in front of Triton: its HTTP service has none of its own."""
    script = Path(__file__).with_name("tls_proxy.py")
    target = url.rpartition(":")[2]
    proxy = subprocess.Popen(
        [sys.executable, str(script), target, str(certificate), str(key)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert proxy.stdout is not None
        yield f"https://localhost:{int(proxy.stdout.readline())}"
    finally:
        proxy.kill()
        proxy.wait()
        proxy.stdout.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_tls_with_the_sites_own_authority(site: Site, certificate: tuple[Path, Path]) -> None:
    with tls_in_front(site.url, *certificate) as url:
        model = site.model(url=url)
        assert site.predict(replace(model, address=replace(model.address, ca_file=certificate[0]))).findings
        said = site.refuses(model, ConfigurationError, "remote-tls")  # the system's authorities do not know it
        assert "ca_file" in said
        elsewhere = url.replace("localhost", "127.0.0.1")  # the certificate is for another name
        model = site.model(url=elsewhere)
        site.refuses(
            replace(model, address=replace(model.address, ca_file=certificate[0])), ConfigurationError, "remote-tls"
        )
        missing = replace(model, address=replace(model.address, ca_file=certificate[0].with_name("none.pem")))
        site.refuses(missing, ConfigurationError, "remote-tls")
