"""Where nets run: sessions of this process, and those at Triton servers."""

from __future__ import annotations

from worker.inference.runtime.cpu import cpu_limit
from worker.inference.runtime.execution import Execution
from worker.inference.runtime.memory import run_limit_bytes
from worker.inference.runtime.session import SessionCache, SessionSettings
from worker.inference.runtime.triton import RemoteModel, TritonSessions
from worker.inference.runtime.triton_client import Address
from worker.settings import Settings
from worker.settings.execution import TritonEntry


def execution(settings: Settings) -> Execution:
    """All of it, as the site has configured it. Nothing is loaded yet."""
    return Execution(
        SessionCache(session_settings(settings)),
        precision=settings.models.precision,
        remote=TritonSessions({entry.model: _remote(entry) for entry in settings.triton}),
    )


def memory_limit_bytes(settings: Settings) -> int:
    """The most that one run may need."""
    return run_limit_bytes(settings.work.memory_limit_mb, concurrency=settings.work.concurrency)


def session_settings(settings: Settings) -> SessionSettings:
    """How sessions of this process are made."""
    wanted = settings.inference
    return SessionSettings(
        providers=wanted.providers,
        allow_fallback=wanted.allow_fallback,
        threads=wanted.threads or max(1, cpu_limit() // settings.work.concurrency),
        memory_budget_bytes=wanted.session_budget_mb << 20,
        provider_options=dict(wanted.provider_options.items()),
    )


def _remote(entry: TritonEntry) -> RemoteModel:
    return RemoteModel(
        address=Address(
            url=entry.url,
            connect_timeout_s=entry.connect_timeout_s,
            timeout_s=entry.timeout_s,
            ca_file=entry.ca_file,
            certificate_file=entry.certificate_file,
            key_file=entry.key_file,
        ),
        names=entry.names,
        version=entry.version,
        identity=entry.identity,
    )
