"""Names of pynetdicom and pydicom that they do not promise to keep: each is listed here, and is there.

The listener runs pynetdicom's state machine on a thread of its own, and the walk reads pydicom's table of tags. A
release may take any of these away without a word, so pyproject.toml ends below the next minor version of both.
"""

from __future__ import annotations

import ast
import importlib
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pynetdicom
from packaging.requirements import Requirement
from packaging.version import Version
from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AssociationSocket

import worker

ROOT = Path(worker.__file__).parent
LIBRARIES = ("pynetdicom", "pydicom")

MODULES_AND_THEIR_NAMES = {
    "pydicom._dicom_dict.DicomDictionary",
    "pynetdicom._config",
    "pynetdicom._globals.MODE_ACCEPTOR",
    "pynetdicom.sop_class._STORAGE_CLASSES",
}
"""Imported: from modules with a private name, or private names of others."""

OF_MODULES = {"evt._INTERVENTION_EVENTS", "evt._add_handler"}

OF_ASSOCIATION = {
    "_accepted_cx", "_bind_defaults", "_dul_ready", "_handlers", "_is_paused", "_kill", "_serve_request",
    "_started_dul",
}  # fmt: skip
OF_DUL = {"_process_recv_primitive", "_recv_pdu"}
OF_SOCKET = {"_shutdown_socket"}

NOT_THEIRS = {("decode/planes/plane_attributes.py", "element._replace")}
"""Public in spite of its underscore: that of a named tuple."""

GONE = (
    "is not in this version any more. Read what took its place, change what uses it below worker/, and this list; "
    "until then keep the version below in pyproject.toml."
)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in LIBRARIES:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] in LIBRARIES)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def inherited(base: object, cls: str) -> set[str]:
    """Private names of a base class's instance that a class of ours uses or replaces."""
    used: set[str] = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == cls:
                own = {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
                used |= own | {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
    assert used, f"there is no class {cls} any more: correct this test"
    return {name for name in used if is_private(name) and hasattr(base, name)}


def an_association() -> Association:
    return Association(pynetdicom.AE(), MODE_ACCEPTOR)


def test_every_private_name_that_is_imported_is_listed_and_there() -> None:
    found = {
        name for _, tree in modules() for name in imported(tree) if any(is_private(part) for part in name.split("."))
    }
    assert found == MODULES_AND_THEIR_NAMES, "a new private name of a library, or one that is used no more"
    for name in sorted(MODULES_AND_THEIR_NAMES):
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(module), last), f"{name} {GONE}"


def test_every_private_name_of_an_object_is_listed() -> None:
    found: set[str] = set()
    for path, tree in modules():
        if not any(name.partition(".")[0] in LIBRARIES for name in imported(tree)):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                of = ast.unparse(node.value)
                if of not in ("self", "cls") and (path, f"{of}.{node.attr}") not in NOT_THEIRS:
                    found.add(f"{of}.{node.attr}" if of == "evt" else node.attr)
    assert found - OF_MODULES <= OF_ASSOCIATION | {"_config"}, "a new private name of a library"
    assert found >= OF_MODULES


def test_every_private_name_of_an_object_is_there() -> None:
    for name in sorted(OF_MODULES):
        assert hasattr(evt, name.partition(".")[2]), f"pynetdicom.{name} {GONE}"
    association = an_association()
    for base, names in (
        (association, OF_ASSOCIATION),
        (DULServiceProvider(association), OF_DUL),
        (AssociationSocket, OF_SOCKET),
    ):
        for name in sorted(names):
            assert hasattr(base, name), f"{name} of {base!r} {GONE}"


def test_every_private_name_that_is_inherited_is_listed() -> None:
    association = an_association()
    assert inherited(association, "StorageAssociation") <= OF_ASSOCIATION
    assert inherited(DULServiceProvider(association), "InlineDul") == OF_DUL
    with socket.socket() as client:
        assert inherited(AssociationSocket(association, client_socket=client), "DeadlineSocket") == OF_SOCKET


def test_the_next_minor_version_is_not_installed_by_itself() -> None:
    declared = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    ranges = {one.name: one.specifier for one in map(Requirement, declared) if one.name in LIBRARIES}
    assert set(ranges) == set(LIBRARIES)
    for name, specifier in ranges.items():
        tested = Version(importlib.import_module(name).__version__)
        assert tested in specifier
        assert f"{tested.major}.{tested.minor + 1}.0" not in specifier, f"{name} has no upper end"
