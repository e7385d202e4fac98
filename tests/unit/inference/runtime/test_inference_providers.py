"""Who really does the work of a session. What sessions of OpenVINO said when it was tried is said by a stand-in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from worker.domain.errors import ConfigurationError
from worker.inference.runtime.providers import CPU, SessionSettings, provider_in_use

OPENVINO = "OpenVINOExecutionProvider"


@dataclass
class Part:
    """Nodes of a graph that went to one provider."""

    ep_name: str
    count: int

    def get_nodes(self) -> list[None]:
        return [None] * self.count


@dataclass
class Session:
    """A session as ONNX Runtime describes it."""

    providers: list[str]
    parts: list[Part]

    def get_providers(self) -> list[str]:
        return self.providers

    def get_provider_graph_assignment_info(self) -> list[Part]:
        return self.parts


def found(session: Any, *, allow_fallback: bool = False) -> str:
    return provider_in_use(session, SessionSettings(providers=(OPENVINO, CPU), allow_fallback=allow_fallback))


def test_the_whole_net() -> None:
    assert found(Session([OPENVINO, CPU], [Part(OPENVINO, 68)])) == OPENVINO


def test_a_part_of_it_with_the_share_of_the_cpu() -> None:
    parts = [Part(OPENVINO, 4), Part(CPU, 1), Part(OPENVINO, 5)]
    assert found(Session([OPENVINO, CPU], parts)) == f"{OPENVINO} ({CPU} for 1 of 10 nodes)"


@pytest.mark.parametrize("session", [Session([OPENVINO, CPU], [Part(CPU, 3)]), Session([CPU], [Part(CPU, 3)])])
def test_none_of_it_is_a_failure_unless_allowed(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError, match=f"runs on {CPU}") as caught:
        found(session)
    assert caught.value.code == "provider-missing"
    assert found(session, allow_fallback=True) == CPU
    assert "provider-fallback" in caplog.messages


def test_a_runtime_that_does_not_tell() -> None:
    class Older:
        def get_providers(self) -> list[str]:
            return [OPENVINO, CPU]

    assert found(Older()) == OPENVINO
