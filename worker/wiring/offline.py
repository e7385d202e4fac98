"""What needs neither database nor broker: model packages, routing rules, and the analysis itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import worker
from worker.decode.dataset.files import SkippedFile, instances_from_folder
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.errors import ConfigurationError, OverreadError
from worker.domain.profile import OHIF, Profile
from worker.domain.routing import Rule
from worker.domain.study import StoredInstance
from worker.gate.gate import ResultGate
from worker.inference.development.trial import try_out
from worker.inference.packages.package import MANIFEST, Package, load_package, rule_of
from worker.inference.packages.registry import MODEL_MISSING, BrokenPackage, Registry
from worker.inference.packages.weights_cache import WeightsCache
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.execution import Execution
from worker.inference.runtime.memory import check_weights_memory
from worker.inference.runtime.providers import runtime
from worker.inference.runtime.session import SessionCache
from worker.inference.runtime.telemetry import Telemetry, telemetry_of
from worker.inference.runtime.variants import bound_entries
from worker.intake.scan.scan import scan_file
from worker.intake.supported_syntaxes import TRANSFER_SYNTAXES
from worker.pipeline import ports
from worker.pipeline.analyse import Analyser
from worker.pipeline.route import BoundRule, RoutingTable, Unusable
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


def runtime_telemetry() -> tuple[str, Telemetry]:
    """Version of the installed ONNX Runtime, and whether it is known to report nothing."""
    found = str(runtime().__version__)
    return found, telemetry_of(found)


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
    """The rules of ``routing_table`` whose models can be used.

    Raises
    ------
    ConfigurationError
        ``model-missing`` when a rule, ``models.enabled`` or ``models.experimental`` names a model that is not
        installed; ``model-experimental`` when a rule or ``models.enabled`` names one that is only an experiment here.
    """
    table = routing_table(settings, installed)
    for one in table.unusable:
        if one.code == MODEL_MISSING:
            raise ConfigurationError(one.reason, next_step="Install it, or correct the name.", code=one.code)
    return table.rules


def routing_table(settings: Settings, installed: Registry | None = None) -> RoutingTable:
    """The routing table: the site's rules, or one rule for each enabled model when there are none.

    Experimental models are left out unless ``models.experimental`` names them. Models that are named and not there,
    or that are there and broken, are among the unusable ones.

    Raises ConfigurationError ``model-experimental`` as ``bound_rules`` does.
    """
    installed = installed or registry(settings)
    destinations = tuple(entry.name for entry in settings.destinations)
    rules: list[BoundRule] = []
    unusable: list[Unusable] = []
    for name, finish in _wanted(settings, installed):
        try:
            package = _allowed(installed.find(name), settings)
        except ConfigurationError as error:
            if error.code != MODEL_MISSING:
                raise
            unusable.append(_unusable(name, finish, installed, destinations, error))
        else:
            rules.append(BoundRule(finish(_contract(package, destinations)), package.identity))
    return RoutingTable(tuple(rules), tuple({(one.model, one.rule): one for one in unusable}.values()))


def _wanted(settings: Settings, installed: Registry) -> Iterator[tuple[str, Callable[[Rule], Rule]]]:
    """The models that the site uses by name, and what makes a rule of the model's own one."""
    if settings.rules:
        for entry in settings.rules:
            yield entry.model, partial(settings.site_rule, entry)
        named = {entry.model for entry in settings.rules}
        # Only to see that they are there.
        missing = [name for name in settings.models.experimental if name not in named and not installed.has(name)]
        yield from ((name, lambda rule: rule) for name in missing)
        return
    names = settings.models.enabled or (
        *(package.identity.name for package in installed.packages if is_offered(package, settings)),
        *(one.name for one in installed.broken if _would_be_offered(one, settings)),
    )
    yield from ((name, lambda rule: rule) for name in dict.fromkeys((*names, *settings.models.experimental)))


def _would_be_offered(broken: BrokenPackage, settings: Settings) -> bool:
    manifest = broken.manifest
    return manifest is None or not manifest.package.experimental or broken.name in settings.models.experimental


def _unusable(
    name: str,
    finish: Callable[[Rule], Rule],
    installed: Registry,
    destinations: tuple[str, ...],
    error: ConfigurationError,
) -> Unusable:
    known = [one for one in installed.broken if one.may_be(name)]
    broken = next((one for one in known if one.name == name), next(iter(known), None))
    if broken is None:
        return Unusable(name, error.code, error.message)
    rule = None if broken.manifest is None else finish(rule_of(broken.manifest, destinations))
    return Unusable(name, broken.error.code, broken.error.message, rule)


def table_of(settings: Settings, model: str = "") -> RoutingTable:
    """The routing table for a person at the console, or only its rules for one model.

    Raises ConfigurationError as ``bound_rules`` does, also when ``model`` is not installed, broken, or only an
    experiment here.
    """
    installed = registry(settings)
    if model:
        _allowed(installed.find(model), settings)
    bound = bound_rules(settings, installed)
    if model:
        return RoutingTable(tuple(one for one in bound if one.model.name == model))
    return RoutingTable(bound, routing_table(settings, installed).unusable)


def is_offered(package: Package, settings: Settings) -> bool:
    """False for an experimental model that the site has not asked for by name."""
    return not package.manifest.package.experimental or package.identity.name in settings.models.experimental


def _allowed(package: Package, settings: Settings) -> Package:
    if not is_offered(package, settings):
        raise ConfigurationError(
            f"Model {package.identity} is experimental, and models.experimental does not list it.",
            next_step=f"Read `overread models card {package.identity.name}`. To run it none the less, add "
            f'"{package.identity.name}" to models.experimental.',
            code="model-experimental",
        )
    return package


def _contract(package: Package, destinations: tuple[str, ...]) -> Rule:
    return replace(package.to_rule(), destinations=destinations)


def reader(settings: Settings) -> ports.SeriesReader:
    """Headers from stored bytes."""
    return HeaderReader(character_sets=settings.stated_sets)


def memory_limit_bytes(settings: Settings) -> int:
    """The most that one run may need: as configured, or four fifths of the machine's memory shared by concurrency."""
    if settings.work.memory_limit_mb:
        return settings.work.memory_limit_mb << 20
    return int(0.8 * _memory_bytes() / settings.work.concurrency)


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


def one_of_each_series(
    evidence: Sequence[StoredInstance], instances: Sequence[StoredInstance]
) -> tuple[StoredInstance, ...]:
    """One instance of each series of the study that the evidence is of."""
    study = evidence[0].header.study_instance_uid
    found: dict[str, StoredInstance] = {}
    for one in sorted(instances, key=lambda one: one.sop_instance_uid):
        if one.header.study_instance_uid == study:
            found.setdefault(one.header.series_instance_uid, one)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class PackageReport:
    """What `overread models check` found: ``error`` and ``code`` are empty for a sound package."""

    folder: Path
    model: str
    error: str
    code: str = ""


def check_packages(settings: Settings, folders: Sequence[Path]) -> tuple[PackageReport, ...]:
    """Load each package, weights included, run it once on a made-up image, and say what is wrong with it."""
    if not folders:
        installed = registry(settings)
        good = [p.folder for p in installed.packages]
        folders = sorted({*good, *(b.folder for b in installed.broken)})
    return tuple(_check(folder, settings) for folder in folders)


def _check(folder: Path, settings: Settings) -> PackageReport:
    try:
        package = package_in(folder, settings)
        check_weights_memory(Execution().weights_bytes(package), limit_bytes=memory_limit_bytes(settings))
        sessions = SessionCache()
        for net in package.manifest.nets():
            for entry in bound_entries(package, net.weights):
                sessions.get(package.weights[entry.id], net)
        try_out(package, sessions)
    except OverreadError as error:
        return PackageReport(folder, "", str(error), error.code)
    return PackageReport(folder, str(package.identity), "")


@cache
def _memory_bytes() -> int:
    """Physical memory, or the control group's limit when that is lower."""
    total = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        if line.startswith("MemTotal")
    )
    paths = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    limits = [path.read_text(encoding="ascii").strip() for path in paths if path.is_file()]
    return min(total, *(int(text) for text in limits if text.isdigit()))
