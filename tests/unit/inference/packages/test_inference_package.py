"""Package folders: verified, or refused with what to do."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.unit.inference.tiny_models import affine_net, changed, package_data, save, write_package
from worker.domain.errors import ConfigurationError, ModelUnusableError
from worker.domain.model import ModelIdentity
from worker.domain.study import Digest
from worker.inference.packages.onnx_file import summarize
from worker.inference.packages.package import load_package
from worker.inference.packages.registry import Registry
from worker.inference.packages.weights_cache import WeightsCache
from worker.inference.runtime.session import SessionCache, SessionSettings

EMPTY = package_data("0" * 64)


def refused(folder: Path, code: str, **limits: int) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_package(folder, **limits)
    assert caught.value.code == code
    assert caught.value.next_step
    return str(caught.value)


def test_a_good_package_is_verified_and_identified(tmp_path: Path) -> None:
    package = load_package(write_package(tmp_path / "toy"))
    assert str(package.identity) == "toy-ct 1.2.3"
    assert len(package.identity.digest) == 64
    assert package.weights["main"].sha256 == hashlib.sha256((tmp_path / "toy/model.onnx").read_bytes()).hexdigest()


def test_the_digest_changes_with_manifest_and_weights_alone(tmp_path: Path) -> None:
    first = load_package(write_package(tmp_path / "a")).identity.digest
    assert load_package(write_package(tmp_path / "b")).identity.digest == first
    retitled = load_package(write_package(tmp_path / "c", changed(EMPTY, "package.title", "Other"))).identity.digest
    other = tmp_path / "d"
    other.mkdir()
    affine_net(other / "model.onnx", scale=[0.0, -2.0], bias=[0.0, -500.0])
    retrained = load_package(write_package(other)).identity.digest
    assert len({first, retitled, retrained}) == 3


def test_the_default_rule_is_the_input_contract(tmp_path: Path) -> None:
    package = load_package(write_package(tmp_path))
    rule = package.to_rule()
    assert (rule.name, rule.model, rule.destinations, rule.per_study) == ("toy-ct", "toy-ct", (), 1)
    assert rule.conditions == package.manifest.input.to_conditions()
    assert [preference.weight for preference in rule.preferences] == [2.0]
    assert package.to_rule(("PACS",)).destinations == ("PACS",)


def test_weights_that_are_not_the_ones(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    expected = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    message = refused(folder, "weights-hash-mismatch")
    assert "model.onnx" in message
    assert expected in message
    assert hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest() in message


def test_weights_that_change_after_the_check_are_not_read(tmp_path: Path) -> None:
    package = load_package(write_package(tmp_path))
    (tmp_path / "model.onnx").write_bytes(b"something else")
    with pytest.raises(ConfigurationError) as caught:
        package.weights["main"].read()
    assert caught.value.code == "weights-hash-mismatch"


def test_weights_that_are_missing(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    (folder / "model.onnx").unlink()
    assert "model.onnx" in refused(folder, "weights-missing")


def test_weights_by_a_link_out_of_the_folder(tmp_path: Path) -> None:
    elsewhere = affine_net(tmp_path / "elsewhere.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0])
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "model.onnx").symlink_to(elsewhere)
    assert "model.onnx" in refused(write_package(folder), "weights-outside")


def test_weights_that_are_too_large(tmp_path: Path) -> None:
    refused(write_package(tmp_path), "weights-too-large", largest_weights_bytes=10)


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(tmp_path, "manifest-missing")


def test_a_manifest_of_megabytes_is_not_parsed(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_bytes(b"#" * (1 << 21))
    refused(tmp_path, "manifest-invalid")


def test_data_outside_the_file(tmp_path: Path) -> None:
    affine_net(tmp_path / "whole.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0])
    model = onnx.load(tmp_path / "whole.onnx")
    onnx.save_model(
        model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert "2 tensors" in refused(write_package(tmp_path), "external-data")


def with_external_data(folder: Path, **changes: Any) -> Path:
    """All tensors in weights.bin; the manifest lists it with its SHA-256 unless ``changes`` say otherwise."""
    affine_net(folder / "whole.onnx", scale=[0.0, -1.0], bias=[0.0, -500.0])
    onnx.save_model(onnx.load(folder / "whole.onnx"), folder / "model.onnx", save_as_external_data=True,
                    location="weights.bin", size_threshold=0)  # fmt: skip
    digest = hashlib.sha256((folder / "weights.bin").read_bytes()).hexdigest()
    external = [{"file": "weights.bin", "sha256": digest} | changes]
    return write_package(folder, changed(package_data("0" * 64), "weights.0.external", external))


def test_data_outside_the_file_that_is_pinned_gives_the_same(tmp_path: Path) -> None:
    package = load_package(with_external_data(tmp_path))
    voxels = np.random.default_rng(0).normal(-500, 300, size=(2, 1, 4, 5)).astype(np.float32)
    net = package.manifest.inference.answer()
    sessions = SessionCache(SessionSettings(threads=1))
    found = sessions.get(package.weights["main"], net).run(voxels)
    np.testing.assert_allclose(found[:, 1], -voxels[:, 0] - 500.0, rtol=1e-5)
    assert package.weights["main"].whole_bytes > package.weights["main"].size_bytes


def test_pinned_data_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = with_external_data(tmp_path)
    content = (folder / "weights.bin").read_bytes()
    (folder / "weights.bin").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "weights.bin" in refused(folder, "weights-hash-mismatch")
    (folder / "weights.bin").unlink()
    refused(folder, "weights-missing")


def test_pinned_data_that_the_file_does_not_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"x")
    external = [{"file": "other.bin", "sha256": hashlib.sha256(b"x").hexdigest()}]
    write_package(tmp_path, changed(package_data("0" * 64), "weights.0.external", external))
    assert "other.bin" in refused(tmp_path, "external-data")


def test_an_operator_set_that_nobody_promises_to_run(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["image"], ["logits"])]
    save(tmp_path / "model.onnx", nodes, constants={}, in_shape=[1], out_shape=[1], opsets=(("", 6),))
    assert "set 6" in refused(write_package(tmp_path), "opset-unsupported")


def test_a_net_that_draws_random_numbers(tmp_path: Path) -> None:
    nodes = [helper.make_node("RandomNormalLike", ["image"], ["logits"])]
    save(tmp_path / "model.onnx", nodes, constants={}, in_shape=[1], out_shape=[1])
    assert "RandomNormalLike" in refused(write_package(tmp_path), "random-operators")


def test_a_net_that_was_exported_for_training(tmp_path: Path) -> None:
    constants = {"ratio": np.float32(0.5), "training": np.bool_(True)}
    for name, inputs in (("eval", ["image", "ratio"]), ("train", ["image", "ratio", "training"])):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "model.onnx", [helper.make_node("Dropout", inputs, ["logits"])],
             constants={key: np.asarray(value) for key, value in constants.items()},
             in_shape=["N", 1, "H", "W"], out_shape=["N", 2, "H", "W"])  # fmt: skip
    assert load_package(write_package(tmp_path / "eval")).identity.name == "toy-ct"
    assert "Dropout with training_mode" in refused(write_package(tmp_path / "train"), "random-operators")


def test_data_outside_the_file_hidden_in_an_attribute_of_a_subgraph(tmp_path: Path) -> None:
    tensor = helper.make_tensor("hidden", onnx.TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["out"], value=tensor)],
        "branch",
        [],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1])],
    )
    nodes = [helper.make_node("If", ["image"], ["logits"], then_branch=branch, else_branch=branch)]
    save(tmp_path / "model.onnx", nodes, constants={}, in_shape=[1], out_shape=[1])
    refused(write_package(tmp_path), "external-data")


def test_operators_of_strangers(tmp_path: Path) -> None:
    nodes = [helper.make_node("Surprise", ["image"], ["logits"], domain="com.example")]
    save(tmp_path / "model.onnx", nodes, constants={}, in_shape=["N", 1, 2, 2], out_shape=["N", 2, 2, 2],
         opsets=(("", 17), ("com.example", 1)))  # fmt: skip
    message = refused(write_package(tmp_path), "custom-operators")
    assert "com.example" in message
    assert "Surprise" in message


def test_functions_that_the_file_itself_defines_are_no_strangers(tmp_path: Path) -> None:
    function = helper.make_function(
        "local", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    nodes = [helper.make_node("Twice", ["image"], ["logits"], domain="local")]
    save(tmp_path / "model.onnx", nodes, constants={}, in_shape=["N", 1, "H", "W"], out_shape=["N", 2, "H", "W"],
         opsets=(("", 17), ("local", 1)), functions=(function,))  # fmt: skip
    package = load_package(write_package(tmp_path))
    summary = summarize(package.weights["main"].read())
    assert summary.functions == {"local"}
    assert summary.operators == {("local", "Twice"), ("", "Add")}


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x0a\xff\xff\xff\xff\x0f", bytes(range(256)), b"PK\x03\x04"]
)
def test_files_that_are_not_onnx(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    refused(write_package(tmp_path), "not-onnx")


def test_every_truncation_of_a_model_is_refused_or_harmless(tmp_path: Path) -> None:
    content = affine_net(tmp_path / "m.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0]).read_bytes()
    outcomes = set()
    for end in range(len(content)):
        try:
            summarize(content[:end])
            outcomes.add("read")
        except ConfigurationError as error:
            outcomes.add(error.code)
    assert "not-onnx" in outcomes


def test_graphs_nested_without_end(tmp_path: Path) -> None:
    graph = b""
    for _ in range(200):  # attribute.g within node.attribute within graph.node, over and over
        for tag in (0x32, 0x2A, 0x0A):
            graph = bytes([tag]) + _varint(len(graph)) + graph
    (tmp_path / "model.onnx").write_bytes(b"\x3a" + _varint(len(graph)) + graph)
    assert "nested" in refused(write_package(tmp_path), "not-onnx")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_summary_of_a_real_file(tmp_path: Path) -> None:
    constants = {"scale": np.ones((1, 2, 1, 1), np.float32)}
    path = save(tmp_path / "m.onnx", [helper.make_node("Mul", ["image", "scale"], ["logits"])], constants=constants,
                in_shape=["N", 1, 2, 2], out_shape=["N", 2, 2, 2])  # fmt: skip
    summary = summarize(path.read_bytes())
    assert (summary.opsets, summary.operators, summary.external) == ({"": 17}, {("", "Mul")}, 0)


def test_one_broken_package_does_not_block_the_others(tmp_path: Path) -> None:
    write_package(tmp_path / "good")
    write_package(tmp_path / "broken")
    (tmp_path / "broken" / "model.onnx").unlink()
    (tmp_path / "not-a-package").mkdir()
    registry = Registry([tmp_path, tmp_path / "good", tmp_path / "nowhere"])
    assert [package.folder.name for package in registry.packages] == ["good"]
    assert [(one.folder.name, one.name, one.error.code) for one in registry.broken] == [
        ("broken", "toy-ct", "weights-missing"),
        ("nowhere", "nowhere", "models-folder-empty"),  # what should be in it is missed
    ]


def test_a_folder_whose_manifest_cannot_be_read_is_a_package_that_is_broken(tmp_path: Path) -> None:
    write_package(tmp_path / "good")
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "manifest.toml").symlink_to(tmp_path / "unmounted" / "manifest.toml")
    (tmp_path / "folder" / "manifest.toml").mkdir(parents=True)
    registry = Registry([tmp_path])
    assert [one.folder.name for one in registry.packages] == ["good"]
    assert [(one.name, one.error.code, one.manifest) for one in registry.broken] == [
        ("folder", "manifest-missing", None),
        ("lost", "manifest-missing", None),
    ]


def test_a_package_that_the_system_does_not_let_us_look_into_is_broken(tmp_path: Path) -> None:
    write_package(tmp_path / "good")
    entry = {"id": "main", "file": "far.onnx", "url": "https://example.org/far", "sha256": "1" * 64, "size_bytes": 9}
    write_package(tmp_path / "far", changed(package_data("0" * 64), "weights", [entry]))
    registry = Registry([tmp_path], cache=WeightsCache(tmp_path / ("a" * 300)))  # no system call takes such a name
    assert [one.folder.name for one in registry.packages] == ["good"]
    assert [one.error.code for one in registry.broken] == ["package-unreadable"]


def test_a_pinned_package_that_may_be_the_broken_one_is_waited_for(tmp_path: Path) -> None:
    write_package(tmp_path / "one")
    pinned = Registry([tmp_path]).packages[0].identity
    (tmp_path / "one" / "model.onnx").write_bytes(b"changed")
    with pytest.raises(ModelUnusableError) as caught:
        Registry([tmp_path]).pinned(pinned)
    assert caught.value.code == "weights-hash-mismatch"
    assert "toy-ct" in caught.value.message
    (tmp_path / "one" / "manifest.toml").write_text("not = [toml", encoding="utf-8")
    with pytest.raises(ModelUnusableError):
        Registry([tmp_path]).pinned(pinned)
    # Of what is not there at all, nobody knows that it does not come back.
    (tmp_path / "one").rename(tmp_path.parent / f"{tmp_path.name} away")
    write_package(tmp_path / "other", changed(EMPTY, "package.version", "9.9.9"))
    with pytest.raises(ModelUnusableError) as gone:
        Registry([tmp_path]).pinned(pinned)
    assert gone.value.code == "model-missing"
    assert "toy-ct 9.9.9" in gone.value.message
    assert "overread rerun" in gone.value.next_step


@pytest.mark.parametrize("made", [True, False], ids=["empty, as the place of a share that is not mounted", "not there"])
def test_a_folder_without_packages_is_missed(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "models"
    if made:
        folder.mkdir()
    (broken,) = Registry([folder]).broken
    assert (broken.name, broken.error.code, broken.manifest) == ("models", "models-folder-empty", None)
    assert broken.may_be("toy-ct")


def test_packages_are_found_by_name_version_and_digest(tmp_path: Path) -> None:
    for version in ("1.2.3", "1.10.0", "1.10.0-rc.1"):
        write_package(tmp_path / version, changed(EMPTY, "package.version", version))
    registry = Registry([tmp_path])
    assert registry.find("toy-ct").identity.version == "1.10.0"
    old = registry.find("toy-ct", "1.2.3")
    assert registry.by_digest(old.identity.digest) is old
    assert registry.pinned(old.identity) is old
    for lost in (
        lambda: registry.find("toy-mr"),
        lambda: registry.find("toy-ct", "9.9.9"),
        lambda: registry.pinned(ModelIdentity("toy-ct", "1.2.3", Digest("f" * 64))),
    ):
        with pytest.raises(ConfigurationError) as caught:
            lost()
        assert caught.value.code == "model-missing"
        assert "toy-ct 1.10.0" in caught.value.message


def test_one_version_with_two_contents_is_ambiguous(tmp_path: Path) -> None:
    write_package(tmp_path / "a")
    write_package(tmp_path / "b", changed(EMPTY, "package.title", "Other"))
    write_package(tmp_path / "c")
    registry = Registry([tmp_path])
    assert [package.folder.name for package in registry.packages] == ["a"]
    assert [(one.folder.name, one.error.code) for one in registry.broken] == [("b", "model-twice")]
