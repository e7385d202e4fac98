"""Deliveries: leased, recorded object by object, followed by their job; and storage commitment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.contract.store.kit import MODEL, PASSED, Kit, refused, results_of, stored
from worker.domain.errors import LeaseLostError, PermanentError
from worker.domain.job import JobId, JobState
from worker.domain.result import DeliveryClaim, DeliveryState, SendOutcome
from worker.store.work.outbox import DEATHS_UNTIL_PARKED

pytestmark = pytest.mark.slow


@pytest.fixture
def produced(kit: Kit) -> JobId:
    """A job whose results wait for two destinations."""
    kit.receive(2)
    job_id = kit.routed(destinations=("PACS", "ARCHIVE"))
    kit.produced(job_id)
    return job_id


def claims(kit: Kit) -> dict[str, DeliveryClaim]:
    """Claim everything that is due, by destination."""
    found = [kit.outbox.claim(one, worker="d1") for one in kit.due_deliveries()]
    return {claim.delivery.destination: claim for claim in found if claim is not None}


def send(kit: Kit, claim: DeliveryClaim) -> None:
    for item in claim.delivery.items:
        kit.outbox.note(claim, stored(item.result.sop_instance_uid))
    kit.outbox.settle(claim, DeliveryState.SENT, reason="all stored")


def states(kit: Kit, job_id: JobId) -> dict[str, DeliveryState]:
    return {one.destination: one.state for one in kit.queries.deliveries(job_id)}


def test_producing_makes_one_delivery_per_destination_in_order(kit: Kit, produced: JobId) -> None:
    assert kit.state(produced) is JobState.PRODUCED
    deliveries = kit.queries.deliveries(produced)
    assert [one.destination for one in deliveries] == ["ARCHIVE", "PACS"]
    for one in deliveries:
        assert [item.result.kind.value for item in one.items] == ["SEG", "SR"]
        assert [item.status for item in one.items] == [None, None]
        assert all(item.result.path.read_bytes().startswith(item.result.kind.value.encode()) for item in one.items)
    assert kit.queries.gate_report(produced) == PASSED


def test_a_job_without_destination_is_done_when_it_has_produced(kit: Kit) -> None:
    kit.receive(2)
    job_id = kit.routed(destinations=())
    kit.produced(job_id)
    assert [step.after for step in kit.queries.timeline(job_id)][-3:] == [
        JobState.PRODUCED,
        JobState.DELIVERED,
        JobState.COMMITTED,
    ]


def test_the_job_follows_its_deliveries(kit: Kit, produced: JobId) -> None:
    held = claims(kit)
    assert kit.state(produced) is JobState.DELIVERING
    send(kit, held["PACS"])
    assert kit.state(produced) is JobState.DELIVERING
    send(kit, held["ARCHIVE"])
    assert kit.state(produced) is JobState.COMMITTED
    assert kit.queries.job(produced).reason == "no destination offers storage commitment"
    steps = [step.after for step in kit.queries.timeline(produced)]
    assert steps[-3:] == [JobState.DELIVERING, JobState.DELIVERED, JobState.COMMITTED]
    assert kit.sweep.due(limit=10) == ()


def test_a_dead_destination_blocks_no_other(kit: Kit, produced: JobId) -> None:
    held = claims(kit)
    kit.outbox.settle(held["ARCHIVE"], DeliveryState.PENDING, reason="no association", retry_in_s=30)
    send(kit, held["PACS"])
    assert states(kit, produced) == {"PACS": DeliveryState.SENT, "ARCHIVE": DeliveryState.PENDING}
    assert claims(kit) == {}
    kit.clock.advance(31)
    again = claims(kit)
    assert set(again) == {"ARCHIVE"}
    assert again["ARCHIVE"].attempt == 2
    send(kit, again["ARCHIVE"])
    assert kit.state(produced) is JobState.COMMITTED


def test_nothing_expires_however_long_a_pacs_is_down(kit: Kit, produced: JobId) -> None:
    send(kit, claims(kit)["PACS"])
    kit.monotonic.advance(200)
    for attempt in range(2, 40):
        kit.sweep.take_back_overdue()
        kit.monotonic.advance(200)
        kit.sweep.take_back_overdue()
        kit.clock.advance(86400)
        claim = claims(kit).get("ARCHIVE")
        if claim is not None:
            assert claim.attempt >= attempt - 1
            kit.outbox.settle(claim, DeliveryState.PENDING, reason="no association", retry_in_s=1800)
    assert states(kit, produced)["ARCHIVE"] is DeliveryState.PENDING


def test_what_was_put_back_untried_has_not_failed(kit: Kit, produced: JobId) -> None:
    for attempt in range(1, 21):
        claim = claims(kit)["PACS"]
        assert (claim.attempt, claim.failures) == (attempt, 0)
        kit.outbox.put_back(claim, reason="circuit-open", again_in_s=5)
        assert "PACS" not in claims(kit)
        with pytest.raises(LeaseLostError):
            kit.outbox.put_back(claim, reason="circuit-open", again_in_s=5)
        kit.clock.advance(6)
    kit.operations.cancel(produced)
    assert states(kit, produced)["PACS"] is DeliveryState.WITHDRAWN


def produced_many(kit: Kit, numbers: Iterable[int], destination: str = "PACS") -> list[str]:
    """A delivery of each of so many studies."""
    found = []
    for n in numbers:
        kit.receive(1, study=f"1.2.826.0.5.{n}")
        job_id = kit.routed(study=f"1.2.826.0.5.{n}", key=f"n{n}", destinations=(destination,))
        kit.produced(job_id, tag=f"n{n}")
        found += [one.delivery_id for one in kit.queries.deliveries(job_id)]
    return found


@pytest.mark.parametrize("count", [1, 34])
def test_deliveries_that_nobody_claimed_hide_no_younger_one(kit: Kit, count: int) -> None:
    """Published an hour ago and not claimed, they are published again every minute; a new one is published at once."""
    old = set(produced_many(kit, range(count)))
    kit.sweep.forget_all_published()
    kit.clock.advance(3600)
    published: set[str] = set()
    while found := kit.due_deliveries():
        assert not published & set(found)
        published |= set(found)
    assert published == old
    kit.clock.advance(10)
    (new,) = produced_many(kit, [count])
    assert kit.due_deliveries() == [new]
    kit.clock.advance(6)
    assert kit.due_deliveries() == [new]
    kit.clock.advance(60)
    assert set(kit.due_deliveries()) & old


def test_a_claim_that_was_put_back_never_holds_again(kit: Kit, produced: JobId) -> None:
    """Not even when the same worker takes the delivery next: the attempt is the fencing token."""
    late = claims(kit)["PACS"]
    kit.outbox.put_back(late, reason="handed-back", again_in_s=0)
    kit.clock.advance(6)
    again = claims(kit)["PACS"]
    assert again.worker == late.worker
    for late_word in (
        lambda: kit.outbox.note(late, stored(late.delivery.items[0].result.sop_instance_uid)),
        lambda: kit.outbox.extend(late),
        lambda: kit.outbox.settle(late, DeliveryState.SENT, reason="all stored"),
        lambda: kit.outbox.put_back(late, reason="handed-back", again_in_s=0),
    ):
        with pytest.raises(LeaseLostError):
            late_word()
    send(kit, again)


def test_failures_count_in_a_row_and_apart_from_attempts(kit: Kit, produced: JobId) -> None:
    for failures in range(3):
        claim = claims(kit)["PACS"]
        assert claim.failures == failures
        kit.outbox.put_back(claim, reason="handed-back", again_in_s=0)
        claim = claims(kit)["PACS"]
        assert claim.failures == failures
        kit.outbox.settle(claim, DeliveryState.PENDING, reason="no association", retry_in_s=5)
        kit.clock.advance(6)
    kit.offer_committing(frozenset({"PACS"}))
    send(kit, claims(kit)["PACS"])
    (waiting,) = kit.commitments.wanted(limit=1)
    assert kit.commitments.request(waiting.delivery_id, transaction_uid="2.25.1", answer_within_s=60)
    kit.commitments.answered("2.25.1", committed=[], failed=[])
    claim = claims(kit)["PACS"]
    assert (claim.attempt, claim.failures) == (8, 0)


def test_a_heartbeat_keeps_a_delivery_that_takes_its_time(kit: Kit, produced: JobId) -> None:
    held = claims(kit)
    for _ in range(5):
        kit.sweep.take_back_overdue()
        kit.monotonic.advance(59)
        kit.clock.advance(59)
        kit.outbox.extend(held["PACS"])
        kit.sweep.take_back_overdue()
    assert states(kit, produced) == {"PACS": DeliveryState.SENDING, "ARCHIVE": DeliveryState.PENDING}
    with pytest.raises(LeaseLostError):
        kit.outbox.extend(held["ARCHIVE"])


def test_what_was_stored_is_remembered_and_known_to_the_next_attempt(kit: Kit, produced: JobId) -> None:
    claim = claims(kit)["PACS"]
    seg, sr = (item.result.sop_instance_uid for item in claim.delivery.items)
    kit.outbox.note(claim, stored(seg))
    kit.outbox.note(claim, refused(sr))
    kit.outbox.settle(claim, DeliveryState.PENDING, reason="0xA700", retry_in_s=5)
    kit.clock.advance(6)
    again = claims(kit)["PACS"]
    assert [item.status for item in again.delivery.items] == [0x0000, 0xA700]
    assert again.delivery.reason == "0xA700"


def test_a_refusal_for_good_fails_the_job_and_a_person_may_retry(kit: Kit, produced: JobId) -> None:
    held = claims(kit)
    claim = held["PACS"]
    kit.outbox.note(claim, refused(claim.delivery.items[0].result.sop_instance_uid, 0xA900, transient=False))
    kit.outbox.settle(claim, DeliveryState.PARKED, reason="0xA900 data set does not match SOP class")
    assert kit.state(produced) is JobState.DELIVERING
    send(kit, held["ARCHIVE"])
    job = kit.queries.job(produced)
    assert job.state is JobState.FAILED
    assert "PACS: 0xA900" in job.reason
    assert kit.operations.retry(produced) is JobState.DELIVERING
    assert states(kit, produced) == {"PACS": DeliveryState.PENDING, "ARCHIVE": DeliveryState.SENT}
    send(kit, claims(kit)["PACS"])
    assert kit.state(produced) is JobState.COMMITTED


def test_a_delivery_is_claimed_once_and_fenced(kit: Kit, produced: JobId) -> None:
    due = kit.due_deliveries()
    first = kit.outbox.claim(due[0], worker="d1")
    assert first is not None
    assert kit.outbox.claim(due[0], worker="d2") is None
    assert kit.operations.lost(True, due[0], worker="d1", reason="worker-lost: signal 9")
    uid = first.delivery.items[0].result.sop_instance_uid
    with pytest.raises(LeaseLostError):
        kit.outbox.note(first, stored(uid))
    with pytest.raises(LeaseLostError):
        kit.outbox.settle(first, DeliveryState.SENT, reason="")
    kit.clock.advance(2)
    second = kit.outbox.claim(due[0], worker="d2")
    assert second is not None
    assert second.attempt == 2


def test_a_silent_sender_loses_its_delivery(kit: Kit, produced: JobId) -> None:
    held = claims(kit)
    kit.sweep.take_back_overdue()
    kit.clock.advance(61)
    kit.monotonic.advance(61)
    kit.outbox.note(held["ARCHIVE"], stored(held["ARCHIVE"].delivery.items[0].result.sop_instance_uid))
    assert kit.sweep.take_back_overdue() == 1
    assert states(kit, produced) == {"PACS": DeliveryState.PENDING, "ARCHIVE": DeliveryState.SENDING}


def test_a_delivery_that_kills_its_workers_is_parked_in_the_end(kit: Kit, produced: JobId) -> None:
    send(kit, claims(kit)["PACS"])
    for _ in range(DEATHS_UNTIL_PARKED):
        kit.clock.advance(2)
        archive = next(one for one in kit.queries.deliveries(produced) if one.destination == "ARCHIVE")
        if archive.state is DeliveryState.PENDING:
            assert kit.outbox.claim(archive.delivery_id, worker="d1") is not None
        kit.operations.lost(True, archive.delivery_id, worker="d1", reason="worker-lost: signal 11")
    assert states(kit, produced)["ARCHIVE"] is DeliveryState.PARKED
    assert kit.state(produced) is JobState.FAILED
    assert "signal 11" in kit.queries.job(produced).reason


def test_the_order_of_a_study_is_kept_at_each_destination(kit: Kit) -> None:
    kit.receive(2)
    kit.produced(kit.routed(key="k1", rule="one"), tag="1")
    (first,) = kit.due_deliveries()
    kit.receive(1, first=3)
    kit.produced(kit.routed(key="k2", rule="two"), tag="2")
    assert kit.due_deliveries() == []
    (later,) = kit.queries.deliveries(kit.job_of_key("k2"))
    assert kit.outbox.claim(later.delivery_id, worker="d1") is None
    claim = kit.outbox.claim(first, worker="d1")
    assert claim is not None
    assert kit.due_deliveries() == []
    send(kit, claim)
    assert kit.due_deliveries() == [later.delivery_id]


def test_a_superseded_delivery_that_is_being_sent_is_recorded_and_not_retried(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    kit.produced(first, tag="1")
    claim = claims(kit)["PACS"]
    kit.outbox.note(claim, stored(claim.delivery.items[1].result.sop_instance_uid))
    kit.receive(1, first=3)
    second = kit.routed(key="k2")
    assert kit.state(first) is JobState.SUPERSEDED
    kit.outbox.note(claim, stored(claim.delivery.items[0].result.sop_instance_uid))
    kit.outbox.settle(claim, DeliveryState.PENDING, reason="aborted", retry_in_s=5)
    assert states(kit, first) == {"PACS": DeliveryState.WITHDRAWN}
    assert kit.state(first) is JobState.SUPERSEDED
    predecessors = kit.products.context(kit.queries.job(second)).predecessors
    assert [one.sop_instance_uid for one in predecessors] == ["1.2.826.0.7.1.1", "1.2.826.0.7.1.2"]


def test_cancelling_withdraws_what_nobody_is_sending(kit: Kit, produced: JobId) -> None:
    kit.operations.cancel(produced)
    assert set(states(kit, produced).values()) == {DeliveryState.WITHDRAWN}
    assert kit.sweep.due(limit=10) == ()


def test_results_are_whole_or_not_at_all(kit: Kit) -> None:
    kept = kit.products.keep(results_of("9"))
    assert [one.path.name for one in kept] == [f"{one.sha256}.dcm" for one in kept]
    assert [one.path.read_bytes() for one in kept] == [one.content for one in results_of("9")]
    assert kit.products.keep(results_of("9")) == kept
    assert list(kit.store.temporary_folder.iterdir()) == []


# ---- storage commitment


def sent_job(kit: Kit) -> tuple[JobId, list[str]]:
    kit.offer_committing(frozenset({"PACS"}))
    kit.receive(2)
    job_id = kit.routed(destinations=("PACS", "ARCHIVE"))
    kit.produced(job_id)
    for claim in claims(kit).values():
        send(kit, claim)
    return job_id, [one.sop_instance_uid for one in kit.queries.results(job_id)]


def test_only_the_promise_ends_a_job_where_one_is_offered(kit: Kit) -> None:
    job_id, uids = sent_job(kit)
    assert kit.state(job_id) is JobState.DELIVERED
    (wanted,) = kit.commitments.wanted(limit=10)
    assert wanted.destination == "PACS"
    assert [one.sop_instance_uid for one in wanted.objects] == uids
    assert kit.commitments.request(wanted.delivery_id, transaction_uid="1.2.3", answer_within_s=60)
    assert not kit.commitments.request(wanted.delivery_id, transaction_uid="1.2.4", answer_within_s=60)
    assert kit.commitments.wanted(limit=10) == ()
    assert kit.commitments.answered("1.2.3", committed=uids, failed=[])
    assert states(kit, job_id) == {"PACS": DeliveryState.COMMITTED, "ARCHIVE": DeliveryState.SENT}
    assert kit.state(job_id) is JobState.COMMITTED
    assert not kit.commitments.answered("1.2.3", committed=[], failed=uids)
    assert kit.state(job_id) is JobState.COMMITTED


@pytest.mark.parametrize("how", ["failed", "left out", "silence", "clock back"])
def test_a_promise_that_is_refused_or_missing_sends_again(kit: Kit, how: str) -> None:
    job_id, uids = sent_job(kit)
    (wanted,) = kit.commitments.wanted(limit=10)
    kit.commitments.request(wanted.delivery_id, transaction_uid="1.2.3", answer_within_s=60)
    assert kit.commitments.expire_unanswered() == 0
    if how == "failed":
        kit.commitments.answered("1.2.3", committed=uids[:1], failed=uids[1:])
    elif how == "left out":
        kit.commitments.answered("1.2.3", committed=uids[:1], failed=[])
    else:
        kit.clock.advance(61 if how == "silence" else -86400)
        assert kit.commitments.expire_unanswered() == 1
    assert kit.state(job_id) is JobState.DELIVERING
    again = claims(kit)["PACS"]
    expected = [0x0000, None] if how in {"failed", "left out"} else [None, None]
    assert [item.status for item in again.delivery.items] == expected
    send(kit, again)
    assert kit.state(job_id) is JobState.DELIVERED
    assert len(kit.commitments.wanted(limit=10)) == 1
    assert not kit.commitments.answered("1.2.3", committed=uids, failed=[])  # that transaction is dead


def test_an_unknown_transaction_is_no_promise(kit: Kit) -> None:
    assert not kit.commitments.answered("9.9.9", committed=[], failed=[])


def test_retry_needs_something_that_failed(kit: Kit, produced: JobId) -> None:
    with pytest.raises(PermanentError):
        kit.operations.retry(produced)
    assert MODEL.name in kit.queries.job(produced).label


def test_a_warning_counts_as_stored(kit: Kit, produced: JobId) -> None:
    claim = claims(kit)["PACS"]
    for item in claim.delivery.items:
        warned = SendOutcome(item.result.sop_instance_uid, 0xB007, stored=True, transient=False, detail="warning")
        kit.outbox.note(claim, warned)
    kit.outbox.settle(claim, DeliveryState.SENT, reason="stored with warnings")
    found = next(one for one in kit.queries.deliveries(produced) if one.destination == "PACS")
    assert [item.status for item in found.items] == [0xB007, 0xB007]


def test_each_destination_gets_only_what_is_for_it(kit: Kit) -> None:
    kit.receive(2)
    job_id = kit.routed(destinations=("OHIF", "PLAIN", "NOBODY"))
    claim = kit.claim(job_id)
    seg, sr = results_of("1")
    made = kit.products.keep([replace(seg, destinations=("OHIF",)), replace(sr, destinations=("OHIF", "PLAIN"))])
    assert [one.destinations for one in made] == [("OHIF",), ("OHIF", "PLAIN")]
    kit.products.produce(claim, made, PASSED, "{}", reason="two objects")
    got = {
        delivery.destination: [item.result.sop_instance_uid for item in delivery.items]
        for delivery in kit.queries.deliveries(job_id)
    }
    assert got == {"OHIF": [seg.sop_instance_uid, sr.sop_instance_uid], "PLAIN": [sr.sop_instance_uid]}
    assert kit.state(job_id) is JobState.PRODUCED


def test_nobody_to_send_to_ends_the_job(kit: Kit) -> None:
    kit.receive(2)
    job_id = kit.routed(destinations=("PACS",))
    claim = kit.claim(job_id)
    made = kit.products.keep([replace(one, destinations=()) for one in results_of("1")])
    kit.products.produce(claim, made, PASSED, "{}")
    assert kit.queries.deliveries(job_id) == ()
    assert kit.state(job_id) is JobState.COMMITTED
