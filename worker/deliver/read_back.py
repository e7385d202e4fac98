"""Read-back by C-FIND at IMAGE level (PS3.4 Annex C), where a destination offers no storage commitment.

A 0x0000 is no proof that an object was kept; that a query finds it is at least a sign.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import UID

from worker.deliver.association import OpenAssociation, Timeouts, associated, check_ae_title, context_for
from worker.deliver.part10 import study_of
from worker.domain.errors import TransientError
from worker.domain.result import Destination, ResultObject
from worker.domain.study import SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID

log = logging.getLogger(__name__)

_STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_PENDING = frozenset({0xFF00, 0xFF01})


class ReadBack:
    """Asks a destination which result objects it can find.

    Parameters
    ----------
    ae_title:
        Our AE title.
    timeouts:
        How long a destination may take.
    """

    def __init__(self, *, ae_title: str, timeouts: Timeouts | None = None) -> None:
        self._ae_title = check_ae_title(ae_title)
        self._timeouts = timeouts or Timeouts()

    def found(self, destination: Destination, results: Sequence[ResultObject]) -> frozenset[SOPInstanceUID]:
        """The SOP Instance UIDs among ``results`` that a query finds, in the study and series where they belong.

        Raises
        ------
        TransientError
            No association; ``read-back-failed``: no answer; ``read-back-refused``: it failed at this query.
        PermanentError
            ``no-presentation-context``: the destination cannot be queried.
        """
        series = {(study_of(result.path), result.series_instance_uid) for result in results}
        wanted = {result.sop_instance_uid for result in results}
        there: set[SOPInstanceUID] = set()
        with associated(
            destination,
            [context_for(_STUDY_ROOT_FIND, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1")],
            calling_ae_title=self._ae_title,
            timeouts=self._timeouts,
        ) as association:
            for study_instance_uid, series_instance_uid in sorted(series):
                there |= self._instances(association, study_instance_uid, series_instance_uid)
        found = frozenset(wanted & there)
        log.info("read-back", extra={"destination": destination.name, "wanted": len(wanted), "found": len(found)})
        return found

    def _instances(
        self, association: OpenAssociation, study_instance_uid: StudyInstanceUID, series_instance_uid: SeriesInstanceUID
    ) -> set[SOPInstanceUID]:
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = study_instance_uid
        query.SeriesInstanceUID = series_instance_uid
        query.SOPInstanceUID = ""
        there: set[SOPInstanceUID] = set()
        try:
            with association.within(self._timeouts.response_s):
                for response, identifier in association.raw.send_c_find(query, _STUDY_ROOT_FIND):
                    status = int(response.Status) if "Status" in response else None
                    if status in _PENDING and identifier is not None:
                        there.add(SOPInstanceUID(str(identifier.get("SOPInstanceUID", ""))))
                    elif status != 0x0000:
                        raise _refused(status)
        except RuntimeError as error:
            if association.alive:
                raise
            raise _failed("the association had ended") from error
        return there


def _refused(status: int | None) -> TransientError:
    """It was there, and could not answer this question; out of resources, it could answer none (PS3.4 C.4.1.1.4)."""
    if status is None:
        return _failed("no answer")
    if status >> 8 == 0xA7:
        return _failed(f"status 0x{status:04X}")
    return TransientError(
        f"The destination answered the query for stored results with 0x{status:04X}.",
        next_step="Look into the log of the destination.",
        code="read-back-refused",
    )


def _failed(why: str) -> TransientError:
    return TransientError(
        f"The query for stored results failed: {why}.",
        next_step="Check that this AE title may query the destination.",
        code="read-back-failed",
    )
