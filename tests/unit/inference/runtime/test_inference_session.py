"""ONNX Runtime sessions: what fits, what is refused, threads, processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.chaos.toy_model import write_package
from tests.unit.inference.tiny_models import affine_net, half_net, nan_net, save
from worker.domain.errors import ConfigurationError, PermanentError
from worker.domain.study import Digest
from worker.inference.entries.nets import Net, Tensor
from worker.inference.packages.package import Weights
from worker.inference.runtime.cpu import cpu_limit
from worker.inference.runtime.session import CPU, SessionCache, SessionSettings, available_providers

ONE = np.full((2, 1, 3, 3), -700.0, np.float32)


def weights_of(path: Path) -> Weights:
    content = path.read_bytes()
    return Weights(path, Digest(hashlib.sha256(content).hexdigest()), len(content))


def net(
    *,
    image: tuple[Any, ...] = ("N", 1, "H", "W"),
    logits: tuple[Any, ...] = ("N", 2, "H", "W"),
    names: tuple[str, str] = ("image", "logits"),
    dtype: str = "float32",
) -> Net:
    return Net(
        weights="main",
        input=Tensor(name=names[0], shape=image, dtype=dtype),  # type: ignore[arg-type]
        output=Tensor(name=names[1], shape=logits, dtype=dtype),  # type: ignore[arg-type]
    )


def plain(folder: Path, **options: Any) -> Weights:
    return weights_of(affine_net(folder / "model.onnx", scale=[0.0, -1.0], bias=[0.0, -500.0], **options))


def test_a_net_runs_and_says_what_it_runs_on(tmp_path: Path) -> None:
    session = SessionCache().get(plain(tmp_path), net())
    assert session.provider == CPU
    answer = session.run(ONE)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer[:, 1], 200.0)


def test_float16_goes_in_and_float32_comes_out(tmp_path: Path) -> None:
    session = SessionCache().get(weights_of(half_net(tmp_path / "m.onnx")), net(dtype="float16"))
    answer = session.run(ONE)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer[:, 1], -700.0)


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        (net(names=("img", "logits")), "net-input-mismatch", ('"img"', '"image"')),
        (net(names=("image", "out")), "net-output-mismatch", ('"out"', '"logits"')),
        (net(dtype="float16"), "net-input-mismatch", ("float16", "tensor(float)")),
        (net(image=(1, 1, "A", "B", "C")), "net-input-mismatch", ("[1, 1, A, B, C]", "[N, 1, H, W]")),
        (net(image=("N", 3, "H", "W")), "net-input-mismatch", ("[N, 3, H, W]", "[N, 1, H, W]")),
        (net(logits=("N", 4, "H", "W")), "net-output-mismatch", ("[N, 4, H, W]", "[N, 2, H, W]")),
        (net(logits=("N", "K", "H", "W")), "net-output-mismatch", ("[N, K, H, W]",)),
    ],
)
def test_a_file_that_disagrees_with_its_manifest(tmp_path: Path, wrong: Net, code: str, said: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SessionCache().get(plain(tmp_path), wrong)
    assert caught.value.code == code
    for part in ("model.onnx", *said):
        assert part in caught.value.message


def test_a_fixed_size_may_be_stated_where_the_file_varies(tmp_path: Path) -> None:
    SessionCache().get(plain(tmp_path), net(image=("N", 1, 192, 192), logits=("N", 2, 192, 192)))


def test_an_input_that_nobody_fills(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Concat", ["image", "prior"], ["logits"], axis=1)],
        "two",
        [helper.make_tensor_value_info(name, 1, ["N", 1, "H", "W"]) for name in ("image", "prior")],
        [helper.make_tensor_value_info("logits", 1, ["N", 2, "H", "W"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "two.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigurationError, match="prior") as caught:
        SessionCache().get(weights_of(path), net())
    assert caught.value.code == "net-input-mismatch"


def test_an_operator_set_of_the_future(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Identity", ["image"], ["logits"])], constants={},
                in_shape=["N", 2, "H", "W"], out_shape=["N", 2, "H", "W"], opsets=(("", 999),))  # fmt: skip
    with pytest.raises(ConfigurationError) as caught:
        SessionCache().get(weights_of(path), net())
    assert caught.value.code == "model-not-loadable"
    assert "Opset 999 is under development" in caught.value.message
    assert "onnxruntime_src" not in caught.value.message


def test_a_file_format_of_the_future(tmp_path: Path) -> None:
    """Which version is too high, and up to which is read, comes last in what ONNX Runtime says."""
    path = plain(tmp_path).path
    model = onnx.load(path)
    model.ir_version = 99
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigurationError, match=r"IR version 99, this ONNX Runtime reads up to \d+\.") as caught:
        SessionCache().get(weights_of(path), net())
    assert caught.value.code == "model-not-loadable"
    assert "model.ir_version" in caught.value.next_step


def test_an_output_that_is_not_a_number(tmp_path: Path) -> None:
    session = SessionCache().get(weights_of(nan_net(tmp_path / "m.onnx")), net())
    with pytest.raises(PermanentError) as caught:
        session.run(ONE)
    assert caught.value.code == "output-not-finite"


def test_an_input_that_the_net_cannot_take(tmp_path: Path) -> None:
    weights = plain(tmp_path, in_shape=["N", 1, 4, 4])
    session = SessionCache().get(weights, net(image=("N", 1, 4, 4), logits=("N", 2, 4, 4)))
    with pytest.raises(PermanentError) as caught:
        session.run(ONE)
    assert caught.value.code == "inference-failed"


def test_weights_are_verified_once_more_when_they_are_loaded(tmp_path: Path) -> None:
    weights = plain(tmp_path)
    affine_net(tmp_path / "model.onnx", scale=[0.0, 9.0], bias=[0.0, 0.0])
    with pytest.raises(ConfigurationError) as caught:
        SessionCache().get(weights, net())
    assert caught.value.code == "weights-hash-mismatch"


def test_a_provider_that_is_not_there_is_refused(tmp_path: Path) -> None:
    settings = SessionSettings(providers=("CUDAExecutionProvider", CPU))
    with pytest.raises(ConfigurationError) as caught:
        SessionCache(settings).get(plain(tmp_path), net())
    assert caught.value.code == "provider-missing"
    assert "CUDAExecutionProvider" in caught.value.message
    assert CPU in caught.value.message


def test_fall_back_happens_only_when_allowed_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = SessionSettings(providers=("CUDAExecutionProvider",), allow_fallback=True)
    assert available_providers(settings) == (CPU,)
    assert SessionCache(settings).get(plain(tmp_path), net()).provider == CPU
    assert "provider-fallback" in caplog.messages


def test_sessions_stay_warm_and_the_oldest_goes_when_memory_is_short(tmp_path: Path) -> None:
    files = []
    for index in range(3):
        path = affine_net(tmp_path / f"{index}.onnx", scale=[0.0, float(index)], bias=[0.0, 1.0])
        files.append(weights_of(path))
    cache = SessionCache(SessionSettings(memory_budget_bytes=5 * files[0].size_bytes))
    first = cache.get(files[0], net())
    second = cache.get(files[1], net())
    assert cache.get(files[0], net()) is first
    cache.get(files[2], net())
    assert len(cache) == 2
    assert cache.get(files[0], net()) is first
    assert cache.get(files[1], net()) is not second


def test_a_session_larger_than_the_budget_still_runs(tmp_path: Path) -> None:
    cache = SessionCache(SessionSettings(memory_budget_bytes=1))
    assert cache.get(plain(tmp_path), net()).run(ONE).shape == (2, 2, 3, 3)


# Forking a process that has threads is what is wrong here, so it is done in a process of its own.
_FORK = """
import os, sys
from pathlib import Path
from tests.unit.inference.runtime.test_inference_session import net, weights_of
from worker.inference.runtime.session import SessionCache

cache = SessionCache()
weights = weights_of(Path(sys.argv[1]))
cache.get(weights, net())
child = os.fork()
if child == 0:
    try:
        cache.get(weights, net())
    except RuntimeError as error:
        os._exit(7 if str(os.getppid()) in str(error) else 8)
    os._exit(9)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_sessions_of_the_parent_are_not_used_after_a_fork(tmp_path: Path) -> None:
    plain(tmp_path)
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", _FORK, str(tmp_path / "model.onnx")], cwd=root, check=False, timeout=120
    )
    assert done.returncode == 7


def test_importing_the_predictor_starts_no_thread() -> None:
    code = "import worker.inference.run.predictor, threading, os; print(len(os.listdir('/proc/self/task')))"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({}, "", None),
        ({"cpu.max": "max 100000"}, "0::/\n", None),
        ({"cpu.max": "100000 100000"}, "0::/\n", 1),
        ({"pod/cpu.max": "50000 100000", "cpu.max": "max 100000"}, "0::/pod/box\n", 1),
        ({"pod/box/cpu.max": "10000000 100000"}, "0::/pod/box\n", None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/\n", 1),
        ({"cpu,cpuacct/a/cpu.cfs_quota_us": "20000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
         "4:cpu,cpuacct:/a\n", 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/\n", None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "0"}, "1:cpu:/\n", None),
    ],
)  # fmt: skip
def test_cpu_limit_reads_cgroups(tmp_path: Path, files: dict[str, str], membership: str, expected: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "membership").write_text(membership)
    affinity = len(os.sched_getaffinity(0))
    found = cpu_limit(cgroup_file=tmp_path / "membership", cgroup_root=tmp_path)
    assert found == (affinity if expected is None else min(affinity, expected))


INTERRUPTED = """
import sys, threading, time
from pathlib import Path
import numpy as np
from tests.unit.inference.runtime.test_inference_session import ONE, net, weights_of
from worker.domain.errors import ShutdownError
from worker.inference.runtime import interruption
from worker.inference.runtime.session import SessionCache
session = SessionCache().get(weights_of(Path(sys.argv[1])), net())

def interrupt():
    while not interruption._running:
        time.sleep(0.01)
    interruption.interrupt()

threading.Thread(target=interrupt).start()
for _ in range(2):  # what runs is ended, and nothing begins after it
    try:
        session.run(ONE)
    except ShutdownError:
        print("interrupted")
"""


@pytest.mark.timeout(60)
def test_a_run_that_would_take_an_hour_is_ended_from_another_thread(tmp_path: Path) -> None:
    package = write_package(tmp_path, spins=3_000_000)
    arguments = [sys.executable, "-c", INTERRUPTED, str(package / "model.onnx")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.split() == ["interrupted", "interrupted"]
