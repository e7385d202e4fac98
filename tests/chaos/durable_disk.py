"""What a power cut leaves: a model of a disk that keeps nothing but what was synced.

A file has the bytes of its last fsync. A name is there when its folder was synced after the name was made; a rename
counts as one name made and one taken away, each known when *its* folder was synced. ``names_survive`` is the other
cruelty (as ext4 or XFS may well do): every name is there at once, but the bytes behind it are those of the last fsync.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.trace import Call

_WRITES = frozenset({"write", "pwrite64", "writev", "pwritev", "pwritev2"})
_NAMES = frozenset(
    {"mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "rmdir"}
)
_UNKNOWN = frozenset({"sendfile", "copy_file_range", "fallocate", "truncate", "pwritev", "pwritev2", "sync_file_range"})


@dataclass(eq=False)
class _File:
    now: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass(eq=False)
class _Folder:
    now: dict[str, _File | _Folder] = field(default_factory=dict)
    synced: dict[str, _File | _Folder] = field(default_factory=dict)


class DurableDisk:
    """The folder ``root`` (which is empty, and synced itself), changed call by call."""

    def __init__(self, root: Path) -> None:
        self._root_path = str(root)
        self._root = _Folder()
        self._positions: dict[tuple[str, int], int] = {}

    def apply(self, call: Call) -> None:
        """Take the effect of a call that has ended."""
        match call.name:
            case "openat" | "open" | "creat":
                self._open(call)
            case name if name in _NAMES:
                self._change_names(call)
            case "fsync" | "fdatasync":
                self._sync(call.descriptor)
            case "ftruncate":
                if (file := self._file(call.descriptor)) is not None:
                    length = call.last_number
                    del file.now[length:]
                    file.now.extend(b"\0" * (length - len(file.now)))
            case name if name in _UNKNOWN and self._inside(call.descriptor):
                raise AssertionError(f"the model does not know {name} on {call.descriptor}")
            case name if name in _WRITES:
                self._write(call)
            case _:
                return

    def leave(self, target: Path, *, names_survive: bool) -> None:
        """Write what a power cut at this moment leaves below ``target``."""
        _leave(self._root, target, names_survive=names_survive)

    # -- one call

    def _change_names(self, call: Call) -> None:
        if not all(self._inside(path) for path in call.paths):
            return
        match call.name:
            case "mkdir" | "mkdirat":
                self._link(call.paths[0], _Folder())
            case "rename" | "renameat" | "renameat2":
                source, target = call.paths
                self._link(target, self._unlink(source))
            case "link" | "linkat":
                source, target = call.paths
                node = self._node(source)
                assert node is not None
                self._link(target, node)
            case _:
                self._unlink(call.paths[0])

    def _open(self, call: Call) -> None:
        path = call.opened or call.paths[0]
        if not self._inside(path):
            return
        node = self._node(path)
        if node is None and ("O_CREAT" in call.text or call.name == "creat"):
            node = _File()
            self._link(path, node)
        if isinstance(node, _File) and ("O_TRUNC" in call.text or call.name == "creat"):
            node.now.clear()
        self._positions[path, call.result] = len(node.now) if isinstance(node, _File) and "O_APPEND" in call.text else 0

    def _write(self, call: Call) -> None:
        path = call.descriptor
        file = self._file(path)
        if file is None:
            return
        content = b"".join(call.strings)
        assert len(content) >= call.result, f"strace cut a {call.name} of {call.result} bytes off at {len(content)}"
        content = content[: call.result]
        key = (path, int(call.text.partition("<")[0]))
        at = call.last_number if call.name == "pwrite64" else self._positions.get(key, 0)
        file.now.extend(b"\0" * (at - len(file.now)))
        file.now[at : at + len(content)] = content
        if call.name != "pwrite64":
            self._positions[key] = at + len(content)

    def _sync(self, path: str) -> None:
        if not self._inside(path):
            return
        node = self._node(path)
        if isinstance(node, _File):
            node.synced = bytes(node.now)
        elif isinstance(node, _Folder):
            node.synced = dict(node.now)

    # -- names

    def _inside(self, path: str) -> bool:
        return path == self._root_path or path.startswith(self._root_path + "/")

    def _parts(self, path: str) -> list[str]:
        return [part for part in path[len(self._root_path) :].split("/") if part]

    def _node(self, path: str) -> _File | _Folder | None:
        node: _File | _Folder | None = self._root
        for part in self._parts(path):
            if not isinstance(node, _Folder):
                return None
            node = node.now.get(part)
        return node

    def _file(self, path: str) -> _File | None:
        node = self._node(path) if self._inside(path) else None
        return node if isinstance(node, _File) else None

    def _folder_of(self, path: str) -> tuple[_Folder, str]:
        *above, name = self._parts(path)
        folder = self._node(self._root_path + "/" + "/".join(above))
        assert isinstance(folder, _Folder), f"nobody made the folder of {path}"
        return folder, name

    def _link(self, path: str, node: _File | _Folder) -> None:
        if self._inside(path) and path != self._root_path:
            folder, name = self._folder_of(path)
            folder.now[name] = node

    def _unlink(self, path: str) -> _File | _Folder:
        folder, name = self._folder_of(path)
        return folder.now.pop(name)


def _leave(folder: _Folder, target: Path, *, names_survive: bool) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name, node in (folder.now if names_survive else folder.synced).items():
        path = target / name
        if isinstance(node, _Folder):
            _leave(node, path, names_survive=names_survive)
        else:
            path.write_bytes(node.synced)
            path.chmod(0o600)
