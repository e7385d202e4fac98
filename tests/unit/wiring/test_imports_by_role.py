"""A process imports what its role needs: each library costs every process its start, and its memory."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

HEAVY = {"PIL.Image", "celery", "highdicom", "onnxruntime", "pynetdicom", "scipy.ndimage"}


def imported(*modules: str) -> set[str]:
    """Those of the heavy ones that a fresh interpreter has after these imports."""
    program = f"import sys\nimport {', '.join(modules)}\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(ast.literal_eval(done.stdout))


@pytest.mark.parametrize(
    ("modules", "needed"),
    [
        (["worker.wiring.listener"], {"pynetdicom", "PIL.Image"}),
        (["worker.wiring.sweeper", "worker.wiring.background_work"], {"celery", "pynetdicom", "PIL.Image"}),
        (["worker.wiring.workers", "worker.wiring.routing", "worker.wiring.loaded_models"],
         {"celery", "pynetdicom", "PIL.Image"}),
        (["worker.wiring.workers", "worker.wiring.delivery"], {"celery", "pynetdicom", "PIL.Image"}),
    ],
    ids=["listener", "sweeper", "route", "deliver"],
)  # fmt: skip
def test_no_role_but_the_analysis_imports_what_reads_pixels_and_writes_results(
    modules: list[str], needed: set[str]
) -> None:
    """PIL comes with pydicom."""
    assert imported(*modules) == needed


def test_the_analysis_imports_it_before_the_fork() -> None:
    assert {"scipy.ndimage", "highdicom"} <= imported("worker.wiring.workers", "worker.wiring.analysis")
