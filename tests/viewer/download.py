"""OHIF as its authors built it, out of the package registry; kept in a cache."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

OHIF_VERSION = "3.13.2"
OHIF_INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
"""As the registry states it. ``npm install`` cannot be used: the packages that this one names are not published."""


def ohif(cache: Path) -> Path:
    """Folder of the built viewer (``index.html``), downloaded at the first call."""
    folder = cache / f"ohif-{OHIF_VERSION}"
    if not folder.is_dir():
        assert shutil.which("npm"), "npm is not installed: it fetches the viewer (sh tests/services.sh viewer)"
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            _unpack(_download(Path(temporary)), Path(temporary) / "whole")
            (Path(temporary) / "whole" / "package" / "dist").rename(folder)
    return folder


def _download(folder: Path) -> Path:
    command = ["npm", "pack", "--silent", f"@ohif/app@{OHIF_VERSION}", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("*.tgz")
    found = integrity(archive.read_bytes())
    assert found == OHIF_INTEGRITY, f"the registry sent other bytes than were reviewed: {found}"
    return archive


def integrity(content: bytes) -> str:
    """Digest in the form of the registry (Subresource Integrity)."""
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        members = [one for one in tar if one.name.startswith("package/dist/") and not one.name.endswith(".map")]
        tar.extractall(folder, members=members, filter="data")
