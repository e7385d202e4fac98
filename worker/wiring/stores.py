"""The ledger and the spool of an installation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from worker.pipeline import ports
from worker.settings import Settings
from worker.store.commitment.scp import LedgerCommitmentRequests
from worker.store.commitment.scu import LedgerCommitments
from worker.store.custody.retention import DAY_S, Retention, RetentionPolicy
from worker.store.database.database import Database
from worker.store.database.schema import migrate
from worker.store.reading.queries import Queries
from worker.store.spool.data_folder import check_installed, make_data_folder
from worker.store.spool.spool import Spool
from worker.store.work.evidence import LedgerEvidence
from worker.store.work.jobs import LedgerJobs, Limits
from worker.store.work.operations import Operations
from worker.store.work.outbox import LedgerOutbox
from worker.store.work.products import LedgerProducts
from worker.store.work.routings import LedgerRoutings
from worker.store.work.sweep import LedgerSweep


@dataclass(frozen=True)
class Ledger:
    """Every view of one database and one spool; each is made when it is first asked for."""

    settings: Settings

    @cached_property
    def database(self) -> Database:
        """The database by its URL."""
        return Database(self.settings.database_url)

    @cached_property
    def spool(self) -> Spool:
        """Instances and results on disk."""
        storage = self.settings.storage
        return Spool(self.settings.node.data / "spool", reserve_bytes=storage.reserve_mb << 20)

    @cached_property
    def limits(self) -> Limits:
        """How long leases last, and how many attempts a job has."""
        work = self.settings.work
        return Limits(
            lease_s=work.lease_s,
            max_attempts=work.max_attempts,
            delivery_lease_s=work.lease_s,
            delivery_slots=work.delivery_slots,
        )

    @cached_property
    def committing(self) -> frozenset[str]:
        """Destinations whose confirmation ends our responsibility: a promise, or that a query finds our objects."""
        return frozenset(entry.name for entry in self.settings.destinations if entry.to_domain().confirms)

    @cached_property
    def jobs(self) -> ports.Jobs:
        """Claims on jobs, and how they end."""
        return LedgerJobs(self.database, limits=self.limits)

    @cached_property
    def evidence(self) -> ports.Evidence:
        """The stored instances that a job works on, checked against what was planned."""
        return LedgerEvidence(self.database, self.spool, require_patient_id=self.settings.storage.require_patient_id)

    @cached_property
    def routings(self) -> ports.Routings:
        """Where routing decisions become jobs."""
        return LedgerRoutings(self.database)

    @cached_property
    def products(self) -> ports.Products:
        """Where result objects are kept."""
        noting = frozenset(entry.name for entry in self.settings.destinations if entry.rejection_note)
        return LedgerProducts(self.database, self.spool, noting=noting)

    @cached_property
    def outbox(self) -> ports.Outbox:
        """The deliveries that are due, leased to one attempt each."""
        return LedgerOutbox(self.database, self.spool, limits=self.limits, committing=self.committing)

    @cached_property
    def confirmations(self) -> ports.Confirmations:
        """Commitment requests, and what was answered."""
        entry = self.settings.confirmation
        return LedgerCommitments(
            self.database,
            self.spool,
            committing=self.committing,
            first_pause_s=entry.first_pause_s,
            longest_pause_s=entry.longest_pause_s,
        )

    @cached_property
    def commitment_requests(self) -> LedgerCommitmentRequests:
        """What others asked us to commit to (PS3.4 Annex J)."""
        return LedgerCommitmentRequests(
            self.database, self.spool, retention_s=self.settings.storage.retention_days * DAY_S
        )

    @cached_property
    def retention(self) -> Retention:
        """Deletes what is finished and old."""
        storage = self.settings.storage
        usual = RetentionPolicy()
        policy = RetentionPolicy(
            finished_s=storage.keep_finished_days * DAY_S,
            problems_s=max(usual.problems_s, storage.keep_finished_days * DAY_S),
            history_s=max(usual.history_s, storage.keep_finished_days * DAY_S),
            max_bytes=int(storage.max_gb * 2**30) or None,
        )
        return Retention(self.database, self.spool, policy)

    @cached_property
    def sweepable(self) -> ports.Sweepable:
        """What is complete, due or overdue, for the sweeper."""
        return LedgerSweep(
            self.database,
            limits=self.limits,
            committing=self.committing,
        )

    @cached_property
    def operations(self) -> Operations:
        """What people do to jobs."""
        return Operations(self.database, limits=self.limits, committing=self.committing)

    @cached_property
    def queries(self) -> Queries:
        """The read side, for the command line."""
        return Queries(self.database, self.spool)


_open: dict[tuple[int, str, str], Ledger] = {}


def ledger(settings: Settings) -> Ledger:
    """The ledger of this process: one for each database and data folder, never carried over a fork."""
    key = (os.getpid(), settings.database_url, str(settings.node.data))
    if key not in _open:
        _open[key] = Ledger(settings)
    return _open[key]


def queries(settings: Settings) -> Queries:
    """The read side of an installation; raises as ``existing``."""
    return existing(settings).queries


def existing(settings: Settings) -> Ledger:
    """The ledger of an installation that is there: neither made nor migrated. Raises as ``check_installed``."""
    check_installed(settings)
    return ledger(settings)


def prepare(settings: Settings) -> None:
    """Make the installation, or bring its database to this version. Safe when many processes start at once.

    Raises as ``make_data_folder`` and ``migrate``.
    """
    make_data_folder(settings)
    migrate(ledger(settings).database)
