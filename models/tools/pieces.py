"""Connected pieces of masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


def largest_piece(mask: Mask, structure: NDArray[np.generic] | None = None) -> Mask:
    """The largest connected piece of a mask of any shape, nothing where the mask is empty.

    ``structure`` is that of `scipy.ndimage.label`: neighbours share a face unless it says otherwise.
    """
    pieces, count = ndimage.label(mask, structure=structure)
    if count == 0:
        return np.zeros(mask.shape, bool)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest: Mask = pieces == sizes.argmax()
    return largest
