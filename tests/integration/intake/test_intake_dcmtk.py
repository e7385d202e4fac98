"""DCMTK as the sender."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pydicom.data
import pytest
from pydicom import dcmread

from tests.integration.intake.folder_store import FolderStore
from tests.integration.intake.waiting import until
from worker.intake.association.server import Listener

NAMES = ("CT_small.dcm", "MR_small_implicit.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm")

pytestmark = pytest.mark.dcmtk


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_echoscu(listener: Listener) -> None:
    done = run("echoscu", "-aec", "OVERREAD", "127.0.0.1", str(listener.port))
    assert done.returncode == 0, done.stderr
    wrong = run("echoscu", "-aec", "SOMEBODY", "127.0.0.1", str(listener.port))
    assert wrong.returncode != 0
    assert "Called AE Title Not Recognized" in wrong.stderr


@pytest.mark.parametrize("association", [(), ("--single-association",)], ids=["several", "single"])
def test_dcmsend_sends_a_folder_and_repeats_it(
    listener: Listener, store: FolderStore, tmp_path: Path, association: tuple[str, ...]
) -> None:
    root = Path(pydicom.data.__file__).parent
    sources = {}
    for number, name in enumerate(NAMES):
        data_set = dcmread(next(root.rglob(name)))
        data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
        data_set.save_as(tmp_path / name, enforce_file_format=True)
        sources[str(data_set.SOPInstanceUID)] = data_set
    out = tmp_path / "out"
    out.mkdir()
    for name in NAMES:
        (tmp_path / name).rename(out / name)
    for _ in range(2):
        done = run(
            "dcmsend", "-v", "-dn", *association, "-aec", "OVERREAD", "127.0.0.1", str(listener.port), "+sd", str(out)
        )
        assert done.returncode == 0, done.stderr
    counts = listener.stats().instances
    assert counts == {"stored": len(NAMES), "repeated": len(NAMES)}
    for offered in store.offered[: len(NAMES)]:
        stored = dcmread(store.path_of(offered.sha256))
        source = sources[str(stored.SOPInstanceUID)]
        if source.file_meta.TransferSyntaxUID.is_compressed:  # dcmsend chooses among the native ones by itself
            assert stored.file_meta.TransferSyntaxUID == source.file_meta.TransferSyntaxUID
        assert stored.PixelData == source.PixelData


def test_storescu_that_is_aborted_leaves_nothing(listener: Listener, store: FolderStore, tmp_path: Path) -> None:
    source = next(Path(pydicom.data.__file__).parent.rglob("CT_small.dcm"))
    done = run("storescu", "--abort", "-aec", "OVERREAD", "127.0.0.1", str(listener.port), str(source))
    assert done.returncode == 0, done.stderr
    assert until(lambda: listener.stats().associations_ended == {"aborted": 1})
    assert len(store.stored_paths()) == 1
    assert store.temporaries() == []
