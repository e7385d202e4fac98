"""What Flower remembers is there as it comes, for the owner alone, and does not grow for ever."""

from __future__ import annotations

import os
from pathlib import Path

from worker.tasks import history
from worker.tasks.history import History


def test_events_are_there_at_once_and_a_cut_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "made" / "history.jsonl"
    before = os.umask(0)
    try:
        History(path).add({"uuid": "a", "type": "task-received"}, ())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("a") as stream:
        stream.write('{"uuid": "b", "ty')  # kill -9
    again = History(path)
    assert [event["uuid"] for event in again] == ["a"]
    again.add({"uuid": "c"}, ())
    assert [event["uuid"] for event in History(path)] == ["a", "c"]


def test_it_is_made_shorter_by_what_nobody_shows(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("".join(f'{{"uuid": "{n}"}}\n' for n in range(history.LONGEST_LINES)))
    kept = History(path)
    assert len(list(kept)) == history.LONGEST_LINES
    kept.add({"uuid": "new"}, {"7", "new"})
    kept.add({"uuid": "newer"}, ())
    assert [event["uuid"] for event in History(path)] == ["7", "new", "newer"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    History(tmp_path / "file" / "history.jsonl").add({"uuid": "a"}, ())
    assert list(History(tmp_path / "nothing")) == []
