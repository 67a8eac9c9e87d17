"""Which actors of a moment are annotated, and how much of each is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from driving.geometry import through_block
from driving.nuscenes.geometry import box_corners, box_pose
from driving.nuscenes.lidar import pixel_rays, points_in_box
from driving.scene import CATEGORIES, Actor, Images, Moment, Scene, State

RANGE = 80.0
"""Metres from the ego within which actors are annotated."""
MARGIN = 0.3
"""Metres that depth may be off before something counts as in front of a box."""
MOVING = 0.5
"""Metres a second from which an actor counts as moving."""
_SAMPLED_WIDTH = 256
"""Wider pictures are read at every second, third, ... pixel."""
_NEAR = 0.1
"""Metres before the camera where its view begins."""


@dataclass(frozen=True, slots=True)
class Label:
    """An annotated actor."""

    actor: Actor
    state: State
    lidar_points: int
    visible: float
    """Share of its box's outline that nothing nearer hides, over all cameras."""


def attribute(actor: Actor, speed: float) -> str | None:
    """Its nuScenes attribute at this speed; None for what has none."""
    names = CATEGORIES[actor.category].attributes
    if names is None:
        return None
    moving, stopped, parked = names
    return parked if actor.parked else moving if abs(speed) > MOVING else stopped


def labels(scene: Scene, moment: Moment, images: Images, points: np.ndarray) -> list[Label]:
    """Actors within RANGE that some pixel or some of the lidar's points (N, 3, in the world) shows."""
    ego = moment.ego
    poses = scene.rig.poses(ego.x, ego.y, ego.yaw).astype(np.float64)
    out = []
    for actor, state in moment.actors:
        if np.hypot(state.x - ego.x, state.y - ego.y) > RANGE:
            continue
        box = box_pose(state.x, state.y, state.yaw, actor.size[2])
        inside = points_in_box(points, box, actor.size)
        seen, visible = _visibility(scene, actor, box, images, poses)
        if inside or seen:
            out.append(Label(actor, state, inside, visible))
    return out


def _visibility(scene: Scene, actor: Actor, box: np.ndarray, images: Images, poses: np.ndarray) -> tuple[bool, float]:
    """Whether some pixel shows the actor, and the share of its box's outline, in pixels, that nothing nearer hides."""
    rig = scene.rig
    step = -(-rig.width // _SAMPLED_WIDTH)
    width, length, height = actor.size
    half = np.array([length, width, height]) / 2
    outline = hidden = shown = 0
    for view, (k, pose) in enumerate(zip(rig.intrinsics(), poses)):
        camera = (box_corners(box, actor.size) - pose[:3, 3]) @ pose[:3, :3]
        if (camera[:, 2] < _NEAR).all():
            continue
        rows, columns = _window(camera, k, rig.height, rig.width, step)
        rays = pixel_rays(rig.width, rig.height, k, step)[rows, columns]
        turn = box[:3, :3].T
        enter, leave = through_block(turn @ (pose[:3, 3] - box[:3, 3]), rays @ (turn @ pose[:3, :3]).T, half)
        hit = leave > np.maximum(enter, _NEAR)
        depth = images.depth[view, ::step, ::step][rows, columns]
        before = hit & (depth < enter - MARGIN)
        if images.ids is None:
            own = hit & ~before & (depth < leave + MARGIN)
        else:
            own = images.ids[view, ::step, ::step][rows, columns] == actor.id + 1
            before &= ~own
        outline, hidden, shown = outline + hit.sum(), hidden + before.sum(), shown + own.sum()
    return bool(shown), float(1 - hidden / outline) if outline else 0.0


def _window(camera: np.ndarray, k: np.ndarray, height: int, width: int, step: int) -> tuple[slice, slice]:
    """Rows and columns, in steps, around the picture of corners (8, 3) in the camera's axes; all if some are behind it."""
    if (camera[:, 2] < _NEAR).any():
        return slice(None), slice(None)
    pixels = (camera[:, :2] / camera[:, 2:]) * (k[0, 0], k[1, 1]) + k[:2, 2]
    low = np.clip(np.floor(pixels.min(0) / step) - 1, 0, None).astype(int)
    high = np.clip(np.ceil(pixels.max(0) / step) + 1, 0, (width, height)).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])
