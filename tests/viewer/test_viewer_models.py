"""What the models that come with Overread find, on whole real studies, from ``overread run`` to the screen."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from tests.e2e.processes import overread
from tests.integration.results import subjects
from tests.unit.results import given
from tests.unit.results.seg import seg_reader
from tests.viewer import screen
from tests.viewer.reading_room import SAME, ReadingRoom
from worker.domain.result import EncodedObject, ResultKind
from worker.domain.study import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from worker.samples import fetch

pytestmark = [pytest.mark.orthanc, pytest.mark.slow, pytest.mark.timeout(1800)]


def results_of(study: given.Study, folder: Path) -> dict[ResultKind, list[EncodedObject]]:
    """What ``overread run`` writes for the files of a study."""
    (folder / "in").mkdir()
    for path in study.paths:
        (folder / "in" / path.name).symlink_to(path)
    done = overread("run", str(folder / "in"), "--output", str(folder / "out"), timeout=1200)
    assert done.returncode == 0, done.stderr
    kinds = {"SEG": ResultKind.SEG, "SR": ResultKind.SR}
    found: dict[ResultKind, list[EncodedObject]] = {}
    for path in sorted((folder / "out").rglob("*.dcm")):
        ds = dcmread(path, stop_before_pixels=True)
        if ds.Modality in kinds:
            one = EncodedObject(
                kinds[ds.Modality], SOPClassUID(ds.SOPClassUID), SOPInstanceUID(ds.SOPInstanceUID),
                SeriesInstanceUID(ds.SeriesInstanceUID), path.read_bytes(),
            )  # fmt: skip
            found.setdefault(one.kind, []).append(one)
    return found


def largest(seg: EncodedObject, study: given.Study) -> tuple[int, np.ndarray]:
    """The slice on which most was found, and its mask (row, column), read by the frames of the segmentation."""
    ds = dcmread(BytesIO(seg.content))
    shared = ds.SharedFunctionalGroupsSequence[0]
    masks: dict[str, np.ndarray] = {}
    for number, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
        image = seg_reader.one(groups, shared, "DerivationImageSequence").SourceImageSequence[0]
        frame = seg_reader.stored_frame(ds, number) != 0
        uid = str(image.ReferencedSOPInstanceUID)
        masks[uid] = masks[uid] | frame if uid in masks else frame
    uid = max(masks, key=lambda one: np.count_nonzero(masks[one]))
    return [str(ref.sop_instance_uid) for ref in study.volume.slices].index(uid), masks[uid]


@pytest.mark.parametrize("name", ["chest-ct", "brain-mr"])
def test_what_a_model_found_is_seen_where_its_segmentation_says(
    room: ReadingRoom, name: str, tmp_path: Path, sample_cache: Path
) -> None:
    study = subjects.a_study_of(sorted(fetch(name, sample_cache).glob("*.dcm")))
    results = results_of(study, tmp_path)
    seg = results[ResultKind.SEG][0]
    index, mask = largest(seg, study)
    room.open(study, [one for kind in results.values() for one in kind])
    view = room.load(study, [seg], index)
    found = view.agreement(mask)
    assert found.holds(**{**SAME, "extent_off": 6.0}), found
    assert screen.likeness(view.before, study.volume.voxels[index], view.placement) > 0.75
    room.viewer.panel("segmentation")
    room.keep(f"model-{name}")
