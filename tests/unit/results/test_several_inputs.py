"""Results of a model that saw several series: on the reference, with all of the evidence, of one patient."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests import builders
from tests.unit.results import given, reading
from worker.domain.errors import IdentityError
from worker.domain.findings import Conclusion, QualityStatement, Refusal
from worker.domain.profile import OHIF
from worker.domain.result import EncodedObject, GateReport
from worker.domain.study import StoredInstance
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder
from worker.results.identity import ResultUids, series_of

TOLD = replace(OHIF, refusals=True)


@dataclass(frozen=True)
class Two:
    """A study with the reference's series, and another series on another grid."""

    first: given.Study
    further: tuple[Path, ...]

    @property
    def evidence(self) -> tuple[StoredInstance, ...]:
        return (*self.first.evidence, *builders.stored_instances(self.further))

    @property
    def conclusion(self) -> Conclusion:
        found = given.a_conclusion(self.first.volume)
        return replace(found, findings=(*found.findings, QualityStatement("input-registered", "It was registered.")))


@pytest.fixture
def two(tmp_path: Path) -> Two:
    first = given.a_study(tmp_path / "first")
    further = builders.a_ct_series(tmp_path / "further", slices=4, rows=20, columns=24, series="further")
    return Two(first, further)


def encoded(two: Two) -> tuple[EncodedObject, ...]:
    return DicomEncoder().encode(two.conclusion, two.evidence, given.CONTEXT)


def gated(two: Two, objects: tuple[EncodedObject, ...]) -> GateReport:
    return ResultGate().check(objects, two.conclusion, two.evidence, given.CONTEXT)


def listed(ds: Dataset) -> dict[str, set[str]]:
    (study,) = ds.CurrentRequestedProcedureEvidenceSequence
    return {
        series.SeriesInstanceUID: {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence}
        for series in study.ReferencedSeriesSequence
    }


def uids_of(paths: tuple[Path, ...]) -> set[str]:
    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths}


def test_segmentations_lie_on_the_reference_and_reports_list_every_series(two) -> None:
    objects = encoded(two)
    assert gated(two, objects).passed, gated(two, objects).failures
    seg, report, text = map(reading.dataset, objects)
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == two.first.volume.series_instance_uid
    assert {one.ReferencedSOPInstanceUID for one in seg.SourceImageSequence} == uids_of(two.first.paths)
    further = dcmread(two.further[0]).SeriesInstanceUID
    for ds in (report, text):
        assert listed(ds)[two.first.volume.series_instance_uid] == uids_of(two.first.paths)
        assert listed(ds)[further] == uids_of(two.further)


@pytest.mark.parametrize(("number", "check"), [(1, "sr-references"), (2, "text-references")])
def test_the_gate_notices_an_input_that_a_report_does_not_list(two, number: int, check: str) -> None:
    def forget(ds: Dataset) -> None:
        del ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[1].ReferencedSOPSequence[0]

    objects = list(encoded(two))
    objects[number] = reading.changed(objects[number], forget)
    assert [one.name for one in gated(two, tuple(objects)).failures] == [check]


@pytest.mark.parametrize("keyword", ["PatientID", "PatientBirthDate", "AccessionNumber"])
def test_inputs_of_two_patients_make_no_result_and_no_refusal(two, keyword: str) -> None:
    ds = dcmread(two.further[-1])
    setattr(ds, keyword, "19990101")
    builders.write(ds, two.further[-1])
    refusal = Refusal(given.ALGORITHM, two.first.volume.series_instance_uid, "CT", "input-coverage", "Too little.")
    with pytest.raises(IdentityError) as caught:
        encoded(two)
    assert caught.value.code == "identity-conflict"
    with pytest.raises(IdentityError):
        DicomEncoder(standard=TOLD).refuse(refusal, two.evidence, given.CONTEXT)


def test_a_refusal_is_said_of_the_reference(two) -> None:
    refusal = Refusal(given.ALGORITHM, two.first.volume.series_instance_uid, "CT", "input-coverage", "Too little.")
    objects = DicomEncoder(standard=TOLD).refuse(refusal, two.evidence, given.CONTEXT)
    report = ResultGate(standard=TOLD).check_refusal(objects, refusal, two.evidence, given.CONTEXT)
    assert report.passed, report.failures
    (item,) = objects
    assert list(listed(reading.dataset(item))) == [two.first.volume.series_instance_uid]


def test_the_same_series_in_each_others_place_are_another_result(two) -> None:
    def key(evidence: tuple[StoredInstance, ...]) -> str:
        return ResultUids.of_conclusion(two.conclusion, evidence, given.CONTEXT).key

    mine, other = two.first.evidence, builders.stored_instances(two.further)
    shuffled = tuple(random.Random(4).sample(mine, len(mine)))
    assert series_of((*shuffled, *other)) == series_of(two.evidence)
    assert key((*shuffled, *other)) == key(two.evidence)
    assert key((*other, *mine)) != key(two.evidence)


def test_the_identity_of_results_of_one_series_is_what_it_always_was() -> None:
    """PACS hold results under these UIDs: others would double them."""
    uids = ResultUids.of(
        study_instance_uid="1.2.3",
        evidence=[("1.2.3.4", given.digest("one")), ("1.2.3.5", given.digest("two"))],
        model_digest=given.digest("model"),
        config_digest=given.digest("site"),
        generation=1,
    )
    assert uids.key == "2.25.303926706541429991595476594675948809436"
