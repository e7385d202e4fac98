"""ONNX Runtime sessions: made after the fork, kept warm, with the threads and the provider that were asked for."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.domain.errors import ConfigurationError, PermanentError
from worker.domain.study import Digest
from worker.inference.cpu import cpu_limit
from worker.inference.io_check import check_tensors
from worker.inference.nets import AnyNet
from worker.inference.package import Weights
from worker.inference.steps.image import Float

if TYPE_CHECKING:
    import onnxruntime as ort

log = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
_ERRORS_ONLY = 3
# Pools that grow by what is asked, not by doubling (onnxruntime#9509). The CPU provider takes no such option itself;
# it is a property of an allocator that all sessions of the process share.
_SAME_AS_REQUESTED = 1
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


class NetSession:
    """One net, loaded. ``provider`` is the execution provider that is really in use."""

    def __init__(self, session: ort.InferenceSession, net: AnyNet, *, provider: str) -> None:
        self._session = session
        self._net = net
        self.provider = provider
        self._options = _runtime().RunOptions()
        self._last_options = _runtime().RunOptions()
        if provider == CPU:
            # Give back what the run took, so that an idle worker is small. Not between batches: it costs half as
            # much again to take it anew each time.
            self._last_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(self, batch: Float, *, last: bool = True) -> Float:
        """Run one batch: float32 (batch, channel, ...) in, float32 (batch, ...) as the net packs it out.

        After the ``last`` batch of an image the working memory is given back.

        Raises
        ------
        PermanentError
            ``inference-failed`` when the runtime gives up; ``output-not-finite`` for NaN or infinity.
        """
        fed = np.ascontiguousarray(batch, dtype=np.dtype(self._net.input.dtype))
        try:
            options = self._last_options if last else self._options
            names = [output.name for output in self._net.outputs]
            answers = self._session.run(names, {self._net.input.name: fed}, options)
        except Exception as error:
            # The runtime's exceptions have no common base but Exception; MemoryError must stay what it is.
            if isinstance(error, MemoryError) or "Failed to allocate memory" in str(error):
                raise MemoryError(f"ONNX Runtime: net {self._net.weights}") from error
            raise PermanentError(
                f"ONNX Runtime could not run net {self._net.weights} on input of shape {fed.shape}.",
                next_step="Compare the preprocessing chain of the manifest with what the net was trained on.",
                code="inference-failed",
            ) from error
        result = self._net.pack(answers)
        if not np.isfinite(result.sum(dtype=np.float64)) and not np.isfinite(result).all():
            raise PermanentError(
                f'Output "{self._net.outputs[0].name}" of net {self._net.weights} has values that are not finite '
                "numbers.",
                next_step="No result is made. Report the case to the model's maker.",
                code="output-not-finite",
            )
        return result


class SessionCache:
    """Sessions of this process, by content of the weights: the least recently used goes when memory is short."""

    def __init__(self, settings: SessionSettings | None = None) -> None:
        self.settings = settings or SessionSettings()
        self._sessions: OrderedDict[tuple[Digest, AnyNet], tuple[NetSession, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._pid: int | None = None

    def get(self, weights: Weights, net: AnyNet) -> NetSession:
        """The session for a net, made when it is first asked for.

        Raises
        ------
        ConfigurationError
            ``provider-missing``; ``model-not-loadable``; ``net-input-mismatch``, ``net-output-mismatch``; and what
            ``Weights.read`` raises.
        RuntimeError
            When the cache was used before a fork: its thread pools do not exist in the child (a bug of the caller).
        """
        with self._lock:
            self._assert_same_process()
            key = (weights.sha256, net)
            if key not in self._sessions:
                self._make_room(2 * weights.whole_bytes)
                self._sessions[key] = (self._load(weights, net), 2 * weights.whole_bytes)
            self._sessions.move_to_end(key)
            return self._sessions[key][0]

    def __len__(self) -> int:
        return len(self._sessions)

    def _assert_same_process(self) -> None:
        here = os.getpid()
        if self._pid is None:
            self._pid = here
        if self._pid != here:
            raise RuntimeError(f"ONNX Runtime sessions were made in process {self._pid} and asked for in {here}.")

    def _make_room(self, needed: int) -> None:
        while (
            self._sessions and sum(n for _, n in self._sessions.values()) + needed > self.settings.memory_budget_bytes
        ):
            (digest, net), _ = self._sessions.popitem(last=False)
            log.info("session-evicted", extra={"net": net.weights, "sha256": digest})

    def _load(self, weights: Weights, net: AnyNet) -> NetSession:
        ort = _runtime()
        wanted = available_providers(self.settings)
        options = _session_options(self.settings)
        # Read into memory first: what was hashed is what runs. The buffers live until the session is made.
        external = {name: one.read() for name, one in weights.external.items()}
        if external:
            buffers = list(external.values())
            lengths = [len(buffer) for buffer in buffers]
            options.add_external_initializers_from_files_in_memory(list(external), buffers, lengths)
        try:
            session = ort.InferenceSession(
                weights.read(),
                sess_options=options,
                providers=[(name, self._options_of(name)) for name in wanted],
            )
        except ConfigurationError:
            raise
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            raise ConfigurationError(
                f"ONNX Runtime {ort.__version__} cannot load {weights.path.name}: {_first_line(error)}",
                next_step="Export it for an operator set that this ONNX Runtime knows.",
                code="model-not-loadable",
            ) from error
        provider = str(session.get_providers()[0])
        if provider != self.settings.providers[0]:
            _fell_back(provider, self.settings)
        check_tensors(net, inputs=session.get_inputs(), outputs=session.get_outputs(), file=weights.path.name)
        log.info("session-loaded", extra={"net": net.weights, "sha256": weights.sha256, "provider": provider})
        return NetSession(session, net, provider=provider)

    def _options_of(self, provider: str) -> dict[str, Any]:
        return {**_ARENA_OPTIONS.get(provider, {}), **self.settings.provider_options.get(provider, {})}


def _runtime() -> Any:
    """ONNX Runtime, imported where it is first used: the import alone starts a thread, which no fork survives."""
    import onnxruntime

    return onnxruntime


def available_providers(settings: SessionSettings) -> tuple[str, ...]:
    """The wanted providers that this ONNX Runtime has, in order.

    Raises ConfigurationError (``provider-missing``) when the first is not there and fall-back is not allowed.
    """
    has = _runtime().get_available_providers()
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


def _fell_back(provider: str, settings: SessionSettings) -> None:
    if not settings.allow_fallback:
        raise ConfigurationError(
            f"Execution provider {settings.providers[0]} was asked for, but the session runs on {provider}.",
            next_step="Look for the driver's message in the log, choose another provider, or allow fall-back.",
            code="provider-missing",
        )
    log.warning("provider-fallback", extra={"wanted": settings.providers[0], "provider": provider})


def _session_options(settings: SessionSettings) -> ort.SessionOptions:
    options = _runtime().SessionOptions()
    options.intra_op_num_threads = settings.threads or cpu_limit()
    options.inter_op_num_threads = settings.inter_op_threads
    options.log_severity_level = _ERRORS_ONLY
    # Waiting threads sleep instead of spinning: the machine also receives, decodes and compresses.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    _share_cpu_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


_arena_of_pid: list[int] = []


def _share_cpu_arena() -> None:
    """Register the process's CPU arena, once."""
    if os.getpid() in _arena_of_pid:
        return
    ort = _runtime()
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"arena_extend_strategy": _SAME_AS_REQUESTED}))
    _arena_of_pid.append(os.getpid())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]
