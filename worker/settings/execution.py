"""Where nets run, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from worker.settings.section import Name, Section

Precision = Literal["fp32", "fp16", "int8"]
Provider = Literal[
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "OpenVINOExecutionProvider",
    "ROCMExecutionProvider",
    "MIGraphXExecutionProvider",
]
"""ROCm: ONNX Runtime up to 1.22 has the ROCM provider, later ones MIGraphX in its place."""
ALL_MODELS = "all"
"""In `inference.warm`: every model."""


class Inference(Section):
    """ONNX Runtime."""

    providers: tuple[Provider, ...] = Field(
        ("CPUExecutionProvider",),
        min_length=1,
        description="Wanted, in this order. Each but the CPU's needs the ONNX Runtime build that has it.",
    )
    provider_options: dict[Provider, dict[str, str]] = Field(
        default_factory=dict, description="By provider: its own options, such as device_id or device_type."
    )
    allow_fallback: bool = Field(
        default=False,
        description="Run on another of them, or on the CPU, when the first is missing or can take no part of a net.",
    )
    threads: int = Field(0, ge=0, description="Threads of one session; 0: the CPU limit divided by concurrency.")
    session_budget_mb: int = Field(
        2048,
        ge=1,
        description="MiB of sessions that a process keeps (twice their weights); the one unused longest goes first.",
    )
    warm: tuple[Name, ...] = Field(
        (ALL_MODELS,),
        description=(
            "Models that a worker loads when it starts, in this order, as far as they fit the budget; "
            '"all" stands for every model that a rule uses, an empty list for none.'
        ),
    )


class TritonEntry(Section):
    """A model whose nets run on a Triton server, over HTTP (needs `overread[triton]`)."""

    model: Name = Field(description="Name of the installed model package.")
    url: str = Field(
        pattern=r"^https?://[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._~/-]*)?$",
        description="http:// or https://, host and port of Triton's HTTP service. Pixels travel there: prefer https.",
    )
    names: dict[Name, Name] = Field(
        default_factory=dict,
        description="By weights of the manifest: the name of the server's model; the default is MODEL.WEIGHTS.",
    )
    version: str = Field("", pattern=r"^[0-9]*$", description="Version of the server's models; empty: the highest.")
    identity: Literal["stated", "trusted"] = Field(
        "stated",
        description=(
            'How we know which weights the server has. "stated": its model has them as the parameter overread.sha256. '
            '"trusted": you answer for it. Results say which.'
        ),
    )
    timeout_s: float = Field(120.0, gt=0, description="Longest silence of the server during one request.")
    connect_timeout_s: float = Field(5.0, gt=0, description="Longest time to connect.")
    ca_file: Path | None = Field(
        None, description="Authorities that its certificate is checked against (PEM); none: those of the system."
    )
    certificate_file: Path | None = Field(None, description="Our certificate (PEM), where the server asks for one.")
    key_file: Path | None = Field(None, description="The key of our certificate (PEM).")

    @model_validator(mode="after")
    def _certificates(self) -> TritonEntry:
        files = (self.ca_file, self.certificate_file, self.key_file)
        if any(files) and not self.url.startswith("https://"):
            raise ValueError("ca_file, certificate_file and key_file need a url that begins with https://")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        return self
