from __future__ import annotations

import ast
import io
import json
import logging
import select
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

import worker
from worker.observe import logs


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, filters = list(root.handlers), root.level, list(warnings.filters)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    warnings.filters[:] = filters  # type: ignore[index]


@pytest.fixture
def stream(restored: None) -> io.StringIO:
    return io.StringIO()


def test_a_line_from_the_wire_cannot_forge_another_line(stream: io.StringIO) -> None:
    for style in ("json", "text"):
        logs.configure(style=style, stream=stream)  # type: ignore[arg-type]
        hostile = "CT\n12:00:00 INFO study-complete\x1b[31m"
        logging.getLogger("worker.intake").info("association-opened", extra={"calling_ae_title": hostile})
    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("text", ["x" * 100_000, "\N{SNOWMAN}" * 20_000, "\0" * 5000])
def test_a_line_is_short_enough_to_be_written_whole_into_a_pipe_that_others_share(
    stream: io.StringIO, text: str
) -> None:
    logs.configure(style="json", stream=stream)
    event = {"reason": text, "next_step": text, "path": Path(text), "count": 7, "pending": None}
    logging.getLogger("worker.x").info("event", extra=event)
    assert len(stream.getvalue()) <= select.PIPE_BUF
    line = json.loads(stream.getvalue())
    assert (line["event"], line["count"], line["pending"]) == ("event", 7, None)
    assert line["reason"].startswith(text[:100])
    assert line["reason"].endswith("...")


def test_only_listed_fields_are_written(stream: io.StringIO) -> None:
    logs.configure(style="json", stream=stream)
    logging.getLogger("worker.x").info("event", extra={"job_id": "j", "patient_name": "Doe^Jane"})
    line = json.loads(stream.getvalue())
    assert line["job_id"] == "j"
    assert "Doe" not in stream.getvalue()


def test_an_exception_is_its_type_and_place_never_its_text(stream: io.StringIO) -> None:
    logs.configure(style="json", stream=stream)
    try:
        int("Doe^Jane")
    except ValueError:
        logging.getLogger("worker.x").exception("event")
    line = json.loads(stream.getvalue())
    assert line["error"] == "ValueError"
    assert "test_logs" in line["where"]
    assert "Doe" not in stream.getvalue()


def test_a_library_is_quoted_without_its_values(stream: io.StringIO) -> None:
    logs.configure(style="json", stream=stream, process="listener")
    library = logging.getLogger("celery.worker.consumer")
    library.error("Received unregistered task of %s", "Doe^Jane")
    library.error(f"the body was {'Doe^Jane'}")
    library.info("not even that")
    template, whole = (json.loads(line) for line in stream.getvalue().splitlines())
    assert {template["event"], whole["event"]} == {"library-message"}
    assert template["logger"] == "celery.worker.consumer"
    assert template["reason"] == "Received unregistered task of %s"
    assert "test_logs" in whole["where"]
    assert "Doe" not in stream.getvalue()
    logs.configure(style="text", stream=stream)
    library.error("the body was %s", "Doe^Jane")
    assert "Doe" not in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "text"])
def test_each_line_says_which_process_speaks(stream: io.StringIO, style: Literal["json", "text"]) -> None:
    logs.configure(style=style, stream=stream, process="worker-analyse")
    logging.getLogger("worker.x").info("event")
    assert "worker-analyse" in stream.getvalue()


def test_libraries_that_quote_data_sets_are_silent_at_every_level(stream: io.StringIO) -> None:
    logs.configure(level="DEBUG", style="json", stream=stream)
    for name in ("pydicom", "pynetdicom.acse", "highdicom.seg"):
        logging.getLogger(name).error("PatientName Doe^Jane")
    assert stream.getvalue() == ""


def test_warnings_that_quote_values_are_silent(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(style="json", stream=stream)
    warnings.warn("invalid value for VR PN: Doe^Jane", stacklevel=1)
    assert "Doe" not in stream.getvalue() + capsys.readouterr().err


def test_no_event_names_a_field_that_is_never_written() -> None:
    """A field that is not on the allow-list is dropped without a word: the event would lose what it is about."""
    lost = {}
    for path in Path(worker.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                keys = {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
                if unknown := keys - set(logs.FIELDS):
                    lost[f"{path.name}:{node.value.lineno}"] = unknown
    assert lost == {}


def test_no_field_could_hold_a_patient() -> None:
    assert not {name for name in logs.FIELDS if "patient" in name or "birth" in name or "accession" in name}
