"""What Overread calls itself on the network and in result objects: said once."""

from __future__ import annotations

import uuid

from worker import __version__

NAMESPACE = uuid.UUID("6f0a5c1e-7d0b-5a53-9a0e-0b3c6f4d2e71")
"""Of every UID that we derive. Changing it makes every result object a new one."""

IMPLEMENTATION_CLASS_UID = f"2.25.{uuid.uuid5(NAMESPACE, 'implementation').int}"
"""Implementation Class UID (0002,0012) of the files that we write and the associations that we open (PS3.7 D.3.3.2)."""

MANUFACTURER = "Overread"
MODEL_NAME = "Overread AI Worker"
"""Manufacturer and Manufacturer's Model Name of our results: what carries them comes from us."""


def implementation_version_name(version: str = __version__) -> str:
    """Implementation Version Name (0002,0013), at most 16 characters: ``OVERREAD_0_1`` for 0.1.0."""
    return "_".join(["OVERREAD", *version.split(".")[:2]])[:16]
