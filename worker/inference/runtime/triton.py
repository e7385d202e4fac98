"""Nets that run on a Triton server: the second kind of session, by the KServe v2 protocol.

Only the runs of the nets go there, with the pixels that they need and nothing that names a patient: guards, chains and
measurements stay here. The server's weights cannot be hashed from here. Its model therefore carries their SHA-256 as
the parameter ``overread.sha256``, or the site states in its configuration that it trusts the server; results say which.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError, PermanentError, TransientError
from worker.inference.entries.nets import AnyNet, ListTensor, OutputTensor
from worker.inference.entries.weights import WeightsEntry
from worker.inference.guards.run_checks import check_finite
from worker.inference.image import Float
from worker.inference.runtime.io_check import check_tensors
from worker.inference.runtime.triton_client import Address, client, library, quoted, translated

log = logging.getLogger(__name__)

PARAMETER = "overread.sha256"
"""Parameter of the server's model: SHA-256 of its ONNX file, then of its files of external data, with commas."""

_DATATYPES = {"float32": "FP32", "float16": "FP16", "int64": "INT64", "int32": "INT32"}
_ONNX_TYPES = {"FP32": "tensor(float)", "FP16": "tensor(float16)"}
_NOT_FOR_RESULTS = re.compile(r"[^A-Za-z0-9._+-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """Where a model package runs, and under which names.

    ``names`` is by weights of the manifest; the default is PACKAGE.WEIGHTS. ``version`` is the server's; empty means
    its highest. ``identity`` says how we know which weights it has: "stated" by its model's parameter, or "trusted".
    """

    address: Address
    names: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    identity: Literal["stated", "trusted"] = "stated"

    def name_of(self, package: str, weights: str) -> str:
        """What the server calls the model of these weights."""
        return self.names.get(weights, f"{package}.{weights}")


@dataclass(frozen=True, slots=True)
class _ServedTensor:
    """An input or output as the server describes it, in the words of ONNX Runtime."""

    name: str
    type: str
    shape: Sequence[int | None]


class TritonSession:
    """One net at a server, one version of it.

    ``provider`` names the server, its version, the model and its version; ``vouched`` says how its weights are known.
    """

    def __init__(
        self, address: Address, net: AnyNet, *, name: str, version: str, largest_batch: int, provider: str, vouched: str
    ) -> None:
        self._address = address
        self._net = net
        self._name = name
        self._version = version
        self._largest_batch = largest_batch
        self.provider = provider
        self.vouched = vouched

    def run(self, batch: Float, *, last: bool = True) -> Float:
        """Run one batch: float32 (batch, channel, ...) in, float32 (batch, ...) as the net packs it out.

        A batch that is larger than the server takes goes in parts. ``last`` changes nothing: the memory is not ours.

        Raises
        ------
        TransientError
            ``remote-away``, ``remote-timeout``, ``remote-failed``; ``remote-model-changed`` when another version of
            the model answers.
        PermanentError
            ``inference-failed``; ``net-output-mismatch`` when the answer is not what the manifest says;
            ``output-not-finite``.
        """
        del last
        fed = np.ascontiguousarray(batch, dtype=np.dtype(self._net.input.dtype))
        size = self._largest_batch or len(fed)
        parts = [self._infer(fed[start : start + size]) for start in range(0, len(fed), size)]
        result = _joined([self._net.pack(part) for part in parts])
        check_finite(self._net, result)
        return result

    def _infer(self, fed: NDArray[Any]) -> list[NDArray[Any]]:
        http = library()
        tensor = http.InferInput(self._net.input.name, list(fed.shape), _DATATYPES[self._net.input.dtype])
        tensor.set_data_from_numpy(fed, binary_data=True)
        asked = [http.InferRequestedOutput(output.name, binary_data=True) for output in self._net.outputs]
        with translated(self._address, running=True):
            answer = client(self._address).infer(self._name, [tensor], model_version=self._version, outputs=asked)
            found = str(answer.get_response().get("model_version", self._version))
            values: list[NDArray[Any] | None] = [answer.as_numpy(output.name) for output in self._net.outputs]
        if found != self._version:
            raise TransientError(
                f"Version {quoted(found)} of {self._name} answered; version {self._version} was asked.",
                next_step="The job is tried again.",
                code="remote-model-changed",
            )
        outputs: Sequence[OutputTensor | ListTensor] = self._net.outputs
        return [self._checked(output, value, batch=len(fed)) for output, value in zip(outputs, values, strict=True)]

    def _checked(self, output: OutputTensor | ListTensor, value: NDArray[Any] | None, *, batch: int) -> NDArray[Any]:
        """An answer whose type and shape are those of the manifest; the first axis is that of what went in."""
        if value is not None and value.dtype == np.dtype(output.dtype) and _fits(output, value.shape, batch=batch):
            return value.copy()  # the library's lies in the answer's bytes, which cannot be written
        has = "nothing" if value is None else f"{value.dtype} {value.shape}"
        raise PermanentError(
            f'The server answered {has} as output "{output.name}" of {self._name}; the manifest says {output.dtype} '
            f"{list(output.shape)}, and {batch} went in.",
            next_step="No result is made. Compare the model at the server with the package.",
            code="net-output-mismatch",
        )


class TritonSessions:
    """Sessions at servers, for the model packages that a site has put there. ``models`` is by the package's name."""

    def __init__(self, models: Mapping[str, RemoteModel] | None = None) -> None:
        self.models = dict(models or {})

    def get(self, package: str, entry: WeightsEntry, net: AnyNet) -> TritonSession:
        """A session for a net. The server is asked each time: what it has loaded may have changed since the last job.

        Raises
        ------
        TransientError
            ``remote-away``, ``remote-timeout``, ``remote-failed``, ``remote-not-ready``.
        ConfigurationError
            ``triton-client-missing``, ``remote-tls``, ``remote-not-allowed``, ``remote-model-missing``,
            ``remote-protocol``; ``remote-weights-unknown``, ``remote-weights-mismatch``; ``net-input-mismatch``,
            ``net-output-mismatch``.
        """
        model = self.models[package]
        address = model.address
        name = model.name_of(package, entry.id)
        far = client(address)
        with translated(address, running=False):
            if not far.is_server_ready():
                raise TransientError(
                    f"The Triton server {address.host} is not ready: it may still be loading its models.",
                    next_step="The job is tried again.",
                    code="remote-not-ready",
                )
            server = far.get_server_metadata()
            metadata = far.get_model_metadata(name, model.version)
            version = model.version or max(metadata.get("versions") or ["1"], key=lambda text: (len(text), text))
            configured = self._configuration(far, name, version, model)
            inputs, outputs = _tensors(metadata["inputs"]), _tensors(metadata["outputs"])
            largest_batch = int(configured.get("max_batch_size", 0))
        _check_identity(model, entry, configured, name=name)
        check_tensors(net, inputs=inputs, outputs=outputs, file=f"Triton model {name} version {version}")
        provider = f"{_plain(server.get('name'))} {_plain(server.get('version'))}, model {name} version {version}"
        log.info("remote-session-opened", extra={"net": entry.id, "sha256": entry.sha256, "provider": provider})
        vouched = "stated by the server" if model.identity == "stated" else "of the package; the server is trusted"
        return TritonSession(
            address, net, name=name, version=version, largest_batch=largest_batch, provider=provider, vouched=vouched
        )

    def _configuration(self, far: Any, name: str, version: str, model: RemoteModel) -> Mapping[str, Any]:
        """The model's configuration: an extension of the protocol, which a trusted server can do without."""
        from tritonclient.utils import InferenceServerException

        try:
            found: Mapping[str, Any] = far.get_model_config(name, version)
        except InferenceServerException:
            if model.identity == "stated":
                raise
            return {}
        return found


def _joined(parts: Sequence[Float]) -> Float:
    """Parts of a batch behind each other; lists of boxes (batch, box, columns) are filled up with scores of 0."""
    if len(parts) == 1:
        return parts[0]
    longest = max(part.shape[1] for part in parts)
    filled = [
        np.pad(part, [(0, 0), (0, longest - part.shape[1]), *[(0, 0)] * (part.ndim - 2)])
        if part.shape[1] < longest
        else part
        for part in parts
    ]
    return np.concatenate(filled)


def _fits(output: OutputTensor | ListTensor, shape: Sequence[int], *, batch: int) -> bool:
    if len(shape) != len(output.shape):
        return False
    # How long a list is, is the net's own affair; every other answer is one for each of what went in.
    if not isinstance(output, ListTensor) and shape[0] != batch:
        return False
    pairs = zip(output.shape[1:], shape[1:], strict=True)
    return all(not isinstance(says, int) or says == has for says, has in pairs)


def _tensors(described: Sequence[Mapping[str, Any]]) -> tuple[_ServedTensor, ...]:
    return tuple(
        _ServedTensor(
            str(one["name"]),
            _ONNX_TYPES.get(one["datatype"], f"tensor({quoted(str(one['datatype'])).lower()})"),
            tuple(None if int(size) < 0 else int(size) for size in one["shape"]),
        )
        for one in described
    )


def _check_identity(model: RemoteModel, entry: WeightsEntry, configured: Mapping[str, Any], *, name: str) -> None:
    if model.identity == "trusted":
        return
    wanted = ",".join((entry.sha256, *(one.sha256 for one in entry.external)))
    found = (configured.get("parameters") or {}).get(PARAMETER, {}).get("string_value", "")
    if not found:
        raise ConfigurationError(
            f"The Triton model {name} does not say which weights it has.",
            next_step=f'Give it the parameter "{PARAMETER}" with the value {wanted}, or state identity = "trusted".',
            code="remote-weights-unknown",
        )
    if found.replace(" ", "").lower() != wanted:
        raise ConfigurationError(
            f"The Triton model {name} has other weights than the package: {PARAMETER} is {quoted(found)}, the manifest "
            f"names {wanted}.",
            next_step="Load the package's weights there, or install the package that belongs to the server's.",
            code="remote-weights-mismatch",
        )


def _plain(text: object) -> str:
    """A word of the server that may stand in a result."""
    return _NOT_FOR_RESULTS.sub("", str(text or ""))[:32] or "unknown"
