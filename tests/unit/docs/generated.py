"""The parts of the documentation that are drawn from the source, so that the two cannot disagree.

``python -m tests.unit.docs.generated`` writes them anew between their markers; the tests assert that nothing changed.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import typer.main
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydicom.uid import UID

from worker.cli.main import build
from worker.deliver.association import Timeouts
from worker.domain import implementation as ours
from worker.domain import job
from worker.domain.job import TRANSITIONS, JobState
from worker.domain.store_status import STATUS_TABLE
from worker.inference.manifest.manifest import Manifest
from worker.inference.modes import LocaliseThenSegment
from worker.inference.steps import PostprocessingStep, PreprocessingStep
from worker.intake.limits import Limits
from worker.intake.supported_syntaxes import STORAGE_CLASSES, TRANSFER_SYNTAXES
from worker.settings import Settings
from worker.settings import model as settings_model

ROOT = Path(__file__).resolve().parents[3]
_MARKED = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- end of generated -->)", re.DOTALL)
_ASIDE = (JobState.SUPERSEDED, JobState.CANCELLED)
"""Reached from nearly everywhere: said in words, because the arrows would hide the picture."""


# ---------------------------------------------------------------------------------------------------- architecture


def state_machine() -> str:
    """The life of a job as a Mermaid state diagram, from ``worker.domain.job.TRANSITIONS``."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{state.value}" as {_name(state)}' for state in TRANSITIONS if "-" in state.value]
    lines += ["    [*] --> received: route job", "    [*] --> ready: analyse job"]
    for before, followers in TRANSITIONS.items():
        lines += [f"    {_name(before)} --> {_name(after)}" for after in _ordered(followers) if after not in _ASIDE]
    lines += [
        f"    {_name(state)} --> [*]" for state, followers in TRANSITIONS.items() if not set(followers) - {*_ASIDE}
    ]
    lines.append("```")
    for aside in _ASIDE:
        sources = [state.value for state, followers in TRANSITIONS.items() if aside in followers]
        lines += ["", f"Not drawn: to **{aside.value}** from {', '.join(sources)}."]
    return "\n".join(lines)


def states() -> str:
    """What each state means, from the source."""
    meanings = _attribute_docstrings(job.JobState)
    rows = [(f"`{state.value}`", meanings[state.name]) for state in TRANSITIONS]
    return _table(("state", "meaning"), rows)


def layers() -> str:
    """The layers that import-linter enforces, from ``pyproject.toml``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (c for c in project["tool"]["importlinter"]["contracts"] if c.get("containers") == ["worker"])
    return "\n".join(["```text", *contract["layers"], "```"])


def rooms() -> str:
    """Every folder of the package, with what lives there: the first line of its docstring."""
    rows = []
    for path in sorted((ROOT / "worker").rglob("__init__.py")):
        folder = path.parent.relative_to(ROOT / "worker")
        if folder.parts and "migrations" not in folder.parts:
            said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            rows.append((f"`{folder}`", " ".join(said.split("\n\n")[0].split())))
    return _table(("room", "what lives there"), rows)


def _name(state: JobState) -> str:
    return state.value.replace("-", "_")


def _ordered(found: frozenset[JobState]) -> list[JobState]:
    return [state for state in JobState if state in found]


def _attribute_docstrings(owner: type) -> dict[str, str]:
    """The strings that stand below the attributes of a class."""
    (node,) = ast.parse(inspect.getsource(owner)).body
    assert isinstance(node, ast.ClassDef)
    found: dict[str, str] = {}
    for first, second in zip(node.body, node.body[1:], strict=False):
        if isinstance(first, ast.Assign) and isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant):
            (target,) = first.targets
            assert isinstance(target, ast.Name)
            found[target.id] = " ".join(str(second.value.value).split())
    return found


# --------------------------------------------------------------------------------------------------- configuration

MEANINGS = {
    "destinations[].name": "What rules and jobs call it.",
    "destinations[].ae_title": "Its AE title.",
    "destinations[].host": "Host name or IP address.",
    "destinations[].port": "TCP port.",
    "rules[].name": "What decisions call it.",
    "rules[].model": "Name of an installed model.",
    "rules[].conditions": "What a series must be, in addition to the model's own contract.",
    "rules[].preferences": "What makes one fitting series better than another.",
    "rules[].per_study": "At most so many series of a study, the best by score; null: all that fit.",
    "rules[].allow_localizer": "Take localizers as well.",
    "rules[].allow_derived": "Take derived images as well.",
    "rules[].allow_phantom": "Take images of QA phantoms as well.",
    "rules[].allow_burned_in": "Take images with burned-in annotation as well.",
    "rules[].assembly": "When a study counts as complete for this rule: the entries of `[assembly]`.",
    "results.institution_department": "Institutional Department Name (0008,1040) of results; empty: left out.",
    "flower.enabled": "Run Flower with `overread up`.",
    "flower.bind": "Address to listen on.",
    "flower.port": "TCP port.",
    "flower.user": "Who may log in.",
    "log.level": "Least important events that are logged.",
}
"""Entries whose model has no description of its own."""


def configuration() -> str:
    """Every entry of the configuration with its default."""
    parts: list[str] = []
    for name, field in Settings.model_fields.items():
        owner, listed = _model_of(field)
        title = f"[[{name}]]" if listed else f"[{name}]"
        parts += [
            f"### `{title}`",
            "",
            inspect.cleandoc(owner.__doc__ or ""),
            "",
            _entries(name, owner, listed=listed),
            "",
        ]
    condition = settings_model.ConditionEntry
    parts += [
        "### A condition",
        "",
        "One attribute and exactly one test. A preference has `weight` (points) as well.",
        "",
    ]
    parts.append(_entries("condition", condition, listed=False))
    return "\n".join(parts)


def entry_names() -> Iterator[tuple[str, FieldInfo]]:
    """Every entry by its full name, with its field."""
    for name, field in Settings.model_fields.items():
        owner, listed = _model_of(field)
        for entry, inner in owner.model_fields.items():
            yield f"{name}[].{entry}" if listed else f"{name}.{entry}", inner


def _entries(name: str, owner: type[BaseModel], *, listed: bool) -> str:
    properties = owner.model_json_schema(mode="validation")["properties"]
    rows = []
    for entry, field in owner.model_fields.items():
        full = f"{name}[].{entry}" if listed else f"{name}.{entry}"
        meaning = field.description or MEANINGS.get(full, "")
        rows.append((f"`{entry}`", _kind(properties[entry]), _default(field), meaning))
    return _table(("entry", "value", "default", "meaning"), rows)


def _model_of(field: FieldInfo) -> tuple[type[BaseModel], bool]:
    annotation = field.annotation
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0], True
    assert isinstance(annotation, type)
    return annotation, False


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None:
        return "none"
    if isinstance(value, Path):
        value = str(value)
    return f"`{json.dumps(value)}`"


def _kind(schema: dict[str, Any]) -> str:
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return " or ".join(_one_kind(one) for one in options)


def _one_kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " / ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return "table"
    kind = schema.get("type", "")
    if kind == "array":
        inner = _kind(schema.get("items", {}))
        return f"list of {inner}" if " " in inner else f"list of {inner}s"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    text = words.get(kind, kind)
    text = "path" if schema.get("format") == "path" else text
    bounds = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"), ("maxLength", "at most"))
    said = [f"{word} {schema[key]:g}" for key, word in bounds if key in schema]
    return f"{text} {' '.join(said)}{' characters' if 'maxLength' in schema else ''}".strip()


# ----------------------------------------------------------------------------------------------------- conformance


def transfer_syntaxes() -> str:
    """Transfer syntaxes of the Storage SCP in the order of preference."""
    rows = [(str(n), UID(uid).name if UID(uid).name != uid else _LATER.get(uid, uid), f"`{uid}`")
            for n, uid in enumerate(TRANSFER_SYNTAXES, start=1)]  # fmt: skip
    return _table(("", "transfer syntax", "UID"), rows)


_LATER = {"1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression"}
"""Names that the dictionary does not have yet."""


def implementation() -> str:
    """What we call ourselves in associations and files (PS3.7 D.3.3.2)."""
    rows = [(f"`{ours.IMPLEMENTATION_CLASS_UID}`", f"`{ours.implementation_version_name()}`")]
    return _table(("Implementation Class UID", "Implementation Version Name"), rows)


def association_limits() -> str:
    """Numbers that bound associations, as they are by default."""
    limits, listener, ours = Limits(), Settings().listener, Timeouts()
    rows = [
        ("PDU length that we receive", f"{limits.maximum_pdu_bytes} bytes"),
        ("associations at the same time", f"{listener.max_associations} (`listener.max_associations`)"),
        ("largest data set", f"{listener.max_object_mb} MiB (`listener.max_object_mb`)"),
        ("time for an association request", f"{limits.request_s:g} s in all"),
        ("time between two PDUs", f"{listener.idle_s:g} s (`listener.idle_s`)"),
        ("time for one PDU", f"{limits.pdu_s:g} s in all"),
        ("as SCU: time to connect", f"{ours.connect_s:g} s"),
        ("as SCU: time for the answer to an association request", f"{ours.association_s:g} s"),
        (
            "as SCU: time for the answer to a C-STORE",
            f"{ours.response_s:g} s, and what the object needs at {ours.slowest_bytes_per_s / 1000:g} kB/s",
        ),
    ]
    return _table(("", "default"), rows)


def storage_classes() -> str:
    """Storage SOP classes that are known by name."""
    rows = [(UID(uid).name, f"`{uid}`") for uid in sorted(STORAGE_CLASSES, key=lambda uid: UID(uid).name)]
    return _table(("SOP class", "UID"), rows)


def scu_statuses() -> str:
    """What a C-STORE answer of a destination means."""
    rows = []
    for line in STATUS_TABLE:
        status = f"0x{line.first:04X}" if line.first == line.last else f"0x{line.first:04X} to 0x{line.last:04X}"
        rows.append((status, line.meaning, line.verdict.value))
    return _table(("status", "meaning", "what happens"), rows)


# --------------------------------------------------------------------------------------------------- command line


def commands() -> str:
    """Every command of the command line with its one-line help."""
    rows = [
        (f"`{name}`", _first_sentence(command))
        for name, command in _leaves(typer.main.get_command(build()), "overread")
    ]
    return _table(("command", "what it does"), rows)


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for child, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from _leaves(inner, f"{name} {child}")
        else:
            yield f"{name} {child}", inner


def _first_sentence(command: Any) -> str:
    return str(inspect.cleandoc(command.help or "")).split("\n\n")[0].replace("\n", " ")


# ---------------------------------------------------------------------------------------------------------- models


def manifest_tables() -> str:
    """The tables of a model manifest."""
    rows = []
    for name, field in Manifest.model_fields.items():
        models = [one for one in _models_in(field.annotation) if one.__doc__]
        said = inspect.cleandoc(models[0].__doc__ or "").split("\n")[0] if len(models) == 1 else _MANIFEST.get(name, "")
        rows.append((f"`{name}`", "required" if field.is_required() else "optional", said or _MANIFEST.get(name, "")))
    return _table(("key", "", "what it says"), rows)


_MANIFEST = {
    "schema_version": "1.",
    "intended_use": "A sentence.",
    "not_for": "Sentences: what nobody may use it for.",
    "limits": "Sentences: where it is known to be weak.",
    "training_data": "A sentence: on what it was trained.",
    "preprocessing": "A chain of named steps, from the source volume to the net.",
    "inference": "How the net is run: its mode, inputs and outputs.",
    "postprocessing": "A chain of named steps, from the net's scores to labels on the source grid.",
}


def steps() -> str:
    """The named steps of the chains."""
    rows = []
    for where, union in (("preprocessing", PreprocessingStep), ("postprocessing", PostprocessingStep)):
        for step in _models_in(union):
            (name,) = get_args(step.model_fields["step"].annotation)
            rows.append((f"`{name}`", where, inspect.cleandoc(step.__doc__ or "").split("\n")[0]))
    return _table(("step", "chain", "what it does"), rows)


def modes() -> str:
    """The inference modes."""
    (field,) = (f for name, f in Manifest.model_fields.items() if name == "inference")
    rows = []
    for mode in _models_in(field.annotation):
        if "mode" in mode.model_fields:
            (name,) = get_args(mode.model_fields["mode"].annotation)
            rows.append((f"`{name}`", inspect.cleandoc(mode.__doc__ or "").split("\n")[0]))
    assert any(LocaliseThenSegment.__name__ == one.__name__ for one in _models_in(field.annotation))
    return _table(("mode", "what it does"), rows)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models_in(inner)]


# ------------------------------------------------------------------------------------------------------- machinery


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


GENERATORS: dict[str, Callable[[], str]] = {
    "state-machine": state_machine,
    "states": states,
    "layers": layers,
    "rooms": rooms,
    "configuration": configuration,
    "transfer-syntaxes": transfer_syntaxes,
    "implementation": implementation,
    "association-limits": association_limits,
    "storage-classes": storage_classes,
    "scu-statuses": scu_statuses,
    "commands": commands,
    "manifest": manifest_tables,
    "steps": steps,
    "modes": modes,
}


def regenerated(text: str) -> str:
    """A document with its generated parts written anew."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{GENERATORS[found[2]]()}\n\n{found[4]}", text)


def parts_in(text: str) -> list[str]:
    """Names of the generated parts of a document."""
    return [found[2] for found in _MARKED.finditer(text)]


def documents() -> list[Path]:
    """Every Markdown file that users read."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def main() -> None:
    """Write every document anew."""
    for path in documents():
        before = path.read_text(encoding="utf-8")
        after = regenerated(before)
        if after != before:
            path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
