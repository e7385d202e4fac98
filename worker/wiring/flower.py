"""Flower, the task monitor, behind a login.

What it shows is the broker's view; the truth is in the ledger (``overread jobs``).
"""

from __future__ import annotations

import os
import secrets

from worker.settings import Settings
from worker.store.spool.data_folder import make_data_folder
from worker.tasks import monitor
from worker.tasks.monitor import MonitorOptions
from worker.wiring import brokers


def password(settings: Settings) -> str:
    """The configured password, or one that is made at the first start and kept in the data folder (0600)."""
    configured = settings.flower.password.get_secret_value()
    if configured:
        return configured
    path = settings.node.data / "flower-password"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(18) + "\n")
    return path.read_text(encoding="ascii").strip()


def run(settings: Settings) -> None:
    """Run Flower until SIGTERM. It looks, and changes nothing."""
    data = make_data_folder(settings)
    for leftover in data.glob("flower.db*"):  # of an earlier version: a pickle, readable by everybody
        leftover.unlink(missing_ok=True)
    wanted = MonitorOptions(
        address=settings.flower.bind,
        port=settings.flower.port,
        login=f"{settings.flower.user}:{password(settings)}",
        history=data / "flower-history.jsonl",
    )
    monitor.run(brokers.application(settings), wanted)
