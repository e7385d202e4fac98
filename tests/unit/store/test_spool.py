"""The spool's folders, space, and temporaries."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.domain.errors import OutOfSpaceError, StoreUnavailableError
from worker.domain.study import Digest
from worker.store.spool.spool import Spool
from worker.store.spool.verification import is_intact, same_object

KEY = "ab" + "cd" + "0" * 60


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", reserve_bytes=0)


def temporary(spool: Spool, content: bytes = b"x") -> Path:
    path = spool.new_temporary()
    path.write_bytes(content)
    return path


def test_a_placed_file_is_found_under_its_key(spool: Spool) -> None:
    source = temporary(spool)
    spool.place([(source, spool.object_path(KEY))])
    assert spool.object_path(KEY) == spool.root / "objects" / "ab" / f"{KEY}.dcm"
    assert spool.object_path(KEY).read_bytes() == b"x"
    assert not source.exists()
    assert list(spool.keys("objects", "ab")) == [(KEY, spool.object_path(KEY))]
    assert list(spool.keys("objects", "ac")) == []


def test_a_name_that_exists_is_replaced_only_when_it_does_not_hold_what_it_should(spool: Spool) -> None:
    target = spool.object_path(KEY)
    assert spool.place([(temporary(spool, b"whole"), target)]) == {target}
    before = target.stat()
    second = temporary(spool, b"whole")
    assert spool.place([(second, target)]) == frozenset()
    assert target.stat() == before
    assert not second.exists()
    target.write_bytes(b"who")
    third = temporary(spool, b"whole")
    assert spool.place([(third, target)]) == {target}
    assert target.read_bytes() == b"whole"
    assert not third.exists()


def a_part10_file(path: Path, *, syntax: bytes = b"1.2.840.10008.1.2.1\0", version: bytes = b"A", data: bytes) -> Path:
    meta = b"\x02\0\x10\0UI" + len(syntax).to_bytes(2, "little") + syntax
    meta += b"\x02\0\x12\0UI\x04\x001.2\0" + b"\x02\0\x13\0SH" + len(version).to_bytes(2, "little") + version
    length = b"\x02\0\0\0UL\x04\0" + len(meta).to_bytes(4, "little")
    path.write_bytes(bytes(128) + b"DICM" + length + meta + data)
    return path


def test_what_an_earlier_version_wrote_is_the_same_object(tmp_path: Path) -> None:
    stored = a_part10_file(tmp_path / "stored", version=b"OVERREAD_1", data=b"pixels")
    assert same_object(stored, a_part10_file(tmp_path / "offered", version=b"OVERREAD_20", data=b"pixels"))
    assert not same_object(stored, a_part10_file(tmp_path / "other", version=b"OVERREAD_1", data=b"pixelz"))
    other = a_part10_file(tmp_path / "encoding", syntax=b"1.2.840.10008.1.2\0", data=b"pixels")
    assert not same_object(other, stored)
    assert is_intact(stored, sha256=Digest(hashlib.sha256(b"pixels").hexdigest()), size_bytes=6)
    assert not is_intact(stored, sha256=Digest(hashlib.sha256(b"pixels").hexdigest()), size_bytes=7)
    assert not is_intact(tmp_path / "gone", sha256=Digest("0" * 64), size_bytes=0)


def test_placing_a_file_where_it_is_keeps_it(spool: Spool) -> None:
    spool.place([(temporary(spool), spool.object_path(KEY))])
    spool.place([(spool.object_path(KEY), spool.object_path(KEY))])
    assert spool.object_path(KEY).exists()


def test_everything_belongs_to_its_owner_alone(spool: Spool) -> None:
    spool.place([(temporary(spool), spool.object_path(KEY))])
    for path in (spool.root, *spool.root.rglob("*")):
        if path.is_dir():
            assert path.stat().st_mode & 0o077 == 0, path


def test_the_reserve_counts_in_bytes_and_in_percent(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    Spool(tmp_path / "a", reserve_bytes=0).check_space(0)
    with pytest.raises(OutOfSpaceError) as caught:
        Spool(tmp_path / "a", reserve_bytes=free + (1 << 30)).check_space(0)
    assert caught.value.code == "out-of-space"
    assert caught.value.next_step
    with pytest.raises(OutOfSpaceError):
        Spool(tmp_path / "a", reserve_bytes=0, reserve_percent=free / total * 100 + 5).check_space(0)
    with pytest.raises(OutOfSpaceError):
        Spool(tmp_path / "a", reserve_bytes=0).check_space(free + (1 << 30))


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailableError) as caught:
        Spool(tmp_path / "file" / "spool")
    assert caught.value.code == "store-unavailable"
    assert "ENOTDIR" in str(caught.value)


def test_syncing_what_is_not_there_is_refused_and_breaks_nothing(spool: Spool) -> None:
    with pytest.raises(StoreUnavailableError):
        spool.sync(spool.root / "tmp" / "nothing")
    spool.ensure_usable()


def test_a_link_is_not_followed(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"secret")
    link = spool.temporary_folder / "link.part"
    link.symlink_to(tmp_path / "target")
    with pytest.raises(StoreUnavailableError):
        spool.sync(link)


def test_each_process_has_a_folder_of_its_own_that_outlives_only_its_life(spool: Spool) -> None:
    program = (
        "import sys; from pathlib import Path; from worker.store.spool.spool import Spool;"
        "s = Spool(Path(sys.argv[1]), reserve_bytes=0); (s.temporary_folder / 'x.part').write_bytes(b'half');"
        "print(s.temporary_folder, flush=True); sys.stdin.readline(); import os; os._exit(9)"
    )
    mine = temporary(spool)
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(spool.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    other = Path(child.stdout.readline().strip())
    assert other != spool.temporary_folder
    assert spool.remove_stale_temporaries() == 0
    assert (other / "x.part").exists()
    child.communicate("die\n", timeout=60)
    assert spool.remove_stale_temporaries() == 1
    assert not other.exists()
    assert mine.exists()
    spool.close()
    assert list((spool.root / "tmp").iterdir()) == []
