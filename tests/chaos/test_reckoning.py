"""The reckoning itself must be able to fail: each kind of damage, done on purpose, is found and named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.chaos.book import Book
from tests.chaos.driver import Driver, Load
from tests.chaos.pacs import kept_objects
from tests.chaos.plan import CALM
from tests.chaos.reconcile import Findings, objects_by_key, reconcile

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(300)]


class Keeping(Driver):
    """A calm run whose disk stays."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            title="calm",
            seed=1,
            rounds=[CALM],
            load=Load(senders=2, studies_per_round=3, pace_s=0.02),
            confirm="no",
            settle_s=120,
            say=lambda _: None,
            disk_mb=0,
        )


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Book]:
    folder = tmp_path_factory.mktemp("calm")
    driver = Keeping(folder)
    outcome = driver.run()
    assert outcome.passed, outcome.table()
    return folder, driver.book


@pytest.fixture
def after(calm: tuple[Path, Book], tmp_path: Path) -> Callable[[Callable[[Path], None]], Findings]:
    """Reckon on a copy to which something was done."""
    folder, book = calm

    def reckon(harm: Callable[[Path], None]) -> Findings:
        copy = tmp_path / "copy"
        for part in ("data", "pacs"):
            shutil.copytree(folder / part, copy / part, ignore=shutil.ignore_patterns("broker", "*.sock"))
        harm(copy)
        return reconcile(book, data=copy / "data", pacs=copy / "pacs")

    return reckon


Reckon = Callable[[Callable[[Path], None]], Findings]


def an_object(copy: Path) -> Path:
    return sorted(objects_by_key(copy / "data").values())[0]


def a_result(copy: Path) -> Path:
    return sorted((copy / "pacs" / "objects").glob("*.dcm"))[0]


def change_ledger(copy: Path, statement: str) -> None:
    with closing(sqlite3.connect(copy / "data" / "overread.sqlite")) as db:
        db.execute(statement)
        db.commit()


def test_nothing_done_nothing_found(after: Reckon) -> None:
    found = after(lambda _: None)
    assert found.clean
    assert found.complete_studies > 0
    assert found.results >= 2 * found.complete_studies


def test_a_file_that_is_gone(after: Reckon) -> None:
    assert len(after(lambda copy: an_object(copy).unlink()).lost_instances) == 1


def test_a_byte_that_was_changed(after: Reckon) -> None:
    def harm(copy: Path) -> None:
        path = an_object(copy)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    assert len(after(harm).damaged_instances) == 1


def test_a_row_that_is_gone(after: Reckon) -> None:
    statement = "DELETE FROM instances WHERE id = (SELECT min(id) FROM instances)"
    assert len(after(lambda copy: change_ledger(copy, statement)).lost_instances) == 1


def test_a_result_that_is_gone(after: Reckon) -> None:
    assert len(after(lambda copy: a_result(copy).unlink()).lost_results) == 1


def test_a_result_that_stands_twice(after: Reckon) -> None:
    def harm(copy: Path) -> None:
        path = a_result(copy)
        ds = dcmread(path)
        ds.SOPInstanceUID = f"{ds.SOPInstanceUID}9"[:64]
        ds.save_as(path.with_name("second.dcm"))

    assert after(harm).doubled


def test_a_result_of_another_patient(after: Reckon) -> None:
    def harm(copy: Path) -> None:
        path = a_result(copy)
        ds = dcmread(path)
        others = {str(one.PatientID) for one in kept_objects(copy / "pacs")} - {str(ds.PatientID)}
        ds.PatientID = sorted(others)[0]
        ds.save_as(path)

    assert len(after(harm).misfiled) == 1


def test_a_result_that_refers_to_images_of_another_study(after: Reckon) -> None:
    def harm(copy: Path) -> None:
        one = dcmread(a_result(copy))
        path = next(
            path
            for path in sorted((copy / "pacs" / "objects").glob("*.dcm"))
            if dcmread(path).Modality == "SEG" and dcmread(path).StudyInstanceUID != one.StudyInstanceUID
        )
        ds = dcmread(path)
        ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID = "2.25.42"
        ds.save_as(path)

    assert after(harm).misfiled


def test_a_job_that_never_ended(after: Reckon) -> None:
    statement = "UPDATE jobs SET state = 'running' WHERE kind = 'analyse'"
    assert after(lambda copy: change_ledger(copy, statement)).unfinished
