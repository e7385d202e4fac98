from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from tests.unit.pipeline.fakes import a_result
from worker.domain.commitment import OnReport, UnconfirmedDelivery
from worker.domain.errors import OverreadError, PermanentError, TransientError
from worker.domain.result import DeliveryId, Destination, ResultKind, ResultObject
from worker.domain.study import SOPInstanceUID
from worker.pipeline.confirm import OF_THE_OBJECTS, ConfirmDeliveries

SEG, SR = a_result(1, ResultKind.SEG), a_result(2, ResultKind.SR)
UIDS = frozenset({SEG.sop_instance_uid, SR.sop_instance_uid})
AWAY = TransientError("nobody there", code="destination-unreachable")
NOT_OFFERED = PermanentError("does not offer it", code="commitment-not-offered")


@dataclass
class FakeConfirmations:
    """The ledger's rules in memory: one request at a time for each delivery, an answered transaction is dead."""

    waiting: dict[str, str] = field(default_factory=dict)
    """State by delivery: sent, committed, again (its objects are sent again), later."""
    requests: dict[str, str] = field(default_factory=dict)
    fruitless: dict[str, int] = field(default_factory=dict)
    pauses: list[float] = field(default_factory=list)
    postponed: list[tuple[str, str, float]] = field(default_factory=list)
    min_ages: list[float] = field(default_factory=list)

    def wanted(self, *, destination: str, limit: int, min_age_s: float = 0.0) -> Sequence[UnconfirmedDelivery]:
        self.min_ages.append(min_age_s)
        under_way = set(self.requests.values())
        found = [one for one, state in self.waiting.items() if state == "sent" and one not in under_way]
        return [
            UnconfirmedDelivery(DeliveryId(one), destination, 1, (SEG, SR), self.fruitless.get(one, 0))
            for one in found[:limit]
        ]

    def request(self, delivery_id: DeliveryId, *, transaction_uid: str, answer_within_s: float) -> bool:
        if self.waiting[delivery_id] != "sent" or delivery_id in self.requests.values():
            return False
        assert transaction_uid not in self.requests
        self.requests[transaction_uid] = delivery_id
        return True

    def give_up(self, transaction_uid: str, *, reason: str, again_in_s: float) -> None:
        delivery_id = self.requests.pop(transaction_uid)
        self.fruitless[delivery_id] = self.fruitless.get(delivery_id, 0) + 1
        self.pauses.append(again_in_s)

    def postpone(self, destination: str, *, reason: str, again_in_s: float) -> None:
        self.postponed.append((destination, reason, again_in_s))

    def answered(
        self, transaction_uid: str, *, committed: Collection[SOPInstanceUID], failed: Mapping[SOPInstanceUID, int]
    ) -> bool:
        delivery_id = self.requests.pop(transaction_uid, None)
        if delivery_id is None:
            return False
        self.waiting[delivery_id] = "committed" if set(committed) - set(failed) == UIDS else "again"
        return True

    def looked(
        self, delivery_id: DeliveryId, *, attempt: int, transaction_uid: str, found: Collection[SOPInstanceUID]
    ) -> bool:
        if self.waiting[delivery_id] != "sent" or delivery_id in self.requests.values():
            return False
        self.waiting[delivery_id] = "committed" if set(found) == UIDS else "again"
        return True

    def expire_unanswered(self) -> int:
        expired = len(self.requests)
        for delivery_id in self.requests.values():
            self.waiting[delivery_id] = "again"
        self.requests.clear()
        return expired

    def let_go(self) -> int:
        return 1


@dataclass
class FakeRequester:
    """Raises what it is given, reports at once, or only takes the request."""

    error: OverreadError | None = None
    committed: frozenset[SOPInstanceUID] | None = None
    transactions: list[str] = field(default_factory=list)

    def request(
        self, destination: Destination, results: Sequence[ResultObject], *, transaction_uid: str, on_report: OnReport
    ) -> bool:
        self.transactions.append(transaction_uid)
        if self.error is not None:
            raise self.error
        if self.committed is None:
            return False
        on_report(transaction_uid, self.committed, dict.fromkeys(UIDS - self.committed, 0x0112))
        return True


@dataclass
class FakeFinder:
    there: frozenset[SOPInstanceUID] = UIDS
    error: OverreadError | None = None
    asked: int = 0

    def found(self, destination: Destination, results: Sequence[ResultObject]) -> frozenset[SOPInstanceUID]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.there


def use_case(
    ledger: FakeConfirmations,
    requester: FakeRequester | None = None,
    finder: FakeFinder | None = None,
    *,
    storage_commitment: bool = True,
    read_back: bool = False,
) -> ConfirmDeliveries:
    numbers = count(1)
    pacs = Destination("PACS", "PACS", "127.0.0.1", 104, storage_commitment=storage_commitment, read_back=read_back)
    return ConfirmDeliveries(
        ledger,
        requester or FakeRequester(),
        finder or FakeFinder(),
        {"PACS": pacs},
        new_uid=lambda: f"2.25.{next(numbers)}",
        read_back_after_s=10.0,
    )


def test_a_promise_on_the_same_association_ends_the_delivery() -> None:
    ledger = FakeConfirmations({"d1": "sent"})
    assert use_case(ledger, FakeRequester(committed=UIDS)).confirm("PACS") == 1
    assert ledger.waiting == {"d1": "committed"}


def test_a_promise_that_comes_later_ends_it_as_well() -> None:
    ledger, requester = FakeConfirmations({"d1": "sent"}), FakeRequester()
    confirm = use_case(ledger, requester)
    confirm.confirm("PACS")
    assert ledger.waiting == {"d1": "sent"}
    confirm.confirm("PACS")
    assert len(requester.transactions) == 1  # it is under way
    confirm.reported(requester.transactions[0], UIDS, {})
    assert ledger.waiting == {"d1": "committed"}
    confirm.reported(requester.transactions[0], frozenset(), dict.fromkeys(UIDS, 0x0112))  # that transaction is dead
    confirm.reported("9.9.9", UIDS, {})
    assert ledger.waiting == {"d1": "committed"}


def test_each_request_has_a_transaction_of_its_own() -> None:
    ledger = FakeConfirmations({"d1": "sent", "d2": "sent"})
    requester = FakeRequester(committed=frozenset({SEG.sop_instance_uid}))
    confirm = use_case(ledger, requester)
    confirm.confirm("PACS")
    assert ledger.waiting == {"d1": "again", "d2": "again"}
    ledger.waiting = {"d1": "sent", "d2": "sent"}
    confirm.confirm("PACS")
    assert len(set(requester.transactions)) == 4


def test_who_cannot_be_reached_is_left_alone_for_longer_and_longer() -> None:
    ledger, requester = FakeConfirmations({f"d{n}": "sent" for n in range(9)}), FakeRequester(error=AWAY)
    confirm = use_case(ledger, requester)
    for _ in range(12):
        assert confirm.confirm("PACS") == 0
    assert len(requester.transactions) == 12  # one knock each time, not nine
    assert set(ledger.waiting.values()) == {"sent"}  # nothing is sent again
    assert 5 <= ledger.pauses[0] <= 10
    assert all(900 <= one <= 1800 for one in ledger.pauses[-3:])
    assert ledger.postponed[-1][:2] == ("PACS", "destination-unreachable: nobody there")


@pytest.mark.parametrize("code", sorted(OF_THE_OBJECTS))
@pytest.mark.parametrize("read_back", [False, True])
def test_what_fails_for_its_own_reasons_holds_up_no_other(code: str, read_back: bool) -> None:
    """The oldest of many can never be asked about: a result that is gone from the disk, a request that is refused."""

    class Poisoned(FakeRequester, FakeFinder):
        asked = 0

        def request(self, destination: Destination, results: Sequence[ResultObject], **more: Any) -> bool:
            self.asked += 1
            if self.asked == 1:
                raise PermanentError("not these", code=code)
            return super().request(destination, results, **more)

        def found(self, destination: Destination, results: Sequence[ResultObject]) -> frozenset[SOPInstanceUID]:
            self.request(destination, results, transaction_uid="", on_report=lambda *_: None)
            return UIDS

    ledger, poisoned = FakeConfirmations({f"d{n}": "sent" for n in range(4)}), Poisoned(committed=UIDS)
    assert (
        use_case(ledger, poisoned, poisoned, storage_commitment=not read_back, read_back=read_back).confirm("PACS") == 3
    )
    assert ledger.waiting == {"d0": "sent", "d1": "committed", "d2": "committed", "d3": "committed"}
    assert ledger.postponed == []
    assert len(ledger.pauses) == 1


def test_who_does_not_offer_it_is_asked_rarely() -> None:
    ledger = FakeConfirmations({"d1": "sent"})
    use_case(ledger, FakeRequester(error=NOT_OFFERED)).confirm("PACS")
    assert ledger.pauses[0] >= 450
    assert ledger.postponed[0][1].startswith("commitment-not-offered")


def test_a_look_stands_in_for_a_promise_that_is_not_offered() -> None:
    ledger, finder = FakeConfirmations({"d1": "sent"}), FakeFinder()
    use_case(ledger, FakeRequester(error=NOT_OFFERED), finder, read_back=True).confirm("PACS")
    assert ledger.waiting == {"d1": "committed"}
    assert ledger.postponed == []


@pytest.mark.parametrize(("there", "state"), [(UIDS, "committed"), (frozenset({SEG.sop_instance_uid}), "again")])
def test_a_look_alone(there: frozenset[SOPInstanceUID], state: str) -> None:
    ledger, requester = FakeConfirmations({"d1": "sent"}), FakeRequester()
    use_case(ledger, requester, FakeFinder(there), storage_commitment=False, read_back=True).confirm("PACS")
    assert ledger.waiting == {"d1": state}
    assert ledger.min_ages == [10.0]
    assert requester.transactions == []


def test_who_cannot_be_queried_is_left_alone_as_well() -> None:
    ledger, finder = FakeConfirmations({"d1": "sent", "d2": "sent"}), FakeFinder(error=AWAY)
    confirm = use_case(ledger, None, finder, storage_commitment=False, read_back=True)
    for _ in range(8):
        confirm.confirm("PACS")
    assert finder.asked == 8
    assert set(ledger.waiting.values()) == {"sent"}
    assert ledger.pauses[-1] > ledger.pauses[0]


def test_silence_is_a_refusal() -> None:
    ledger = FakeConfirmations({"d1": "sent"})
    confirm = use_case(ledger)
    confirm.confirm("PACS")
    assert confirm.expire() == 2
    assert ledger.waiting == {"d1": "again"}
