"""What the dream shows of recorded scenes: told everything, told nothing, and seen by a rig that it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.streaming.world import World
from driving.record import bared, render, to_episode
from driving.record import told as sketch_of
from driving.rig import Rig
from driving.scene import Scene
from driving.source.imager import Imager

CONTEXT = 3
"""Real frames that a rollout begins with."""
UNSEEN_FOCAL, UNSEEN_YAW = 1.3, 12.0
"""A rig outside of what training spread over: focal lengths times the one, yaws plus the other in degrees."""


def roll_out(world: World, real: Episode, seed: int, told: bool = True) -> Episode:
    """The episode again, imagined from its first CONTEXT frames on; with `told` False from its actions alone."""
    names = world.config.conditions
    context = real.window(0, CONTEXT)
    if not told:
        context = replace(context, conditions={n: np.zeros_like(context.conditions[n]) for n in names})
    session = world.open(context, seed=seed)
    frames, depth = [*real.frames[:CONTEXT]], []
    assert real.pose is not None and real.depth is not None
    for t in range(CONTEXT, len(real)):
        known = {name: real.conditions[name][t] for name in names} if told else None
        frame = session.step(real.action[t - 1], real.pose[t] if told else None, known)
        frames.append(frame.frame)
        depth.append(frame.depth)
    imagined = np.concatenate([real.depth[:CONTEXT], np.stack(depth).astype(np.float16)])
    return replace(real, frames=np.stack(frames), depth=imagined)


def roll_out_all(
    world: World,
    store: EpisodeStore,
    indices: Sequence[int],
    folder: Path,
    told: bool = True,
    scenes: Mapping[int, Scene] | None = None,
    progress: bool = True,
) -> EpisodeStore:
    """Rollouts of these episodes, kept in `folder`; with their `scenes` they are not told what stands beside the road."""
    out = EpisodeStore(folder)
    missing = [i for i in indices if not out.has(i)]
    what = "imagine, told nothing" if not told else "imagine" if scenes is None else "imagine, told of no buildings"
    for index in tqdm(missing, desc=what, unit="scene", disable=not progress or not missing):
        real = store.read(index)
        if scenes is not None:
            real = without_scenery(real, scenes[index])
        out.write(index, roll_out(world, real, seed=index, told=told))
    return out


def without_scenery(episode: Episode, scene: Scene) -> Episode:
    """The same told as by a map that knows neither buildings nor plants."""
    tell = sketch_of(bared(scene.road), scene.rig, scene.ambience)
    known = [tell(scene.moment(t)) for t in range(len(episode))]
    return replace(episode, conditions=episode.conditions | {name: np.stack([k[name] for k in known]) for name in known[0]})


def other_rig(rig: Rig) -> Rig:
    """The same cameras with lenses and mounts outside of what training saw."""
    cameras = (replace(c, focal=c.focal * UNSEEN_FOCAL, yaw=c.yaw + UNSEEN_YAW) for c in rig.cameras)
    return replace(rig, cameras=tuple(cameras))


def record_other_rig(
    scenes: dict[int, Scene], frames: int, imager: Imager, folder: Path, progress: bool = True
) -> EpisodeStore:
    """The first frames of these scenes seen by `other_rig`, in the source world."""
    out = EpisodeStore(folder)
    missing = [i for i in scenes if not out.has(i)]
    for index in tqdm(missing, desc="record another rig", unit="scene", disable=not progress or not missing):
        scene = scenes[index]
        short = {"ego": scene.ego[:frames], "tracks": scene.tracks[:, :frames]}
        scene = replace(scene, rig=other_rig(scene.rig), **short)
        out.write(index, to_episode(scene, render(scene, imager)))
    return out
