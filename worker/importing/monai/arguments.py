"""Which arguments of a class of MONAI are understood. Any other is refused by its name: it may change every voxel."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Arguments = Mapping[str, Any]
Values = tuple[object, ...]

FLOAT32: Values = (None, "float32")
PER_KEY = (
    "align_corners", "anti_aliasing", "argmax", "device", "dtype", "mode", "nearest_interp", "orig_keys", "other",
    "padding_mode", "post_func", "rounding", "sigmoid", "softmax", "threshold", "to_onehot", "to_tensor",
)  # fmt: skip
"""What a dictionary transform takes once for all keys, or as a list with one value for each."""


class NotMappedError(Exception):
    """A transform, or one of its arguments, that has no equal step."""


def of_key(arguments: Arguments, key: str, *, present: Collection[str]) -> Arguments | None:
    """The arguments as they hold for one key of the data; None where the transform does not touch it.

    ``present`` are the keys that are there when the model runs. Raises NotMappedError for any other.
    """
    stated = arguments.get("keys", key)  # without keys MONAI does not even start
    keys = [stated] if isinstance(stated, str) else stated
    if not isinstance(keys, list) or not keys or not all(isinstance(one, str) for one in keys):
        raise NotMappedError(f"keys is {stated}; dictionary transforms with words for keys are supported")
    absent = [one for one in keys if one not in present]
    if absent and arguments.get("allow_missing_keys", False) is not True:
        raise NotMappedError(
            f"keys is {stated}, but when the model runs there is no {', '.join(absent)} (only {', '.join(present)})"
        )
    if key not in keys:
        return None
    return {
        name: _of_place(name, value, keys.index(key), len(keys))
        for name, value in arguments.items()
        if name not in ("keys", "allow_missing_keys")
    }


def short_name(part: Mapping[str, Any], *, room: str) -> str:
    """Of a class of MONAI its name, that of the transforms ending in "d"; of another the whole path."""
    target = str(part.get("_target_", "?"))
    place, _, name = target.rpartition(".")
    if place and place != room and not place.startswith(f"{room}."):
        return target
    for ending in ("Dict", "D"):
        if name.endswith(ending) and room == "monai.transforms":
            return f"{name.removesuffix(ending)}d"
    return name


def declare(
    arguments: Arguments,
    *,
    used: Collection[str] = (),
    same: Mapping[str, Values] | None = None,
    free: Collection[str] = (),
) -> None:
    """Refuse whatever a mapper does not understand.

    Parameters
    ----------
    arguments:
        As the bundle states them.
    used:
        Those that the mapper reads itself.
    same:
        Those that are understood with these values only (what MONAI does by default).
    free:
        Those that change no voxel: names of files, devices.
    """
    known = same or {}
    for name, value in arguments.items():
        if name in used or name in free:
            continue
        if name not in known:
            raise NotMappedError(f"{name} is {value}, an argument that is not understood")
        if not any(_equal(value, one) for one in known[name]):
            raise NotMappedError(f"{name} is {value}")


def number(arguments: Arguments, name: str, default: float | None = None) -> float:
    """A number of the arguments; raises NotMappedError for anything else."""
    value = arguments.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotMappedError(f"{name} is {value}, and a number is needed")
    return float(value)


def truth(arguments: Arguments, name: str, *, default: bool = False) -> bool:
    """True or false of the arguments; raises NotMappedError for anything else."""
    value = arguments.get(name, default)
    if not isinstance(value, bool):
        raise NotMappedError(f"{name} is {value}, and true or false is needed")
    return value


def numbers(value: object, name: str, count: int = 3) -> list[float]:
    """One number for each axis: a list, or one that holds for all."""
    listed: list[Any] = [*value] if isinstance(value, list | tuple) else [value] * count
    if len(listed) != count or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in listed):
        raise NotMappedError(f"{name} is {value}, and {count} numbers are needed")
    return [float(one) for one in listed]


def _of_place(name: str, value: object, place: int, count: int) -> object:
    if name not in PER_KEY or not isinstance(value, list | tuple):
        return value
    if len(value) != count:
        raise NotMappedError(f"{name} is {value}, which is not one for each of {count} keys")
    return value[place]


def _equal(value: object, understood: object) -> bool:
    """Of a list with one number for each axis, that number counts; a type of numbers counts by its name."""
    if isinstance(understood, str):
        return value == understood or (not isinstance(value, str) and _type_name(value) == understood)
    if isinstance(value, list) and not isinstance(understood, list) and value and all(one == value[0] for one in value):
        value = value[0]
    return type(value) in (int, float, type(understood)) and value == understood


def _type_name(value: object) -> str:
    """``float32`` of numpy's or torch's, which only expressions can state."""
    return str(getattr(value, "__name__", value)).rpartition(".")[2]
