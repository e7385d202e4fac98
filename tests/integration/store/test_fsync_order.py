"""A trace of the system calls: before each acknowledgement, the bytes, the name, the folders and the row are synced."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.contract.store.kit import EXPLICIT, an_offer
from tests.integration.store.child import ROOT, command
from worker.store.database.database import Database, sqlite_url
from worker.store.database.schema import migrate
from worker.store.spool.spool import object_key

CALL = re.compile(r"^\d+\s+(?P<name>\w+)\((?P<arguments>.*?)(?: <unfinished \.\.\.>|\)\s*=\s*(?P<result>-?\d+).*)$")
RESUMED = re.compile(r"^(?P<pid>\d+)\s+<\.\.\. (?P<name>\w+) resumed>.*=\s*(?P<result>-?\d+)")


def calls(trace: Path) -> list[tuple[str, str]]:
    """Successful calls with their arguments, in the order in which they returned."""
    found: list[tuple[str, str]] = []
    pending: dict[tuple[str, str], str] = {}
    for line in trace.read_text().splitlines():
        resumed = RESUMED.match(line)
        if resumed:
            arguments = pending.pop((resumed["pid"], resumed["name"]), "")
            found.append((resumed["name"], arguments))
            continue
        call = CALL.match(line)
        if call is None:
            continue
        if call["result"] is None:
            pending[(line.split()[0], call["name"])] = call["arguments"]
        else:
            found.append((call["name"], call["arguments"]))
    return found


def test_everything_is_on_stable_storage_before_anybody_is_told(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "overread.db")
    migrate(Database(url))
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-s", "200", "-o", str(trace), "-e", "trace=fsync,fdatasync,rename,renameat2,write"]
    child = [*strace, *command("admit", url, tmp_path, "12")]
    subprocess.run(child, cwd=ROOT, check=True, timeout=200, capture_output=True)
    history = calls(trace)
    folder = tmp_path / "sizes"
    folder.mkdir()
    for number in range(12):
        offer = an_offer(folder, number, size=3000)
        key = object_key(offer.sha256, EXPLICIT)
        told = next(i for i, (name, text) in enumerate(history) if name == "write" and f'"stored {number}\\n"' in text)
        renamed = next(
            i for i, (name, text) in enumerate(history) if name.startswith("rename") and f"{key}.dcm" in text
        )
        temporary = re.search(r'"([^"]+\.part)"', history[renamed][1])
        assert temporary is not None
        leaf = tmp_path / "spool" / "objects" / key[:2]

        def synced(path: Path | str, after: int, before: int) -> bool:
            return any(name in {"fsync", "fdatasync"} and f"<{path}>" in text for name, text in history[after:before])

        assert synced(temporary[1], 0, renamed), "the bytes before the name"
        assert synced(leaf, renamed, told), "the folder of the name"
        assert synced(leaf.parent, 0, told), "the folder of that folder"
        assert synced(leaf.parent.parent, 0, told), "and its folder"
        assert synced(tmp_path / "overread.db-wal", renamed, told), "the row"
