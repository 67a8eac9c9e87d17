"""The yardstick: a pixel diffusion world model in the shape of DIAMOND's (arXiv 2405.12399), for comparing speed alone.

4.4 M parameters on 64x64 pixels: a U-Net over the noisy next frame and four past frames stacked as channels, 64 channels at
each of four resolutions, two residual blocks a resolution on the way down and three on the way up, attention at the bottom,
adaptive group norm from noise level and actions, three denoising steps a frame. The weights are random: what a frame costs does
not depend on them. Only the shape is the peer's; the code is our own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class YardstickConfig:
    size: int = 64
    """Pixels along each side of the frame."""
    past: int = 4
    """Frames it sees."""
    steps: int = 3
    """Denoising steps a frame."""
    width: int = 64
    """Channels at every resolution."""
    levels: int = 4
    blocks: int = 2
    """Residual blocks a resolution on the way down."""
    condition: int = 256
    """Size of the conditioning vector."""
    actions: int = 18


class AdaptiveNorm(nn.Module):
    """Group norm whose scale and shift come from the conditioning vector."""

    def __init__(self, width: int, condition: int):
        super().__init__()
        self.groups = max(1, width // 32)
        self.modulate = nn.Linear(condition, 2 * width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, dim=1)
        return F.group_norm(x, self.groups) * (1 + scale) + shift


class Block(nn.Module):
    """Two convolutions around adaptive norms, optionally followed by self-attention over the picture."""

    def __init__(self, inside: int, outside: int, condition: int, attention: bool = False):
        super().__init__()
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()
        self.first_norm, self.second_norm = AdaptiveNorm(inside, condition), AdaptiveNorm(outside, condition)
        self.first, self.second = nn.Conv2d(inside, outside, 3, padding=1), nn.Conv2d(outside, outside, 3, padding=1)
        self.attention = SelfAttention(outside) if attention else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        out = self.first(F.silu(self.first_norm(x, condition)))
        out = self.second(F.silu(self.second_norm(out, condition)))
        return self.attention(out + self.skip(x))


class SelfAttention(nn.Module):
    def __init__(self, width: int, head: int = 8):
        super().__init__()
        self.heads = width // head
        self.norm = nn.GroupNorm(max(1, width // 32), width)
        self.project, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(self.norm(x)).unflatten(1, (3, self.heads, -1)).flatten(-2).transpose(-1, -2).unbind(1)
        return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(x.shape))


class Yardstick(nn.Module):
    """The denoiser and its three-step sampler: past frames and actions in, next frame out."""

    def __init__(self, config: YardstickConfig | None = None):
        super().__init__()
        c = self.config = config or YardstickConfig()
        width, condition = c.width, c.condition
        self.register_buffer("frequencies", torch.randn(condition // 2, generator=torch.Generator().manual_seed(0)))
        self.actions = nn.Embedding(c.actions, condition // c.past)
        self.condition = nn.Sequential(nn.Linear(condition, condition), nn.SiLU(), nn.Linear(condition, condition))
        self.enter = nn.Conv2d(3 * (c.past + 1), width, 3, padding=1)
        self.down = nn.ModuleList(
            nn.ModuleList(Block(width, width, condition) for _ in range(c.blocks)) for _ in range(c.levels)
        )
        self.shrink = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(c.levels - 1))
        self.middle = nn.ModuleList(Block(width, width, condition, attention=True) for _ in range(2))
        self.up = nn.ModuleList(
            nn.ModuleList(Block(2 * width, width, condition) for _ in range(c.blocks + 1)) for _ in range(c.levels)
        )
        self.grow = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(c.levels - 1))
        self.leave_norm, self.leave = nn.GroupNorm(max(1, width // 32), width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, noisy: Tensor, past: Tensor, actions: Tensor, level: Tensor) -> Tensor:
        """noisy (B, 3, S, S), past (B, 3 past, S, S), actions (B, past), log noise level (B,) -> clean frame (B, 3, S, S)."""
        angle = 2 * math.pi * level[:, None] * self.frequencies  # type: ignore[operator]
        condition = self.condition(torch.cat([angle.cos(), angle.sin()], -1) + self.actions(actions).flatten(1))
        x = self.enter(torch.cat([noisy, past], 1))
        kept = []
        for depth, blocks in enumerate(self.down):
            if depth:
                x = self.shrink[depth - 1](x)
            kept.append(x)
            for block in blocks:  # type: ignore[union-attr]
                x = block(x, condition)
                kept.append(x)
        for block in self.middle:
            x = block(x, condition)
        for depth, blocks in enumerate(self.up):
            if depth:
                x = self.grow[depth - 1](F.interpolate(x, scale_factor=2.0, mode="nearest"))
            for block in blocks:  # type: ignore[union-attr]
                x = block(torch.cat([x, kept.pop()], 1), condition)
        return self.leave(F.silu(self.leave_norm(x)))

    @torch.no_grad()
    def imagine(self, past: Tensor, actions: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One frame by Euler steps from noise 5 down to 0 (EDM's schedule): (B, 3 past, S, S) -> (B, 3, S, S)."""
        c = self.config
        ramp = torch.linspace(0, 1, c.steps)
        sigmas = [*((5 ** (1 / 7) + ramp * (2e-3 ** (1 / 7) - 5 ** (1 / 7))) ** 7).tolist(), 0.0]
        x = torch.randn(len(past), 3, c.size, c.size, generator=generator) * sigmas[0]
        for sigma, following in zip(sigmas, sigmas[1:]):
            scale = 1 / math.sqrt(sigma**2 + 0.25)
            clean = self(x * scale, past, actions, torch.full((len(past),), math.log(sigma) / 4))
            x = clean + (x - clean) * (following / sigma)
        return x

    @property
    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())
