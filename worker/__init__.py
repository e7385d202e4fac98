"""Overread: the AI worker behind a hospital's PACS.

Whatever imports any part of it stops its dependencies from reporting to their makers: see docs/security.md.
"""

import os
from importlib.metadata import PackageNotFoundError, version

# Set, never only defaulted: nothing may leave the site, whatever the environment says. ONNX Runtime asks once, when its
# library is loaded, and huggingface_hub (which the export extra brings) when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

try:
    __version__ = version("overread")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
