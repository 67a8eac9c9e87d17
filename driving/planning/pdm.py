"""The PDM score of a planned trajectory (NAVSIM, arXiv 2406.15349, version 1).

    score = no at-fault collision x drivable area x (5 time to collision + 5 progress + 2 comfort) / 12

over 4 s of the trajectory as a bicycle drives it (`vehicle.follow`). Written from the paper. Unlike NAVSIM's, the other
actors may react: they are where the given moments say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driving.planning.boxes import actor_boxes, corners, ego_boxes, overlap, to_body, wrapped
from driving.planning.comfort import comfortable
from driving.planning.lines import project
from driving.road.network import Road
from driving.road.query import on_drivable
from driving.scene import CATEGORIES, EGO_SIZE, RATE, Actor, Moment, State

HORIZON = 4 * RATE
"""Frames of a scored trajectory."""
TTC = 1.0
"""Bound on the time to collision, seconds."""
TTC_STRIDE = 3
"""Frames between the looks ahead."""
STANDING = 0.05
"""Below this speed a body stands, m/s."""
BEHIND = np.radians(150)
"""An actor seen at more than this angle from straight ahead is behind."""
IDLE = 5.0
"""Where even the reference advances less than this, metres, nobody is asked to advance."""
HALF_LANE = 1.75
OBJECT_PENALTY = 0.5
"""Hitting a thing and not someone leaves half."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PDMScore:
    """Its parts, each from 0 to 1, and their product."""

    no_collision: float
    drivable: float
    time_to_collision: float
    progress: float
    comfort: float

    @property
    def total(self) -> float:
        weighted = 5 * self.time_to_collision + 5 * self.progress + 2 * self.comfort
        return self.no_collision * self.drivable * weighted / 12

    def as_dict(self) -> dict[str, float]:
        """Parts and total."""
        return {name: float(getattr(self, name)) for name in PARTS} | {"total": float(self.total)}


PARTS = ("no_collision", "drivable", "time_to_collision", "progress", "comfort")


def pdm_score(states: np.ndarray, moments: Sequence[Moment], road: Road, route: np.ndarray, reference: float) -> PDMScore:
    """Score ego states (T + 1, 4), the first being now, among the actors of as many `moments`.

    `route` (M, 2) is the line to follow and `reference` how many metres along it a good driver would get in this time.
    """
    hit = at_fault(states, moments, road, route)
    gained = progress(states, route)
    best = max(reference, gained)
    return PDMScore(
        no_collision=min((blame(actor) for _, actor in hit), default=1.0),
        drivable=float(on_road(states, road).all()),
        time_to_collision=float(not soon_collides(states, moments)),
        progress=1.0 if best <= IDLE else float(np.clip(gained / best, 0.0, 1.0)),
        comfort=float(comfortable(states)),
    )


def progress(states: np.ndarray, route: np.ndarray) -> float:
    """Metres gained along the route (M, 2)."""
    along, _ = project(route, states[[0, -1], :2])
    return float(along[1] - along[0])


def on_road(states: np.ndarray, road: Road) -> np.ndarray:
    """Whether all corners of the ego at states (..., 4) are on the drivable area; bool (...)."""
    return np.asarray(on_drivable(road, corners(ego_boxes(states))).all(-1))


def blame(actor: Actor) -> float:
    """What is left of the score after hitting it: half for a thing, nothing for anybody."""
    return OBJECT_PENALTY if CATEGORIES[actor.category].nuscenes.startswith("movable_object") else 0.0


def at_fault(states: np.ndarray, moments: Sequence[Moment], road: Road, route: np.ndarray) -> list[tuple[int, Actor]]:
    """Frame and actor of each collision that is the ego's fault, by nuPlan's rules; each actor once.

    Not its fault: what it touched from the start, being hit while it stands or from behind, and being hit from the side
    while it keeps to its lane.
    """
    return [(t, actor) for t, actor, fault in collisions(states, moments, road, route) if fault]


def collisions(states: np.ndarray, moments: Sequence[Moment], road: Road, route: np.ndarray) -> list[tuple[int, Actor, bool]]:
    """Frame, actor and whether it is the ego's fault of each first touch."""
    out: list[tuple[int, Actor, bool]] = []
    known: set[int] = set()
    for t, (state, moment) in enumerate(zip(states, moments)):
        touched = overlap(ego_boxes(state), actor_boxes(moment))
        for (actor, body), touching in zip(moment.actors, touched):
            if touching and actor.id not in known:
                known.add(actor.id)
                if t > 0:
                    out.append((t, actor, _fault(state, actor, body, road, route)))
    return out


def _fault(state: np.ndarray, actor: Actor, body: State, road: Road, route: np.ndarray) -> bool:
    ego = State(*map(float, state))
    if ego.speed <= STANDING:
        return False
    box = np.array([body.x, body.y, body.yaw, actor.size[0], actor.size[1]])
    middle = ego_boxes(state)
    seen = to_body(box[:2], State(float(middle[0]), float(middle[1]), ego.yaw, 0.0))
    if abs(np.arctan2(seen[1], seen[0])) > BEHIND:
        return False
    if abs(body.speed) <= STANDING or overlap(_bumper(middle), box):
        return True
    away = np.abs(project(route, corners(middle))[1])
    return bool(away.max() > HALF_LANE) or not bool(on_road(state, road))


def _bumper(box: np.ndarray) -> np.ndarray:
    """The front edge of an ego's box, a hand thick."""
    thick = 0.1
    out = box.copy()
    out[:2] += (EGO_SIZE[1] - thick) / 2 * np.array([np.cos(box[2]), np.sin(box[2])])
    out[4] = thick
    return out


def soon_collides(states: np.ndarray, moments: Sequence[Moment]) -> bool:
    """Whether at some frame the ego, going straight on at its speed, would within `TTC` touch an actor ahead of it.

    The actors go on as the moments say, and past the last one straight on.
    """
    for t, state in enumerate(states):
        if state[3] <= STANDING:
            continue
        for dt in range(0, int(TTC * RATE) + 1, TTC_STRIDE):
            boxes = _boxes_at(moments, t + dt)
            if not len(boxes):
                continue
            later = state.copy()
            later[:2] += state[3] * dt / RATE * np.array([np.cos(state[2]), np.sin(state[2])])
            touched = boxes[overlap(ego_boxes(later), boxes)]
            x, y, yaw = ego_boxes(state)[:3]
            seen = to_body(touched[:, :2], State(x, y, yaw, 0.0))
            if (np.abs(wrapped(np.arctan2(seen[:, 1], seen[:, 0]))) < np.pi / 2).any():
                return True
    return False


def _boxes_at(moments: Sequence[Moment], t: int) -> np.ndarray:
    moment = moments[min(t, len(moments) - 1)]
    boxes = actor_boxes(moment)
    beyond = max(t - len(moments) + 1, 0) / RATE
    if beyond and len(boxes):
        speed = np.array([s.speed for _, s in moment.actors])
        boxes[:, :2] += (beyond * speed)[:, None] * np.stack([np.cos(boxes[:, 2]), np.sin(boxes[:, 2])], -1)
    return boxes
