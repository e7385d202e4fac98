"""Screenshots for the documents: cropped to what matters, small enough to keep in the repository."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGEST_BYTES = 200_000
WIDTHS = (1100, 1000, 900, 800, 700, 600)
TOOLBAR_PX = 46
"""Above it is OHIF's bar of tools, which says nothing about a result."""


def keep(shot: NDArray[np.uint8], path: Path) -> None:
    """Write as PNG with a palette, as large as the limit allows."""
    image = Image.fromarray(shot[TOOLBAR_PX:])
    for width in WIDTHS:
        size = (width, round(image.height * width / image.width))
        small = image.resize(size, Image.Resampling.LANCZOS).quantize(256, dither=Image.Dither.NONE)
        content = io.BytesIO()
        small.save(content, format="PNG", optimize=True)
        if content.tell() <= LARGEST_BYTES:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.getvalue())
