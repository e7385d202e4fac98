"""How much memory a run will take, before it takes it."""

from __future__ import annotations

from worker.domain.errors import PermanentError
from worker.domain.volume import Geometry
from worker.inference.manifest import Hardware

MEBIBYTE = 1 << 20


def estimate_bytes(hardware: Hardware, geometry: Geometry) -> int:
    """The manifest's fixed part plus its part per voxel of the source (which is held already, but counts)."""
    slices, rows, columns = geometry.shape
    return hardware.memory_mb * MEBIBYTE + hardware.memory_bytes_per_voxel * slices * rows * columns


def check_memory(hardware: Hardware, geometry: Geometry, *, limit_bytes: int) -> int:
    """Return the estimate; raises PermanentError (``memory-limit``) when it is above the limit."""
    needed = estimate_bytes(hardware, geometry)
    if needed > limit_bytes:
        shape = " x ".join(str(n) for n in geometry.shape)
        raise PermanentError(
            f"This run needs about {needed // MEBIBYTE} MB of memory for {shape} voxels; "
            f"the limit is {limit_bytes // MEBIBYTE} MB.",
            next_step="Raise the memory limit of inference if the machine has the memory.",
            code="memory-limit",
        )
    return needed
