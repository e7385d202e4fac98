"""The report that a package says the same as the framework that trained it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError
from worker.domain.findings import is_any
from worker.importing.parity.cost import Cost

TARGET_DICE = 0.999
TARGET_DIFFERENCE = 1e-3
"""Of scores, and of values that a net is shown: of the largest of them, if that is above 1."""
TARGET_DIFFERENCE_HALF = 2e-2
FILE = "parity.json"
NOTHING_FOUND = "Neither finds anything in the case that was given: compare again on another one."


@dataclass(frozen=True, slots=True)
class NetParity:
    """One ONNX file against the framework's net, on the same input.

    ``largest_difference`` is that of any score of the channel; ``largest_score`` is the framework's, to compare with.
    ``half``: the net answers in half precision.
    """

    weights: str
    channel: int
    largest_difference: float
    largest_score: float
    half: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the difference is what the order of arithmetic explains."""
        target = TARGET_DIFFERENCE_HALF if self.half else TARGET_DIFFERENCE
        return self.largest_difference <= target * max(1.0, self.largest_score)


@dataclass(frozen=True, slots=True)
class ClassParity:
    """One class on one case: voxels that each says, voxels that differ, and Dice (1 when both say nothing)."""

    label: str
    voxels_framework: int
    voxels_package: int
    voxels_different: int
    dice: float


@dataclass(frozen=True, slots=True)
class Parity:
    """Everything that was compared. ``versions`` name the framework and the libraries that ran.

    ``made_up``: the case is a made-up volume, and a stand-in answered in the place of the net.
    ``prepared_difference`` is the largest of the values that a net was shown, over the range of them: infinite where
    their number differs, None where they were not compared. The costs are those of the way from the image to the
    labels on its grid, on this machine, once each.
    """

    framework: str
    versions: Mapping[str, str]
    nets: tuple[NetParity, ...]
    case_shape: tuple[int, ...] = ()
    case_spacing_mm: tuple[float, ...] = ()
    classes: tuple[ClassParity, ...] = ()
    framework_cost: Cost | None = None
    package_cost: Cost | None = None
    made_up: bool = False
    prepared_difference: float | None = None
    target_dice: float = TARGET_DICE

    @property
    def lowest_dice(self) -> float | None:
        """Of all classes that either says; None without a case, or when neither finds anything."""
        found = [one.dice for one in self.classes if one.voxels_framework or one.voxels_package]
        return min(found, default=None)

    @property
    def costs(self) -> str:
        """Both costs in a sentence; empty when no case was compared."""
        if self.framework_cost is None or self.package_cost is None:
            return ""
        ratio = self.package_cost.seconds / max(self.framework_cost.seconds, 0.01)
        return (
            f"{_cost('The package', self.package_cost)}, {_cost(self.framework, self.framework_cost)}: "
            f"{ratio:.2f} times its seconds."
        )

    @property
    def overall_dice(self) -> float | None:
        """Of all classes together; None as ``lowest_dice``."""
        total = sum(one.voxels_framework + one.voxels_package for one in self.classes)
        both = sum(one.dice * (one.voxels_framework + one.voxels_package) for one in self.classes)
        return both / total if total else None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None when no case was compared, or nothing was found in it.

        The classes of a made-up volume may be a handful of voxels each (one for each of a hundred organs): there
        all together count.
        """
        found = self.overall_dice if self.made_up else self.lowest_dice
        return None if found is None else found >= self.target_dice

    @property
    def problem_of_nets(self) -> str:
        """Which score differs; empty where none does."""
        for net in self.nets:
            if not net.agrees:
                return f"a score of {net.weights}, channel {net.channel}, differs by {net.largest_difference:.2e}"
        return ""

    @property
    def problem(self) -> str:
        """Why the package is not proven to say what the framework says; empty when it is."""
        if self.problem_of_nets:
            return self.problem_of_nets
        if self.prepared_difference is not None and not self.prepared_difference <= TARGET_DIFFERENCE:
            how = "are others in number" if np.isinf(self.prepared_difference) else f"differ by {self._percent} %"
            return f"the values that the net is shown {how}"
        if self.reached is False:
            worst = min(self.classes, key=lambda one: one.dice)
            return f"Dice of {worst.label} is {worst.dice:.4f}, below {self.target_dice}"
        return "" if self.reached else "no case was compared in which anything was found"

    @property
    def _percent(self) -> str:
        return f"{100 * (self.prepared_difference or 0.0):.2g}"

    @property
    def where(self) -> str:
        """On what was compared, in words."""
        return "a made-up volume" if self.made_up else "the case"


def require(parity: Parity) -> None:
    """Raise ConfigurationError (``parity-missed``) when a package is not proven to say what the framework says."""
    _refuse(parity, parity.problem)


def require_nets(parity: Parity) -> None:
    """The same of weights alone: nobody has said what must happen before and after them."""
    _refuse(parity, parity.problem_of_nets)


def _refuse(parity: Parity, problem: str) -> None:
    if problem:
        raise ConfigurationError(
            f"The package and {parity.framework} differ on {parity.where}: {problem}.",
            next_step=(
                "Nothing was written. docs/import-a-model.md says where a few voxels of a case may differ; all else is "
                "a defect of the import: report it with the model's configuration."
            ),
            code="parity-missed",
        )


def worst(one: Sequence[NetParity], other: Sequence[NetParity]) -> tuple[NetParity, ...]:
    """Of two comparisons of the same nets the larger difference of each channel."""
    return tuple(max(pair, key=lambda net: net.largest_difference) for pair in zip(one, other, strict=True))


def difference(framework: NDArray[np.float32], package: NDArray[np.float32]) -> float:
    """The largest difference of two arrays, over the range of the first; infinite where their shapes differ."""
    if framework.shape != package.shape:
        return float("inf")
    span = float(framework.max() - framework.min())
    return float(np.abs(framework - package).max()) / max(span, 1e-6)


def _cost(who: str, cost: Cost) -> str:
    memory = "" if cost.peak_mb is None else f" and at most {cost.peak_mb} MB more than before"
    return f"{who} took {cost.seconds:.2f} s{memory}"


def compare_scores(framework: NDArray[np.float32], package: NDArray[np.float32], *, weights: str) -> list[NetParity]:
    """The largest difference in each channel; both answers have the shape (batch, channel, ...)."""
    return [
        NetParity(
            weights,
            channel,
            float(np.abs(framework[:, channel] - package[:, channel]).max()),
            float(np.abs(framework[:, channel]).max()),
        )
        for channel in range(framework.shape[1])
    ]


def compare_labels(
    framework: NDArray[np.integer[Any]], package: NDArray[np.integer[Any]], *, structures: Mapping[str, tuple[int, ...]]
) -> list[ClassParity]:
    """Both (slice, row, column), with the same numbers; which of them are part of each structure."""
    found = []
    for label, numbers in structures.items():
        one, other = is_any(framework, numbers), is_any(package, numbers)
        both, total = int((one & other).sum()), int(one.sum()) + int(other.sum())
        dice = 2 * both / total if total else 1.0
        found.append(ClassParity(label, int(one.sum()), int(other.sum()), int((one ^ other).sum()), dice))
    return found


def write_report(parity: Parity, folder: Path) -> Path:
    """``parity.json`` in the package folder."""
    data = {
        **asdict(parity), "lowest_dice": parity.lowest_dice, "reached": parity.reached,
    }  # fmt: skip
    path = folder / FILE
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return path


STAND_IN = (
    "No net has learned from such an image: in the place of the one that is compared above, a stand-in answered that "
    "follows the values it is shown. How good the model is on images of patients is not shown."
)
_CASE = {False: "a case", True: "a made-up volume"}
_STAND_IN = {
    False: ", from the image to the labels on its grid:",
    True: f" (oblique coronal slices), from the image to labels on its grid. {STAND_IN}",
}


ALONE = (
    "Of weights alone nobody has said what must happen before and after the net: the way from an image to a finding "
    "could not be compared, and is yours to test."
)
_WHOSE = {False: "every class", True: "all classes together"}


def as_markdown(parity: Parity) -> str:
    """The report as a section of the package's README."""
    versions = ", ".join(f"{name} {version}" for name, version in parity.versions.items())
    lines = [f"## Parity with {parity.framework}", "", f"Compared with {versions}.", ""]
    lines += _table(
        ("weights", "channel", "largest difference of a score", "largest score"),
        [(n.weights, n.channel, f"{n.largest_difference:.2e}", f"{n.largest_score:.3g}") for n in parity.nets],
    )
    if not parity.classes:
        shape = " x ".join(map(str, parity.case_shape))
        return "\n".join([*lines, "", f"Compared on a part of a made-up volume, as a tensor of {shape}. {ALONE}", ""])
    shape = " x ".join(map(str, parity.case_shape))
    spacing = " x ".join(f"{one:g}" for one in parity.case_spacing_mm)
    lines += ["", f"On {_CASE[parity.made_up]} of {shape} voxels of {spacing} mm{_STAND_IN[parity.made_up]}", ""]
    lines += _table(
        ("class", "voxels, framework", "voxels, package", "different", "Dice"),
        [(c.label, c.voxels_framework, c.voxels_package, c.voxels_different, f"{c.dice:.6f}") for c in parity.classes],
    )
    lines += ["", parity.costs] if parity.costs else []
    if parity.prepared_difference is not None:
        lines += [
            "",
            f"The values that the net is shown differ by at most {parity.prepared_difference:.2e} of their range.",
        ]
    verdict = {None: "Nothing was found in it by either: take another case.", True: "Reached.", False: "NOT reached."}
    return "\n".join(
        [
            *lines,
            "",
            f"Target: Dice of at least {parity.target_dice} for {_WHOSE[parity.made_up]}. {verdict[parity.reached]}",
            "",
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    marks = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return marks + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
