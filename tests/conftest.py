"""Shared by the whole suite: which real servers are here, and that nothing is skipped where nothing may be."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.triton_server import SERVER
from worker.observe import logs

# dciodvfy, segimage2itkimage and others come with Python packages: they lie beside the interpreter, which need not be
# activated to run the suite. Behind the system's, because pynetdicom brings a storescp of its own that is not DCMTK's.
os.environ["PATH"] = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"


# Thousands of collected tests are a million objects, which stay to the end of a run. Python would look through all of
# them for garbage again and again: a tenth of the time went there.
gc.set_threshold(50_000, 10, 10)


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


SHARED_FOLDERS = ("tests/integration/importing/",)
"""Whose files share what takes long to make (trained nets): one worker runs them all."""


def _missing() -> list[str]:
    return sorted(name for name, present in TOOLS.items() if not present())


def pytest_configure() -> None:
    """In CI nothing is left out: it fails instead."""
    if os.environ.get("TESTS_NO_SKIP") and (missing := _missing()):
        raise pytest.UsageError(f"nothing may be skipped here, but these are missing: {', '.join(missing)}")


def pytest_report_header() -> list[str]:
    """Say what is left out: workers of xdist keep it to themselves."""
    missing = _missing()
    return [f"left out, because these are not here: tests marked {', '.join(missing)}"] if missing else []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a server that is not here; several workers begin with what takes long."""
    missing = _missing()
    left_out = {item for item in items if any(item.get_closest_marker(name) for name in missing)}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What is there now is no garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file goes to one worker, whole: its tests share servers and fixtures. Files go in the order of the items."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            shared = (folder for folder in SHARED_FOLDERS if nodeid.startswith(folder))
            return next(shared, super()._split_scope(nodeid))

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test is a failure where nothing may be skipped. Of xdist, only the controller has a reporter."""
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
