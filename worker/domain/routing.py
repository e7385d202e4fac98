"""Rules that say which model runs on which series, and the decisions that they lead to."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.model import ModelIdentity
from worker.domain.study import SeriesInstanceUID

PHI_KEYWORDS = frozenset(
    {
        "PatientName", "PatientID", "PatientBirthDate", "PatientBirthTime", "OtherPatientIDs", "OtherPatientNames",
        "PatientAddress", "PatientTelephoneNumbers", "PatientMotherBirthName", "PatientBirthName",
        "IssuerOfPatientID", "AccessionNumber", "ReferringPhysicianName", "PerformingPhysicianName",
        "OperatorsName", "RequestingPhysician", "InstitutionName", "InstitutionAddress", "StudyID",
        "AdmissionID", "MedicalRecordLocator", "PersonName", "PatientComments", "AdditionalPatientHistory",
        "NameOfPhysiciansReadingStudy", "PhysiciansOfRecord", "EthnicGroup", "Occupation", "MilitaryRank",
        "ResponsiblePerson", "InsurancePlanIdentification", "CountryOfResidence", "RegionOfResidence",
    }
)  # fmt: skip
"""Attributes that rules may test, and whose values no reason, log line or message may repeat."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """At least one value of the attribute equals one of ``values`` (case-insensitive)."""

    attribute: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """No value of the attribute equals one of ``values`` (case-insensitive); an absent attribute passes."""

    attribute: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matches:
    """The regular expression is found in at least one value of the attribute (case-insensitive)."""

    attribute: str
    pattern: str


@dataclass(frozen=True, slots=True)
class MatchesNot:
    """The regular expression is found in no value of the attribute; an absent attribute passes."""

    attribute: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Between:
    """Every value of the attribute is a number within the bounds, both inclusive; None is unbounded."""

    attribute: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """The attribute has a value in at least one instance."""

    attribute: str


Condition = OneOf | NoneOf | Matches | MatchesNot | Between | Present
"""A test on a series. ``attribute`` is a DICOM keyword, or one of the derived names of ``SeriesSummary``:
``orientation``, ``slice_count``, ``slice_spacing_mm``, ``slice_thickness_mm``, ``rows``, ``columns``; or
``body_region``, the parts of the body that the descriptions name."""


@dataclass(frozen=True, slots=True)
class Preference:
    """Adds ``weight`` to the score of a series that passes ``condition``."""

    condition: Condition
    weight: float


@dataclass(frozen=True, slots=True)
class FurtherInput:
    """A series that a model needs beside its reference; what it must be, and which of several fits best."""

    name: str
    conditions: tuple[Condition, ...]
    preferences: tuple[Preference, ...] = ()
    allow_derived: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """When a study counts as complete, in seconds (``pipeline.assembly`` says how they are used)."""

    quiet_after_release_s: float = 3.0
    quiet_s: float = 15.0
    gap_factor: float = 5.0
    longest_quiet_s: float = 120.0
    maximum_wait_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the routing table: a series that passes all conditions is a candidate for the model.

    ``allow_*`` switch off the exclusions that hold by default. ``per_study`` limits how many series the model gets
    (the best by score); None means every candidate.

    A model of several inputs has the name of its reference in ``input``, which conditions and preferences are about,
    and the others in ``further``: it runs once per study, on another series for each input, and only when all are
    there.
    """

    name: str
    model: str
    conditions: tuple[Condition, ...]
    preferences: tuple[Preference, ...] = ()
    destinations: tuple[str, ...] = ()
    priority: int = 5
    per_study: int | None = 1
    allow_localizer: bool = False
    allow_derived: bool = False
    allow_phantom: bool = False
    allow_burned_in: bool = False
    timing: Timing | None = None
    input: str = ""
    further: tuple[FurtherInput, ...] = ()


@dataclass(frozen=True, slots=True)
class BoundRule:
    """A rule together with the installed model that it names."""

    rule: Rule
    model: ModelIdentity


@dataclass(frozen=True, slots=True)
class Unusable:
    """A model that the site uses, and that cannot be used now: why, by its code and in a sentence.

    ``rule`` is None when its manifest cannot be read: then nobody knows which series it wants.
    """

    model: str
    code: str
    reason: str
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """The rules whose models can run now, and the models that cannot."""

    rules: tuple[BoundRule, ...]
    unusable: tuple[Unusable, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a series was, or was not, given to a model. ``reasons`` are complete sentences without PHI.

    ``input`` is the input of the model that this is about; empty for a model of one input.
    """

    rule: str
    model: str
    series_instance_uid: SeriesInstanceUID
    chosen: bool
    score: float | None
    reasons: tuple[str, ...]
    input: str = ""
