"""Where each net runs and in which precision, as the site has configured it: in this process, or on a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from worker.domain.errors import ConfigurationError
from worker.inference.entries.nets import AnyNet
from worker.inference.entries.strict import nearest
from worker.inference.entries.weights import Precision
from worker.inference.image import Float
from worker.inference.packages.package import Package
from worker.inference.runtime.session import SessionCache
from worker.inference.runtime.triton import TritonSessions
from worker.inference.runtime.variants import in_force


class Session(Protocol):
    """A net that is ready to run."""

    @property
    def provider(self) -> str:
        """Who really does the work."""

    @property
    def vouched(self) -> str:
        """How it is known which weights these are; empty when they were hashed here."""

    def run(self, batch: Float, *, last: bool = True) -> Float:
        """Run one batch: float32 (batch, channel, ...) in, float32 (batch, ...) as the net packs it out."""


class Execution:
    """Sessions for the nets of packages.

    Parameters
    ----------
    local:
        Sessions of this process.
    precision:
        By name of the model: the precision in which the site wants it to run. Others run as their manifests say.
    remote:
        Sessions at servers, for the models that are configured there.
    """

    def __init__(
        self,
        local: SessionCache | None = None,
        *,
        precision: Mapping[str, Precision] | None = None,
        remote: TritonSessions | None = None,
    ) -> None:
        # Not `or`: a cache that is still empty has the length 0, and would be replaced by one with other settings.
        self._local = local if local is not None else SessionCache()
        self._precision = dict(precision or {})
        self._remote = remote or TritonSessions()

    def check(self, packages: Iterable[Package], *, may_be_broken: Callable[[str], bool] = lambda _: False) -> None:
        """Look at what is configured before anything runs. A model that ``may_be_broken`` counts as installed.

        Raises ConfigurationError (``model-missing`` for a name that no package has, ``precision-not-offered``).
        """
        found = tuple(packages)
        known = {package.identity.name for package in found}
        for name in (*self._precision, *self._remote.models):
            if name not in known and not may_be_broken(name):
                raise ConfigurationError(
                    f'Precision or server is configured for the model "{name}", which is not installed'
                    f"{nearest(name, known)}.",
                    next_step="Correct the name in the configuration, or install the package.",
                    code="model-missing",
                )
        for package in found:
            in_force(package, self._precision.get(package.identity.name))

    def session(self, package: Package, net: AnyNet) -> Session:
        """The session for a net of a package. Raises what ``SessionCache.get`` or ``TritonSessions.get`` raises."""
        name = package.identity.name
        entry = in_force(package, self._precision.get(name))[net.weights]
        if name in self._remote.models:
            return self._remote.get(name, entry, net)
        return self._local.get(package.weights[entry.id], net)

    def weights_bytes(self, package: Package) -> tuple[int, ...]:
        """Size of every file of weights that a run loads here, external data included; none for a model on a server."""
        name = package.identity.name
        if name in self._remote.models:
            return ()
        used = (package.weights[entry.id] for entry in in_force(package, self._precision.get(name)).values())
        return tuple({one.sha256: one.whole_bytes for one in used}.values())

    def warm(self, package: Package) -> bool:
        """Load what the package needs, as long as no other session has to go for it; tells whether all of it is there.

        A model on a server is not ours to warm. Raises what ``session`` raises.
        """
        name = package.identity.name
        if name in self._remote.models:
            return True
        entries = in_force(package, self._precision.get(name))
        for net in package.manifest.nets():
            weights = package.weights[entries[net.weights].id]
            if not self._local.holds(weights, net) and not self._local.fits(weights):
                return False
            self._local.get(weights, net)
        return True

    def parameters(self, package: Package, sessions: Mapping[AnyNet, Session]) -> tuple[str, ...]:
        """What results say of the weights: content, precision where it is not fp32, and how the content is known."""
        vouched = {net.weights: session.vouched for net, session in sessions.items()}
        said = []
        for id_, entry in in_force(package, self._precision.get(package.identity.name)).items():
            text = f"{id_} weights sha256={entry.sha256}"
            if entry.precision != "fp32":
                text += f" precision={entry.precision}"
            if vouched.get(id_):
                text += f" ({vouched[id_]})"
            said.append(text)
        return tuple(said)


def providers_of(sessions: Iterable[Session]) -> str:
    """Who did the work of several nets, each named once."""
    return "; ".join(dict.fromkeys(session.provider for session in sessions))
