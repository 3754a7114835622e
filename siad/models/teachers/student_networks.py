"""Networks of the student-teacher method.

Shape suffixes: B = batch, C = channels, D = features of a position, H, W = size of the input, h, w = grid of stride 8.
"""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

_CODE: Final = 64  # numbers that the autoencoder compresses an image to
_GRID: Final = 32  # positions each way of the autoencoder's input and output


class Student(nn.Module):
    """Predicts features and the autoencoder's output.

    [B, C, 2h, 2w] to twice [B, D, h, w].
    """

    def __init__(self, inputs: int, features: int, *, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, width, 3, stride=2, padding=1)
        self.around = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(4))
        self.leave = nn.Conv2d(width, 2 * features, 1)

    def forward(self, shallow_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the features, and the autoencoder's output."""
        x = self.enter(shallow_BCHW)
        for layer in self.around:
            x = x + layer(functional.relu(x))
        local, whole = self.leave(functional.relu(x)).chunk(2, 1)
        return local, whole


class FeatureAutoencoder(nn.Module):
    """Predicts features from 64 numbers about the image.

    [B, C, H, W] to [B, D, 32, 32].
    """

    def __init__(self, inputs: int, features: int, *, width: int) -> None:
        super().__init__()
        sizes = ((inputs, width), (width, width), (width, width))
        self.down = nn.ModuleList(nn.Conv2d(one, other, 4, stride=2, padding=1) for one, other in sizes)
        self.middle = nn.Conv2d(width, _CODE, _GRID // 8)
        self.first = nn.Conv2d(_CODE, width * 16, 1)
        self.up = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.leave = nn.Conv2d(width, features, 3, padding=1)

    def forward(self, shallow_BCHW: Tensor) -> Tensor:
        """Encode and decode."""
        x = functional.adaptive_avg_pool2d(shallow_BCHW, (_GRID, _GRID))
        for layer in self.down:
            x = functional.relu(layer(x))
        x = functional.relu(self.first(self.middle(x)))
        x = functional.pixel_shuffle(x, 4)
        for layer in self.up:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear")
            x = functional.relu(layer(x))
        out: Tensor = self.leave(x)
        return out
