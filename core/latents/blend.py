"""Blend remembered pixels into the decoded frame: memory keeps texture that a few tokens cannot carry.

Where memory shows nothing, the same network gives the decoded frame back the texture that one denoising step averages away; it
learns both against a critic (see `core.latents.critic`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Blend(nn.Module):
    """Decoded and remembered pixels -> the frame to show, and its disparity.

    Works at half and quarter resolution inside; sees both pictures, what is known to be remembered and how coarsely.
    """

    def __init__(self, width: int = 24):
        super().__init__()
        self.first = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(10 * 4, width, 3, padding=1), nn.SiLU())
        self.wide = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(width * 4, 2 * width, 1),
            nn.SiLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * width, 4 * width, 1),
            nn.PixelShuffle(2),
        )
        self.last = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 6 * 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        final = self.last[-2]
        assert isinstance(final, nn.Conv2d) and final.bias is not None
        nn.init.zeros_(final.weight)
        nn.init.zeros_(final.bias)

    def forward(self, decoded: Tensor, colour: Tensor, disparity: Tensor, valid: Tensor, coarseness: Tensor) -> Tensor:
        """All (N, c, H, W): decoded c=4, remembered colour c=3, disparity, valid and coarseness c=1 -> (N, 4, H, W)."""
        x = self.first(torch.cat([decoded, colour, disparity, valid, coarseness.clamp(-2, 2)], 1))
        out = self.last(F.silu(x + self.wide(x)))
        trust = torch.sigmoid(out[:, :2] + 4 * valid - 3)  # of colour, of disparity
        shares = torch.cat([trust[:, :1].expand(-1, 3, -1, -1), trust[:, 1:]], 1)
        return torch.lerp(decoded, torch.cat([colour, disparity], 1), shares) + out[:, 2:]
