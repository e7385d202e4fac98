"""Custom steps: a package's own Python runs where the model runs, only when the site trusts it, and never unchecked."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.inference.tiny_models import a_volume, package_data, write_package
from worker.domain.errors import ConfigurationError, PermanentError
from worker.domain.findings import Conclusion
from worker.domain.volume import Volume
from worker.inference.manifest.card import markdown
from worker.inference.packages.custom_file import LONGEST_BYTES
from worker.inference.packages.package import load_package
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.custom_code import CustomModules
from worker.inference.runtime.session import SessionCache, SessionSettings
from worker.inference.steps.custom import CustomStep

SOURCE = """
from __future__ import annotations
import dataclasses, os, pathlib
import numpy as np

with pathlib.Path({marker!r}).open("a") as file:
    file.write(f"{{os.getpid()}}\\n")

@dataclasses.dataclass
class Seen:
    spacing_mm: tuple[float, float, float] | None = None

class Steps:
    def __init__(self):
        self.calls = 0

    def darker(self, values, *, spacing_mm, by, planes=()):
        self.calls += 1
        assert self.calls == 1, "state of another run"
        assert values.dtype == np.float32 and values.ndim == 4, values.dtype
        assert isinstance(planes, list)
        assert len(Seen(spacing_mm).spacing_mm) == 3
        return values - by

    def upside_down(self, values, *, spacing_mm):
        return values[::-1].astype(np.float64)

    def only_plane(self, labels, *, spacing_mm, number):
        kept = np.zeros_like(labels)
        kept[number] = labels[number]
        return kept.astype(np.int64)

{more}
"""


def a_package(folder: Path, *, more: str = "", **changes: Any) -> Path:
    """The toy package, whose net says lung below -500, with a file of steps and the keys in ``changes``."""
    folder.mkdir(parents=True)
    source = SOURCE.format(marker=str(folder / "ran"), more="\n".join(f"    {line}" for line in more.splitlines()))
    (folder / "steps.py").write_text(source, encoding="utf-8")
    data = package_data("0" * 64) | {
        "custom": {"file": "steps.py", "sha256": digest_of(folder / "steps.py"), "class_name": "Steps"},
        "preprocessing": [
            {"step": "reorient", "axes": "SPL"},
            {"step": "custom", "method": "darker", "parameters": {"by": 700.0, "planes": [1, 2]}},
        ],
        "postprocessing": [
            {"step": "custom_scores", "method": "upside_down"},
            {"step": "argmax"},
            {"step": "custom_labels", "method": "only_plane", "parameters": {"number": 2}},
        ],
    }
    return write_package(folder, data | changes)


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def trust(folder: Path) -> list[str]:
    return [digest_of(folder / "steps.py")]


def ran(folder: Path) -> list[str]:
    return (folder / "ran").read_text().split() if (folder / "ran").exists() else []


def volume() -> Volume:
    """Soft tissue at 40 with a box of bone at 1000: 700 darker, only the bone stays above -500."""
    voxels = np.full((6, 10, 12), 40.0, np.float32)
    voxels[2:4, 3:7, 5:9] = 1000.0
    return a_volume(voxels)


def predictor(folder: Path) -> tuple[PackagePredictor, Registry]:
    registry = Registry([folder], trusted=trust(folder))
    assert registry.broken == ()
    return PackagePredictor(registry, sessions=SessionCache(SessionSettings(threads=1))), registry


def predict(folder: Path, case: Volume | None = None) -> Conclusion:
    runs, registry = predictor(folder)
    return runs.predict(registry.packages[0].identity, case or volume())


def one_method(body: str) -> str:
    return f"def wrong(self, values, *, spacing_mm):\n{body}"


def test_the_steps_do_what_they_say(tmp_path: Path) -> None:
    case = volume()
    before = case.voxels.copy()
    conclusion = predict(a_package(tmp_path / "toy"), case)
    expected = np.zeros(case.voxels.shape, np.uint8)
    expected[2, 3:7, 5:9] = 1
    np.testing.assert_array_equal(conclusion.findings[0].labels, expected)
    assert conclusion.findings[0].labels.dtype == np.uint8
    np.testing.assert_array_equal(case.voxels, before)
    assert f"custom steps sha256={digest_of(tmp_path / 'toy/steps.py')}" in conclusion.algorithm.parameters


def test_nothing_runs_before_the_model_runs(tmp_path: Path) -> None:
    folder = a_package(tmp_path / "toy")
    runs, registry = predictor(folder)
    package = registry.packages[0]
    package.to_rule()
    runs.algorithm(package.identity)
    markdown(package.manifest, digest=package.identity.digest)
    assert ran(folder) == []
    runs.predict(package.identity, volume())
    runs.predict(package.identity, volume())  # once for the process, with a new object for each run
    assert ran(folder) == [str(os.getpid())]
    assert f"overread_custom_{trust(folder)[0]}" in sys.modules


def test_a_file_that_the_site_does_not_trust(tmp_path: Path) -> None:
    folder = a_package(tmp_path / "toy")
    registry = Registry([folder], trusted=["0" * 64])
    assert registry.packages == ()
    (broken,) = registry.broken
    assert broken.error.code == "custom-not-trusted"
    (digest,) = trust(folder)
    assert digest in broken.error.message
    assert f'trusted = ["{digest}"]' in broken.error.next_step
    assert ran(folder) == []


def refused(folder: Path, code: str, *, trusted: list[str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_package(folder, trusted=trust(folder) if trusted is None else trusted)
    assert caught.value.code == code
    assert caught.value.next_step
    assert ran(folder) == []
    return str(caught.value)


def test_a_file_that_was_changed_is_not_the_trusted_one(tmp_path: Path) -> None:
    folder = a_package(tmp_path / "toy")
    old = trust(folder)
    with (folder / "steps.py").open("a") as file:
        file.write("# harmless\n")
    message = refused(folder, "custom-hash-mismatch", trusted=[*old, *trust(folder)])
    assert old[0] in message
    assert trust(folder)[0] in message


def test_a_file_that_changes_after_the_check_does_not_run(tmp_path: Path) -> None:
    folder = a_package(tmp_path / "toy")
    runs, registry = predictor(folder)
    (folder / "steps.py").write_text("raise SystemExit", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        runs.predict(registry.packages[0].identity, volume())
    assert caught.value.code == "custom-hash-mismatch"


def test_files_that_are_missing_too_long_or_elsewhere(tmp_path: Path) -> None:
    folder = a_package(tmp_path / "toy")
    digests = trust(folder)
    (folder / "steps.py").rename(tmp_path / "elsewhere.py")
    refused(folder, "custom-missing", trusted=digests)
    (folder / "steps.py").symlink_to(tmp_path / "elsewhere.py")
    refused(folder, "custom-outside")
    (folder / "steps.py").unlink()
    (folder / "steps.py").write_bytes(b"#" * (LONGEST_BYTES + 1))
    refused(folder, "custom-too-large")


def again(folder: Path, source: str) -> Path:
    """Another source for a package, with its digest."""
    manifest = (folder / "manifest.toml").read_text(encoding="utf-8")
    before = digest_of(folder / "steps.py")
    (folder / "steps.py").write_text(source, encoding="utf-8")
    (folder / "manifest.toml").write_text(manifest.replace(before, digest_of(folder / "steps.py")), encoding="utf-8")
    return folder


def test_the_check_reads_the_file_without_running_it(tmp_path: Path) -> None:
    folder = a_package(tmp_path / "toy")
    assert "line 2" in refused(again(folder, "\nclass Steps(:\n"), "custom-invalid")
    assert '"Step"' in refused(again(folder, "class Step: pass"), "custom-invalid")
    message = refused(again(folder, "class Steps:\n    def darken(self, values): pass"), "custom-invalid")
    assert '"darker"' in message
    assert '"darken"' in message
    refused(again(folder, "class Steps: " + "(" * 100_000), "custom-invalid")
    again(folder, "class Base: pass\nclass Steps(Base): pass")
    assert load_package(folder, trusted=trust(folder)).custom is not None


def a_cascade(chain: list[dict[str, Any]]) -> dict[str, Any]:
    inference = package_data("0" * 64, mode="volume")["inference"]
    first = {"preprocessing": [], "inference": inference, "channels": [1], "decide": "argmax"}
    second = {"preprocessing": chain, "inference": inference}
    return {"mode": "cascade", "crop_margin_mm": 5.0, "first": first, "second": second}


def a_net_guard(chain: list[dict[str, Any]]) -> dict[str, Any]:
    image = {"name": "image", "shape": ["N", 1, "H", "W"]}
    net = {"weights": "main", "input": image, "output": {"name": "logits", "shape": ["N", 2]}}
    classes = {"classes": ["chest", "other"], "wanted": ["chest"], "min_share": 0.5}
    return {"guard": "net", "preprocessing": chain, "net": net, **classes}


def test_the_manifest_and_its_custom_steps_agree(tmp_path: Path) -> None:
    data = package_data("0" * 64)
    chain = [{"step": "custom", "method": "darker"}]
    custom = {"file": "steps.py", "sha256": "a" * 64, "class_name": "Steps"}
    for changes, said in (
        ({"preprocessing": chain}, "needs [custom]"),
        ({"custom": custom}, "no step calls it"),
        ({"custom": custom, "preprocessing": [{"step": "custom", "method": "__init__"}]}, "preprocessing[0].method"),
        ({"custom": custom, "inference": a_cascade(chain)}, "inference.second.preprocessing[0]: custom steps stand in"),
        (
            {"custom": custom, "guards": {"input": [a_net_guard(chain)]}},
            "guards.input[0].preprocessing[0]: custom",
        ),
        (
            {"custom": custom, "preprocessing": [{"step": "custom", "method": "a", "parameters": {"b": {"c": 1}}}]},
            "preprocessing[0].parameters.b",
        ),
        ({"custom": custom | {"file": "../steps.py"}, "preprocessing": chain}, "custom.file"),
        (
            {"custom": custom, "postprocessing": [{"step": "argmax"}, {"step": "custom_scores", "method": "a"}]},
            "custom_scores works on scores and must come before argmax",
        ),
    ):
        folder = write_package(tmp_path / str(len(list(tmp_path.iterdir()))), data | changes)
        with pytest.raises(ConfigurationError) as caught:
            load_package(folder)
        assert caught.value.code == "manifest-invalid"
        assert said in caught.value.message


def failing(tmp_path: Path, body: str, **changes: Any) -> PermanentError:
    steps = {"preprocessing": [{"step": "custom", "method": "wrong"}], "postprocessing": [{"step": "argmax"}]}
    with pytest.raises(PermanentError) as caught:
        predict(a_package(tmp_path / "toy", more=one_method(body), **(steps | changes)))
    assert caught.value.next_step
    assert "toy-ct" in caught.value.message
    assert "steps.py" in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("np.ones(3)[7]", "custom-step-failed", "IndexError"),
        ("values[:] = 0", "custom-step-failed", "read-only"),
        ("import sys; sys.exit(0)", "custom-step-failed", "SystemExit"),
        ("values.mean()", "custom-step-answer", "expected a numpy array, found NoneType"),
        ("return [[1.0]]", "custom-step-answer", "found list"),
        ("return values[:, :2]", "custom-step-answer", "shape"),
        ("return values[0]", "custom-step-answer", "shape"),
        ("return values[:0]", "custom-step-answer", "shape"),
        ("return values * np.nan", "custom-step-answer", "not finite"),
        ("return values.astype(np.float64) * 1e300", "custom-step-answer", "not finite"),
        ("return values.astype(str)", "custom-step-answer", "floating-point"),
        ("return values.astype(object)", "custom-step-answer", "floating-point"),
    ],
)
def test_a_step_that_fails_or_answers_wrongly(tmp_path: Path, body: str, code: str, said: str) -> None:
    error = failing(tmp_path, f"    {body}")
    assert error.code == code
    assert said in error.message


def test_a_parameter_that_the_method_does_not_know(tmp_path: Path) -> None:
    chain = [{"step": "custom", "method": "wrong", "parameters": {"strength": 1}}]
    error = failing(tmp_path, "    return values", preprocessing=chain)
    assert error.code == "custom-step-failed"
    assert "'strength'" in error.message


def test_the_line_that_failed_is_named(tmp_path: Path) -> None:
    error = failing(tmp_path, "    return np.linalg.inv(\n        np.zeros((2, 3)))")
    lines = (tmp_path / "toy/steps.py").read_text().splitlines()
    assert error.code == "custom-step-failed"
    assert f"steps.py, line {lines.index('        return np.linalg.inv(') + 1}: LinAlgError" in error.message


def test_scores_keep_their_shape(tmp_path: Path) -> None:
    changes = {
        "preprocessing": [],
        "postprocessing": [{"step": "custom_scores", "method": "wrong"}, {"step": "argmax"}],
    }
    error = failing(tmp_path, "    return values[:1]", **changes)
    assert error.code == "custom-step-answer"
    assert "(2, 6, 10, 12)" in error.message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("values + 2", "0 to 1, found 2 to 2"),
        ("values.astype(np.int8) - 1", "found -1 to -1"),
        ("values.astype(np.float32)", "whole numbers"),
        ("values[1:]", "shape"),
    ],
)
def test_labels_keep_their_meaning(tmp_path: Path, answer: str, said: str) -> None:
    steps = [{"step": "argmax"}, {"step": "custom_labels", "method": "wrong"}]
    error = failing(tmp_path, f"    return {answer}", preprocessing=[], postprocessing=steps)
    assert error.code == "custom-step-answer"
    assert said in error.message


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import no_such_library\nclass Steps:\n    def a(self): pass", 1),
        ("class Steps:\n    def a(self): pass\nraise SystemExit", 3),
        ("class Steps:\n    def __init__(self):\n        self.b\n    def a(self): pass", 3),
    ],
)
def test_a_file_that_cannot_be_loaded(tmp_path: Path, source: str, line: int) -> None:
    steps = {"preprocessing": [{"step": "custom", "method": "a"}], "postprocessing": [{"step": "argmax"}]}
    folder = again(a_package(tmp_path / "toy", **steps), source)
    with pytest.raises(PermanentError) as caught:
        predict(folder)
    assert caught.value.code == "custom-not-loadable"
    assert f"steps.py, line {line}: " in caught.value.message


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # other tests of the process may have threads
def test_code_that_was_loaded_before_a_fork_is_refused(tmp_path: Path) -> None:
    folder = a_package(tmp_path / "toy")
    file = load_package(folder, trusted=trust(folder)).custom
    assert file is not None
    modules = CustomModules()
    modules.fresh(file)
    pid = os.fork()
    if pid == 0:  # the child of a parent that should not have run it
        try:
            modules.fresh(file)
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_what_a_step_gives_back_as_it_was_is_a_copy(tmp_path: Path) -> None:
    folder = a_package(tmp_path / "toy", more="def same(self, values, *, spacing_mm):\n    return values[:, ::-1]")
    file = load_package(folder, trusted=trust(folder)).custom
    assert file is not None
    steps = CustomModules().fresh(file)
    values, labels = np.ones((1, 2, 3, 4), np.float32), np.ones((2, 3, 4), np.uint16)
    call = CustomStep(method="same")
    for given, answer in (
        (values, steps.floats(call, values, spacing_mm=(1.0, 1.0, 1.0), same_channels=True)),
        (labels, steps.labels(call, labels, spacing_mm=(1.0, 1.0, 1.0), highest=300)),
    ):
        assert answer.flags.writeable
        assert answer.flags.c_contiguous
        assert answer.dtype == given.dtype
        assert not np.shares_memory(answer, given)


def test_no_byte_code_is_written(tmp_path: Path) -> None:
    folder = a_package(tmp_path / "toy")
    predict(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.toml", "model.onnx", "ran", "steps.py"]
