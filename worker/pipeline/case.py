"""A folder of images as a case: the series that a model would be given, or the largest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worker.domain.errors import NotApplicableError
from worker.domain.routing import BoundRule
from worker.domain.study import Digest, StoredInstance
from worker.domain.volume import Volume
from worker.pipeline.ports import SeriesReader, VolumeReader
from worker.pipeline.route import plan


def volumes_of(
    rule: BoundRule,
    instances: Sequence[StoredInstance],
    reader: SeriesReader,
    volumes: VolumeReader,
    *,
    where: str,
    config_digest: Digest,
) -> tuple[Volume, ...]:
    """The volumes of the first study that the rule applies to: one for each input of the model, in their order.

    Raises NotApplicableError (``no-model-applies``) when there is none; ``where`` the instances are is said in it.
    """
    for study in sorted({one.header.study_instance_uid for one in instances}):
        own = [one for one in instances if one.header.study_instance_uid == study]
        _, planned = plan((rule,), reader.series(reader.headers(own)), config_digest=config_digest)
        if planned:
            evidence = planned[0].evidence
            found = {one.series_instance_uid: one for one in reader.series(reader.headers(evidence))}
            order = dict.fromkeys(one.header.series_instance_uid for one in evidence)
            return tuple(volumes.volume(found[uid]) for uid in order)
    raise NotApplicableError(
        f"Model {rule.model} applies to no series of the {len(instances)} instances in {where}.",
        next_step="Name another folder with --case; `overread explain --files` shows the reasons.",
        code="no-model-applies",
    )


def largest_series(
    instances: Sequence[StoredInstance], reader: SeriesReader, volumes: VolumeReader, *, where: Path
) -> Volume:
    """The volume of the series with the most slices.

    Raises NotApplicableError (``no-images``) when there is none; ``where`` the instances are is said in it.
    """
    series = reader.series(reader.headers(instances))
    if not series:
        raise NotApplicableError(f"{where} has no DICOM images.", next_step="Name another folder.", code="no-images")
    return volumes.volume(max(series, key=lambda one: one.slice_count))
