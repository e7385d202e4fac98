"""A build backend that builds nothing: it lets pip *download* a source archive without running it.

``pip download`` prepares the metadata of every sdist, and for a package without ready metadata that
means executing its ``setup.py`` (which may need a compiler, numpy, or a Python version long gone).
We only want the archive. `pip_source` copies this file to ``setuptools/build_meta.py`` in a scratch
folder in front of the path of that one pip process; pip then asks these hooks (PEP 517), which answer
from the archive's own PKG-INFO. No code of the package runs.

Standard library only, and no imports from this project: the file is executed alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


class _MetadataOnly:
    """The three PEP 517 hooks that pip calls while it downloads."""

    def get_requires_for_build_wheel(self, *_: Any, **__: Any) -> list[str]:
        return []

    def prepare_metadata_for_build_wheel(self, metadata_directory: str, *_: Any, **__: Any) -> str:
        """Write ``NAME-VERSION.dist-info/METADATA``; the current folder is the unpacked sdist (PEP 517)."""
        text = Path("PKG-INFO").read_text(encoding="utf-8")
        fields = dict(line.split(": ", 1) for line in text.split("\n\n", 1)[0].splitlines() if ": " in line)
        name = re.sub(r"[-_.]+", "_", fields["Name"])  # pip splits the folder's name at its first hyphen
        folder = f"{name}-{fields['Version']}.dist-info"
        target = Path(metadata_directory) / folder
        target.mkdir()
        (target / "METADATA").write_text(text, encoding="utf-8")
        return folder

    def build_wheel(self, *_: Any, **__: Any) -> str:
        raise NotImplementedError("this backend serves `pip download` only")


__legacy__ = _MetadataOnly()  # the backend of a package without pyproject.toml
get_requires_for_build_wheel = __legacy__.get_requires_for_build_wheel
prepare_metadata_for_build_wheel = __legacy__.prepare_metadata_for_build_wheel
build_wheel = __legacy__.build_wheel
