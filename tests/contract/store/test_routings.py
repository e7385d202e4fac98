"""From decisions to analyses: keys, revisions, superseding, predecessors, and the guard of identity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.store.kit import MODEL, SEG, SR, STUDY, Kit, a_decision, a_plan
from worker.domain.errors import IdentityError, LeaseLostError
from worker.domain.job import JobId, JobKind, JobState
from worker.domain.model import ModelIdentity
from worker.domain.result import DeliveryState, ResultKind
from worker.domain.study import Digest, StudyInstanceUID
from worker.store.work.evidence import LedgerEvidence


def again(kit: Kit, number: int, key: str, *, model: ModelIdentity = MODEL) -> JobId:
    """A late instance, and the new revision routed to ``key``."""
    kit.receive(1, first=number)
    return kit.routed(key=key, model=model)


def replaced(kit: Kit, job_id: JobId) -> list[str]:
    """The objects that the results of a job replace."""
    return [one.sop_instance_uid for one in kit.products.context(kit.queries.job(job_id)).predecessors]


def test_decisions_and_analyses_are_stored_and_the_route_job_ends(kit: Kit) -> None:
    kit.receive(3)
    job_id = kit.routed(destinations=("PACS", "ARCHIVE"))
    job = kit.queries.job(job_id)
    assert (job.kind, job.state, job.revision, job.rule) == (JobKind.ANALYSE, JobState.READY, 1, "chest")
    assert job.model == MODEL
    assert job.series_instance_uid == f"{STUDY}.5"
    assert job.label == "analyse lungs 1.0"
    route = kit.route_job()
    assert route.state is JobState.ROUTED
    assert kit.evidence.of_analysis(job) == kit.evidence.of_route(route)
    assert kit.queries.decisions(STUDY) == (a_decision(),)
    assert kit.queries.details(job_id).destinations == ("PACS", "ARCHIVE")
    assert kit.queries.details(job_id).evidence_count == 3


def test_nothing_planned_is_an_end_with_reasons(kit: Kit) -> None:
    kit.receive(1)
    claim = kit.claim(kit.complete())
    assert kit.routings.record(claim, [a_decision(chosen=False)], []) == 0
    assert kit.route_job().state is JobState.NO_MODEL_APPLIES
    assert [one.chosen for one in kit.queries.decisions(STUDY)] == [False]


def test_the_same_key_is_the_same_work(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    kit.produced(first)
    kit.receive(1, first=3)
    claim = kit.claim(kit.complete())
    same = a_plan(kit.evidence.of_analysis(kit.queries.job(first)), "k1")
    assert kit.routings.record(claim, [a_decision()], [same]) == 0
    assert kit.state(first) is JobState.PRODUCED
    assert [(one.revision, one.job_id, one.is_new) for one in kit.queries.plans(STUDY)] == [
        (1, first, True),
        (2, first, False),
    ]
    assert kit.queries.decisions(STUDY, revision=1) == kit.queries.decisions(STUDY, revision=2)


def test_a_cancelled_job_frees_its_key(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    kit.operations.cancel(first)
    second = again(kit, 3, "k1")
    assert second != first
    assert kit.state(second) is JobState.READY


def test_a_newer_revision_fences_a_running_attempt(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    claim = kit.claim(first)
    second = again(kit, 3, "k2")
    assert kit.state(first) is JobState.SUPERSEDED
    with pytest.raises(LeaseLostError):
        kit.jobs.extend(claim)
    assert kit.queries.details(first).superseded_by == second


def test_results_that_nobody_has_yet_are_withdrawn(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    kit.produced(first, tag="1")
    second = again(kit, 3, "k2")
    assert kit.state(first) is JobState.SUPERSEDED
    assert [one.state for one in kit.queries.deliveries(first)] == [DeliveryState.WITHDRAWN]
    assert kit.products.context(kit.queries.job(second)).predecessors == ()


def test_delivered_results_stay_until_the_replacement_produces(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    kit.produced(first, tag="1")
    kit.delivered(first)
    assert kit.state(first) is JobState.COMMITTED
    second = again(kit, 3, "k2")
    assert kit.state(first) is JobState.COMMITTED
    context = kit.products.context(kit.queries.job(second))
    assert context.revision == 2
    assert [(one.kind, one.series_instance_uid, one.sop_class_uid) for one in context.predecessors] == [
        (ResultKind.SEG, "1.2.826.0.6.1.1", SEG),
        (ResultKind.SR, "1.2.826.0.6.1.2", SR),
    ]
    assert replaced(kit, second) == ["1.2.826.0.7.1.1", "1.2.826.0.7.1.2"]
    kit.produced(second, tag="2")
    assert kit.state(first) is JobState.SUPERSEDED
    assert kit.queries.details(first).superseded_by == second


def test_a_third_revision_names_the_latest_report_that_was_delivered(kit: Kit) -> None:
    kit.receive(2)
    for tag, number in (("1", 3), ("2", 4)):
        job_id = kit.routed(key=f"k{tag}") if tag == "1" else again(kit, number, f"k{tag}")
        kit.produced(job_id, tag=tag)
        kit.delivered(job_id)
    third = again(kit, 5, "k3")
    assert replaced(kit, third) == ["1.2.826.0.7.2.1", "1.2.826.0.7.2.2"]


def test_a_revision_that_never_delivered_is_skipped_over(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    kit.produced(first, tag="1")
    kit.delivered(first)
    second = again(kit, 3, "k2")
    third = again(kit, 4, "k3")
    assert kit.state(second) is JobState.SUPERSEDED
    assert replaced(kit, third) == ["1.2.826.0.7.1.1", "1.2.826.0.7.1.2"]
    kit.produced(third, tag="3")
    assert kit.state(first) is JobState.SUPERSEDED


def test_a_quarantined_job_is_superseded_when_its_successor_produces(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    kit.jobs.settle(kit.claim(first), JobState.QUARANTINED, reason="gate-refused")
    second = again(kit, 3, "k2")
    assert kit.state(first) is JobState.QUARANTINED
    kit.produced(second)
    assert kit.state(first) is JobState.SUPERSEDED


def test_another_model_or_rule_is_not_superseded(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    again(kit, 3, "k2", model=ModelIdentity("airways", "1.0", Digest("b" * 64)))
    assert kit.state(first) is JobState.QUEUED  # published together with the route job, and left alone


def test_a_new_version_of_the_model_supersedes(kit: Kit) -> None:
    kit.receive(2)
    first = kit.routed(key="k1")
    again(kit, 3, "k2", model=ModelIdentity("lungs", "2.0", Digest("b" * 64)))
    assert kit.state(first) is JobState.SUPERSEDED


def test_of_two_series_only_the_changed_one_is_superseded(kit: Kit) -> None:
    def series(number: int) -> list:  # type: ignore[type-arg]
        route = kit.route_job()
        return [one for one in kit.evidence.of_route(route) if one.header.series_instance_uid == f"{STUDY}.{number}"]

    kit.store.admit(kit.offer(1, series=f"{STUDY}.1"))
    kit.store.admit(kit.offer(2, series=f"{STUDY}.2"))
    claim = kit.claim(kit.complete())
    kit.routings.record(claim, [], [a_plan(series(1), "s1"), a_plan(series(2), "s2")])
    one, two = kit.job_of_key("s1"), kit.job_of_key("s2")
    kit.store.admit(kit.offer(3, series=f"{STUDY}.2"))
    claim = kit.claim(kit.complete())
    assert kit.routings.record(claim, [], [a_plan(series(1), "s1"), a_plan(series(2), "s2+")]) == 1
    assert kit.state(one) is JobState.QUEUED  # published together with the route job, and left alone
    assert kit.state(two) is JobState.SUPERSEDED
    assert kit.queries.details(two).superseded_by == kit.job_of_key("s2+")


def test_a_newer_routing_ends_an_older_one_that_has_not_ended(kit: Kit) -> None:
    kit.receive(2)
    old = kit.claim(kit.complete())
    kit.receive(1, first=3)
    kit.routed(key="k2")
    assert kit.state(old.job.job_id) is JobState.SUPERSEDED
    with pytest.raises(LeaseLostError):
        kit.routings.record(old, [a_decision()], [a_plan((), "k1")])


def test_a_lost_lease_records_nothing_at_all(kit: Kit) -> None:
    kit.receive(2)
    claim = kit.claim(kit.complete())
    evidence = kit.evidence.of_route(claim.job)
    kit.operations.cancel(claim.job.job_id)
    with pytest.raises(LeaseLostError):
        kit.routings.record(claim, [a_decision()], [a_plan(evidence, "k1")])
    assert kit.queries.decisions(STUDY) == ()
    assert [job.kind for job in kit.queries.list_jobs()] == [JobKind.ROUTE]


@pytest.mark.parametrize(
    ("first", "second"), [("P-1", "P-2"), ("P-1", "p-1"), ("P-1", "")], ids=["other", "case", "empty"]
)
def test_two_patients_in_one_study_give_no_result(kit: Kit, first: str, second: str) -> None:
    kit.store.admit(kit.offer(1, patient_id=first))
    kit.store.admit(kit.offer(2, patient_id=second))
    with pytest.raises(IdentityError) as caught:
        kit.evidence.of_route(kit.route_job())
    assert caught.value.code == "identity-conflict"
    assert "PatientID" in str(caught.value)
    assert first not in str(caught.value)


def test_a_later_instance_of_another_patient_is_seen_in_its_revision(kit: Kit) -> None:
    kit.receive(2)
    job_id = kit.routed()
    kit.store.admit(kit.offer(3, patient_id="P-2"))
    with pytest.raises(IdentityError):
        kit.evidence.of_route(kit.route_job())
    assert len(kit.evidence.of_analysis(kit.queries.job(job_id))) == 2


@pytest.mark.parametrize("patient_id", ["", "   "])
def test_a_study_without_patient_id_gives_no_result_unless_allowed(kit: Kit, patient_id: str) -> None:
    kit.store.admit(kit.offer(1, patient_id=patient_id))
    with pytest.raises(IdentityError) as caught:
        kit.evidence.of_route(kit.route_job())
    assert caught.value.code == "patient-id-empty"
    lenient = LedgerEvidence(kit.database, kit.spool, require_patient_id=False)
    assert len(lenient.of_route(kit.route_job())) == 1


def test_several_patient_ids_in_one_value_give_no_result(kit: Kit) -> None:
    kit.store.admit(kit.offer(1, patient_id="P-1\\P-2"))
    with pytest.raises(IdentityError) as caught:
        kit.evidence.of_route(kit.route_job())
    assert caught.value.code == "identity-conflict"


def test_interleaved_studies_never_share_evidence(kit: Kit) -> None:
    """Studies of different patients that share the series UID, the association and the accession number."""
    studies = [f"1.2.826.0.1.{n}" for n in range(3)]
    for number in range(6):
        for n, study in enumerate(studies):
            kit.store.admit(kit.offer(number, study=study, series="1.2.3.4", patient_id=f"P-{n}"))
    for n, study in enumerate(studies):
        found = kit.evidence.of_route(kit.route_job(study))
        assert {one.header.patient.patient_id for one in found} == {f"P-{n}"}
        assert {one.header.study_instance_uid for one in found} == {study}
        assert len(found) == 6


def test_nothing_is_decided_of_an_unknown_study(kit: Kit) -> None:
    assert kit.queries.decisions(StudyInstanceUID("9.9")) == ()
    assert kit.queries.plans(StudyInstanceUID("9.9")) == ()


def test_decisions_name_the_input_that_they_are_about(kit: Kit) -> None:
    kit.receive(2)
    claim = kit.claim(kit.complete())
    told = [replace(a_decision(), input=name, chosen=name == "t1") for name in ("t1", "t2")]
    kit.routings.record(claim, [*told, a_decision()], [])
    assert kit.queries.decisions(STUDY) == (*told, a_decision())


def test_evidence_stays_in_the_order_in_which_it_was_planned(kit: Kit) -> None:
    """The order says which series is which input of a model."""
    kit.receive(3)
    claim = kit.claim(kit.complete())
    planned = tuple(reversed(kit.evidence.of_route(claim.job)))
    kit.routings.record(claim, [a_decision()], [a_plan(planned, "k1")])
    assert kit.evidence.of_analysis(kit.queries.job(kit.job_of_key("k1"))) == planned


def waiting(kit: Kit, planned: int = 0) -> JobId:
    """A route job that waits for a model."""
    kit.receive(2)
    claim = kit.claim(kit.complete())
    evidence = kit.evidence.of_route(claim.job)
    plans = [a_plan(evidence, f"k{n}") for n in range(planned)]
    kit.routings.record(claim, [a_decision(chosen=False)], plans, waits_for="waits for model x", again_in_s=1800)
    return claim.job.job_id


def test_a_study_that_waits_for_a_model_is_routed_again_when_it_is_released(kit: Kit) -> None:
    route = waiting(kit, planned=1)
    assert kit.state(route) is JobState.WAITING
    assert kit.queries.job(route).reason == "waits for model x; 1 new analysis job(s), 0 unchanged"
    assert kit.sweep.release(mended=False, reason="nothing changed") == 0
    assert kit.sweep.release(mended=True, reason="mended") == 1
    claim = kit.claim(route)
    assert claim.failures == 0, "waiting is held against nobody"
    plans = [a_plan(kit.evidence.of_route(claim.job), f"k{n}") for n in range(2)]
    assert kit.routings.record(claim, [a_decision()], plans) == 1, "the first is known"
    assert kit.state(route) is JobState.ROUTED
    assert [one.is_new for one in kit.queries.plans(STUDY)] == [False, True]
    assert kit.queries.decisions(STUDY) == (a_decision(),), "what was said while it waited is gone"


def test_what_waited_long_enough_is_tried_though_nothing_has_changed(kit: Kit) -> None:
    route = waiting(kit)
    kit.clock.advance(1801)
    assert kit.sweep.release(mended=False, reason="long enough") == 1
    assert kit.state(route) is JobState.READY


def test_an_analysis_waits_without_losing_attempts(kit: Kit) -> None:
    kit.receive(2)
    job_id = kit.routed()
    for _ in range(5):
        kit.jobs.settle(kit.claim(job_id), JobState.WAITING, reason="weights-missing: gone", retry_in_s=1800)
        assert kit.sweep.release(mended=True, reason="mended") == 1
    assert kit.claim(job_id).failures == 0


def test_late_images_replace_a_study_that_waits(kit: Kit) -> None:
    route = waiting(kit)
    assert again(kit, 3, "k1")
    assert kit.state(route) is JobState.SUPERSEDED


def test_a_person_may_try_or_stop_what_waits(kit: Kit) -> None:
    route = waiting(kit)
    assert kit.operations.retry(route) is JobState.READY
    kit.jobs.settle(kit.claim(route), JobState.WAITING, reason="still", retry_in_s=1800)
    assert kit.operations.cancel(route) is JobState.CANCELLED
