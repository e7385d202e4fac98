"""What a start after a crash puts right."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

import pytest

from tests.contract.store.kit import STUDY, Kit, an_offer
from worker.domain.errors import PermanentError
from worker.domain.study import Digest, OfferedInstance
from worker.store.custody.recovery import recover
from worker.store.spool.spool import object_key


def orphan(kit: Kit, number: int, **kwargs: str) -> OfferedInstance:
    """An object that was synced and renamed, by a process that died before its commit."""
    offer = an_offer(kit.store.temporary_folder, number, **kwargs)  # type: ignore[arg-type]
    kit.spool.sync(offer.temporary)
    kit.spool.place([(offer.temporary, kit.spool.object_path(object_key(offer.sha256, offer.transfer_syntax_uid)))])
    return offer


def test_an_object_without_a_row_is_indexed_as_if_it_came_now(kit: Kit) -> None:
    kit.receive(1)
    offer = orphan(kit, 2)
    offers = {kit.spool.object_path(object_key(offer.sha256, offer.transfer_syntax_uid)): offer}
    found = recover(kit.database, kit.spool, kit.store, lambda path: offers[path])
    assert (found.reindexed, found.quarantined, found.missing) == (1, 0, 0)
    evidence = kit.evidence.of_route(kit.route_job())
    assert [one.sop_instance_uid for one in evidence] == [f"{STUDY}.9.1", f"{STUDY}.9.2"]
    assert all(one.path.exists() for one in evidence)
    again = recover(kit.database, kit.spool, kit.store, lambda path: offers[path])
    assert (again.reindexed, again.quarantined, again.missing) == (0, 0, 0)


def test_an_object_that_nobody_can_read_is_set_aside(kit: Kit) -> None:
    offer = orphan(kit, 2)

    def unreadable(_path: Path) -> OfferedInstance | None:
        raise PermanentError("The data set cannot be read.", code="unreadable")

    path = kit.spool.object_path(object_key(offer.sha256, offer.transfer_syntax_uid))
    assert recover(kit.database, kit.spool, kit.store, unreadable).quarantined == 1
    assert not path.exists()
    (refusal,) = kit.queries.refusals()
    assert refusal.code == "orphan-unreadable"
    assert refusal.path is not None
    assert refusal.path.exists()


def test_an_object_whose_content_is_not_its_name_is_set_aside(kit: Kit) -> None:
    offer = orphan(kit, 2)
    key = object_key(offer.sha256, offer.transfer_syntax_uid)
    changed = an_offer(kit.store.temporary_folder, 2, content=b"flipped bits")
    assert recover(kit.database, kit.spool, kit.store, lambda _: changed).quarantined == 1
    assert not kit.spool.object_path(key).exists()
    assert kit.queries.counts().instances == 0


def test_an_orphan_in_conflict_with_a_first_copy_is_kept_apart(kit: Kit) -> None:
    kit.receive(1)
    offer = orphan(kit, 1, patient_id="P-2")
    assert recover(kit.database, kit.spool, kit.store, lambda _: offer).reindexed == 1
    assert kit.queries.conflicts()[0].path.exists()
    assert not kit.spool.object_path(object_key(offer.sha256, offer.transfer_syntax_uid)).exists()
    assert kit.queries.counts().instances == 1


def test_a_row_without_its_object_is_reported_and_healed_when_it_is_back(kit: Kit) -> None:
    kit.receive(2)
    lost = kit.evidence.of_route(kit.route_job())[0]
    content = lost.path.read_bytes()
    lost.path.unlink()
    assert recover(kit.database, kit.spool, kit.store, lambda _: None).missing == 1
    with pytest.raises(PermanentError) as caught:
        kit.evidence.of_route(kit.route_job())
    assert caught.value.code == "object-missing"
    assert kit.queries.counts().missing == 1
    lost.path.write_bytes(content)
    assert recover(kit.database, kit.spool, kit.store, lambda _: None).healed == 1
    assert len(kit.evidence.of_route(kit.route_job())) == 2


def test_temporaries_of_the_dead_go_and_those_of_the_living_stay(kit: Kit) -> None:
    mine = kit.store.temporary_folder / "arriving.part"
    mine.write_bytes(b"half")
    area = kit.spool.root / "tmp"
    for name in ("dead", "headless"):
        (area / name).mkdir()
        (area / name / "x.part").write_bytes(b"half")
    (area / "dead.lock").touch()
    (area / "alive").mkdir()
    (area / "alive" / "y.part").write_bytes(b"half")
    descriptor = os.open(area / "alive.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert recover(kit.database, kit.spool, kit.store, lambda _: None).temporaries_removed == 2
    os.close(descriptor)
    assert mine.exists()
    assert sorted(path.name for path in area.iterdir() if path.is_dir()) == sorted(
        ["alive", kit.store.temporary_folder.name]
    )
    assert not (area / "dead.lock").exists()


def test_a_result_file_that_is_gone_is_reported(kit: Kit) -> None:
    kit.receive(2)
    job_id = kit.routed()
    kit.produced(job_id)
    kit.queries.results(job_id)[0].path.unlink()
    assert recover(kit.database, kit.spool, kit.store, lambda _: None).missing == 1


def test_names_are_digests_of_content_and_transfer_syntax() -> None:
    digest = Digest(hashlib.sha256(b"x").hexdigest())
    keys = {object_key(digest, ts) for ts in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "../../etc/passwd")}  # type: ignore[arg-type]
    assert len(keys) == 3
    assert all(set(key) <= set("0123456789abcdef") and len(key) == 64 for key in keys)
