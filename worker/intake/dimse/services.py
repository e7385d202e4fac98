"""What all associations of a listener share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext

from worker.intake.counters import Counters
from worker.intake.dimse.handlers import StorageHandler
from worker.intake.limits import Limits

Handlers = Mapping[evt.EventType, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What all associations of a listener share."""

    ae: ApplicationEntity
    storage: StorageHandler
    counters: Counters
    limits: Limits
    is_storage: Callable[[str], bool]
    extra_contexts: Mapping[str, PresentationContext]
    event_handlers: Handlers
    address: tuple[str, int]
