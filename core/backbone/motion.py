"""The motion head: where the camera goes when an action is taken. Small, and told what it needs to know that walls stop you.

Away from everything a body's next motion is a smooth function of its last one and the actions, so that part is fitted in closed
form, exactly; networks add what the surroundings change. Errors of a thousandth of a step matter: they add up to a picture
that is a step off.

Obstacles are felt as a box feels them that lies along the world's axes, whichever way it looks: how far it could go along each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backbone.action import ActionConfig
from core.backbone.transformer import MOTION_SIZE
from core.memory.geometry import rotation_matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionConfig:
    """With neither `scan` nor `look` nothing is ever in the way: the body moves as its actions say."""

    hidden: int = 192
    scan: bool = False
    """Whether remembered obstacles all around are felt."""
    scan_reach: float = 16.0
    """About the length of a step, and the distance over which an obstacle's influence fades, in the source's unit."""
    look: bool = False
    """Whether the current latents are looked at."""
    quantum: float = 0.0
    """Positions are multiples of this length; 0 for a continuous world."""


LOOK_FEATURES = 64
FAINT = 0.05
"""Length of a motion, in typical ones, below which its direction means nothing and forward counts instead."""
RIGHT, AHEAD, TURN = 0, 2, 4
"""Components of a level camera's motion."""
SHIFT_SIZE = 3
"""Leading components of a motion that are translation: things in the way stop a body, they do not turn it."""
EPSILON = 1e-12
"""Square of a length that is none."""
FIT_ROUNDS, FIT_FLOOR = 12, 1e-3
"""Rounds of the robust fit, and the error below which a sample counts as explained."""


WALLS, THINGS = 0, 1
"""Kinds of obstacles: surfaces, and things that stand alone."""
SHARES = (0.0, 1 / 3, 2 / 3, 1.0)
"""Parts of the free motion after which it is felt how far the body could go."""
SCALES = (1.0, 0.25, 0.0625, 0.01)
"""Lengths, in reaches, at which distances are felt."""
PACE = 0.125
"""Share of the free motion at which it is felt when on the way the body arrives: how it goes on depends on the moment."""
LEAST = 0.01
"""Reaches that stand for a motion along an axis that is shorter."""
SLACK = 0.5
"""Reaches by which obstacles must clear a free motion so as to leave it free."""
GRAZE = 0.02
"""Reaches by which the body is taken to be slimmer than it is, so that what it slides along is not in its way."""
LITTLE = 0.25
"""Reaches that the network adds by a unit of its output."""
FAR = 4.0
"""Reaches that stand for a distance to nothing."""
REST_SPAN, REST_BINS, REST_SAMPLES = 0.025, 64, 8
"""Speeds, in reaches a step, below which a body that nobody drives may come to rest; how finely they are told apart; and
samples that a bin needs to be believed."""
CONTACT_SHARE = 0.05
"""Share of the frames near obstacles that come as near to them as the body can; nearer ones are errors."""


OUTCOMES = 3 + 2 * len(SHARES)
"""What may become of the motion along an axis: it stays free, starts anew, is none, or ends where a kind of obstacle begins."""


class Touch(nn.Module):
    """What obstacles change of a motion over the ground: bodies are boxes along the world's axes that stop and slide.

    Left and right alike: the motion's own quarter of the compass is always felt as the same one. Along each axis the network
    weighs what may become of the motion, and adds a little.
    """

    def __init__(self, hidden: int, reach: float):
        super().__init__()
        self.reach = reach
        self.register_buffer("contact", torch.full((2,), reach))
        self.contact: Tensor
        """(2,) how near to the body's middle, along an axis, surfaces and the middles of things can come; measured."""
        self.register_buffer("rest", torch.ones(REST_BINS))
        self.rest: Tensor
        """(REST_BINS,) what is left of a slow motion that nobody drives, by its greater speed along an axis; measured."""
        distances = len(SHARES) + 1  # ahead, after each share of the free motion; behind
        felt = 2 * 2 * (distances * (1 + len(SHARES) * (len(SCALES) + 1)) + 2 * len(SCALES))  # kinds, axes; both ends
        self.network = nn.Sequential(
            nn.Linear(7 + felt, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * (OUTCOMES + 1)),
        )
        with torch.no_grad():  # at first the motion is free
            self.network[-1].bias.view(2, -1)[:, 0] += 2.0  # type: ignore[union-attr, operator]

    def forward(self, free: Tensor, start: Tensor, last: Tensor, turn: Tensor, scan: Tensor) -> Tensor:
        """Change (B, 2) of a free motion (B, 2), all in world axes; `scan` (B, S + 1, 2).

        `start` (B, 2) is what the motion would be from rest, `last` (B, 2) the one before, `turn` (B, 1) the turn.
        """
        slowed = free * self._left(free, start)
        sign = torch.where(slowed < 0, -1.0, 1.0)
        mirrored, start, last, scan = slowed * sign, start * sign, last * sign, scan * sign[:, None]
        near = self.near(mirrored, scan)
        if not (torch.is_grad_enabled() or bool(near.any())):
            return slowed - free  # what the network says would count nothing
        felt, outcomes = self.feel(mirrored, start, last, turn * sign.prod(-1, keepdim=True), scan)
        return self.weigh(felt, outcomes) * sign * near + slowed - free

    def feel(self, free: Tensor, start: Tensor, last: Tensor, turn: Tensor, scan: Tensor) -> tuple[Tensor, Tensor]:
        """The network's inputs (B, n) and the changes (B, 2, OUTCOMES) it weighs, of a motion to no negative side."""
        own = torch.cat([free / self.reach, start / self.reach, last / self.reach, turn], -1)
        walls, to_walls = self._feel(scan[:, :-1], free, WALLS)
        things, to_things = self._feel(scan[:, -1:], free, THINGS)
        ends = torch.minimum(torch.cat([to_walls, to_things], -1).clamp(min=-self.reach), free[..., None])
        motions = torch.cat([free[..., None], start[..., None], torch.zeros_like(free)[..., None], ends], -1)
        return torch.cat([own, walls, things], -1), motions - free[..., None]

    def weigh(self, felt: Tensor, outcomes: Tensor) -> Tensor:
        """Change (B, 2) of the motion."""
        out = self.network(felt).view(-1, 2, OUTCOMES + 1)
        return (out[..., :-1].softmax(-1) * outcomes).sum(-1) + LITTLE * self.reach * out[..., -1]

    def near(self, free: Tensor, scan: Tensor) -> Tensor:
        """float (B, 1): 1 where an obstacle may change the motion, 0 where it certainly does not."""
        half = self._halves(scan) + SLACK * self.reach
        low, high = free.clamp(max=0)[:, None] - half, free.clamp(min=0)[:, None] + half
        return ((scan > low) & (scan < high)).all(-1).any(1, keepdim=True).float()

    def clear(self, scan: Tensor) -> Tensor:
        """bool (B,): whether nothing stands anywhere near."""
        return (scan.abs().amax(-1) > FAR * self.reach).all(1)

    def measure(self, scan: Tensor) -> None:
        """Set `contact` from scans (N, S + 1, 2): bodies come as near as they can."""
        nearest = scan.abs().amax(-1)
        for kind, distance in ((WALLS, nearest[:, :-1].amin(1)), (THINGS, nearest[:, -1])):
            distance = distance[distance < FAR * self.reach]
            if len(distance):
                self.contact[kind] = distance.sort().values[int(CONTACT_SHARE * len(distance))]

    @torch.no_grad()
    def measure_rest(self, free: Tensor, start: Tensor, target: Tensor) -> None:
        """Set `rest` from free motions (N, 2) with nothing near, the same from rest, and what really came of them."""
        idle, where = self._slow(free, start)
        free, where = free[idle], where[idle]
        share = ((target[idle] * free).sum(-1) / free.square().sum(-1).clamp(min=EPSILON)).clamp(0, 1)
        for i in range(REST_BINS):
            found = share[where == i]
            if len(found) >= REST_SAMPLES:
                self.rest[i] = found.median()
            elif i:
                self.rest[i] = self.rest[i - 1]

    def _left(self, free: Tensor, start: Tensor) -> Tensor:
        """What is left (B, 1) of free motions (B, 2)."""
        idle, where = self._slow(free, start)
        return torch.where(idle, self.rest[where], 1.0)[:, None]

    def _slow(self, free: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Which motions (B, 2) are slow and driven by nobody, bool (B,), and their bin, int64 (B,)."""
        speed, driven = (x.abs().amax(-1) / (REST_SPAN * self.reach) for x in (free, start))
        return (speed < 1) & (driven < 1), (speed * REST_BINS).long().clamp(max=REST_BINS - 1)

    def _halves(self, scan: Tensor) -> Tensor:
        """Half the body's width (S + 1, 1) to each point of a scan."""
        half = self.contact[WALLS].expand(scan.shape[1], 1).clone()
        half[-1] = self.contact[THINGS]
        return half

    def _feel(self, points: Tensor, free: Tensor, kind: int) -> tuple[Tensor, Tensor]:
        """Features (B, n) of obstacles of a kind at points (B, N, 2), and how far the body could go (B, 2, SHARES) of them."""
        reach, half = self.reach, self.contact[kind]
        shares, scales = free.new_tensor(SHARES), free.new_tensor(SCALES) * reach
        along = points.transpose(1, 2)  # (B, 2, N), an axis each
        across, go, drift = along.flip(1), free[..., None], free.flip(1)[..., None]
        beside = (across[:, :, None] - shares[:, None] * drift[..., None]).abs() < half - GRAZE * reach
        ahead = self._least((along - half)[:, :, None], beside & (along > 0)[:, :, None])
        behind = self._least((-along - half)[:, :, None], beside[:, :, :1] & (along < 0)[:, :, None])
        gaps = torch.cat([ahead, behind], -1)[..., None]  # (B, 2, SHARES + 1, 1)
        after = (gaps - shares * go[..., None])[..., None] / scales
        moments = (gaps / go.clamp(min=LEAST * reach)[..., None] - shares) / PACE
        way = torch.cat([(gaps / reach).clamp(-1, FAR), after.flatten(3).clamp(-1, 1), moments.clamp(-1, 1)], -1)
        slack = SLACK * reach
        facing = (along > half - slack) & (along < half + go + slack)
        facing &= (across > -half - slack) & (across < half + drift + slack)
        ends = self._least(torch.stack([across + half, half - across], 2), facing[:, :, None])[..., None] / scales
        return torch.cat([way.flatten(2), ends.clamp(-1, 1).flatten(2)], -1).flatten(1), ahead

    def _least(self, distance: Tensor, where: Tensor) -> Tensor:
        """The least (...) of the distances (..., N) that count."""
        return torch.where(where, distance, FAR * self.reach).amin(-1)


class MotionHead(nn.Module):
    """(action, previous action, previous motion, scan, heading, latents) -> motion (B, 6) in the current camera's axes."""

    def __init__(self, config: MotionConfig, action: ActionConfig, latent_size: int):
        super().__init__()
        self.config, self.action = config, action
        size = 1 + 2 * action.size + MOTION_SIZE
        self.register_buffer("pairs", torch.triu_indices(size, size), persistent=False)
        self.pairs: Tensor
        self.free = nn.Linear(self.pairs.shape[1], MOTION_SIZE, bias=False)
        nn.init.zeros_(self.free.weight)
        self.touch = Touch(config.hidden, config.scan_reach) if config.scan else None
        self.look = nn.Linear(latent_size, LOOK_FEATURES) if config.look else None
        self.network = (
            nn.Sequential(
                nn.Linear(size + MOTION_SIZE + 3 + LOOK_FEATURES, config.hidden),
                nn.SiLU(),
                nn.Linear(config.hidden, config.hidden),
                nn.SiLU(),
                nn.Linear(config.hidden, SHIFT_SIZE),
            )
            if config.look
            else None
        )
        self.register_buffer("scale", torch.ones(MOTION_SIZE))
        self.scale: Tensor
        """(6,) the world's typical motion, measured on its training data."""

    def forward(
        self,
        action: Tensor,
        previous_action: Tensor,
        previous: Tensor,
        scan: Tensor | None,
        heading: Tensor | None,
        latents: Tensor | None,
    ) -> Tensor:
        """Motion (B, 6) in real units, from actions (B, A) or (B,), the previous motion (B, 6), and what surrounds the camera.

        `scan` (B, S + 1, 2) as of `scan_obstacles`, `heading` (B, 2) forward over the ground in world axes, latents (B, ...).
        """
        own = self._own(action, previous_action, previous)
        free = self.free(self._products(own))
        change = torch.zeros_like(free)
        if self.touch is not None:
            assert scan is not None and heading is not None
            ground = self._ground(own, free, heading)
            change = self._level(self.touch(*ground, free[:, TURN : TURN + 1], scan), heading) / self.scale
        if self.look is not None and self.network is not None:
            assert latents is not None
            known = torch.cat([own, free, *self._course(free)], -1)
            seen = F.silu(self.look(latents.flatten(1)))
            difference = self._respond(known, seen) - self._respond(known, torch.zeros_like(seen))
            change = change + F.pad(difference, (0, MOTION_SIZE - SHIFT_SIZE))
        return (free + change) * self.scale

    def near(self, action: Tensor, previous_action: Tensor, previous: Tensor, scan: Tensor, heading: Tensor) -> Tensor:
        """bool (B,): whether an obstacle may change the motion."""
        assert self.touch is not None
        own = self._own(action, previous_action, previous)
        free, _, _ = self._ground(own, self.free(self._products(own)), heading)
        return self.touch.near(free, scan)[:, 0] > 0

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

    @torch.no_grad()
    def fit_rest(self, action: Tensor, previous_action: Tensor, previous: Tensor, target: Tensor, heading: Tensor) -> None:
        """Measure how bodies come to rest from samples (N, ...) with nothing near, after `fit_free`."""
        assert self.touch is not None
        own = self._own(action, previous_action, previous)
        free, start, _ = self._ground(own, self.free(self._products(own)), heading)
        really, _, _ = self._ground(own, target / self.scale, heading)
        self.touch.measure_rest(free, start, really)

    def _own(self, action: Tensor, previous_action: Tensor, previous: Tensor) -> Tensor:
        """The body's own state (B, 1 + 2 A + 6): a constant, both actions, and its last motion in its present axes."""
        shift, turn = previous[:, :SHIFT_SIZE], previous[:, SHIFT_SIZE:]
        shift = (rotation_matrix(turn).transpose(-1, -2) @ shift[..., None])[..., 0]
        last = torch.cat([shift, turn], -1) / self.scale
        return torch.cat([torch.ones_like(last[:, :1]), self._encode(action), self._encode(previous_action), last], -1)

    def _products(self, own: Tensor) -> Tensor:
        return own[:, self.pairs[0]] * own[:, self.pairs[1]]

    def _ground(self, own: Tensor, free: Tensor, heading: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A free motion (B, 6), the same from rest, and the last one, as shifts (B, 2) over the ground in world axes."""
        acting = torch.zeros_like(own)
        acting[:, : 1 + self.action.size] = own[:, : 1 + self.action.size]
        start, last = self.free(self._products(acting)), own[:, -MOTION_SIZE:]
        right = torch.stack([heading[:, 1], -heading[:, 0]], -1)
        over = lambda x: (x * self.scale)[:, AHEAD, None] * heading + (x * self.scale)[:, RIGHT, None] * right  # noqa: E731
        return over(free), over(start), over(last)

    def _level(self, shift: Tensor, heading: Tensor) -> Tensor:
        """A shift (B, 2) over the ground in world axes as a motion (B, 6) of a level camera."""
        motion = shift.new_zeros(len(shift), MOTION_SIZE)
        motion[:, AHEAD] = (shift * heading).sum(-1)
        motion[:, RIGHT] = shift[:, 0] * heading[:, 1] - shift[:, 1] * heading[:, 0]
        return motion

    def _course(self, free: Tensor) -> tuple[Tensor, Tensor]:
        """Which way (B, 2) over the ground, ahead and right, and how far (B, 1), in reaches, a free motion (B, 6) would go."""
        shift = (free * self.scale)[:, [AHEAD, RIGHT]]
        length = shift.norm(dim=-1, keepdim=True)
        going = (free[:, [AHEAD, RIGHT]].norm(dim=-1, keepdim=True) > FAINT).float()
        forward = torch.tensor([1.0, 0.0], device=free.device)
        course = going * shift / length.clamp(min=1e-6) + (1 - going) * forward
        return course, length / self.config.scan_reach

    def _respond(self, known: Tensor, around: Tensor) -> Tensor:
        assert self.network is not None
        return self.network(torch.cat([known, around], -1))

    def _encode(self, action: Tensor) -> Tensor:
        return action.float() if self.action.kind == "continuous" else F.one_hot(action, self.action.size).float()
