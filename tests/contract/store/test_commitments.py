"""Commitment requests in the ledger: who is asked when, what a failure costs, and what a site's change of mind does."""

from __future__ import annotations

import pytest

from tests.contract.store.kit import Kit, results_of, stored
from worker.domain.job import JobId, JobState
from worker.domain.result import DeliveryId, DeliveryState

pytestmark = pytest.mark.slow

HOUR_S = 3600.0
DAY_S = 86400.0


@pytest.fixture
def sent(kit: Kit) -> JobId:
    """A job whose results the PACS has taken and not promised to keep."""
    kit.offer_committing(frozenset({"PACS"}))
    kit.receive(2)
    job_id = kit.routed()
    kit.produced(job_id)
    kit.delivered(job_id)
    return job_id


def delivery_id(kit: Kit, job_id: JobId) -> DeliveryId:
    (one,) = kit.queries.deliveries(job_id)
    return one.delivery_id


def state(kit: Kit, job_id: JobId) -> DeliveryState:
    (one,) = kit.queries.deliveries(job_id)
    return one.state


def uids(kit: Kit, job_id: JobId) -> list[str]:
    return [one.sop_instance_uid for one in kit.queries.results(job_id)]


def ask(kit: Kit, job_id: JobId, uid: str) -> None:
    assert kit.commitments.request(delivery_id(kit, job_id), transaction_uid=uid, answer_within_s=60)


def send_again(kit: Kit, job_id: JobId) -> bool:
    """Send what is due; False when nothing is."""
    due = kit.due_deliveries()
    for one in due:
        claim = kit.outbox.claim(one, worker="d1")
        assert claim is not None
        for item in claim.delivery.items:
            if item.status is None:
                kit.outbox.note(claim, stored(item.result.sop_instance_uid))
        kit.outbox.settle(claim, DeliveryState.SENT, reason="all stored")
    return bool(due)


def test_every_failure_waits_longer_and_the_pause_ends_at_a_day(kit: Kit, sent: JobId) -> None:
    pauses: list[float] = []
    for n in range(1, 20):
        ask(kit, sent, f"1.2.{n}")
        assert kit.commitments.answered(f"1.2.{n}", committed=[], failed=uids(kit, sent))
        before, expected = kit.clock.now, 0.0 if n == 1 else min(DAY_S, 30.0 * 2 ** (n - 2))
        if expected:
            kit.clock.advance(0.99 * expected)
            assert not send_again(kit, sent), "it is due too early"
        while not send_again(kit, sent):
            kit.clock.advance(max(1.0, 0.005 * expected))
        pauses.append((kit.clock.now - before).total_seconds())
        assert pauses[-1] <= 1.0 + 1.02 * expected
    assert pauses[0] < 1
    assert pauses[1] == pytest.approx(30, abs=3)
    assert pauses[2] == pytest.approx(60, abs=3)
    assert pauses[3] == pytest.approx(120, abs=3)
    assert pauses[-1] == pytest.approx(DAY_S, abs=700)
    assert state(kit, sent) is DeliveryState.SENT


def test_what_could_not_be_asked_is_asked_later_and_not_sent_again(kit: Kit, sent: JobId) -> None:
    ask(kit, sent, "1.2.1")
    kit.commitments.give_up("1.2.1", reason="destination-unreachable: no", again_in_s=60)
    assert state(kit, sent) is DeliveryState.SENT
    assert kit.state(sent) is JobState.DELIVERED
    assert kit.due_deliveries() == []
    assert kit.commitments.wanted(limit=10) == ()
    assert kit.queries.deliveries(sent)[0].reason == "destination-unreachable: no"
    assert kit.queries.job(sent).reason == "not confirmed by PACS: destination-unreachable: no"
    kit.clock.advance(61)
    (again,) = kit.commitments.wanted(limit=10)
    assert again.fruitless == 1
    ask(kit, sent, "1.2.2")
    kit.commitments.give_up("1.2.2", reason="destination-unreachable: no", again_in_s=60)
    kit.clock.advance(61)
    assert kit.commitments.wanted(limit=10)[0].fruitless == 2
    ask(kit, sent, "1.2.3")
    assert kit.commitments.answered("1.2.3", committed=uids(kit, sent), failed=[])
    assert kit.state(sent) is JobState.COMMITTED
    assert kit.queries.job(sent).reason != "not confirmed by PACS: destination-unreachable: no"


def test_requests_that_never_got_through_do_not_slow_down_sending_again(kit: Kit, sent: JobId) -> None:
    for n in range(40):
        ask(kit, sent, f"1.2.{n}")
        kit.commitments.give_up(f"1.2.{n}", reason="away", again_in_s=1)
        kit.clock.advance(2)
    ask(kit, sent, "1.3")
    kit.commitments.answered("1.3", committed=[], failed=uids(kit, sent))
    assert send_again(kit, sent)


def test_a_report_after_giving_up_is_for_nobody(kit: Kit, sent: JobId) -> None:
    ask(kit, sent, "1.2.1")
    kit.commitments.give_up("1.2.1", reason="commitment-unanswered: no", again_in_s=60)
    assert not kit.commitments.answered("1.2.1", committed=uids(kit, sent), failed=[])
    kit.commitments.give_up("9.9", reason="unknown", again_in_s=60)


def test_a_destination_that_is_away_lets_all_that_waits_for_it_wait_and_nothing_else(kit: Kit) -> None:
    kit.offer_committing(frozenset({"PACS", "ARCHIVE"}))
    for n in range(3):
        kit.receive(1, study=f"1.2.826.0.1.{n}")
        job_id = kit.routed(study=f"1.2.826.0.1.{n}", key=f"k{n}", destinations=("PACS", "ARCHIVE"))
        kit.produced(job_id, tag=str(n))
        kit.delivered(job_id)
    kit.commitments.postpone("PACS", reason="away", again_in_s=600)
    assert kit.commitments.wanted(limit=10, destination="PACS") == ()
    assert len(kit.commitments.wanted(limit=10, destination="ARCHIVE")) == 3
    kit.commitments.postpone("PACS", reason="away", again_in_s=1)  # shortens nothing
    kit.clock.advance(300)
    assert kit.commitments.wanted(limit=10, destination="PACS") == ()
    kit.clock.advance(301)
    assert len(kit.commitments.wanted(limit=10, destination="PACS")) == 3
    assert len(kit.commitments.wanted(limit=2, destination="PACS")) == 2
    assert kit.commitments.wanted(limit=10, destination="RESEARCH") == ()


def test_a_pause_that_the_clock_took_back_is_over(kit: Kit, sent: JobId) -> None:
    kit.commitments.postpone("PACS", reason="away", again_in_s=600)
    kit.clock.advance(-DAY_S)
    assert len(kit.commitments.wanted(limit=10)) == 1
    assert len(kit.commitments.wanted(limit=10, min_age_s=30)) == 1


def test_what_was_just_sent_is_left_alone_for_a_while(kit: Kit, sent: JobId) -> None:
    assert kit.commitments.wanted(limit=10, min_age_s=30) == ()
    kit.clock.advance(31)
    assert len(kit.commitments.wanted(limit=10, min_age_s=30)) == 1


def test_a_query_that_finds_everything_is_a_confirmation(kit: Kit, sent: JobId) -> None:
    (waiting,) = kit.commitments.wanted(limit=10)
    look = kit.commitments.looked
    found = uids(kit, sent)
    assert look(waiting.delivery_id, attempt=waiting.attempt, transaction_uid="1.5", found=found)
    assert kit.state(sent) is JobState.COMMITTED
    assert not look(waiting.delivery_id, attempt=waiting.attempt, transaction_uid="1.6", found=[])
    (written,) = kit.queries.commitments(sent)
    assert written.answered_at is not None
    assert written.outcome == "looked for by C-FIND: 2 of 2 object(s) confirmed"


def test_a_query_of_an_earlier_attempt_says_nothing_about_the_next(kit: Kit, sent: JobId) -> None:
    (first,) = kit.commitments.wanted(limit=10)
    look = kit.commitments.looked
    assert look(first.delivery_id, attempt=first.attempt, transaction_uid="1.5", found=uids(kit, sent)[:1])
    assert [item.status for item in kit.queries.deliveries(sent)[0].items] == [0x0000, None]
    assert send_again(kit, sent)
    assert not look(first.delivery_id, attempt=first.attempt, transaction_uid="1.6", found=[])
    assert state(kit, sent) is DeliveryState.SENT


def test_a_query_does_not_disturb_a_request_that_is_under_way(kit: Kit, sent: JobId) -> None:
    (waiting,) = kit.commitments.wanted(limit=10)
    ask(kit, sent, "1.2.1")
    assert not kit.commitments.looked(waiting.delivery_id, attempt=waiting.attempt, transaction_uid="1.5", found=[])
    assert kit.commitments.answered("1.2.1", committed=uids(kit, sent), failed=[])


def test_the_failure_reasons_are_shown(kit: Kit, sent: JobId) -> None:
    ask(kit, sent, "1.2.1")
    seg, sr = uids(kit, sent)
    kit.commitments.answered("1.2.1", committed=[seg], failed={sr: 0x0112})  # type: ignore[dict-item]
    expected = "commitment-failed: reported (failure reason 0x0112): 1 of 2 object(s) confirmed"
    assert kit.queries.deliveries(sent)[0].reason == f"{expected}; sent again"
    assert kit.queries.job(sent).reason == f"PACS: {expected}; sent again"
    assert [one.outcome for one in kit.queries.commitments(sent)] == [expected]


def test_a_replaced_job_is_asked_about_no_more(kit: Kit, sent: JobId) -> None:
    ask(kit, sent, "1.2.1")
    kit.receive(1, first=3)
    kit.produced(kit.routed(key="k2"), tag="2")
    assert kit.state(sent) is JobState.SUPERSEDED
    assert kit.commitments.wanted(limit=10) == ()
    assert kit.commitments.answered("1.2.1", committed=[], failed=uids(kit, sent))
    assert kit.commitments.wanted(limit=10) == ()
    assert state(kit, sent) is not DeliveryState.PENDING


def test_switching_it_on_does_not_ask_for_the_past(kit: Kit) -> None:
    kit.receive(2)
    job_id = kit.routed()
    kit.produced(job_id)
    kit.delivered(job_id)
    assert kit.state(job_id) is JobState.COMMITTED
    kit.offer_committing(frozenset({"PACS"}))
    assert kit.commitments.wanted(limit=10) == ()
    assert kit.commitments.let_go() == 0


def test_switching_it_off_ends_what_waits(kit: Kit, sent: JobId) -> None:
    assert kit.commitments.let_go() == 0
    assert kit.state(sent) is JobState.DELIVERED
    ask(kit, sent, "1.2.1")
    kit.offer_committing(frozenset())
    assert kit.commitments.let_go() == 1
    assert kit.state(sent) is JobState.COMMITTED
    assert kit.queries.job(sent).reason == "no destination offers storage commitment"
    kit.clock.advance(61)
    assert kit.commitments.expire_unanswered() == 1
    assert kit.state(sent) is JobState.COMMITTED
    assert results_of("1")[0].sop_instance_uid in uids(kit, sent)
