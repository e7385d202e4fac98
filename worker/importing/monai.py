"""Import of a MONAI bundle, and its comparison with MONAI's own run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError
from worker.domain.volume import Volume
from worker.importing import package_folder
from worker.importing.cost import measured
from worker.importing.frameworks import need, quiet
from worker.importing.images import to_itk, with_modality
from worker.importing.labels import read_codes, segments
from worker.importing.monai_bundle import Bundle, read_bundle, transforms_of
from worker.importing.monai_map import NotMappedError, inferer_of, map_transforms
from worker.importing.nnunet import labels_of
from worker.importing.onnx_export import INPUT, OUTPUT, export
from worker.importing.package_folder import Imported, Naming
from worker.importing.parity import NetParity, Parity, compare_labels, compare_scores
from worker.importing.ports import Runtime, Said

FRAMEWORK = "MONAI"
_VARYING = 64
"""Voxels per axis of the example for nets that take the whole image."""


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

    Raises
    ------
    ConfigurationError
        What ``read_bundle``, ``export`` and ``read_codes`` raise; ``bundle-not-mapped`` with the list of everything
        that has no equal step; ``folder-exists``.
    """
    said("reading the bundle")
    bundle = read_bundle(folder, trust=trust)
    channels, heads, inputs = _format(bundle)
    net_input, net_output = _tensors(bundle, heads)
    mapped = map_transforms(
        transforms_of(bundle.parts["preprocessing"]), transforms_of(bundle.parts["postprocessing"]), labels=channels
    )
    inference: dict[str, Any] = {}
    try:
        inference = inferer_of(
            bundle.parts["inferer"],
            net={"weights": "main", "input": net_input, "output": net_output},
        )
    except NotMappedError as error:
        mapped.missing.append(f"inferer: {error}")
    if inputs != 1:
        mapped.missing.append(f"network: {inputs} input channels; models of one input are supported")
    if mapped.missing:
        raise ConfigurationError(
            "This bundle cannot be carried over exactly. Without an equal:\n  " + "\n  ".join(mapped.missing),
            next_step="Nothing was written. Export the net (models import onnx) and write these steps by hand.",
            code="bundle-not-mapped",
        )
    table = {} if naming.codes is None else read_codes(naming.codes, labels=tuple(channels.values()))
    outputs = segments(channels, table)
    modality = naming.modality or _modality(bundle)
    made = package_folder.new_folder(target, naming)
    said("writing ONNX")
    digest = export(bundle.network, made / "model.onnx", shape=net_input["shape"])
    manifest = {
        **package_folder.frame(
            naming, framework=FRAMEWORK, weights={"main": ("model.onnx", digest)}, memory_mb=2000,
            per_voxel=16 + 12 * heads,
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
    todo = (*_todo(outputs.open_labels), *mapped.notes)
    comments = {
        "schema_version": "Everything in CAPITALS is to be replaced. `overread models check` explains what is wrong.",
        "input": "TO DO: which series it may run on: body part, protocol, spacing.",
        "preprocessing": "As the bundle prepares images; a change here gives other results than in training.",
    }
    if outputs.open_labels:
        comments["outputs.segments"] = f"TO DO: codes of {', '.join(outputs.open_labels)} (PS3.16 CID 7150, 7151)."
    package_folder.write_manifest(made, package_folder.with_segments(manifest, outputs.entries), comments=comments)
    with tempfile.TemporaryDirectory() as scratch:
        runnable = package_folder.provisional_copy(made, Path(scratch) / naming.name, manifest, outputs.entries)
        said("comparing the net with torch")
        parity = Parity(FRAMEWORK, _versions(), tuple(_compare_net(bundle, net_input["shape"], runnable, runtime)))
        if case is not None:
            parity = _compare_case(
                bundle, channels, with_modality(case, modality), runnable, parity, runtime, said, Path(scratch)
            )
    origin = f"Imported from the MONAI bundle {bundle.name} {bundle.version}".rstrip() + "."
    package_folder.write_card(made, naming, origin=origin, parity=parity, todo=todo)
    return Imported(made, runtime.problem(made), todo, parity)


def _format(bundle: Bundle) -> tuple[dict[int, str], int, int]:
    """Labels of the output's channels without the background, their number, and the number of input channels."""
    try:
        stated = bundle.metadata["network_data_format"]
        output = stated["outputs"]["pred"]
        names = {int(key): str(value) for key, value in output["channel_def"].items()}
        heads = int(output["num_channels"])
        inputs = int(next(iter(stated["inputs"].values()))["num_channels"])
    except (KeyError, ValueError, StopIteration, AttributeError) as error:
        raise ConfigurationError(
            "metadata.json does not say what the network's channels are (network_data_format.outputs.pred).",
            next_step="Complete it: channel_def names every channel.",
            code="bundle-incomplete",
        ) from error
    return {channel: name for channel, name in names.items() if name.lower() != "background"}, heads, inputs


def _tensors(bundle: Bundle, heads: int) -> tuple[dict[str, Any], dict[str, Any]]:
    inferer = bundle.parts["inferer"]
    roi = inferer.get("roi_size") if isinstance(inferer, Mapping) else None
    size = [int(one) for one in roi] if isinstance(roi, list) else [_VARYING] * 3
    return {"name": INPUT, "shape": ["N", 1, *size]}, {"name": OUTPUT, "shape": ["N", heads, *size]}


def _modality(bundle: Bundle) -> str:
    image = next(iter(bundle.metadata["network_data_format"]["inputs"].values()))
    return {"CT": "CT", "MR": "MR", "MRI": "MR", "PET": "PT"}.get(str(image.get("modality", "")).upper(), "CT")


def _compare_net(
    bundle: Bundle, shape: Sequence[int | str], folder: Path, runtime: Runtime
) -> list[NetParity]:  # fmt: skip
    (torch,) = need("torch")
    size = [1 if isinstance(one, str) else one for one in shape]
    batch = np.random.default_rng(0).normal(size=size).astype(np.float32)
    with torch.no_grad():
        framework = bundle.network(torch.from_numpy(batch)).numpy()
    return compare_scores(framework, runtime.scores(folder, "main", batch), weights="main")


def _compare_case(
    bundle: Bundle,
    channels: Mapping[int, str],
    case: Volume,
    folder: Path,
    parity: Parity,
    runtime: Runtime,
    said: Said,
    scratch: Path,
) -> Parity:
    said("running the package on the case")
    numbers = {number: label for number, (_, label) in enumerate(sorted(channels.items()), start=1)}
    conclusion, package_cost = measured(lambda: runtime.conclude(folder, case))
    said("running MONAI on the case")
    found, framework_cost = measured(lambda: monai_labels(bundle, case, scratch))
    theirs: NDArray[np.integer[Any]] = np.zeros(found.shape[1:], np.int32)
    for number, channel in enumerate(sorted(channels), start=1):
        theirs[(found[0] == channel) if len(found) == 1 else (found[channel] > 0)] = number
    return Parity(
        parity.framework,
        parity.versions,
        parity.nets,
        case.geometry.shape,
        tuple(round(one, 4) for one in case.geometry.spacing_mm),
        tuple(compare_labels(theirs, labels_of(conclusion, numbers), labels=numbers)),
        framework_cost,
        package_cost,
    )


def monai_labels(bundle: Bundle, case: Volume, scratch: Path) -> NDArray[np.float32]:
    """What the bundle's own transforms, inferer and network say: (channel, slice, row, column) on the case's grid."""
    torch, sitk, transforms = need("torch", "SimpleITK", "monai.transforms")
    path = scratch / "case.nii.gz"
    sitk.WriteImage(to_itk(case), str(path))
    key = next(iter(bundle.metadata["network_data_format"]["inputs"]))
    with quiet(), torch.no_grad():
        parser = bundle.parser
        for index, one in enumerate(_listed(parser.config["postprocessing"])):
            if str(one.get("_target_", "")).endswith("SaveImaged"):
                parser[f"postprocessing::transforms::{index}::_disabled_"] = True
        pre = parser.get_parsed_content("preprocessing")
        inferer = parser.get_parsed_content("inferer")
        data = pre({key: str(path)})
        data["pred"] = inferer(data[key][None], bundle.network)[0]
        data = parser.get_parsed_content("postprocessing")(data)
        found = data["pred"]
        if not any(name == "Invertd" for name, _ in transforms_of(bundle.parts["postprocessing"])):
            back = transforms.Invertd(keys="pred", transform=pre, orig_keys=key, nearest_interp=True, to_tensor=True)
            found = back(data)["pred"]
    return np.asarray(found, dtype=np.float32).transpose(0, 3, 2, 1)


def _listed(part: Any) -> Sequence[Mapping[str, Any]]:
    listed: Sequence[Mapping[str, Any]] = part.get("transforms", []) if isinstance(part, Mapping) else part
    return listed


def _todo(open_labels: Sequence[str]) -> tuple[str, ...]:
    codes = [f"Codes of {', '.join(open_labels)}: fill in category and type, or import again with --codes."]
    return (
        *(codes if open_labels else ()),
        "The words in CAPITALS in manifest.toml: use, training data, licence, manufacturer.",
        "The input contract, the guards and hardware.memory_mb: body part, protocol, plausible volumes.",
    )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("monai", "torch", "onnxruntime")}
