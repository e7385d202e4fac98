"""Which weights run, where, and what is loaded before anybody asks."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.inference.runtime.test_inference_session import net, plain, weights_of
from tests.unit.inference.tiny_models import a_volume, affine_net, changed, package_data, write_package
from worker.domain.errors import ConfigurationError, PermanentError
from worker.domain.study import Digest
from worker.inference.packages.package import Package, Weights
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.execution import Execution
from worker.inference.runtime.session import CPU, NetSession, SessionCache, SessionSettings
from worker.inference.runtime.triton import RemoteModel, TritonSessions
from worker.inference.runtime.triton_client import Address
from worker.inference.runtime.variants import bound_entries, precisions

EMPTY = package_data("0" * 64)
INT8 = {"id": "small", "file": "small.onnx", "sha256": "0" * 64, "precision": "int8", "precision_note": "A little.",
        "variant_of": "main"}  # fmt: skip
VOXELS = np.full((6, 10, 12), 40.0, np.float32)
VOXELS[2:4, 3:7, 5:9] = -800.0
VOXELS[2:4, 0, 0] = -400.0


def package_with_variant(folder: Path, **options: Any) -> Package:
    """Its int8 weights say "Lung" below -300 already, where those in fp32 say it below -500."""
    folder.mkdir(parents=True, exist_ok=True)
    affine_net(folder / "small.onnx", scale=[0.0, -1.0], bias=[0.0, -300.0], **options)
    registry = Registry([write_package(folder, changed(EMPTY, "weights.1", INT8))])
    assert registry.broken == ()
    return registry.packages[0]


def test_the_site_chooses_the_precision_and_the_result_says_so(tmp_path: Path) -> None:
    package = package_with_variant(tmp_path)
    assert precisions(package) == ("fp32", "int8")
    counts = {}
    for precision in (None, "fp32", "int8"):
        chosen: Any = {"toy-ct": precision} if precision else {}
        predictor = PackagePredictor(Registry([tmp_path]), execution=Execution(precision=chosen))
        conclusion = predictor.predict(package.identity, a_volume(VOXELS))
        counts[precision] = np.count_nonzero(conclusion.findings[0].labels)
        used = package.weights["small" if precision == "int8" else "main"]
        said = f"main weights sha256={used.sha256}" + (" precision=int8" if precision == "int8" else "")
        assert conclusion.algorithm.parameters == (said,)
        assert predictor.algorithm(package.identity).parameters == (said,)
    assert counts == {None: 32, "fp32": 32, "int8": 34}


def test_a_precision_that_the_package_does_not_offer(tmp_path: Path) -> None:
    package_with_variant(tmp_path)
    with pytest.raises(ConfigurationError, match="it has fp32, int8") as caught:
        PackagePredictor(Registry([tmp_path]), execution=Execution(precision={"toy-ct": "fp16"}))
    assert caught.value.code == "precision-not-offered"


@pytest.mark.parametrize("what", ["precision", "remote"])
def test_a_name_that_no_package_has(tmp_path: Path, what: str) -> None:
    remote = TritonSessions({"toy-tc": RemoteModel(address=Address(url="http://localhost:1"))})
    options: dict[str, Any] = {"precision": {"toy-tc": "fp16"}} if what == "precision" else {"remote": remote}
    with pytest.raises(ConfigurationError, match='nearest known one is "toy-ct"') as caught:
        PackagePredictor(Registry([write_package(tmp_path)]), execution=Execution(**options))
    assert caught.value.code == "model-missing"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"variant_of": "mian"}, 'the nearest known one is "main"'),
        ({"variant_of": "small"}, "which are a variant themselves"),
        ({"precision": "fp32"}, "which have the same precision (fp32)"),
        ({"precision_note": ""}, "precision_note is missing"),
        ({"variant_of": None}, 'weights "small" are listed but no net uses them'),
    ],
)
def test_what_a_manifest_may_not_say_of_variants(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    entry = {key: value for key, value in {**INT8, **change}.items() if value is not None}
    affine_net(tmp_path / "small.onnx", scale=[0.0, -1.0], bias=[0.0, -300.0])
    (broken,) = Registry([write_package(tmp_path, changed(EMPTY, "weights.1", entry))]).broken
    assert said in broken.error.message


def test_two_variants_of_one_precision_and_a_net_that_names_one(tmp_path: Path) -> None:
    affine_net(tmp_path / "small.onnx", scale=[0.0, -1.0], bias=[0.0, -300.0])
    twice = changed(changed(EMPTY, "weights.1", INT8), "weights.2", {**INT8, "id": "tiny"})
    (broken,) = Registry([write_package(tmp_path, twice)]).broken
    assert '"small" in the same precision (int8)' in broken.error.message
    named = changed(changed(EMPTY, "weights.1", INT8), "inference.net.weights", "small")
    (broken,) = Registry([write_package(tmp_path, named)]).broken
    assert "but a net names them" in broken.error.message


def test_a_variant_with_another_output_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    package = package_with_variant(tmp_path, names=("image", "probabilities"))
    execution = Execution(precision={"toy-ct": "int8"})
    (wanted,) = package.manifest.inference.nets()
    assert [entry.id for entry in bound_entries(package, "main")] == ["main", "small"]
    with pytest.raises(ConfigurationError, match=r"small\.onnx") as caught:
        execution.session(package, wanted)
    assert caught.value.code == "net-output-mismatch"


def test_the_settings_of_a_cache_that_is_still_empty_hold(tmp_path: Path) -> None:
    package = Registry([write_package(tmp_path)]).packages[0]
    cache = SessionCache(SessionSettings(providers=("CUDAExecutionProvider",)))
    for predictor in (
        PackagePredictor(Registry([tmp_path]), sessions=cache),
        PackagePredictor(Registry([tmp_path]), execution=Execution(cache)),
    ):
        with pytest.raises(ConfigurationError) as caught:
            predictor.predict(package.identity, a_volume(VOXELS))
        assert caught.value.code == "provider-missing"


def test_warm_loads_what_fits_and_drives_nothing_out(tmp_path: Path) -> None:
    first = Registry([write_package(tmp_path / "first")]).packages[0]
    data = changed(EMPTY, "package.name", "other-ct")
    affine_net_of_another_content = tmp_path / "second"
    affine_net_of_another_content.mkdir()
    affine_net(affine_net_of_another_content / "model.onnx", scale=[0.0, -2.0], bias=[0.0, -1000.0])
    second = Registry([write_package(affine_net_of_another_content, data)]).packages[0]
    size = first.weights["main"].size_bytes
    cache = SessionCache(SessionSettings(memory_budget_bytes=3 * size))
    execution = Execution(cache)
    assert execution.warm(first)
    assert execution.warm(first)
    (wanted,) = first.manifest.inference.nets()
    kept = execution.session(first, wanted)
    assert not execution.warm(second)
    assert len(cache) == 1
    assert execution.session(first, wanted) is kept
    predictor = PackagePredictor(Registry([tmp_path]), execution=Execution())
    assert predictor.warm(first.identity)
    assert predictor.warm(second.identity)


def test_a_net_on_its_way_delays_only_those_who_want_it(tmp_path: Path) -> None:
    """Its file is a pipe: the one who loads it waits until the test writes the bytes."""
    content = affine_net(tmp_path / "slow.onnx", scale=[0.0, 1.0], bias=[0.0, 7.0]).read_bytes()
    pipe = tmp_path / "pipe.onnx"
    os.mkfifo(pipe)
    slow = Weights(pipe, Digest(hashlib.sha256(content).hexdigest()), len(content))
    cache = SessionCache()
    found: list[NetSession] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get(slow, net())), daemon=True) for _ in range(2)]
    threads[0].start()
    with pipe.open("wb") as stream:  # opens when the reader is there: the first thread loads
        threads[1].start()
        assert cache.get(plain(tmp_path), net()).provider == CPU
        assert cache.holds(slow, net())
        assert found == []
        stream.write(content)
    for thread in threads:
        thread.join(60)
    assert found[0] is found[1]
    assert len(cache) == 2


def test_who_waited_for_a_net_that_failed_is_told_as_well(tmp_path: Path) -> None:
    cache = SessionCache()
    affine_net(tmp_path / "model.onnx", scale=[0.0, 1.0], bias=[0.0, 7.0])
    weights = weights_of(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"something else")
    for _ in range(2):
        with pytest.raises(ConfigurationError) as caught:
            cache.get(weights, net())
        assert caught.value.code == "weights-hash-mismatch"
    assert not cache.holds(weights, net())


def test_a_model_on_a_server_that_is_not_there_loads_nothing_here(tmp_path: Path) -> None:
    package = Registry([write_package(tmp_path)]).packages[0]
    cache = SessionCache()
    remote = TritonSessions({"toy-ct": RemoteModel(address=Address(url="http://localhost:1"))})
    assert Execution(cache, remote=remote).warm(package)
    assert len(cache) == 0


def test_not_finite_is_told_of_a_session_too(tmp_path: Path) -> None:
    session = SessionCache().get(plain(tmp_path), net())
    with pytest.raises(PermanentError) as caught:
        session.run(np.full((1, 1, 3, 3), np.inf, np.float32))
    assert caught.value.code == "output-not-finite"
