"""Import of a MONAI bundle, and its comparison with MONAI's own run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.domain.volume import Volume
from worker.importing import package_folder
from worker.importing.labels import read_codes, segments
from worker.importing.monai.arguments import NotMappedError
from worker.importing.monai.bundle import Bundle, compose_problems, read_bundle, transforms_of
from worker.importing.monai.compare import FRAMEWORK, Format, Work, compare_case, compare_made_up, compare_nets
from worker.importing.monai.transforms import Mapped, inferer_of, map_transforms, window_of
from worker.importing.onnx_export import INPUT, OUTPUT, Shape, export
from worker.importing.package_folder import Imported, Naming
from worker.importing.parity.itk_images import with_modality
from worker.importing.parity.report import NOTHING_FOUND, require
from worker.importing.ports import Runtime, Said

_VARYING = ("first", "second", "third")


def import_monai(
    folder: Path,
    target: Path,
    naming: Naming,
    *,
    trust: bool,
    runtime: Runtime,
    case: Volume | None = None,
    said: Said = lambda _: None,
) -> Imported:
    """Make the package ``target/naming.name`` of a bundle.

    Without a ``case``, and with one in which neither finds anything, both are compared on a made-up volume.

    Raises
    ------
    ConfigurationError
        What ``read_bundle``, ``export`` and ``read_codes`` raise; ``bundle-not-mapped`` with the list of everything
        that has no equal step; ``folder-exists``; ``parity-missed``, ``comparison-failed``.
    """
    said("reading the bundle")
    bundle = read_bundle(folder, trust=trust)
    stated = _format(bundle)
    mapped, inference, shape = _mapped(bundle, stated)
    table = {} if naming.codes is None else read_codes(naming.codes, labels=tuple(stated.channels.values()))
    outputs = segments(stated.channels, table)
    modality = naming.modality or _modality(bundle)
    with package_folder.building(target, naming) as made, tempfile.TemporaryDirectory() as scratch:
        said("writing ONNX")
        digest = export(bundle.network, made / "model.onnx", shape=shape, multiple=mapped.multiple)
        manifest = _manifest(naming, mapped, inference, stated, modality, digest)
        whole = package_folder.with_segments(manifest, outputs.entries)
        package_folder.write_manifest(made, whole, comments=_comments(outputs.open_labels))
        place = Path(scratch)
        runnable = package_folder.provisional_copy(made, place / naming.name, manifest, outputs.entries)
        work = Work(bundle, mapped, stated, shape, inference, runtime, said, place)
        parity = compare_nets(work, runnable)
        notes = []
        if case is not None:
            parity = compare_case(work, with_modality(case, modality), runnable, parity)
            notes += [NOTHING_FOUND] if parity.reached is None else []
        if parity.reached is None:
            package = (made, manifest, outputs.entries)
            parity = compare_made_up(work, modality, runnable, parity, package)
        require(parity)
        todo = (*_todo(outputs.open_labels), *mapped.notes, *notes)
        origin = f"Imported from the MONAI bundle {bundle.name} {bundle.version}".rstrip() + "."
        package_folder.write_card(made, naming, origin=origin, parity=parity, todo=todo)
    return Imported(target / naming.name, runtime.problem(target / naming.name), todo, parity)


def _mapped(bundle: Bundle, stated: Format) -> tuple[Mapped, dict[str, Any], Shape]:
    """Everything as steps, or ConfigurationError (``bundle-not-mapped``) with what has no equal."""
    pre, post, inferer = (bundle.parts[name] for name in ("preprocessing", "postprocessing", "inferer"))
    mapped = map_transforms(
        transforms_of(pre),
        transforms_of(post),
        labels=stated.channels,
        heads=stated.heads,
        key=stated.key,
        preprocessing=pre,
    )
    for name, part in (("preprocessing", pre), ("postprocessing", post)):
        mapped.missing += [f"{name}: {one}" for one in compose_problems(part)]
    inference: dict[str, Any] = {}
    shape: Shape = ()
    try:
        shape = _shape(inferer, mapped)
        net = {
            "weights": "main",
            "input": {"name": INPUT, "shape": list(shape)},
            "output": {"name": OUTPUT, "shape": ["N", stated.heads, *shape[2:]]},
        }
        inference = inferer_of(inferer, net=net)
    except NotMappedError as error:
        mapped.missing.append(f"inferer: {error}")
    if stated.inputs != 1:
        mapped.missing.append(f"network: {stated.inputs} input channels; models of one input are supported")
    if mapped.missing:
        raise ConfigurationError(
            "This bundle cannot be carried over exactly. Without an equal:\n  " + "\n  ".join(mapped.missing),
            next_step="Nothing was written. Export the net (models import onnx) and write these steps by hand.",
            code="bundle-not-mapped",
        )
    return mapped, inference, shape


def _shape(inferer: Any, mapped: Mapped) -> Shape:
    """Of the net's input: its window, what the image is resized to, or (of the whole image) words for what varies."""
    if isinstance(inferer, Mapping) and "roi_size" in inferer:
        return ("N", 1, *window_of(inferer))
    sizes: list[int | str] = list(_VARYING)
    for step in mapped.preprocessing:
        if step["step"] == "resample_to_shape" and all(isinstance(one, int) for one in step["shape"]):
            sizes = list(step["shape"])
    return ("N", 1, *sizes)


def _manifest(
    naming: Naming, mapped: Mapped, inference: Mapping[str, Any], stated: Format, modality: str, digest: str
) -> dict[str, Any]:
    return {
        **package_folder.frame(
            naming, framework=FRAMEWORK, weights={"main": ("model.onnx", digest)}, memory_mb=2000,
            per_voxel=16 + 12 * stated.heads,
        ),
        "input": {
            "modality": modality,
            "slices": {"minimum": 8},
            "slice_spacing_mm": {"maximum": 10.0},
        },
        "guards": {"input": [{"guard": "not_constant"}]},
        "preprocessing": mapped.preprocessing,
        "inference": inference,
        "postprocessing": mapped.postprocessing,
    }  # fmt: skip


def _format(bundle: Bundle) -> Format:
    """How the bundle says that its network reads images; raises ConfigurationError (``bundle-incomplete``)."""
    try:
        stated = bundle.metadata["network_data_format"]
        output = stated["outputs"]["pred"]
        names = {int(key): str(value) for key, value in output["channel_def"].items()}
        heads = int(output["num_channels"])
        key, image = next(iter(stated["inputs"].items()))
        inputs = int(image["num_channels"])
    except (KeyError, ValueError, StopIteration, AttributeError, TypeError) as error:
        raise ConfigurationError(
            "metadata.json does not say what the network's channels are (network_data_format.outputs.pred).",
            next_step="Complete it: channel_def names every channel.",
            code="bundle-incomplete",
        ) from error
    channels = {channel: name for channel, name in names.items() if name.lower() != "background"}
    if not channels or not all(0 <= channel < heads for channel in names):
        raise ConfigurationError(
            f"metadata.json names the channels {', '.join(map(str, sorted(names)))}, and says that there are {heads}.",
            next_step="Correct network_data_format.outputs.pred: channel_def counts from 0 to num_channels - 1.",
            code="bundle-incomplete",
        )
    return Format(channels, heads, inputs, str(key))


def _modality(bundle: Bundle) -> str:
    image = next(iter(bundle.metadata["network_data_format"]["inputs"].values()))
    return {"CT": "CT", "MR": "MR", "MRI": "MR", "PET": "PT"}.get(str(image.get("modality", "")).upper(), "CT")


def _comments(open_labels: Sequence[str]) -> dict[str, str]:
    comments = {
        "schema_version": "Everything in CAPITALS is to be replaced. `overread models check` explains what is wrong.",
        "input": "TO DO: which series it may run on: body part, protocol, spacing.",
        "preprocessing": "As the bundle prepares images; a change here gives other results than in training.",
    }
    if open_labels:
        comments["outputs.segments"] = f"TO DO: codes of {', '.join(open_labels)} (PS3.16 CID 7150, 7151)."
    return comments


def _todo(open_labels: Sequence[str]) -> tuple[str, ...]:
    codes = [f"Codes of {', '.join(open_labels)}: fill in category and type, or import again with --codes."]
    return (
        *(codes if open_labels else ()),
        "The words in CAPITALS in manifest.toml: use, training data, licence, manufacturer.",
        "The input contract, the guards and hardware.memory_mb: body part, protocol, plausible volumes.",
    )
