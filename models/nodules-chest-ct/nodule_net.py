"""The network: five neighbouring slices in HU to a heat map of nodules on the middle one."""

from __future__ import annotations

import torch
from networks import UNet
from torch import Tensor, nn

_WIDTHS = (16, 24, 40, 64)


class NoduleNet(UNet):
    """Raw HU [N,5,H,W], H and W multiples of 8, to logits [N,1,H,W]; windows are part of the graph."""

    def __init__(self, channels: int = 5) -> None:
        super().__init__(inputs=2 * channels, outputs=1, widths=_WIDTHS)
        nn.init.constant_(self.head.bias, -4.0)  # type: ignore[arg-type]

    def forward(self, hu: Tensor) -> Tensor:
        hu = hu.clamp(-1024.0, 1024.0)
        windows = [(hu.clamp(-1000.0, 100.0) + 450.0) / 550.0, hu.clamp(-200.0, 300.0) / 250.0]
        return super().forward(torch.cat(windows, dim=1))
