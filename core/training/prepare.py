"""Prepare episodes for training the world model: latents, camera motions and what memory would have shown.

For every frame a memory that holds the episode up to some gap before it renders the frame's view. Small gaps are what a session
meets at every step; large ones and none at all teach the model to fill holes and to do without.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from core.backbone.state import join_state
from core.episodes.episode import FACTS, Episode
from core.episodes.store import EpisodeStore
from core.files import atomic_path
from core.hardware import cores
from core.memory.geometry import pixel_rays, relative_motion
from core.memory.obstacles import Obstacles, obstacle_points, scan_obstacles
from core.memory.sketch import SKETCH, SKETCH_DEPTH, TINT, TINT_EVIDENCE, Sketch, fit_tint, tint_evidence
from core.memory.spatial import SpatialMemory, Views
from core.streaming.model import WorldModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    frames: int
    """Memory holds everything up to this many frames before; 0 for no memory at all."""
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareConfig:
    episodes: int
    """How many episodes to prepare, spread evenly over the recording."""
    gaps: tuple[Gap, ...] = (
        Gap(frames=1, share=0.5),
        Gap(frames=3, share=0.15),
        Gap(frames=8, share=0.15),
        Gap(frames=24, share=0.15),
        Gap(frames=0, share=0.05),
    )
    untold: float = 0.0
    """Share of frames of which nothing is told, in a world that is told something: it learns to do without (classifier-free
    guidance, arXiv 2207.12598, needs that too)."""
    seen: int = 3
    """The first so many frames of an episode say what light its sketches are drawn in, as a session's first frames do."""
    unlit: float = 0.0
    """Share of episodes whose sketches are drawn in no particular light, as in a session that begins from nothing."""
    seed: int = 0


class PreparedStore:
    """Prepared episodes: one safetensors file each, read a window at a time."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.safetensors"

    def indices(self) -> list[int]:
        return sorted(int(p.stem) for p in self.folder.glob("[0-9]*.safetensors"))

    def write(self, index: int, tensors: dict[str, Tensor]) -> None:
        with atomic_path(self.path(index)) as temporary:
            save_file({n: t.contiguous() for n, t in tensors.items()}, temporary)

    def length(self, index: int) -> int:
        with safe_open(self.path(index), framework="pt") as file:
            return file.get_slice("latents").get_shape()[0]

    def read(self, index: int, names: tuple[str, ...], start: int = 0, length: int | None = None) -> dict[str, Tensor]:
        """Frames [start, start + length) of the named tensors that exist."""
        stop = None if length is None else start + length
        with safe_open(self.path(index), framework="pt") as file:
            there = set(file.keys())
            return {n: file.get_slice(n)[start:stop] for n in names if n in there}


RENDERING = ("colour", "depth", "valid", "coarseness")


EPISODES_A_PROCESS = 8
"""Fewer episodes than this are not worth starting a process for."""


def prepare(
    model: WorldModel, store: EpisodeStore, config: PrepareConfig, folder: Path, progress: bool = True
) -> PreparedStore:
    """Prepare windows to train the world model on: what `folder` does not hold yet of `config.episodes`."""
    indices = store.indices()
    picked = [indices[i] for i in np.unique(np.linspace(0, len(indices) - 1, min(config.episodes, len(indices))).astype(int))]
    return fill(folder, picked, partial(_prepare_one, model, store, config), "prepare", progress)


def prepare_walks(model: WorldModel, store: EpisodeStore, folder: Path, progress: bool = True) -> PreparedStore:
    """Prepare what the motion head learns from, of every episode: actions, motions, and what surrounds the camera."""
    return fill(folder, store.indices(), partial(_walk_one, model, store), "prepare walks", progress)


def _prepare_one(model: WorldModel, store: EpisodeStore, config: PrepareConfig, index: int) -> dict[str, Tensor]:
    return prepare_episode(model, store.read(index), config, np.random.default_rng((config.seed, index)))


def _walk_one(model: WorldModel, store: EpisodeStore, index: int) -> dict[str, Tensor]:
    return prepare_walk(model, store.read(index))


Work = Callable[[int], dict[str, Tensor]]


def fill(folder: Path, indices: list[int], work: Work, what: str, progress: bool) -> PreparedStore:
    """Write the episodes that `folder` lacks, over all cores when there are many."""
    prepared = PreparedStore(folder)
    missing = [i for i in indices if not prepared.path(i).exists()]
    processes = min(cores(), len(missing) // EPISODES_A_PROCESS)
    with tqdm(total=len(missing), desc=what, unit="episode", disable=not progress or not missing) as bar:
        if processes <= 1:
            for index in missing:
                with torch.inference_mode():
                    prepared.write(index, work(index))
                bar.update()
            return prepared
        with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (work, prepared)) as pool:
            for done in as_completed([pool.submit(_write_one, index) for index in missing]):
                done.result()
                bar.update()
    return prepared


_duty: tuple[Work, PreparedStore]


def _begin(work: Work, prepared: PreparedStore) -> None:
    global _duty  # the model travels to each process once
    torch.set_num_threads(1)
    _duty = (work, prepared)


@torch.inference_mode()
def _write_one(index: int) -> None:
    work, prepared = _duty
    prepared.write(index, work(index))


def prepare_walk(model: WorldModel, episode: Episode) -> dict[str, Tensor]:
    """The camera's walk through an episode, as tensors with a leading time axis; the first camera stands for the rig."""
    assert episode.pose is not None and model.motion is not None
    pose = torch.from_numpy(episode.pose[:, 0])
    out = {"next_action": torch.from_numpy(episode.action), "motion": _motions(pose)}
    depth = None if episode.depth is None else torch.from_numpy(episode.depth.astype(np.float32))
    if model.motion.config.look:
        out["latents"] = _encode(model, torch.from_numpy(episode.frames), depth).half()
    if model.motion.config.scan:
        assert model.config.spatial is not None and depth is not None and episode.intrinsics is not None
        height, width = episode.frames.shape[2:4]
        rays = pixel_rays(torch.from_numpy(episode.intrinsics[0]).float(), height, width)
        heights = model.config.spatial.obstacle
        views = obstacle_points(depth[:, 0], rays, pose, heights)
        # All that the episode ever shows is known throughout: what nobody has seen cannot be learnt from.
        obstacles = Obstacles(*views, pose, rays[:width, 0], torch.ones(len(pose), dtype=torch.bool))
        out["scan"] = torch.stack([scan_obstacles(obstacles, here, heights) for here in pose[:, :2, 3]])
        out["heading"] = pose[:, :2, 2]
    return out


def _motions(pose: Tensor) -> Tensor:
    """Motions (T, 6) that led to poses (T, 4, 4); zero for the first."""
    return torch.cat([torch.zeros(1, 6), relative_motion(pose[:-1], pose[1:])])


def prepare_episode(model: WorldModel, episode: Episode, config: PrepareConfig, rng: np.random.Generator) -> dict[str, Tensor]:
    """All that training needs of an episode, as tensors with a leading time axis."""
    length = len(episode)
    frames = torch.from_numpy(episode.frames)
    depth = None if episode.depth is None else torch.from_numpy(episode.depth.astype(np.float32))
    action = torch.from_numpy(episode.action)
    out = {
        "latents": _encode(model, frames, depth).half(),
        "action": torch.cat([torch.zeros_like(action[:1]), action[:-1]]),  # the action that led to each frame
        "started": torch.arange(length) > 0,
        "number": torch.arange(length),
    }
    if episode.reward is not None:
        out["reward"] = torch.cat([torch.zeros(1), torch.from_numpy(episode.reward[:-1])])
    if episode.terminated is not None:
        out["ended"] = torch.cat([torch.zeros(1, dtype=torch.bool), torch.from_numpy(episode.terminated[:-1])])
    if model.config.motion is not None and episode.pose is not None:
        out["motion"] = _motions(torch.from_numpy(episode.pose[:, 0]))
    told = rng.random(length) >= config.untold if model.config.conditions else np.ones(length, bool)
    if model.config.spatial is not None and episode.pose is not None and depth is not None:
        assert episode.intrinsics is not None
        out |= _remember(model, episode, config, told, rng)
    if model.config.still:
        out["condition"] = torch.cat([torch.zeros_like(out["latents"][:1]), out["latents"][:-1]])
    if model.config.facts:
        out["facts"] = torch.from_numpy(episode.conditions[FACTS] * told[:, None]).float()
    if model.config.state:
        out["state"] = torch.from_numpy(join_state(model.config.state, episode.conditions))
        out["before"] = torch.cat([out["state"][:1], out["state"][:-1]])
    return out


def measure_state(model: WorldModel, prepared: PreparedStore) -> None:
    """Take the units of the world's state from all that is prepared."""
    assert model.state is not None
    read = [prepared.read(index, ("state", "before", "started")) for index in prepared.indices()]
    moved = [(r["state"] - r["before"])[r["started"]] for r in read]
    model.state.measure(torch.cat([r["state"] for r in read]), torch.cat(moved))


def _encode(model: WorldModel, frames: Tensor, depth: Tensor | None) -> Tensor:
    """(T, V, H, W, 3) -> (T, V, C, h, w), a few frames at a time."""
    parts = []
    for start in range(0, len(frames), 32):
        cut = slice(start, start + 32)
        parts.append(model.tokenizer.encode(frames[None, cut], None if depth is None else depth[None, cut])[0])
    return torch.cat(parts)


def _remember(
    model: WorldModel, episode: Episode, config: PrepareConfig, told: np.ndarray, rng: np.random.Generator
) -> dict[str, Tensor]:
    """What memory shows of every frame, over what is known of those that are told of, bool (T,)."""
    assert model.config.spatial is not None and episode.intrinsics is not None
    assert episode.pose is not None and episode.depth is not None
    length, cameras, height, width = episode.frames.shape[:4]
    bank = replace(model.config.spatial, capacity=length * cameras)
    intrinsics, pose = torch.from_numpy(episode.intrinsics), torch.from_numpy(episode.pose)
    memory = SpatialMemory(bank, intrinsics, height, width)
    gaps = rng.choice([g.frames for g in config.gaps], size=length, p=[g.share for g in config.gaps])
    rays = model.rays(intrinsics, pose[0])
    tint = _tint(episode, config, rng) if model.config.sketch else torch.zeros(TINT)
    parts: list[dict[str, Tensor]] = []
    for t in range(length):
        gap = int(gaps[t])
        views = [
            memory.nothing() if gap == 0 else memory.render(pose[t, v], t, before=t - gap + 1, camera=v) for v in range(cameras)
        ]
        colour, far, valid, coarseness = (torch.stack([getattr(v, name) for v in views]) for name in RENDERING)
        shown, depth = (colour, far, valid, coarseness), torch.from_numpy(episode.depth[t].astype(np.float32))
        sketch = None
        if model.config.sketch:
            sketch = read_sketch(episode, t)
            depth = depth * (1 - sketch.moving)
            sketch = sketch.tinted(tint) if told[t] else sketch.blank()
            shown = sketch.before(shown)
        seen = torch.from_numpy(episode.frames[t]).permute(0, 3, 1, 2).float() / 127.5 - 1
        for v in range(cameras):
            memory.add(seen[v], depth[v], pose[t, v], t, camera=v)
        condition = model.condition(shown, sketch)
        if rays is not None:
            condition = torch.cat([condition, rays], 1)
        parts.append(pack_rendering(dict(zip(RENDERING, shown))) | {"condition": condition.half()})
    out = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    if model.config.sketch:
        out |= {"tint": tint.expand(length, *TINT), "told": torch.from_numpy(told)}
    return out


def _tint(episode: Episode, config: PrepareConfig, rng: np.random.Generator) -> Tensor:
    """(4, 3) the light in which an episode's sketches are drawn."""
    assert episode.depth is not None
    evidence = torch.zeros(TINT_EVIDENCE)
    if rng.random() >= config.unlit:
        for t in range(min(config.seen, len(episode))):
            seen = torch.from_numpy(episode.frames[t]).permute(0, 3, 1, 2).float() / 127.5 - 1
            evidence += tint_evidence(read_sketch(episode, t), seen, torch.from_numpy(episode.depth[t].astype(np.float32)))
    return fit_tint(evidence)


def read_sketch(episode: Episode, t: int) -> Sketch:
    """The sketch of one of an episode's frames, (V,) views."""
    return Sketch.unpack(episode.conditions[SKETCH][t], episode.conditions[SKETCH_DEPTH][t])


def pack_rendering(stacked: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renderings in few bytes: colour uint8, the rest half precision."""
    return {
        "colour": ((stacked["colour"] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8),
        "depth": stacked["depth"].clamp(max=6e4).half(),
        "valid": stacked["valid"].half(),
        "coarseness": stacked["coarseness"].half(),
    }


def unpack_rendering(packed: dict[str, Tensor]) -> Views:
    """The inverse of `pack_rendering`, in the order that `WorldModel` takes."""
    colour = packed["colour"].float() / 127.5 - 1
    return colour, packed["depth"].float(), packed["valid"].float(), packed["coarseness"].float()
