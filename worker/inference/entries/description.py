"""What a manifest says to people: licence, known bias, measured accuracy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from worker.inference.entries.strict import Strict

Sentence = Annotated[str, Field(min_length=1)]


class Licence(Strict):
    """Under which terms the weights may be used; ``spdx`` is an SPDX identifier or expression."""

    spdx: Sentence
    notice: Sentence


class Bias(Strict):
    """A known bias: ``group`` it concerns (age, sex, vendor, protocol), what is known or not known of it."""

    group: Sentence
    known: Sentence


class Metric(Strict):
    """One measured number: ``name`` (Dice, AUC, mean absolute error), its unit where it has one, of what."""

    name: Sentence
    value: float
    unit: str = ""
    of: str = ""
    low: float | None = None
    high: float | None = None


class Evaluation(Strict):
    """An evaluation: on which images, whether training never saw them, how many cases, what was measured.

    ``low`` and ``high`` of a metric are its 95 % confidence interval, or its range when so few cases allow no more:
    ``note`` says which.
    """

    data: Sentence
    unseen: bool
    cases: Annotated[int, Field(ge=1)]
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)]
    note: str = ""
