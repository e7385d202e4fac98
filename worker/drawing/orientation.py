"""How a stored plane is turned to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Turn:
    """First ``transpose`` (rows become columns), then the flips. Shapes and coordinates are (row, column)."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def plane(self, plane: NDArray[Value]) -> NDArray[Value]:
        """Turn an array (row, column, ...); the result is contiguous."""
        turned: NDArray[Any] = plane.swapaxes(0, 1) if self.transpose else plane
        if self.flip_rows:
            turned = turned[::-1]
        if self.flip_columns:
            turned = turned[:, ::-1]
        return np.ascontiguousarray(turned)

    def pair(self, pair: tuple[float, float]) -> tuple[float, float]:
        """Turn two lengths (along rows, along columns), such as a pixel spacing."""
        return (pair[1], pair[0]) if self.transpose else pair

    def places(self, places: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
        """Turn coordinates (n, 2) of a plane that had this shape before."""
        rows, columns = (shape[1], shape[0]) if self.transpose else shape
        turned = places[:, ::-1].copy() if self.transpose else places.copy()
        if self.flip_rows:
            turned[:, 0] = rows - 1 - turned[:, 0]
        if self.flip_columns:
            turned[:, 1] = columns - 1 - turned[:, 1]
        return turned


AS_STORED = Turn()
