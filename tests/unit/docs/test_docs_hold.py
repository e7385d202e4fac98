"""Every command, entry, code, file and link that a document names exists."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import typer.main

from tests.unit.deploy.deployed import ROOT, assert_command_exists
from tests.unit.docs.generated import entry_names
from tests.unit.docs.markdown import (
    DOCUMENTS,
    anchors,
    blocks,
    command_lines,
    inline,
    links,
    log_events,
    overread_arguments,
)
from worker.cli.main import build
from worker.decode.outcomes import OUTCOMES
from worker.domain.job import JobState
from worker.inference.manifest.manifest import manifest_of
from worker.settings import load
from worker.settings.load import NOT_SETTINGS

each = pytest.mark.parametrize("name", sorted(DOCUMENTS))
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
ENTRIES = {name.replace("[]", "") for name, _ in entry_names()}
SECTIONS = {name.split(".")[0] for name in ENTRIES}
BAD_INPUT = DOCUMENTS["docs/bad-input.md"]


@each
def test_command_lines_exist(name: str) -> None:
    for words in command_lines(DOCUMENTS[name]):
        arguments = overread_arguments(words)
        if arguments is not None:
            assert_command_exists(arguments)
        if words[0] == "make":
            assert words[1] in MAKE_TARGETS, f"{name}: make {words[1]}"


@each
def test_commands_in_the_text_exist(name: str) -> None:
    for code in inline(DOCUMENTS[name]):
        words = code.split()
        if words[:1] == ["make"] and len(words) > 1:
            assert words[1] in MAKE_TARGETS, f"{name}: {code}"
        if words[:1] == ["overread"] and len(words) > 1:
            _assert_known(words[1:], f"{name}: {code}")


def _assert_known(words: list[str], where: str) -> None:
    """The command exists and has these options; arguments may be left out in a sentence."""
    command = typer.main.get_command(build())
    options = {option for parameter in command.params for option in parameter.opts}
    rest = list(words)
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        assert rest[0] in command.commands, where
        command = command.commands[rest.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
    for word in rest:
        if word.startswith("--"):
            assert word.split("=")[0] in options | {"--help"}, where


@each
def test_links_lead_somewhere(name: str) -> None:
    for link in links(DOCUMENTS[name]):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        if target.name == "demo-chest-ct.png":
            continue  # put there by the first demonstration
        assert target.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name}: {link}"


@each
def test_configuration_entries_exist(name: str) -> None:
    for code in inline(DOCUMENTS[name]):
        found = re.match(r"([a-z]+)\.([a-z_]+)\b(?!\()", code)
        if found and found[1] in SECTIONS and not code.endswith((".md", ".py", ".toml", ".log", ".onnx", ".json")):
            assert f"{found[1]}.{found[2]}" in ENTRIES, f"{name}: {code}"


@each
def test_variables_are_entries(name: str) -> None:
    for variable in re.findall(r"\bOVERREAD_[A-Z0-9_]+\b", DOCUMENTS[name]):
        if variable in NOT_SETTINGS or re.fullmatch(r"OVERREAD_\d_\d", variable):
            continue
        section, _, entry = variable.removeprefix("OVERREAD_").lower().partition("__")
        assert section in SECTIONS, f"{name}: {variable}"
        assert not entry or f"{section}.{entry}" in ENTRIES, f"{name}: {variable}"


@each
def test_toml_is_valid(name: str, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(DOCUMENTS[name], "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(block.text, encoding="utf-8")
        if "schema_version" in block.text:
            manifest_of(tomllib.loads(block.text.replace('"REPLACE"', f'"{"0" * 64}"')))
        else:
            load(path, environ={})


@each
def test_source_files_exist(name: str) -> None:
    for code in inline(DOCUMENTS[name]):
        if re.fullmatch(r"(worker|deploy|tests|models|docs)/[\w./-]*", code):
            assert (ROOT / code).exists(), f"{name}: {code}"


def test_codes_of_bad_input_exist_in_the_source() -> None:
    literals, patterns = _source_texts()
    for _, code, _, _ in rows(BAD_INPUT):
        assert code in literals or any(pattern.fullmatch(code) for pattern in patterns), code


def test_every_outcome_of_reading_is_in_bad_input() -> None:
    named = {code for _, code, _, _ in rows(BAD_INPUT)}
    assert set(OUTCOMES) <= named


def test_nothing_stands_twice_in_bad_input() -> None:
    said = [(code, outcome) for _, code, outcome, _ in rows(BAD_INPUT)]
    assert sorted(said) == sorted(set(said))


def test_every_bad_input_has_a_test_that_names_it() -> None:
    for _, code, _, test in rows(BAD_INPUT):
        (link,) = links(test)
        path = ROOT / "docs" / link
        assert path.is_relative_to(ROOT / "docs" / ".." / "tests")
        if not test.endswith("*"):
            assert re.search(rf"[\"'`]{re.escape(code)}[\"'`:]", path.read_text(encoding="utf-8")), f"{code}: {link}"


def test_log_events_exist() -> None:
    """That each process really writes them is shown in tests/e2e/test_events.py."""
    literals, _ = _source_texts()
    assert [event for event, _ in log_events() if event not in literals] == []


@pytest.mark.parametrize(
    ("part", "said"),
    [("Retention(", "- Retention: no process"), ("CommitmentRequester(", "- Storage commitment: no process")],
)
def test_what_is_not_at_work_is_said_and_nothing_else(part: str, said: str) -> None:
    wiring = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "worker" / "wiring").glob("*.py"))
    not_yet = said in DOCUMENTS["docs/operations.md"]
    assert not_yet is (part not in wiring), "docs/operations.md, Not yet: and what refers to it in other documents"


def test_the_runbook_explains_every_state() -> None:
    table = DOCUMENTS["docs/operations.md"].partition("| what `jobs` says | what it means |")[2].partition("\n\n")[0]
    named = {code for line in table.splitlines()[2:] for code in re.findall(r"`([a-z-]+)`", line.split("|")[1])}
    assert {state.value for state in JobState} <= named


def test_codes_in_the_runbook_are_explained() -> None:
    explained = {code for _, code, _, _ in rows(BAD_INPUT)}
    literals, _ = _source_texts()
    for code in re.findall(r"^- \*\*.*$", DOCUMENTS["docs/operations.md"], re.MULTILINE):
        for one in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", code):
            assert one in explained or any(one in literal for literal in literals), one


def rows(text: str) -> list[tuple[str, str, str, str]]:
    """The rows of all tables: input, code, outcome, test."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 4 and re.fullmatch(r"`[a-z0-9-]+`", cells[1]):
            found.append((cells[0], cells[1].strip("`"), cells[2], cells[3]))
    assert len(found) > 80 or text is not BAD_INPUT
    return found


def _source_texts() -> tuple[set[str], list[re.Pattern[str]]]:
    """String literals of the package, and those that are put together as patterns."""
    literals: set[str] = set()
    patterns: list[re.Pattern[str]] = []
    for path in (ROOT / "worker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                literals.add(node.value)
            if isinstance(node, ast.JoinedStr):
                parts = [
                    re.escape(str(one.value)) if isinstance(one, ast.Constant) else "[a-z-]+" for one in node.values
                ]
                if parts and re.fullmatch(r"[a-z\\-]+\[a-z-\]\+", "".join(parts)):
                    patterns.append(re.compile("".join(parts)))
    return literals, patterns
