"""The whole configuration. Every entry has a working default; ``docs/configuration.md`` is checked against this."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from worker.domain.character_sets import StatedSet, StatedSets
from worker.domain.errors import ConfigurationError
from worker.domain.profile import OHIF, Profile
from worker.domain.result import Destination
from worker.domain.routing import Rule, Timing
from worker.domain.study import Digest
from worker.settings.conditions import ConditionEntry, PreferenceEntry
from worker.settings.execution import Inference, Precision, TritonEntry
from worker.settings.profiles import CharacterSet, CharacterSetOfDevices, ProfileEntry, resolved
from worker.settings.section import Name, Section

AETitle = Annotated[
    str,
    Field(min_length=1, max_length=16, pattern=r"^[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]*[\x21-\x5b\x5d-\x7e])?$"),
]
"""PS3.5 6.2: at most 16 characters, no backslash, no control characters; leading and trailing spaces mean nothing."""
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0)]
DATABASE_FILE = "overread.sqlite"
"""Name of the SQLite database in the data folder."""


class Node(Section):
    """Where the installation lives and what it is called."""

    data: Path = Field(Path("~/.local/share/overread"), description="Folder of spool, results, database and broker.")
    ae_title: AETitle = Field("OVERREAD", description="Our AE title, called by the PACS and used when calling it.")

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


class CommitmentRequester(Section):
    """Who may ask us for storage commitment, and where it hears our reports."""

    ae_title: AETitle
    host: str = Field(min_length=1)
    port: Port

    def to_domain(self) -> Destination:
        """The requester as the destination of our N-EVENT-REPORT."""
        return Destination(name=self.ae_title, **self.model_dump())


class Listener(Section):
    """The C-STORE and C-ECHO SCP."""

    bind: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: Port = Field(11112, description="TCP port; 104 needs privileges.")
    require_called_ae_title: bool = Field(default=True, description="Refuse associations that call another AE title.")
    calling_ae_titles: tuple[AETitle, ...] = Field((), description="Who may send; empty: everybody who reaches us.")
    peers: tuple[str, ...] = Field((), description="IP addresses or networks that may connect; empty: all.")
    max_associations: int = Field(400, ge=1, le=2000, description="Associations served at the same time.")
    max_object_mb: int = Field(4096, ge=1, description="Largest object accepted, in MiB.")
    idle_s: Seconds = Field(25.0, description="An association that does nothing for this long is ended.")
    conflict: Literal["refuse", "accept"] = Field(
        "refuse",
        description="Answer to a known SOP Instance UID with other content: 0xA900 or success. Kept apart either way.",
    )
    offer_storage_commitment: bool = Field(
        default=False,
        description="Promise `commitment_requesters` to keep what we received for `storage.retention_days`.",
    )
    commitment_requesters: tuple[CommitmentRequester, ...] = Field(
        (),
        description=(
            "Who may ask for that promise: tables with ae_title, host and port, where our reports go. "
            "Others are refused (0x0124)."
        ),
    )

    @field_validator("bind")
    @classmethod
    def _address(cls, value: str) -> str:
        ip_address(value)
        return value


class Storage(Section):
    """The spool: where instances and results lie, how much room stays free, how long they are kept."""

    reserve_mb: int = Field(512, ge=1, description="Free space in MiB below which new instances get 0xA700.")
    require_patient_id: bool = Field(default=True, description="Quarantine studies without a Patient ID.")
    keep_finished_days: float = Field(30.0, gt=0, description="Age in days at which finished studies may be deleted.")
    max_gb: float = Field(0.0, ge=0, description="Size in GiB above which the oldest finished go first; 0: no limit.")
    retention_days: float = Field(
        0.0,
        ge=0,
        description=(
            "What we promise by storage commitment: days after our report in which the instance is not deleted. "
            "Needed with `listener.offer_storage_commitment`; at most `keep_finished_days`."
        ),
    )


class Database(Section):
    """The ledger: SQLite in the data folder, or PostgreSQL."""

    url: SecretStr = Field(
        SecretStr(""), description="Empty: SQLite in the data folder. Or postgresql+psycopg://user:password@host/name."
    )


class Broker(Section):
    """The broker: it carries ids to the workers."""

    url: SecretStr = Field(
        SecretStr(""), description="Empty: the embedded Redis. Or redis://, rediss://, amqp://, amqps://."
    )


class Work(Section):
    """Workers: how many, how long a job may take, and how often it is tried."""

    concurrency: int = Field(1, ge=1, le=256, description="Analyses at the same time in one `overread work`.")
    delivery_slots: int = Field(
        2,
        ge=1,
        le=16,
        description="Deliveries at the same time to one destination; `deliver` has as many children for each.",
    )
    max_attempts: int = Field(3, ge=1, le=100, description="Attempts after which a job is quarantined.")
    lease_s: float = Field(60.0, ge=2, description="Seconds without a heartbeat after which a job is taken back.")
    deadline_s: float = Field(3600.0, ge=1, description="Longest time of one attempt.")
    memory_limit_mb: int = Field(0, ge=0, description="Refuse runs that would need more MiB; 0: 80 % of what there is.")


HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", max_length=253)]


class Models(Section):
    """Model packages: where they are, and which of them may run."""

    folders: tuple[Path, ...] = Field((), description="Folders that hold model packages, beside the packaged ones.")
    packaged: bool = Field(default=True, description="Offer the model packages that come with Overread.")
    enabled: tuple[Name, ...] = Field((), description="Names of the models in use; empty: all that are no experiment.")
    experimental: tuple[Name, ...] = Field(
        (),
        description=(
            "Names of the experimental models that may run here, beside the others. No rule and no `enabled` brings "
            "in an experimental model that is not listed."
        ),
    )
    thresholds: dict[Name, dict[str, float]] = Field(
        default_factory=dict,
        description="By model: its thresholds that the site moves, each within the bounds that its manifest states.",
    )
    precision: dict[Name, Precision] = Field(
        default_factory=dict,
        description="By model: the precision in which it runs, of those that its manifest offers; else as it says.",
    )
    trusted: tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...] = Field(
        (),
        description=(
            "SHA-256 of Python files of packages (custom steps) that may run here, with all rights of the worker; "
            "a package that brings another one is not offered."
        ),
    )

    max_weights_mb: int = Field(
        2048, ge=1, description="Largest weights of a net, external data included, in MiB; larger ones are refused."
    )
    fetch_from: tuple[HostName, ...] = Field(
        (),
        description="Hosts from which `overread models fetch` may take weights, by https; empty: nothing is fetched.",
    )

    @field_validator("folders")
    @classmethod
    def _absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(folder.expanduser().absolute() for folder in value)


class DestinationEntry(Section):
    """A PACS that takes results."""

    name: Name
    ae_title: AETitle
    host: str = Field(min_length=1)
    port: Port
    storage_commitment: bool = Field(
        default=False, description="It offers storage commitment: ask for its promise after each sending."
    )
    read_back: bool = Field(
        default=False,
        description="Ask it by C-FIND whether it has our results, where it does not offer storage commitment.",
    )
    rejection_note: bool = Field(
        default=False,
        description="Withdraw there what a revision replaces: a rejection note (Key Object Selection, IHE IOCM).",
    )
    profile: Name = Field(
        OHIF.name, description="Which objects it gets, and how they are encoded: a built-in profile or one of yours."
    )

    def to_domain(self) -> Destination:
        """The destination as deliveries know it."""
        return Destination(**self.model_dump(exclude={"rejection_note", "profile"}))


class Confirmation(Section):
    """How long to wait for the promise of a destination, and what comes then."""

    answer_within_s: float = Field(
        3600.0, ge=1, description="A commitment request without a report after this long counts as refused."
    )
    wait_on_association_s: Seconds = Field(
        2.0, description="How long to keep the association open for a report on it; later ones come on a new one."
    )
    read_back_after_s: Seconds = Field(
        10.0, description="Pause between a sending and the C-FIND that looks for it: a PACS takes time to index."
    )
    first_pause_s: float = Field(
        30.0, gt=0, description="Pause before objects are sent a third time; it doubles with each failure after that."
    )
    longest_pause_s: float = Field(
        86400.0, gt=0, description="Longest pause between two tries at a destination that does not confirm."
    )


class Assembly(Section):
    """When a study counts as complete."""

    quiet_after_release_s: Seconds = Field(3.0, description="Quiet needed once every association was released.")
    quiet_s: Seconds = Field(15.0, description="Quiet needed while an association is still open.")
    gap_factor: Seconds = Field(5.0, description="Quiet needed is at least this many times the longest pause so far.")
    longest_quiet_s: Seconds = Field(120.0, description="...but the pace never asks for more than this.")
    maximum_wait_s: Seconds = Field(1800.0, description="After this the study is taken as it is.")

    def to_domain(self) -> Timing:
        """The timing as the assembler uses it."""
        return Timing(**self.model_dump())


class RuleEntry(Section):
    """A line of the routing table. The input contract of the model always holds in addition."""

    name: Name
    model: Name
    conditions: tuple[ConditionEntry, ...] = ()
    preferences: tuple[PreferenceEntry, ...] = ()
    destinations: tuple[Name, ...] = Field((), description="Empty: every destination.")
    priority: int = Field(5, ge=0, le=9, description="9 is the most urgent.")
    per_study: int | None = Field(1, ge=1)
    allow_localizer: bool = False
    allow_derived: bool = False
    allow_phantom: bool = False
    allow_burned_in: bool = False
    assembly: Assembly | None = None


class Results(Section):
    """What result objects say of this installation."""

    device_serial_number: str = Field("", max_length=64, description="Empty: derived from the AE title.")
    institution_department: str = Field("", max_length=64)
    series_number: int = Field(9000, ge=1, le=99000, description="Series Number of the first result series.")
    max_object_mb: int = Field(500, ge=1, description="The gate refuses larger result objects, in MiB.")


class CharacterSetEntry(Section):
    """What the site knows of the text of a sender, better than what its images declare."""

    calling_ae_title: AETitle | Literal[""] = Field(
        "", description="The sender, by its calling AE title; empty: everybody who has no entry, and files on disk."
    )
    character_set: CharacterSet | CharacterSetOfDevices = Field(description="The character set that its text is in.")
    always: bool = Field(
        default=False,
        description="Whatever its images declare; else only for images that declare no character set.",
    )


class Pictures(Section):
    """Pictures for people at the console."""

    keep: bool = Field(default=True, description="Write an overlay PNG beside each finished job.")


class Flower(Section):
    """The task monitor: where it is served, and who may look."""

    enabled: bool = True
    bind: str = "127.0.0.1"
    port: Port = 5555
    user: str = Field("overread", min_length=1)
    password: SecretStr = Field(SecretStr(""), description="Empty: made at the first start, kept in the data folder.")


class Log(Section):
    """Logs: events with ids, never patients."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else JSON lines.")


class Settings(Section):
    """Everything that a site can configure."""

    node: Node = Node()
    listener: Listener = Listener()
    storage: Storage = Storage()
    database: Database = Database()
    broker: Broker = Broker()
    work: Work = Work()
    inference: Inference = Inference()
    models: Models = Models()
    triton: tuple[TritonEntry, ...] = ()
    destinations: tuple[DestinationEntry, ...] = ()
    profiles: tuple[ProfileEntry, ...] = ()
    confirmation: Confirmation = Confirmation()
    assembly: Assembly = Assembly()
    rules: tuple[RuleEntry, ...] = ()
    results: Results = Results()
    character_sets: tuple[CharacterSetEntry, ...] = ()
    pictures: Pictures = Pictures()
    flower: Flower = Flower()
    log: Log = Log()

    @model_validator(mode="after")
    def _names(self) -> Settings:
        for what, names in (
            ("destinations", [d.name for d in self.destinations]),
            ("rules", [r.name for r in self.rules]),
            ("triton", [one.model for one in self.triton]),
            ("character_sets", [one.calling_ae_title.strip() for one in self.character_sets]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what}: the name {twice[0]!r} is used twice")
        profiles = resolved(self.profiles)
        for entry in self.destinations:
            if entry.profile not in profiles:
                raise ValueError(
                    f"destinations: {entry.name!r} has the profile {entry.profile!r}; known are {', '.join(profiles)}"
                )
        known = {d.name for d in self.destinations}
        for rule in self.rules:
            for name in rule.destinations:
                if name not in known:
                    raise ValueError(f"rules: {rule.name!r} names the destination {name!r}, which is not configured")
        return self

    @model_validator(mode="after")
    def _promises_can_be_kept(self) -> Settings:
        if not self.listener.offer_storage_commitment:
            return self
        promised, kept = self.storage.retention_days, self.storage.keep_finished_days
        if not promised:
            raise ValueError(
                "listener.offer_storage_commitment needs storage.retention_days: for how many days do you promise?"
            )
        if kept < promised:
            raise ValueError(
                f"storage.keep_finished_days ({kept:g}) is less than storage.retention_days ({promised:g}), which is "
                "promised by storage commitment: raise the first or lower the second"
            )
        requesters = [one.ae_title for one in self.listener.commitment_requesters]
        if not requesters:
            raise ValueError("listener.offer_storage_commitment needs listener.commitment_requesters: who may ask?")
        if len(set(requesters)) < len(requesters):
            raise ValueError("listener.commitment_requesters: an ae_title is used twice")
        return self

    @property
    def database_url(self) -> str:
        """The database's URL, that of the SQLite file by default."""
        return self.database.url.get_secret_value() or f"sqlite:///{self.node.data / DATABASE_FILE}"

    @property
    def result_digest(self) -> Digest:
        """Digest of what changes the content of results: a job that was queued under another one is other work."""
        content = self.results.model_dump_json()
        if self.models.thresholds:
            content += repr(sorted((name, sorted(moved.items())) for name, moved in self.models.thresholds.items()))
        if self.models.precision:
            content += repr(sorted(self.models.precision.items()))
        running = self.inference.model_dump(include={"providers", "provider_options", "allow_fallback"})
        if running != Inference().model_dump(include=set(running)):
            content += repr(running)
        if self.triton:
            served = {"model", "url", "names", "version", "identity"}
            content += repr(sorted(entry.model_dump_json(include=served) for entry in self.triton))
        if self.profiles or any(entry.profile != OHIF.name for entry in self.destinations):
            content += repr(sorted(self.profile_of.items()))
        if self.node.ae_title != Node().ae_title:
            content += repr(self.node.ae_title)
        if self.character_sets:
            content += repr(sorted(entry.model_dump_json() for entry in self.character_sets))
        return Digest(hashlib.sha256(content.encode()).hexdigest())

    @property
    def stated_sets(self) -> StatedSets:
        """What the site says of the text of its senders."""
        by_sender = {
            entry.calling_ae_title.strip(): StatedSet(entry.character_set, always=entry.always)
            for entry in self.character_sets
        }
        return StatedSets(by_sender.pop("", None), by_sender)

    @property
    def profile_of(self) -> dict[str, Profile]:
        """The profile of each destination, by name."""
        known = resolved(self.profiles)
        return {entry.name: known[entry.profile] for entry in self.destinations}

    @property
    def profile_names(self) -> tuple[str, ...]:
        """Every profile that a destination can have."""
        return tuple(resolved(self.profiles))

    def profile(self, name: str) -> Profile:
        """One of the built-in profiles or of the site's; KeyError when there is none of this name."""
        return resolved(self.profiles)[name]

    def site_rule(self, entry: RuleEntry, contract: Rule) -> Rule:
        """A site's rule on top of the input contract of its model: it can narrow the contract, never widen it.

        Of a model of several inputs it narrows the choice of the reference.

        Raises
        ------
        ConfigurationError
            ``rule-per-study``: such a model runs once per study.
        """
        if contract.further and entry.per_study != 1:
            raise ConfigurationError(
                f'Rule "{entry.name}" sets per_study, but model {entry.model} takes several series of a study at once.',
                next_step="Leave per_study out of this rule.",
                code="rule-per-study",
            )
        return Rule(
            name=entry.name,
            model=entry.model,
            conditions=(*contract.conditions, *(c.to_domain() for c in entry.conditions)),
            preferences=(*contract.preferences, *(p.to_preference() for p in entry.preferences)),
            destinations=entry.destinations or tuple(d.name for d in self.destinations),
            priority=entry.priority,
            per_study=entry.per_study,
            allow_localizer=entry.allow_localizer,
            allow_derived=entry.allow_derived,
            allow_phantom=entry.allow_phantom,
            allow_burned_in=entry.allow_burned_in,
            timing=entry.assembly.to_domain() if entry.assembly else None,
            input=contract.input,
            further=contract.further,
        )
