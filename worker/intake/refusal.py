"""Why an instance is refused, and the DIMSE status that says so (PS3.4 Table B.2-1, PS3.7 Annex C)."""

from __future__ import annotations

from typing import Final

from worker.domain.errors import PermanentError

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
UNRECOGNIZED_OPERATION: Final = 0x0211
OUT_OF_RESOURCES: Final = 0xA700
DOES_NOT_MATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000


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
