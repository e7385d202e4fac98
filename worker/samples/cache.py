"""A cached sample is a folder that is either whole and verified, or rebuilt."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.samples.archives import sha256_of
from worker.samples.recipes import Recipe

_SEAL = "sealed.json"


def is_whole(folder: Path, recipe: Recipe) -> bool:
    """Say whether this very recipe sealed `folder` and no file has changed, gone or come since."""
    try:
        seal = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(seal == _seal_of(folder, recipe))


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Keep other processes from fetching and building in this cache: each would take the folder of the other away."""
    cache.mkdir(parents=True, exist_ok=True)
    held = os.open(cache, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def build(folder: Path, recipe: Recipe, write: Callable[[Path], None]) -> None:
    """Run `write` on an empty folder beside `folder`, seal the result and put it in place. Call it within `alone`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        write(fresh)
        (fresh / _SEAL).write_text(json.dumps(_seal_of(fresh, recipe), indent=1), encoding="utf-8")
        if folder.exists():
            shutil.move(folder, Path(scratch) / "old")
        fresh.replace(folder)


def _seal_of(folder: Path, recipe: Recipe) -> dict[str, object]:
    files = sorted(path for path in folder.iterdir() if path.name != _SEAL)
    key = f"{recipe.archive.sha256} {recipe.version}"
    return {
        "recipe": hashlib.sha256(key.encode()).hexdigest(),
        "files": {path.name: sha256_of(path) for path in files},
    }
