"""Packages that are begun with a template, and the page that describes a model."""

from __future__ import annotations

import hashlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pydicom.sr._concepts_dict
import pytest
from onnx import helper

from tests.unit.inference.tiny_models import affine_net, changed, package_data, save
from tests.unit.inference.tiny_nets import box_net, mean_net
from worker.domain.errors import ConfigurationError
from worker.domain.model import Family
from worker.inference.development.scaffold import template, write_package_skeleton
from worker.inference.entries.nets import BoxNet
from worker.inference.manifest.card import markdown, page
from worker.inference.manifest.manifest import manifest_of, parse_manifest
from worker.inference.packages.package import load_package
from worker.inference.runtime.session import SessionCache, SessionSettings


def a_fitting_net(path: Path, family: Family) -> Path:
    net = parse_manifest(template(family, "x").encode()).inference.answer()
    if isinstance(net, BoxNet):
        return box_net(path, [[1, 1, 3, 3]], [0.9], [1])
    inputs, outputs = list(net.input.shape), list(net.output.shape)
    if net.rates:
        name = net.output.name
        nodes = [
            helper.make_node("Flatten", ["image"], ["flat"], axis=1),
            helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["mean", "scale"], [name]),
        ]
        scale = np.ones((1, int(outputs[1])), np.float32)
        return save(path, nodes, constants={"scale": scale}, in_shape=inputs, out_shape=outputs, names=("image", name))
    count = int(outputs[1])
    return affine_net(path, scale=[1.0] * count, bias=[0.0] * count, in_shape=inputs, names=("image", net.output.name))


@pytest.mark.parametrize("family", list(Family))
def test_a_new_package_is_sound_once_its_weights_are_there(family: Family, tmp_path: Path) -> None:
    weights = a_fitting_net(tmp_path / "net.onnx", family)
    folder = write_package_skeleton(tmp_path / "my-model", family, name="my-model", weights=weights)
    package = load_package(folder)
    assert package.identity.name == "my-model"
    sessions = SessionCache(SessionSettings(threads=1))
    for net in package.manifest.inference.nets():
        sessions.get(package.weights[net.weights], net)


def test_without_weights_the_check_says_what_is_missing(tmp_path: Path) -> None:
    folder = write_package_skeleton(tmp_path / "my-model", Family.CLASSIFICATION, name="my-model")
    with pytest.raises(ConfigurationError) as caught:
        load_package(folder)
    assert caught.value.code == "weights-missing"
    mean_net(folder / "model.onnx", scale=[1.0], bias=[0.0])
    with pytest.raises(ConfigurationError) as caught:
        load_package(folder)
    assert caught.value.code == "weights-hash-mismatch"
    assert hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest() in caught.value.message


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        write_package_skeleton(tmp_path / "my-model", Family.BOXES, name="my-model")
    assert caught.value.code == "folder-exists"
    with pytest.raises(ConfigurationError) as caught:
        write_package_skeleton(tmp_path / "b", Family.BOXES, name="b", weights=tmp_path / "none.onnx")
    assert caught.value.code == "weights-missing"


def codes_in(data: object) -> list[tuple[str, str, str]]:
    if isinstance(data, dict):
        own = [(data["scheme"], data["value"], data["meaning"])] if {"scheme", "value", "meaning"} <= set(data) else []
        return own + [code for value in data.values() for code in codes_in(value)]
    return [code for value in data for code in codes_in(value)] if isinstance(data, list | tuple) else []


@pytest.mark.parametrize("family", list(Family))
def test_the_codes_of_templates_are_of_the_standard(family: Family) -> None:
    outputs = parse_manifest(template(family, "x").encode()).outputs.model_dump()
    found = codes_in(outputs)
    assert found
    for scheme, value, meaning in found:
        assert known(scheme, value, meaning), (scheme, value, meaning)


def known(scheme: str, value: str, meaning: str) -> bool:
    meanings = {
        entry[value][0].casefold() for entry in pydicom.sr._concepts_dict.concepts[scheme].values() if value in entry
    }
    return any(meaning.casefold() in one for one in meanings)


DESCRIBED = package_data("a" * 64) | {
    "bias": [{"group": "Children <b>", "known": "Never seen."}],
    "evaluation": [
        {"data": "Ten CT | of elsewhere", "unseen": True, "cases": 10,
         "metrics": [{"name": "Dice", "value": 0.91, "of": "Lung", "low": 0.8, "high": 0.95}]}
    ],
}  # fmt: skip


def test_the_card_says_what_the_manifest_says() -> None:
    text = markdown(manifest_of(DESCRIBED), digest="f" * 64)
    for part in ("Tests.", "- patients", "- It is a toy.", "Never seen.", "0.91 (0.8 to 0.95)", "unseen", "f" * 64,
                 "Lung (39607008, SCT)", "Children &lt;b>", "Ten CT \\| of elsewhere"):  # fmt: skip
        assert part in text


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    reader = Reader()
    reader.feed(page(manifest_of(changed(DESCRIBED, "intended_use", "<script>alert(1)</script>")), digest="f" * 64))
    assert reader.references == []
    assert "script" not in reader.tags
    assert "b" not in reader.tags
    assert reader.tags.count("table") >= 4


def test_what_was_not_examined_is_said() -> None:
    text = markdown(manifest_of(package_data("a" * 64)), digest="f" * 64)
    assert "it was not examined" in text
    assert "None is stated in the manifest" in text
