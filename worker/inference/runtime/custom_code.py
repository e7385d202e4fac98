"""Running the steps that a package brings itself. Loaded in the process that runs the model, and nowhere else."""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import PermanentError
from worker.inference.image import Float
from worker.inference.packages.custom_file import CustomFile
from worker.inference.steps.custom import CustomStep, Spacing
from worker.inference.steps.decide import Labels

_MAKER = "No result is made. Report it to the maker of the package."


class CustomModules:
    """The loaded files of this process, by content. Nothing is loaded before it is asked for."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._lock = threading.Lock()
        self._pid: int | None = None

    def fresh(self, file: CustomFile) -> LoadedSteps:
        """A new object of the package's class: what one run leaves in it, the next never sees.

        Raises
        ------
        ConfigurationError
            What ``CustomFile.read`` raises.
        PermanentError
            ``custom-not-loadable`` when the file or the class raises.
        RuntimeError
            When a file was loaded before a fork (a bug of the caller: the parent must not run it).
        """
        with self._lock:
            here = os.getpid()
            if self._pid not in (None, here):
                raise RuntimeError(f"Custom steps were loaded in process {self._pid} and asked for in {here}.")
            self._pid = here
            if file.sha256 not in self._modules:
                self._modules[file.sha256] = _load(file)
            module = self._modules[file.sha256]
        try:
            return LoadedSteps(file, getattr(module, file.class_name)())
        except Exception as error:
            raise _not_loadable(file, error) from error

    def __len__(self) -> int:
        return len(self._modules)


class _Bytes(importlib.abc.SourceLoader):
    """Imports exactly the bytes that were hashed: the file is not opened again, and no byte code is kept."""

    def __init__(self, content: bytes, filename: str) -> None:
        self._content = content
        self._filename = filename

    def get_filename(self, fullname: str) -> str:
        """The name that tracebacks show for the package's file."""
        del fullname
        return self._filename

    def get_data(self, path: str | Path) -> bytes:
        """The source; there is nothing else to read."""
        if str(path) != self._filename:
            raise OSError(f"{path} is not read")
        return self._content


def _load(file: CustomFile) -> ModuleType:
    name = f"overread_custom_{file.sha256}"
    loader = _Bytes(file.read(), str(file.path))
    spec = importlib.util.spec_from_loader(name, loader)
    if spec is None:
        raise RuntimeError("a loader of ours always gives a specification")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and typing look there
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, SystemExit) and _line(error.__traceback__, file) is None:
            raise  # somebody else ends this process
        raise _not_loadable(file, error) from error
    return module


class LoadedSteps:
    """An object of the package's class, for one run."""

    def __init__(self, file: CustomFile, steps: object) -> None:
        self._file = file
        self._steps = steps

    def floats(self, step: CustomStep, values: Float, *, spacing_mm: Spacing, same_channels: bool) -> Float:
        """Call with float32 (channel, a, b, c), get float32 of the same shape; the number of channels may differ."""
        answer = self._call(step, values, spacing_mm)
        if answer.dtype.kind != "f":
            raise self._wrong(step, f"expected floating-point numbers, found {answer.dtype}")
        same = answer.shape == values.shape
        if not same and (same_channels or answer.ndim != 4 or not len(answer) or answer.shape[1:] != values.shape[1:]):
            wanted = values.shape if same_channels else f"(channels, {', '.join(map(str, values.shape[1:]))})"
            raise self._wrong(step, f"expected the shape {wanted}, found {answer.shape}")
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinity, which is refused
            result: Float = np.array(answer, dtype=np.float32, order="C", copy=_copy(answer, values))
        if not np.isfinite(result).all():
            raise self._wrong(step, "it has values that are not finite numbers (NaN or infinity)")
        return result

    def labels(self, step: CustomStep, labels: Labels, *, spacing_mm: Spacing, highest: int) -> Labels:
        """Call with a label map (a, b, c), get one of the same shape with numbers from 0 to ``highest``."""
        answer = self._call(step, labels, spacing_mm)
        if answer.dtype.kind not in "iu":
            raise self._wrong(step, f"expected whole numbers, found {answer.dtype}")
        if answer.shape != labels.shape:
            raise self._wrong(step, f"expected the shape {labels.shape}, found {answer.shape}")
        low, high = int(answer.min()), int(answer.max())
        if low < 0 or high > highest:
            raise self._wrong(step, f"expected segment numbers from 0 to {highest}, found {low} to {high}")
        if labels.dtype == np.uint8:
            return np.array(answer, dtype=np.uint8, order="C", copy=_copy(answer, labels))
        return np.array(answer, dtype=np.uint16, order="C", copy=_copy(answer, labels))

    def _call(self, step: CustomStep, values: NDArray[Any], spacing_mm: Spacing) -> NDArray[Any]:
        view = values.view()
        view.flags.writeable = False  # it may be the source's own memory: a step returns a new array
        try:
            answer = getattr(self._steps, step.method)(view, spacing_mm=spacing_mm, **_plain(step.parameters))
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            line = _line(error.__traceback__, self._file)
            if isinstance(error, SystemExit) and line is None:
                raise  # somebody else ends this process
            raise PermanentError(
                f"Custom step {step.method} of {self._file.package} failed{_at(self._file, line)}: {_said(error)}.",
                next_step=_MAKER,
                code="custom-step-failed",
            ) from error
        if not isinstance(answer, np.ndarray):
            raise self._wrong(step, f"expected a numpy array, found {type(answer).__name__}")
        return answer

    def _wrong(self, step: CustomStep, what: str) -> PermanentError:
        return PermanentError(
            f"The answer of custom step {step.method} of {self._file.package} ({self._file.path.name}) is refused: "
            f"{what}.",
            next_step=_MAKER,
            code="custom-step-answer",
        )


def _copy(answer: NDArray[Any], given: NDArray[Any]) -> bool | None:
    """True for what it was given, or a view of it, which cannot be written to; else only where it is needed."""
    return np.may_share_memory(answer, given) or None


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}


def _not_loadable(file: CustomFile, error: BaseException) -> PermanentError:
    at = _at(file, _line(error.__traceback__, file))
    return PermanentError(
        f"The custom steps of {file.package} cannot be loaded{at}: {_said(error)}.",
        next_step="The file may use what Overread installs (numpy, scipy) and nothing else. Report it to its maker.",
        code="custom-not-loadable",
    )


def _line(trace: TracebackType | None, file: CustomFile) -> int | None:
    """The last line of the package's file on the way to an error; None when it was not inside."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file.path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _at(file: CustomFile, line: int | None) -> str:
    return f" in {file.path.name}" if line is None else f" in {file.path.name}, line {line}"


def _said(error: BaseException) -> str:
    """An error in one line. The code sees arrays only, so there is nothing of a patient that it could quote."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}".rstrip(" :.") if text else type(error).__name__
