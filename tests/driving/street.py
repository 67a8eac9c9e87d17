"""A plain straight road, who stands on it, and an imager that needs no renderer."""

from __future__ import annotations

import numpy as np
from shapely.geometry import box

from driving.geometry import corners, to_body
from driving.planning.loop import Course
from driving.planning.planner import Observation
from driving.rig import Camera, Rig, nuscenes_rig
from driving.road.network import Lane, Road
from driving.road.query import path_from
from driving.scene import EGO_CENTRE, EGO_SIZE, Actor, Ambience, Images, Moment, State
from driving.traffic.behaviours import Entrant, Stand

STRAIGHT = np.stack([np.arange(0.0, 301.0), np.zeros(301)], -1)
ROAD = Road(
    name="plain",
    kind="straight",
    lanes={0: Lane(id=0, centre=STRAIGHT, width=3.5, speed_limit=10.0)},
    drivable=box(-20, -5, 320, 5),
    walkways=box(-20, 5, 320, 8),
)
LINE = np.stack([np.arange(0.0, 81.0), np.zeros(81)], -1)
FRONT = EGO_CENTRE + EGO_SIZE[1] / 2


def actor(number: int = 0, category: str = "car") -> Actor:
    return Actor(id=number, category=category, size=(2.0, 4.0, 1.5), colour=(200, 0, 0))


def black(rig: Rig) -> Images:
    shape = (len(rig.cameras), rig.height, rig.width)
    return Images(np.zeros((*shape, 3), np.uint8), np.full(shape, np.inf, np.float32))


def observation(
    speed: float = 8.0, images: Images | None = None, time: float = 0.0, moment: Moment | None = None
) -> Observation:
    rig = nuscenes_rig(64, 36)
    return Observation(
        images=images or black(rig),
        rig=rig,
        history=(State(0, 0, 0, speed),),
        route=LINE,
        command="straight",
        limit=10.0,
        stop=None,
        time=time,
        moment=moment,
    )


def wall(distance: float, half: float = 1.0, rig: Rig | None = None) -> tuple[Images, Rig]:
    """Flat grey ground, and 2 m high red wall of width 2 * half across the way, `distance` metres ahead of the rear axle."""
    rig = rig or Rig(cameras=(Camera(name="CAM_FRONT", position=(1.7, 0, 1.5), yaw=0, focal=0.8),))
    k = rig.intrinsics()[0]
    v, u = np.mgrid[: rig.height, : rig.width] + 0.5
    x, y = (u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1]
    depth = np.where(y > 0, 1.5 / np.maximum(y, 1e-9), np.inf)
    away = distance - 1.7
    hit = (np.abs(x * away) < half) & (1.5 - y * away > 0) & (1.5 - y * away < 2.0) & (depth > away)
    depth = np.where(hit, away, depth)
    colour = np.where(np.isfinite(depth)[..., None], 100, 220) * np.ones(3)
    colour[hit] = (200, 30, 30)
    return Images(colour[None].astype(np.uint8), depth[None].astype(np.float32)), rig


class Flat:
    """An imager that shows every actor near the ego as the depth of its box would, seen by one camera; it knows no colours."""

    def begin(self, road, rig, ambience, seed):
        self.rig = rig

    def show(self, moment: Moment) -> Images:
        out = black(self.rig)
        k = self.rig.intrinsics()[0]
        camera = self.rig.cameras[0]
        for actor, state in moment.actors:
            at = to_body(corners(np.array([state.x, state.y, state.yaw, actor.size[0], actor.size[1]])), moment.ego)
            z = float(at[:, 0].min() - camera.position[0])
            if z < 0.5:
                continue
            u = k[0, 2] - at[:, 1] / z * k[0, 0]
            v = k[1, 2] + (camera.position[2] - np.array([actor.size[2], 0.35])) / z * k[1, 1]
            columns, rows = slice(max(int(u.min()), 0), max(int(u.max()), 0)), slice(max(int(v[0]), 0), max(int(v[1]), 0))
            out.depth[0, rows, columns] = np.minimum(out.depth[0, rows, columns], z)
        return out

    def close(self):
        pass


EYE = Rig(cameras=(Camera(name="CAM_FRONT", position=(1.7, 0, 1.5), yaw=0, focal=0.8),))
STANDING_CAR = Entrant(actor=actor(), behaviour=Stand(x=60.0, y=0.0, yaw=0.0))


def course(*entrants: Entrant) -> Course:
    return Course(
        name="plain",
        road=ROAD,
        rig=EYE,
        ambience=Ambience(),
        entrants=entrants,
        ego=State(20, 0, 0, 9.0),
        route=path_from(ROAD, 0),
    )
