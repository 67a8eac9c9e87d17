"""Scenes for teaching the detector: bodies of every category, equally often, around an ego on any road in any weather.

Recorded scenarios show hundreds of cars for every cone or dog; a detector taught on them alone never finds what is rare. These
scenes are no scenarios: nobody reacts to anybody, bodies only keep clear of each other.
"""

from __future__ import annotations

import numpy as np

from driving.rig import Rig, nuscenes_rig
from driving.road.build import KINDS, build
from driving.road.network import Lane, Road
from driving.road.query import LanePath, path_from
from driving.scenario.ambience import TIMES, WEATHERS, draw
from driving.scene import CATEGORIES, RATE, Actor, Scene

BODIES = 30
"""Drawn a scene; those that find no room are left out."""
REACH, SMALL_REACH = (4.0, 40.0), 20.0
"""Metres from the ego, halfway through the scene; the latter for walkers and things, which are soon too small to see."""
CLEARANCE = 0.6
"""Metres that bodies keep from each other beyond half their lengths."""
SIZES = (0.9, 1.12)
"""Range of factors on a category's typical size."""
ON_FOOT = ("pedestrian", "child", "animal")
THINGS = ("cone", "barrier", "debris", "ball")
WALKING = 1.8
"""m/s at most."""
BESIDE = 5.0
"""Metres beside its lane's edge up to which a walker may be."""
_SEED = 9_000_000
"""Keeps these roads apart from those of scenarios."""


def drill(seed: int, frames: int, rig: Rig | None = None) -> Scene:
    """The scene of this seed, `frames` long. `rig`: None for that of nuScenes."""
    rng = np.random.default_rng((_SEED, seed))
    road = build(KINDS[seed % len(KINDS)], _SEED + seed)
    path = path_from(road, 0, length=900.0)
    speed = float(rng.uniform(0, road.lanes[0].speed_limit)) * (rng.random() > 0.15)
    start = float(rng.uniform(5, max(6, path.length - speed * frames / RATE - REACH[1])))
    ego = _along(path, start, 0.0, speed, frames)
    actors, tracks = [], [(ego, 2.5)]
    for category in rng.choice(list(CATEGORIES), BODIES):
        width, length, height = (float(round(side * rng.uniform(*SIZES), 3)) for side in CATEGORIES[category].size)
        lane = _near(road, ego[frames // 2, :2], rng)
        track = _track(category, path_from(road, lane.id, length=300.0), lane, ego[frames // 2, :2], frames, rng)
        radius = max(width, length) / 2
        gaps = [np.hypot(*(track - other)[:, :2].T).min() - radius - reach for other, reach in tracks]
        if min(gaps) < CLEARANCE:
            continue
        red, green, blue = (int(c) for c in rng.integers(15, 245, 3))
        parked = bool(not track[:, 3].any() and rng.random() < 0.5)
        actors.append(
            Actor(
                id=len(actors), category=str(category), size=(width, length, height), colour=(red, green, blue), parked=parked
            )
        )
        tracks.append((track, radius))
    weather, time = str(rng.choice(list(WEATHERS))), str(rng.choice(["day", "day", *TIMES]))
    return Scene(
        name=f"drill-{seed:06d}",
        road=road,
        rig=rig or nuscenes_rig(),
        ambience=draw(weather, time, float(ego[0, 2]), rng),
        ego=ego,
        actors=tuple(actors),
        tracks=np.stack([track for track, _ in tracks[1:]]) if actors else np.zeros((0, frames, 4)),
        scenario="drill",
        seed=seed,
    )


def _near(road: Road, place: np.ndarray, rng: np.random.Generator) -> Lane:
    """Any lane within reach of a place."""
    lanes = [lane for lane in road.lanes.values() if np.hypot(*(lane.centre - place).T).min() < REACH[1]]
    return lanes[rng.integers(len(lanes))]


def _track(category: str, path: LanePath, lane: Lane, place: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Where a body of this category goes, (T, 4), within reach of `place` halfway."""
    gap = np.hypot(*(path.points - place).T)
    farthest = SMALL_REACH if category in (*ON_FOOT, *THINGS) else REACH[1]
    within = np.flatnonzero((gap > REACH[0]) & (gap < farthest))
    along = float(path.along[rng.choice(within) if len(within) else gap.argmin()])
    half = lane.width / 2
    if category in ON_FOOT:
        side = float(rng.choice([-1, 1])) * rng.uniform(0, half + BESIDE)
        x, y, _ = path.position(along, side)
        yaw, speed = rng.uniform(-np.pi, np.pi), float(rng.uniform(0, WALKING)) * (rng.random() > 0.4)
        time = (np.arange(frames) - frames / 2) / RATE
        way = np.stack([x + np.cos(yaw) * speed * time, y + np.sin(yaw) * speed * time], 1)
        return np.column_stack([way, np.full(frames, yaw), np.full(frames, speed)])
    if category in THINGS:
        x, y, yaw = path.position(along, float(rng.uniform(-half - 1, half + 1)))
        return np.tile([x, y, yaw + rng.uniform(-np.pi, np.pi), 0.0], (frames, 1))
    speed = float(rng.uniform(0, lane.speed_limit)) * (rng.random() > 0.4)
    side = float(rng.uniform(-half, half) if CATEGORIES[category].size[0] < 1 else rng.uniform(-0.4, 0.4))
    if speed == 0 and rng.random() < 0.5:
        side = -half - 1.3  # at the roadside
    return _along(path, along - speed * frames / RATE / 2, side, speed, frames)


def _along(path: LanePath, start: float, side: float, speed: float, frames: int) -> np.ndarray:
    return np.array([[*path.position(start + speed * t / RATE, side), speed] for t in range(frames)])
