"""Prepare episodes for training the world model: latents, camera motions and what memory would have shown.

For every frame a memory that holds the episode up to some gap before it renders the frame's view. Small gaps are what a session
meets at every step; large ones and none at all teach the model to fill holes and to do without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.files import atomic_path
from core.memory.geometry import relative_motion
from core.memory.spatial import SCAN_SECTORS, SpatialMemory, Views
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


@torch.inference_mode()
def prepare(
    model: WorldModel, store: EpisodeStore, config: PrepareConfig, folder: Path, progress: bool = True
) -> PreparedStore:
    """Prepare what `folder` does not hold yet."""
    prepared = PreparedStore(folder)
    indices = store.indices()
    picked = [indices[i] for i in np.unique(np.linspace(0, len(indices) - 1, min(config.episodes, len(indices))).astype(int))]
    missing = [i for i in picked if not prepared.path(i).exists()]
    for index in tqdm(missing, desc="prepare", unit="episode", disable=not progress or not missing):
        rng = np.random.default_rng((config.seed, index))
        prepared.write(index, prepare_episode(model, store.read(index), config, rng))
    return prepared


def prepare_episode(model: WorldModel, episode: Episode, config: PrepareConfig, rng: np.random.Generator) -> dict[str, Tensor]:
    """All that training needs of an episode, as tensors with a leading time axis."""
    length, cameras = episode.frames.shape[:2]
    frames = torch.from_numpy(episode.frames)
    depth = None if episode.depth is None else torch.from_numpy(episode.depth.astype(np.float32))
    action = torch.from_numpy(episode.action)
    out = {
        "latents": _encode(model, frames, depth).half(),
        "action": torch.cat([torch.zeros_like(action[:1]), action[:-1]]),  # the action that led to each frame
        "next_action": action,
        "started": torch.arange(length) > 0,
        "number": torch.arange(length),
    }
    if episode.reward is not None:
        out["reward"] = torch.cat([torch.zeros(1), torch.from_numpy(episode.reward[:-1])])
    if episode.terminated is not None:
        out["ended"] = torch.cat([torch.zeros(1, dtype=torch.bool), torch.from_numpy(episode.terminated[:-1])])
    if model.config.motion is not None and episode.pose is not None:
        pose = torch.from_numpy(episode.pose)
        out["motion"] = torch.cat([torch.zeros(1, 6), relative_motion(pose[:-1, 0], pose[1:, 0])])
    if model.config.spatial is not None and episode.pose is not None and depth is not None:
        assert episode.intrinsics is not None
        views = [_remember(model, episode, v, config, rng) for v in range(cameras)]
        for name in (*RENDERING, "condition"):
            out[name] = torch.stack([view[name] for view in views], 1)
        out["scan"] = views[0]["scan"]
    return out


def _encode(model: WorldModel, frames: Tensor, depth: Tensor | None) -> Tensor:
    """(T, V, H, W, 3) -> (T, V, C, h, w), a few frames at a time."""
    parts = []
    for start in range(0, len(frames), 32):
        cut = slice(start, start + 32)
        parts.append(model.tokenizer.encode(frames[None, cut], None if depth is None else depth[None, cut])[0])
    return torch.cat(parts)


def _remember(
    model: WorldModel, episode: Episode, camera: int, config: PrepareConfig, rng: np.random.Generator
) -> dict[str, Tensor]:
    """What memory shows of every frame of one camera."""
    from dataclasses import replace

    assert model.config.spatial is not None and episode.intrinsics is not None
    assert episode.pose is not None and episode.depth is not None
    length = len(episode)
    bank = replace(model.config.spatial, capacity=length)
    height, width = episode.frames.shape[2:4]
    memory = SpatialMemory(bank, torch.from_numpy(episode.intrinsics[camera]), height, width)
    colour = torch.from_numpy(episode.frames[:, camera]).permute(0, 3, 1, 2).float() / 127.5 - 1
    depth = torch.from_numpy(episode.depth[:, camera].astype(np.float32))
    pose = torch.from_numpy(episode.pose[:, camera])
    gaps = rng.choice([g.frames for g in config.gaps], size=length, p=[g.share for g in config.gaps])
    shown, scans = [], []
    for t in range(length):
        gap = int(gaps[t])
        shown.append(memory.nothing() if gap == 0 else memory.render(pose[t], t, before=t - gap + 1))
        memory.add(colour[t], depth[t], pose[t], t)
        scans.append(memory.scan(pose[t]) if bank.obstacle[1] > bank.obstacle[0] else torch.full((SCAN_SECTORS,), 1e6))
    stacked = {name: torch.stack([getattr(s, name) for s in shown]) for name in RENDERING}
    parts = [
        model.encode_rendering(*(stacked[n][start : start + 32] for n in RENDERING)).half() for start in range(0, length, 32)
    ]
    return pack_rendering(stacked) | {"condition": torch.cat(parts), "scan": torch.stack(scans)}


def pack_rendering(stacked: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renderings in few bytes: colour uint8, depth and coarseness half precision, valid bool."""
    return {
        "colour": ((stacked["colour"] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8),
        "depth": stacked["depth"].clamp(max=6e4).half(),
        "valid": stacked["valid"] > 0,
        "coarseness": stacked["coarseness"].half(),
    }


def unpack_rendering(packed: dict[str, Tensor]) -> Views:
    """The inverse of `pack_rendering`, in the order that `WorldModel` takes."""
    colour = packed["colour"].float() / 127.5 - 1
    return colour, packed["depth"].float(), packed["valid"].float(), packed["coarseness"].float()
