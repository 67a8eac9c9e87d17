"""Self-generated history: let the world dream along recorded actions, and keep what it made as the past to train on.

A model that has seen only real pasts drifts once it lives on its own output (Self Forcing, arXiv 2506.08009). Here sessions
roll out along training episodes; their latents become the context, their memory's renderings the condition, and the real
frames stay the target. The camera follows the recorded pose, and the state the recorded one, so that target and dream show the
same view of the same things.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.episodes.store import EpisodeStore
from core.streaming.model import WorldModel
from core.streaming.world import World
from core.training.prepare import RENDERING, PreparedStore, fill, pack_rendering


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryConfig:
    episodes: int
    """How many rollouts."""
    context: int = 8
    """Real frames that a rollout starts from."""
    frames: int = 40
    """Imagined frames of a rollout."""
    seed: int = 0


def roll_out(
    model: WorldModel, store: EpisodeStore, prepared: PreparedStore, config: HistoryConfig, folder: Path, progress: bool = True
) -> PreparedStore:
    """Make the rollouts that `folder` does not hold yet."""
    rng = np.random.default_rng(config.seed)
    length = config.context + config.frames
    fitting = [i for i in prepared.indices() if prepared.length(i) > length]
    picked = rng.permutation(fitting)[: config.episodes]
    work = partial(_rollout, World(model), store, prepared, config)
    return fill(folder, picked.tolist(), work, "self-generated history", progress)


def _rollout(
    world: World, store: EpisodeStore, prepared: PreparedStore, config: HistoryConfig, index: int
) -> dict[str, Tensor]:
    length = config.context + config.frames
    start = int(np.random.default_rng((config.seed, index)).integers(store.length(index) - length))
    episode = store.read(index, start, length)
    names = (
        "latents",
        "action",
        "started",
        "number",
        "reward",
        "ended",
        "motion",
        "condition",
        "facts",
        "state",
        "before",
        "tint",
        "told",
        *RENDERING,
    )
    real = prepared.read(index, names, start, length)
    session = world.open(episode.window(0, config.context), seed=index)
    past, renderings, conditions, tint = [], [], [], session.tint[0]
    for t in range(config.context, length):
        told = {name: episode.conditions[name][t] for name in world.config.measured}
        session.step(episode.action[t - 1], None if episode.pose is None else episode.pose[t], told)
        newest = session.newest
        assert newest is not None
        past.append(newest.latents[0])
        if newest.condition is not None:
            conditions.append(newest.condition[0])
        if newest.rendering is not None:
            renderings.append([x[0] for x in newest.rendering])
    imagined = slice(config.context, None)
    real["past"] = real["latents"].clone()
    real["past"][imagined] = torch.stack(past).half()
    if conditions:
        real["condition"][imagined] = torch.stack(conditions).half()
    if renderings:
        packed = pack_rendering({n: torch.stack([r[i] for r in renderings]) for i, n in enumerate(RENDERING)})
        for name in RENDERING:
            real[name][imagined] = packed[name]
    if "tint" in real:
        real["tint"][imagined], real["told"][imagined] = tint, True
    return real
