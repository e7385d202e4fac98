"""A look into an ONNX file before anything executes it: operators, versions, data outside the file.

The ``onnx`` package belongs to the export extra. What must be known here is little, and the protocol buffer wire format
(field number, wire type, length) is enough to find it without reading a single weight.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from worker.domain.errors import ConfigurationError

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Operator sets of the ONNX standard. Anything else would need a library of operators, which is code."""

LOWEST_OPSET = 7
"""ONNX Runtime promises to run models from this operator set on."""
RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
"""Operators whose answer differs from run to run."""

_DEEPEST = 64
_EXTERNAL = 1

# Message -> field number -> kind of sub-message (onnx.proto3).
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


@dataclass(slots=True)
class OnnxSummary:
    """What a file says of itself."""

    opsets: dict[str, int] = field(default_factory=dict)
    operators: set[tuple[str, str]] = field(default_factory=set)
    """(domain, operator type) of every node, in functions and sub-graphs too."""
    functions: set[str] = field(default_factory=set)
    """Domains of functions that the file itself defines."""
    external: int = 0
    """Number of tensors whose data lie in another file."""
    locations: set[str] = field(default_factory=set)
    """Names of these files."""
    training: int = 0
    """Number of Dropout nodes that are told whether they train: if so, they draw random numbers."""


def summarize(content: bytes) -> OnnxSummary:
    """Read the structure of an ONNX file; raises ConfigurationError (``not-onnx``) when it has none."""
    summary = OnnxSummary()
    try:
        _visit("model", memoryview(content), summary, depth=0)
    except (IndexError, ValueError, RecursionError) as error:
        raise _not_onnx(str(error)) from error
    if not summary.opsets or not summary.operators:
        raise _not_onnx("it has no operator set or no node")
    return summary


def check_hygiene(content: bytes, *, file: str, external: Collection[str] = ()) -> OnnxSummary:
    """Refuse what a model file must not bring.

    ``external`` names the files beside it that the manifest pins by their own SHA-256.

    Raises
    ------
    ConfigurationError
        ``not-onnx``; ``external-data`` (weights outside the file that nothing pins, or that are pinned and not used);
        ``custom-operators`` (operators of a domain that is neither standard nor defined in the file);
        ``opset-unsupported``; ``random-operators``.
    """
    summary = summarize(content)
    unlisted = summary.locations - set(external) if summary.external else set()
    if unlisted or (summary.external and not summary.locations):
        raise ConfigurationError(
            f"{file} keeps {summary.external} tensors in another file, which its SHA-256 does not cover.",
            next_step="Save it as one file: onnx.save_model(model, path, save_as_external_data=False). Or list each "
            "file under external of these weights, with its SHA-256.",
            code="external-data",
        )
    unused = set(external) - summary.locations
    if unused:
        raise ConfigurationError(
            f"The manifest lists external data of {file} that it does not use: {', '.join(sorted(unused))}.",
            next_step="Remove it from external, or export the model again.",
            code="external-data",
        )
    _check_operators(summary, file=file)
    return summary


def _check_operators(summary: OnnxSummary, *, file: str) -> None:
    opset = summary.opsets.get("", summary.opsets.get("ai.onnx", LOWEST_OPSET))
    if opset < LOWEST_OPSET:
        raise ConfigurationError(
            f"{file} is written for operator set {opset}; at least {LOWEST_OPSET} is needed.",
            next_step="Export it anew, for operator set 17 for example.",
            code="opset-unsupported",
        )
    random = sorted({name for domain, name in summary.operators if domain in ALLOWED_DOMAINS} & RANDOM)
    random += ["Dropout with training_mode"] * bool(summary.training)
    if random:
        raise ConfigurationError(
            f"{file} draws random numbers ({', '.join(random)}): two runs would not give the same.",
            next_step="Export the net for inference, without sampling.",
            code="random-operators",
        )
    foreign = sorted({d for d, _ in summary.operators} - ALLOWED_DOMAINS - summary.functions)
    if foreign:
        names = sorted(name for domain, name in summary.operators if domain in foreign)[:5]
        raise ConfigurationError(
            f"{file} uses operators of {', '.join(foreign)} ({', '.join(names)}), which are not part of ONNX.",
            next_step="Export it with standard operators only.",
            code="custom-operators",
        )


def _not_onnx(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The file is not an ONNX model: {why}.", next_step="Export the model again.", code="not-onnx"
    )


def _visit(kind: str, message: memoryview, summary: OnnxSummary, *, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"its graphs are nested deeper than {_DEEPEST}")
    texts: dict[int, str] = {}
    inputs: list[int] = []
    numbers: dict[int, int] = {}
    for number, value in _fields(message):
        if isinstance(value, int):
            numbers[number] = value
        elif number in _MESSAGES.get(kind, {}):
            _visit(_MESSAGES[kind][number], value, summary, depth=depth + 1)
        elif (kind, number) in {("node", 4), ("node", 7), ("opset", 1), ("function", 10), ("entry", 1), ("entry", 2)}:
            texts[number] = bytes(value).decode("utf-8")
        elif (kind, number) == ("node", 1):
            inputs.append(len(value))
    if kind == "entry" and texts.get(1) == "location":
        summary.locations.add(texts.get(2, ""))
    elif kind == "node":
        summary.operators.add((texts.get(7, ""), texts.get(4, "")))
        # The third input of Dropout, where it has a name (https://onnx.ai/onnx/operators/onnx__Dropout.html).
        summary.training += texts.get(4) == "Dropout" and len(inputs) > 2 and inputs[2] > 0
    elif kind == "opset":
        summary.opsets[texts.get(1, "")] = numbers.get(2, 0)
    elif kind == "function":
        summary.functions.add(texts.get(10, ""))
    elif kind == "tensor" and numbers.get(14) == _EXTERNAL:
        summary.external += 1


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field number and value of each field: a whole number, or the bytes of a length-delimited one."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if number == 0 or at + length > end:
            raise ValueError(f"a field at byte {at} reaches beyond its end")
        if wire == 2:
            yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number at byte {at} is too long")
