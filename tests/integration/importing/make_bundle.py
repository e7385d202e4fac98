"""Make a MONAI bundle: a UNet that was trained for a handful of steps on phantoms, and its configuration."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from tests.integration.importing.train_nnunet import a_body

if TYPE_CHECKING:
    from monai.networks.nets import UNet

NETWORK = {
    "spatial_dims": 3, "in_channels": 1, "out_channels": 3, "channels": [8, 16, 16], "strides": [2, 2],
    "num_res_units": 1, "norm": "instance",
}  # fmt: skip
ROI = [32, 32, 16]
STEPS = 40


@cache
def train(seed: int = 0, heads: int = 3) -> UNet:
    """Adam on random windows of phantoms; axes (x, y, z) as in the bundle."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    # Here: to import MONAI takes seconds, which every process would spend that collects the tests.
    from monai.losses import DiceCELoss
    from monai.networks.nets import UNet

    net = UNet(**{**NETWORK, "out_channels": heads})
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    loss = DiceCELoss(to_onehot_y=heads > 1, softmax=heads > 1, sigmoid=heads == 1)
    cases = [a_body((20, 44, 48), seed=number, modality="CT") for number in range(3)]
    for _ in range(STEPS):
        images, labels = [], []
        for values, truth in (cases[rng.integers(len(cases))] for _ in range(2)):
            start = [int(rng.integers(0, n - w + 1)) for n, w in zip(values.shape, ROI[::-1], strict=True)]
            box = tuple(slice(first, first + w) for first, w in zip(start, ROI[::-1], strict=True))
            # RAS against the LPS of the phantom: x and y are reversed.
            images.append(np.clip((values[box] + 100) / 400, 0, 1).transpose(2, 1, 0)[::-1, ::-1].copy())
            labels.append(truth[box].transpose(2, 1, 0)[::-1, ::-1].copy())
        optimiser.zero_grad()
        found = net(torch.from_numpy(np.stack(images)[:, None].astype(np.float32)))
        wanted = torch.from_numpy(np.stack(labels)[:, None].astype(np.int64))
        loss(found, wanted.clamp(max=heads - 1) if heads > 1 else (wanted > 0).float()).backward()
        optimiser.step()
    return net.eval()


def write_bundle(
    folder: Path,
    *,
    scripted: bool = False,
    changes: dict[str, Any] | None = None,
    as_yaml: bool = False,
    channels: tuple[str, ...] = ("background", "liver", "phantom lesion"),
) -> Path:
    """The bundle's folder. ``changes`` replace sections of inference.json (or .yaml)."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    heads = len(channels)
    net = train(heads=heads)
    if scripted:
        torch.jit.script(net).save(str(folder / "models/model.ts"))
    else:
        torch.save(net.state_dict(), folder / "models/model.pt")
    config: dict[str, Any] = {
        "spacing": [1.6, 1.6, 3.0],
        "network_def": {"_target_": "UNet", **NETWORK, "out_channels": heads},
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": "@spacing", "mode": "bilinear"},
                {
                    "_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -100, "a_max": 300, "b_min": 0.0,
                    "b_max": 1.0, "clip": True,
                },
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer", "roi_size": ROI, "sw_batch_size": 2, "overlap": 0.5, "mode": "gaussian",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
                    "nearest_interp": False, "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1, 2]},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "eval"},
            ],
        },
    }  # fmt: skip
    config.update(changes or {})
    metadata = {
        "name": "Phantom organs",
        "version": "0.1.0",
        "network_data_format": {
            "inputs": {"image": {"type": "image", "modality": "CT", "num_channels": 1, "spatial_shape": ROI}},
            "outputs": {
                "pred": {
                    "type": "image", "num_channels": heads,
                    "channel_def": {str(number): name for number, name in enumerate(channels)},
                },
            },
        },
    }  # fmt: skip
    if as_yaml:
        (folder / "configs/inference.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    else:
        (folder / "configs/inference.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "configs/metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return folder
