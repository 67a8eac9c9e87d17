"""Reading the action from pictures: a small network trained on real frames alone, then shown generated ones.

`action[t]` was done between frame t and frame t+1, so the probe sees frames t-1, t and t+1. A continuous action is read
component by component as its sign (three classes), a discrete one as its class. Scores are *balanced* (the mean over classes of
the share read right): most keys are not pressed most of the time, and a probe that always says so must not look good. What a
probe cannot read on real frames (walking against a wall moves nothing) it cannot read on generated ones either, so the figure
to judge by is the ratio of the two on the same actions.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import trange

from core.config import to_dict
from core.episodes.store import EpisodeStore
from core.files import atomic_path


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    classes: tuple[int, ...]
    """Classes of each part of the action that is read: 3 a sign, or the number of discrete choices."""
    components: tuple[int, ...] = ()
    """Which components of a continuous action are read; empty for a discrete one."""
    cameras: int = 1
    height: int = 72
    width: int = 96
    """Frames are shrunk to this, and to their luma, before they are read: motion is what tells the action."""
    channels: tuple[int, ...] = (24, 48, 96, 128)
    steps: int = 500
    batch: int = 64
    rate: float = 2e-3
    episodes: int = 96
    """Train episodes it learns from, spread evenly over those recorded."""
    seed: int = 0


class Probe(nn.Module):
    """Strided convolutions over three frames and their differences, one linear head over all classes."""

    def __init__(self, config: ProbeConfig):
        super().__init__()
        self.config = config
        inside = 5 * config.cameras
        layers: list[nn.Module] = []
        height, width = config.height, config.width
        for outside in config.channels:
            layers += [nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.GroupNorm(8, outside), nn.SiLU()]
            inside, height, width = outside, (height + 1) // 2, (width + 1) // 2
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.1))
        self.head = nn.Linear(inside * height * width, sum(config.classes))

    def forward(self, triples: Tensor) -> Tensor:
        """Luma, uint8 (B, 3, V, h, w) -> logits (B, sum of classes)."""
        x = (triples.float() / 127.5 - 1).transpose(1, 2)  # B V t h w
        if self.training:  # grain must not decide: generated frames have their own
            x = x + 0.03 * torch.randn_like(x)
        motion = 4 * x.diff(dim=2)
        return self.head(self.body(torch.cat([x, motion], 2).flatten(1, 2)))

    @torch.no_grad()
    def read(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 (T, V, H, W, 3) -> classes int (T - 2, parts): entry t is read from frames t, t+1, t+2."""
        self.eval()
        small = torch.from_numpy(shrink(frames, self.config.height, self.config.width))
        triples = torch.stack([small[:-2], small[1:-1], small[2:]], 1)
        logits = torch.cat([self(part) for part in triples.split(128)])
        return torch.stack([part.argmax(-1) for part in logits.split(self.config.classes, -1)], -1).numpy()


def targets(action: np.ndarray, config: ProbeConfig) -> np.ndarray:
    """Actions (T, A) or (T,) -> classes int (T, parts)."""
    if action.ndim == 1:
        return action.astype(np.int64)[:, None]
    return (np.sign(np.where(np.abs(action) < 0.25, 0, action))[:, list(config.components)] + 1).astype(np.int64)


def confusions(frames: np.ndarray, action: np.ndarray, probe: Probe) -> np.ndarray:
    """Count what was done against what is read: int (parts, C, C), C the most classes of a part.

    `frames` (T, V, H, W, 3) with the `action` (T, ...) recorded for the same times; rows are the truth.
    """
    truth = targets(action, probe.config)[1 : len(frames) - 1]
    most = max(probe.config.classes)
    counts = np.zeros((len(probe.config.classes), most, most), np.int64)
    if len(frames) >= 3:
        for part, (done, seen) in enumerate(zip(truth.T, probe.read(frames).T)):
            np.add.at(counts[part], (done, seen), 1)
    return counts


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Confusion counts (..., parts, C, C) -> (...,): mean recall over the classes that occur, then over the parts."""
    done = counts.sum(-1)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    recall = np.where(done > 0, right / np.maximum(done, 1), np.nan)
    occurs = (done > 0).sum(-1)
    by_part = np.where(occurs > 0, np.nansum(recall, -1) / np.maximum(occurs, 1), np.nan)
    return np.nanmean(by_part, -1)


def train(store: EpisodeStore, config: ProbeConfig, *, progress: bool = False) -> Probe:
    """Train on the real episodes of `store`. Seeded; about a minute on one thread at the default size."""
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    frames, labels, weights = _load(store, config)
    probe = Probe(config).train()
    optimizer = torch.optim.AdamW(probe.parameters(), lr=config.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=config.steps)
    for _ in trange(config.steps, desc="probe", disable=not progress, leave=False):
        index = torch.multinomial(weights, config.batch, replacement=True, generator=generator)
        triples = torch.stack([frames[index], frames[index + 1], frames[index + 2]], 1)
        parts = probe(triples).split(config.classes, -1)
        loss = torch.stack([F.cross_entropy(part, label) for part, label in zip(parts, labels[index].unbind(-1))]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return probe.eval()


def cached(store: EpisodeStore, config: ProbeConfig, folder: Path, world: str, *, progress: bool = False) -> Probe:
    """The probe of a world, from `folder` when it was trained before on the same episodes with the same config."""
    names = [(i, store.length(i)) for i in _chosen(store, config)]
    described = json.dumps([to_dict(config), names, [p.__name__ for p in (Probe, train)]], sort_keys=True)
    path = folder / f"probe-{world}-{hashlib.sha256(described.encode()).hexdigest()[:12]}.safetensors"
    probe = Probe(config)
    try:
        probe.load_state_dict(load_file(path))
        return probe.eval()
    except (OSError, SafetensorError, RuntimeError):  # not there, cut short or of another shape: train it
        pass
    probe = train(store, config, progress=progress)
    try:
        with atomic_path(path) as temporary:
            save_file(probe.state_dict(), temporary)
    except OSError:  # a read-only folder costs the next run a minute, no more
        pass
    return probe


def shrink(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (T, V, H, W, 3) -> luma (T, V, height, width) by area averaging."""
    out = np.empty((*frames.shape[:2], height, width), np.uint8)
    for t, cameras in enumerate(frames):
        for v, frame in enumerate(cameras):
            luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            out[t, v] = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    return out


def _chosen(store: EpisodeStore, config: ProbeConfig) -> list[int]:
    indices = store.indices()
    picks = np.linspace(0, len(indices) - 1, min(config.episodes, len(indices))).round().astype(int)
    return [indices[i] for i in picks]


def _load(store: EpisodeStore, config: ProbeConfig) -> tuple[Tensor, Tensor, Tensor]:
    """All chosen frames end to end, the classes of the action after each next one, and how often to draw each triple.

    Triples that cross from one episode into the next get no weight; rare actions get more, by one over the root of how often
    each part's class occurs.
    """
    frames, labels, inside = [], [], []
    for index in _chosen(store, config):
        episode = store.read(index)
        if len(episode) < 3:
            continue
        frames.append(shrink(episode.frames, config.height, config.width))
        labels.append(np.roll(targets(episode.action, config), -1, 0))
        inside.append(np.arange(len(episode)) < len(episode) - 2)
    label, valid = np.concatenate(labels), np.concatenate(inside).astype(float)
    weight = np.zeros(len(label))
    for part, classes in zip(label.T, config.classes):
        often = np.bincount(part, minlength=classes) / len(part)
        weight += 1 / np.sqrt(np.maximum(often, 1e-3))[part]
    return torch.from_numpy(np.concatenate(frames)), torch.from_numpy(label), torch.from_numpy(weight * valid)
