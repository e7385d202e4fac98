"""The folder that an importer makes: manifest, card, report."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing import labels
from worker.importing.parity import Parity, as_markdown, write_report
from worker.importing.toml import to_toml

MANIFEST = "manifest.toml"


@dataclass(frozen=True, slots=True)
class Naming:
    """How the package is called. ``codes`` is the file with the codes of its labels."""

    name: str
    version: str = "0.1.0"
    title: str = ""
    modality: str = ""
    codes: Path | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", self.name) or len(self.name) > 64:
            raise ConfigurationError(
                f'"{self.name}" is no name of a package.',
                next_step='Write lower-case letters and digits, words joined by hyphens: "liver-ct".',
                code="name-invalid",
            )

    @property
    def shown(self) -> str:
        """The title: as stated, or the name as words."""
        return self.title or self.name.replace("-", " ").capitalize()


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made. ``todo`` is what a person has still to do before the package can be installed."""

    folder: Path
    problem: str
    todo: tuple[str, ...] = ()
    parity: Parity | None = field(default=None)


def new_folder(target: Path, naming: Naming) -> Path:
    """Make ``target/name``. Raises ConfigurationError (``folder-exists``)."""
    folder = target / naming.name
    if folder.exists():
        raise ConfigurationError(
            f"{folder} is there already.", next_step="Choose another name or folder.", code="folder-exists"
        )
    folder.mkdir(parents=True)
    return folder


def frame(naming: Naming, *, framework: str, weights: Mapping[str, tuple[str, str]], memory_mb: int,
          per_voxel: int) -> dict[str, Any]:  # fmt: skip
    """The keys that every package has, words in CAPITALS where only a person knows. Weights: id to file, SHA-256."""
    return {
        "schema_version": 1,
        "intended_use": "WHAT IT IS FOR, on which images, as an unverified draft for a person to check.",
        "not_for": ["diagnosis, or any decision about a patient without a person's check"],
        "limits": ["Not clinically validated."],
        "training_data": "ON WHAT IT WAS TRAINED: source, number, licence.",
        "package": {"name": naming.name, "version": naming.version, "title": naming.shown[:64]},
        "algorithm": {"title": f"{naming.shown} ({framework})"[:64], "manufacturer": "MANUFACTURER"},
        "licence": {"spdx": "SPDX-IDENTIFIER", "notice": "WHO OWNS THE WEIGHTS."},
        "bias": [{"group": "AGE, SEX, VENDOR, PROTOCOL", "known": "Not examined."}],
        "weights": [{"id": key, "file": file, "sha256": digest} for key, (file, digest) in weights.items()],
        "hardware": {"memory_mb": memory_mb, "memory_bytes_per_voxel": per_voxel},
    }


def with_segments(manifest: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The manifest with these outputs."""
    return {**manifest, "outputs": {"segments": list(entries)}}


def write_manifest(folder: Path, manifest: Mapping[str, Any], *, comments: Mapping[str, str]) -> None:
    """``manifest.toml``."""
    (folder / MANIFEST).write_text(to_toml(manifest, comments=comments), encoding="utf-8")


def provisional_copy(folder: Path, to: Path, manifest: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Path:
    """A copy of the package that can run although codes are missing: for the comparison, never kept."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(MANIFEST))
    write_manifest(to, with_segments(manifest, labels.provisional(entries)), comments={})
    return to


def write_card(folder: Path, naming: Naming, *, origin: str, parity: Parity | None, todo: Sequence[str]) -> None:
    """README.md, and ``parity.json`` beside it."""
    parts = [f"# {naming.shown}", "", origin, ""]
    if todo:
        parts += ["## Left to do", "", *(f"- {one}" for one in todo), ""]
    if parity is not None:
        write_report(parity, folder)
        parts += [as_markdown(parity)]
    parts += [
        "## Training", "", "ON WHAT, BY WHOM.", "", "## Accuracy on images that training never saw", "",
        "NOT STATED YET.", "", "## Where it fails", "", "NOT STATED YET.", "",
    ]  # fmt: skip
    (folder / "README.md").write_text("\n".join(parts), encoding="utf-8")
