"""OHIF as a person uses it: open a study, double-click a series, answer its question, look at an image."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.viewer.chromium import Chromium, settled
from tests.viewer.screen import Placement

QUIET_S = 3.0
"""After something was loaded, or a question was answered, and no further question has come."""

CONTROLS_PX = 45
"""Height of the icons at the upper and lower edge of a viewport, and width of the scroll bar at its right."""

# OHIF offers its services to scripts as window.services; cornerstone, which draws, stands beside them.
_ACTIVE = """
  const grid = services.viewportGridService.getState();
  const id = grid.activeViewportId;
  const viewport = services.cornerstoneViewportService.getCornerstoneViewport(id);
"""

_STUDY_IS_OPEN = "() => window.services?.displaySetService?.getActiveDisplaySets().length > 0"

_IMAGE_IS_DRAWN = (
    """() => {"""
    + _ACTIVE
    + """
  const canvas = viewport?.getCanvas();
  if (!canvas || canvas.width < 100 || !viewport.getCurrentImageId()) return false;
  const small = document.createElement('canvas');
  small.width = small.height = 64;
  const context = small.getContext('2d');
  context.drawImage(canvas, 0, 0, 64, 64);
  return context.getImageData(0, 0, 64, 64).data.some((value, i) => i % 4 !== 3 && value > 40);
}"""
)

_SERIES = """() => services.displaySetService.getActiveDisplaySets().map(one => ({
  uid: one.displaySetInstanceUID, series: one.SeriesInstanceUID, modality: one.Modality,
  description: one.SeriesDescription, unsupported: Boolean(one.unsupported), hydrated: one.isHydrated === true,
  loaded: one.isLoaded === true,
}))"""

_TILE = """uid => {
  const tile = document.getElementById('thumbnail-' + uid);
  if (!tile) return null;
  tile.scrollIntoView({block: 'center'});
  const box = tile.getBoundingClientRect();
  return {x: box.left + Math.min(60, box.width / 2), y: box.top + Math.min(12, box.height / 2)};
}"""

_BUTTON = """names => {
  const shown = [...document.querySelectorAll('button')].filter(one => one.offsetParent !== null);
  const button = shown.find(one => names.includes(one.innerText.trim()));
  if (!button) return null;
  const box = button.getBoundingClientRect();
  const around = button.closest('[class*=border]') || button.parentElement.parentElement;
  return {x: box.left + box.width / 2, y: box.top + box.height / 2, text: around.innerText};
}"""

_PANEL = """pattern => {
  const button = [...document.querySelectorAll('[data-cy$="-btn"]')]
    .find(one => new RegExp(pattern, 'i').test(one.getAttribute('data-cy')));
  if (!button) return null;
  const box = button.getBoundingClientRect();
  return {x: box.left + box.width / 2, y: box.top + box.height / 2};
}"""

_SHOW = (
    """async (uid, frame) => {"""
    + _ACTIVE
    + """
  const ids = viewport.getImageIds();
  const index = ids.findIndex(one => {
    const instance = cornerstone.metaData.get('instance', one);
    const shown = Number((one.match(/frames\\/(\\d+)/) || [0, 1])[1]);
    return instance?.SOPInstanceUID === uid && (frame === null || shown === frame);
  });
  if (index < 0) return false;
  if (viewport.setImageIdIndex) await viewport.setImageIdIndex(index);
  else for (const one of [index, ids.length - 1 - index]) {
    // A volume is numbered along the eye, its images along their normal.
    await cornerstone.utilities.jumpToSlice(viewport.element, {imageIndex: one});
    if (viewport.getCurrentImageId() === ids[index]) break;
  }
  viewport.render();
  return true;
}"""
)

_SHOWN = (
    """() => {"""
    + _ACTIVE
    + """
  const one = viewport.getCurrentImageId();
  if (!one) return null;
  return {uid: cornerstone.metaData.get('instance', one)?.SOPInstanceUID,
          frame: Number((one.match(/frames\\/(\\d+)/) || [0, 1])[1]), type: viewport.type};
}"""
)

_WINDOW = (
    """(low, high) => {"""
    + _ACTIVE
    + """
  viewport.setProperties({voiRange: {lower: low, upper: high}});
  viewport.render();
}"""
)

# Where the centres of three pixels are on the screen, in CSS pixels: (0, 0), (0, 1), (1, 0) as (row, column).
_PLACEMENT = (
    """() => {"""
    + _ACTIVE
    + """
  const canvas = viewport.getCanvas(), box = canvas.getBoundingClientRect();
  const image = viewport.getCurrentImageId();
  const plane = cornerstone.metaData.get('imagePlaneModule', image);
  const at = (row, column) => {
    let world;
    if (viewport.type === 'stack') {
      world = viewport.getImageData().imageData.indexToWorld([column, row, 0]);
    } else {
      world = [0, 1, 2].map(k => plane.imagePositionPatient[k]
        + plane.rowCosines[k] * plane.columnPixelSpacing * column
        + plane.columnCosines[k] * plane.rowPixelSpacing * row);
    }
    const [x, y] = viewport.worldToCanvas(world);
    return [x + box.left, y + box.top];
  };
  return {first: at(0, 0), column: at(0, 1), row: at(1, 0),
          box: [box.left, box.top, box.right, box.bottom]};
}"""
)

_TEXTS = """() => ({
  drawn: [...document.querySelectorAll('[data-cy=viewport-pane] svg.svg-layer text')]
    .map(one => [...one.querySelectorAll('tspan')].map(part => part.textContent).join(' ') || one.textContent),
  viewport: [...document.querySelectorAll('[data-cy=viewport-pane]')].map(one => one.innerText).join(' '),
  rows: [...document.querySelectorAll('[data-cy=data-row]')].map(one => one.innerText.replace(/\\s+/g, ' ')),
  page: document.body.innerText,
})"""

# Words and the lines that lead to them are in the colour of what they belong to: they would count as outline. So would
# those in the corners of the viewport, which are not quite grey.
_WORDS = """hidden => {
  document.getElementById('words-of-test')?.remove();
  if (!hidden) return;
  const style = document.createElement('style');
  style.id = 'words-of-test';
  style.textContent = 'svg.svg-layer text, svg.svg-layer line[stroke-dasharray="2,3"],'
    + ' [data-cy^="viewport-overlay-"], div:has(> [data-cy="cine-player-close"]) { visibility: hidden !important; }';
  document.head.append(style);
}"""

_SEGMENTS = """() => services.segmentationService.getSegmentations().flatMap(
  one => Object.values(one.segments || {}).filter(Boolean).map(segment => segment.label))"""

_MEASURED = """() => services.displaySetService.getActiveDisplaySets().flatMap(one => (one.measurements || []).map(
  found => ({loaded: found.loaded === true, tracking: found.TrackingUniqueIdentifier,
             labels: (found.labels || []).map(each => `${each.label} ${each.value}`)})))"""

_NO_TOUR = """() => localStorage.setItem('shownTours', JSON.stringify(
  ['basicViewerTour', 'tmtvTour', 'segmentationTour', 'studyListTour']))"""


@dataclass(frozen=True)
class Words:
    """What can be read: beside measurements (``drawn``), in the viewport, in the rows of the panel, anywhere."""

    drawn: tuple[str, ...]
    viewport: str
    rows: tuple[str, ...]
    page: str


class Viewer:
    """One study in OHIF."""

    def __init__(self, browser: Chromium, url: str) -> None:
        self._browser = browser
        self._url = url
        self.prompts: list[str] = []

    def open(self, study_instance_uid: str) -> None:
        """Open a study with nothing left of an earlier one; waits until its first image is drawn."""
        self.prompts.clear()
        self._browser.goto(f"{self._url}/viewer?StudyInstanceUIDs={study_instance_uid}")
        self._browser.wait(_STUDY_IS_OPEN, what="the study is listed")
        self._browser.evaluate(_NO_TOUR)
        self._browser.wait(_IMAGE_IS_DRAWN, what="the first image is drawn")
        if button := self._browser.evaluate(_BUTTON, ["Skip all", "Skip"]):
            self._browser.click(button["x"], button["y"])

    def series(self) -> list[dict[str, Any]]:
        """What the study browser lists."""
        found: list[dict[str, Any]] = self._browser.evaluate(_SERIES)
        return found

    def load(self, series_instance_uid: str, *, patience_s: float = 40.0) -> None:
        """Double-click a series and say yes to whatever is asked, until nothing is asked any more.

        Of a segmentation OHIF always asks, and its segments are there some time after the answer.
        """
        (one,) = [found for found in self.series() if found["series"] == series_instance_uid]
        is_segmentation = one["modality"] == "SEG"
        if is_segmentation:
            patience_s *= 3
        tile = self._browser.wait(_TILE, one["uid"], what="the series has a tile")
        time.sleep(0.3)  # the list scrolls
        tile = self._browser.evaluate(_TILE, one["uid"])
        self._browser.click(tile["x"], tile["y"], times=2)
        ends, last_prompt_s = time.monotonic() + patience_s, None
        while time.monotonic() < ends:
            if button := self._browser.evaluate(_BUTTON, ["Yes", "Hydrate"]):
                self.prompts.append(button["text"])
                self._browser.click(button["x"], button["y"])
                last_prompt_s = time.monotonic()
                time.sleep(0.5)
                continue
            now = [found for found in self.series() if found["series"] == series_instance_uid]
            if self.crashed() or not now or now[0]["unsupported"]:
                break
            if now[0]["loaded"] and last_prompt_s is None and not is_segmentation:
                last_prompt_s = time.monotonic()
            is_quiet = last_prompt_s is not None and time.monotonic() - last_prompt_s > QUIET_S
            if is_quiet and (not is_segmentation or self.segments()):
                break
            time.sleep(0.3)

    def panel(self, name: str) -> None:
        """Open a panel of the right-hand side by a part of its name, where there is one."""
        if button := self._browser.evaluate(_PANEL, name):
            self._browser.click(button["x"], button["y"])

    def show(self, sop_instance_uid: str, frame_number: int | None = None) -> None:
        """Scroll to an image."""
        # A viewport is made anew when a result is laid over it.
        self._browser.wait(_SHOW, sop_instance_uid, frame_number, what="the image is in the viewport")
        self._browser.wait(
            """(uid, frame) => { const now = ("""
            + _SHOWN
            + """)(); return now && now.uid === uid && (frame === null || now.frame === frame); }""",
            sop_instance_uid,
            frame_number,
            what="the image is shown",
        )

    def shown(self) -> dict[str, Any]:
        """SOP Instance UID, frame number and kind of viewport of what is shown."""
        found: dict[str, Any] = self._browser.evaluate(_SHOWN)
        return found

    def window(self, low: float, high: float) -> None:
        """Set the grey levels (modality values)."""
        self._browser.evaluate(_WINDOW, low, high)

    def placement(self) -> Placement:
        """Where the pixels of the image that is shown are on the screen."""
        found = self._browser.evaluate(_PLACEMENT)
        first, column, row = (np.array(found[key]) for key in ("first", "column", "row"))
        left, top, right, bottom = (round(value) for value in found["box"])
        free = (top + CONTROLS_PX, bottom - CONTROLS_PX), (left, right - CONTROLS_PX)
        return Placement(first, row - first, column - first, *free)

    def picture(self) -> NDArray[np.uint8]:
        """The screen, once nothing moves on it any more: (row, column, RGB)."""
        self._browser.move_mouse(5, 5)
        return settled(self._browser.screenshot)

    def picture_without_words(self) -> NDArray[np.uint8]:
        """The same without texts, the lines that lead to those of measurements, and the bar that plays a run."""
        self._browser.evaluate(_WORDS, True)
        try:
            return self.picture()
        finally:
            self._browser.evaluate(_WORDS, False)

    def words(self) -> Words:
        found = self._browser.evaluate(_TEXTS)
        return Words(tuple(found["drawn"]), found["viewport"], tuple(found["rows"]), found["page"])

    def segments(self) -> list[str]:
        """Labels of the segments that are loaded."""
        found: list[str] = self._browser.evaluate(_SEGMENTS)
        return found

    def measurements(self) -> list[dict[str, Any]]:
        """The measurements of all reports that were loaded."""
        found: list[dict[str, Any]] = self._browser.evaluate(_MEASURED)
        return found

    def crashed(self) -> bool:
        """True when OHIF shows its page for crashes, or none at all."""
        return bool(self._browser.evaluate("() => /Something went wrong/.test(document.body.innerText)"))

    @property
    def problems(self) -> list[str]:
        return list(self._browser.problems)
