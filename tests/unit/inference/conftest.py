"""Hypothesis must not measure time here: the machine may be busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("inference", deadline=None)
settings.load_profile("inference")
