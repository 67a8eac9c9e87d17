"""The PDM score of a planned trajectory (NAVSIM, arXiv 2406.15349, version 1).

    score = no at-fault collision x drivable area x (5 time to collision + 5 progress + 2 comfort) / 12

over 4 s of the trajectory as a bicycle drives it (`vehicle.follow`). Written from the paper. Unlike NAVSIM's, the other
actors may react: they are where the given moments say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driving.geometry import corners, ego_boxes, overlap, wrapped
from driving.planning.comfort import comfortable
from driving.planning.lines import project
from driving.road.network import Road
from driving.road.query import on_drivable
from driving.scene import CATEGORIES, EGO_SIZE, RATE, Actor, Moment

HORIZON = 4 * RATE
"""Frames of a scored trajectory."""
TTC_FRAMES = RATE
"""Bound on the time to collision: 1 s."""
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
    actors, tracks = tracked(moments)
    touched = overlap(ego_boxes(states)[:, None], tracks[..., :5])
    out: list[tuple[int, Actor, bool]] = []
    for m in np.flatnonzero(touched.any(0)):
        t = int(touched[:, m].argmax())
        if t > 0:
            out.append((t, actors[m], _fault(states[t], tracks[t, m], road, route)))
    return sorted(out, key=lambda hit: (hit[0], hit[1].id))


def tracked(moments: Sequence[Moment]) -> tuple[list[Actor], np.ndarray]:
    """All M actors of T moments, and float64 (T, M, 6): x, y, yaw, width, length, speed; NaN while one is not there."""
    actors = {actor.id: actor for moment in moments for actor, _ in moment.actors}
    row = {number: m for m, number in enumerate(actors)}
    out = np.full((len(moments), len(actors), 6), np.nan)
    for t, moment in enumerate(moments):
        for actor, s in moment.actors:
            out[t, row[actor.id]] = s.x, s.y, s.yaw, actor.size[0], actor.size[1], s.speed
    return list(actors.values()), out


def _fault(state: np.ndarray, body: np.ndarray, road: Road, route: np.ndarray) -> bool:
    if state[3] <= STANDING:
        return False
    box, middle = body[:5], ego_boxes(state)
    if abs(_bearing(middle, box)) > BEHIND:
        return False
    if abs(body[5]) <= STANDING or overlap(_bumper(middle), box):
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


def _bearing(ego: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Angles (...) from straight ahead of the middle of boxes (..., >= 2), as seen from the ego's (..., >= 3)."""
    return wrapped(np.arctan2(boxes[..., 1] - ego[..., 1], boxes[..., 0] - ego[..., 0]) - ego[..., 2])


def soon_collides(states: np.ndarray, moments: Sequence[Moment]) -> bool:
    """Whether at some frame the ego, going straight on at its speed, would within `TTC_FRAMES` touch an actor ahead of it.

    The actors go on as the moments say, and past the last one straight on.
    """
    _, tracks = tracked(moments)
    beyond = np.repeat(tracks[-1:], TTC_FRAMES, axis=0)
    gone = beyond[..., 5] * np.arange(1, TTC_FRAMES + 1)[:, None] / RATE
    beyond[..., 0] += gone * np.cos(beyond[..., 2])
    beyond[..., 1] += gone * np.sin(beyond[..., 2])
    tracks = np.concatenate([tracks, beyond])
    middle = ego_boxes(states)[:, None]
    for dt in range(0, TTC_FRAMES + 1, TTC_STRIDE):
        later = states.copy()
        later[:, 0] += states[:, 3] * dt / RATE * np.cos(states[:, 2])
        later[:, 1] += states[:, 3] * dt / RATE * np.sin(states[:, 2])
        boxes = tracks[dt : dt + len(states), :, :5]
        touched = overlap(ego_boxes(later)[:, None], boxes) & (states[:, None, 3] > STANDING)
        if (touched & (np.abs(_bearing(middle, boxes)) < np.pi / 2)).any():
            return True
    return False
