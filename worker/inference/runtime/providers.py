"""Execution providers of ONNX Runtime: which are there, which was really given the work."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.domain.errors import ConfigurationError
from worker.inference.runtime.telemetry import Telemetry, telemetry_of

if TYPE_CHECKING:
    import onnxruntime as ort

log = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
FATAL_ONLY = 4
"""The severity of ONNX Runtime's own log."""
# Pools that grow by what is asked, not by doubling (onnxruntime#9509). The CPU provider takes no such option itself;
# it is a property of an allocator that all sessions of the process share.
_GPU_OPTIONS = {"arena_extend_strategy": "kSameAsRequested"}
_ARENA_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "CUDAExecutionProvider": _GPU_OPTIONS,
    "ROCMExecutionProvider": _GPU_OPTIONS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How sessions are made.

    ``providers`` in order of preference, the first is the wanted one; ``allow_fallback`` accepts another one of them
    (or the CPU) when the wanted one is missing. ``threads`` None means the real CPU limit. ``memory_budget_bytes``
    bounds the sessions that are kept (counted as twice the weights); the one in use always is.
    ``provider_options`` is by provider name.
    """

    providers: tuple[str, ...] = (CPU,)
    allow_fallback: bool = False
    threads: int | None = None
    inter_op_threads: int = 1
    memory_budget_bytes: int = 2 << 30
    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def options_of(self, provider: str) -> dict[str, str]:
        """What a provider is told: our defaults, and the site's options above them."""
        return {**_ARENA_OPTIONS.get(provider, {}), **self.provider_options.get(provider, {})}


def runtime() -> Any:
    """ONNX Runtime, imported where it is first used: the import alone starts a thread, which no fork survives."""
    import onnxruntime

    # What it would write to standard error itself (no line of our log) comes as an exception as well.
    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    return onnxruntime


def runtime_telemetry() -> tuple[str, Telemetry]:
    """Version of the installed ONNX Runtime, and whether it is known to report nothing."""
    found = str(runtime().__version__)
    return found, telemetry_of(found)


def available_providers(settings: SessionSettings) -> tuple[str, ...]:
    """The wanted providers that this ONNX Runtime has, in order.

    Raises ConfigurationError (``provider-missing``) when the first is not there and fall-back is not allowed.
    """
    has = runtime().get_available_providers()
    found = tuple(name for name in settings.providers if name in has)
    if settings.providers[:1] == found[:1]:
        return found
    if settings.allow_fallback:
        return found or (CPU,)
    raise ConfigurationError(
        f"Execution provider {settings.providers[0]} is not available; this ONNX Runtime has {', '.join(has)}.",
        next_step="Install the ONNX Runtime build for that hardware, choose another provider, or allow fall-back.",
        code="provider-missing",
    )


def provider_in_use(session: ort.InferenceSession, settings: SessionSettings) -> str:
    """Who does the work of a loaded session, such as ``CUDAExecutionProvider``.

    A session lists a provider also when that one could take none of the nodes and the CPU does everything: what
    counts is to whom the nodes were given. The CPU beside another provider is named with its share, in the form
    ``CUDAExecutionProvider (CPUExecutionProvider for 3 of 120 nodes)``.

    Raises ConfigurationError (``provider-missing``) when it is not the wanted one and fall-back is not allowed.
    """
    provider = str(session.get_providers()[0])
    nodes = _nodes(session) if provider != CPU else {}
    if nodes and provider not in nodes:
        provider = max(nodes, key=lambda name: nodes[name])
    if provider != settings.providers[0]:
        _fell_back(provider, settings)
    others = {name: count for name, count in nodes.items() if name != provider}
    if not others:
        return provider
    shares = ", ".join(f"{name} for {count} of {sum(nodes.values())} nodes" for name, count in sorted(others.items()))
    return f"{provider} ({shares})"


def _nodes(session: ort.InferenceSession) -> dict[str, int]:
    """How many nodes of the graph each provider was given; {} where ONNX Runtime does not tell."""
    tell = getattr(session, "get_provider_graph_assignment_info", None)
    parts: Sequence[Any] = tell() if tell is not None else ()
    found: dict[str, int] = {}
    for part in parts:
        found[part.ep_name] = found.get(part.ep_name, 0) + len(part.get_nodes())
    return found


def _fell_back(provider: str, settings: SessionSettings) -> None:
    if not settings.allow_fallback:
        raise ConfigurationError(
            f"Execution provider {settings.providers[0]} was asked for, but the session runs on {provider}.",
            next_step="Look for the driver's message in the log, choose another provider, or allow fall-back.",
            code="provider-missing",
        )
    log.warning("provider-fallback", extra={"wanted": settings.providers[0], "provider": provider})
