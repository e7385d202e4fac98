"""The data folder: made at the first start, and refused where what is in it could not be kept.

Imported by the start of everything, before any library: it may know the standard library and the settings only.
"""

from __future__ import annotations

import os
from pathlib import Path

from worker.domain.errors import ConfigurationError
from worker.settings import Settings
from worker.settings.model import DATABASE_FILE


def make_data_folder(settings: Settings) -> Path:
    """Make the data folder unless it is there.

    Raises
    ------
    ConfigurationError
        ``data-folder-unusable``: it cannot be made, is no folder, or cannot be written (a read-only disk).
        ``data-folder-of-another-user``: see ``check_owner``.
    """
    folder = settings.node.data
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError as error:
        raise _unusable(
            folder,
            "is no folder, or a link on its path leads nowhere",
            "Is the disk mounted that it lies on? Otherwise choose another folder: node.data, or --data.",
        ) from error
    except OSError as error:
        raise _unusable(
            folder,
            f"cannot be made ({error.strerror or type(error).__name__})",
            "Choose a folder that this user may write to: node.data, or --data.",
        ) from error
    check_owner(settings)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise _unusable(
            folder,
            "cannot be written by this user, or lies on a disk that is mounted read-only",
            "Look at its owner and at the disk (`findmnt -T FOLDER`, `dmesg`): a disk with errors is often made so.",
        )
    return folder


def check_installed(settings: Settings) -> None:
    """For commands that ask, or act on what is known: they make no installation.

    An empty one that was made by mistake would answer that nothing was ever received.

    Raises
    ------
    ConfigurationError
        ``no-installation``: there is none where the settings say. ``data-folder-of-another-user``.
    """
    folder, at_url = settings.node.data, bool(settings.database.url.get_secret_value())
    if not folder.is_dir() or not (at_url or (folder / DATABASE_FILE).is_file()):
        raise ConfigurationError(
            f"There is no installation in {folder}.",
            next_step="Name the data folder that `overread up` was started with: --data, --config or OVERREAD_CONFIG.",
            code="no-installation",
        )
    check_owner(settings)


def check_owner(settings: Settings, *, user_id: int | None = None) -> None:
    """Refuse to touch what another user's Overread has made, also as root.

    What root writes there (a file of SQLite's log is enough) the service cannot write any more.

    Parameters
    ----------
    user_id:
        The user who asks; by default the effective user of this process.

    Raises
    ------
    ConfigurationError
        ``data-folder-of-another-user``.
    """
    for name in (DATABASE_FILE, "spool"):
        path = settings.node.data / name
        try:
            owner = path.stat().st_uid
        except FileNotFoundError:
            continue
        except OSError:
            owner = -1
        if owner != (os.geteuid() if user_id is None else user_id):
            raise ConfigurationError(
                f"The data folder {settings.node.data} belongs to another user ({_name(owner)}).",
                next_step=f"Run this as that user: sudo -u {_name(owner)} overread ...",
                code="data-folder-of-another-user",
            )


def _name(owner: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(owner).pw_name if owner >= 0 else "its owner"
    except KeyError:
        return f"#{owner}"


def _unusable(folder: Path, why: str, next_step: str) -> ConfigurationError:
    return ConfigurationError(f"The data folder {folder} {why}.", next_step=next_step, code="data-folder-unusable")
