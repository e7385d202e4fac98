"""Screenshots for the documents: cropped to what matters, small enough to keep in the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH = 1100
TOOLBAR_PX = 46
"""Above it is OHIF's bar of tools, which says nothing about a result."""


def keep(shot: NDArray[np.uint8], path: Path) -> None:
    """Write as JPEG with all of its colour: a palette would change the colours of segments."""
    image = Image.fromarray(shot[TOOLBAR_PX:])
    size = (WIDTH, round(image.height * WIDTH / image.width))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize(size, Image.Resampling.LANCZOS).save(path, format="JPEG", quality=82, subsampling=0, optimize=True)
