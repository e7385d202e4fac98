"""What a worker process loads before its first job, by its configuration."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.inference.tiny_models import a_volume, affine_net, changed, package_data, write_package
from worker.domain.errors import ModelUnusableError
from worker.inference.runtime.session import SessionCache
from worker.settings import Settings
from worker.settings.load import validate
from worker.wiring.execution import session_settings
from worker.wiring.loaded_models import models_of
from worker.wiring.packages import installed_packages


def site(folder: Path, **inference: Any) -> Settings:
    """Two small models of different content, and no other."""
    for index, name in enumerate(("one-ct", "two-ct"), start=1):
        (folder / name).mkdir(exist_ok=True)
        affine_net(folder / name / "model.onnx", scale=[0.0, -index], bias=[0.0, -500.0 * index])
        write_package(folder / name, changed(package_data("0" * 64), "package.name", name))
    models = {"folders": [str(folder)], "packaged": False}
    return validate({"models": models, "inference": inference}, origin="test")


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    wanted = {"model-warm", "model-beyond-budget", "warm-up-failed"}
    return [(r.getMessage(), r.__dict__.get("model", "")) for r in caplog.records if r.getMessage() in wanted]


@pytest.mark.parametrize(
    ("warm", "expected"),
    [
        (["all"], [("model-warm", "one-ct 1.2.3"), ("model-warm", "two-ct 1.2.3")]),
        (["two-ct"], [("model-warm", "two-ct 1.2.3")]),
        (["two-ct", "all"], [("model-warm", "two-ct 1.2.3"), ("model-warm", "one-ct 1.2.3")]),
        ([], []),
        (["three-ct"], [("warm-up-failed", "")]),
    ],
)
def test_what_is_named_is_loaded_in_this_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, warm: list[str], expected: list[tuple[str, str]]
) -> None:
    caplog.set_level("INFO")
    models_of(site(tmp_path, warm=warm)).warm()
    assert said(caplog) == expected
    loaded = [record for record in caplog.records if record.getMessage() == "session-loaded"]
    assert len(loaded) == sum(event == "model-warm" for event, _ in expected)


def test_a_model_that_fails_does_not_stop_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    models = models_of(site(tmp_path, warm=["all"]))
    assert models.predictor is models.predictor
    (tmp_path / "one-ct" / "model.onnx").write_bytes(b"changed after it was verified")
    models.warm()
    assert said(caplog) == [("warm-up-failed", "one-ct"), ("model-warm", "two-ct 1.2.3")]


def test_a_provider_that_is_missing_is_told_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    models_of(site(tmp_path, warm=["one-ct"], providers=["CUDAExecutionProvider"])).warm()
    assert [(r.getMessage(), r.__dict__["code"]) for r in caplog.records] == [("warm-up-failed", "provider-missing")]


def test_work_waits_for_a_provider_that_is_missing(tmp_path: Path) -> None:
    models = models_of(site(tmp_path, providers=["CUDAExecutionProvider"]))
    voxels = np.linspace(-1000, 1000, 4 * 8 * 8, dtype=np.float32).reshape(4, 8, 8)
    with pytest.raises(ModelUnusableError) as caught:
        models.predict(models.table().rules[0].model, a_volume(voxels))
    assert caught.value.code == "provider-missing"


def test_packages_are_read_again_when_they_have_changed_and_only_then(tmp_path: Path) -> None:
    packages = installed_packages(site(tmp_path))
    first = packages.registry()
    assert packages.registry() is first
    assert len(packages.sound()) == 2
    weights = tmp_path / "one-ct" / "model.onnx"
    content = weights.read_bytes()
    weights.write_bytes(b"x" * len(content))
    assert [one.error.code for one in packages.registry().broken] == ["weights-hash-mismatch"]
    assert len(packages.sound()) == 1
    weights.write_bytes(content)
    assert len(packages.sound()) == 2
    assert packages.registry() is not first


def test_a_model_that_a_rule_names_and_that_is_taken_away_is_missed(tmp_path: Path) -> None:
    settings = site(tmp_path)
    named = settings.model_copy(update={"models": settings.models.model_copy(update={"enabled": ("one-ct", "two-ct")})})
    (tmp_path / "one-ct").rename(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    models = models_of(named)  # which has not seen it
    (missed,) = models.table().unusable
    assert (missed.model, missed.code, missed.rule) == ("one-ct", "model-missing", None)
    assert [one.model.name for one in models.table().rules] == ["two-ct"]


def test_a_model_that_this_process_has_seen_and_that_is_gone_is_missed(tmp_path: Path) -> None:
    settings = site(tmp_path)
    packages = installed_packages(settings)
    before = packages.sound()
    models = models_of(settings, packages)  # as of a child: its parent has looked
    away = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    (tmp_path / "one-ct").rename(away)
    (missed,) = models.table().unusable
    assert (missed.model, missed.code) == ("one-ct", "model-gone")
    assert missed.rule is not None
    assert [one.model.name for one in models.table().rules] == ["two-ct"]
    assert len(packages.sound() - before) == 0
    away.rename(tmp_path / "one-ct")
    assert models.table().unusable == ()
    assert len(packages.sound() - before) == 1  # it came back: what waits is tried again
    # Who was started later has not seen it.
    (tmp_path / "one-ct").rename(away)
    assert models_of(settings).table().unusable == ()


def test_jobs_and_warm_up_share_one_predictor(tmp_path: Path) -> None:
    models = models_of(site(tmp_path))
    found = []
    threads = [threading.Thread(target=lambda: found.append(models.predictor)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(map(id, found))) == 1


def test_settings_reach_the_sessions(tmp_path: Path) -> None:
    options = {"OpenVINOExecutionProvider": {"device_type": "CPU"}}
    settings = site(tmp_path, providers=["OpenVINOExecutionProvider"], provider_options=options, session_budget_mb=7)
    made = SessionCache(session_settings(settings)).settings
    assert made.providers == ("OpenVINOExecutionProvider",)
    assert made.options_of("OpenVINOExecutionProvider") == {"device_type": "CPU"}
    assert made.memory_budget_bytes == 7 << 20
