"""PixelMed's DicomSRValidator on many files in one Java machine: reading its templates takes most of its time.

``python -m tests.integration.results.pixelmed FILE ...`` prints what it says of each file, as a JSON list of texts. It
runs in a process of its own, because a Java machine cannot be ended and takes over the signals of its process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
JAVA = Path("/usr/share/java")
JARS = ("pixelmed", "slf4j-api", "commons-codec")
"""Of Debian's libpixelmed-java and what it needs."""

LIMITS = ("ExprOpLimit", "ExprGrpLimit", "TotalOpLimit")
"""Set by Java since version 17; the templates are one style sheet that is larger."""

COMPLETE = "Root Template Validation Complete"


def texts_of(paths: Sequence[Path]) -> list[str]:
    """What the validator says of each file, word by word."""
    if not paths:
        return []
    command = [sys.executable, "-m", "tests.integration.results.pixelmed", *(str(path) for path in paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, f"is libpixelmed-java installed? {done.stderr[-2000:]}"
    texts = json.loads(done.stdout.splitlines()[-1])
    assert len(texts) == len(paths)
    return [str(text) for text in texts]


def main(names: Sequence[str]) -> None:
    import jpype

    options = [*("-Xms1g", "-Xmx2g", "-XX:+UseSerialGC"), *(f"-Djdk.xml.xpath{name}=0" for name in LIMITS)]
    jpype.startJVM(*options, classpath=[str(JAVA / f"{name}.jar") for name in JARS])
    validator = jpype.JClass("com.pixelmed.validate.DicomSRValidator")()
    texts = []
    for name in names:
        try:
            texts.append(str(validator.validate(name)))
        except jpype.JException as error:
            texts.append(f"Error: {error}")
    print(json.dumps(texts))  # noqa: T201 - the answer


if __name__ == "__main__":
    main(sys.argv[1:])
