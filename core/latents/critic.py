"""The critic tells imagined pictures from real ones, patch by patch: a blur must not win (PatchGAN, arXiv 1611.07004)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm

SCORE_STRIDE = 8
"""Pixels from one score to the next."""


class Critic(nn.Module):
    """Pictures beside what memory showed of them -> a score for every patch of 8 x 8 pixels, which sees about 40 around it.

    Spectrally normalized (arXiv 1802.05957), trained with the hinge loss. Used in training alone; never saved with a world.
    """

    def __init__(self, channels: int, width: int = 32):
        super().__init__()
        sizes = (channels, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for before, after in zip(sizes, sizes[1:]):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        self.network = nn.Sequential(*layers, spectral_norm(nn.Conv2d(sizes[-1], 1, 3, padding=1)))

    def forward(self, picture: Tensor, beside: Tensor) -> Tensor:
        """(N, c, H, W) and (N, d, H, W), c + d = channels -> (N, 1, H / 8, W / 8); higher is more real."""
        return self.network(torch.cat([picture, beside], 1))

    def losses(self, fake: Tensor, real: Tensor, beside: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(what the maker of `fake` should make smaller, what the critic itself should).

        `weight` (N, 1, H, W) says where the pictures matter. Neither loss moves the other's parameters.
        """
        share = F.avg_pool2d(weight, SCORE_STRIDE)
        mean = lambda x: (x * share).sum() / share.sum().clamp(min=1.0)  # noqa: E731
        own = mean(F.relu(1 - self(real, beside))) + mean(F.relu(1 + self(fake.detach(), beside)))
        fixed = {n: p.detach() for n, p in [*self.named_parameters(), *self.named_buffers()]}
        return -mean(functional_call(self, fixed, (fake, beside))), own
