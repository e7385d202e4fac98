"""Fetching the weights of installed packages: who needs what, and who brings it."""

from __future__ import annotations

from collections.abc import Iterator

from worker.inference.development.check import PackageReport, folders_named
from worker.inference.fetch.fetch import Fetcher, Wanted
from worker.inference.fetch.wanted import wanted_of
from worker.settings import Settings
from worker.wiring import packages
from worker.wiring.package_check import check_packages


def wanted(settings: Settings, name: str = "") -> tuple[Wanted, ...]:
    """As ``wanted_of``, of the installed packages."""
    return wanted_of(packages.model_folders(settings), name)


def fetcher(settings: Settings) -> Fetcher:
    """Whoever brings it, within what the site allows."""
    return Fetcher(
        packages.weights_cache(settings),
        hosts=settings.models.fetch_from,
        reserve_bytes=settings.storage.reserve_mb << 20,
    )


def unsound(settings: Settings, names: set[str]) -> Iterator[PackageReport]:
    """The packages of these names that are still not sound, and why."""
    folders = list(folders_named(packages.model_folders(settings), names))
    return (report for report in check_packages(settings, folders) if report.error) if folders else iter(())
