"""BINARY, LABELMAP and FRACTIONAL: what each profile gets, and that every error seeded into one is noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.unit.results import given, reading
from tests.unit.results.seg import seg_judged
from worker.domain.findings import Conclusion
from worker.domain.profile import Profile, SegmentEncoding
from worker.domain.result import EncodedObject
from worker.gate.seg.segments import lab_of

SITE = given.Code("39607008", "SCT", "Lung")
PROFILES = {
    encoding: Profile(name=encoding.value, segmentation=encoding, colours=(("Nodule 1", (12, 200, 34)),))
    for encoding in (SegmentEncoding.BINARY, SegmentEncoding.LABELMAP, SegmentEncoding.FRACTIONAL)
}


@dataclass(frozen=True)
class Good:
    study: given.Study
    conclusion: Conclusion
    profile: Profile
    seg: EncodedObject

    @property
    def dataset(self) -> Dataset:
        return reading.dataset(self.seg)

    def failures(self, change: Callable[[Dataset], object] | None = None) -> dict[str, str]:
        return seg_judged.failures(self.seg, self.conclusion, self.study.evidence, self.profile, change)


@pytest.fixture(scope="module")
def goods(tmp_path_factory) -> dict[SegmentEncoding, Good]:
    study = given.a_study(tmp_path_factory.mktemp("study"))
    conclusion = given.a_conclusion(study.volume)
    finding = conclusion.segmentations[0]
    lung, nodule = finding.segments
    nodule = replace(nodule, site=SITE, laterality=given.LEFT)
    conclusion = replace(conclusion, findings=(replace(finding, segments=(lung, nodule)),))
    return {
        encoding: Good(study, conclusion, profile, seg_judged.encoded(conclusion, study.evidence, profile))
        for encoding, profile in PROFILES.items()
    }


@pytest.mark.parametrize("encoding", PROFILES)
def test_good_objects_pass(goods, encoding) -> None:
    assert goods[encoding].failures() == {}


def test_what_each_encoding_is(goods) -> None:
    binary, labels, fractions = (goods[encoding].dataset for encoding in PROFILES)
    assert binary.SOPClassUID == fractions.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.4"
    assert labels.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    assert (binary.BitsAllocated, labels.BitsAllocated, fractions.BitsAllocated) == (1, 8, 8)
    assert (fractions.SegmentationFractionalType, fractions.MaximumFractionalValue) == ("OCCUPANCY", 255)
    assert set(np.unique(np.frombuffer(fractions.PixelData, np.uint8))) == {0, 255}
    assert [item.SegmentNumber for item in labels.SegmentSequence] == [0, 1, 2]
    assert labels.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "125040"
    assert labels.NumberOfFrames < binary.NumberOfFrames == fractions.NumberOfFrames
    assert len({good.seg.sop_instance_uid for good in goods.values()}) == 3
    tracked = [[item.TrackingUID for item in ds.SegmentSequence[-2:]] for ds in (binary, labels, fractions)]
    assert tracked[0] == tracked[1] == tracked[2]


@pytest.mark.parametrize("encoding", PROFILES)
def test_the_model_s_labels_stay_as_they_are(tmp_path, encoding) -> None:
    study = given.a_study(tmp_path, slices=2)
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[:, 4:9, 5:30] = 1
    conclusion = given.a_conclusion(study.volume, labels)
    seg = seg_judged.encoded(conclusion, study.evidence, PROFILES[encoding])
    assert labels.max() == 1
    assert seg_judged.failures(seg, conclusion, study.evidence, PROFILES[encoding]) == {}


@pytest.mark.parametrize("encoding", PROFILES)
def test_colours_sites_and_sides(goods, encoding) -> None:
    lung, nodule = goods[encoding].dataset.SegmentSequence[-2:]
    for item, rgb in ((lung, (70, 160, 255)), (nodule, (12, 200, 34))):
        lightness, a, b = item.RecommendedDisplayCIELabValue
        found = (lightness * 100 / 65535, a * 255 / 65535 - 128, b * 255 / 65535 - 128)
        assert found == pytest.approx(lab_of(rgb), abs=0.5)
    assert "AnatomicRegionSequence" not in lung
    region = nodule.AnatomicRegionSequence[0]
    assert region.CodeValue == SITE.value
    assert region.AnatomicRegionModifierSequence[0].CodeValue == given.LEFT.value


def test_white_black_and_red_in_lab() -> None:
    assert lab_of((255, 255, 255)) == pytest.approx((100, 0, 0), abs=0.02)
    assert lab_of((0, 0, 0)) == pytest.approx((0, 0, 0), abs=0.02)
    assert lab_of((255, 0, 0)) == pytest.approx((53.24, 80.09, 67.20), abs=0.02)


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, keyword, value)


def segment(number: int, keyword: str, value: object) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        (item,) = (one for one in ds.SegmentSequence if one.SegmentNumber == number)
        setattr(item, keyword, value)

    return apply


def pixels(change: Callable[[np.ndarray], None]) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        stack = np.frombuffer(ds.PixelData, np.uint8)[: ds.NumberOfFrames * ds.Rows * ds.Columns].copy()
        change(stack.reshape(ds.NumberOfFrames, ds.Rows, ds.Columns))
        ds.PixelData = stack.tobytes()

    return apply


def first_set(stack: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in np.argwhere(stack)[0])


def swap(plane: np.ndarray) -> None:
    ones, twos = plane == 1, plane == 2
    plane[ones], plane[twos] = 2, 1


def a_place(keyword: str) -> Callable[[Dataset], Dataset]:
    return lambda ds: ds.PerFrameFunctionalGroupsSequence[0][keyword].value[0]


def derivation(ds: Dataset) -> Dataset:
    return ds.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]


ANY, MAP, PART = tuple(PROFILES), (SegmentEncoding.LABELMAP,), (SegmentEncoding.FRACTIONAL,)

SEEDED = {
    "colour of the model, not of the profile": (
        ANY, segment(2, "RecommendedDisplayCIELabValue", [36138, 52000, 45000]), "seg-segments",
    ),
    "other site": (
        ANY, lambda d: setattr(d.SegmentSequence[-1].AnatomicRegionSequence[0], "CodeValue", "10200004"),
        "seg-segments",
    ),
    "no site": (ANY, lambda d: delattr(d.SegmentSequence[-1], "AnatomicRegionSequence"), "seg-segments"),
    "other side of the site": (
        ANY,
        lambda d: setattr(
            d.SegmentSequence[-1].AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0], "CodeValue", "24028007"
        ),
        "seg-segments",
    ),
    "site of nothing": (
        ANY, lambda d: setattr(d.SegmentSequence[-2], "AnatomicRegionSequence",
                               d.SegmentSequence[-1].AnatomicRegionSequence), "seg-segments",
    ),
    "no frame of reference": (ANY, lambda d: delattr(d, "FrameOfReferenceUID"), "seg-frame-of-reference"),
    "another encoding is claimed": (ANY, put("SegmentationType", "OTHER"), "seg-form"),
    "high bit": (ANY, put("HighBit", 5), "seg-form"),
    "lossy": (ANY, put("LossyImageCompression", "01"), "seg-lossy"),
    "ImageType with a third value": (ANY, put("ImageType", ["DERIVED", "PRIMARY", "AXIAL"]), "seg-form"),
    "pixel data one frame short": (ANY, lambda d: setattr(d, "PixelData", d.PixelData[:-160]), "seg-form"),
    "frame moved 1 mm": (
        ANY, lambda d: setattr(a_place("PlanePositionSequence")(d), "ImagePositionPatient", [-13.0, -12.0, 5.0]),
        "seg-frames",
    ),
    "frame without a position": (
        ANY, lambda d: delattr(d.PerFrameFunctionalGroupsSequence[0], "PlanePositionSequence"), "seg-frames",
    ),
    "frame with four coordinates": (
        ANY, lambda d: setattr(a_place("PlanePositionSequence")(d), "ImagePositionPatient", [0, 0, 5.0, 1]),
        "seg-frames",
    ),
    "not derived by segmentation": (
        ANY, lambda d: setattr(derivation(d).DerivationCodeSequence[0], "CodeValue", "113072"), "seg-frames",
    ),
    "pixels are not those of the image": (
        ANY, lambda d: setattr(derivation(d).SourceImageSequence[0], "SpatialLocationsPreserved", "NO"), "seg-frames",
    ),
    "same dimension index twice": (
        ANY,
        lambda d: setattr(
            d.PerFrameFunctionalGroupsSequence[1].FrameContentSequence[0], "DimensionIndexValues",
            d.PerFrameFunctionalGroupsSequence[0].FrameContentSequence[0].DimensionIndexValues,
        ),
        "seg-dimensions",
    ),
    "dimension that no frame has": (
        ANY, lambda d: setattr(d.DimensionIndexSequence[0], "DimensionIndexPointer", 0x00209128), "seg-dimensions",
    ),
    "dimension of nobody": (
        ANY, lambda d: setattr(d.DimensionIndexSequence[0], "DimensionOrganizationUID", "1.2.3"), "seg-dimensions",
    ),
    "background not described": (MAP, lambda d: d.SegmentSequence.pop(0), "seg-segments"),
    "background is called a lung": (
        MAP,
        lambda d: setattr(d.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0], "CodeValue", "39607008"),
        "seg-segments",
    ),
    "background without a label": (MAP, lambda d: setattr(d.SegmentSequence[0], "SegmentLabel", ""), "seg-segments"),
    "another padding value": (MAP, put("PixelPaddingValue", 1), "seg-segments"),
    "a number twice": (MAP, lambda d: setattr(d.SegmentSequence[0], "SegmentNumber", 1), "seg-segments"),
    "SOP class of a bitmap": (MAP, put("SOPClassUID", "1.2.840.10008.5.1.4.1.1.66.4"), "seg-form"),
    "labels swapped": (MAP, pixels(swap), "segment-1-geometry"),
    "labels shifted by one": (
        MAP, pixels(lambda stack: np.add(stack, 1, out=stack, where=stack > 0)), "seg-segments",
    ),
    "a label that nobody described": (
        MAP, pixels(lambda stack: stack.__setitem__((0, 0, 0), 77)), "seg-placement",
    ),
    "one voxel gone": (
        MAP, pixels(lambda stack: stack.__setitem__(tuple(np.argwhere(stack == 1)[0]), 0)), "segment-1-geometry",
    ),
    "flipped": (
        MAP, pixels(lambda stack: stack.__setitem__(slice(None), stack[:, :, ::-1].copy())), "segment-1-geometry",
    ),
    "a probability": (PART, put("SegmentationFractionalType", "PROBABILITY"), "seg-form"),
    "no maximum": (PART, lambda d: delattr(d, "MaximumFractionalValue"), "seg-form"),
    "a fraction": (PART, pixels(lambda stack: stack.__setitem__(first_set(stack), 100)), "seg-placement"),
    "half of everything": (PART, put("MaximumFractionalValue", 254), "seg-placement"),
    "an empty frame": (PART, pixels(lambda stack: stack[0].fill(0)), "seg-form"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "encoding"), [(name, one) for name in SEEDED for one in SEEDED[name][0]])
def test_seeded_errors_are_noticed(goods, name, encoding) -> None:
    _, change, expected = SEEDED[name]
    failed = goods[encoding].failures(change)
    assert expected in failed, f"only {failed}"
    for detail in failed.values():
        for private in ("Example", "Ada", "OR-0001", "1960"):
            assert private not in detail


def test_a_profile_that_wants_another_encoding(goods) -> None:
    for encoding, good in goods.items():
        for other, profile in PROFILES.items():
            failed = seg_judged.failures(good.seg, good.conclusion, good.study.evidence, profile)
            assert ("seg-form" in failed) == (encoding is not other)
