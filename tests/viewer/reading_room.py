"""What the tests do in the viewer: open a study with results, look at a slice, compare with what was concluded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from tests import builders
from tests.integration.results import subjects
from tests.unit.results import given
from tests.viewer import album as pictures
from tests.viewer import screen
from tests.viewer.chromium import Chromium
from tests.viewer.pacs import DicomWebPacs
from tests.viewer.viewer import Viewer
from worker.domain.result import EncodedObject


def radiograph_that_can_be_drawn(folder: Path, samples: Path) -> given.Study:
    """The real radiograph without its Pixel Spacing, which is 0, and without its last few rows and columns.

    OHIF draws nothing of an image with a Pixel Spacing of 0. Orthanc 1.10 serves frames of one bit a pixel only when
    their columns are a multiple of eight.
    """
    ds = dcmread(subjects.chest_cr(folder, samples).paths[0])
    pixels = ds.pixel_array[: ds.Rows // 8 * 8, : ds.Columns // 8 * 8]
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = np.ascontiguousarray(pixels).tobytes()
    del ds.PixelSpacing
    return subjects.a_study_of([builders.write(ds, folder / "cr.dcm")])


STUDIES = subjects.SUBJECTS | {"CR": radiograph_that_can_be_drawn}
"""The sample studies, as far as viewers can show them."""

SHORT = ("CT", "MR", "CR")
"""Those of the short form, which CI runs: cross-sections and a projection image."""


def marked(names: Iterable[str]) -> list[Any]:
    """Names of studies as test parameters; those of the short form have the mark for it."""
    return [pytest.param(name, marks=pytest.mark.short) if name in SHORT else name for name in names]


SAME = {"overlap": 0.96, "centroid_off": 1.0, "extent_off": 4.0}
"""How well an overlay has to lie on its mask, in screen pixels: viewers draw a border of 2 to 3 around a segment."""

LINE_PX = 4.0
"""Half the width of a dashed line with its gaps, and of the simplification of outlines by half an image pixel."""


@dataclass(frozen=True, eq=False)
class View:
    """The screen before and after a result was loaded, on the same slice, with where the image is."""

    before: screen.Screen
    after: screen.Screen
    placement: screen.Placement

    def marks(self) -> screen.Marks:
        """What came to the viewport and is coloured."""
        came = screen.changed(self.before, self.after, self.placement)
        return came & screen.coloured(self.after, self.placement)

    def agreement(self, mask: NDArray[np.bool_]) -> screen.Agreement:
        """How well what came lies on a mask (row, column) of the slice."""
        return screen.agreement(self.marks(), screen.expected_marks(mask, self.placement, self.after.shape))


class ReadingRoom:
    """A PACS with one study and a viewer on it."""

    def __init__(self, pacs: DicomWebPacs, browser: Chromium, url: str, *, album: Path | None, folder: Path) -> None:
        self._pacs = pacs
        self._album = album
        self._folder = folder
        self.viewer = Viewer(browser, url)

    def open(self, study: given.Study, results: Iterable[EncodedObject]) -> None:
        """Store the images and the results, and open the study."""
        self._pacs.upload(study.paths)
        self._pacs.upload([one.content for one in results])
        self.viewer.open(str(dcmread(study.paths[0], stop_before_pixels=True).StudyInstanceUID))

    def look_at(self, study: given.Study, index: int) -> None:
        """Scroll to a slice of the volume."""
        ref = study.volume.slices[index]
        self.viewer.show(ref.sop_instance_uid, ref.frame_number)

    def load(self, study: given.Study, results: Sequence[EncodedObject], index: int) -> View:
        """Load results one after the other, and look at the same slice before and after."""
        before = self.seen(study, index)
        for one in results:
            self.viewer.load(str(one.series_instance_uid))
        return self.view(study, index, before)

    def seen(self, study: given.Study, index: int) -> screen.Screen:
        """A slice as it is on the screen now, without words."""
        self.look_at(study, index)
        return self.viewer.picture_without_words()

    def view(self, study: given.Study, index: int, before: screen.Screen) -> View:
        """Look at a slice now; ``before`` is how it was without the results."""
        self.look_at(study, index)
        return View(before, self.viewer.picture_without_words(), self.viewer.placement())

    def keep(self, name: str) -> None:
        """Keep the screen as a screenshot for the documents, when they are wanted; else beside the test."""
        shot = self.viewer.picture()
        pictures.keep(shot, (self._album or self._folder) / f"{name}.jpg")
