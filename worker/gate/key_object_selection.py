"""Gate checks of every Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010), whatever it selects instances for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from pydicom.dataset import Dataset

from worker.gate.observation_context import OBSERVER, observer_problems
from worker.gate.reading import code_of

DESCRIPTION = "113012"
"""Key Object Description (DCM)."""

_AROUND = OBSERVER + Counter((DESCRIPTION,))


def form_problems(ds: Dataset, title: tuple[str, str], *, otherwise: str) -> Iterator[str]:
    """Yield what is wrong with title, template and root; ``otherwise`` says what another title would mean."""
    if code_of(ds) != title:
        yield f"title {code_of(ds)}, expected {title}: {otherwise}"
    template = ds.ContentTemplateSequence[0]
    if (template.MappingResource, template.TemplateIdentifier) != ("DCMR", "2010"):
        yield "the root does not name template DCMR 2010"
    if (ds.ValueType, ds.ContinuityOfContent) != ("CONTAINER", "SEPARATE"):
        yield "the root is no container with separate content"


def context_problems(ds: Dataset, referring: Collection[str]) -> Iterator[str]:
    """Yield what is wrong beside the items that refer to instances, those of the value types ``referring``."""
    yield from observer_problems(ds)
    if Counter(code_of(item)[0] for item in ds.ContentSequence if item.ValueType not in referring) != _AROUND:
        yield "beside what it names there is more or less than language, observer and description"
