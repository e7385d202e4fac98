"""The system calls of a process tree, with every byte that was written, as strace saw them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = (
    "openat,open,creat,mkdir,mkdirat,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,ftruncate,truncate,"
    "fallocate,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,sendto,sendmsg"
)
_LINE = re.compile(r"^(?P<pid>\d+) +(?P<rest>.*)$", re.DOTALL)
_BEGUN = re.compile(r"^(?P<name>\w+)\((?P<text>.*) <unfinished \.\.\.>$", re.DOTALL)
_RESUMED = re.compile(r"^<\.\.\. (?P<name>\w+) resumed>(?P<text>.*)\) += (?P<result>-?\d+|\?)(?P<more>.*)$", re.DOTALL)
_WHOLE = re.compile(r"^(?P<name>\w+)\((?P<text>.*)\) += (?P<result>-?\d+|\?)(?P<more>.*)$", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"(?:\d+|AT_FDCWD)<([^>]*)>")


@dataclass(slots=True)
class Call:
    """One successful call. Its effect is seen between ``began`` and ``ended``, positions in the whole trace."""

    pid: int
    name: str
    text: str
    result: int
    began: int
    ended: int
    opened: str = ""

    @property
    def descriptor(self) -> str:
        """Path behind the first descriptor."""
        found = _DESCRIPTOR.search(self.text)
        return found[1] if found else ""

    @property
    def strings(self) -> list[bytes]:
        """The quoted arguments."""
        return [decoded(one) for one in _STRING.findall(self.text)]

    @property
    def paths(self) -> list[str]:
        """The path arguments of a call on names, made absolute by the folder descriptor before each."""
        found = []
        for match in re.finditer(r'(?:(?:\d+|AT_FDCWD)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', self.text):
            path = decoded(match[2]).decode()
            found.append(path if path.startswith("/") else f"{match[1]}/{path}")
        return found

    @property
    def last_number(self) -> int:
        """The last argument: offset of ``pwrite64``, length of ``ftruncate``."""
        return int(self.text.rpartition(",")[2].strip())


@dataclass
class Begun:
    name: str
    text: str
    at: int = field(default=0)


def decoded(text: str) -> bytes:
    """Undo strace's quoting."""
    return codecs.escape_decode(text.encode("latin-1"))[0]  # type: ignore[attr-defined,no-any-return]


def calls(path: Path) -> Iterator[Call]:
    """Successful calls in the order in which they ended."""
    pending: dict[int, Begun] = {}
    with path.open(encoding="latin-1") as lines:
        for number, line in enumerate(lines):
            match = _LINE.match(line.rstrip("\n"))
            if match is None:
                continue
            pid, rest = int(match["pid"]), match["rest"]
            if begun := _BEGUN.match(rest):
                pending[pid] = Begun(begun["name"], begun["text"], number)
                continue
            resumed = _RESUMED.match(rest)
            whole = None if resumed else _WHOLE.match(rest)
            if resumed is not None:
                before = pending.pop(pid, None)
                if before is None:
                    continue
                text, began, found = before.text + resumed["text"], before.at, resumed
            elif whole is not None:
                text, began, found = whole["text"], number, whole
            else:
                continue
            if found["result"] == "?" or int(found["result"]) < 0:
                continue
            opened = _DESCRIPTOR.match(found["result"] + found["more"])
            yield Call(pid, found["name"], text, int(found["result"]), began, number, opened[1] if opened else "")
