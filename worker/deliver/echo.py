"""C-ECHO (PS3.4 Annex A as SCU), for ``overread doctor``."""

from __future__ import annotations

import time
from dataclasses import dataclass

from worker.deliver.association import Timeouts, associated, context_for
from worker.domain.errors import OverreadError
from worker.domain.result import Destination

_VERIFICATION = "1.2.840.10008.1.1"


@dataclass(frozen=True, slots=True)
class EchoResult:
    """What came of it. ``code`` is "ok" or the stable name of the failure; ``seconds`` is the whole exchange."""

    destination: str
    ok: bool
    code: str
    detail: str
    next_step: str
    seconds: float
    status: int | None = None


def c_echo(destination: Destination, *, calling_ae_title: str, timeouts: Timeouts | None = None) -> EchoResult:
    """Ask a destination whether it is there; every expected failure becomes part of the answer."""
    limits = timeouts or Timeouts(association_s=10.0, response_s=10.0)
    began = time.monotonic()
    try:
        with associated(
            destination,
            [context_for(_VERIFICATION, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1")],
            calling_ae_title=calling_ae_title,
            timeouts=limits,
        ) as association:
            status = association.status_of(association.raw.send_c_echo, seconds=limits.response_s)
    except OverreadError as error:
        return EchoResult(
            destination=destination.name,
            ok=False,
            code=error.code,
            detail=error.message,
            next_step=error.next_step,
            seconds=time.monotonic() - began,
        )
    if status == 0x0000:
        return EchoResult(
            destination=destination.name,
            ok=True,
            code="ok",
            detail="answers C-ECHO",
            next_step="",
            seconds=time.monotonic() - began,
            status=status,
        )
    detail = "accepted the association but did not answer C-ECHO"
    if status is not None:
        detail = f"answered C-ECHO with status 0x{status:04X}"
    return EchoResult(
        destination=destination.name,
        ok=False,
        code="echo-failed",
        detail=detail,
        next_step="Look into the log of the destination.",
        seconds=time.monotonic() - began,
        status=status,
    )
