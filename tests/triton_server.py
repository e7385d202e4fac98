"""A real Triton server on the loop-back interface, with models of its Python backend.

``tests/services.sh`` installs it: the server of the package nvidia-pytriton, which has that backend only. Its models
run ONNX Runtime, or whatever a test wants to hear from a server. The package itself is not imported.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "overread-tests" / "nvidia-pytriton-0.7.0"
PARTS = FOLDER / "pytriton" / "tritonserver"
SERVER = PARTS / "bin" / "tritonserver"

# Tensors cross by DLPack: what the server brings was built for another NumPy, whose arrays it would misread.
MODEL_PY = """
import numpy as np
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        self.folder = args["model_repository"] + "/" + args["model_version"]
        self.begin()

    def begin(self):
        pass

    def execute(self, requests):
        answers = []
        for request in requests:
            image = np.from_dlpack(triton.get_input_tensor_by_name(request, "image"))
            answer = np.ascontiguousarray(self.answer(image))
            answers.append(triton.InferenceResponse([triton.Tensor.from_dlpack("logits", answer)]))
        return answers
"""

RUNS_ONNX = """
    def begin(self):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.folder + "/model.onnx", sess_options=options)

    def answer(self, image):
        return self.session.run(["logits"], {"image": image})[0]
"""


def add_model(
    repository: Path,
    name: str,
    body: str,
    *,
    dtype: str = "TYPE_FP32",
    shapes: tuple[Sequence[int], Sequence[int]] = ((-1, 1, -1, -1), (-1, 2, -1, -1)),
    sha256: str = "",
    max_batch_size: int = 0,
    version: int = 1,
    onnx: Path | None = None,
) -> None:
    """A model of a repository. ``shapes`` are of image and logits, without the batch if there is a largest one."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(MODEL_PY + body, encoding="utf-8")
    if onnx is not None:
        shutil.copy(onnx, folder / "model.onnx")
    taken, given = (", ".join(map(str, shape)) for shape in shapes)
    parameter = f'parameters {{ key: "overread.sha256" value: {{ string_value: "{sha256}" }} }}' if sha256 else ""
    (repository / name / "config.pbtxt").write_text(
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: {max_batch_size}\n'
        f'input [ {{ name: "image" data_type: {dtype} dims: [ {taken} ] }} ]\n'
        f'output [ {{ name: "logits" data_type: {dtype} dims: [ {given} ] }} ]\n'
        f"instance_group [ {{ kind: KIND_CPU }} ]\n{parameter}\n",
        encoding="utf-8",
    )


@contextmanager
def triton_server(repository: Path, log: Path) -> Iterator[str]:
    """Run a server on a free port with all models of a repository; gives its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    prefix = f"overread-test-{port}-"
    command = [
        str(SERVER), f"--model-repository={repository}", f"--backend-directory={_backends()}",
        "--http-address=127.0.0.1", f"--http-port={port}", "--http-thread-count=2", "--allow-grpc=false",
        "--allow-metrics=false", "--exit-timeout-secs=1", "--disable-auto-complete-config",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
    ]  # fmt: skip
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # its models find their Python there
        "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
        "HOME": str(log.parent),
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",  # its models run ONNX Runtime in processes that know nothing of Overread
    }
    with log.open("wb") as said:
        server = subprocess.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True)
        try:
            _wait(f"http://127.0.0.1:{port}/v2/health/ready", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(server)
            for region in Path("/dev/shm").glob(f"{prefix}*"):  # noqa: S108 - shared memory has no other place
                region.unlink(missing_ok=True)


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and the processes of its models."""
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait(10)


def _backends() -> Path:
    """The folder of back-ends; the Python one needs the part for this version of Python beside it."""
    stub = PARTS / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    there = PARTS / "backends" / "python" / "triton_python_backend_stub"
    wanted = stub / there.name
    if not there.is_file() or there.stat().st_size != wanted.stat().st_size:
        new = there.with_suffix(f".{os.getpid()}")
        shutil.copy(wanted, new)
        new.replace(there)
    there.chmod(0o755)
    return PARTS / "backends"


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + 90
    while time.monotonic() < ends:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            pass
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"Triton is not ready: {log.read_text(errors='replace')[-3000:]}")
