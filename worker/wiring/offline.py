"""What needs neither database nor broker: model packages, routing rules, and the analysis itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import worker
from worker.decode.dataset.files import SkippedFile, instances_from_folder
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.errors import ConfigurationError
from worker.domain.profile import OHIF, Profile
from worker.domain.routing import BoundRule, RoutingTable
from worker.domain.study import StoredInstance
from worker.gate.gate import ResultGate
from worker.inference.development.check import PackageReport, check_package, folders_of
from worker.inference.packages import routing_table as tables
from worker.inference.packages.package import MANIFEST, Package, load_package
from worker.inference.packages.registry import Registry
from worker.inference.packages.weights_cache import WeightsCache
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.execution import Execution
from worker.inference.runtime.memory import run_limit_bytes
from worker.intake.scan.scan import scan_file
from worker.intake.supported_syntaxes import TRANSFER_SYNTAXES
from worker.pipeline import ports
from worker.pipeline.analyse import Analyser
from worker.results.encoder import DicomEncoder
from worker.results.identity import Equipment, serial_number_of
from worker.settings import Settings
from worker.wiring.execution import execution


def packaged_models() -> Path:
    """Folder of the model packages that come with Overread: inside the wheel, or beside the source tree."""
    inside = Path(str(files(worker) / "packaged_models"))
    return inside if inside.is_dir() else Path(worker.__file__).resolve().parent.parent / "models"


def registry(settings: Settings) -> Registry:
    """The installed model packages; broken ones are named, and do not block the others."""
    return Registry(
        model_folders(settings),
        largest_weights_bytes=settings.models.max_weights_mb << 20,
        trusted=settings.models.trusted,
        cache=weights_cache(settings),
    )


def package_in(folder: Path, settings: Settings) -> Package:
    """The package of one folder, within what the site allows; raises what ``load_package`` raises."""
    return load_package(
        folder,
        largest_weights_bytes=settings.models.max_weights_mb << 20,
        trusted=settings.models.trusted,
        cache=weights_cache(settings),
    )


def package_named(model: str, settings: Settings) -> Package:
    """The package in that folder, or the installed one of that name. Raises ConfigurationError."""
    folder = Path(model)
    if (folder / MANIFEST).is_file():
        return package_in(folder, settings)
    return registry(settings).find(model)


def model_folders(settings: Settings) -> list[Path]:
    """Folders that hold model packages: the site's, and ours."""
    return [*settings.models.folders, *([packaged_models()] if settings.models.packaged else [])]


def weights_cache(settings: Settings) -> WeightsCache:
    """Where fetched weights lie."""
    return WeightsCache(settings.node.data / "weights")


def bound_rules(settings: Settings, installed: Registry | None = None) -> tuple[BoundRule, ...]:
    """The rules whose models can be used; raises as ``packages.routing_table.bound_rules``."""
    return tables.bound_rules(settings, installed or registry(settings))


def routing_table(settings: Settings, installed: Registry | None = None) -> RoutingTable:
    """The routing table; raises as ``packages.routing_table.routing_table``."""
    return tables.routing_table(settings, installed or registry(settings))


def table_of(settings: Settings, model: str = "") -> RoutingTable:
    """The routing table for a person at the console, or only its rules for one model."""
    return tables.table_of(settings, registry(settings), model)


def reader(settings: Settings) -> ports.SeriesReader:
    """Headers from stored bytes."""
    return HeaderReader(character_sets=settings.stated_sets)


def memory_limit_bytes(settings: Settings) -> int:
    """The most that one run may need."""
    return run_limit_bytes(settings.work.memory_limit_mb, concurrency=settings.work.concurrency)


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


def model_predictor(
    settings: Settings, installed: Registry | None = None, running: Execution | None = None
) -> PackagePredictor:
    """The installed models, running where and how the site has configured it. Nothing is loaded yet."""
    return PackagePredictor(
        installed or registry(settings),
        execution=running or execution(settings),
        memory_limit_bytes=memory_limit_bytes(settings),
        thresholds=settings.models.thresholds,
    )


def equipment(settings: Settings) -> Equipment:
    """What result objects say of who made them: by the configuration alone, so that a new database changes nothing."""
    return Equipment(
        ae_title=settings.node.ae_title,
        device_serial_number=settings.results.device_serial_number or serial_number_of(settings.node.ae_title),
        department=settings.results.institution_department,
    )


def instances_in(folder: Path) -> tuple[tuple[StoredInstance, ...], tuple[SkippedFile, ...]]:
    """DICOM files of a folder, and what was left out with the reason."""
    if not folder.exists():
        raise ConfigurationError(f"There is no folder {folder}.", code="folder-missing")
    return instances_from_folder(folder, listener_check=_as_the_listener)


def _as_the_listener(path: Path, offset: int, transfer_syntax_uid: str) -> None:
    """Take from a folder what would be taken from the network, so that both lead to the same result."""
    if transfer_syntax_uid in TRANSFER_SYNTAXES:
        scan_file(path, offset=offset, transfer_syntax_uid=transfer_syntax_uid)


def check_packages(settings: Settings, folders: Sequence[Path] = ()) -> tuple[PackageReport, ...]:
    """What is wrong with each of these packages; by default with all that are installed."""
    load, limit_bytes = partial(package_in, settings=settings), memory_limit_bytes(settings)
    wanted = folders or folders_of(registry(settings))
    return tuple(check_package(folder, load, limit_bytes=limit_bytes) for folder in wanted)
