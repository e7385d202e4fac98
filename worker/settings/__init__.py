"""Configuration: read once, validated, frozen, and passed in."""

from worker.settings.load import load, stated_log
from worker.settings.model import Log, Settings

__all__ = ["Log", "Settings", "load", "stated_log"]
