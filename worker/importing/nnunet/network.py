"""The network of a trained nnU-Net: as the plans and the trainer say, by nnU-Net's own code or with trust."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing.frameworks import need, quiet
from worker.importing.vision import vision_models

_OURS = ("dynamic_network_architectures.", "torch.nn.")
_TRAINERS = "nnunetv2.training.nnUNetTrainer"


def build_network(plans: Any, settings: Any, trainer: str, *, inputs: int, heads: int, trust: bool) -> Any:
    """The network in eval mode.

    Plans may name classes of torch and of nnU-Net only. Trainers that the installed nnU-Net brings build it
    themselves, as for a training; others run code of their own.

    Raises
    ------
    ConfigurationError
        ``architecture-needs-trust`` for others, unless ``trust``; ``architecture-not-built``.
    """
    kwargs = settings.network_arch_init_kwargs
    named = [settings.network_arch_class_name]
    named += [kwargs[key] for key in settings.network_arch_init_kwargs_req_import if kwargs.get(key) is not None]
    foreign = [name for name in named if not str(name).startswith(_OURS)]
    if foreign and not trust:
        raise ConfigurationError(
            f"plans.json names classes that are neither torch's nor nnU-Net's: {', '.join(map(str, foreign))}.",
            next_step="Building them runs their code. If you trust who made it, say so with --trust.",
            code="architecture-needs-trust",
        )
    own = official_trainer(trainer)
    if own is None and not trust:
        raise ConfigurationError(
            f"The model was trained by {trainer}, which the installed nnU-Net does not have: it may have built another "
            "network than its plans say, or trained it on other images.",
            next_step="If plans.json describes the network, say --trust.",
            code="architecture-needs-trust",
        )
    try:
        with quiet():
            builder = _builder(own or _foreign_trainer(trainer), plans, settings)
            return builder(inputs, heads, enable_deep_supervision=False).eval()
    except Exception as error:
        raise ConfigurationError(
            f"{trainer} cannot build its network: {(str(error).splitlines() or [type(error).__name__])[0][:200]}",
            next_step="Install what this trainer needs, or the version of nnU-Net that the model was trained with.",
            code="architecture-not-built",
        ) from error


def official_trainer(name: str) -> Any:
    """The class of this name in the installed nnU-Net, or None. Only the module that defines it is imported.

    Raises ConfigurationError (``architecture-not-built``) when that module needs what is not installed.
    """
    (package,) = need(_TRAINERS)
    folder = Path(package.__path__[0])
    defined = re.compile(rf"^class {re.escape(name)}\b", flags=re.MULTILINE)
    for path in sorted(folder.rglob("*.py")):
        if defined.search(path.read_text(encoding="utf-8")):
            return getattr(_loaded(".".join((_TRAINERS, *path.relative_to(folder).with_suffix("").parts)), name), name)
    return None


def _loaded(module: str, name: str) -> Any:
    try:
        with quiet():
            return import_module(module)
    except RuntimeError:  # torchvision's compiled part, which no network needs
        vision_models()
        with quiet():
            return import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"{name} of nnU-Net needs {error.name}, which is not installed here.",
            next_step=f"Install {error.name}.",
            code="architecture-not-built",
        ) from error


def _foreign_trainer(name: str) -> Any:
    """A trainer from elsewhere (``nnUNet_extTrainer``), where there is one; else the usual one: plans alone count."""
    find, usual = need("nnunetv2.utilities.find_objects", f"{_TRAINERS}.nnUNetTrainer")
    try:
        return find.recursive_find_trainer_class_by_name(name)
    except RuntimeError:
        return usual.nnUNetTrainer


def _builder(trainer: Any, plans: Any, settings: Any) -> Callable[..., Any]:
    """``build_network_architecture`` with what comes before the numbers of channels, in its new or its old form."""
    build = trainer.build_network_architecture
    first: tuple[Any, ...] = (
        settings.network_arch_class_name,
        settings.network_arch_init_kwargs,
        settings.network_arch_init_kwargs_req_import,
    )
    if "plans_manager" in inspect.signature(build).parameters:
        first = (plans, settings)
    return lambda inputs, heads, **options: build(*first, inputs, heads, **options)
