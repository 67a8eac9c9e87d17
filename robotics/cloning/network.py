"""The network that imitates: each camera's picture becomes a few points in it, and these the next actions.

The points are spatial softmaxes (Finn et al., arXiv 1509.06113): few weights to learn, so that few demonstrations do.
Shape letters: B batch, V cameras, H height, W width, P proprioception, A action size, C actions of a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import weights
from core.errors import ZoetropeError

NAME, REMEDY = "policy", "train it with: zoetrope robot clone"
"""Of the files that hold it."""
GROUPS = 8
"""Channels are normalized in this many groups."""
SHARPNESS = 4.0
"""Standard deviation of a map's logits at first: most of a point's weight lies on a few places, not on all."""
REACH = 10.0
"""Points are told between -REACH and REACH, their picture's borders."""
GAIN = 3.0
"""Standard deviation of proprioception as it is told. Inputs this wide let few steps learn an action that turns abruptly."""
LEAST_SPREAD = 1e-3
"""A number of proprioception that differs less between frames (metres) is not made larger than so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """Sizes that are free to choose."""

    fold: int = 4
    """Pixels on a side that are folded into channels before the first convolution."""
    channels: tuple[int, ...] = (32, 32)
    """Of the convolutions, none of which shrinks the picture."""
    points: int = 32
    """In each camera's picture."""
    hidden: int = 192
    chunk: int = 4
    """C: actions that it gives at once."""

    def __post_init__(self) -> None:
        if not self.channels or any(c % GROUPS for c in self.channels):
            raise ZoetropeError(f"cloned policy: channels must be multiples of {GROUPS}, and at least one")
        for name in ("fold", "points", "hidden", "chunk"):
            if getattr(self, name) < 1:
                raise ZoetropeError(f"cloned policy: {name} must be at least 1, found {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """What it reads and gives, and its design."""

    cameras: int
    height: int
    width: int
    proprioception: int
    action: int
    design: Design = field(default_factory=Design)

    def __post_init__(self) -> None:
        if self.height % self.design.fold or self.width % self.design.fold:
            raise ZoetropeError(f"cloned policy: height and width must be multiples of fold, {self.design.fold}")


class Eye(nn.Module):
    """One camera's picture to points in it."""

    grid: Tensor

    def __init__(self, config: NetworkConfig):
        super().__init__()
        design = config.design
        sizes = (3 * design.fold**2, *design.channels)
        self.layers = nn.Sequential(
            *(
                part
                for a, b in zip(sizes, sizes[1:])
                for part in (nn.Conv2d(a, b, 3, 1, 1), nn.GroupNorm(GROUPS, b), nn.SiLU())
            ),
            nn.Conv2d(sizes[-1], design.points, 1),
            nn.GroupNorm(design.points, design.points),  # each map by itself: what is meant stands out from the first step
        )
        nn.init.constant_(self.layers[-1].weight, SHARPNESS)  # type: ignore[arg-type]
        along = [torch.linspace(-REACH, REACH, size // design.fold) for size in (config.width, config.height)]
        x, y = torch.meshgrid(*along, indexing="xy")
        self.register_buffer("grid", torch.stack([x, y], -1).flatten(0, 1), persistent=False)

    def forward(self, folded: Tensor) -> Tensor:
        """Folded pixels (B, 3 * fold**2, h, w) -> across and down where each point lies, (B, 2 * points)."""
        share = self.layers(folded).flatten(2).softmax(-1)
        return (share @ self.grid).flatten(1)


class Network(nn.Module):
    """Pictures and proprioception to the next C actions."""

    centre: Tensor
    spread: Tensor

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config, design = config, config.design
        self.eyes = nn.ModuleList(Eye(config) for _ in range(config.cameras))
        told = 2 * design.points * config.cameras + config.proprioception
        self.head = nn.Sequential(
            nn.Linear(told, design.hidden),
            nn.SiLU(),
            nn.Linear(design.hidden, design.hidden),
            nn.SiLU(),
            nn.Linear(design.hidden, design.chunk * config.action),
        )
        self.register_buffer("centre", torch.zeros(config.proprioception))
        self.register_buffer("spread", torch.ones(config.proprioception))

    def see_in(self, proprioception: Tensor) -> None:
        """Take the mean and the spread of proprioception (N, P), in which it will be read."""
        self.centre.copy_(proprioception.mean(0))
        self.spread.copy_(proprioception.std(0, correction=0).clamp(min=LEAST_SPREAD))

    def forward(self, frames: Tensor, proprioception: Tensor) -> Tensor:
        """uint8 (B, V, H, W, 3) and float (B, P) -> actions (B, C, A), in [-1, 1] but for what a policy clips."""
        known = GAIN * (proprioception - self.centre) / self.spread
        seen = [eye(pixels) for eye, pixels in zip(self.eyes, self._fold(frames))]
        return self.head(torch.cat([*seen, known], 1)).unflatten(1, (self.config.design.chunk, self.config.action))

    def loss(self, frames: Tensor, proprioception: Tensor, action: Tensor, weight: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Smooth L1 to the actions (B, C, A) that were done, each counted by its weight (B, C); and the next one's error."""
        told = self(frames, proprioception)
        off = F.smooth_l1_loss(told, action, beta=0.1, reduction="none").mean(-1)
        error = (told[:, 0] - action[:, 0]).detach().abs().mean()
        return (off * weight).sum() / weight.sum().clamp(min=1e-6), {"error": float(error)}

    def save(self, folder: Path) -> None:
        """Write config and weights into `folder`, atomically."""
        weights.save(self, self.config, folder, NAME, lambda _, tensor: tensor.ndim < 2)

    @staticmethod
    def load(folder: Path) -> Network:
        """Read it. Raises ZoetropeError when anything is missing, cut short or of another architecture."""
        return weights.load(Network, NetworkConfig, folder, NAME, REMEDY)

    def _fold(self, frames: Tensor) -> Tensor:
        """uint8 (B, V, H, W, 3) -> float (V, B, 3 * fold**2, H / fold, W / fold) about zero."""
        b, v, h, w, c = frames.shape
        f = self.config.design.fold
        folded = frames.reshape(b, v, h // f, f, w // f, f, c).permute(1, 0, 6, 3, 5, 2, 4)
        pixels = folded.to(torch.float32, memory_format=torch.contiguous_format).div_(255).sub_(0.5)
        return pixels.flatten(2, 4)
