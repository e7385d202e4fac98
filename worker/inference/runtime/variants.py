"""Which of a package's weights run: those that the nets name, or their variants in a precision that a site chose."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from worker.domain.errors import ConfigurationError
from worker.inference.entries.weights import Precision, WeightsEntry
from worker.inference.packages.package import Package


def precisions(package: Package) -> tuple[Precision, ...]:
    """What a site can choose from; the first is what runs when it chooses nothing."""
    entries = {entry.id: entry for entry in package.manifest.weights}
    bases = [entries[net.weights] for net in package.manifest.nets()]
    variants = [entry for entry in package.manifest.weights if entry.variant_of is not None]
    return tuple(dict.fromkeys(entry.precision for entry in (*bases, *variants)))


def bound_entries(package: Package, weights: str) -> tuple[WeightsEntry, ...]:
    """Everything that may run where a net names these weights: themselves, then their variants."""
    entries = package.manifest.weights
    return tuple(sorted((e for e in entries if weights in (e.id, e.variant_of)), key=lambda e: e.id != weights))


def in_force(package: Package, precision: Precision | None) -> Mapping[str, WeightsEntry]:
    """The weights that run, by the id that the nets name, in the manifest's order.

    Weights that have no variant in that precision run as they are: a package may offer a smaller segmenter behind the
    same localiser. None means those that the nets name.

    Raises
    ------
    ConfigurationError
        ``precision-not-offered`` when none of its weights has that precision.
    """
    entries = {entry.id: entry for entry in package.manifest.weights}
    used = {net.weights for net in package.manifest.nets()}
    chosen = {id_: entry for id_, entry in entries.items() if id_ in used}
    if precision is not None:
        offered = precisions(package)
        if precision not in offered:
            raise ConfigurationError(
                f"Model {package.identity} has no {precision} weights; it has {', '.join(offered)}.",
                next_step="Choose one of these in models.precision, or install a package that has the variant.",
                code="precision-not-offered",
            )
        for entry in entries.values():
            if entry.variant_of is not None and entry.precision == precision:
                chosen[entry.variant_of] = entry
    return MappingProxyType(chosen)
