"""The guard that asks a net which region of the body, or which kind of image, the planes show.

Rules on values know air from bone; only something that has seen bodies knows a head from a thigh. The net is one of the
package's weights, pinned like the others, and runs before the model itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from worker.domain.errors import NotApplicableError
from worker.domain.volume import Geometry, Volume
from worker.inference.answers import Ratings
from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image
from worker.inference.modes.slices import in_batches
from worker.inference.steps import PreprocessingStep, preprocess

ClassName = Annotated[str, Field(min_length=1, max_length=64)]


class NetGuard(Strict):
    """A classifier of planes says what the image shows; too little of what is ``wanted`` refuses it.

    Parameters
    ----------
    preprocessing:
        The net's own chain, from the source volume; planes along axis 0 of what it makes are rated one by one.
    net:
        [N, channel, rows, columns] in, logits [N, class] out.
    classes:
        What each channel of the output means, in words for people.
    wanted:
        Those of the classes that the model was made for.
    least_probability:
        Below it a plane counts as unknown, whatever its best class is.
    min_share:
        Least share of the planes that must show something wanted.
    min_mm:
        Least length, along the planes' axis, that must; for images in patient space.
    every_mm:
        Not every slice of the source is looked at, only one in so many mm.
    """

    guard: Literal["net"]
    preprocessing: tuple[PreprocessingStep, ...]
    net: Net
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2, max_length=64)]
    wanted: Annotated[tuple[ClassName, ...], Field(min_length=1)]
    least_probability: Annotated[float, Field(ge=0, lt=1)] = 0.5
    min_share: Annotated[float, Field(gt=0, le=1)] | None = None
    min_mm: Annotated[float, Field(gt=0)] | None = None
    every_mm: Annotated[float, Field(gt=0)] | None = None
    batch: Annotated[int, Field(ge=1, le=256)] = 16

    @model_validator(mode="after")
    def _agrees(self) -> NetGuard:
        if not self.net.rates or len(self.net.input.shape) != 4:
            raise ValueError("a guard's net takes [batch, channel, rows, columns] and answers [batch, class]")
        count = self.net.output.shape[1]
        if isinstance(count, int) and count != len(self.classes):
            raise ValueError(f"the net answers {count} classes; {len(self.classes)} are named")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class is named twice")
        strange = [name for name in self.wanted if name not in self.classes]
        if strange:
            raise ValueError(f'"{strange[0]}" is wanted but is none of the classes {", ".join(self.classes)}')
        if self.min_share is None and self.min_mm is None:
            raise ValueError("state min_share, min_mm or both")
        return self

    def check(self, volume: Volume, run: RunNet) -> None:
        """Raise NotApplicableError (``not-what-it-is-for``) with what the planes show."""
        image = preprocess(self._thinned(volume), self.preprocessing)
        found = in_batches(image, self.net, run, batch=self.batch)
        if not isinstance(found, Ratings):
            raise TypeError("a net that rates planes gives ratings")
        seen = self._seen(found.values)
        wanted = int(np.isin(seen, [self.classes.index(name) for name in self.wanted]).sum())
        share, length_mm = wanted / len(seen), wanted * image.geometry.spacing_mm[0]
        what = " or ".join(self.wanted)
        if self.min_share is not None and share < self.min_share:
            raise self._refusal(seen, f"at least {100 * self.min_share:.0f} % {what} is needed")
        if self.min_mm is not None and volume.in_patient_space and length_mm < self.min_mm:
            raise self._refusal(seen, f"{length_mm:.0f} mm of {what}, and at least {self.min_mm:g} mm are needed")

    def _thinned(self, volume: Volume) -> Image:
        """Keep every n-th slice, so that at most so many are asked about."""
        geometry = volume.geometry
        apart_mm = geometry.spacing_mm[0]
        step = 1 if self.every_mm is None or not volume.in_patient_space else max(1, int(self.every_mm // apart_mm))
        values = volume.voxels[None, ::step]
        affine = geometry.affine_lps @ np.diag([step, 1.0, 1.0, 1.0])
        return Image(values, Geometry((values.shape[1], *geometry.shape[1:]), affine))

    def _seen(self, logits: Float) -> NDArray[np.int64]:
        """The class of each plane, -1 for unknown."""
        exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
        probability = exponent / exponent.sum(axis=1, keepdims=True)
        best = probability.argmax(axis=1)
        return np.where(probability.max(axis=1) >= self.least_probability, best, -1)

    def _refusal(self, seen: NDArray[np.int64], needed: str) -> NotApplicableError:
        shares = [(float((seen == number).mean()), name) for number, name in enumerate(self.classes)]
        shares.append((float((seen == -1).mean()), "nothing that the guard knows"))
        said = ", ".join(f"{100 * share:.0f} % {name}" for share, name in sorted(shares, reverse=True) if share > 0)
        return NotApplicableError(
            f"Of the slices looked at, a net takes {said}; {needed}.",
            next_step="Check that the series shows the body part and the modality that the model was made for.",
            code="not-what-it-is-for",
        )
