"""ONNX files of every kind: the package carries all of them and says what they are, or nothing is made."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.e2e.processes import overread
from worker.domain.errors import ConfigurationError
from worker.domain.model import Family
from worker.importing.package_folder import Naming
from worker.importing.weights_alone import one_file
from worker.importing.weights_importer import import_onnx
from worker.inference.packages.package import MANIFEST, load_package
from worker.wiring.importing import runtime

pytestmark = pytest.mark.export

SHAPE = [1, 1, 16, 16, 16]


def an_onnx(
    path: Path,
    *,
    outputs: tuple[str, ...] = ("logits",),
    name: str = "image",
    dtype: int = TensorProto.FLOAT,
    external: str = "",
) -> Path:
    """``y = x * weight`` with two channels, for each output."""
    number = helper.tensor_dtype_to_np_dtype(dtype)
    weight = numpy_helper.from_array(np.asarray([2, 1], number).reshape(1, 2, 1, 1, 1), "weight")
    graph = helper.make_graph(
        [helper.make_node("Mul", [name, "weight"], [one]) for one in outputs],
        "net",
        [helper.make_tensor_value_info(name, dtype, SHAPE)],
        [helper.make_tensor_value_info(one, dtype, [1, 2, 16, 16, 16]) for one in outputs],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if external:
        onnx.save_model(
            model, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location=external,
            size_threshold=0,
        )  # fmt: skip
    else:
        path.write_bytes(model.SerializeToString())
    return path


def imported(file: Path, target: Path, **arguments: str) -> Path:
    made = import_onnx(file, target, Naming("mine"), Family.SEGMENTATION, runtime=runtime(), **arguments)
    assert made.folder == target / "mine"
    return made.folder


def manifest(folder: Path) -> dict[str, object]:
    return tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def test_tensors_in_another_file_come_with_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    file = an_onnx(source / "net.onnx", external="net.onnx.data")
    assert (source / "net.onnx.data").is_file()
    folder = imported(file, tmp_path)
    package = load_package(folder)  # refuses data that no SHA-256 covers
    (weights,) = package.weights.values()
    assert weights.external == {}
    (tensor,) = onnx.load_model_from_string(weights.read()).graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(tensor).ravel(), [2, 1])


def test_what_one_file_cannot_hold_stays_in_two(tmp_path: Path) -> None:
    """As for a net above 2 GiB, with a smaller limit."""
    (tmp_path / "source").mkdir()
    file = an_onnx(tmp_path / "source" / "net.onnx", external="elsewhere.bin")
    made = tmp_path / "model.onnx"
    assert one_file(file, made, elsewhere=("elsewhere.bin",), largest_bytes=100) == (tmp_path / "elsewhere.bin",)
    (tensor,) = onnx.load(str(made), load_external_data=False).graph.initializer
    assert tensor.data_location == TensorProto.EXTERNAL
    (tensor,) = onnx.load(str(made)).graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(tensor).ravel(), [2, 1])


def test_tensors_that_are_not_there_are_named_and_nothing_stays(tmp_path: Path) -> None:
    file = an_onnx(tmp_path / "net.onnx", external="net.onnx.data")
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(ConfigurationError, match=r"net\.onnx\.data") as refused:
        imported(file, tmp_path / "made")
    assert refused.value.code == "external-data"
    assert list((tmp_path / "made").iterdir()) == []


def test_half_precision_is_stated(tmp_path: Path) -> None:
    folder = imported(an_onnx(tmp_path / "net.onnx", dtype=TensorProto.FLOAT16), tmp_path)
    net = manifest(folder)["inference"]["net"]  # type: ignore[index]
    assert (net["input"]["dtype"], net["output"]["dtype"]) == ("float16", "float16")
    assert load_package(folder).manifest.nets()[0].input.dtype == "float16"


@pytest.mark.parametrize("dtype", [TensorProto.DOUBLE, TensorProto.UINT8])
def test_numbers_that_no_manifest_can_state_are_refused(tmp_path: Path, dtype: int) -> None:
    with pytest.raises(ConfigurationError, match="float32 or float16") as refused:
        imported(an_onnx(tmp_path / "net.onnx", dtype=dtype), tmp_path / "made")
    assert refused.value.code == "onnx-types"


def test_one_of_several_outputs_is_chosen_by_name_or_none(tmp_path: Path) -> None:
    file = an_onnx(tmp_path / "net.onnx", outputs=("deep", "logits"))
    for output in ("", "scores"):
        with pytest.raises(ConfigurationError, match='"deep", "logits"') as refused:
            imported(file, tmp_path / "made", output=output)
        assert refused.value.code == "onnx-outputs"
        assert not (tmp_path / "made").exists() or list((tmp_path / "made").iterdir()) == []
    net = manifest(imported(file, tmp_path / "made", output="logits"))["inference"]["net"]  # type: ignore[index]
    assert net["output"]["name"] == "logits"
    made = import_onnx(file, tmp_path / "boxes", Naming("mine"), Family.BOXES, runtime=runtime())
    assert made.folder.is_dir(), "lists of boxes are several outputs"


@pytest.mark.parametrize("name", ['a "quoted" one', "back\\slash", "tab\tand\nline", "del\x7f", "肺", "x\\1", "'"])
def test_any_name_of_a_tensor_makes_a_manifest(tmp_path: Path, name: str) -> None:
    folder = imported(an_onnx(tmp_path / "net.onnx", name=name, outputs=(f"{name} out",)), tmp_path)
    net = manifest(folder)["inference"]["net"]  # type: ignore[index]
    assert (net["input"]["name"], net["output"]["name"]) == (name, f"{name} out")


def test_after_a_refusal_the_same_command_can_be_given_again(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(b"no model")
    command = ["models", "import", "onnx", str(file), "--name", "mine", "--family", "segmentation", "--folder"]
    done = overread(*command, str(tmp_path / "made"))
    assert done.returncode == 78
    assert not (tmp_path / "made" / "mine").exists()
    an_onnx(file, outputs=("a", "b"))
    assert overread(*command, str(tmp_path / "made")).returncode == 78
    done = overread(*command, str(tmp_path / "made"), "--output", "b")
    assert done.returncode == 0, done.stderr
    assert [one.name for one in (tmp_path / "made").iterdir()] == ["mine"]
