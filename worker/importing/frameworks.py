"""The frameworks that importers need: found when they are wanted, and kept quiet."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from worker.domain.errors import ConfigurationError

INSTALL = "pip install 'overread[export]'"
"""docs/import-a-model.md says how to do without the CUDA build of torch."""


def need(*names: str) -> tuple[ModuleType, ...]:
    """Import modules of the frameworks.

    Raises ConfigurationError (``export-extra-missing``, ``framework-broken``) with the pip command.
    """
    found = []
    for name in names:
        try:
            with quiet():
                found.append(import_module(name))
        except ImportError as error:
            raise ConfigurationError(
                f"Importing this model needs {error.name or name.partition('.')[0]}, which is not installed here.",
                next_step=f"In an environment of its own (the worker never needs it): {INSTALL}",
                code="export-extra-missing",
            ) from error
        except RuntimeError as error:
            raise ConfigurationError(
                f"{name.partition('.')[0]} cannot be loaded: {str(error).splitlines()[0][:200]}",
                next_step=f"Install the build that fits torch {_version('torch')}: {INSTALL}",
                code="framework-broken",
            ) from error
    return tuple(found)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


@contextmanager
def quiet() -> Iterator[None]:
    """Frameworks print and warn as they go; what matters comes back as a value or an exception."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        warnings.catch_warnings(),
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        yield
