"""A critic beside a network that draws: it tells drawn images from true ones, and the network learns not to be told.

Niu et al. 2021, Positive-sample-based surface defect detection using memory-augmented adversarial autoencoders,
IEEE/ASME Transactions on Mechatronics, put one beside a memory: what is drawn from few remembered places is smooth, and
a critic of small patches asks for the grain of good parts back, so that grain is no residual. That idea alone is from
there; the paper was not at hand when this was written. The critic is that of patches by Isola et al. 2017
(arXiv:1611.07004, section 3.2.2), the losses are the least squares of Mao et al. 2017 (arXiv:1611.04076, eq. 9, with
labels 0 and 1):

    critic   1/2 mean (D(x) - 1)^2 + 1/2 mean D(x')^2,      network   mean (D(x') - 1)^2

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = grid of stride 8, a patch a place.
"""

from typing import Final

import torch
from torch import Tensor, nn

_RATE: Final = 4e-4  # under the network's, lest the critic is always right and teaches nothing


class Critic(nn.Sequential):
    """Three convolutions at stride 2 and a judgement: [B, 3, H, W] to [B, 1, h, w], 1 for true patches."""

    def __init__(self, *, width: int) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 2 * width)):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(2 * width, 1, 3, padding=1))


class Adversary:
    """A critic that learns while it is asked. Left behind when the network is done."""

    def __init__(self, *, width: int, device: torch.device) -> None:
        self.critic = Critic(width=width).to(device)
        self._optimizer = torch.optim.Adam(self.critic.parameters(), lr=_RATE, betas=(0.5, 0.999))

    def teach(self, images_BCHW: Tensor, again_BCHW: Tensor) -> float:
        """Take one step of the critic on true and drawn images, and give its loss."""
        true, drawn = self.critic(images_BCHW), self.critic(again_BCHW.detach())
        loss = 0.5 * (true - 1).square().mean() + 0.5 * drawn.square().mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())

    def blame(self, again_BCHW: Tensor) -> Tensor:
        """What the network has to lower: a scalar, 0 where the critic takes all patches for true."""
        blame: Tensor = (self.critic(again_BCHW) - 1).square().mean()
        return blame
