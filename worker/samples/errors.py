"""Why a sample could not be had, and what to do about it."""

from __future__ import annotations

from worker.domain.errors import OverreadError


class SampleError(OverreadError):
    """A sample cannot be provided; `next_step` says what the person who asked can do."""


class UnknownSampleError(SampleError):
    """The asked name is not in the catalogue."""


class DownloadError(SampleError):
    """pip could not fetch the archive (offline, no mirror, no pip)."""


class ArchiveCorruptError(SampleError):
    """An archive does not have the pinned SHA-256: it is damaged, or it is not what we pinned."""


class SourceFormatError(SampleError):
    """A file inside a verified archive is not what the reader expects: a bug of ours, as the archive is pinned."""
