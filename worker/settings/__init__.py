"""Configuration: read once, validated, frozen, and passed in."""

from worker.settings.load import load
from worker.settings.model import Settings

__all__ = ["Settings", "load"]
