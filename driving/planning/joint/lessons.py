"""What the trajectory head learns from: recorded drives, and what the world remembers of them.

A session of the frozen world watches each drive as a planner's does, untold: every frame, and again every `EVERY`-th frame from
each beginning, as planners look. What it remembers is kept beside what was asked and where the ego went.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.streaming.world import World
from core.training.prepare import PreparedStore, fill
from driving.geometry import to_body
from driving.planning.candidates import HORIZON
from driving.planning.joint.context import Witness, remembered
from driving.planning.joint.errand import Errand
from driving.planning.loop import EVERY
from driving.planning.way import Way
from driving.record import RecordConfig, scene_of
from driving.scenario.place import driven_path
from driving.scene import RATE, Images, Scene, State

PASSES = ((0, 1), *((start, EVERY) for start in range(EVERY)))
"""(first frame, frames between looks) of each time that a drive is watched."""
FACTS = ("told", "profile", "frame", "older", "elapsed")
"""What is kept of a moment beside `values`, what is remembered of its newest frame alone."""


def prepare_lessons(
    world: World, store: EpisodeStore, record: RecordConfig, folder: Path, progress: bool = True
) -> PreparedStore:
    """Watch the episodes that `folder` does not hold yet; those with too few frames for a trajectory are left out."""
    fitting = [i for i in store.indices() if store.length(i) > HORIZON]
    if not fitting:
        raise ZoetropeError(f"{store.folder}: no episode of more than {HORIZON} frames; record longer ones")
    return fill(folder, fitting, partial(_lessons, world, store, record), "watch drives", progress)


def remembered_rows(lessons: PreparedStore, index: int, row: int, older: int) -> Tensor:
    """(FRAMES, n, d) of a moment of episode `index`, from its row and that of the frame before."""
    read = lambda at: lessons.read(index, ("values",), at, 1)["values"].float()  # noqa: E731
    return torch.cat([read(older), read(row)])


def scene_in(store: EpisodeStore, index: int, record: RecordConfig) -> Scene:
    """The scene that an episode shows, sampled again. Raises ZoetropeError where `record` gives another one."""
    episode = store.read(index, 0, 1)
    name = episode.metadata.get("scene", "")
    split, _, number = name.rpartition("-")
    if not number.isdigit() or split not in ("train", "validation", "test"):
        raise ZoetropeError(f"{store.path(index)}: scene '{name}' is not one that 'zoetrope record driving' made")
    scene = scene_of(record, split, int(number))
    assert episode.pose is not None
    if not np.allclose(scene.rig.poses(*map(float, scene.ego[0, :3])), episode.pose[0], atol=1e-3):
        raise ZoetropeError(f"{store.path(index)}: scene '{name}' is another one in this configuration; record it again")
    return scene


def errand_at(scene: Scene, way: Way, frame: int, elapsed: float) -> Errand:
    """What the ego was asked at a frame."""
    return Errand.on(way, State(*map(float, scene.ego[frame])), frame / RATE, elapsed)


def driven(scene: Scene, frame: int) -> np.ndarray:
    """float64 (HORIZON, 3): where it went, in its axes at that frame."""
    return to_body(scene.ego[frame + 1 : frame + 1 + HORIZON, :3], State(*map(float, scene.ego[frame])))


def _lessons(world: World, store: EpisodeStore, record: RecordConfig, index: int) -> dict[str, Tensor]:
    episode, scene = store.read(index), scene_in(store, index, record)
    way = Way(road=scene.road, path=driven_path(scene))
    rows: dict[str, list] = {name: [] for name in ("values", *FACTS)}
    for start, stride in PASSES:
        witness = Witness(world, scene.rig, seed=index)
        for number, frame in enumerate(range(start, len(episode) - HORIZON, stride)):
            ego = State(*map(float, scene.ego[frame]))
            session = witness.see(_images(episode, frame), ego, frame / RATE)
            errand = errand_at(scene, way, frame, witness.elapsed)
            row = len(rows["frame"])
            rows["values"].append(remembered(session)[-1].half())
            rows["told"].append(torch.from_numpy(errand.told))
            rows["profile"].append(torch.from_numpy(errand.profile(driven(scene, frame)[:, :2])).float())
            rows["frame"].append(torch.tensor(frame))
            rows["older"].append(torch.tensor(row - (number > 0)))
            rows["elapsed"].append(torch.tensor(witness.elapsed, dtype=torch.float64))
    return {name: torch.stack(parts) for name, parts in rows.items()}


def _images(episode: Episode, frame: int) -> Images:
    assert episode.depth is not None
    return Images(episode.frames[frame], episode.depth[frame].astype(np.float32))
