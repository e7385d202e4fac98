"""A new model package of a family: a manifest that is right in form, to be filled in."""

from __future__ import annotations

import hashlib
import shutil
from importlib.resources import files
from pathlib import Path

from worker.domain.errors import ConfigurationError
from worker.domain.model import Family
from worker.inference.packages.package import MANIFEST

WEIGHTS = "model.onnx"
NO_WEIGHTS_YET = "0" * 64


def template(family: Family, name: str) -> str:
    """The manifest of a new package, as TOML."""
    folder = files("worker.inference.development") / "templates"
    common = (folder / "common.toml").read_text(encoding="utf-8")
    special = (folder / f"{family.value}.toml").read_text(encoding="utf-8")
    title = name.replace("-", " ").capitalize()
    return f"{common}\n{special}".replace("@NAME@", name).replace("@TITLE@", title)


def write_package_skeleton(folder: Path, family: Family, *, name: str, weights: Path | None = None) -> Path:
    """Make the folder with its manifest and README; copy ``weights`` into it when they are given.

    Raises
    ------
    ConfigurationError
        ``folder-exists``; ``weights-missing`` when the given file cannot be read.
    """
    if folder.exists():
        raise ConfigurationError(
            f"{folder} is there already.", next_step="Choose another name or folder.", code="folder-exists"
        )
    digest = NO_WEIGHTS_YET
    if weights is not None:
        try:
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigurationError(
                f"{weights} cannot be read ({error.strerror}).", next_step="Name an ONNX file.", code="weights-missing"
            ) from error
    folder.mkdir(parents=True)
    try:
        _fill(folder, template(family, name).replace(NO_WEIGHTS_YET, digest), name=name, weights=weights)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # half a package would stand in the way of the next attempt
        raise
    return folder


def _fill(folder: Path, manifest: str, *, name: str, weights: Path | None) -> None:
    (folder / MANIFEST).write_text(manifest, encoding="utf-8")
    if weights is not None:
        shutil.copyfile(weights, folder / WEIGHTS)
    readme = (files("worker.inference.development") / "templates" / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(readme.replace("@NAME@", name), encoding="utf-8")
