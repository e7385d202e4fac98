"""What the networks are built of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions of 3 x 3 with batch normalisation and ReLU; rows and columns stay as many."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Planes [N, inputs, H, W] to logits [N, outputs, H, W] (U-Net, arXiv:1505.04597).

    ``widths`` are the channels from the finest to the coarsest level; each halves rows and columns, so that H and W are
    multiples of 2 to the power of ``len(widths) - 1``.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList(double_convolution(i, o) for i, o in zip((inputs, *widths[:-1]), widths, strict=True))
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(double_convolution(deep + skip, skip) for deep, skip in pairs)
        self.head = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, planes: Tensor) -> Tensor:
        x = planes
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skip], dim=1))
        logits: Tensor = self.head(x)
        return logits
