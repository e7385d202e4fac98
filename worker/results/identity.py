"""Who made a result object and what it is called: equipment and derived UIDs.

UIDs are derived (UUID version 5 under 2.25, PS3.5 B.2), never drawn: the same evidence, model and configuration give
the same objects, so that a repeat replaces instead of doubling.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from worker import __version__
from worker.domain.findings import Conclusion
from worker.domain.implementation import MANUFACTURER, MODEL_NAME, NAMESPACE
from worker.domain.plain_text import in_ascii
from worker.domain.result import Predecessor, ResultContext
from worker.domain.study import Digest, SeriesInstanceUID, SOPInstanceUID, StoredInstance, StudyInstanceUID


def derived_uid(*parts: str) -> str:
    """Return a valid UID (2.25 form, at most 44 characters) that depends on ``parts`` and their order only."""
    # Length before each part: ("ab", "c") and ("a", "bc") must not meet.
    text = "".join(f"{len(part)}:{part}," for part in parts)
    return f"2.25.{uuid.uuid5(NAMESPACE, text).int}"


def serial_number_of(ae_title: str) -> str:
    """A Device Serial Number (16 characters) for an installation that was given none: as constant as its AE title."""
    return hashlib.sha256(f"{MANUFACTURER} {MODEL_NAME} {ae_title}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Equipment:
    """The device that makes the results: this installation (PS3.3 C.7.5.1 and C.7.5.2).

    ``device_uid`` names the installation in every report (Device Observer UID, TID 1004). Left empty it is derived
    from the other names, and so is constant as long as they are. ``department`` is left out when empty.
    """

    manufacturer: str = MANUFACTURER
    model_name: str = MODEL_NAME
    software_version: str = __version__
    device_serial_number: str = "UNNUMBERED"
    ae_title: str = "OVERREAD"
    device_uid: str = ""
    department: str = ""

    @property
    def observer_uid(self) -> str:
        """Device UID of the installation, constant over reports and software versions."""
        return self.device_uid or derived_uid(
            "device", self.manufacturer, self.model_name, self.device_serial_number, self.ae_title
        )

    def in_ascii(self) -> Equipment:
        """The same device with its names in ASCII, for character sets that have no room for others."""
        return replace(in_ascii(self), device_uid=self.observer_uid)


def series_of(evidence: Iterable[StoredInstance]) -> tuple[SeriesInstanceUID, ...]:
    """The series of the evidence in its order: that of the model's inputs."""
    return tuple(dict.fromkeys(instance.header.series_instance_uid for instance in evidence))


@dataclass(frozen=True, slots=True)
class ResultUids:
    """The UIDs of everything that one conclusion leads to.

    ``key`` covers study, evidence (SOP Instance UIDs and digests, in any order), model digest and configuration
    digest; not the revision: the same input is the same result, whenever it was asked for. Only when that result was
    replaced meanwhile, and so perhaps withdrawn, is the next one another object (``generation``). Of a model of several
    inputs it covers as well which series was which input.

    ``variant`` names the destination profile: objects that are encoded otherwise for somebody else are others, but
    what they show is tracked under the same UIDs.
    """

    key: str
    variant: str = ""

    def for_profile(self, name: str) -> ResultUids:
        """Those of the set that a profile's destinations get; the standard profile is named by the empty text."""
        return ResultUids(self.key, name)

    @classmethod
    def of(
        cls,
        *,
        study_instance_uid: StudyInstanceUID,
        evidence: Iterable[tuple[SOPInstanceUID, Digest]],
        model_digest: Digest,
        config_digest: Digest,
        generation: int = 0,
        inputs: Sequence[SeriesInstanceUID] = (),
    ) -> ResultUids:
        """Derive the key; ``inputs`` are the series in the order of the model's inputs, when it has several."""
        parts = [part for pair in sorted(evidence) for part in pair]
        again = [f"generation {generation}"] if generation else []
        order = ["inputs", *inputs] if len(inputs) > 1 else []
        return cls(derived_uid("result", study_instance_uid, model_digest, config_digest, *parts, *again, *order))

    @classmethod
    def of_conclusion(
        cls, conclusion: Conclusion, evidence: Iterable[StoredInstance], context: ResultContext
    ) -> ResultUids:
        """Derive the key of what a model concluded from its evidence (of one study, at least one instance)."""
        instances = list(evidence)
        return cls.of(
            study_instance_uid=instances[0].header.study_instance_uid,
            evidence=[(instance.sop_instance_uid, instance.sha256) for instance in instances],
            model_digest=conclusion.algorithm.model.digest,
            config_digest=context.config_digest,
            generation=context.generation,
            inputs=series_of(instances),
        )

    def series(self, kind: str) -> SeriesInstanceUID:
        """Series Instance UID of the series of all objects of this kind (``SEG``, ``SR``, ``TEXT``, ``KOS``)."""
        return SeriesInstanceUID(derived_uid("series", self.key, kind, *self._variant))

    def instance(self, kind: str, part: int = 0) -> SOPInstanceUID:
        """SOP Instance UID of the object number ``part`` (from 0) of this kind."""
        return SOPInstanceUID(derived_uid("instance", self.key, kind, str(part), *self._variant))

    def note(self, rejected: Iterable[Predecessor]) -> SOPInstanceUID:
        """SOP Instance UID of the note that rejects these objects: other objects, another note."""
        return SOPInstanceUID(derived_uid("note", self.key, *sorted(one.sop_instance_uid for one in rejected)))

    def tracking(self, part: int, tracking_identifier: str) -> str:
        """Tracking UID of a structure, the same in SEG and SR.

        It holds for this evidence and model only: that a structure of another run is the same one is for a reader,
        not for us, to say.
        """
        return derived_uid("tracking", self.key, str(part), tracking_identifier)

    def dimension_organization(self, part: int = 0) -> str:
        """Dimension Organization UID (0020,9164) of a SEG."""
        return derived_uid("dimensions", self.key, str(part), *self._variant)

    @property
    def _variant(self) -> tuple[str, ...]:
        return (f"profile {self.variant}",) if self.variant else ()
