"""C-FIND of the demonstration PACS (study root, PS3.4 C.6.2). DEMONSTRATION ONLY."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from worker.demo.archive import Archive, ArchivedInstance

_LEVELS = {
    "STUDY": ("study_instance_uid",),
    "SERIES": ("study_instance_uid", "series_instance_uid"),
    "IMAGE": ("study_instance_uid", "series_instance_uid", "sop_instance_uid"),
}
_UID_KEYS = {
    "StudyInstanceUID": "study_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "SOPInstanceUID": "sop_instance_uid",
}


def matches(archive: Archive, query: Dataset) -> Iterator[Dataset]:
    """Answer a query: one data set for each entity of its level that matches every key.

    UID keys match lists, other keys single values with wildcards (* and ?). Raises ValueError for an unknown level.
    """
    level = str(query.get("QueryRetrieveLevel", ""))
    if level not in _LEVELS:
        raise ValueError("unknown query level")
    seen: set[tuple[str, ...]] = set()
    for instance in archive.instances():
        identity = tuple(str(getattr(instance, name)) for name in _LEVELS[level])
        if identity in seen or not _uids_match(query, instance):
            continue
        header = dcmread(instance.path, stop_before_pixels=True)
        if all(_value_matches(element, header) for element in query if element.keyword not in _UID_KEYS):
            seen.add(identity)
            yield _answer(query, level, header, archive)


def _uids_match(query: Dataset, instance: ArchivedInstance) -> bool:
    for keyword, name in _UID_KEYS.items():
        wanted = [part for part in str(query.get(keyword, "") or "").split("\\") if part]
        if wanted and getattr(instance, name) not in wanted:
            return False
    return True


def _value_matches(element: DataElement, header: Dataset) -> bool:
    if element.keyword in ("QueryRetrieveLevel", "SpecificCharacterSet") or element.VR == "SQ" or element.is_empty:
        return True
    value = header.get(element.keyword, "") if element.keyword else ""
    return fnmatchcase(str(value or ""), str(element.value))


def _answer(query: Dataset, level: str, header: Dataset, archive: Archive) -> Dataset:
    answer = Dataset()
    answer.QueryRetrieveLevel = level
    for element in query:
        if element.keyword in header and element.keyword != "QueryRetrieveLevel":
            answer.add(header[element.keyword])
    if "ModalitiesInStudy" in query:
        found = {one.modality for one in archive.instances(str(header.StudyInstanceUID))}
        answer.ModalitiesInStudy = sorted(found)
    return answer
