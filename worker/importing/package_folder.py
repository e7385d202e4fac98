"""The folder that an importer makes: manifest, card, report."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing import labels
from worker.importing.onnx_export import Shape, export
from worker.importing.parity.report import Parity, as_markdown, write_report
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


@contextmanager
def building(target: Path, naming: Naming) -> Iterator[Path]:
    """A folder to write into, which becomes ``target/name`` at the end; after an error nothing of it is left.

    Raises ConfigurationError (``folder-exists``).
    """
    folder = target / naming.name
    if folder.exists():
        raise ConfigurationError(
            f"{folder} is there already.", next_step="Choose another name or folder.", code="folder-exists"
        )
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=f".{naming.name}-") as scratch:
        made = Path(scratch) / naming.name
        made.mkdir()
        yield made
        made.rename(folder)


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
    """The manifest with these segments for its outputs."""
    return {**manifest, "outputs": {"segments": list(entries)}}


def write_manifest(folder: Path, manifest: Mapping[str, Any], *, comments: Mapping[str, str]) -> None:
    """Write ``manifest.toml`` into ``folder``, with comments where something is left to do."""
    (folder / MANIFEST).write_text(to_toml(manifest, comments=comments), encoding="utf-8")


def provisional_copy(folder: Path, to: Path, manifest: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Path:
    """A copy of the package that can run although codes are missing: for the comparison, never kept."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(MANIFEST))
    write_manifest(to, with_segments(manifest, labels.provisional(entries)), comments={})
    return to


def stand_in_copy(
    folder: Path,
    to: Path,
    manifest: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    nets: Mapping[str, tuple[Any, Shape]],
) -> Path:
    """A provisional copy with other nets (id to net and shape of its input) in the place of the weights."""
    copy = provisional_copy(folder, to, manifest, entries)
    weights = []
    for entry in manifest["weights"]:
        net, shape = nets[entry["id"]]
        weights.append({**entry, "sha256": export(net, copy / entry["file"], shape=shape)})
    changed = {
        **{key: value for key, value in manifest.items() if key not in ("input", "inputs")},
        **({"input": _open(manifest["input"])} if "input" in manifest else {}),
        **({"inputs": [_open(one) for one in manifest["inputs"]]} if "inputs" in manifest else {}),
        "weights": weights,
        "hardware": {"memory_mb": 1, "memory_bytes_per_voxel": 1},
    }
    write_manifest(copy, with_segments(changed, labels.provisional(entries)), comments={})
    return copy


def _open(contract: Mapping[str, Any]) -> dict[str, Any]:
    """An input that takes a volume of any spacing and any number of slices."""
    return {**contract, "slices": {"minimum": 1}, "slice_spacing_mm": {"maximum": 1000.0}}


def add_report(folder: Path, parity: Parity) -> None:
    """The comparison of weights alone: ``parity.json``, and at the end of the README that the skeleton has."""
    write_report(parity, folder)
    path = folder / "README.md"
    path.write_text(f"{path.read_text(encoding='utf-8').rstrip()}\n\n{as_markdown(parity)}", encoding="utf-8")


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
