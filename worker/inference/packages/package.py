"""A model package: a folder with ``manifest.toml`` and weights, read and verified."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from worker.domain.errors import ConfigurationError
from worker.domain.model import ModelIdentity
from worker.domain.routing import Rule
from worker.domain.study import Digest
from worker.inference.entries.weights import PinnedFile, WeightsEntry
from worker.inference.manifest.manifest import Manifest, parse_manifest
from worker.inference.packages.custom_file import CustomFile, verified
from worker.inference.packages.onnx_file import check_hygiene
from worker.inference.packages.weights_cache import WeightsCache
from worker.inference.steps.registration import ensure_available

MANIFEST = "manifest.toml"
LONGEST_MANIFEST_BYTES = 1 << 20
LARGEST_WEIGHTS_BYTES = 2 << 30
"""A single protocol buffer cannot be larger."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A verified file of weights. ``external`` are the files beside it that hold tensors of it, by name."""

    path: Path
    sha256: Digest
    size_bytes: int
    external: Mapping[str, Weights] = field(default_factory=dict)

    @property
    def whole_bytes(self) -> int:
        """Its size with all external data."""
        return self.size_bytes + sum(one.size_bytes for one in self.external.values())

    def read(self) -> bytes:
        """The bytes, verified once more: what is hashed is what runs.

        Raises ConfigurationError (``weights-missing``, ``weights-hash-mismatch``).
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise _missing(self.path, error) from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise _mismatch(self.path.name, expected=self.sha256, found=found)
        return content


@dataclass(frozen=True, slots=True)
class Package:
    """A model package that is complete and verified. ``weights`` is by the manifest's id.

    ``custom`` is the package's own Python file, which the site trusts; only the process that runs the model loads it.
    """

    folder: Path
    manifest: Manifest
    identity: ModelIdentity
    weights: Mapping[str, Weights]
    custom: CustomFile | None = None

    def to_rule(self, destinations: tuple[str, ...] = ()) -> Rule:
        """The default routing rule: the manifest's input contracts, under the model's name."""
        return rule_of(self.manifest, destinations)


def rule_of(manifest: Manifest, destinations: tuple[str, ...] = ()) -> Rule:
    """The default routing rule of a manifest: its input contracts, under the model's name."""
    contract, name = manifest.reference, manifest.package.name
    return Rule(
        name=name,
        model=name,
        conditions=contract.to_conditions(),
        preferences=tuple(preference.to_preference() for preference in contract.preferences),
        destinations=destinations,
        per_study=contract.per_study,
        allow_derived=contract.allow_derived,
        input=next(iter(manifest.contracts)) if manifest.further else "",
        further=tuple(one.to_further() for one in manifest.further),
    )


def read_manifest(folder: Path) -> tuple[bytes, Manifest]:
    """The manifest of a package folder: its bytes, and what they say.

    Raises ConfigurationError (``manifest-missing``, ``manifest-not-toml``, ``manifest-invalid``).
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}).",
            next_step="A model package is a folder with a manifest.toml.",
            code="manifest-missing",
        ) from error
    if len(content) > LONGEST_MANIFEST_BYTES:
        raise ConfigurationError(
            f"{path} is longer than {LONGEST_MANIFEST_BYTES} bytes.",
            next_step="A manifest is a page of text: look what is in the file.",
            code="manifest-invalid",
        )
    return content, parse_manifest(content)


def load_package(
    folder: Path,
    *,
    largest_weights_bytes: int = LARGEST_WEIGHTS_BYTES,
    trusted: Collection[str] = (),
    cache: WeightsCache | None = None,
) -> Package:
    """Read and verify a package folder. Nothing of it is run.

    ``trusted`` are the SHA-256 of the Python files (custom steps) that the site lets run. ``cache`` is where weights
    are looked for that are not in the folder and may be fetched; nothing is fetched here.

    Raises
    ------
    ConfigurationError
        ``manifest-missing``, ``manifest-not-toml``, ``manifest-invalid``; ``weights-outside`` (a link that leads out
        of the folder), ``weights-missing``, ``weights-not-fetched``, ``weights-too-large``,
        ``weights-size-mismatch``, ``weights-hash-mismatch``; ``not-onnx``,
        ``external-data``, ``custom-operators``, ``opset-unsupported``, ``random-operators``; ``custom-missing``,
        ``custom-outside``, ``custom-too-large``, ``custom-hash-mismatch``, ``custom-not-trusted``, ``custom-invalid``;
        ``registration-missing`` (an extra of Overread that the model needs).
    """
    content, manifest = read_manifest(folder)
    _check_supported(manifest)
    weights = {entry.id: _verified(folder, entry, largest_weights_bytes, cache) for entry in manifest.weights}
    identity = ModelIdentity(manifest.package.name, manifest.package.version, _digest(content, weights))
    custom = None
    if manifest.custom is not None:
        custom = verified(
            folder, manifest.custom, manifest.custom_steps, package=manifest.package.name, trusted=trusted
        )
    return Package(folder, manifest, identity, MappingProxyType(weights), custom)


def _check_supported(manifest: Manifest) -> None:
    """Refuse a model that this installation cannot run: at once, not at the first study that needs it."""
    if any(one.registration == "rigid" for one in manifest.further):
        ensure_available()


def _digest(content: bytes, weights: Mapping[str, Weights]) -> Digest:
    """SHA-256 over the manifest's bytes and each file's own SHA-256, in the manifest's order."""
    whole = hashlib.sha256(content)
    for entry in weights.values():
        whole.update(bytes.fromhex(entry.sha256))
    return Digest(whole.hexdigest())


def _verified(folder: Path, entry: WeightsEntry, largest: int, cache: WeightsCache | None) -> Weights:
    inner = entry.file.rpartition("/")[0]
    external = {
        one.file: _found(folder, f"{inner}/{one.file}" if inner else one.file, one, largest, cache)
        for one in entry.external
    }
    plain = _found(folder, entry.file, entry, largest, cache)
    weights = Weights(plain.path, plain.sha256, plain.size_bytes, MappingProxyType(external))
    if weights.whole_bytes > largest:
        raise _too_large(entry.file, weights.whole_bytes, largest)
    check_hygiene(weights.read(), file=entry.file, external=external)
    for one in external.values():
        one.read()
    return weights


def _found(folder: Path, file: str, entry: PinnedFile, largest: int, cache: WeightsCache | None) -> Weights:
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"Weights file {file} leads out of the package folder.",
            next_step="Put the file itself into the folder, not a link.",
            code="weights-outside",
        )
    if entry.url is not None and cache is not None and not path.exists():
        path = cache.path_of(entry.sha256)
        if not path.is_file():
            raise ConfigurationError(
                f"Weights file {file} ({entry.size_bytes} bytes) is neither in the package folder nor fetched.",
                next_step="Fetch it with `overread models fetch`, or put the file into the folder yourself.",
                code="weights-not-fetched",
            )
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _missing(path, error) from error
    if size > largest:
        raise _too_large(file, size, largest)
    if entry.size_bytes not in (None, size):
        raise ConfigurationError(
            f"Weights file {file} has {size} bytes; size_bytes in the manifest is {entry.size_bytes}.",
            next_step="Copy the package again, or correct size_bytes.",
            code="weights-size-mismatch",
        )
    return Weights(path, Digest(entry.sha256), size)


def _too_large(file: str, size: int, largest: int) -> ConfigurationError:
    return ConfigurationError(
        f"Weights file {file} has {size} bytes; at most {largest} are allowed.",
        next_step="Raise models.max_weights_mb if this model is really so large.",
        code="weights-too-large",
    )


def _missing(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"Weights file {path.name} cannot be read ({error.strerror}).",
        next_step="Copy the package again; its README says where the weights come from.",
        code="weights-missing",
    )


def _mismatch(name: str, *, expected: str, found: str) -> ConfigurationError:
    return ConfigurationError(
        f"Weights file {name} is not the one that the manifest names: SHA-256 expected {expected}, found {found}.",
        next_step="Copy the package again. If the weights were changed on purpose, give the package a new version "
        "and write the new SHA-256 into its manifest.",
        code="weights-hash-mismatch",
    )
