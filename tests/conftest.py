"""Shared by the whole suite: which real servers are here, and that nothing is skipped where nothing may be."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.triton_server import SERVER
from worker.observe import logs

# dciodvfy, segimage2itkimage and others come with Python packages: they lie beside the interpreter, which need not be
# activated to run the suite. Behind the system's, because pynetdicom brings a storescp of its own that is not DCMTK's.
os.environ["PATH"] = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"


def _postgres() -> bool:
    return any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or shutil.which("initdb") is not None


def _on_path(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in names)


TOOLS: dict[str, Callable[[], bool]] = {
    "orthanc": _on_path("Orthanc"),
    "dcmtk": _on_path("storescp", "storescu", "echoscu", "dsrdump"),
    "redis": _on_path("redis-server"),
    "rabbitmq": _on_path("rabbitmq-server"),
    "postgres": _postgres,
    "triton": SERVER.is_file,
    "pixelmed": lambda: shutil.which("java") is not None and Path("/usr/share/java/pixelmed.jar").exists(),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a server that is not here -- but never in CI, where it fails instead."""
    missing = {name for name, present in TOOLS.items() if not present()}
    if not missing:
        return
    if os.environ.get("TESTS_NO_SKIP"):
        raise pytest.UsageError(f"nothing may be skipped here, but these are missing: {', '.join(sorted(missing))}")
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in missing)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test is a failure where nothing may be skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("TESTS_NO_SKIP") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Settings of the person who runs the tests must not leak into them."""
    saved = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("OVERREAD_")}
    yield
    os.environ.update(saved)


_LOGGERS = {
    name: (one := logging.getLogger(name), one.level, one.propagate, list(one.handlers))
    for name in ("", *logs.SILENCED, *logs.NOISY)
}
"""As they are before any test, or fixture of a whole module, has run a command."""


def _unset_logging() -> None:
    root = logging.getLogger()
    for one, level, propagate, handlers in _LOGGERS.values():
        one.setLevel(level)
        one.propagate = propagate
        if one is not root:
            one.handlers[:] = handlers
    # pytest's own handlers come and go with each phase of a test; only ours may stay behind.
    root.handlers[:] = [one for one in root.handlers if not isinstance(one.formatter, logs.OUR_FORMATTERS)]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that runs inside a test sets up logging for the whole process: not for the next test."""
    _unset_logging()
    filters = list(warnings.filters)
    yield
    _unset_logging()
    warnings.filters[:] = filters  # type: ignore[index]


@pytest.fixture(scope="session")
def sample_cache() -> Path:
    """Where real sample studies are kept between runs."""
    return Path(__file__).resolve().parent.parent / ".cache" / "samples"
