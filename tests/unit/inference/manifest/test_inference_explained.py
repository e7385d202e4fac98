"""What the check says of a wrong manifest: the key, what was found, what was expected, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.tiny_models import changed, package_data, write_package
from worker.domain.errors import ConfigurationError
from worker.inference.entries.wording import PATTERNS
from worker.inference.manifest.manifest import manifest_of
from worker.inference.manifest.schema import schema_text
from worker.settings import Settings
from worker.settings.model import Models, Work
from worker.wiring.package_check import check_packages

GOOD = package_data("a" * 64)
URL = "https://example.org/model.onnx"


def lines(data: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        manifest_of(data)
    assert caught.value.code == "manifest-invalid"
    head, *found = caught.value.message.splitlines()
    assert head == f"manifest.toml has {len(found)} problem{'s' if len(found) > 1 else ''}:"
    return [line.strip() for line in found]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("package.version", "1.2", 'package.version: found "1.2" (text), but expected three numbers such as "1.0.0".'),
        ("package.name", "Toy CT", 'package.name: found "Toy CT" (text), but expected lower-case words joined by'),
        ("weights.0.sha256", "abc", 'weights[0].sha256: found "abc" (text), but expected 64 hexadecimal digits in'),
        ("weights.0.file", "../m.onnx", 'weights[0].file: found "../m.onnx" (text), but expected a file inside the'),
        ("weights.0.url", "http://x/y", 'weights[0].url: found "http://x/y" (text), but expected an address that'),
        ("weights.0.url", URL, "weights[0]: size_bytes is missing; weights that are fetched state their size."),
        ("weights.0.size_bytes", 0, "weights[0].size_bytes: found 0 (whole number), but expected at least 1."),
        ("hardware.memory_mb", "10", 'hardware.memory_mb: found "10" (text), but expected a whole number.'),
        ("hardware.memory_mb", 1.5, "hardware.memory_mb: found 1.5 (number), but expected a whole number."),
        ("guards.result.0.max_ml", "3", 'guards.result[0].max_ml: found "3" (text), but expected a number.'),
        ("guards.result.0.max_l", 3.0, 'guards.result[0].max_l: unknown key "max_l"; the nearest known one'),
        ("inference.net.input.shape", ["N", 1, 4], "inference.net.input.shape: found ['N', 1, 4] (list), but expected"),
        ("inference.net.input.shape.1", 0, "inference.net.input.shape[1]: found 0 (whole number), but expected at"),
        ("inference.mode", "slice", 'inference: found mode = "slice", expected one of slices,'),
        ("inference.batch", 257, "inference.batch: found 257 (whole number), but expected at most 256."),
        ("preprocessing.0.step", "reorientt", 'preprocessing[0]: found step = "reorientt", expected one of reorient,'),
        ("preprocessing", "none", 'preprocessing: found "none" (text), but expected a list.'),
        ("licence", "MIT", 'licence: found "MIT" (text), but expected a table.'),
        ("intended_use", "", 'intended_use: found "" (text), but expected a text that is not empty.'),
        ("intended_use", None, "intended_use: missing; this key is required."),
        ("outputs.segments.0.colour_rgb", [1, 2], "outputs.segments[0].colour_rgb[2]: missing; this value is"),
        ("outputs.segments.0.channel", 7, "outputs.segments[0]: channel 7 does not exist; the output has 2 (from 0)."),
        ("outputs.segments.0.measurements", ["size"], 'outputs.segments[0].measurements[0]: found "size" (text), but'),
        ("input.modality", "ct", 'input.modality: found "ct" (text), but expected a Modality (0008,0060) such'),
        ("postprocessing", [{"step": "softmax"}], "postprocessing needs exactly one argmax or threshold step"),
        ("schema_version", 2, "schema_version: found 2 (whole number), but expected 1."),
    ],
)  # fmt: skip
def test_one_error_is_one_line(path: str, value: Any, said: str) -> None:
    (line,) = lines(changed(GOOD, path, value))
    assert line.startswith(said)


def test_what_does_not_agree_has_a_line_each() -> None:
    data = changed(changed(GOOD, "inference.net.weights", "mian"), "guards.result.0.segments", ["Lungs"])
    data["postprocessing"] = [{"step": "threshold", "threshold": "cut"}]
    assert lines(data) == [
        'a net uses weights "mian", which are not listed; the nearest known one is "main".',
        'weights "main" are listed but no net uses them.',
        'postprocessing[0]: threshold "cut" is not listed; there is none.',
        'guards.result[0]: there is no segment "Lungs"; the nearest known one is "Lung".',
    ]


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        yield from schema.get("patternProperties", {})
        schema = list(schema.values())
    if isinstance(schema, list):
        for one in schema:
            yield from patterns(one)


def test_every_pattern_has_words() -> None:
    assert set(patterns(json.loads(schema_text()))) == set(PATTERNS)


def test_limits_of_the_site_are_limits_of_the_check(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "toy")
    with (folder / "model.onnx").open("ab") as file:
        file.truncate((1 << 20) + 1)
    (report,) = check_packages(Settings(models=Models(max_weights_mb=1)), [folder])
    assert report.code == "weights-too-large"
    assert "models.max_weights_mb" in report.error
    # A field that nobody knows, of two megabytes: sound, and more than a run may need here.
    content = write_package(tmp_path / "large").joinpath("model.onnx").read_bytes()
    (tmp_path / "large/model.onnx").write_bytes(content + b"\xa2\x06\x80\x80\x80\x01" + bytes(2 << 20))
    (report,) = check_packages(Settings(work=Work(memory_limit_mb=3)), [write_package(tmp_path / "large")])
    assert report.code == "memory-limit"
    (report,) = check_packages(Settings(work=Work(memory_limit_mb=8)), [tmp_path / "large"])
    assert (report.code, report.model) == ("", "toy-ct 1.2.3")
