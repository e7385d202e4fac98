"""``models bench`` on a real series: every precision and provider in a process of its own, compared with the first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.builders import a_ct_phantom, a_ct_series
from tests.unit.inference.tiny_models import affine_net, changed, package_data, write_package
from worker.cli.main import build
from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.inference.development.bench import REMOTE, Setting, golden_sample, in_words
from worker.settings import Settings
from worker.settings.load import validate
from worker.wiring import benching, packages

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
INT8 = {"id": "small", "file": "small.onnx", "sha256": "0" * 64, "precision": "int8", "precision_note": "A little.",
        "variant_of": "main"}  # fmt: skip
FP16 = {**INT8, "id": "half", "file": "half.onnx", "precision": "fp16"}


def package(folder: Path) -> Path:
    """Below -500 HU is "Lung"; its int8 weights say so below -817 HU, and those in fp16 have no such output."""
    folder.mkdir()
    affine_net(folder / "small.onnx", scale=[0.0, -1.0], bias=[0.0, -817.0])
    affine_net(folder / "half.onnx", scale=[0.0, -1.0], bias=[0.0, -500.0], names=("image", "halves"))
    return write_package(folder, changed(changed(package_data("0" * 64), "weights.1", INT8), "weights.2", FP16))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    a_ct_series(folder, hu=a_ct_phantom(slices=8, rows=32, columns=40).clip(-1000, None))
    return folder


def test_every_precision_is_measured_and_compared(tmp_path: Path, case: Path) -> None:
    arguments = ["models", "bench", str(package(tmp_path / "toy")), "--case", str(case), "--json", "--repeat", "1"]
    done = CliRunner().invoke(build(), [*arguments, "--provider", CPU])
    assert done.exit_code == 65, done.output  # one of them fails, and that is not passed over
    first, int8, fp16 = json.loads(done.stdout)["runs"]
    assert [run["setting"] for run in (first, int8, fp16)] == [
        {"precision": precision, "provider": CPU} for precision in ("fp32", "int8", "fp16")
    ]

    assert first["differences"] is None
    assert first["provider_used"] == CPU
    assert first["peak_mb"] > 50
    assert 0 < first["times"]["inference_s"] <= first["times"]["run_s"]
    assert first["weights"][0].startswith("main weights sha256=")

    assert int8["weights"][0].endswith(" precision=int8")
    background, lung = int8["differences"]["channels"]
    assert background["largest_difference"] == 0.0
    assert lung["largest_difference"] == pytest.approx(317.0, abs=0.01)
    (segment,) = int8["differences"]["segments"]
    assert segment["label"] == "Lung"
    assert 0 < segment["dice"] < 1
    assert segment["voxels_different"] > 0

    assert fp16["times"] is None
    assert fp16["error"].startswith("(net-output-mismatch) half.onnx")


def test_a_provider_that_is_not_here_is_an_error_not_another_provider(tmp_path: Path, case: Path) -> None:
    toy = packages.package_named(str(package(tmp_path / "toy")), Settings())
    settings = benching.configured(Settings(), toy, Setting("fp32", CUDA))
    code, message, next_step = in_words(lambda: benching.measured(settings, case, 0))
    assert code == "provider-missing"
    assert CUDA in message
    assert next_step


def test_what_is_measured_by_default(tmp_path: Path) -> None:
    toy = packages.package_named(str(package(tmp_path / "toy")), Settings())
    assert benching.settings_of(toy, Settings(), (), ()) == [
        Setting(precision, CPU) for precision in ("fp32", "int8", "fp16")
    ]
    served = validate({"triton": [{"model": "toy-ct", "url": "http://localhost:1"}]}, origin="test")
    assert benching.settings_of(toy, served, ["int8"], ()) == [
        Setting("fp32", CPU),
        Setting("int8", CPU),
        Setting("int8", REMOTE),
    ]
    with pytest.raises(ConfigurationError, match="it has fp32, int8, fp16"):
        benching.settings_of(toy, Settings(), ["fp64"], ())
    with pytest.raises(ConfigurationError, match="There is no provider cuda"):
        benching.settings_of(toy, Settings(), (), ["cuda"])


def test_a_case_that_the_model_is_not_for(tmp_path: Path) -> None:
    toy = packages.package_named(str(package(tmp_path / "toy")), Settings())
    a_ct_series(tmp_path / "head", body_part="HEAD", slices=3)
    settings = benching.configured(Settings(), toy, Setting("fp32", CPU))
    with pytest.raises(NotApplicableError) as caught:
        benching.measured(settings, tmp_path / "head", 0)
    assert caught.value.code == "no-model-applies"


def test_the_sample_study_of_a_package(tmp_path: Path) -> None:
    models = packages.packaged_models()
    for name, sample in (("lungs-airways-ct", "chest-ct"), ("brain-mr-t1", "brain-mr")):
        assert golden_sample(packages.package_named(str(models / name), Settings())) == sample
    with pytest.raises(ConfigurationError) as caught:
        golden_sample(packages.package_named(str(package(tmp_path / "toy")), Settings()))
    assert caught.value.code == "no-golden-case"
