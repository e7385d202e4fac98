"""``overread models bench``: the site's settings, with one model in one precision at one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from worker.decode.series.volumes import VolumeReader
from worker.domain.routing import BoundRule
from worker.inference.development import bench as benches
from worker.inference.development.bench import REMOTE, Measured, Run, Setting, apart, timed
from worker.inference.packages.package import Package
from worker.inference.run.predictor import PackagePredictor
from worker.pipeline.case import volumes_of
from worker.settings import Settings
from worker.wiring import packages, reading
from worker.wiring.execution import execution, memory_limit_bytes


def settings_of(package: Package, settings: Settings, wanted: Sequence[str], asked: Sequence[str]) -> list[Setting]:
    """What is measured of this model on this machine; raises as ``bench.settings_of``."""
    served = any(entry.model == package.identity.name for entry in settings.triton)
    return benches.settings_of(package, wanted, asked, served=served)


def bench(
    package: Package,
    settings: Settings,
    case: Path,
    todo: Sequence[Setting],
    *,
    repeat: int,
    say: Callable[[str], None],
) -> Iterator[Measured]:
    """Measure one setting after another, each in a process of its own; raises as ``bench.bench``."""
    return benches.bench(
        todo, lambda setting: apart(partial(measured, configured(settings, package, setting), case, repeat)), say=say
    )


def configured(settings: Settings, package: Package, setting: Setting) -> Settings:
    """The site's settings, with this model in this precision there, and no other model."""
    name = package.identity.name
    remote = setting.provider == REMOTE
    providers = settings.inference.providers if remote else (setting.provider,)
    changes = {
        "inference": settings.inference.model_copy(update={"providers": providers, "allow_fallback": False}),
        "models": settings.models.model_copy(
            update={
                "folders": (package.folder,),
                "packaged": False,
                "precision": {name: setting.precision},
                "thresholds": {key: value for key, value in settings.models.thresholds.items() if key == name},
            }
        ),
        "triton": tuple(entry for entry in settings.triton if remote and entry.model == name),
    }
    return settings.model_copy(update=changes)


def measured(settings: Settings, case: Path, repeat: int) -> Run:
    """One measurement of the only model of these settings. Raises what is wrong with it, or with the case."""
    installed = packages.registry(settings)
    if installed.broken:
        raise installed.broken[0].error
    (package,) = installed.packages
    instances, _ = reading.instances_in(case)
    limit_bytes = memory_limit_bytes(settings)
    volumes = volumes_of(
        BoundRule(package.to_rule(), package.identity),
        instances,
        reading.reader(settings),
        VolumeReader(memory_budget_bytes=limit_bytes),
        where=case.name,
        config_digest=settings.result_digest,
    )
    new_predictor = partial(
        PackagePredictor,
        installed,
        execution=execution(settings),
        memory_limit_bytes=limit_bytes,
        thresholds=settings.models.thresholds,
    )
    return timed(new_predictor, package.identity, volumes, repeat=repeat)
