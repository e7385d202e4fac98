"""How the gate reads: objects and evidence from their bytes, without anything that the encoder used.

Not with ``worker.headers``, on purpose. Routing, volumes and encoders read headers by that one parser; what it got
wrong, all of them would believe. The gate reads the same files by pydicom's ``dcmread``, and compares. Both see the
repairs of value representations that are none (``data_elements.repairs``), as the listener's walk finds them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.tag import BaseTag, Tag

from worker.data_elements.repairs import NONE, Repairs, open_repaired, repairs_of, without_text_for_sequences
from worker.domain.character_sets import StatedSets
from worker.domain.findings import Conclusion
from worker.domain.profile import Profile
from worker.domain.result import Check, EncodedObject, ResultContext
from worker.domain.study import StoredInstance
from worker.gate.stored_text import READ, StoredText, stored_text

_GEOMETRY = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns",
    "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ImagerPixelSpacing",
    "NominalScannedPixelSpacing", "EstimatedRadiographicMagnificationFactor", "SequenceOfUltrasoundRegions",
    "LossyImageCompression", "PhotometricInterpretation", "PatientOrientation", "RescaleSlope", "RescaleIntercept",
    "SliceThickness", "WindowCenter", "WindowWidth",
)  # fmt: skip

_CONTENT = Tag("ContentSequence")
_CONCEPT_NAME = Tag("ConceptNameCodeSequence")
_CODE_VALUE = Tag("CodeValue")
_LONG_CODE_VALUE = Tag("LongCodeValue")
_CODING_SCHEME = Tag("CodingSchemeDesignator")

_META = struct.Struct("<HH2sHI")
_META_AT = 132
_TRANSFER_SYNTAX = b"\x02\x00\x10\x00UI"

UNREADABLE = (AttributeError, KeyError, IndexError, TypeError, ValueError)
"""What absent or broken attributes raise. To the gate all of it means: failed."""


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceHeaders:
    """The evidence by SOP Instance UID, read again from the spool.

    ``digest`` is the SHA-256 of the sorted lines "UID SHA-256" of its instances. ``texts`` are what results copy, as
    bytes.
    """

    by_instance: Mapping[str, Dataset]
    digest: str
    texts: Mapping[str, StoredText] = field(default_factory=dict)

    @property
    def any_text(self) -> StoredText:
        """What one of them says of patient and study."""
        return next(iter(self.texts.values()))

    @property
    def any_one(self) -> Dataset:
        """One of them, for what is the same in all."""
        return next(iter(self.by_instance.values()))


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """What the objects of one profile's set are compared with."""

    conclusion: Conclusion
    evidence: EvidenceHeaders
    context: ResultContext
    profile: Profile


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """A result object with what its bytes say."""

    item: EncodedObject
    dataset: Dataset

    @property
    def sop_class(self) -> str:
        """SOP Class UID as the data set has it; empty when it has none."""
        return str(self.dataset.get("SOPClassUID") or "")


def read_object(item: EncodedObject) -> Dataset:
    """Parse a Part 10 file from its bytes; raises what pydicom raises."""
    with config.disable_value_validation():
        ds = dcmread(BytesIO(item.content))
        ds.decode()
        # Convert every element now, while pydicom does not comment on values: comments could repeat patients.
        for _ in ds.iterall():
            pass
    return ds


def read_evidence(evidence: Sequence[StoredInstance], stated: StatedSets) -> EvidenceHeaders:
    """Read the headers that results are compared with; raises what pydicom raises."""
    wanted = [*READ, *_GEOMETRY, "SpecificCharacterSet"]
    headers, texts = {}, {}
    with config.disable_value_validation():
        for instance in evidence:
            ds = _read_header(instance.path, wanted)
            # No text is converted: pydicom takes any codec of Python for a character set.
            texts[str(ds.SOPInstanceUID)] = stored_text(ds, stated.of(instance.calling_ae_title))
            headers[str(ds.SOPInstanceUID)] = ds
    lines = sorted(f"{instance.sop_instance_uid} {instance.sha256}\n" for instance in evidence)
    return EvidenceHeaders(headers, hashlib.sha256("".join(lines).encode()).hexdigest(), texts)


def _read_header(path: Path, keywords: Sequence[str]) -> Dataset:
    """Read these elements of a file of the spool, up to its pixels; raises OSError, and what pydicom raises."""
    with open_repaired(path, _repairs(path)) as file:
        # a bare data set, which only the offline reader takes, is read as well
        ds = dcmread(file, force=True, stop_before_pixels=True, specific_tags=[Tag(keyword) for keyword in keywords])
    without_text_for_sequences(ds)
    return ds


def _repairs(path: Path) -> Repairs:
    """What the listener's walk says of a Part 10 file (PS3.10 7.1)."""
    with path.open("rb") as file:
        file.seek(_META_AT - 4)
        head = file.read(4 + _META.size)
        if len(head) < 4 + _META.size or head[:4] != b"DICM" or _META.unpack_from(head, 4)[:2] != (2, 0):
            return NONE
        length = int(_META.unpack_from(head, 4)[4])
        meta = file.read(min(length, 1 << 16))
    _, _, found = meta.partition(_TRANSFER_SYNTAX)
    size = int.from_bytes(found[:2], "little")
    uid = found[2 : 2 + size].rstrip(b"\0 ").decode("ascii", "replace")
    return repairs_of(path, offset=_META_AT + _META.size + length, transfer_syntax_uid=uid)


def numbers_of(ds: Dataset, keyword: str) -> list[float]:
    """The values of an attribute of an image as numbers; none when one of them is none."""
    try:
        with config.disable_value_validation():
            value = ds.get(keyword)
        if value is None:
            return []
        return [float(one) for one in ([value] if isinstance(value, (str, int, float)) else value)]
    except (TypeError, ValueError):
        return []


def checked(name: str, good: str, problems: Callable[[], Iterable[str]]) -> Check:
    """Run one check: it passes when ``problems`` yields nothing; ``good`` then says what was seen."""
    try:
        found = list(dict.fromkeys(problems()))
    except UNREADABLE as error:
        found = [f"cannot be checked, an attribute is absent or broken ({type(error).__name__})"]
    if not found:
        return Check(name=name, passed=True, detail=good)
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return Check(name=name, passed=False, detail="; ".join(found[:3]) + more)


def code_of(item: Dataset, sequence: str | BaseTag = _CONCEPT_NAME) -> tuple[str, str]:
    """(value, scheme) of a code sequence; two empty strings when there is none."""
    # By tag: large reports are looked through by name again and again, and a keyword is looked up each time.
    codes = _value_of(item, sequence if isinstance(sequence, BaseTag) else Tag(sequence))
    if not codes:
        return "", ""
    first = codes[0]
    value = _value_of(first, _CODE_VALUE) or _value_of(first, _LONG_CODE_VALUE) or ""
    return str(value), str(_value_of(first, _CODING_SCHEME) or "")


def _value_of(item: Dataset, tag: BaseTag) -> Any:
    return getattr(item.get(tag), "value", None)


def children(item: Dataset, value: str, scheme: str = "DCM") -> list[Dataset]:
    """Content items directly below ``item`` with this concept name."""
    return [child for child in _value_of(item, _CONTENT) or [] if code_of(child) == (value, scheme)]


def only_child(item: Dataset, value: str, scheme: str = "DCM") -> Dataset:
    """Return the one content item below ``item`` with this concept name; ValueError when there is not exactly one."""
    found = children(item, value, scheme)
    if len(found) != 1:
        raise ValueError(f"{len(found)} content items {value}")
    return found[0]


def content_items(item: Dataset) -> Iterator[Dataset]:
    """All content items below ``item``, depth first."""
    for child in _value_of(item, _CONTENT) or []:
        yield child
        yield from content_items(child)
