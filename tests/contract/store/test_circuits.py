"""Places and circuit breakers of destinations: one hanging PACS delays no other, and every process sees the same."""

from __future__ import annotations

from tests.contract.store.kit import Kit, refused, stored
from worker.domain.result import DeliveryClaim, DeliveryState, SendOutcome
from worker.store.database.database import Database
from worker.store.work.outbox import LedgerOutbox


def produced(kit: Kit, count: int, *destinations: str) -> None:
    """Deliveries of so many studies to each destination, not published yet."""
    for _ in range(count):
        n = len(kit.queries.list_jobs(limit=1000))
        study = f"1.2.826.0.5.{n}"
        kit.receive(1, study=study)
        kit.produced(kit.routed(study=study, key=f"n{n}", destinations=destinations), tag=f"n{n}")
    kit.sweep.forget_all_published()


def claims(kit: Kit, outbox: LedgerOutbox | None = None) -> list[DeliveryClaim]:
    """Publish, and claim what is published."""
    found = [(outbox or kit.outbox).claim(one, worker="d1") for one in kit.due_deliveries()]
    return [one for one in found if one is not None]


def destinations(found: list[DeliveryClaim]) -> list[str]:
    return sorted(one.delivery.destination for one in found)


def silence(kit: Kit, claim: DeliveryClaim, *, retry_in_s: float = 1) -> None:
    """The destination gave no answer."""
    uid = claim.delivery.items[0].result.sop_instance_uid
    kit.outbox.note(claim, SendOutcome(uid, None, stored=False, transient=True, detail="No valid answer."))
    kit.outbox.settle(claim, DeliveryState.PENDING, reason="No valid answer.", retry_in_s=retry_in_s, unanswered=True)


def test_no_more_than_may_are_sent_to_one_destination_at_a_time(kit: Kit) -> None:
    produced(kit, 5, "HANGS")
    produced(kit, 3, "PACS")
    assert destinations(claims(kit)) == ["HANGS", "HANGS", "PACS", "PACS"]
    for _ in range(3):  # nothing is published that has no place, so nothing hides what has one
        assert kit.due_deliveries() == []
        kit.clock.advance(10)
    produced(kit, 1, "THIRD")
    assert destinations(claims(kit)) == ["THIRD"]


def test_a_ring_that_found_no_place_is_rung_again_when_there_is_one(kit: Kit) -> None:
    produced(kit, 2, "PACS")
    first = kit.due_deliveries()
    kit.sweep.forget_all_published()
    produced(kit, 1, "PACS")
    (late,) = {one.delivery_id for job in kit.queries.list_jobs() for one in kit.queries.deliveries(job.job_id)} - set(
        first
    )
    held = [kit.outbox.claim(one, worker="d1") for one in first]
    assert kit.outbox.claim(late, worker="d2") is None
    assert held[0] is not None
    kit.outbox.settle(held[0], DeliveryState.SENT, reason="all stored")
    assert [one.delivery_id for one in kit.sweep.due_to("PACS")] == [late]
    assert kit.sweep.due_to("PACS") == ()
    assert kit.outbox.claim(late, worker="d2") is not None


def test_after_two_silences_nobody_tries_in_any_process_until_the_pause_is_over(kit: Kit, database_url: str) -> None:
    produced(kit, 4, "HANGS")
    published = kit.due_deliveries()
    for claim in [kit.outbox.claim(one, worker="d1") for one in published]:
        assert claim is not None
        silence(kit, claim)
    # Another process, begun now.
    database = Database(database_url, clock=kit.clock)
    another = LedgerOutbox(database, kit.spool, limits=kit.limits)
    kit.clock.advance(2)
    assert kit.due_deliveries() == []
    assert [another.claim(one, worker="d2") for one in published] == [None, None]
    produced(kit, 1, "PACS")
    assert destinations(claims(kit, another)) == ["PACS"]
    kit.clock.advance(5)
    (probe,) = claims(kit, another)  # one at a time
    assert claims(kit) == []
    silence(kit, probe)
    kit.clock.advance(6)
    assert claims(kit) == []  # longer now
    kit.clock.advance(6)
    (probe,) = claims(kit)
    kit.outbox.note(probe, stored(probe.delivery.items[0].result.sop_instance_uid))
    assert destinations(claims(kit)) == ["HANGS"]  # it answered: the second place is free again
    database.close()


def test_a_refusal_is_an_answer(kit: Kit) -> None:
    produced(kit, 2, "PACS")
    for _ in range(4):
        for claim in claims(kit):
            kit.outbox.note(claim, refused(claim.delivery.items[0].result.sop_instance_uid))
            kit.outbox.settle(claim, DeliveryState.PENDING, reason="0xA700", retry_in_s=1)
        kit.clock.advance(2)
    assert len(claims(kit)) == 2


def test_the_pause_grows_to_five_minutes_and_no_further(kit: Kit) -> None:
    produced(kit, 1, "HANGS")
    for _ in range(40):
        (claim,) = claims(kit)
        silence(kit, claim)
        kit.clock.advance(301)
    assert len(claims(kit)) == 1


def test_a_clock_that_is_set_back_keeps_no_circuit_open(kit: Kit) -> None:
    produced(kit, 2, "HANGS")
    for claim in claims(kit):
        silence(kit, claim)
    assert claims(kit) == []
    kit.clock.advance(-86400)
    assert len(claims(kit)) == 1


def test_who_looks_learns_what_a_delivery_waits_for(kit: Kit) -> None:
    produced(kit, 3, "HANGS")
    for claim in claims(kit):
        silence(kit, claim)
    newest = kit.queries.list_jobs()[0]
    (waiting,) = kit.queries.deliveries(newest.job_id)
    assert waiting.reason == (
        "circuit-open: HANGS gave no answer 2 times in a row; one delivery at a time tries it. "
        "The last: No valid answer."
    )
    kit.clock.advance(10)
    (waiting,) = kit.queries.deliveries(newest.job_id)
    assert waiting.reason == ""


def test_a_person_who_tries_again_does_not_wait_for_the_circuit(kit: Kit) -> None:
    produced(kit, 3, "PACS")
    one, two = claims(kit)
    assert kit.sweep.due_to("PACS") == ()
    kit.outbox.settle(one, DeliveryState.PARKED, reason="0xA900")
    silence(kit, two)
    (three,) = claims(kit)
    silence(kit, three)
    kit.clock.advance(2)
    assert claims(kit) == []
    kit.operations.retry(one.delivery.job_id)
    assert len(claims(kit)) == 2


def test_deliveries_to_each_destination_keep_their_order(kit: Kit) -> None:
    produced(kit, 5, "ONE", "TWO")
    order = [one.job_id for one in reversed(kit.queries.list_jobs()) if one.model is not None]
    sent: dict[str, list[str]] = {"ONE": [], "TWO": []}
    while found := claims(kit):
        for claim in found:
            sent[claim.delivery.destination].append(claim.delivery.job_id)
            kit.outbox.settle(claim, DeliveryState.SENT, reason="all stored")
    assert sent == {"ONE": order, "TWO": order}
