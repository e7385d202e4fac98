"""The Python file of a package: pinned, trusted by the site or refused, and looked at without running it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import ConfigurationError
from worker.domain.study import Digest
from worker.inference.entries.strict import nearest
from worker.inference.entries.weights import CustomSteps
from worker.inference.steps.custom import CustomStep

LONGEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CustomFile:
    """A verified Python file that the site trusts; ``package`` is what errors call the package."""

    path: Path
    sha256: Digest
    class_name: str
    package: str

    def read(self) -> bytes:
        """The bytes, verified once more: what is hashed is what runs.

        Raises ConfigurationError (``custom-missing``, ``custom-too-large``, ``custom-hash-mismatch``).
        """
        try:
            with self.path.open("rb") as file:
                content = file.read(LONGEST_BYTES + 1)
        except OSError as error:
            raise ConfigurationError(
                f"{self.path.name} of the package cannot be read ({error.strerror}).",
                next_step="Copy the package again: the manifest names this file under [custom].",
                code="custom-missing",
            ) from error
        if len(content) > LONGEST_BYTES:
            raise ConfigurationError(
                f"{self.path.name} is longer than {LONGEST_BYTES} bytes.",
                next_step="Steps are a page of Python: put tables and weights into the ONNX file.",
                code="custom-too-large",
            )
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ConfigurationError(
                f"{self.path.name} is not the one that the manifest names: custom.sha256 is {self.sha256}, "
                f"found {found}.",
                next_step="Copy the package again. If the file was changed on purpose, give the package a new version "
                "and write the new SHA-256 into its manifest.",
                code="custom-hash-mismatch",
            )
        return content


def verified(
    folder: Path, entry: CustomSteps, steps: Iterable[CustomStep], *, package: str, trusted: Collection[str]
) -> CustomFile:
    """The file that ``[custom]`` names. It is hashed and parsed, never run.

    Parameters
    ----------
    steps:
        The steps that call it.
    trusted:
        SHA-256 of the files that the site lets run.

    Raises
    ------
    ConfigurationError
        ``custom-outside`` (a link that leads out of the folder), what ``CustomFile.read`` raises,
        ``custom-not-trusted``, ``custom-invalid`` (no Python, or without the class or a method that a step names).
    """
    path = (folder / entry.file).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"{entry.file} leads out of the package folder.",
            next_step="Put the file itself into the folder, not a link.",
            code="custom-outside",
        )
    found = CustomFile(path, Digest(entry.sha256), entry.class_name, package)
    content = found.read()
    if entry.sha256 not in trusted:
        raise ConfigurationError(
            f"{package} brings Python code, {entry.file} (SHA-256 {entry.sha256}), which this site does not trust.",
            next_step=f"Read {path}: it would run with all rights of the worker. To trust exactly this content, add "
            f'the digest to the configuration: [models] trusted = ["{entry.sha256}"].',
            code="custom-not-trusted",
        )
    # Only now: a file made to harm can crash even a parser.
    _look(content, entry, steps)
    return found


def _look(content: bytes, entry: CustomSteps, steps: Iterable[CustomStep]) -> None:
    """Whether the class and its methods are there, from the syntax tree."""
    try:
        tree = ast.parse(content, filename=entry.file)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise _invalid(f"{entry.file} is not Python{line}: {type(error).__name__}") from error
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if entry.class_name not in classes:
        raise _invalid(
            f'custom.class_name is "{entry.class_name}", but {entry.file} has no such class'
            f"{nearest(entry.class_name, classes)}"
        )
    owner = classes[entry.class_name]
    if owner.bases:  # what it inherits cannot be seen from here: a missing method is found when it is called
        return
    methods = {node.name for node in owner.body if isinstance(node, ast.FunctionDef)}
    for step in steps:
        if step.method not in methods:
            raise _invalid(
                f'a custom step names the method "{step.method}", but class {entry.class_name} of {entry.file} has '
                f"none of that name{nearest(step.method, methods)}"
            )


def _invalid(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what[:1].upper()}{what[1:]}.",
        next_step='"Custom steps" in docs/add-a-model.md shows what the file must look like.',
        code="custom-invalid",
    )
