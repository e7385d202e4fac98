"""A newer result replaces an older one: who is told to withdraw what, and how a person asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.contract.store.kit import MODEL, PASSED, SEG, SR, STUDY, Kit, a_decision, a_plan, refused, results_of, stored
from worker.domain.errors import PermanentError, TransientError
from worker.domain.job import JobId, JobKind, JobState
from worker.domain.model import ModelIdentity
from worker.domain.result import (
    DeliveryClaim,
    DeliveryState,
    EncodedObject,
    Predecessor,
    ResultContext,
    ResultKind,
    SendOutcome,
)
from worker.domain.study import Admission, Digest, SeriesInstanceUID, SOPClassUID, SOPInstanceUID, StudyInstanceUID
from worker.store.work.products import LedgerProducts

pytestmark = pytest.mark.slow

KOS = SOPClassUID("1.2.840.10008.5.1.4.1.1.88.59")
NEWER = ModelIdentity("lungs", "2.0", Digest("b" * 64))
BOTH = ("ARCHIVE", "PACS")


@pytest.fixture(autouse=True)
def noting(kit: Kit) -> None:
    """PACS wants rejection notes, ARCHIVE does not."""
    wanted_by(kit, "PACS")


def wanted_by(kit: Kit, *names: str) -> None:
    kit.products = LedgerProducts(kit.database, kit.spool, noting=frozenset(names))


def objects_of(tag: str) -> tuple[Predecessor, Predecessor]:
    """The SEG and the SR that ``results_of`` makes, as a later revision names them."""
    seg, sr = (
        Predecessor(
            kind, SeriesInstanceUID(f"1.2.826.0.6.{tag}.{n}"), sop_class, SOPInstanceUID(f"1.2.826.0.7.{tag}.{n}")
        )
        for n, (kind, sop_class) in enumerate(((ResultKind.SEG, SEG), (ResultKind.SR, SR)), start=1)
    )
    return seg, sr


def produce(kit: Kit, job_id: JobId, tag: str, between: Callable[[], object] = lambda: None) -> ResultContext:
    """Run an analysis as the encoder does: one note for each withdrawal of its context."""
    claim = kit.claim(job_id)
    context = kit.products.context(claim.job)
    notes = [
        EncodedObject(
            ResultKind.KOS,
            KOS,
            SOPInstanceUID(f"1.2.826.0.8.{tag}.{n}"),
            SeriesInstanceUID("1.2.8"),
            f"KOS {n}".encode(),
        )
        for n, _ in enumerate(context.withdrawals)
    ]
    kept = kit.products.keep([*results_of(tag), *notes])
    between()
    kit.products.produce(claim, kept, PASSED, json.dumps({}), withdrawals=context.withdrawals)
    return context


def first_of(kit: Kit, destinations: tuple[str, ...] = ("PACS",)) -> JobId:
    """Revision 1 has produced for these destinations."""
    kit.receive(2)
    job_id = kit.routed(key="k1", destinations=destinations)
    produce(kit, job_id, "1")
    return job_id


def next_of(kit: Kit, number: int, *, destinations: tuple[str, ...] = ("PACS",)) -> JobId:
    """A late instance, and revision ``number`` routed."""
    kit.receive(1, first=number + 10)
    return kit.routed(key=f"k{number}", destinations=destinations)


def claims(kit: Kit) -> dict[str, DeliveryClaim]:
    kit.clock.advance(61)
    found = [kit.outbox.claim(one, worker="d1") for one in kit.due_deliveries()]
    return {claim.delivery.destination: claim for claim in found if claim is not None}


def send(kit: Kit, *names: str) -> None:
    """Send what is due to these destinations; to others nobody gets through."""
    for name, claim in claims(kit).items():
        if name in names:
            for item in claim.delivery.items:
                kit.outbox.note(claim, stored(item.result.sop_instance_uid))
            kit.outbox.settle(claim, DeliveryState.SENT, reason="all stored")
        else:
            kit.outbox.settle(claim, DeliveryState.PENDING, reason="no association", retry_in_s=5)


def sent_kinds(kit: Kit, job_id: JobId) -> dict[str, list[str]]:
    return {one.destination: [item.result.kind.value for item in one.items] for one in kit.queries.deliveries(job_id)}


def withdrawn(context: ResultContext) -> dict[tuple[str, ...], set[Predecessor]]:
    return {one.destinations: set(one.instances) for one in context.withdrawals}


# ---- who gets a note, and what it names


def test_the_note_goes_last_and_only_to_who_wants_it(kit: Kit) -> None:
    first = first_of(kit, BOTH)
    send(kit, *BOTH)
    second = next_of(kit, 2, destinations=BOTH)
    context = produce(kit, second, "2")
    assert context.predecessors == objects_of("1")
    assert withdrawn(context) == {("PACS",): set(objects_of("1"))}
    assert sent_kinds(kit, second) == {"ARCHIVE": ["SEG", "SR"], "PACS": ["SEG", "SR", "KOS"]}
    assert kit.state(first) is JobState.SUPERSEDED
    send(kit, *BOTH)
    assert kit.state(second) is JobState.COMMITTED


def test_what_nobody_got_needs_no_note(kit: Kit) -> None:
    first = first_of(kit)
    second = next_of(kit, 2)
    context = produce(kit, second, "2")
    assert (context.predecessors, context.withdrawals) == ((), ())
    assert sent_kinds(kit, second) == {"PACS": ["SEG", "SR"]}
    assert [one.state for one in kit.queries.deliveries(first)] == [DeliveryState.WITHDRAWN]


def test_only_where_the_older_results_are_is_a_note_needed(kit: Kit) -> None:
    wanted_by(kit, *BOTH)
    first_of(kit, BOTH)
    send(kit, "ARCHIVE")
    second = next_of(kit, 2, destinations=BOTH)
    assert withdrawn(produce(kit, second, "2")) == {("ARCHIVE",): set(objects_of("1"))}
    assert sent_kinds(kit, second) == {"ARCHIVE": ["SEG", "SR", "KOS"], "PACS": ["SEG", "SR"]}


def test_a_note_names_only_what_is_there(kit: Kit) -> None:
    """Some archives refuse a note that names an object which they do not have."""
    first_of(kit)
    claim = claims(kit)["PACS"]
    seg, sr = (item.result.sop_instance_uid for item in claim.delivery.items)
    kit.outbox.note(claim, stored(seg))
    kit.outbox.note(claim, refused(sr))
    kit.outbox.settle(claim, DeliveryState.PENDING, reason="0xA700", retry_in_s=5)
    context = produce(kit, next_of(kit, 2), "2")
    assert withdrawn(context) == {("PACS",): {objects_of("1")[0]}}


def test_an_answer_that_never_came_counts_as_there(kit: Kit) -> None:
    first_of(kit)
    claim = claims(kit)["PACS"]
    seg = claim.delivery.items[0].result.sop_instance_uid
    kit.outbox.note(claim, SendOutcome(seg, None, stored=False, transient=True, detail="no answer"))
    kit.outbox.settle(claim, DeliveryState.PENDING, reason="no answer", retry_in_s=5)
    context = produce(kit, next_of(kit, 2), "2")
    assert withdrawn(context) == {("PACS",): {objects_of("1")[0]}}


def test_what_is_just_being_sent_is_named_and_the_note_waits_for_it(kit: Kit) -> None:
    first_of(kit)
    claim = claims(kit)["PACS"]
    second = next_of(kit, 2)
    assert withdrawn(produce(kit, second, "2")) == {("PACS",): set(objects_of("1"))}
    assert claims(kit) == {}
    for item in claim.delivery.items:
        kit.outbox.note(claim, stored(item.result.sop_instance_uid))
    kit.outbox.settle(claim, DeliveryState.SENT, reason="all stored")
    assert [item.result.kind for item in claims(kit)["PACS"].delivery.items][-1] is ResultKind.KOS


def test_each_revision_withdraws_the_one_before(kit: Kit) -> None:
    first_of(kit)
    send(kit, "PACS")
    produce(kit, next_of(kit, 2), "2")
    send(kit, "PACS")
    context = produce(kit, next_of(kit, 3), "3")
    assert context.predecessors == objects_of("2")
    assert withdrawn(context) == {("PACS",): set(objects_of("2"))}


def test_a_destination_that_missed_a_revision_gets_its_own_note(kit: Kit) -> None:
    wanted_by(kit, *BOTH)
    first_of(kit, BOTH)
    send(kit, *BOTH)
    second = next_of(kit, 2, destinations=BOTH)
    produce(kit, second, "2")
    send(kit, "PACS")
    third = next_of(kit, 3, destinations=BOTH)
    context = produce(kit, third, "3")
    assert withdrawn(context) == {("ARCHIVE",): set(objects_of("1")), ("PACS",): set(objects_of("2"))}
    notes = {one.destination: one.items[-1].result.sop_instance_uid for one in kit.queries.deliveries(third)}
    assert notes == {"ARCHIVE": "1.2.826.0.8.3.0", "PACS": "1.2.826.0.8.3.1"}


@pytest.mark.parametrize("how", ["refused", "no answer", "not wanted then"])
def test_what_no_note_has_withdrawn_yet_is_named_by_the_next(kit: Kit, how: str) -> None:
    first_of(kit)
    send(kit, "PACS")
    if how == "not wanted then":
        wanted_by(kit)
    second = next_of(kit, 2)
    produce(kit, second, "2")
    if how == "not wanted then":
        send(kit, "PACS")
    else:
        claim = claims(kit)["PACS"]
        *results, note = (item.result.sop_instance_uid for item in claim.delivery.items)
        for uid in results:
            kit.outbox.note(claim, stored(uid))
        if how == "refused":
            kit.outbox.note(claim, refused(note, 0x0122, transient=False))
            kit.outbox.settle(claim, DeliveryState.PARKED, reason="0x0122")
            assert kit.state(second) is JobState.FAILED
        else:
            kit.outbox.note(claim, SendOutcome(note, None, stored=False, transient=True, detail="no answer"))
            kit.outbox.settle(claim, DeliveryState.PENDING, reason="no answer", retry_in_s=5)
    wanted_by(kit, "PACS")
    context = produce(kit, next_of(kit, 3), "3")
    assert context.predecessors == objects_of("2")
    assert withdrawn(context) == {("PACS",): {*objects_of("1"), *objects_of("2")}}


def test_a_change_at_a_destination_meanwhile_makes_it_anew(kit: Kit) -> None:
    """A person retries the older delivery while its successor is being made."""
    first = first_of(kit)
    claim = claims(kit)["PACS"]
    kit.outbox.note(claim, refused(claim.delivery.items[0].result.sop_instance_uid, 0xA900, transient=False))
    kit.outbox.settle(claim, DeliveryState.PARKED, reason="0xA900")
    second = next_of(kit, 2)

    def meanwhile() -> None:
        kit.operations.retry(first)
        send(kit, "PACS")

    with pytest.raises(TransientError) as caught:
        produce(kit, second, "2", meanwhile)
    assert caught.value.code == "predecessor-moved"
    assert kit.state(second) is JobState.RUNNING
    assert kit.queries.results(second) == ()
    kit.operations.lost(False, second, worker="w1", reason="again")
    kit.clock.advance(2)
    assert withdrawn(produce(kit, second, "2")) == {("PACS",): set(objects_of("1"))}
    assert sent_kinds(kit, second) == {"PACS": ["SEG", "SR", "KOS"]}


def test_another_rule_or_model_withdraws_nothing(kit: Kit) -> None:
    first = first_of(kit)
    send(kit, "PACS")
    kit.receive(1, first=12)
    airways = ModelIdentity("airways", "1.0", Digest("c" * 64))
    context = produce(kit, kit.routed(key="k2", model=airways), "2")
    assert (context.predecessors, context.withdrawals) == ((), ())
    assert kit.state(first) is JobState.COMMITTED


# ---- the same work again


def test_work_that_was_replaced_is_another_generation(kit: Kit) -> None:
    """Back to the first model after a bad second one: the UIDs of the first result may be withdrawn by now."""
    first = first_of(kit)
    send(kit, "PACS")
    assert kit.products.context(kit.queries.job(first)).generation == 0
    instances = kit.evidence.of_analysis(kit.queries.job(first))
    produce(kit, next_of(kit, 2), "2")
    send(kit, "PACS")
    claim = kit.claim(kit.operations.rerun(STUDY))
    kit.routings.record(claim, [a_decision()], [a_plan(instances, "k1")])
    third = kit.job_of_key("k1")
    assert third != first
    context = kit.products.context(kit.queries.job(third))
    assert context.generation == 1
    assert context.created_at == kit.queries.job(third).created_at
    assert context.predecessors == objects_of("2")


def test_work_that_was_cancelled_gives_the_same_bytes_when_it_is_asked_for_again(kit: Kit) -> None:
    first = first_of(kit)
    kit.operations.cancel(first)
    claim = kit.claim(kit.operations.rerun(STUDY))
    instances = kit.evidence.of_route(claim.job)
    kit.routings.record(claim, [a_decision()], [a_plan(instances, "k1")])
    second = kit.job_of_key("k1")
    assert second != first
    before, after = (kit.products.context(kit.queries.job(one)) for one in (first, second))
    assert (after.created_at, after.generation) == (before.created_at, before.generation)


# ---- rerun


def rerun(kit: Kit, key: str, model: ModelIdentity) -> JobId:
    claim = kit.claim(kit.operations.rerun(STUDY))
    plan = a_plan(kit.evidence.of_route(claim.job), key, model=model)
    kit.routings.record(claim, [a_decision()], [plan])
    return kit.job_of_key(key)


def test_a_rerun_with_the_same_model_is_no_new_work(kit: Kit) -> None:
    first = first_of(kit)
    send(kit, "PACS")
    assert rerun(kit, "k1", MODEL) == first
    assert kit.state(first) is JobState.COMMITTED
    route = kit.route_job()
    assert (route.revision, route.state) == (2, JobState.ROUTED)
    assert route.reason == "0 new analysis job(s), 1 unchanged"
    assert kit.sweep.due(limit=10) == ()


def test_a_rerun_with_a_newer_model_supersedes_and_withdraws(kit: Kit) -> None:
    first = first_of(kit)
    send(kit, "PACS")
    second = rerun(kit, "k2", NEWER)
    job = kit.queries.job(second)
    assert (job.kind, job.revision, job.model) == (JobKind.ANALYSE, 2, NEWER)
    assert kit.state(first) is JobState.COMMITTED  # until there is something better
    context = produce(kit, second, "2")
    assert withdrawn(context) == {("PACS",): set(objects_of("1"))}
    assert kit.state(first) is JobState.SUPERSEDED
    assert kit.queries.timeline(first)[-1].reason == "revision 2 of the study replaced it"


def test_late_images_join_a_rerun_that_nobody_has_begun(kit: Kit) -> None:
    first_of(kit)
    job_id = kit.operations.rerun(STUDY)
    kit.receive(1, first=12)
    assert kit.route_job().job_id == job_id
    assert kit.state(job_id) is JobState.RECEIVED
    kit.clock.advance(60)
    (activity,) = kit.sweep.arriving()
    assert activity.instance_count == 1
    assert kit.complete() == job_id
    assert len(kit.evidence.of_route(kit.route_job())) == 3


@pytest.mark.parametrize("state", ["received", "ready", "queued", "running"])
def test_what_is_not_routed_yet_needs_no_rerun(kit: Kit, state: str) -> None:
    kit.receive(2)
    if state != "received":
        kit.complete()
    if state in {"queued", "running"}:
        kit.publish()
    if state == "running":
        kit.jobs.claim(kit.route_job().job_id, worker="w1")
    assert kit.route_job().state.value == state
    with pytest.raises(PermanentError) as caught:
        kit.operations.rerun(STUDY)
    assert caught.value.code == "cannot-rerun"
    assert kit.route_job().revision == 1


def test_a_cancelled_or_quarantined_study_can_be_asked_for_again(kit: Kit) -> None:
    kit.receive(2)
    kit.operations.cancel(kit.route_job().job_id)
    kit.jobs.settle(kit.claim(kit.operations.rerun(STUDY)), JobState.QUARANTINED, reason="identity-conflict")
    job_id = kit.operations.rerun(STUDY)
    assert kit.queries.job(job_id).revision == 3
    assert kit.publish() == [job_id]


def test_a_study_that_is_unknown_or_gone_cannot_be_done_anew(kit: Kit) -> None:
    with pytest.raises(PermanentError) as caught:
        kit.operations.rerun(StudyInstanceUID("9.9"))
    assert caught.value.code == "unknown-study"
    result = kit.offer(1, manufacturer="Overread", model_name="overread")
    assert kit.store.admit(result) is Admission.OWN_RESULT
    with pytest.raises(PermanentError) as caught:
        kit.operations.rerun(STUDY)
    assert caught.value.code == "unknown-study"


def test_without_its_images_a_study_cannot_be_done_anew(kit: Kit) -> None:
    first_of(kit)
    send(kit, "PACS")
    with kit.database.write() as connection:
        connection.exec_driver_sql("UPDATE instances SET kept = 'expired'")
    with pytest.raises(PermanentError) as caught:
        kit.operations.rerun(STUDY)
    assert caught.value.code == "evidence-expired"
