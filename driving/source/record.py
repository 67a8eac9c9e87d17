"""A scene shown from beginning to end, as an episode of the world model's."""

from __future__ import annotations

import numpy as np

from core.episodes.episode import Episode
from driving.scene import RATE, Scene
from driving.source.imager import Imager


def to_episode(scene: Scene, imager: Imager) -> Episode:
    """Every frame of the scene. The action is float32 (T, 2): speed in m/s and yaw rate in rad/s that lead to the next frame.

    The last action repeats the one before it. Depth is 0 (unknown) in the sky.
    """
    imager.begin(scene.road, scene.rig, scene.ambience, scene.seed)
    shown = [imager.show(scene.moment(t)) for t in range(len(scene))]
    depth = np.stack([images.depth for images in shown])
    return Episode(
        frames=np.stack([images.colour for images in shown]),
        action=actions(scene.ego),
        pose=np.stack([scene.rig.poses(*scene.ego[t, :3]) for t in range(len(scene))]),
        intrinsics=scene.rig.intrinsics(),
        depth=np.where(np.isfinite(depth), depth, 0).astype(np.float16),
        text=scene.text,
        metadata={"source": "panda", "scenario": scene.scenario, "seed": str(scene.seed), "road": scene.road.kind},
    )


def actions(ego: np.ndarray) -> np.ndarray:
    """float32 (T, 2): signed speed and yaw rate between the frames of a (T, 4) track."""
    if len(ego) == 1:
        return np.array([[ego[0, 3], 0.0]], np.float32)
    step = np.diff(ego[:, :2], axis=0)
    turn = np.diff(np.unwrap(ego[:, 2]))
    middle = ego[:-1, 2] + turn / 2
    speed = np.hypot(*step.T) * np.where((step * np.stack([np.cos(middle), np.sin(middle)], 1)).sum(1) < 0, -1, 1)
    out = np.stack([speed, turn], 1) * RATE
    return np.concatenate([out, out[-1:]]).astype(np.float32)
