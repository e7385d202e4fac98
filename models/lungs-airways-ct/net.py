"""The network: a compact 2D U-Net that takes raw Hounsfield units and knows where the body is.

Everything that turns HU into what the convolutions see is part of the graph, so that a runtime can
only get one thing wrong: the grid.
"""

from __future__ import annotations

import torch
from contract import SIZE
from networks import UNet
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


class LungNet(UNet):
    """HU slices [N,1,192,192] to logits [N,4,192,192]."""

    def __init__(self) -> None:
        super().__init__(inputs=4, outputs=len(CLASSES), widths=_WIDTHS)
        self.features = ToFeatures()

    def forward(self, hu: Tensor) -> Tensor:
        return super().forward(self.features(hu))
