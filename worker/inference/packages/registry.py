"""The installed model packages: found by name, version or digest; a broken one is named and blocks no other."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import ConfigurationError, ModelUnusableError
from worker.domain.model import ModelIdentity
from worker.domain.study import Digest
from worker.inference.manifest.manifest import Manifest
from worker.inference.packages.package import LARGEST_WEIGHTS_BYTES, MANIFEST, Package, load_package, read_manifest
from worker.inference.packages.weights_cache import WeightsCache

log = logging.getLogger(__name__)

MODEL_MISSING = "model-missing"
"""Code of a model that is not installed."""
MODEL_GONE = "model-gone"
"""Code of a model that was installed, and whose folder is not there now."""


@dataclass(frozen=True, slots=True)
class BrokenPackage:
    """A folder that should hold a package, and why it cannot be used. ``manifest`` is None when it cannot be read."""

    folder: Path
    error: ConfigurationError
    manifest: Manifest | None = None

    @property
    def name(self) -> str:
        """Name of the model, or of the folder where no manifest says it."""
        return self.folder.name if self.manifest is None else self.manifest.package.name

    def may_be(self, name: str) -> bool:
        """Whether it may be the model of that name."""
        return self.manifest is None or self.name == name

    def as_unusable(self) -> ModelUnusableError:
        """Why the model cannot be used, for work that needs it."""
        error = self.error
        return ModelUnusableError(f"Model {self.name}: {error.message}", next_step=error.next_step, code=error.code)


class Registry:
    """All packages in some folders; one that is broken does not block the others.

    Parameters
    ----------
    folders:
        Each is a package itself or holds packages in its sub-folders.
    largest_weights_bytes:
        Limit for each file of weights.
    trusted:
        SHA-256 of the packages' Python files that the site lets run; a package that brings another one is broken.
    cache:
        Where weights lie that were fetched.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        largest_weights_bytes: int = LARGEST_WEIGHTS_BYTES,
        trusted: Collection[str] = (),
        cache: WeightsCache | None = None,
    ) -> None:
        packages: dict[tuple[str, str], Package] = {}
        broken: list[BrokenPackage] = []
        roots = [folder.resolve() for folder in folders]
        for folder in package_folders(folders):
            try:
                package = load_package(
                    folder, largest_weights_bytes=largest_weights_bytes, trusted=trusted, cache=cache
                )
                key = (package.identity.name, package.identity.version)
                twin = packages.get(key)
                if twin is not None and twin.identity.digest != package.identity.digest:
                    raise _twins(package, twin)
                packages.setdefault(key, package)
            except (ConfigurationError, OSError) as raised:
                error = raised if isinstance(raised, ConfigurationError) else _unreadable(folder, raised)
                if folder in roots and not _has_manifest(folder):
                    error = _nothing_in(folder)
                log.warning("model-package-broken", extra={"package": folder.name, "code": error.code})
                broken.append(BrokenPackage(folder, error, _manifest_in(folder)))
        self.packages: tuple[Package, ...] = tuple(sorted(packages.values(), key=_by_name_and_version))
        self.broken: tuple[BrokenPackage, ...] = tuple(broken)

    def missing(self, known: Collection[Package]) -> Registry:
        """The same, with those of the ``known`` packages among the broken ones of whose name nothing is there now."""
        here = {*(package.identity.name for package in self.packages), *(one.name for one in self.broken)}
        gone = [package for package in known if package.identity.name not in here]
        if not gone:
            return self
        for package in gone:
            log.warning("model-package-broken", extra={"package": package.folder.name, "code": MODEL_GONE})
        found = copy(self)
        found.broken = (*self.broken, *(BrokenPackage(one.folder, _gone(one), one.manifest) for one in gone))
        return found

    def find(self, name: str, version: str | None = None) -> Package:
        """The package of that name; without ``version`` the highest. Raises ConfigurationError ``model-missing``."""
        found = [p for p in self.packages if p.identity.name == name and version in (None, p.identity.version)]
        if not found:
            raise self._missing(f"model {name}{f' {version}' if version else ''}")
        return found[-1]

    def has(self, name: str) -> bool:
        """Whether there is a sound package of that name."""
        return any(package.identity.name == name for package in self.packages)

    def by_digest(self, digest: Digest) -> Package:
        """The package of that content. Raises ConfigurationError ``model-missing``."""
        for package in self.packages:
            if package.identity.digest == digest:
                return package
        raise self._missing(f"a model package with digest {digest[:12]}...")

    def pinned(self, model: ModelIdentity) -> Package:
        """The package that a job was queued for, never another version.

        Raises ModelUnusableError: for the reason of one that is broken and may be it, else ``model-missing``. It was
        there when the job was planned, and may be on its way back.
        """
        try:
            return self.by_digest(model.digest)
        except ConfigurationError as error:
            for broken in self.broken:
                if broken.may_be(model.name):
                    raise broken.as_unusable() from error
            missing = self._missing(f"{model} with digest {model.digest[:12]}...")
            raise ModelUnusableError(missing.message, next_step=_MISSED, code=missing.code) from error

    def _missing(self, what: str) -> ConfigurationError:
        installed = ", ".join(f"{p.identity} ({p.identity.digest[:12]}...)" for p in self.packages) or "none"
        broken = "".join(f" Broken: {b.folder.name} ({b.error.code})." for b in self.broken)
        return ConfigurationError(
            f"There is no {what}. Installed: {installed}.{broken}",
            next_step="Install that version of the package, or run the study again with the installed one.",
            code=MODEL_MISSING,
        )


_MISSED = (
    "Put that version of the package back: the work is then done. Where it was removed on purpose, `overread rerun "
    "STUDY` does the study with what is installed, and `overread cancel JOB` gives it up."
)


def package_folders(folders: Sequence[Path]) -> list[Path]:
    """The folders with a manifest: each of these itself, or those in it.

    One that cannot be looked into is among them, and so is one of ``folders`` that is not there or holds none (a share
    that is not mounted): what should be in them is missed.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        try:
            inside = (
                [folder] if _has_manifest(folder) else sorted(one for one in folder.iterdir() if _has_manifest(one))
            )
        except OSError:
            inside = [folder]
        found |= {one.resolve(): None for one in inside or [folder]}
    return list(found)


def _has_manifest(folder: Path) -> bool:
    """Whether there is one, or nobody knows: a link that leads nowhere is one, and so is what may not be read."""
    try:
        os.lstat(folder / MANIFEST)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _manifest_in(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)[1]
    except ConfigurationError:
        return None


def _unreadable(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"The package folder {folder} cannot be read ({error.strerror}).",
        next_step="Give it back its files and rights.",
        code="package-unreadable",
    )


def _nothing_in(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        f"There is no model package in {folder}, which is configured as a folder of them.",
        next_step="Mount or fill it, or take it out of models.folders.",
        code="models-folder-empty",
    )


def _gone(package: Package) -> ConfigurationError:
    return ConfigurationError(
        f"{package.identity} was installed in {package.folder}, which is not there now.",
        next_step="Put it back. If it was removed on purpose, start the workers again.",
        code=MODEL_GONE,
    )


def _by_name_and_version(package: Package) -> tuple[str, tuple[int, ...], bool, str]:
    """Versions by number, a pre-release before its release (https://semver.org, the part that matters)."""
    version = package.identity.version
    core = re.split(r"[-+]", version, maxsplit=1)[0]
    return package.identity.name, tuple(int(part) for part in core.split(".")), "-" not in version, version


def _twins(package: Package, twin: Package) -> ConfigurationError:
    return ConfigurationError(
        f"{package.folder} and {twin.folder} are both {package.identity}, with different content.",
        next_step="Remove one, or give the changed package a new version.",
        code="model-twice",
    )
