"""The tables, in SQLAlchemy Core. Times are UTC in microseconds since 1970; states are the domain's own words.

``migrations/versions`` makes them; a test compares the two.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from worker.domain.job import JobKind, JobState
from worker.domain.result import DeliveryState, ResultKind
from worker.store.database.database import from_microseconds, to_microseconds

_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")


class Kept(StrEnum):
    """What became of the bytes that a row stands for."""

    PRESENT = "present"
    MISSING = "missing"
    """The object is gone though nobody deleted it: shown, never evidence; sending it again heals it."""
    EXPIRED = "expired"
    """Retention takes the object away."""


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, stored as an integer: exact, ordered, and the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002, D102
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else from_microseconds(int(value))


class WireText(TypeDecorator[str]):
    """Text that came over the wire. What PostgreSQL cannot store (NUL, lone surrogates) becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002, D102
        return None if value is None else storable(value)


def storable(value: str) -> str:
    """Text as every database can keep it."""
    return _UNSTORABLE.sub("\ufffd", value)


class Word(TypeDecorator[StrEnum]):
    """A member of a closed set of words."""

    impl = String(32)
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002, D102
        return None if value is None else self.words(value).value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002, D102
        return None if value is None else self.words(value)


METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER primary keys only

installation = Table(
    "installation",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("installation_id", String(36), nullable=False),
    Column("created_at", Instant, nullable=False),
)

listener_sessions = Table(
    "listener_sessions",
    METADATA,
    Column("session_id", String(36), primary_key=True),
    Column("listener_id", String(200), nullable=False, index=True),
    Column("started_at", Instant, nullable=False),
    Column("heartbeat_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

associations = Table(
    "associations",
    METADATA,
    Column("session_id", String(36), ForeignKey("listener_sessions.session_id"), primary_key=True),
    Column("association_id", String(200), primary_key=True),
    Column("calling_ae_title", WireText, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("released_at", Instant),
)

studies = Table(
    "studies",
    METADATA,
    Column("study_instance_uid", WireText, primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("last_received_at", Instant, nullable=False),
)

jobs = Table(
    "jobs",
    METADATA,
    Column("job_id", String(36), primary_key=True),
    Column("kind", Word(JobKind), nullable=False),
    Column("state", Word(JobState), nullable=False),
    Column("study_instance_uid", WireText, ForeignKey("studies.study_instance_uid"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("rule", Text, nullable=False),
    Column("model_name", Text),
    Column("model_version", Text),
    Column("model_digest", String(64)),
    Column("series_instance_uid", WireText),
    Column("config_digest", String(64), nullable=False),
    Column("key", String(64)),
    Column("destinations", JSON, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    # Attempts up to this number do not count against the limit: handed back, or forgiven by a person's retry.
    Column("forgiven", Integer, nullable=False),
    # The attempt during which its worker was asked to stop: it does not count, however it ends.
    Column("stop_asked", Integer),
    Column("reason", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    # Due at not_before; scheduled_at tells when that was decided, so that a clock set back freezes nothing.
    # ring_at says when to ring (again), and rung_at when that was decided; None is not yet, or forgotten.
    Column("not_before", Instant, nullable=False),
    Column("scheduled_at", Instant, nullable=False),
    Column("rung_at", Instant),
    Column("ring_at", Instant, nullable=False, server_default="0"),
    Column("worker", Text),
    Column("lease_until", Instant),
    Column("heartbeat", Integer, nullable=False),
    Column("superseded_by", String(36)),
    Index("ix_jobs_state", "state"),
    Index("ix_jobs_study_instance_uid_kind_revision", "study_instance_uid", "kind", "revision"),
)

Index(
    "uq_jobs_key",
    jobs.c.key,
    unique=True,
    sqlite_where=text("state NOT IN ('cancelled', 'superseded')"),
    postgresql_where=text("state NOT IN ('cancelled', 'superseded')"),
)

timeline = Table(
    "timeline",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("before", Word(JobState)),
    Column("after", Word(JobState), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)

stages = Table(
    "stages",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("stage", Text, nullable=False),
    Column("seconds", Float, nullable=False),
)

instances = Table(
    "instances",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("sop_instance_uid", WireText, nullable=False, unique=True),
    Column("sop_class_uid", WireText, nullable=False),
    Column("study_instance_uid", WireText, ForeignKey("studies.study_instance_uid"), nullable=False),
    Column("series_instance_uid", WireText, nullable=False),
    Column("patient_id", WireText, nullable=False),
    Column("issuer_of_patient_id", WireText, nullable=False),
    Column("patient_name", WireText, nullable=False),
    Column("patient_birth_date", WireText, nullable=False),
    Column("accession_number", WireText, nullable=False),
    Column("modality", WireText, nullable=False),
    Column("manufacturer", WireText, nullable=False),
    Column("manufacturer_model_name", WireText, nullable=False),
    Column("device_serial_number", WireText, nullable=False),
    Column("transfer_syntax_uid", WireText, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("object_key", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("kept", Word(Kept), nullable=False),
    Column("own_result", Boolean, nullable=False),
    Column("calling_ae_title", WireText, nullable=False),
    Column("session_id", String(36), nullable=False),
    Column("association_id", String(200), nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("route_job_id", String(36), ForeignKey("jobs.job_id", ondelete="SET NULL"), index=True),
    Column("revision", Integer, nullable=False),
    Index("ix_instances_study_instance_uid", "study_instance_uid"),
)

arrivals = Table(
    "arrivals",
    METADATA,
    Column("job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("instance_count", Integer, nullable=False),
    Column("first_received_at", Instant, nullable=False),
    Column("last_received_at", Instant, nullable=False),
    Column("largest_gap_us", BigInteger, nullable=False),
)

conflicts = Table(
    "conflicts",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("sop_instance_uid", WireText, nullable=False),
    Column("study_instance_uid", WireText, nullable=False, index=True),
    Column("object_key", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("identity_differs", Boolean, nullable=False),
    # The same instance of the same patient in another transfer syntax: kept, and no conflict.
    Column("other_encoding", Boolean, nullable=False, server_default=false()),
    Column("times", Integer, nullable=False),
    Column("calling_ae_title", WireText, nullable=False),
    Column("association_id", String(200), nullable=False),
    Column("received_at", Instant, nullable=False),
    UniqueConstraint("sop_instance_uid", "object_key"),
)

refusals = Table(
    "refusals",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("code", Text, nullable=False),
    Column("detail", WireText, nullable=False),
    Column("file_name", String(64)),
    Column("size_bytes", BigInteger, nullable=False),
    Column("calling_ae_title", WireText, nullable=False),
    Column("association_id", String(200), nullable=False),
)

job_evidence = Table(
    "job_evidence",
    METADATA,
    Column("job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("instance_id", BigInteger, ForeignKey("instances.id", ondelete="CASCADE"), nullable=False, index=True),
)

decisions = Table(
    "decisions",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("study_instance_uid", WireText, nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("rule", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("series_instance_uid", WireText, nullable=False),
    Column("chosen", Boolean, nullable=False),
    Column("score", Float),
    Column("reasons", JSON, nullable=False),
    # Of a model of several inputs: which one this is about. Empty in rows of before there were any.
    Column("input", Text, nullable=False, server_default=""),
)

plans = Table(
    "plans",
    METADATA,
    Column("route_job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False),
    Column("is_new", Boolean, nullable=False),
)

products = Table(
    "products",
    METADATA,
    Column("job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("gate_report", JSON, nullable=False),
    Column("summary", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("produced_at", Instant, nullable=False),
)

results = Table(
    "results",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("kind", Word(ResultKind), nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("sop_instance_uid", String(64), nullable=False, index=True),
    Column("series_instance_uid", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("kept", Word(Kept), nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("job_id", "position"),
)

deliveries = Table(
    "deliveries",
    METADATA,
    Column("delivery_id", String(36), primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.job_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("destination", Text, nullable=False),
    Column("study_instance_uid", WireText, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Word(DeliveryState), nullable=False),
    Column("attempt", Integer, nullable=False),
    # Sendings in a row that came to nothing: pauses grow with them. The attempt only fences, and never goes back.
    Column("failures", Integer, nullable=False, server_default="0"),
    # Attempts in a row that ended without a word: a delivery that kills its worker is parked in the end.
    Column("died", Integer, nullable=False),
    Column("stop_asked", Integer),  # as of jobs
    Column("priority", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("scheduled_at", Instant, nullable=False),
    Column("rung_at", Instant),
    Column("ring_at", Instant, nullable=False, server_default="0"),
    Column("worker", Text),
    Column("lease_until", Instant),
    Column("heartbeat", Integer, nullable=False),
    Index("ix_deliveries_study_instance_uid_destination", "study_instance_uid", "destination"),
    UniqueConstraint("job_id", "destination"),
)

# What is due at a destination, in its order.
Index(
    "ix_deliveries_due",
    deliveries.c.state,
    deliveries.c.destination,
    deliveries.c.priority.desc(),
    deliveries.c.created_at,
    deliveries.c.delivery_id,
)

circuits = Table(
    "circuits",
    METADATA,
    Column("destination", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    # Nobody tries before; changed_at tells when that was decided, so that a clock set back freezes nothing.
    Column("open_until", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
)

delivery_items = Table(
    "delivery_items",
    METADATA,
    Column("delivery_id", String(36), ForeignKey("deliveries.delivery_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("result_id", BigInteger, ForeignKey("results.id", ondelete="CASCADE"), nullable=False),
    Column("status", Integer),
    Column("stored", Boolean, nullable=False),
    Column("committed", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Instant),
)

commitments = Table(
    "commitments",
    METADATA,
    Column("transaction_uid", String(64), primary_key=True),
    Column(
        "delivery_id", String(36), ForeignKey("deliveries.delivery_id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("requested_at", Instant, nullable=False),
    Column("answer_by", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("outcome", Text, nullable=False),
)

promises = Table(
    "promises",
    METADATA,
    Column("promise_id", String(36), primary_key=True),
    Column("ae_title", WireText, nullable=False),
    Column("transaction_uid", WireText, nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("scheduled_at", Instant, nullable=False),
    Column("told_at", Instant),
    Column("outcome", Text, nullable=False),
    UniqueConstraint("ae_title", "transaction_uid"),
)

promised_instances = Table(
    "promised_instances",
    METADATA,
    Column("promise_id", String(36), ForeignKey("promises.promise_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sop_class_uid", WireText, nullable=False),
    Column("sop_instance_uid", WireText, nullable=False, index=True),
    # None until it was judged, and for what we promised to keep.
    Column("failure_reason", Integer),
    # Retention deletes nothing before; binds from the judgement on, before the requester is told.
    Column("promised_until", Instant),
)
