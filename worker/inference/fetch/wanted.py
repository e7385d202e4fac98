"""Which weights packages state a URL for, and do not have in their folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worker.domain.errors import ConfigurationError
from worker.inference.fetch.fetch import Wanted
from worker.inference.packages.package import read_manifest
from worker.inference.packages.registry import package_folders


def wanted_of(folders: Sequence[Path], name: str = "") -> tuple[Wanted, ...]:
    """What the packages in these folders (or the one of that name) state a URL for and do not have in their folder.

    Also what was fetched already: whoever fetches finds that out, and whether it is still whole. Raises
    ConfigurationError (``model-missing``) when there is no package of that name, or what its manifest is refused for.
    """
    found: list[Wanted] = []
    known: list[str] = []
    for folder in package_folders(folders):
        try:
            _, manifest = read_manifest(folder)
        except ConfigurationError:
            if folder.name == name:
                raise
            continue  # `models check` says what is wrong with it
        known.append(manifest.package.name)
        if name in ("", manifest.package.name):
            for entry in manifest.weights:
                inner = Path(entry.file).parent
                files = [(entry, Path(entry.file)), *((one, inner / one.file) for one in entry.external)]
                found += [
                    Wanted(manifest.package.name, str(path), one.url, one.sha256, one.size_bytes)
                    for one, path in files
                    if one.url is not None and one.size_bytes is not None and not (folder / path).exists()
                ]
    if name and name not in known:
        raise ConfigurationError(
            f"There is no model {name}. Installed: {', '.join(sorted(set(known))) or 'none'}.",
            next_step="Set models.folders to where the package is.",
            code="model-missing",
        )
    return tuple({one.sha256: one for one in found}.values())
