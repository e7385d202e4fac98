"""ONNX Runtime sessions: made after the fork, kept warm, with the threads and the provider that were asked for."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError, PermanentError
from worker.domain.study import Digest
from worker.inference.entries.nets import AnyNet
from worker.inference.guards.run_checks import check_finite
from worker.inference.image import Float
from worker.inference.packages.package import Weights
from worker.inference.runtime.cpu import cpu_limit
from worker.inference.runtime.interruption import interruptible
from worker.inference.runtime.io_check import check_tensors
from worker.inference.runtime.providers import (
    CPU,
    FATAL_ONLY,
    SessionSettings,
    available_providers,
    provider_in_use,
    runtime,
)

if TYPE_CHECKING:
    import onnxruntime as ort

log = logging.getLogger(__name__)

_SAME_AS_REQUESTED = 1
_NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
_LONGEST_REASON = 1000

Key = tuple[Digest, AnyNet]


class NetSession:
    """One net, loaded. ``provider`` is the execution provider that is really in use.

    ``vouched`` is empty: the bytes that were hashed are the ones that run.
    """

    vouched = ""

    def __init__(self, session: ort.InferenceSession, net: AnyNet, *, provider: str) -> None:
        self._session = session
        self._net = net
        self.provider = provider
        self._options = runtime().RunOptions()
        self._last_options = runtime().RunOptions()
        for options in (self._options, self._last_options):
            options.log_severity_level = FATAL_ONLY
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
        ShutdownError
            This process is asked to stop.
        """
        fed = np.ascontiguousarray(batch, dtype=np.dtype(self._net.input.dtype))
        try:
            options = self._last_options if last else self._options
            names = [output.name for output in self._net.outputs]
            with interruptible(options):
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
        check_finite(self._net, result)
        return result


class SessionCache:
    """Sessions of this process, by content of the weights: the least recently used goes when memory is short.

    Several threads may ask: a net that one of them loads delays only those that want the same net.
    """

    def __init__(self, settings: SessionSettings | None = None) -> None:
        self.settings = settings or SessionSettings()
        self._sessions: OrderedDict[Key, tuple[NetSession, int]] = OrderedDict()
        self._loading: dict[Key, tuple[threading.Event, int]] = {}
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
        key = (weights.sha256, net)
        size = _size_of(weights)
        while True:
            with self._lock:
                self._assert_same_process()
                if key in self._sessions:
                    self._sessions.move_to_end(key)
                    return self._sessions[key][0]
                other = self._loading.get(key)
                if other is None:
                    self._make_room(size)
                    self._loading[key] = (threading.Event(), size)
                    break
            other[0].wait()
        try:
            session = self._load(weights, net)
            with self._lock:
                self._sessions[key] = (session, size)
            return session
        finally:
            with self._lock:
                self._loading.pop(key)[0].set()

    def holds(self, weights: Weights, net: AnyNet) -> bool:
        """True when the session for a net is there, or on its way."""
        with self._lock:
            return (weights.sha256, net) in (*self._sessions, *self._loading)

    def fits(self, weights: Weights) -> bool:
        """True when one more session for these weights needs no other one to go."""
        with self._lock:
            return self._kept() + _size_of(weights) <= self.settings.memory_budget_bytes

    def __len__(self) -> int:
        return len(self._sessions)

    def _assert_same_process(self) -> None:
        here = os.getpid()
        if self._pid is None:
            self._pid = here
        if self._pid != here:
            raise RuntimeError(f"ONNX Runtime sessions were made in process {self._pid} and asked for in {here}.")

    def _kept(self) -> int:
        return sum(size for _, size in (*self._sessions.values(), *self._loading.values()))

    def _make_room(self, needed: int) -> None:
        while self._sessions and self._kept() + needed > self.settings.memory_budget_bytes:
            (digest, net), _ = self._sessions.popitem(last=False)
            log.info("session-evicted", extra={"net": net.weights, "sha256": digest})

    def _load(self, weights: Weights, net: AnyNet) -> NetSession:
        ort = runtime()
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
                providers=[(name, self.settings.options_of(name)) for name in wanted],
            )
        except ConfigurationError:
            raise
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            raise _not_loadable(weights.path.name, ort.__version__, error) from error
        provider = provider_in_use(session, self.settings)
        check_tensors(net, inputs=session.get_inputs(), outputs=session.get_outputs(), file=weights.path.name)
        log.info("session-loaded", extra={"net": net.weights, "sha256": weights.sha256, "provider": provider})
        return NetSession(session, net, provider=provider)


def run_file(path: Path, batch: Float, *, optimised: bool = True) -> dict[str, NDArray[Any]]:
    """Every output of an ONNX file with one input, on the CPU: as sessions here run it, or with its graph unchanged.

    Raises ConfigurationError (``model-not-loadable``) for a file that it cannot load, and whatever ONNX Runtime raises
    for a batch that the net does not take.
    """
    ort = runtime()
    options = _session_options(SessionSettings())
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), sess_options=options, providers=[CPU])
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise _not_loadable(path.name, ort.__version__, error) from error
    (taken,) = session.get_inputs()
    if taken.type not in _NUMBERS:
        raise TypeError(f"its input is {taken.type}, which is no image")
    fed = batch.astype(_NUMBERS[taken.type])
    names = [output.name for output in session.get_outputs()]
    return {name: np.asarray(one) for name, one in zip(names, session.run(names, {taken.name: fed}), strict=True)}


def _size_of(weights: Weights) -> int:
    """What a session counts against the budget: the weights, and as much again for what is made of them."""
    return 2 * weights.whole_bytes


def _session_options(settings: SessionSettings) -> ort.SessionOptions:
    options = runtime().SessionOptions()
    options.intra_op_num_threads = settings.threads or cpu_limit()
    options.inter_op_num_threads = settings.inter_op_threads
    options.log_severity_level = FATAL_ONLY
    # Waiting threads sleep instead of spinning: the machine also receives, decodes and compresses.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # So that a provider which took no node is found out.
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    _share_cpu_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


_arena_of_pid: list[int] = []
_arena_lock = threading.Lock()


def _share_cpu_arena() -> None:
    """Register the process's CPU arena, once."""
    with _arena_lock:
        if os.getpid() in _arena_of_pid:
            return
        ort = runtime()
        memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"arena_extend_strategy": _SAME_AS_REQUESTED}))
        _arena_of_pid.append(os.getpid())


def _not_loadable(file: str, version: str, error: Exception) -> ConfigurationError:
    """What ONNX Runtime says of a file, without the C++ signatures that it puts in front of the reason."""
    said = re.sub(r"/onnxruntime_src/\S+ [^()]*(?:\((?:[^()]|\([^()]*\))*\)\s*)?", "", str(error))
    reason = " ".join(said.split())[:_LONGEST_REASON]
    newer = re.search(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", reason)
    next_step = "Export it for an operator set that this ONNX Runtime knows."
    if newer is not None:
        reason = f"the file has IR version {newer[1]}, this ONNX Runtime reads up to {newer[2]}."
        next_step = (
            f"Export it with an older onnx package, or write it again after `model.ir_version = {newer[2]}` where its "
            "operator sets are known here; or install a newer ONNX Runtime that docs/security.md trusts."
        )
    return ConfigurationError(
        f"ONNX Runtime {version} cannot load {file}: {reason}", next_step=next_step, code="model-not-loadable"
    )


__all__ = ["CPU", "NetSession", "SessionCache", "SessionSettings", "available_providers"]
