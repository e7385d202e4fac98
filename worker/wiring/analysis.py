"""The analyse lane: from stored instances to result objects that the gate has passed."""

from __future__ import annotations

from collections.abc import Callable

from worker.decode.series.volumes import VolumeReader
from worker.domain.profile import OHIF, Profile
from worker.gate.result_gate import ResultGate
from worker.pipeline import ports
from worker.pipeline.analyse import Analyser, AnalyseSeries, Illustrator
from worker.pipeline.attempt import AttemptPolicy, Stopwatch
from worker.results.encoder import DicomEncoder
from worker.results.identity import Equipment, serial_number_of
from worker.settings import Settings
from worker.wiring.execution import memory_limit_bytes
from worker.wiring.loaded_models import model_predictor
from worker.wiring.reading import reader
from worker.wiring.retention import job_pictures
from worker.wiring.stores import Ledger


def analyse_series(
    settings: Settings,
    ledger: Ledger,
    predictor: ports.Predictor,
    *,
    new_watch: Callable[[], Stopwatch],
    policy: AttemptPolicy,
) -> AnalyseSeries:
    """What an analyse job does."""
    illustrator: Illustrator | None = job_pictures(settings) if settings.pictures.keep else None
    return AnalyseSeries(
        jobs=ledger.jobs,
        evidence=ledger.evidence,
        products=ledger.products,
        analyser=analyser(settings, predictor=predictor),
        illustrator=illustrator,
        new_watch=new_watch,
        policy=policy,
    )


def analyser(settings: Settings, *, standard: Profile = OHIF, predictor: ports.Predictor | None = None) -> Analyser:
    """Everything from stored instances to gated objects. Nothing heavy is loaded before the first run.

    ``standard`` is the profile of results that go to no destination.
    """
    volumes: ports.VolumeReader = VolumeReader(memory_budget_bytes=memory_limit_bytes(settings))
    predictor = predictor if predictor is not None else model_predictor(settings)
    encoder: ports.Encoder = DicomEncoder(
        equipment=equipment(settings),
        series_number=settings.results.series_number,
        profiles=settings.profile_of,
        standard=standard,
        character_sets=settings.stated_sets,
    )
    gate: ports.Gate = ResultGate(
        maximum_object_bytes=settings.results.max_object_mb << 20,
        profiles=settings.profile_of,
        standard=standard,
        character_sets=settings.stated_sets,
    )
    return Analyser(reader(settings), volumes, predictor, encoder, gate)


def equipment(settings: Settings) -> Equipment:
    """What result objects say of who made them: by the configuration alone, so that a new database changes nothing."""
    return Equipment(
        ae_title=settings.node.ae_title,
        device_serial_number=settings.results.device_serial_number or serial_number_of(settings.node.ae_title),
        department=settings.results.institution_department,
    )
