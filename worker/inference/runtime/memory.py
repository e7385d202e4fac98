"""How much memory a run will take, before it takes it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from worker.domain.errors import PermanentError
from worker.domain.volume import Geometry
from worker.inference.entries.nets import AnyNet, Net
from worker.inference.entries.weights import Hardware
from worker.inference.image import Image

MEBIBYTE = 1 << 20


def estimate_bytes(hardware: Hardware, geometry: Geometry) -> int:
    """The manifest's fixed part plus its part per voxel of the source (which is held already, but counts)."""
    slices, rows, columns = geometry.shape
    return hardware.memory_mb * MEBIBYTE + hardware.memory_bytes_per_voxel * slices * rows * columns


def check_memory(hardware: Hardware, geometry: Geometry, *, limit_bytes: int, further_bytes: int = 0) -> int:
    """Return the estimate; raises PermanentError (``memory-limit``) when it is above the limit.

    ``further_bytes`` are those of the model's other inputs on their own grids, which are held beside the source.
    """
    needed = estimate_bytes(hardware, geometry) + further_bytes
    if needed > limit_bytes:
        shape = " x ".join(str(n) for n in geometry.shape)
        raise PermanentError(
            f"This run needs about {needed // MEBIBYTE} MB of memory for {shape} voxels; "
            f"the limit is {limit_bytes // MEBIBYTE} MB.",
            next_step="Raise the memory limit of inference if the machine has the memory.",
            code="memory-limit",
        )
    return needed


def check_weights_memory(sizes: Iterable[int], *, limit_bytes: int) -> None:
    """Refuse, before anything is loaded, nets whose weights alone would not fit.

    A loaded net takes about twice its file: the tensors, and what the runtime arranges anew for its kernels. Raises
    PermanentError (``memory-limit``). ``sizes`` are the bytes of each file that a run needs, external data included.
    """
    needed = 2 * sum(sizes)
    if needed > limit_bytes:
        raise PermanentError(
            f"The weights need about {-(-needed // MEBIBYTE)} MB of memory; the limit is {limit_bytes // MEBIBYTE} MB.",
            next_step="Raise the memory limit of inference if the machine has the memory.",
            code="memory-limit",
        )


def check_answer_memory(net: AnyNet, image: Image, *, copies: int, limit_bytes: int) -> None:
    """Refuse, before the run, an image whose score map alone would not fit.

    Parameters
    ----------
    net:
        The net whose answer is kept whole; one that does not answer a map, or does not say how many channels it has,
        is not judged.
    image:
        What goes into the inference mode.
    copies:
        How many such maps live at a time.
    limit_bytes:
        The limit of the whole run.

    Raises
    ------
    PermanentError
        ``memory-limit``.
    """
    if not isinstance(net, Net) or net.rates or net.output_grid != "input":
        return
    channels = net.output.shape[1]
    if not isinstance(channels, int):
        return
    needed = image.values.nbytes + 4 * channels * image.values[0].size * copies
    if needed > limit_bytes:
        shape = " x ".join(str(n) for n in image.values.shape[1:])
        raise PermanentError(
            f"The scores of {channels} channels on {shape} voxels need {needed // MEBIBYTE} MB; "
            f"the limit is {limit_bytes // MEBIBYTE} MB.",
            next_step="Raise the memory limit of inference if the machine has the memory.",
            code="memory-limit",
        )


def run_limit_bytes(configured_mb: int, *, concurrency: int) -> int:
    """The most that one run may need: as configured, or four fifths of the machine's memory shared by concurrency."""
    return configured_mb * MEBIBYTE if configured_mb else int(0.8 * _machine_bytes() / concurrency)


@cache
def _machine_bytes() -> int:
    """Physical memory, or the control group's limit when that is lower."""
    total = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        if line.startswith("MemTotal")
    )
    paths = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    limits = [path.read_text(encoding="ascii").strip() for path in paths if path.is_file()]
    return min(total, *(int(text) for text in limits if text.isdigit()))
