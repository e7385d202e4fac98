"""The network: five neighbouring slices in HU to a heat map of nodules on the middle one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WIDTHS = (16, 24, 40, 64)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class NoduleNet(nn.Module):
    """Raw HU [N,5,H,W], H and W multiples of 8, to logits [N,1,H,W]; windows are part of the graph."""

    def __init__(self, channels: int = 5) -> None:
        super().__init__()
        inputs = [2 * channels, *_WIDTHS[:-1]]
        self.down = nn.ModuleList(_block(i, o) for i, o in zip(inputs, _WIDTHS, strict=True))
        pairs = list(zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True))
        self.up = nn.ModuleList(_block(deep + skip, skip) for deep, skip in pairs)
        self.head = nn.Conv2d(_WIDTHS[0], 1, 1)
        nn.init.constant_(self.head.bias, -4.0)  # type: ignore[arg-type]

    def forward(self, hu: Tensor) -> Tensor:
        hu = hu.clamp(-1024.0, 1024.0)
        x = torch.cat([(hu.clamp(-1000.0, 100.0) + 450.0) / 550.0, hu.clamp(-200.0, 300.0) / 250.0], dim=1)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skip], dim=1))
        logits: Tensor = self.head(x)
        return logits
