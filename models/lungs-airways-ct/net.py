"""The network: a compact 2D U-Net that takes raw Hounsfield units and knows where the body is.

Everything that turns HU into what the convolutions see is part of the graph, so that a runtime can
only get one thing wrong: the grid.
"""

from __future__ import annotations

import torch
from contract import SIZE
from torch import Tensor, nn

CLASSES = ("background", "left lung", "right lung", "trachea and main bronchi")
"""Meaning of the output channels, in order."""

_WIDTHS = (16, 32, 48, 64, 96)


class ToFeatures(nn.Module):
    """HU image [N,1,H,W] to four input planes [N,4,H,W]: lung window, soft-tissue window, x, y.

    x grows toward Left and y toward Posterior; both are measured from the centroid of everything
    denser than -300 HU in the slice, in units of half the image (192 mm). Left and right lung look
    alike: only their place in the body tells them apart, and the body is seldom centred in the image.
    """

    def __init__(self) -> None:
        super().__init__()
        ramp = torch.linspace(-1.0, 1.0, SIZE)
        self.register_buffer("x", ramp.view(1, 1, 1, SIZE).expand(1, 1, SIZE, SIZE).clone(), persistent=False)
        self.register_buffer("y", ramp.view(1, 1, SIZE, 1).expand(1, 1, SIZE, SIZE).clone(), persistent=False)

    def forward(self, hu: Tensor) -> Tensor:
        hu = hu.clamp(-1024.0, 1024.0)
        lung_window = (hu.clamp(-1024.0, 0.0) + 512.0) / 512.0
        soft_window = hu.clamp(-250.0, 350.0) / 300.0
        body = (hu > -300.0).to(hu.dtype)
        mass = body.sum(dim=(2, 3), keepdim=True) + 1.0  # the 1 keeps an empty slice finite and centred
        x = self.x - (body * self.x).sum(dim=(2, 3), keepdim=True) / mass
        y = self.y - (body * self.y).sum(dim=(2, 3), keepdim=True) / mass
        return torch.cat([lung_window, soft_window, x, y], dim=1)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class LungNet(nn.Module):
    """HU slices [N,1,192,192] to logits [N,4,192,192]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = ToFeatures()
        inputs = [4, *_WIDTHS[:-1]]
        self.down = nn.ModuleList(_block(i, o) for i, o in zip(inputs, _WIDTHS, strict=True))
        pairs = list(zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True))
        self.up = nn.ModuleList(_block(deep + skip, skip) for deep, skip in pairs)
        self.head = nn.Conv2d(_WIDTHS[0], len(CLASSES), 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.features(image)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skip], dim=1))
        logits: Tensor = self.head(x)
        return logits
