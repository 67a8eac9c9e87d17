"""The motion head: where the camera goes when an action is taken. Small, and told what it needs to know that walls stop you.

Inputs are the action, the one before, the last motion (momentum) and, as the world's config asks, the distances to remembered
obstacles all around (`scan`) or the current latents (`look`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backbone.transformer import MOTION_SIZE, ActionConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionConfig:
    hidden: int = 192
    scan: int = 0
    """Directions of the obstacle scan; 0 leaves it out."""
    scan_reach: float = 32.0
    """Distance over which an obstacle's influence fades, in the source's unit."""
    look: bool = False
    """Whether the current latents are looked at."""
    quantum: float = 0.0
    """Positions are multiples of this length; 0 for a continuous world."""


LOOK_FEATURES = 64


class MotionHead(nn.Module):
    """(action, previous action, previous motion, scan, latents) -> motion (B, 6) in the current camera's axes."""

    def __init__(self, config: MotionConfig, action: ActionConfig, latent_size: int):
        super().__init__()
        self.config, self.action = config, action
        self.look = nn.Linear(latent_size, LOOK_FEATURES) if config.look else None
        size = 2 * action.size + MOTION_SIZE + 3 * config.scan + (LOOK_FEATURES if config.look else 0)
        self.linear = nn.Linear(size, MOTION_SIZE)
        self.network = nn.Sequential(
            nn.Linear(size, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, MOTION_SIZE),
        )
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        self.register_buffer("scale", torch.ones(MOTION_SIZE))
        self.scale: Tensor
        """(6,) the world's typical motion, measured on its training data."""

    def forward(
        self, action: Tensor, previous_action: Tensor, previous: Tensor, scan: Tensor | None, latents: Tensor | None
    ) -> Tensor:
        """Actions (B, A) or (B,), previous motion (B, 6), scan (B, S), latents (B, ...) -> motion (B, 6) in real units."""
        parts = [self._encode(action), self._encode(previous_action), previous / self.scale]
        if self.config.scan:
            assert scan is not None
            reach = self.config.scan_reach
            parts += [torch.exp(-scan / (reach * share)) for share in (0.25, 1.0, 4.0)]
        if self.look is not None:
            assert latents is not None
            parts.append(F.silu(self.look(latents.flatten(1))))
        features = torch.cat(parts, -1)
        return (self.linear(features) + self.network(features)) * self.scale

    def _encode(self, action: Tensor) -> Tensor:
        return action.float() if self.action.kind == "continuous" else F.one_hot(action, self.action.size).float()
