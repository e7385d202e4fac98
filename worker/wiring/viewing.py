"""What ``overread view`` needs: the ledger, the spool, and readers of the evidence."""

from __future__ import annotations

from collections.abc import Sequence

from worker.decode.series.volumes import VolumeReader
from worker.domain.analysis_record import AnalysisRecord
from worker.domain.job import StageTime
from worker.domain.work import PlannedAnalysis
from worker.pipeline.analyse import Analysis
from worker.pipeline.view import record_of_job as _record_of_job
from worker.pipeline.view import record_of_run as _record_of_run
from worker.settings import Settings
from worker.wiring import execution, reading, stores
from worker.wiring.retention import job_pictures


def record_of_job(settings: Settings, prefix: str, *, burned_in: bool = False) -> AnalysisRecord:
    """What is kept of an analyse job; raises as ``pipeline.view.record_of_job``."""
    return _record_of_job(
        stores.queries(settings),
        stores.ledger(settings).evidence,
        reading.reader(settings),
        VolumeReader(memory_budget_bytes=execution.memory_limit_bytes(settings)),
        prefix,
        older_picture=job_pictures(settings).read,
        burned_in=burned_in,
    )


def record_of_run(
    settings: Settings,
    analysis: Analysis,
    planned: PlannedAnalysis,
    stages: Sequence[StageTime],
    *,
    burned_in: bool = False,
) -> AnalysisRecord:
    """What an offline run has: objects that were never stored, on the volume that was analysed."""
    return _record_of_run(analysis, planned, stages, reading.reader(settings), burned_in=burned_in)
