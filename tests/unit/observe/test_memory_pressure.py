"""The kernel's choice when memory runs out."""

from __future__ import annotations

from pathlib import Path

from worker.observe.memory_pressure import offer_to_be_killed_first


def test_a_child_that_runs_models_offers_itself_first(tmp_path: Path) -> None:
    score = tmp_path / "oom_score_adj"
    score.write_text("0\n")
    offer_to_be_killed_first(score)
    assert score.read_text() == "1000\n"


def test_where_the_kernel_cannot_be_told_nothing_happens(tmp_path: Path) -> None:
    offer_to_be_killed_first(tmp_path / "no" / "such" / "file")
    assert not (tmp_path / "no").exists()
