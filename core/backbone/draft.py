"""A draft of a frame: what a state looks like, drawn from its numbers alone.

Where what is measured of a frame says nearly all that is to be seen of it, its latents follow from the numbers. That is learnt
first, in minutes, and shown to the backbone, which has seen the pictures before too and imagines the rest. A dream then stays
as sharp as it began however long it lasts: every frame is drawn afresh, from what is foreseen of the state.

Shape letters: S numbers of a state, V cameras, C x h x w a latent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.backbone.transformer import FrameShape

WIDTH = 256
"""Of the layers that draw."""
OCTAVES = 2
"""Frequencies at which each number is read beside its plain value: edges move sharply with them."""


class Draft(nn.Module):
    """Latents of frames from their states."""

    typical: Tensor
    """(V, C, h, w) the mean frame."""
    octaves: Tensor

    def __init__(self, shape: FrameShape):
        super().__init__()
        frame = (shape.cameras, shape.channels, shape.rows, shape.columns)
        self.register_buffer("typical", torch.zeros(frame))
        self.register_buffer("octaves", 2.0 ** torch.arange(OCTAVES), persistent=False)
        self.network = nn.Sequential(
            nn.Linear(shape.state * (1 + 2 * OCTAVES), WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, self.typical.numel()),
        )

    def forward(self, told: Tensor) -> Tensor:
        """States (..., S), in the units of `StateHead`, as latents (..., V, C, h, w)."""
        turns = (told[..., None] * self.octaves).flatten(-2)
        drawn = self.network(torch.cat([told, turns.sin(), turns.cos()], -1))
        return self.typical + drawn.unflatten(-1, self.typical.shape)
