"""Blend remembered pixels into the decoded frame by a learnt mask: memory keeps texture that a few tokens cannot carry."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Blend(nn.Module):
    """Decoded and remembered pixels -> the frame to show, and its disparity.

    Works at half resolution inside; sees both pictures, what is known to be remembered and how coarsely.
    """

    def __init__(self, width: int = 32):
        super().__init__()
        self.network = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(10 * 4, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 5 * 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        last = self.network[-2]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, decoded: Tensor, colour: Tensor, disparity: Tensor, valid: Tensor, coarseness: Tensor) -> Tensor:
        """All (N, c, H, W): decoded c=4, remembered colour c=3, disparity, valid and coarseness c=1 -> (N, 4, H, W)."""
        out = self.network(torch.cat([decoded, colour, disparity, valid, coarseness.clamp(-2, 2)], 1))
        trust = torch.sigmoid(out[:, :1] + 4 * valid - 3)
        remembered = torch.cat([colour, disparity], 1) + F.pad(0.25 * out[:, 1:4], (0, 0, 0, 0, 0, 1))
        trust_depth = torch.sigmoid(out[:, 4:5] + 4 * valid - 3)
        shares = torch.cat([trust.expand(-1, 3, -1, -1), trust_depth], 1)
        return shares * remembered + (1 - shares) * decoded
