"""Where nets run, as a site writes it."""

from __future__ import annotations

from typing import Any

import pytest

from worker.domain.errors import ConfigurationError
from worker.settings import Settings
from worker.settings.load import validate

TOY = {"model": "toy-ct", "url": "https://triton.example:8000"}


def refused(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        validate(data, origin="test")
    return caught.value.message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"inference": {"providers": ["CudaExecutionProvider"]}}, "'CUDAExecutionProvider'"),
        ({"inference": {"provider_options": {"cuda": {}}}}, "'CUDAExecutionProvider'"),
        ({"inference": {"providers": []}}, "at least 1 item"),
        ({"models": {"precision": {"toy-ct": "fp8"}}}, "'fp32', 'fp16' or 'int8'"),
        ({"triton": [{**TOY, "url": "triton.example:8000"}]}, "triton.0.url"),
        ({"triton": [{**TOY, "url": "https://user:word@triton.example"}]}, "triton.0.url"),
        ({"triton": [{**TOY, "identity": "guessed"}]}, "'stated' or 'trusted'"),
        ({"triton": [{**TOY, "versoin": "2"}]}, "did you mean 'version'?"),
        ({"triton": [{**TOY, "certificate_file": "/c.pem"}]}, "belong together"),
        ({"triton": [{**TOY, "url": "http://triton.example:8000", "ca_file": "/ca.pem"}]}, "begins with https://"),
        ({"triton": [TOY, TOY]}, "triton: the name 'toy-ct' is used twice"),
    ],
)
def test_what_is_refused_is_named(data: dict[str, Any], said: str) -> None:
    assert said in refused(data)


@pytest.mark.parametrize(
    "data",
    [
        {"models": {"precision": {"toy-ct": "int8"}}},
        {"inference": {"providers": ["OpenVINOExecutionProvider", "CPUExecutionProvider"]}},
        {"inference": {"provider_options": {"CUDAExecutionProvider": {"device_id": "1"}}}},
        {"triton": [TOY]},
        {"triton": [{**TOY, "identity": "trusted"}]},
    ],
)
def test_what_changes_results_changes_their_digest(data: dict[str, Any]) -> None:
    assert validate(data, origin="test").result_digest != Settings().result_digest


def test_what_changes_no_result_leaves_the_digest() -> None:
    for inference in ({"threads": 3}, {"warm": []}, {"session_budget_mb": 9}):
        assert validate({"inference": inference}, origin="test").result_digest == Settings().result_digest
    slow = validate({"triton": [{**TOY, "timeout_s": 5}]}, origin="test")
    assert slow.result_digest == validate({"triton": [TOY]}, origin="test").result_digest
