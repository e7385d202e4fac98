from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest

from tests.unit.pipeline.fakes import FakeOutbox, FakePacs, a_delivery
from worker.domain.errors import ShutdownError, TransientError
from worker.domain.profile import OHIF, PLAIN, sop_classes
from worker.domain.result import DeliveryClaim, DeliveryId, DeliveryState, Destination, ResultObject, SendOutcome
from worker.domain.store_status import is_stored
from worker.pipeline.deliver import DeliverResults

PACS = Destination("PACS", "PACS", "127.0.0.1", 104)
SEG, SR = "2.25.91", "2.25.92"


def deliver(outbox: FakeOutbox, answers: list[int | None]) -> tuple[DeliveryState | None, FakePacs]:
    pacs = FakePacs(answers)
    use_case = DeliverResults(outbox, pacs, {"PACS": PACS})
    return use_case.run(DeliveryId("delivery-1"), worker="w"), pacs


def test_everything_is_sent_in_order_and_once() -> None:
    outbox = FakeOutbox(a_delivery())
    state, pacs = deliver(outbox, [0x0000, 0xB000])
    assert state is DeliveryState.SENT
    assert pacs.offered == [SEG, SR]
    assert [item.status for item in outbox.delivery.items] == [0x0000, 0xB000]
    assert deliver(outbox, [])[0] is None


def test_what_was_stored_is_not_sent_again_after_a_transient_failure() -> None:
    outbox = FakeOutbox(a_delivery())
    state, _ = deliver(outbox, [0x0000, 0xA700])
    assert state is DeliveryState.PENDING
    ((_, reason, retry_in_s),) = outbox.settled
    assert "A700" in reason
    assert retry_in_s is not None
    assert retry_in_s > 0
    _, pacs = deliver(outbox, [0x0000])
    assert pacs.offered == [SR]
    assert outbox.delivery.state is DeliveryState.SENT


def test_a_report_is_never_sent_without_the_segmentation_that_it_refers_to() -> None:
    outbox = FakeOutbox(a_delivery())
    state, pacs = deliver(outbox, [0xC000])
    assert state is DeliveryState.PARKED
    assert pacs.offered == [SEG]


def test_what_a_pacs_does_not_take_is_named_with_the_profiles_that_do_without() -> None:
    outbox = FakeOutbox(a_delivery())
    pacs = FakePacs([0x0122, 0x0000])
    use_case = DeliverResults(outbox, pacs, {"PACS": PACS}, profiles={"PACS": OHIF})
    assert use_case.run(DeliveryId("delivery-1"), worker="w") is DeliveryState.PARKED
    assert pacs.offered == [SEG, SR]
    ((_, reason, _),) = outbox.settled
    assert reason.startswith("sop-class-not-taken: PACS takes no SEG: 1 of 2 object(s) are not there, the rest is.")
    assert 'Profile "ohif" of this destination sends it; plain would not' in reason


def test_the_classes_of_a_profile() -> None:
    seg, sr, text = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.11"
    assert {seg, sr, text} < sop_classes(OHIF)
    assert not {seg, sr} & sop_classes(PLAIN)
    assert text in sop_classes(PLAIN)


def test_a_stop_between_two_objects_hands_the_rest_back_uncounted() -> None:
    outbox = FakeOutbox(a_delivery())
    pacs = FakePacs([0x0000])
    with pytest.raises(ShutdownError):
        DeliverResults(outbox, pacs, {"PACS": PACS}, stopping=lambda: True).run(DeliveryId("delivery-1"), worker="w")
    assert outbox.settled == [(DeliveryState.PENDING, "handed-back: the worker was asked to stop.", 0.0)]
    assert outbox.failures == 0
    state, pacs = deliver(outbox, [0x0000])
    assert state is DeliveryState.SENT
    assert pacs.offered == [SR]


def test_a_stop_after_the_last_object_is_no_stop() -> None:
    outbox = FakeOutbox(a_delivery())
    pacs = FakePacs([0x0000, 0x0000])
    use_case = DeliverResults(outbox, pacs, {"PACS": PACS}, stopping=lambda: len(pacs.offered) == 2)
    assert use_case.run(DeliveryId("delivery-1"), worker="w") is DeliveryState.SENT


def test_a_dead_pacs_costs_time_only() -> None:
    outbox = FakeOutbox(a_delivery())
    for attempt in range(1, 30):
        assert deliver(outbox, [None])[0] is DeliveryState.PENDING
        assert outbox.settled[-1][2] is not None
        assert attempt == outbox.attempt
    assert deliver(outbox, [0, 0])[0] is DeliveryState.SENT


def test_only_silence_counts_for_the_circuit() -> None:
    """Every refusal is an answer, and a database that is away is no fault of the destination."""

    class Away(FakeOutbox):
        def note(self, claim: DeliveryClaim, outcome: SendOutcome) -> None:
            raise TransientError("The database is busy.", code="database-unavailable")

    class Silent(FakePacs):
        def send(self, destination: Destination, results: Sequence[ResultObject]) -> Iterator[SendOutcome]:
            yield SendOutcome(
                results[0].sop_instance_uid, None, stored=False, transient=True, detail="No valid answer."
            )

    for outbox, pacs, state, unanswered in (
        (FakeOutbox(a_delivery()), FakePacs([None]), DeliveryState.PENDING, True),
        (FakeOutbox(a_delivery()), Silent([]), DeliveryState.PENDING, True),
        (FakeOutbox(a_delivery()), FakePacs([0xA700]), DeliveryState.PENDING, False),
        (FakeOutbox(a_delivery()), FakePacs([0xC000]), DeliveryState.PARKED, False),
        (FakeOutbox(a_delivery()), FakePacs([0x0122, 0x0122]), DeliveryState.PARKED, False),
        (FakeOutbox(a_delivery()), FakePacs([0, 0]), DeliveryState.SENT, False),
        (Away(a_delivery()), FakePacs([0, 0]), DeliveryState.PENDING, False),
    ):
        assert DeliverResults(outbox, pacs, {"PACS": PACS}).run(DeliveryId("delivery-1"), worker="w") is state
        assert outbox.unanswered == [unanswered]


def test_a_stop_hands_the_delivery_back_at_once_and_is_no_failure() -> None:
    class Stopped(FakePacs):
        def send(self, destination: Destination, results: Sequence[ResultObject]) -> Iterator[SendOutcome]:
            yield from super().send(destination, results[:1])
            raise SystemExit(0)

    outbox = FakeOutbox(a_delivery())
    with pytest.raises(SystemExit):
        DeliverResults(outbox, Stopped([0]), {"PACS": PACS}).run(DeliveryId("delivery-1"), worker="w")
    assert outbox.settled == [(DeliveryState.PENDING, "handed-back: the worker was asked to stop.", 0.0)]
    assert (outbox.failures, outbox.unanswered) == (0, [])
    assert [item.status for item in outbox.delivery.items] == [0, None]


@pytest.mark.parametrize("answers", [[0, 0], [0xA700], [0xC000], [None]])
def test_each_end_makes_place_for_the_next(answers: list[int | None]) -> None:
    told: list[str] = []
    outbox = FakeOutbox(a_delivery())
    use_case = DeliverResults(outbox, FakePacs(answers), {"PACS": PACS}, publish_next=told.append)
    use_case.run(DeliveryId("delivery-1"), worker="w")
    use_case.run(DeliveryId("another"), worker="w")  # nothing was claimed, so nothing ended
    assert told == ["PACS"]


def test_a_destination_that_is_not_configured_parks_with_the_reason() -> None:
    outbox = FakeOutbox(a_delivery())
    assert DeliverResults(outbox, FakePacs([]), {}).run(DeliveryId("delivery-1"), worker="w") is DeliveryState.PARKED
    assert "unknown-destination" in outbox.delivery.reason


@pytest.mark.parametrize(
    ("status", "stored"),
    [
        *((status, True) for status in (0x0000, 0xB000, 0xB007, 0x0111)),
        *((status, False) for status in (0xA700, 0xC000, 0x0122, None)),
    ],
)
def test_warnings_mean_stored(status: int | None, stored: bool) -> None:
    assert is_stored(status) is stored


class SlowPacs(FakePacs):
    """Answers when the outbox has heard two heartbeats."""

    def __init__(self, outbox: FakeOutbox) -> None:
        super().__init__([0, 0])
        self._outbox = outbox

    def send(self, destination: Destination, results: Sequence[ResultObject]) -> Iterator[SendOutcome]:
        while self._outbox.beats < 2:
            time.sleep(0.001)
        yield from super().send(destination, results)


@pytest.mark.timeout(20)
def test_a_slow_pacs_does_not_cost_the_lease() -> None:
    outbox = FakeOutbox(a_delivery())
    use_case = DeliverResults(outbox, SlowPacs(outbox), {"PACS": PACS}, heartbeat_s=0.005)
    assert use_case.run(DeliveryId("delivery-1"), worker="w") is DeliveryState.SENT
