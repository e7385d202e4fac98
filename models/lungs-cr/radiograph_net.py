"""The networks on chest radiographs: a compact U-Net, and an encoder with one or more numbers at its end."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WIDTHS = (12, 24, 36, 48, 64)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class RadiographUNet(nn.Module):
    """Images [N,1,128,128] to logits [N,3,128,128]: background, left lung, right lung."""

    def __init__(self, size: int = 128) -> None:
        super().__init__()
        ramp = torch.linspace(-1.0, 1.0, size)
        self.register_buffer("x", ramp.view(1, 1, 1, size).expand(1, 1, size, size).clone(), persistent=False)
        inputs = [2, *_WIDTHS[:-1]]
        self.down = nn.ModuleList(_block(i, o) for i, o in zip(inputs, _WIDTHS, strict=True))
        pairs = list(zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True))
        self.up = nn.ModuleList(_block(deep + skip, skip) for deep, skip in pairs)
        self.head = nn.Conv2d(_WIDTHS[0], 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        # Left and right lung look alike: which one it is, is where it is.
        x = torch.cat([image, self.x.expand(image.shape[0], -1, -1, -1)], dim=1)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skip], dim=1))
        logits: Tensor = self.head(x)
        return logits


class RadiographEncoder(nn.Module):
    """Images [N,1,128,128] to numbers [N,outputs]."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        widths = (12, 24, 36, 48, 64)
        self.down = nn.ModuleList(_block(i, o) for i, o in zip((1, *widths[:-1]), widths, strict=True))
        self.head = nn.Sequential(nn.Linear(widths[-1] * 16, 48), nn.ReLU(inplace=True), nn.Linear(48, outputs))

    def forward(self, image: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(image, 2)
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
        # 4 x 4 places, because rotation shows as a difference of the sides.
        result: Tensor = self.head(x.flatten(1))
        return result
