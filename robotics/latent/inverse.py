"""Goal-conditioned inverse dynamics on frozen embeddings: from here to there in so many frames, by which actions?

One network for two uses: asked about a far goal it is the amortized planner (GC-IDM, arXiv 2605.08732), asked about the next
frame it tells the action that was done there, with a confidence, for recordings and dreams that come without actions.
Shape letters as in `model`, and C for the frames of a chunk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from core import weights
from core.errors import ZoetropeError
from robotics.latent.model import REMEDY, LeWorldModel, Past

NAME, PLANNER = "inverse", "planner"
"""Of the files that hold it: as it tells what was done, and as it was taught to plan."""
TOLERANCE = 0.25
"""Confidence is the probability that no component of an action is further off than this; actions lie in [-1, 1]."""
LEAST, MOST = math.log(0.02), math.log(2.0)
"""Bounds of the logarithm of a told standard deviation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InverseConfig:
    """Sizes of the network."""

    embedding: int
    """D of the model whose embeddings it reads."""
    action: int
    chunk: int = 5
    """C: actions it gives at once."""
    reach: int = 50
    """Frames to the farthest goal it learns."""
    width: int = 384
    layers: int = 3
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.chunk <= self.reach:
            raise ZoetropeError("inverse dynamics: chunk must be 1 to reach")


class Actions(NamedTuple):
    """What the network says of each action of a chunk, (B, C, A) both."""

    mean: Tensor
    spread: Tensor
    """Standard deviation."""


class InverseDynamics(nn.Module):
    """Residual layers over here, there, the way between and the time for it."""

    def __init__(self, config: InverseConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.into = nn.Linear(3 * config.embedding + 2, width)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Dropout(config.dropout), nn.Linear(width, width)
            )
            for _ in range(config.layers)
        )
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * config.chunk * config.action))

    def forward(self, here: Tensor, there: Tensor, left: Tensor) -> Actions:
        """Embeddings (B, D) both, the frames between them (B,), at most `reach`; the first `left` actions of a chunk count."""
        frames = left.float().clamp(1, self.config.reach)[:, None]
        time = torch.cat([1 / frames, frames.log() / math.log(max(2, self.config.reach))], 1)
        x = self.into(torch.cat([here, there, there - here, time], 1))
        for layer in self.layers:
            x = x + layer(x)
        mean, spread = self.out(x).unflatten(1, (2, self.config.chunk, self.config.action)).unbind(1)
        return Actions(torch.tanh(mean), torch.exp(LEAST + (MOST - LEAST) * torch.sigmoid(spread)))

    def loss(
        self, here: Tensor, there: Tensor, left: Tensor, action: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Likelihood of the actions (B, C, A) that were done, those before the goal was there; and their mean error."""
        with torch.random.fork_rng(devices=[]):  # dropout knows only the global generator
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            told = self(here, there, left)
        counts = (torch.arange(action.shape[1]) < left[:, None]).float()[..., None].expand_as(action)
        off = (told.mean - action) / told.spread
        value = ((off.square() / 2 + told.spread.log()) * counts).sum() / counts.sum()
        error = ((told.mean - action).abs() * counts).sum() / counts.sum()
        return value, {"error": float(error.detach())}

    def save(self, folder: Path, name: str = NAME) -> None:
        """Write config and weights into `folder`, atomically."""
        weights.save(self, self.config, folder, name, lambda _, tensor: tensor.ndim < 2)

    @staticmethod
    def load(folder: Path, name: str = NAME) -> InverseDynamics:
        """Read it. Raises ZoetropeError when anything is missing, cut short or of another architecture."""
        return weights.load(InverseDynamics, InverseConfig, folder, name, REMEDY)


class Amortized:
    """Inverse dynamics as a planner: one pass through a small network instead of a search."""

    def __init__(self, inverse: InverseDynamics):
        self.inverse = inverse

    @torch.no_grad()
    def plan(
        self, past: Past, goal: Tensor, rng: np.random.Generator, left: int | None = None, before: Tensor | None = None
    ) -> Tensor:
        """The next chunk (B, C, A), or as much of it as the goal is away. Nothing is drawn, and no earlier plan is needed."""
        frames = self.inverse.config.reach if left is None else left
        told = self.inverse(past.embeddings[:, -1], goal, torch.full((len(goal),), frames))
        return told.mean[:, : max(1, frames)]


def pseudo_actions(
    model: LeWorldModel, inverse: InverseDynamics, frames: np.ndarray, proprioception: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Actions float32 (T - 1, A) that lead from each frame to the next, and the confidence (T - 1,) in [0, 1] of each.

    From frames uint8 (T, V, H, W, 3), and proprioception (T, P) for a model that reads it.
    """
    return read_actions(inverse, embed_all(model, frames, proprioception))


@torch.no_grad()
def read_actions(inverse: InverseDynamics, z: Tensor, doubt: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Actions float32 (T - 1, A) from each of the embeddings (T, D) to the next, and the confidence (T - 1,) of each.

    `doubt` widens the standard deviations that are told, for a network known to be too sure of itself.
    """
    told = inverse(z[:-1], z[1:], torch.ones(len(z) - 1))
    within = torch.erf(TOLERANCE / (doubt * told.spread[:, 0] * math.sqrt(2))).prod(-1)
    return told.mean[:, 0].numpy(), within.numpy()


@torch.no_grad()
def embed_all(model: LeWorldModel, frames: np.ndarray, proprioception: np.ndarray | None = None, batch: int = 128) -> Tensor:
    """Embeddings (T, D) of frames uint8 (T, V, H, W, 3), and proprioception (T, P) for a model that reads it."""
    size = model.config.proprioception
    if size and proprioception is None:
        raise ZoetropeError("latent model: this one reads proprioception, and there is none")
    known = np.zeros((len(frames), 0)) if proprioception is None else proprioception[:, :size]
    pictures, numbers = torch.from_numpy(frames).split(batch), torch.from_numpy(known).float().split(batch)
    return torch.cat([model.encoder(p, n) for p, n in zip(pictures, numbers)])
