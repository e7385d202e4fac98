"""Why a data set is refused."""

from __future__ import annotations

from typing import Final

from worker.domain.errors import PermanentError

CANNOT_UNDERSTAND: Final = 0xC000
"""DIMSE status of a data set that cannot be understood (PS3.4 Table B.2-1)."""


class ScanError(PermanentError):
    """A data set that is not taken.

    Parameters
    ----------
    message:
        What is wrong, without a byte of the data set.
    code:
        Stable, hyphenated, at most 64 characters: it travels to the peer as Error Comment (0000,0902).
    status:
        DIMSE status: ``DOES_NOT_MATCH`` (A9xx) or ``CANNOT_UNDERSTAND`` (Cxxx).
    """

    def __init__(self, message: str, *, code: str, status: int = CANNOT_UNDERSTAND) -> None:
        super().__init__(
            message,
            next_step="Look at the quarantined copy (`overread jobs` lists it) and send the instance again when fixed.",
            code=code,
        )
        self.status = status
