"""Nets of torchvision with weights of one's own, as ONNX; also where only its Python part loads."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing.checkpoints import load_checkpoint
from worker.importing.frameworks import need, quiet
from worker.importing.onnx_export import Shape, export

_OPERATORS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
              "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # fmt: skip
"""What torchvision's own import asks for; only detectors run them."""
_declared: list[Any] = []
"""Declarations live as long as this object does."""


def vision_to_onnx(name: str, to: Path, *, weights: Path, classes: int, shape: Shape, trust: bool) -> Any:
    """Write a net of torchvision (classification or segmentation) with weights of one's own as ONNX, and return it.

    Raises
    ------
    ConfigurationError
        ``torchvision-unknown``, ``torchvision-detector``, ``checkpoint-does-not-fit``, and what ``load_checkpoint``,
        ``need`` and ``export`` raise.
    """
    models = vision_models()
    try:
        builder = models.get_model_builder(name)
    except ValueError as error:
        raise _unknown(name, classes) from error
    if builder.__module__.startswith("torchvision.models.detection"):
        raise ConfigurationError(
            f"{name} is a detector: it takes a list of images and answers lists, which this import does not write.",
            next_step="Write boxes, scores and labels with torch.onnx.export, then: models import onnx --family boxes",
            code="torchvision-detector",
        )
    try:
        own = [key for key in ("weights", "weights_backbone") if key in inspect.signature(builder).parameters]
        with quiet():
            net = builder(**dict.fromkeys(own), num_classes=classes).eval()
    except (ValueError, TypeError) as error:
        raise _unknown(name, classes) from error
    try:
        net.load_state_dict(load_checkpoint(weights, trust=trust))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{weights.name} does not fit {name} with {classes} classes.",
            next_step="Correct the name of the net, or --classes.",
            code="checkpoint-does-not-fit",
        ) from error
    answering = _one_answer(net)
    export(answering, to, shape=shape)
    return answering


def vision_models() -> ModuleType:
    """``torchvision.models``.

    torchvision's compiled part fits one build of torch only: what PyPI has for Linux is that of CUDA, and beside torch
    for the CPU it does not load. Classification and segmentation nets need nothing of it, but torchvision's import
    asks for two of its operators: they are declared (without an implementation), and the import is tried again.

    Raises ConfigurationError (``export-extra-missing``, ``framework-broken``).
    """
    (torch,) = need("torch")
    try:
        return need("torchvision.models")[0]
    except ConfigurationError as error:
        if error.code != "framework-broken" or "operator torchvision::" not in error.message:
            raise
    for loaded in [one for one in sys.modules if one.partition(".")[0] == "torchvision"]:
        del sys.modules[loaded]
    if not _declared:
        library = torch.library.Library("torchvision", "DEF")
        for operator in _OPERATORS:
            library.define(operator)
        _declared.append(library)
    return need("torchvision.models")[0]


def _unknown(name: str, classes: int) -> ConfigurationError:
    return ConfigurationError(
        f'torchvision has no net "{name}" of {classes} classes.',
        next_step="torchvision.models.list_models() names them.",
        code="torchvision-unknown",
    )


def _one_answer(net: Any) -> Any:
    """The net with the tensor that counts as its answer: of a segmentation net's table "out"."""
    (torch,) = need("torch")

    class OneAnswer(torch.nn.Module):  # type: ignore[misc, name-defined]
        """The net, and nothing of its training aids."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, image: Any) -> Any:
            found = self.net(image)
            return found["out"] if isinstance(found, Mapping) else found

    return OneAnswer()
