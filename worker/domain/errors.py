"""The three ways in which work can fail, and what happens next.

Anything that is none of these is a bug: it travels up untouched and is recorded as one.
"""

from __future__ import annotations


class OverreadError(Exception):
    """An expected failure.

    Parameters
    ----------
    message:
        What is wrong and what was expected. UIDs may appear; names, IDs and dates of patients must not.
    next_step:
        What a person can do about it.
    code:
        A short, stable, hyphenated name of the outcome (``identity-conflict``), for tables and metrics.
    """

    def __init__(self, message: str, *, next_step: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.code = code or _hyphenated(type(self).__name__)

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()


class PermanentError(OverreadError):
    """Trying again gives the same: the work is quarantined with its reason."""


class TransientError(OverreadError):
    """Trying again later may help: the work is scheduled again, with back-off."""


class OutOfSpaceError(TransientError):
    """Less space is left than the reserve: nothing new is taken until there is room again (0xA700 to C-STORE)."""


class StoreUnavailableError(TransientError):
    """Spool or index cannot promise durability now (a failed fsync, a lost database): nothing is acknowledged."""


class ConfigurationError(OverreadError):
    """The installation is wrong: do not start (exit code 78, EX_CONFIG of sysexits.h)."""


class ModelUnusableError(ConfigurationError):
    """A model that is installed cannot be used as it is: its work waits, and is done when that is mended."""


class NotApplicableError(PermanentError):
    """The model must not run on this input (wrong body part, too few slices): refused, and the reason is shown."""


class IdentityError(PermanentError):
    """Patient or study identity is ambiguous or differs: no result is made (never on the wrong patient)."""


class LeaseLostError(OverreadError):
    """Another attempt holds the job now: this one stops and its output is thrown away."""


class ShutdownError(BaseException):
    """The process was asked to stop while it worked: nothing has failed, and the work is handed back.

    No ``Exception``, so that nothing which handles failures takes it for one.
    """


def _hyphenated(class_name: str) -> str:
    stem = class_name.removesuffix("Error")
    return "".join(f"-{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(stem))
