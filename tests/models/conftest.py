"""Model folders are not packages (they ship as data): their scripts are loaded by path."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

MODELS = Path(__file__).resolve().parents[2] / "models"
Run = Callable[[np.ndarray], np.ndarray]


@pytest.fixture
def model_script() -> Iterator[Callable[[str, str], ModuleType]]:
    """Load ``models/<folder>/<name>.py``; its neighbours and ``models/tools`` are importable while the test runs."""
    path_before, modules_before = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(MODELS / "tools"))

    def load(folder: str, name: str) -> ModuleType:
        sys.path.insert(0, str(MODELS / folder))
        spec = importlib.util.spec_from_file_location(f"{folder}.{name}", MODELS / folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    yield load
    sys.path[:] = path_before
    for name in set(sys.modules) - modules_before:
        # Two folders have an export.py: what one test imported must not answer another. Libraries may stay.
        origin = getattr(sys.modules[name], "__file__", None) or ""
        if origin.startswith(str(MODELS)):
            del sys.modules[name]


@pytest.fixture
def onnx_net() -> Callable[[str, str], Run]:
    """An ONNX file of a model folder as a function from one array to one array, on two CPU threads."""

    def load(folder: str, file: str) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # who waits, sleeps
        session = onnxruntime.InferenceSession(MODELS / folder / file, options, providers=["CPUExecutionProvider"])

        def run(image: np.ndarray) -> np.ndarray:
            result: np.ndarray = session.run(None, {"image": np.ascontiguousarray(image, np.float32)})[0]
            return result

        return run

    return load
