"""Storage commitment as SCP: durable requests, honest judgements, and promises that retention keeps."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from tests.contract.store.kit import CT, SEG, STUDY, Kit
from worker.domain.commitment import CommitmentReport
from worker.domain.job import JobState
from worker.domain.study import SOPClassUID, SOPInstanceUID, StudyInstanceUID
from worker.store.commitment.scp import LedgerCommitmentRequests
from worker.store.custody.retention import DAY_S, Retention, RetentionPolicy
from worker.store.database.tables import promised_instances, promises

MODALITY = "MODALITY"
PROMISED_S = 20 * DAY_S


def uid(number: int) -> SOPInstanceUID:
    return SOPInstanceUID(f"{STUDY}.9.{number}")


def wanted(*numbers: int, sop_class: SOPClassUID = CT) -> list[tuple[SOPClassUID, SOPInstanceUID]]:
    return [(sop_class, uid(number)) for number in numbers]


@pytest.fixture
def ledger(kit: Kit) -> LedgerCommitmentRequests:
    return a_ledger(kit)


def a_ledger(kit: Kit) -> LedgerCommitmentRequests:
    """As a process of its own has it."""
    return LedgerCommitmentRequests(kit.database, kit.spool, retention_s=PROMISED_S)


def taken(ledger: LedgerCommitmentRequests, ae_title: str = MODALITY) -> CommitmentReport:
    verdict = ledger.take(ae_title)
    assert verdict is not None
    return verdict


def reasons(verdict: CommitmentReport) -> list[int | None]:
    return [one.failure_reason for one in verdict.instances]


def finished(kit: Kit) -> None:
    """A study of two images whose work is over."""
    kit.receive(2)
    kit.jobs.settle(kit.claim(kit.complete()), JobState.NO_MODEL_APPLIES, reason="nothing fits")


def retire(kit: Kit, **policy: float | int | None) -> tuple[StudyInstanceUID, ...]:
    return Retention(kit.database, kit.spool, RetentionPolicy(**policy)).run().studies  # type: ignore[arg-type]


def test_what_is_kept_is_promised_and_nothing_else(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    kit.receive(3)
    asked = [*wanted(1), *wanted(2, sop_class=SEG), *wanted(77), *wanted(3)]
    assert ledger.accept(MODALITY, "1.2.1", asked)
    verdict = taken(ledger)
    assert verdict.transaction_uid == "1.2.1"
    assert [(one.sop_class_uid, one.sop_instance_uid) for one in verdict.instances] == asked
    assert reasons(verdict) == [None, 0x0119, 0x0112, None]


def test_a_file_that_is_gone_or_cut_is_not_promised(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    kit.receive(3)
    ledger.accept(MODALITY, "1.2.1", wanted(1, 2, 3))
    files = sorted((kit.spool.root / "objects").rglob("*.dcm"))
    by_uid = {file: n for file in files for n in (1, 2, 3) if f"{uid(n)}|".encode() in file.read_bytes()}
    for file, number in by_uid.items():
        if number == 1:
            file.unlink()
        if number == 2:
            file.write_bytes(file.read_bytes()[:200])
    assert reasons(taken(ledger)) == [0x0112, 0x0112, None]


def test_a_uid_with_two_contents_is_not_promised(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    kit.receive(2)
    kit.store.admit(kit.offer(1, content=b"another picture under the same UID"))
    ledger.accept(MODALITY, "1.2.1", wanted(1, 2))
    assert reasons(taken(ledger)) == [0x0110, None]


def test_one_process_reports_at_a_time_and_only_to_who_asked(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    kit.receive(1)
    ledger.accept(MODALITY, "1.2.1", wanted(1))
    assert ledger.take("SOMEBODY") is None
    verdict = taken(ledger)
    assert a_ledger(kit).take(MODALITY) is None
    kit.clock.advance(301)  # it died while it reported
    again = taken(a_ledger(kit))
    assert again.attempt == 2
    ledger.told(verdict.request_id, attempt=verdict.attempt)  # fenced
    kit.clock.advance(301)
    third = taken(ledger)
    ledger.told(third.request_id, attempt=third.attempt)
    kit.clock.advance(301)
    assert ledger.take(MODALITY) is None


def test_requests_are_reported_in_their_order(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    for n in range(3):
        ledger.accept(MODALITY, f"1.2.{n}", wanted(1))
    found = []
    while (verdict := ledger.take(MODALITY)) is not None:
        ledger.told(verdict.request_id, attempt=verdict.attempt)
        found.append(verdict.transaction_uid)
    assert found == ["1.2.0", "1.2.1", "1.2.2"]


def test_a_request_survives_and_its_repetition_changes_nothing(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    kit.receive(1)
    assert ledger.accept(MODALITY, "1.2.1", [*wanted(1, 2), *wanted(1)])
    assert ledger.accept(MODALITY, "1.2.1", wanted(1, 2))
    assert not ledger.accept(MODALITY, "1.2.1", wanted(1))
    assert ledger.accept("ROUTER", "1.2.1", wanted(1))  # another requester's own name for something else
    verdict = taken(a_ledger(kit))
    assert len(verdict.instances) == 2
    ledger.told(verdict.request_id, attempt=1)
    assert not ledger.accept(MODALITY, "1.2.1", wanted(1, 2))


def test_a_report_that_nobody_heard_is_made_afresh(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    ledger.accept(MODALITY, "1.2.1", wanted(1))
    verdict = taken(ledger)
    assert reasons(verdict) == [0x0112]
    ledger.not_told(verdict.request_id, attempt=1, reason="away", again_in_s=60, in_doubt=False)
    kit.receive(1)
    assert ledger.take(MODALITY) is None
    kit.clock.advance(61)
    assert reasons(taken(ledger)) == [None]


def test_a_clock_that_is_set_back_delays_no_report(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    ledger.accept(MODALITY, "1.2.1", wanted(1))
    verdict = taken(ledger)
    ledger.not_told(verdict.request_id, attempt=1, reason="away", again_in_s=60, in_doubt=False)
    kit.clock.advance(-DAY_S)
    assert ledger.take(MODALITY) is not None


# ---- retention


def test_retention_deletes_nothing_before_its_promise_has_ended(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    finished(kit)
    kit.clock.advance(25 * DAY_S)
    ledger.accept(MODALITY, "1.2.1", wanted(2))
    verdict = taken(ledger)
    ledger.told(verdict.request_id, attempt=1)
    kit.clock.advance(19 * DAY_S)  # 44 days old, and promised for one more
    assert retire(kit) == ()
    assert retire(kit, max_bytes=0, finished_s=0.0, problems_s=0.0) == ()
    assert len(list((kit.spool.root / "objects").rglob("*.dcm"))) == 2
    kit.clock.advance(2 * DAY_S)
    assert retire(kit) == (STUDY,)


def test_a_promise_binds_from_the_moment_it_was_judged(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    """The report may be on its way, or heard with its answer lost: a process that died tells nobody."""
    finished(kit)
    kit.clock.advance(31 * DAY_S)
    ledger.accept(MODALITY, "1.2.1", wanted(1))
    assert reasons(taken(ledger)) == [None]
    assert retire(kit) == ()


@pytest.mark.parametrize("in_doubt", [True, False])
def test_only_a_report_that_was_surely_not_heard_binds_nobody(
    kit: Kit, ledger: LedgerCommitmentRequests, in_doubt: bool
) -> None:
    finished(kit)
    kit.clock.advance(31 * DAY_S)
    ledger.accept(MODALITY, "1.2.1", wanted(1))
    verdict = taken(ledger)
    ledger.not_told(verdict.request_id, attempt=1, reason="no", again_in_s=60, in_doubt=in_doubt)
    assert retire(kit) == (() if in_doubt else (STUDY,))
    kit.clock.advance(61)
    assert reasons(taken(ledger)) == [None if in_doubt else 0x0112]


def test_what_is_just_being_deleted_is_not_promised(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    finished(kit)
    kit.clock.advance(31 * DAY_S)
    ledger.accept(MODALITY, "1.2.1", wanted(1))
    assert retire(kit) == (STUDY,)
    assert reasons(taken(ledger)) == [0x0112]


def test_old_promises_are_forgotten_when_they_have_ended(kit: Kit, ledger: LedgerCommitmentRequests) -> None:
    finished(kit)
    ledger.accept(MODALITY, "1.2.1", wanted(1))
    ledger.accept(MODALITY, "1.2.2", wanted(1))
    verdict = taken(ledger)
    ledger.told(verdict.request_id, attempt=1)
    kit.clock.advance(300 * DAY_S)
    retire(kit)
    assert count(kit) == (2, 2)
    kit.clock.advance(200 * DAY_S)
    retire(kit)
    assert count(kit) == (1, 1)  # the other one was never reported


def count(kit: Kit) -> tuple[int, int]:
    with kit.database.read() as connection:
        return (
            connection.execute(select(func.count()).select_from(promises)).scalar_one(),
            connection.execute(select(func.count()).select_from(promised_instances)).scalar_one(),
        )
