"""The volume of several segments together: of a structure in which others lie."""

from __future__ import annotations

import numpy as np

from tests.unit.inference.tiny_models import a_volume
from worker.inference.outputs.case import Case
from worker.inference.outputs.quantifications import VolumeEntry
from worker.inference.steps.image import Scores

LESION = {"value": "52988006", "scheme": "SCT", "meaning": "Lesion"}


def test_the_volume_of_a_region_is_that_of_all_that_lies_in_it() -> None:
    entry = VolumeEntry.model_validate(
        {
            "by": "volume",
            "label": "Whole",
            "tracking_identifier": "AI Whole",
            "finding": LESION,
            "segments_of": ("Whole without core", "Core"),
            "value": {
                "name": {"value": "118565006", "scheme": "SCT", "meaning": "Volume"},
                "unit": {"ucum": "mL", "meaning": "milliliter"},
                "plausible": {"minimum": 0.0},
            },
        }
    )
    volume = a_volume(np.zeros((2, 3, 4)))
    answer = Scores(np.zeros((2, 2, 3, 4), np.float32), volume.geometry)
    found = entry.conclude(Case(answer, None, volume, {}, {}, {"Whole without core": 2.5, "Core": 1.25, "Other": 9.0}))
    assert found.label == "Whole"
    assert [(one.name.meaning, one.value, one.unit.ucum) for one in found.measurements] == [("Volume", 3.75, "mL")]
