"""A MONAI bundle: its configuration, read without running what is in it, and its network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing.checkpoints import load_checkpoint
from worker.importing.frameworks import need, quiet
from worker.importing.monai.arguments import NotMappedError, declare, short_name

_ROOMS = ("monai.transforms", "monai.inferers", "monai.networks.nets", "monai.data")
_TRUSTED = (*(f"{room}." for room in _ROOMS), "torch.nn.")
PARTS = ("preprocessing", "inferer", "postprocessing", "network_def")


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle says. ``parser`` is MONAI's own; ``parts`` are plain values, with references followed."""

    name: str
    version: str
    metadata: Mapping[str, Any]
    parser: Any
    parts: Mapping[str, Any]
    network: Any
    scripted: bool


def read_bundle(folder: Path, *, trust: bool) -> Bundle:
    """Read a bundle folder (``configs/metadata.json``, ``configs/inference.json``, ``models/model.pt`` or ``.ts``).

    Expressions and classes from elsewhere run code: only with ``trust``, and then by MONAI's own parser.

    Raises
    ------
    ConfigurationError
        ``bundle-incomplete``, ``bundle-needs-trust``, what ``load_checkpoint`` raises, ``checkpoint-does-not-fit``.
    """
    torch, bundle = need("torch", "monai.bundle")
    metadata = _json(folder / "configs" / "metadata.json")
    config = _config(folder, bundle)
    with quiet():
        parser = bundle.ConfigParser(config)
        parser.read_meta(metadata)
    plain = _Reader(config, None)
    parts = {name: plain.read(name) for name in PARTS}
    scripted = folder / "models" / "model.ts"
    state = folder / "models" / "model.pt"
    use_script = scripted.is_file() and not state.is_file()
    asked = [name for name in PARTS if not (use_script and name == "network_def")]
    strange = [text for name in asked for text in _strange(parts[name])]
    if strange and not trust:
        raise ConfigurationError(
            f"The bundle's configuration runs code: {'; '.join(dict.fromkeys(strange))[:600]}.",
            next_step="If you trust who made it, say so with --trust; else write these values out.",
            code="bundle-needs-trust",
        )
    if strange:
        trusted = _Reader(config, partial(_evaluated, parser))
        parts |= {name: trusted.read(name) for name in asked if name != "network_def"}
    try:
        if use_script:
            with quiet():
                network = torch.jit.load(scripted, map_location="cpu").eval()
        else:
            weights = load_checkpoint(state, trust=trust)
            with quiet():
                network = parser.get_parsed_content("network_def")
                network.load_state_dict(weights.get("model", weights) if isinstance(weights, Mapping) else weights)
    except RuntimeError as error:
        raise ConfigurationError(
            f"The weights of {folder.name} do not fit its network_def.",
            next_step="Copy models/ and configs/ from the same version of the bundle.",
            code="checkpoint-does-not-fit",
        ) from error
    return Bundle(
        name=str(metadata.get("name", folder.name)),
        version=str(metadata.get("version", "")),
        metadata=metadata,
        parser=parser,
        parts=parts,
        network=network.eval(),
        scripted=use_script,
    )


def transforms_of(part: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """The transforms of a Compose: the class's short name (of others than MONAI's the path) and its arguments."""
    listed = part.get("transforms") if isinstance(part, Mapping) else None
    found: list[tuple[str, Mapping[str, Any]]] = []
    for one in listed if isinstance(listed, list) else []:
        if not isinstance(one, Mapping):
            found.append((str(one), {}))
            continue
        if str(one.get("_disabled_", False)).strip().lower() == "true":
            continue
        silent = ("_target_", "_desc_", "_requires_", *(("_disabled_",) if one.get("_disabled_") is False else ()))
        arguments = {key: value for key, value in one.items() if key not in silent}
        found.append((short_name(one, room="monai.transforms"), arguments))
    return found


def compose_problems(part: Any) -> list[str]:
    """Why a chain is not simply one transform after another."""
    if part is None:
        return []
    if not isinstance(part, Mapping) or short_name(part, room="monai.transforms") != "Compose":
        name = part.get("_target_", "?") if isinstance(part, Mapping) else "a list"
        return [f"{name}: only Compose is supported"]
    try:
        declare(
            {key: value for key, value in part.items() if key not in ("_target_", "_desc_", "_requires_")},
            used=("transforms",),
            same={"lazy": (False, None), "map_items": (True,), "overrides": (None,), "unpack_items": (False,)},
            free=("log_stats",),
        )
    except NotMappedError as error:
        return [f"Compose: {error}"]
    return [] if isinstance(part.get("transforms"), list) else ["Compose: transforms is no list"]


def _strange(value: Any) -> Iterator[str]:
    """Everything that would run code which is neither MONAI's nor torch's."""
    match value:
        case str() if value.startswith("$"):
            yield f"expression {value}"
        case Mapping():
            target = value.get("_target_")
            if target is not None and not _known(str(target)):
                yield f"class {target}"
            for inner in value.values():
                yield from _strange(inner)
        case list() | tuple():
            for inner in value:
                yield from _strange(inner)
        case _:
            return


def _known(target: str) -> bool:
    if "." in target:
        return target.startswith(_TRUSTED)
    return any(hasattr(room, target) for room in need(*_ROOMS))


class _Reader:
    """Plain values of a configuration. ``evaluate`` gives what an expression at a place ("net_def::channels") is."""

    def __init__(self, config: Mapping[str, Any], evaluate: Callable[[str], Any] | None) -> None:
        self._config = config
        self._evaluate = evaluate

    def read(self, name: str) -> Any:
        """A section with every whole reference ("@roi", "@net::0") replaced by what it names."""
        return self._followed(self._config.get(name), name, 0)

    def _followed(self, value: Any, place: str, depth: int) -> Any:
        if depth > 32:
            raise ConfigurationError("The bundle's references go round in a circle.", code="bundle-incomplete")
        match value:
            case str() if value.startswith(("@", "%")) and len(value) > 1:
                there = value[1:].replace("#", "::")
                return self._followed(self._at(there), there, depth + 1)
            case str() if value.startswith("$") and self._evaluate is not None:
                return self._evaluate(place)
            case Mapping():
                return {key: self._followed(inner, f"{place}::{key}", depth + 1) for key, inner in value.items()}
            case list():
                return [self._followed(inner, f"{place}::{index}", depth + 1) for index, inner in enumerate(value)]
            case _:
                return value

    def _at(self, place: str) -> Any:
        here: Any = self._config
        for key in place.split("::"):
            try:
                here = here[int(key)] if isinstance(here, list) else here[key]
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise ConfigurationError(
                    f"The bundle refers to {place}, which is not in its configuration.", code="bundle-incomplete"
                ) from error
        return here


def _evaluated(parser: Any, place: str) -> Any:
    """What an expression says: it runs code, so only of a bundle that is trusted."""
    try:
        with quiet():
            return parser.get_parsed_content(place)
    except Exception as error:
        raise ConfigurationError(
            f"The bundle's expression at {place} cannot be evaluated: {str(error).splitlines()[0][:200]}",
            next_step="Write the value out in its configuration.",
            code="bundle-incomplete",
        ) from error


def _config(folder: Path, bundle: Any) -> dict[str, Any]:
    for name in ("inference.json", "inference.yaml", "inference.yml"):
        path = folder / "configs" / name
        if path.is_file():
            try:
                found: dict[str, Any] = bundle.ConfigParser.load_config_file(path)
            except (OSError, ValueError) as error:
                raise _incomplete(folder, f"{name} cannot be read") from error
            return found
    raise _incomplete(folder, "no configs/inference.json (or .yaml)")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _incomplete(path.parent.parent, "no readable configs/metadata.json") from error
    if not isinstance(found, dict):
        raise _incomplete(path.parent.parent, "metadata.json is no object")
    return found


def _incomplete(folder: Path, detail: str) -> ConfigurationError:
    return ConfigurationError(
        f"{folder.name} is no complete MONAI bundle: {detail}.",
        next_step="Name the folder that holds configs/ and models/.",
        code="bundle-incomplete",
    )
