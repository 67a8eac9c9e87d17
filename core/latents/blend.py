"""Blend remembered pixels into the decoded frame: memory keeps texture that a few tokens cannot carry.

Where memory shows nothing, the same network gives the decoded frame back the texture that one denoising step averages away; it
learns both against a critic (see `core.latents.critic`). A world that comes with sketches has their edges and depth drawn on
in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.memory.sketch import Sketch
from core.memory.spatial import Views

PICTURES, SKETCHES = 10, 6
"""Channels of the decoded and the remembered frame, and of a sketch."""
MEMORY_TRUST, SKETCH_TRUST = (4.0, 3.0), (0.0, 2.0)
"""Before anything is learnt, a pixel is believed by sigmoid(a valid - b), of memory and of a sketch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlendConfig:
    width: int = 24
    """Channels at half resolution; twice as many at a quarter, and four times at an eighth."""
    deep: bool = False
    """Whether it works at an eighth of the resolution too."""


class Unshuffle(nn.PixelUnshuffle):
    """The same in the layout that convolutions work in. Turned as a matrix one image takes a quarter of the time."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        if len(x) > 1:
            return x.contiguous(memory_format=torch.channels_last)
        return x[0].flatten(1).T.contiguous().view(1, *x.shape[2:], -1).permute(0, 3, 1, 2)


class Blend(nn.Module):
    """Decoded and remembered pixels, and a sketch where there is one -> the frame to show, and its disparity.

    Works at half and quarter resolution inside; sees all pictures, what is known to be remembered and how coarsely.
    """

    def __init__(self, config: BlendConfig, near: float, sketch: bool):
        super().__init__()
        self.near, self.sketch, width = near, sketch, config.width
        channels = PICTURES + SKETCHES * sketch
        self.first = nn.Sequential(Unshuffle(2), nn.Conv2d(channels * 4, width, 3, padding=1), nn.SiLU())
        self.wide = _coarser(width)
        self.deep = _coarser(2 * width) if config.deep else None
        out = 8 if sketch else 6
        self.last = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, out * 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        final = self.last[-2]
        assert isinstance(final, nn.Conv2d) and final.bias is not None
        nn.init.zeros_(final.weight)
        nn.init.zeros_(final.bias)

    def forward(self, decoded: Tensor, rendering: Views, sketch: Sketch | None = None) -> Tensor:
        """Decoded (N, 4, H, W), what memory shows of N views and what is known of them -> (N, 4, H, W)."""
        colour, depth, valid, coarseness = rendering
        remembered = torch.cat([colour, (self.near / depth.clamp(min=1e-3)).clamp(0, 1)[:, None]], 1)
        valid = valid[:, None]
        seen = [decoded, remembered, valid, coarseness[:, None].clamp(-2, 2)]
        base = decoded
        if self.sketch:
            assert sketch is not None
            drawn = torch.cat([sketch.colour, sketch.disparity(self.near)[:, None]], 1)
            told = sketch.told[:, None].expand_as(valid)
            seen += [drawn, sketch.moving[:, None], told]
            out = self._network(torch.cat(seen, 1))
            base = torch.lerp(base, drawn, _shares(out[:, 6:], told, SKETCH_TRUST) * told)
        else:
            out = self._network(torch.cat(seen, 1))
        return torch.lerp(base, remembered, _shares(out[:, :2], valid, MEMORY_TRUST)) + out[:, 2:6]

    def _network(self, seen: Tensor) -> Tensor:
        x = self.first(seen)
        if self.deep is None:
            return self.last(F.silu(x + self.wide(x)))
        coarse = self.wide[:INSIDE](x)
        return self.last(F.silu(x + self.wide[INSIDE:](F.silu(coarse + self.deep(coarse)))))


INSIDE = 6
"""So many layers of `_coarser` lead to where a coarser one may be put in."""


def _coarser(width: int) -> nn.Sequential:
    """(N, width, H, W) -> the same, by way of half the resolution and twice the channels."""
    return nn.Sequential(
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


def _shares(out: Tensor, where: Tensor, trust: tuple[float, float]) -> Tensor:
    """How far a picture (N, 4, H, W) is believed, from logits (N, 2, H, W) of its colour and its disparity."""
    share = torch.sigmoid(out + trust[0] * where - trust[1])
    return torch.cat([share[:, :1].expand(-1, 3, -1, -1), share[:, 1:]], 1)
