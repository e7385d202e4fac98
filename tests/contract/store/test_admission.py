"""Taking custody: what is stored, repeated, in conflict, our own; and how revisions open."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.store.kit import EXPLICIT, PASSED, STUDY, Kit, results_of
from worker.domain.errors import IdentityError, LeaseLostError, PermanentError, StoreUnavailableError
from worker.domain.job import JobKind, JobState
from worker.domain.study import Admission, RefusedInstance, SOPInstanceUID, StudyInstanceUID, TransferSyntaxUID
from worker.store.custody.admission import InstanceStore
from worker.store.spool.spool import object_key

pytestmark = pytest.mark.slow


def test_a_new_instance_is_stored_with_its_object_and_its_row(kit: Kit) -> None:
    offer = kit.offer(1)
    content = offer.temporary.read_bytes()
    assert kit.store.admit(offer) is Admission.STORED
    (found,) = kit.evidence.of_route(kit.route_job())
    assert found.header == offer.header
    assert found.path.read_bytes() == content
    assert found.path.stem == object_key(offer.sha256, offer.transfer_syntax_uid)
    assert found.calling_ae_title == "MODALITY"
    assert not offer.temporary.exists()


def test_a_repeat_changes_nothing_and_leaves_no_file(kit: Kit) -> None:
    kit.receive(1)
    before = kit.evidence.of_route(kit.route_job())
    again = kit.offer(1)
    assert kit.store.admit(again) is Admission.REPEATED
    assert not again.temporary.exists()
    assert kit.evidence.of_route(kit.route_job()) == before
    assert kit.sweep.arriving()[0].instance_count == 1
    assert len(list((kit.spool.root / "objects").rglob("*.dcm"))) == 1


def test_a_repeat_after_the_study_was_routed_opens_no_revision(kit: Kit) -> None:
    kit.receive(2)
    kit.routed()
    kit.receive(2)
    assert kit.route_job().revision == 1


def test_other_content_is_kept_apart_and_the_first_copy_is_untouched(kit: Kit) -> None:
    kit.receive(1)
    (first,) = kit.evidence.of_route(kit.route_job())
    content = first.path.read_bytes()
    assert kit.store.admit(kit.offer(1, content=b"something else")) is Admission.CONFLICT
    assert kit.evidence.of_route(kit.route_job()) == (first,)
    assert first.path.read_bytes() == content
    (conflict,) = kit.queries.conflicts()
    assert conflict.path.read_bytes().endswith(b"something else")
    assert not conflict.identity_differs
    assert kit.store.admit(kit.offer(1, content=b"something else")) is Admission.CONFLICT
    assert [one.times for one in kit.queries.conflicts()] == [2]


def test_a_conflict_about_the_patient_gives_no_result(kit: Kit) -> None:
    kit.receive(2)
    kit.store.admit(kit.offer(2, patient_id="P-2"))
    assert kit.queries.conflicts()[0].identity_differs
    with pytest.raises(IdentityError) as caught:
        kit.evidence.of_route(kit.route_job())
    assert caught.value.code == "identity-conflict"
    assert "P-1" not in str(caught.value)
    assert "P-2" not in str(caught.value)


def test_the_same_uid_in_another_study_does_not_spoil_the_first_study(kit: Kit) -> None:
    kit.receive(2)
    intruder = kit.offer(1, study="1.2.826.0.1.2", patient_id="P-2", uid=f"{STUDY}.9.1")
    assert kit.store.admit(intruder) is Admission.CONFLICT
    assert len(kit.evidence.of_route(kit.route_job())) == 2
    assert kit.queries.study(StudyInstanceUID("1.2.826.0.1.2")) is None


def test_own_results_are_kept_and_never_evidence(kit: Kit) -> None:
    kit.receive(1)
    kit.produced(kit.routed(), tag="1")
    by_uid = kit.offer(50, uid="1.2.826.0.7.1.2")
    by_equipment = kit.offer(51, manufacturer="Overread", model_name="overread")
    assert kit.store.admit(by_uid) is Admission.OWN_RESULT
    assert kit.store.admit(by_equipment) is Admission.OWN_RESULT
    assert kit.store.admit(kit.offer(51, manufacturer="Overread", model_name="overread")) is Admission.REPEATED
    assert kit.route_job().revision == 1
    assert len(kit.evidence.of_route(kit.route_job())) == 1
    study = kit.queries.study(STUDY)
    assert study is not None
    assert study.own_results == 2


def test_an_instance_before_work_began_joins_and_waits_again(kit: Kit) -> None:
    kit.receive(1)
    job_id = kit.complete()
    kit.receive(1, first=2)
    assert kit.state(job_id) is JobState.RECEIVED
    kit.complete()
    assert kit.publish() == [job_id]
    kit.receive(1, first=3)
    assert kit.state(job_id) is JobState.RECEIVED
    assert kit.route_job().revision == 1
    assert kit.jobs.claim(job_id, worker="w1") is None


@pytest.mark.parametrize("ended", [False, True])
def test_a_late_instance_opens_a_new_revision(kit: Kit, ended: bool) -> None:
    kit.receive(2)
    if ended:
        kit.routed()
    else:
        kit.claim(kit.complete())
    first = kit.route_job()
    kit.receive(1, first=3)
    second = kit.route_job()
    assert (second.revision, second.state) == (2, JobState.RECEIVED)
    assert len(kit.evidence.of_route(first)) == 2
    assert len(kit.evidence.of_route(second)) == 3


def test_activity_tells_how_a_study_arrives(kit: Kit) -> None:
    kit.store.admit(kit.offer(1, association="a1"))
    kit.clock.advance(4)
    kit.store.admit(kit.offer(2, association="a2"))
    kit.clock.advance(1)
    (activity,) = kit.sweep.arriving()
    assert activity.instance_count == 2
    assert activity.modalities == ("CT",)
    assert 4 <= activity.largest_gap_s < 4.5
    assert activity.open_associations == 2
    assert 1 <= (activity.now - activity.last_received_at).total_seconds() < 1.5
    kit.store.association_released("a1")
    kit.store.admit(kit.offer(3, association="a3"))  # when it returns, the release is written too
    kit.store.association_released("a2")
    kit.store.admit(kit.offer(3, association="a3"))
    assert [one.open_associations for one in kit.sweep.arriving()] == [1]  # a3, by its new instance


def test_associations_of_a_dead_listener_count_as_closed(kit: Kit) -> None:
    kit.store.admit(kit.offer(1, association="a1"))
    assert kit.sweep.arriving()[0].open_associations == 1
    again = kit.new_store()
    again.start()
    again.close()
    assert kit.sweep.arriving()[0].open_associations == 0


def test_associations_of_another_listener_stay_open(kit: Kit) -> None:
    kit.store.admit(kit.offer(1, association="a1"))
    other = kit.new_store("listener-2")
    other.start()
    other.close()
    assert kit.sweep.arriving()[0].open_associations == 1


def test_a_listener_without_heartbeat_counts_as_dead(kit: Kit) -> None:
    kit.store.admit(kit.offer(1, association="a1"))
    kit.clock.advance(61)
    assert kit.sweep.arriving()[0].open_associations == 0


def test_a_study_is_not_complete_when_an_instance_came_after_the_look(kit: Kit) -> None:
    kit.receive(1)
    (activity,) = kit.sweep.arriving()
    kit.receive(1, first=2)
    assert not kit.sweep.complete(activity, reason="quiet")
    assert kit.route_job().state is JobState.RECEIVED


def test_many_threads_with_the_same_instance_store_it_once(kit: Kit) -> None:
    offers = [kit.offer(1) for _ in range(12)]
    with ThreadPoolExecutor(12) as threads:
        admissions = list(threads.map(kit.store.admit, offers))
    assert sorted(admissions) == [Admission.REPEATED] * 11 + [Admission.STORED]
    assert kit.queries.counts().instances == 1


def test_many_threads_with_many_studies_lose_and_double_nothing(kit: Kit) -> None:
    studies = [f"1.2.826.0.1.{n}" for n in range(4)]
    offers = [kit.offer(n, study=study, association=study) for study in studies for n in range(20)]
    with ThreadPoolExecutor(8) as threads:
        admissions = list(threads.map(kit.store.admit, offers))
    assert set(admissions) == {Admission.STORED}
    for study in studies:
        assert len(kit.evidence.of_route(kit.route_job(study))) == 20
    assert len(kit.queries.list_jobs()) == 4
    assert {one.instance_count for one in kit.sweep.arriving()} == {20}


def test_threads_that_disagree_about_one_uid_leave_one_first_copy(kit: Kit) -> None:
    offers = [kit.offer(1, content=f"version {n}".encode()) for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        admissions = list(threads.map(kit.store.admit, offers))
    assert sorted(admissions) == [Admission.CONFLICT] * 7 + [Admission.STORED]
    assert len(kit.queries.conflicts()) == 7
    first = offers[admissions.index(Admission.STORED)]
    (found,) = kit.evidence.of_route(kit.route_job())
    assert found.sha256 == first.sha256


def test_two_listeners_race_for_the_same_instances(kit: Kit) -> None:
    other = kit.new_store("listener-2")
    pairs = [(kit.offer(n), kit.offer(n)) for n in range(30)]
    start = threading.Barrier(2)

    def send(which: int) -> list[Admission]:
        start.wait()
        return [(kit.store, other)[which].admit(pair[which]) for pair in pairs]

    with ThreadPoolExecutor(2) as threads:
        ours, theirs = threads.map(send, (0, 1))
    other.close()
    for one, two in zip(ours, theirs, strict=True):
        assert sorted([one, two]) == [Admission.REPEATED, Admission.STORED]
    assert kit.queries.counts().instances == 30


def test_one_bad_offer_in_a_group_harms_no_other(kit: Kit) -> None:
    offers = [kit.offer(n) for n in range(6)]
    bad = kit.offer(99, uid="1." + "2" * 80)
    with ThreadPoolExecutor(7) as threads:
        futures = [threads.submit(kit.store.admit, one) for one in (*offers, bad)]
    with pytest.raises(PermanentError) as caught:
        futures[-1].result()
    assert caught.value.code == "invalid-uid"
    assert not bad.temporary.exists()
    assert {future.result() for future in futures[:-1]} == {Admission.STORED}


def test_text_that_no_database_stores_is_still_stored(kit: Kit) -> None:
    assert kit.store.admit(kit.offer(1, patient_id="P\x001\udcff")) is Admission.STORED
    assert kit.store.admit(kit.offer(2, patient_id="P\x001\udcff")) is Admission.STORED
    assert len(kit.evidence.of_route(kit.route_job())) == 2


def test_refusals_are_kept_with_their_reason(kit: Kit) -> None:
    path = kit.store.temporary_folder / "bad.part"
    path.write_bytes(b"rubbish")
    kit.store.refuse(RefusedInstance(path, "not-dicom", "no SOP Class UID", "MODALITY", "a1"))
    kit.store.refuse(RefusedInstance(None, "too-large", "more than 4 GiB", "MODALITY", "a1"))
    newest, oldest = kit.queries.refusals()
    assert (newest.code, newest.path) == ("too-large", None)
    assert oldest.code == "not-dicom"
    assert oldest.path is not None
    assert oldest.path.read_bytes() == b"rubbish"
    assert not path.exists()


def test_a_flood_of_refusals_does_not_fill_the_disk(kit: Kit) -> None:
    small = type(kit.store)(database=kit.database, spool=kit.spool, listener_id="small", quarantine_bytes=250)
    for n in range(4):
        path = small.temporary_folder / f"bad{n}.part"
        path.write_bytes(b"x" * 100)
        small.refuse(RefusedInstance(path, "not-dicom", "", "MODALITY", "a1"))
    small.close()
    assert [one.path is not None for one in kit.queries.refusals()] == [False, False, True, True]
    assert len(list((kit.spool.root / "quarantine").iterdir())) == 2


def test_an_instance_that_was_lost_is_healed_by_sending_it_again(kit: Kit) -> None:
    kit.receive(2)
    route = kit.claim(kit.complete()).job
    lost = kit.evidence.of_route(route)[0]
    lost.path.unlink()
    with kit.database.write() as connection:
        connection.exec_driver_sql("UPDATE instances SET kept = 'missing' WHERE id = 1")
    with pytest.raises(PermanentError) as caught:
        kit.evidence.of_route(route)
    assert caught.value.code == "object-missing"
    number = int(lost.sop_instance_uid.rpartition(".")[2])
    assert kit.store.admit(kit.offer(number)) is Admission.STORED
    assert lost.path.exists()
    assert kit.route_job().revision == 2
    assert len(kit.evidence.of_route(kit.route_job())) == 2


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 7),
    "emptied": lambda path: os.truncate(path, 0),
    "altered": lambda path: path.write_bytes(path.read_bytes()[:-9] + b"X" + path.read_bytes()[-8:]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"tail"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_repeat_of_a_damaged_object_mends_it(kit: Kit, damage: Callable[[Path], object]) -> None:
    kit.receive(2)
    (first, _) = kit.evidence.of_route(kit.claim(kit.complete()).job)
    content = first.path.read_bytes()
    damage(first.path)
    assert kit.store.admit(kit.offer(1)) is Admission.STORED
    assert first.path.read_bytes() == content
    assert kit.store.admit(kit.offer(1)) is Admission.REPEATED
    assert len(kit.evidence.of_route(kit.route_job())) == 2
    assert kit.queries.counts().instances == 2


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_an_analysis_that_met_a_damaged_object_goes_on_when_it_comes_again(
    kit: Kit, damage: Callable[[Path], object]
) -> None:
    kit.receive(2)
    job_id = kit.routed()
    claim = kit.claim(job_id)
    damage(kit.evidence.of_analysis(claim.job)[1].path)
    with pytest.raises(PermanentError) as caught:
        kit.evidence.of_analysis(claim.job)
    assert caught.value.code == "evidence-changed"
    kit.jobs.settle(claim, JobState.QUARANTINED, reason="evidence-changed: damaged")
    kit.receive(2)
    assert kit.state(job_id) is JobState.READY
    claim = kit.claim(job_id)
    assert len(kit.evidence.of_analysis(claim.job)) == 2
    kit.receive(2)
    assert kit.state(job_id) is JobState.RUNNING


def test_an_attempt_that_may_have_read_a_damaged_object_is_thrown_away(kit: Kit) -> None:
    kit.receive(2)
    job_id = kit.routed()
    claim = kit.claim(job_id)
    kit.evidence.of_analysis(claim.job)[0].path.write_bytes(b"")
    kit.receive(2)
    with pytest.raises(LeaseLostError):
        kit.products.produce(claim, kit.products.keep(results_of()), PASSED, "{}")
    assert kit.state(job_id) is JobState.READY


def test_a_study_whose_object_was_altered_is_not_routed_by_it(kit: Kit) -> None:
    kit.receive(2)
    claim = kit.claim(kit.complete())
    DAMAGE["altered"](kit.evidence.of_route(claim.job)[0].path)
    with pytest.raises(PermanentError) as caught:
        kit.evidence.of_route(claim.job)
    assert caught.value.code == "evidence-changed"
    kit.jobs.settle(claim, JobState.QUARANTINED, reason="evidence-changed: damaged")
    kit.receive(2)
    assert len(kit.evidence.of_route(kit.claim(kit.complete()).job)) == 2


def test_a_damaged_copy_in_conflict_is_mended_as_well(kit: Kit) -> None:
    kit.receive(1)
    kit.store.admit(kit.offer(1, content=b"something else"))
    (conflict,) = kit.queries.conflicts()
    conflict.path.write_bytes(b"")
    assert kit.store.admit(kit.offer(1, content=b"something else")) is Admission.CONFLICT
    assert conflict.path.read_bytes().endswith(b"something else")


JPEG_LS = TransferSyntaxUID("1.2.840.10008.1.2.4.80")


@pytest.mark.parametrize("name", ["Doe ^Jane", "Doe^Jane^", "Doe^ Jane ^^^", " Doe^Jane=", "Doe^Jane=^^="])
def test_padding_in_a_name_makes_no_other_patient(kit: Kit, name: str) -> None:
    kit.receive(1)
    kit.store.admit(kit.offer(2, patient_name=name))
    assert len(kit.evidence.of_route(kit.route_job())) == 2
    kit.store.admit(kit.offer(1, patient_name=name, content=b"the same image with another name"))
    assert not kit.queries.conflicts()[0].identity_differs
    assert len(kit.evidence.of_route(kit.route_job())) == 2


@pytest.mark.parametrize("name", ["DOE^JANE", "Doe^J ane", "Doe^Jane^M", "^Doe^Jane", "DoeJane", "Doe^Jane=X", ""])
def test_anything_else_in_a_name_may_be_another_patient(kit: Kit, name: str) -> None:
    kit.receive(1)
    kit.store.admit(kit.offer(2, patient_name=name))
    with pytest.raises(IdentityError):
        kit.evidence.of_route(kit.route_job())


def test_the_same_instance_in_another_transfer_syntax_is_kept_and_is_no_conflict(kit: Kit) -> None:
    kit.receive(2)
    before = kit.evidence.of_route(kit.route_job())
    for name in ("Doe^Jane", "Doe ^Jane"):
        other = kit.offer(1, content=b"compressed", transfer_syntax_uid=JPEG_LS, patient_name=name)
        assert kit.store.admit(other) is Admission.OTHER_ENCODING
    assert kit.evidence.of_route(kit.route_job()) == before
    assert kit.queries.conflicts() == ()
    assert kit.queries.counts().conflicts == 0
    (kept,) = (kit.spool.root / "conflicts").rglob("*.dcm")
    assert kept.read_bytes().endswith(b"compressed")
    assert kit.route_job().revision == 1


@pytest.mark.parametrize("change", [{"patient_id": "P-2"}, {"patient_name": "Roe^Jane"}, {"series": "1.2.826.0.9"}])
def test_another_identity_in_another_transfer_syntax_is_a_conflict(kit: Kit, change: dict[str, str]) -> None:
    kit.receive(1)
    other = kit.offer(1, content=b"compressed", transfer_syntax_uid=JPEG_LS, **change)  # type: ignore[arg-type]
    assert kit.store.admit(other) is Admission.CONFLICT
    assert kit.queries.conflicts()[0].identity_differs is ("series" not in change)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_another_encoding_takes_the_place_of_a_damaged_first_copy(kit: Kit, damage: Callable[[Path], object]) -> None:
    kit.receive(2)
    job_id = kit.routed()
    claim = kit.claim(job_id)
    damage(kit.evidence.of_analysis(claim.job)[0].path)
    kit.jobs.settle(claim, JobState.QUARANTINED, reason="evidence-changed: damaged")
    for number in (1, 2):
        kit.store.admit(kit.offer(number, content=b"compressed %d" % number, transfer_syntax_uid=JPEG_LS))
    found = kit.evidence.of_route(kit.claim(kit.complete()).job)
    assert sorted(one.transfer_syntax_uid for one in found) == [EXPLICIT, JPEG_LS]
    assert kit.state(job_id) is JobState.QUARANTINED  # planning replaces it: its evidence has another digest now


def test_what_the_index_says_of_a_study(kit: Kit) -> None:
    kit.receive(3)
    kit.store.admit(kit.offer(1, content=b"other"))
    study = kit.queries.study(STUDY)
    assert study is not None
    assert (study.instance_count, study.conflicts, study.revision) == (3, 1, 1)
    assert [(one.modality, one.instances) for one in study.series] == [("CT", 3)]
    assert [job.kind for job in study.jobs] == [JobKind.ROUTE]
    assert kit.queries.study(StudyInstanceUID("9.9")) is None
    counts = kit.queries.counts()
    assert counts.instances == 3
    assert counts.jobs == {JobState.RECEIVED: 1}
    assert counts.instance_bytes == sum(one.size_bytes for one in kit.evidence.of_route(kit.route_job()))
    assert SOPInstanceUID(f"{STUDY}.9.1") == kit.queries.conflicts()[0].sop_instance_uid


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_committing_thread_that_dies_costs_an_answer_and_not_the_service(kit: Kit) -> None:
    kit.receive(1)
    kit.clock.dies = True
    with pytest.raises(StoreUnavailableError) as caught:
        kit.store.admit(kit.offer(2))
    assert caught.value.code == "store-unavailable"
    assert kit.store.admit(kit.offer(2)) is Admission.STORED
    assert len(kit.evidence.of_route(kit.route_job())) == 2


def test_an_instance_waits_for_its_commit_no_longer_than_it_may(kit: Kit) -> None:
    impatient = InstanceStore(database=kit.database, spool=kit.spool, listener_id="other", answer_within_s=0.05)
    with kit.database.write(), pytest.raises(StoreUnavailableError):
        impatient.admit(kit.offer(1))
    impatient.close()
    assert kit.store.admit(kit.offer(1)) in (Admission.STORED, Admission.REPEATED)


def test_one_instance_stands_for_each_series_of_the_study(kit: Kit) -> None:
    kit.receive(2)
    for number in (8, 7):
        kit.store.admit(kit.offer(number, series=f"{STUDY}.6"))
    kit.store.admit(kit.offer(1, study="1.2.826.0.1.77", series="1.2.826.0.1.77.6"))
    found = kit.evidence.of_each_series(kit.route_job())
    assert [one.sop_instance_uid for one in found] == [f"{STUDY}.9.1", f"{STUDY}.9.7"]
