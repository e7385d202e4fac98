"""The network: one axial CT slice in HU, coarse, to the region of the body that it shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = ("head or neck", "chest", "abdomen or pelvis", "other")
SIZE = 96
"""Rows and columns of the slice, 4 mm apart."""

_WIDTHS = (16, 24, 32, 48, 64)


class RegionNet(nn.Module):
    """Raw HU [N,1,96,96] to logits [N,4] in the order of ``CLASSES``; windows are part of the graph."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in _WIDTHS:
            layers += [
                nn.Conv2d(inputs, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
            inputs = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * inputs, len(CLASSES))

    def forward(self, hu: Tensor) -> Tensor:
        hu = hu.clamp(-1024.0, 1500.0)
        windows = [
            (hu.clamp(-1000.0, 100.0) + 450.0) / 550.0,
            hu.clamp(-200.0, 300.0) / 250.0,
            (hu.clamp(100.0, 1500.0) - 400.0) / 400.0,
        ]
        x = self.body(torch.cat(windows, dim=1))
        logits: Tensor = self.head(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))
        return logits
