"""What the manifests state is what ``evaluate.py`` measured, and the page on the packaged models has it too."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmarks.models import SAMPLES, described
from tests.models.conftest import MODELS
from worker.inference.manifest.card import markdown
from worker.inference.packages.package import load_package
from worker.inference.packages.registry import Registry
from worker.samples.catalog import SAMPLES as CATALOG

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def measured(model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MODELS / model / "evaluation.json").read_text(encoding="utf-8"))
    return found


def stated(model: str) -> dict[str, float]:
    """The first value of each metric by its name."""
    found: dict[str, float] = {}
    for one in load_package(MODELS / model).manifest.evaluation:
        assert one.unseen
        for metric in one.metrics:
            found.setdefault(metric.name, metric.value)
    return found


def test_lungs_on_ct() -> None:
    cases = [one for one in measured("lungs-airways-ct").values() if "dice" in one and one["role"] == "held out"]
    assert len(cases) == 3
    for name, key in (("left lung", "left lung"), ("right lung", "right lung"), ("airways", "airways")):
        mean = statistics.mean(one["dice"][key] for one in cases)
        assert stated("lungs-airways-ct")[f"Dice of the {name}"] == pytest.approx(mean, abs=0.001)


def test_lungs_on_radiographs() -> None:
    found = measured("lungs-cr")["held_out"]["other_exposures"]
    assert stated("lungs-cr") == {
        "Dice of the left lung, mean": found["dice_left_mean"],
        "Dice of the right lung, mean": found["dice_right_mean"],
    }


def test_view_and_tilt() -> None:
    found = measured("chest-view-cr")["held_out"]
    assert list(stated("chest-view-cr").values()) == [
        found["frontal"]["called"]["frontal"],
        found["lateral"]["called"]["lateral"],
        found["other"]["called"]["not known"],
    ]
    tilt = measured("chest-tilt-cr")["held_out"]["tilt"]
    assert list(stated("chest-tilt-cr").values()) == [tilt["mean_absolute_error"], tilt["bias"], tilt["always_zero"]]


def test_body_region() -> None:
    found = measured("body-region-ct")["held_out"].values()
    assert stated("body-region-ct")["slices taken for the right region"] == sum(one["right"] for one in found)
    assert sum(one["labelled"] for one in found) == 135
    assert sum(one["slices"] for one in found) == 155


def test_nodules() -> None:
    found = measured("nodules-chest-ct")
    real = found["real_nodules_never_seen"]["0.85"].values()
    drawn = found["grown_nodules_in_the_same_chests"]["0.85"]
    said = stated("nodules-chest-ct")
    assert said["nodules found"] == sum(one["nodule_found"] for one in real)
    assert said["false candidates per CT"] == statistics.mean(one["false_candidates"] for one in real)
    for size, value in drawn["found"].items():
        assert said[f"drawn nodules of {size} found"] == int(value.split()[0])


def test_every_package_is_measured_and_on_the_page_as_it_states_itself() -> None:
    packages = Registry([MODELS]).packages
    assert {one.identity.name for one in packages} == set(SAMPLES)
    page = PAGE.read_text(encoding="utf-8")
    for package in packages:
        assert package.manifest.evaluation, "state the accuracy on unseen images"
        assert f"| {' | '.join(described(package))} |" in page, "python -m benchmarks.models"
        assert "unseen" in markdown(package.manifest, digest=package.identity.digest)


def test_samples_of_the_table_exist() -> None:
    assert set(SAMPLES.values()) <= set(CATALOG)
