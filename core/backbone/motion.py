"""The motion head: where the camera goes when an action is taken. Small, and told what it needs to know that walls stop you.

Away from everything a body's next motion is a smooth function of its last one and the actions, so that part is fitted in closed
form, exactly; a network adds what the surroundings change. Errors of a thousandth of a step matter: they add up to a picture
that is a step off.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backbone.transformer import MOTION_SIZE, ActionConfig
from core.errors import ZoetropeError
from core.memory.geometry import rotation_matrix
from core.memory.obstacles import CLEAR


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionConfig:
    hidden: int = 192
    scan: bool = False
    """Whether the distances to remembered obstacles all around are felt."""
    scan_reach: float = 16.0
    """Distance over which an obstacle's influence fades, in the source's unit."""
    look: bool = False
    """Whether the current latents are looked at."""
    quantum: float = 0.0
    """Positions are multiples of this length; 0 for a continuous world."""

    def __post_init__(self) -> None:
        if not self.scan and not self.look:
            raise ZoetropeError("motion: needs scan, look or both, to know what is in the way")


LOOK_FEATURES = 64
SECTORS = 32
"""Directions in which the nearest obstacle is felt, whichever way the body goes."""
SECTOR_SCALES = (0.25, 0.5, 1.0)
"""Distances at which it is felt, in reaches."""
LANES, LANE_SPAN, LANE_BEHIND = 16, 2.5, 0.5
"""Lanes along the way the body would go, how far they lie to each side and begin behind it, in reaches."""
BEFORE, AFTER = (0.5, 1.0, 1.5, 2.0), (0.25, 0.75, 1.25, 1.75, 2.25)
"""Distances to what stands in a lane, now and after the free motion, between which the head tells, in reaches."""
LANE_EDGE = 8.0
"""How sharply it tells, per reach."""
NEARBY = 4.0
"""Reaches beyond which nothing is felt."""
FAINT = 0.05
"""Length of a motion, in typical ones, below which its direction means nothing and forward counts instead."""
SHIFT_SIZE = 3
"""Leading components of a motion that are translation: things in the way stop a body, they do not turn it."""
FIT_ROUNDS, FIT_FLOOR = 12, 1e-3
"""Rounds of the robust fit, and the error below which a sample counts as explained."""


class MotionHead(nn.Module):
    """(action, previous action, previous motion, scan, latents) -> motion (B, 6) in the current camera's axes."""

    def __init__(self, config: MotionConfig, action: ActionConfig, latent_size: int):
        super().__init__()
        self.config, self.action = config, action
        size = 1 + 2 * action.size + MOTION_SIZE
        self.register_buffer("pairs", torch.triu_indices(size, size), persistent=False)
        self.pairs: Tensor
        self.free = nn.Linear(self.pairs.shape[1], MOTION_SIZE, bias=False)
        nn.init.zeros_(self.free.weight)
        self.look = nn.Linear(latent_size, LOOK_FEATURES) if config.look else None
        felt = SECTORS * len(SECTOR_SCALES) + LANES * (len(BEFORE) + len(AFTER)) if config.scan else 0
        around = felt + (LOOK_FEATURES if config.look else 0)
        self.network = nn.Sequential(
            nn.Linear(size + MOTION_SIZE + 3 + around, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, SHIFT_SIZE),
        )
        self.register_buffer("scale", torch.ones(MOTION_SIZE))
        self.scale: Tensor
        """(6,) the world's typical motion, measured on its training data."""

    def forward(
        self, action: Tensor, previous_action: Tensor, previous: Tensor, scan: Tensor | None, latents: Tensor | None
    ) -> Tensor:
        """Actions (B, A) or (B,), previous motion (B, 6), scan (B, S), latents (B, ...) -> motion (B, 6) in real units."""
        own = self._own(action, previous_action, previous)
        free = self.free(self._products(own))
        course, speed = self._course(free)
        known = torch.cat([own, free, course, speed], -1)
        around = self._around(scan, latents, course, speed * self.config.scan_reach)
        # Only what the surroundings change: with nothing around, the free motion stays exact.
        change = self._respond(known, around) - self._respond(known, torch.zeros_like(around))
        return torch.cat([free[:, :SHIFT_SIZE] + change, free[:, SHIFT_SIZE:]], -1) * self.scale

    @torch.no_grad()
    def fit_free(self, action: Tensor, previous_action: Tensor, previous: Tensor, target: Tensor) -> None:
        """Set `scale` and the free motion from samples (N, ...), most of which nothing stopped.

        Least squares, reweighted so that samples it cannot explain (a wall was in the way) cease to count.
        """
        typical = target.std(0)
        self.scale.copy_(torch.where(typical > 1e-3, typical, 1.0))
        rows = self._products(self._own(action, previous_action, previous)).double()
        wanted = (target / self.scale).double()
        weight = torch.ones(len(rows), 1, dtype=torch.float64)
        ridge = 1e-9 * torch.eye(rows.shape[1], dtype=torch.float64)
        found = torch.zeros(rows.shape[1], MOTION_SIZE, dtype=torch.float64)
        for _ in range(FIT_ROUNDS):
            normal = rows.T @ (rows * weight)
            found = torch.linalg.solve(normal + ridge * normal.diagonal().mean(), rows.T @ (wanted * weight))
            error = (rows @ found - wanted).norm(dim=-1, keepdim=True)
            weight = error.clamp(min=FIT_FLOOR) ** -1.5
        self.free.weight.copy_(found.T)

    def _own(self, action: Tensor, previous_action: Tensor, previous: Tensor) -> Tensor:
        """The body's own state (B, 1 + 2 A + 6): a constant, both actions, and its last motion in its present axes."""
        shift, turn = previous[:, :SHIFT_SIZE], previous[:, SHIFT_SIZE:]
        shift = (rotation_matrix(turn).transpose(-1, -2) @ shift[..., None])[..., 0]
        last = torch.cat([shift, turn], -1) / self.scale
        return torch.cat([torch.ones_like(last[:, :1]), self._encode(action), self._encode(previous_action), last], -1)

    def _products(self, own: Tensor) -> Tensor:
        return own[:, self.pairs[0]] * own[:, self.pairs[1]]

    def _course(self, free: Tensor) -> tuple[Tensor, Tensor]:
        """Which way (B, 2) over the ground, ahead and right, and how far (B, 1), in reaches, a free motion (B, 6) would go."""
        shift = (free * self.scale)[:, [2, 0]]
        length = shift.norm(dim=-1, keepdim=True)
        going = (free[:, [2, 0]].norm(dim=-1, keepdim=True) > FAINT).float()
        forward = torch.tensor([1.0, 0.0], device=free.device)
        course = going * shift / length.clamp(min=1e-6) + (1 - going) * forward
        return course, length / self.config.scan_reach

    def _around(self, scan: Tensor | None, latents: Tensor | None, course: Tensor, length: Tensor) -> Tensor:
        """What surrounds the body (B, around); zero where there is nothing."""
        parts: list[Tensor] = []
        if self.config.scan:
            assert scan is not None
            parts += [self._sectors(scan), self._lanes(scan, course, length)]
        if self.look is not None:
            assert latents is not None
            parts.append(F.silu(self.look(latents.flatten(1))))
        return torch.cat(parts, -1)

    def _sectors(self, scan: Tensor) -> Tensor:
        wide = scan.shape[1] // SECTORS
        nearest = scan.roll(wide // 2, 1).unflatten(1, (SECTORS, wide)).amin(-1)
        return torch.cat([torch.exp(-nearest / (self.config.scan_reach * share)) for share in SECTOR_SCALES], -1)

    def _lanes(self, scan: Tensor, course: Tensor, length: Tensor) -> Tensor:
        """How near things stand in lanes along the course, now and once the free motion is done."""
        reach = self.config.scan_reach
        angle = torch.arange(scan.shape[1], device=scan.device) * (2 * torch.pi / scan.shape[1])
        ahead, right = scan * angle.cos(), scan * angle.sin()
        along = ahead * course[:, :1] + right * course[:, 1:]
        across = right * course[:, :1] - ahead * course[:, 1:]
        lane = ((across / (2 * LANE_SPAN * reach) + 0.5) * LANES).floor().long()
        inside = (lane >= 0) & (lane < LANES) & (along > -LANE_BEHIND * reach)
        clear = torch.full((len(scan), LANES), CLEAR, device=scan.device)
        near = clear.scatter_reduce(1, torch.where(inside, lane, 0), torch.where(inside, along, CLEAR), "amin")
        limits = [(near, share) for share in BEFORE] + [(near - length, share) for share in AFTER]
        return torch.cat([torch.sigmoid((share * reach - distance) * (LANE_EDGE / reach)) for distance, share in limits], -1)

    def _respond(self, known: Tensor, around: Tensor) -> Tensor:
        return self.network(torch.cat([known, around], -1))

    def _encode(self, action: Tensor) -> Tensor:
        return action.float() if self.action.kind == "continuous" else F.one_hot(action, self.action.size).float()
