"""The generated world: where things are in its pictures a hundred frames on, and how fast it is beside MuJoCo."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.evaluation.intervals import figure, mean, ratio
from core.streaming.world import World
from robotics.evaluate import BATCH
from robotics.latent.evaluate import places
from robotics.latent.inverse import embed_all
from robotics.latent.shipped import Latent
from robotics.loop import CONTEXT
from robotics.record import OBJECTS, PROPRIOCEPTION
from robotics.task import Task

AHEAD = 100
"""Frames of replayed actions after which the pictures are looked at."""
TIMED, WARM = 40, 5
"""Steps of a batch that are timed, after those that are not."""


def state_probe(
    world: World, latent: Latent, task: Task, store: EpisodeStore, episodes: int, progress: bool = True
) -> dict[str, Any]:
    """How far off what is read from a picture is from MuJoCo's truth, metres: generated pictures over real ones.

    The probe is the latent model's reader, which was trained on real pictures and labels alone. Recorded actions are replayed
    in the world from CONTEXT real frames; the picture AHEAD frames on is read, and the real one of the same moment.
    """
    last = CONTEXT + AHEAD - 1
    chosen = [i for i in store.indices() if store.length(i) > last][:episodes]
    if not chosen:
        raise ZoetropeError(f"{store.folder}: no episode of more than {last} frames to replay")
    real, generated = [], []
    with tqdm(total=len(chosen), desc="replay", unit="episode", disable=not progress) as bar:
        for start in range(0, len(chosen), BATCH):
            recorded = [store.read(i, 0, last + 1) for i in chosen[start : start + BATCH]]
            frames = _replayed(world, recorded)
            for episode, frame in zip(recorded, frames):
                real.append(_off(latent, task, episode, episode.frames[last]))
                generated.append(_off(latent, task, episode, frame))
            bar.update(len(recorded))
    return {
        "state_probe": {
            "frames": AHEAD,
            "real": figure(mean(real)),
            "generated": figure(mean(generated)),
            "ratio": figure(ratio(generated, real)),
        }
    }


def _replayed(world: World, recorded: list[Episode]) -> np.ndarray:
    """The last frame, imagined: uint8 (B, V, H, W, 3)."""
    session = world.open([episode.window(0, CONTEXT) for episode in recorded])
    shown = None
    for t in range(CONTEXT - 1, len(recorded[0]) - 1):
        shown = session.step(np.stack([episode.action[t] for episode in recorded]))
    assert shown is not None
    return shown.frame


def _off(latent: Latent, task: Task, episode: Episode, frame: np.ndarray) -> float:
    """Metres between where the hand and the things are read to be and where they are at the episode's end, their mean."""
    known = {name: episode.conditions[name][-1] for name in (PROPRIOCEPTION, OBJECTS)}
    z = embed_all(latent.model, frame[None], known[PROPRIOCEPTION][None])
    with torch.no_grad():
        read = latent.reader.state(z)[0].numpy()
    names = (*task.proprioception_names, *task.object_names)
    apart = read - np.concatenate([known[PROPRIOCEPTION], known[OBJECTS]])
    return float(np.mean([np.linalg.norm(apart[list(axes)]) for axes in places(names)]))


def speed(world: World, task: Task, store: EpisodeStore, progress: bool = True) -> dict[str, Any]:
    """Frames a second of a batch in the generated world and of MuJoCo with its pictures."""
    contexts = [store.read(i, 0, CONTEXT) for i in store.indices()[:BATCH]]
    session = world.open(contexts)
    action = np.stack([context.action[-1] for context in contexts])
    seconds = []
    for _ in tqdm(range(WARM + TIMED), desc="generated world", unit="step", disable=not progress):
        begun = time.perf_counter()
        session.step(action)
        seconds.append(time.perf_counter() - begun)
    generated = len(contexts) / float(np.median(seconds[WARM:]))
    task.reset(0)
    begun = time.perf_counter()
    for _ in range(TIMED * BATCH):
        task.step(action[0])
    simulated = TIMED * BATCH / (time.perf_counter() - begun)
    return {
        "frames_per_second": {
            "world": generated,
            "mujoco": simulated,
            "ratio": generated / simulated,
            "batch": len(contexts),
            "device": str(world.model.device),
        }
    }
