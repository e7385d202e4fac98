"""The routing table of a site: which installed models it uses, by which rules, and which of them cannot be used now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from worker.domain.errors import ConfigurationError
from worker.domain.routing import BoundRule, RoutingTable, Rule, Unusable
from worker.inference.packages.package import Package, rule_of
from worker.inference.packages.registry import MODEL_MISSING, BrokenPackage, Registry
from worker.settings import Settings


def bound_rules(settings: Settings, installed: Registry) -> tuple[BoundRule, ...]:
    """The rules of ``routing_table`` whose models can be used.

    Raises
    ------
    ConfigurationError
        ``model-missing`` when a rule, ``models.enabled`` or ``models.experimental`` names a model that is not
        installed; ``model-experimental`` when a rule or ``models.enabled`` names one that is only an experiment here.
    """
    table = routing_table(settings, installed)
    for one in table.unusable:
        if one.code == MODEL_MISSING:
            raise ConfigurationError(one.reason, next_step="Install it, or correct the name.", code=one.code)
    return table.rules


def routing_table(settings: Settings, installed: Registry) -> RoutingTable:
    """The routing table: the site's rules, or one rule for each enabled model when there are none.

    Experimental models are left out unless ``models.experimental`` names them. Models that are named and not there,
    or that are there and broken, are among the unusable ones.

    Raises ConfigurationError ``model-experimental`` as ``bound_rules`` does.
    """
    destinations = tuple(entry.name for entry in settings.destinations)
    rules: list[BoundRule] = []
    unusable: list[Unusable] = []
    for name, finish in _wanted(settings, installed):
        try:
            package = _allowed(installed.find(name), settings)
        except ConfigurationError as error:
            if error.code != MODEL_MISSING:
                raise
            unusable.append(_unusable(name, finish, installed, destinations, error))
        else:
            rules.append(BoundRule(finish(_contract(package, destinations)), package.identity))
    return RoutingTable(tuple(rules), tuple({(one.model, one.rule): one for one in unusable}.values()))


def _wanted(settings: Settings, installed: Registry) -> Iterator[tuple[str, Callable[[Rule], Rule]]]:
    """The models that the site uses by name, and what makes a rule of the model's own one."""
    if settings.rules:
        for entry in settings.rules:
            yield entry.model, partial(settings.site_rule, entry)
        named = {entry.model for entry in settings.rules}
        # Only to see that they are there.
        missing = [name for name in settings.models.experimental if name not in named and not installed.has(name)]
        yield from ((name, lambda rule: rule) for name in missing)
        return
    names = settings.models.enabled or (
        *(package.identity.name for package in installed.packages if is_offered(package, settings)),
        *(one.name for one in installed.broken if _would_be_offered(one, settings)),
    )
    yield from ((name, lambda rule: rule) for name in dict.fromkeys((*names, *settings.models.experimental)))


def _would_be_offered(broken: BrokenPackage, settings: Settings) -> bool:
    manifest = broken.manifest
    return manifest is None or not manifest.package.experimental or broken.name in settings.models.experimental


def _unusable(
    name: str,
    finish: Callable[[Rule], Rule],
    installed: Registry,
    destinations: tuple[str, ...],
    error: ConfigurationError,
) -> Unusable:
    known = [one for one in installed.broken if one.may_be(name)]
    broken = next((one for one in known if one.name == name), next(iter(known), None))
    if broken is None:
        return Unusable(name, error.code, error.message)
    rule = None if broken.manifest is None else finish(rule_of(broken.manifest, destinations))
    return Unusable(name, broken.error.code, broken.error.message, rule)


def table_of(settings: Settings, installed: Registry, model: str = "") -> RoutingTable:
    """The routing table for a person at the console, or only its rules for one model.

    Raises ConfigurationError as ``bound_rules`` does, also when ``model`` is not installed, broken, or only an
    experiment here.
    """
    if model:
        _allowed(installed.find(model), settings)
    bound = bound_rules(settings, installed)
    if model:
        return RoutingTable(tuple(one for one in bound if one.model.name == model))
    return RoutingTable(bound, routing_table(settings, installed).unusable)


def is_offered(package: Package, settings: Settings) -> bool:
    """False for an experimental model that the site has not asked for by name."""
    return not package.manifest.package.experimental or package.identity.name in settings.models.experimental


def _allowed(package: Package, settings: Settings) -> Package:
    if not is_offered(package, settings):
        raise ConfigurationError(
            f"Model {package.identity} is experimental, and models.experimental does not list it.",
            next_step=f"Read `overread models card {package.identity.name}`. To run it none the less, add "
            f'"{package.identity.name}" to models.experimental.',
            code="model-experimental",
        )
    return package


def _contract(package: Package, destinations: tuple[str, ...]) -> Rule:
    return replace(package.to_rule(), destinations=destinations)
