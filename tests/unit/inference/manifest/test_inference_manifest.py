"""Good and wrong manifests: what the person reads, and that the published schema judges alike."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydicom.sr.codedict import codes

from tests.unit.inference.tiny_models import changed, package_data, to_toml
from worker.domain import routing
from worker.domain.errors import ConfigurationError
from worker.inference.manifest.manifest import Manifest, manifest_of, parse_manifest
from worker.inference.manifest.schema import FILE_NAME, json_schema, schema_text, write_schema

ROOT = Path(__file__).parents[4]
GOOD = package_data("a" * 64)
SHIPPED = sorted((ROOT / "models").glob("*/manifest.toml"))

CASCADE = changed(
    GOOD,
    "inference",
    {
        "mode": "localise_then_segment",
        "localiser": {
            "net": {
                "weights": "main",
                "input": {"name": "image", "shape": [1, 1, 4, 4, 4]},
                "output": {"name": "found", "shape": [1, 1, 4, 4, 4]},
            },
            "preprocessing": [
                {"step": "resample_to_shape", "shape": [4, 4, 4], "interpolation": "nearest"},
                {"step": "clip_percentiles", "lower": 0.5, "upper": 99.5, "keep_as": "range"},
            ],
            "channel": 0,
        },
        "segmenter": {
            "net": {
                "weights": "main",
                "input": {"name": "image", "shape": [1, 1, 8, 8, 8]},
                "output": {"name": "logits", "shape": [1, 2, 8, 8, 8]},
            },
            "preprocessing": [{"step": "clip_kept", "kept": "range"}],
        },
    },
)
THRESHOLD = changed(
    changed(GOOD, "postprocessing", [{"step": "sigmoid"}, {"step": "threshold", "threshold": "cut"}]),
    "thresholds",
    [{"name": "cut", "default": 0.5, "minimum": 0.1, "maximum": 0.9, "meaning": "Probability."}],
)
EVERY_STEP = changed(
    changed(
        GOOD,
        "preprocessing",
        [
            {"step": "rectify", "axes": "RAS", "outside": 0},
            {"step": "resample_to_spacing", "spacing_mm": ["keep", 1.5, 2], "interpolation": "linear"},
            {"step": "resample_to_grid", "spacing_mm": ["keep", 2.0, 2.0], "shape": ["keep", 192, 192],
             "interpolation": "linear", "outside": -1024.0},
            {"step": "crop_or_pad", "shape": ["keep", 64, 64], "outside": -1024.0},
            {"step": "clip", "lower": -1000.0, "upper": 1000.0},
            {"step": "z_score", "over": "nonzero"},
            {"step": "scale_shift", "scale": 2.0, "shift": 1.0},
            {"step": "channels", "windows": [{"lower": -1000.0, "upper": 0.0}]},
        ],
    ),
    "postprocessing",
    [
        {"step": "argmax", "interpolation": "nearest"},
        {"step": "largest_component", "connectivity": 6},
        {"step": "fill_holes", "in_plane": True},
        {"step": "min_volume", "min_ml": 1.0},
    ],
)  # fmt: skip
EVERY_GUARD = changed(
    GOOD,
    "guards.input",
    [
        {"guard": "volume_of_range_inside_body", "lower": -950.0, "upper": -500.0, "min_ml": 500.0, "what": "lung"},
        {"guard": "extent", "min_mm": [100.0, 100.0, 50.0]},
        {"guard": "value_range", "low": {"maximum": -500.0}, "high": {"minimum": 100.0, "maximum": 4000}},
    ],
)

# Name, changed data, and what the message must say. The schema refuses these as well.
WRONG_FORM: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("unknown key", changed(GOOD, "preprocesing", []), ('key "preprocesing"', 'nearest known one is "preproc')),
    ("unknown key in a step", changed(EVERY_STEP, "preprocessing.4.lowr", 1), ("preprocessing[4].lowr", '"lower"')),
    ("unknown key in a net", changed(GOOD, "inference.net.weight", "x"), ("inference.net.weight", '"weights"')),
    ("unknown key in a table that may be left out", changed(GOOD, "input.slicess", {"minimum": 3}), ("input.slicess",
     'nearest known one is "slices"')),
    ("unknown key in a condition", changed(GOOD, "input.conditions.0.one_off", ["A"]), ("conditions[0].one_off",
     '"one_of"')),
    ("missing", changed(GOOD, "algorithm.title", None), ("algorithm.title: missing",)),
    ("unknown step", changed(GOOD, "postprocessing.0.step", "sofmax"), ("postprocessing[0]", '"sofmax"', '"softmax"')),
    ("unknown mode", changed(GOOD, "inference.mode", "slice"), ("inference", '"slice"', '"slices"')),
    ("unknown guard", changed(GOOD, "guards.input.0.guard", "constant"), ("guards.input[0]", '"not_constant"')),
    ("step without a name", changed(GOOD, "preprocessing.0.step", None), ("preprocessing[0]", "'step'")),
    ("step that is no table", changed(GOOD, "preprocessing.0", "reorient"), ("preprocessing[0]", "expected a table")),
    ("text for a number", changed(GOOD, "inference.batch", "8"), ("inference.batch", 'found "8" (text)', "whole")),
    ("true for a number", changed(EVERY_STEP, "preprocessing.4.lower", True), ("preprocessing[4].lower", "true/false",
     "number")),
    ("number for a text", changed(GOOD, "package.title", 5), ("package.title", "5 (whole number)", "a text")),
    ("version", changed(GOOD, "package.version", "1.0"), ("package.version", '"1.0"', '"1.0.0"')),
    ("name", changed(GOOD, "package.name", "Toy CT"), ("package.name", '"Toy CT"', "hyphens")),
    ("future schema", changed(GOOD, "schema_version", 2), ("schema_version", "found 2", "1")),
    ("hash", changed(GOOD, "weights.0.sha256", "abc"), ("weights[0].sha256", '"abc"')),
    ("file outside", changed(GOOD, "weights.0.file", "../model.onnx"), ("weights[0].file", '"../model.onnx"')),
    ("absolute file", changed(GOOD, "weights.0.file", "/etc/passwd"), ("weights[0].file", '"/etc/passwd"')),
    ("colour", changed(GOOD, "outputs.segments.0.colour_rgb", [0, 0, 256]), ("colour_rgb[2]", "256", "255")),
    ("colour of two", changed(GOOD, "outputs.segments.0.colour_rgb", [0, 0]), ("colour_rgb",)),
    ("zero spacing", changed(EVERY_STEP, "preprocessing.1.spacing_mm", [0, 1.0, 1.0]), ("spacing_mm[0]", "found 0",
     "more than 0", '"keep"')),
    ("unit that is no spacing", changed(EVERY_STEP, "preprocessing.1.spacing_mm", ["2mm", 1.0, 1.0]), ("spacing_mm[0]",
     '"2mm"', '"keep"')),
    ("unknown measurement", changed(GOOD, "outputs.segments.0.measurements", ["volumes"]), ("measurements[0]",
     '"volumes"', '"volume"')),
    ("no segments", changed(GOOD, "outputs.segments", []), ("outputs", "at least one of segments")),
    ("no input guard", changed(GOOD, "guards.input", []), ("guards.input",)),
    ("connectivity", changed(EVERY_STEP, "postprocessing.1.connectivity", 8), ("postprocessing[1].connectivity", "8")),
    ("interpolation", changed(EVERY_STEP, "preprocessing.1.interpolation", "quintic"), ("interpolation", "\"quintic\"",
     '"linear"')),
    ("no scheme", changed(GOOD, "outputs.segments.0.type.scheme", None), ("segments[0].type.scheme: missing",)),
    ("laterality as text", changed(GOOD, "outputs.segments.0.laterality", "left"), ("laterality", '"left"')),
    ("rank", changed(GOOD, "inference.net.input.shape", ["N", 1]), ("inference.net.input.shape",)),
    ("bounds without a bound", changed(GOOD, "input.slices", {}), ("input.slices", "minimum")),
    ("condition without a test", changed(GOOD, "input.conditions.0", {"attribute": "Modality"}), ("conditions[0]",
     "exactly one of")),
    ("two tests", changed(GOOD, "input.conditions.0.one_of", ["A"]), ("conditions[0]", "exactly one of")),
    ("no attribute", changed(GOOD, "input.conditions.0.attribute", "body part"), ("conditions[0].attribute",
     '"body part"')),
]  # fmt: skip

_CORE = {**GOOD["outputs"]["segments"][0], "number": 2, "channel": 0, "label": "Core", "tracking_identifier": "AI core"}
_INNER_LAST = [{"step": "softmax"}, {"step": "last_above", "value": 0.5}]
NESTED = changed(changed(GOOD, "outputs.segments.1", _CORE), "outputs.segments.0.contains", ["Core"])
NESTED = changed(NESTED, "postprocessing", _INNER_LAST)

# What only the code can see: keys that must agree with each other.
WRONG_SENSE: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("unknown attribute", changed(GOOD, "input.conditions.0.attribute", "BodyPartExamind"), ('"BodyPartExamind"',
     'nearest known one is "BodyPartExamined"')),
    ("regular expression", changed(GOOD, "input.conditions.0", {"attribute": "Modality", "matches": "(("}),
     ("conditions[0].matches", "regular expression")),
    ("unlisted weights", changed(GOOD, "inference.net.weights", "mian"), ('"mian"', 'nearest known one is "main"')),
    ("unused weights", changed(GOOD, "weights.1", {"id": "more", "file": "b.onnx", "sha256": "b" * 64}), ('"more"',
     "no net uses")),
    ("weights twice", changed(GOOD, "weights.1", GOOD["weights"][0]), ("listed twice",)),
    ("no decision", changed(GOOD, "postprocessing", [{"step": "softmax"}]), ("exactly one argmax or threshold",)),
    ("two decisions", changed(GOOD, "postprocessing", [{"step": "argmax"}, {"step": "argmax"}]), ("found 2",)),
    ("scores after decision", changed(GOOD, "postprocessing", [{"step": "argmax"}, {"step": "softmax"}]),
     ("postprocessing[1]", "softmax", "before argmax")),
    ("mask before decision", changed(GOOD, "postprocessing", [{"step": "fill_holes"}, {"step": "argmax"}]),
     ("postprocessing[0]", "fill_holes", "after argmax")),
    ("channel", changed(GOOD, "outputs.segments.0.channel", 2), ("outputs.segments[0]", "channel 2", "has 2")),
    ("number", changed(GOOD, "outputs.segments.0.number", 2), ("outputs", "numbered 1, 2, 3", "[2]")),
    ("contains what is not there", changed(GOOD, "outputs.segments.0.contains", ["Core"]), ("outputs", '"Core"',
     "no segment")),
    ("contains itself", changed(NESTED, "outputs.segments.1.contains", ["Lung"]), ("outputs",
     '"Lung" contains itself')),
    ("counted twice", changed(NESTED, "guards.result.0.segments", ["Lung", "Core"]), ("guards.result[0]", "Lung, Core",
     "twice")),
    ("guard without segment", changed(GOOD, "guards.result.0.segments", ["Lungs"]), ("guards.result[0]", '"Lungs"',
     '"Lung"')),
    ("unlisted threshold", changed(THRESHOLD, "postprocessing.1.threshold", "cutt"), ('"cutt"', '"cut"')),
    ("unused threshold", changed(GOOD, "thresholds", THRESHOLD["thresholds"]), ('"cut"', "no step uses it")),
    ("threshold default", changed(THRESHOLD, "thresholds.0.default", 0.95), ("thresholds[0]", "0.95", "0.1 to 0.9")),
    ("threshold and value", changed(THRESHOLD, "postprocessing.1.value", 0.5), ("postprocessing[1]", "either")),
    ("nothing kept", changed(CASCADE, "inference.segmenter.preprocessing.0.kept", "rnge"), ('"rnge"', '"range"')),
    ("bounds in disorder", changed(GOOD, "input.slices", {"minimum": 9, "maximum": 3}), ("input.slices", "above")),
    ("clip in disorder", changed(EVERY_STEP, "preprocessing.4.upper", -2000.0), ("preprocessing[4]", "below upper")),
    ("axes", changed(GOOD, "preprocessing.0.axes", "SPX"), ("preprocessing[0].axes", '"SPX"', '"RAS"')),
    ("axes twice", changed(GOOD, "preprocessing.0.axes", "LRS"), ("preprocessing[0].axes", '"LRS"')),
    ("mode and rank", changed(GOOD, "inference.mode", "volume"), ("inference",)),
]  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schema_is_the_one_that_reads_manifests(tmp_path: Path) -> None:
    published = ROOT / "docs" / "schema" / FILE_NAME
    assert published.read_text(encoding="utf-8") == schema_text(), (
        "run worker.inference.manifest.schema.write_schema(docs/schema)"
    )
    assert json.loads(write_schema(tmp_path).read_text(encoding="utf-8"))["title"] == "Manifest"


@pytest.mark.parametrize(
    "data", [GOOD, NESTED, CASCADE, THRESHOLD, EVERY_STEP, EVERY_GUARD, package_data("b" * 64, mode="volume")]
)
def test_good_manifests_pass_both(data: dict[str, Any], validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(data)
    assert manifest_of(data) == parse_manifest(to_toml(data).encode())


@pytest.mark.parametrize(("data", "said"), [case[1:] for case in WRONG_FORM], ids=[case[0] for case in WRONG_FORM])
def test_wrong_form_is_refused_by_both(
    data: dict[str, Any], said: tuple[str, ...], validator: jsonschema.Draft202012Validator
) -> None:
    assert not validator.is_valid(data)
    explained(data, said)


@pytest.mark.parametrize(("data", "said"), [case[1:] for case in WRONG_SENSE], ids=[case[0] for case in WRONG_SENSE])
def test_what_does_not_agree_is_refused(data: dict[str, Any], said: tuple[str, ...]) -> None:
    explained(data, said)


def explained(data: dict[str, Any], said: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_manifest(to_toml(data).encode())
    assert caught.value.code == "manifest-invalid"
    assert caught.value.next_step
    for part in said:
        assert part in caught.value.message


def test_all_problems_are_said_at_once() -> None:
    data = changed(changed(changed(GOOD, "inference.batch", "8"), "package.title", None), "limts", ["x"])
    with pytest.raises(ConfigurationError) as caught:
        manifest_of(data)
    assert caught.value.message.startswith("manifest.toml has 3 problems:")
    assert len(caught.value.message.splitlines()) == 4


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_what_is_not_toml_is_named_so(content: bytes) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_manifest(content)
    assert caught.value.code == "manifest-not-toml"


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_infinity_is_no_bound(value: float) -> None:
    with pytest.raises(ConfigurationError):
        manifest_of(changed(EVERY_STEP, "preprocessing.4.upper", value))


def test_the_input_contract_becomes_routing_conditions() -> None:
    manifest = manifest_of(GOOD)
    assert manifest.input.to_conditions() == (
        routing.OneOf("Modality", ("CT",)),
        routing.Between("slice_count", 2.0, 100.0),
        routing.Between("slice_spacing_mm", None, 7.0),
        routing.NoneOf("BodyPartExamined", ("HEAD",)),
    )


@pytest.mark.parametrize("path", SHIPPED, ids=[path.parent.name for path in SHIPPED])
def test_shipped_manifests_are_good_and_their_codes_are_of_the_standard(
    path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    manifest = parse_manifest(path.read_bytes())
    assert path.parent.name == manifest.package.name
    validator.validate(tomllib.loads(path.read_text(encoding="utf-8")))
    for segment in manifest.outputs.segments:
        for code in (segment.category, segment.type, segment.laterality, manifest.algorithm.family):
            if code is not None:
                assert _in_dictionary(code.scheme, code.value, code.meaning), code


def _in_dictionary(scheme: str, value: str, meaning: str) -> bool:
    dictionary = getattr(codes, scheme)
    return any(
        (one.value, one.meaning) == (value, meaning) for name in dictionary.dir() if (one := getattr(dictionary, name))
    )


def test_manifests_are_frozen() -> None:
    manifest = manifest_of(GOOD)
    assert isinstance(manifest, Manifest)
    with pytest.raises(ValueError, match="frozen"):
        manifest.schema_version = 1  # type: ignore[misc]
