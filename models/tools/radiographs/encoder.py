"""The network of the classifier and the regression on chest radiographs."""

from __future__ import annotations

from networks import double_convolution
from torch import Tensor, nn

_WIDTHS = (12, 24, 36, 48, 64)


class RadiographEncoder(nn.Module):
    """Images [N,1,128,128] to numbers [N,outputs]."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        pairs = zip((1, *_WIDTHS[:-1]), _WIDTHS, strict=True)
        self.down = nn.ModuleList(double_convolution(i, o) for i, o in pairs)
        self.head = nn.Sequential(nn.Linear(_WIDTHS[-1] * 16, 48), nn.ReLU(inplace=True), nn.Linear(48, outputs))

    def forward(self, image: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(image, 2)
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
        # 4 x 4 places, because rotation shows as a difference of the sides.
        result: Tensor = self.head(x.flatten(1))
        return result
