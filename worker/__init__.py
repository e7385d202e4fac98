"""Overread: the AI worker behind a hospital's PACS."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("overread")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
