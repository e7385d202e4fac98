"""Headers of stored instances, and the instances of a folder of files."""

from __future__ import annotations

from pathlib import Path

from worker.decode.dataset.files import SkippedFile, instances_from_folder
from worker.decode.series.headers import HeaderReader
from worker.domain.errors import ConfigurationError
from worker.domain.study import StoredInstance
from worker.intake.scan.scan import scan_file
from worker.intake.supported_syntaxes import TRANSFER_SYNTAXES
from worker.pipeline import ports
from worker.settings import Settings


def reader(settings: Settings) -> ports.SeriesReader:
    """The reader of headers, with the character sets that the site states of its senders."""
    return HeaderReader(character_sets=settings.stated_sets)


def instances_in(folder: Path) -> tuple[tuple[StoredInstance, ...], tuple[SkippedFile, ...]]:
    """DICOM files of a folder, and what was left out with the reason."""
    if not folder.exists():
        raise ConfigurationError(f"There is no folder {folder}.", code="folder-missing")
    return instances_from_folder(folder, listener_check=_as_the_listener)


def _as_the_listener(path: Path, offset: int, transfer_syntax_uid: str) -> None:
    """Take from a folder what would be taken from the network, so that both lead to the same result."""
    if transfer_syntax_uid in TRANSFER_SYNTAXES:
        scan_file(path, offset=offset, transfer_syntax_uid=transfer_syntax_uid)
