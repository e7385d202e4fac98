"""Who is let in, who must go, and which addresses and classes are welcome."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from worker.intake.association.access_policy import AccessPolicy
from worker.intake.association.association_table import AssociationTable
from worker.intake.limits import Limits
from worker.intake.supported_syntaxes import TRANSFER_SYNTAXES, is_storage_class


@dataclass(eq=False)
class Association:
    association_id: str
    peer_address: str = "10.0.0.1"
    calling_ae_title: str = "A"
    busy: bool = False
    still_since: float = field(default_factory=time.monotonic)
    answered: int = 0
    evicted: str = ""

    def evict(self, reason: str) -> None:
        self.evicted = reason

    def finish(self) -> None:
        self.evicted = "finished"


def _long_ago(seconds: float) -> float:
    return time.monotonic() - seconds


def test_there_is_room_below_the_limits() -> None:
    table: AssociationTable[Association] = AssociationTable(Limits(associations=2))
    assert table.make_room("10.0.0.1", "A")
    assert table.enter(Association("1")) == 1
    assert table.make_room("10.0.0.1", "A")
    assert table.enter(Association("2")) == 2
    assert not table.make_room("10.0.0.1", "A")


def test_the_useless_go_first_then_the_stillest_and_the_busy_never() -> None:
    table: AssociationTable[Association] = AssociationTable(Limits(associations=4))
    busy = Association("busy", busy=True, still_since=_long_ago(1000))
    worker = Association("worker", answered=5, still_since=_long_ago(100))
    useless = Association("useless", still_since=_long_ago(10))
    fresh = Association("fresh")
    for association in (busy, worker, useless, fresh):
        table.enter(association)
    assert table.make_room("10.0.0.2", "B")
    assert useless.evicted == "evicted"
    table.enter(Association("new"))
    assert table.make_room("10.0.0.2", "B")
    assert worker.evicted == "evicted"
    table.enter(Association("newer"))
    assert not table.make_room("10.0.0.2", "B")
    assert not busy.evicted
    assert not fresh.evicted


def test_a_limit_of_one_peer_is_paid_by_that_peer() -> None:
    table: AssociationTable[Association] = AssociationTable(Limits(associations_per_peer=2))
    other = Association("other", peer_address="10.0.0.9", still_since=_long_ago(1000))
    mine = [Association("a", still_since=_long_ago(9)), Association("b", still_since=_long_ago(99))]
    for association in (other, *mine):
        table.enter(association)
    assert table.make_room("10.0.0.1", "B")
    assert [association.evicted for association in (other, *mine)] == ["", "", "evicted"]


def test_nobody_goes_for_a_newcomer_that_another_limit_keeps_out() -> None:
    table: AssociationTable[Association] = AssociationTable(Limits(associations=3, associations_per_calling_ae=1))
    still = Association("still", calling_ae_title="CT1", still_since=_long_ago(100))
    busy = [
        Association(name, calling_ae_title=name, busy=True, still_since=_long_ago(100)) for name in ("MR", "US", "XA")
    ]
    for association in (still, *busy):
        table.enter(association)
    assert not table.make_room("10.0.0.1", "CT1")
    assert not still.evicted
    assert table.everybody() == [still, *busy]
    for association in (still, *busy):
        table.leave(association)
    assert table.wait_until_empty(0.01)


def test_one_that_goes_makes_room_in_every_limit() -> None:
    table: AssociationTable[Association] = AssociationTable(
        Limits(associations=2, associations_per_calling_ae=2, associations_per_peer=2)
    )
    associations = [Association("older", still_since=_long_ago(100)), Association("younger", still_since=_long_ago(50))]
    for association in associations:
        table.enter(association)
    assert table.make_room("10.0.0.1", "A")
    assert [association.evicted for association in associations] == ["evicted", ""]


def test_a_victim_counts_until_its_thread_is_gone() -> None:
    table: AssociationTable[Association] = AssociationTable(Limits(associations=1))
    victim = Association("victim", still_since=_long_ago(10))
    table.enter(victim)
    assert table.make_room("10.0.0.1", "A")
    assert len(table) == 0
    assert not table.wait_until_empty(0.01)
    table.leave(victim)
    assert table.wait_until_empty(0.01)


def test_the_overdue_are_found() -> None:
    table: AssociationTable[Association] = AssociationTable(Limits())
    stuck = Association("stuck", still_since=_long_ago(100))
    for association in (stuck, Association("fine"), Association("busy", busy=True, still_since=_long_ago(100))):
        table.enter(association)
    assert table.overdue(60) == [stuck]
    assert len(table.everybody()) == 3


@pytest.mark.parametrize(
    ("networks", "address", "welcome"),
    [
        ((), "203.0.113.7", True),
        (("10.1.0.0/16",), "10.1.2.3", True),
        (("10.1.0.0/16",), "10.2.2.3", False),
        (("10.1.2.3",), "10.1.2.3", True),
        (("10.1.0.0/16",), "::ffff:10.1.2.3", True),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("fe80::/10",), "10.1.2.3", False),
        (("10.1.0.0/16",), "nonsense", False),
    ],
)
def test_addresses(networks: tuple[str, ...], address: str, welcome: bool) -> None:
    assert AccessPolicy(networks=networks).admits_address(address) is welcome


def test_storage_classes() -> None:
    assert is_storage_class("1.2.840.10008.5.1.4.1.1.2")
    assert is_storage_class("1.2.840.10008.5.1.4.1.1.66.7")
    assert is_storage_class("1.2.840.10008.5.1.4.34.7")
    assert not is_storage_class("1.2.840.10008.1.1")
    assert not is_storage_class("1.2.840.10008.5.1.4.1.2.1.1", accept_private=True)
    assert not is_storage_class("1.3.12.2.1107.5.9.1")
    assert is_storage_class("1.3.12.2.1107.5.9.1", accept_private=True)
    assert is_storage_class("1.3.12.2.1107.5.9.1", extra=frozenset({"1.3.12.2.1107.5.9.1"}))


def test_transfer_syntaxes_hold_every_family_once() -> None:
    assert len(set(TRANSFER_SYNTAXES)) == len(TRANSFER_SYNTAXES)
    for uid in ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.4.57"):
        assert uid in TRANSFER_SYNTAXES
    assert not [uid for uid in TRANSFER_SYNTAXES if uid.startswith("1.2.840.10008.1.2.7.")]
