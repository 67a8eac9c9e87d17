"""Reading actions back from what was seen: out of pictures, or out of what the robot's own sensors say.

Both ask the same inverse dynamics about other embeddings. `Pictures` knows frames as LeWorldModel embeds them; `Sensors` knows
a frame by how proprioception moves around it, which is learnt from a few hundred frames in a minute and far more exact where
sensors, measured or predicted, are at hand. Shape letters: T frames, P proprioception, A action size, W moments of a window.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import weights
from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.training.trainer import TrainConfig, Trainer
from robotics.latent.inverse import InverseConfig, InverseDynamics, pseudo_actions, read_actions
from robotics.latent.model import LeWorldModel
from robotics.record import PROPRIOCEPTION

TRAIN = TrainConfig(steps=2500, batch=256, learning_rate=2e-3, warmup=100, decay=0.7, average=0.99)
"""How a reader of sensors is trained, unless asked otherwise: half a minute of one CPU core."""
NAME, REMEDY = "sensors", "train them with robotics.engine.readers.train_sensors"
"""Of the files that hold an action reader of sensors."""
TRAINING = "training"
"""Folder of what an unfinished training goes on from."""
LEAST_MOTION = 1e-3
"""A sensor whose changes from frame to frame spread less than this (metres) is not magnified further."""

RUN = 16
"""Frames in a row that are learnt from together, so that errors of single actions do not add up to a path that drifts."""
CLOSE = 0.1
"""Of a path of summed actions, how far off counts by its square; what is further counts by its size alone."""
HELD = 5
"""Every so many episodes one is kept from training, to find out how far the reader's own spread is to be believed."""


class Reading(NamedTuple):
    """What was done, as far as can be told."""

    action: np.ndarray
    """float32 (T - 1, A): what leads from each frame to the next."""
    confidence: np.ndarray
    """float32 (T - 1,): the probability that no component is further off than `robotics.latent.inverse.TOLERANCE`."""


class ActionReader(Protocol):
    """Inverse dynamics as the data engine uses it."""

    name: str

    def read(self, frames: np.ndarray, proprioception: np.ndarray) -> Reading:
        """Of frames uint8 (T, V, H, W, 3) and proprioception (T, P), measured or predicted."""
        ...


class Pictures:
    """Reads embeddings of frames."""

    name = "pictures"

    def __init__(self, model: LeWorldModel, inverse: InverseDynamics):
        self.model, self.inverse = model, inverse

    @staticmethod
    def load(folder: Path) -> Pictures:
        """Of a trained latent model's folder."""
        return Pictures(LeWorldModel.load(folder), InverseDynamics.load(folder))

    def read(self, frames: np.ndarray, proprioception: np.ndarray) -> Reading:
        return Reading(*pseudo_actions(self.model, self.inverse, frames, proprioception))


@dataclass(frozen=True, kw_only=True, slots=True)
class SensorsConfig:
    """Sizes of a reader of sensors."""

    proprioception: int
    action: int
    before: int = 3
    """Frames of a window before its own."""
    after: int = 4
    """And after it: a hand goes on following for a while what it was told."""
    width: int = 128
    layers: int = 2

    @property
    def embedding(self) -> int:
        """Numbers that stand for a frame."""
        window = self.before + self.after + 1
        return window * (self.proprioception + 1) + self.proprioception

    @property
    def inverse(self) -> InverseConfig:
        return InverseConfig(
            embedding=self.embedding,
            action=self.action,
            chunk=1,
            reach=1,
            width=self.width,
            layers=self.layers,
            dropout=0.0,
        )


class Sensors(nn.Module):
    """Reads windows of proprioception."""

    name = "sensors"
    motion: Tensor
    centre: Tensor
    spread: Tensor
    doubt: Tensor

    def __init__(self, config: SensorsConfig):
        super().__init__()
        self.config = config
        self.inverse = InverseDynamics(config.inverse)
        self.register_buffer("doubt", torch.ones(1))
        for name, value in (("motion", 1.0), ("centre", 0.0), ("spread", 1.0)):
            self.register_buffer(name, torch.full((config.proprioception,), value))

    def see_in(self, proprioception: Sequence[np.ndarray]) -> None:
        """Take the units to see in from episodes' proprioception, each (T, P)."""
        rows = np.concatenate(proprioception)
        steps = np.concatenate([np.diff(p, axis=0) for p in proprioception])
        self.motion.copy_(torch.from_numpy(steps.std(0).clip(LEAST_MOTION)))
        self.centre.copy_(torch.from_numpy(rows.mean(0)))
        self.spread.copy_(torch.from_numpy(rows.std(0).clip(LEAST_MOTION)))

    def embed(self, proprioception: np.ndarray) -> Tensor:
        """(T, P) -> (T, D): where every moment of a window lies from its own frame, which of them exist, and where that is."""
        known = torch.from_numpy(np.ascontiguousarray(proprioception, np.float32))
        frames = len(known)
        moments = torch.arange(frames)[:, None] + torch.arange(-self.config.before, self.config.after + 1)
        away = (known[moments.clamp(0, frames - 1)] - known[:, None]) / self.motion
        there = ((moments >= 0) & (moments < frames)).float()
        return torch.cat([away.flatten(1), there, (known - self.centre) / self.spread], 1)

    def read(self, frames: np.ndarray, proprioception: np.ndarray) -> Reading:
        if proprioception.shape[1] != self.config.proprioception:
            raise ZoetropeError(
                f"action reader: reads {self.config.proprioception} numbers of proprioception, found {proprioception.shape[1]}"
            )
        return Reading(*read_actions(self.inverse, self.embed(proprioception), float(self.doubt)))

    def loss(self, batch: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Likelihood of the actions of runs, as `_Runs` draws them, and how far their sums lead astray; and the mean error."""
        here, there, action, counts = batch
        told = self.inverse(here.flatten(0, 1), there.flatten(0, 1), torch.ones(counts.numel()))
        mean, spread = (part[:, 0].unflatten(0, counts.shape) for part in told)
        counted = counts[..., None].expand_as(action).float()
        off = (mean - action) * counted
        likelihood = (((off / spread).square() / 2 + spread.log()) * counted).sum() / counted.sum()
        path = F.smooth_l1_loss(off.cumsum(1), torch.zeros_like(off), beta=CLOSE, reduction="none")
        error = off.detach().abs().sum() / counted.sum()
        return likelihood + (path * counted).sum() / counted.sum(), {"error": float(error)}

    @torch.no_grad()
    def calibrate(self, here: Tensor, there: Tensor, action: Tensor) -> None:
        """Learn from unseen pairs (B, D) twice and the actions (B, A) between how much further off it is than it tells."""
        told = self.inverse(here, there, torch.ones(len(here)))
        off = (told.mean[:, 0] - action) / told.spread[:, 0]
        self.doubt.fill_(max(1.0, float(off.square().mean().sqrt())))

    def save(self, folder: Path) -> None:
        """Write config and weights into `folder`, atomically."""
        weights.save(self, self.config, folder, NAME, lambda _, tensor: tensor.ndim < 2)

    @staticmethod
    def load(folder: Path) -> Sensors:
        """Read it. Raises ZoetropeError when anything is missing, cut short or of another architecture."""
        return weights.load(Sensors, SensorsConfig, folder, NAME, REMEDY)


def train_sensors(
    episodes: Sequence[Episode], folder: Path, config: TrainConfig | None = None, progress: bool = True
) -> Sensors:
    """A reader of the proprioception and actions of `episodes`, written into `folder`; what is there already is only read.

    Cut off, it goes on. Raises ZoetropeError where there is nothing to learn from.
    """
    if (folder / f"{NAME}.safetensors").exists():
        return Sensors.load(folder)
    told = [e for e in episodes if PROPRIOCEPTION in e.conditions and len(e) > 1]
    if not told:
        raise ZoetropeError("action reader: no episode of two frames or more with proprioception to learn from")
    config = config or TRAIN
    torch.manual_seed(config.seed)
    known = [e.conditions[PROPRIOCEPTION] for e in told]
    reader = Sensors(SensorsConfig(proprioception=known[0].shape[1], action=told[0].action.shape[1]))
    reader.see_in(known)
    held = [i % HELD == HELD - 1 for i in range(len(told))]
    lessons = _Runs(reader, [e for e, out in zip(told, held) if not out], config)
    trainer = Trainer(reader, reader.loss, lessons.draw, config, folder / TRAINING)
    trainer.run("action reader", progress=progress)
    reader.eval()
    if any(held):
        reader.calibrate(*_pairs(reader, [e for e, out in zip(told, held) if out]))
    reader.save(folder)
    shutil.rmtree(folder / TRAINING, ignore_errors=True)
    return Sensors.load(folder)


class _Runs:
    """Runs of RUN frames of one episode each, decided by (seed, step) alone; what hangs over its end does not count."""

    def __init__(self, reader: Sensors, episodes: Sequence[Episode], config: TrainConfig):
        self.here, self.there, self.action = _pairs(reader, episodes)
        lengths = torch.tensor([len(e) - 1 for e in episodes])
        self.end = torch.repeat_interleave(lengths.cumsum(0), lengths)
        self.config = config

    def draw(self, step: int) -> tuple[Tensor, ...]:
        """Embeddings (N, RUN, D) twice, actions (N, RUN, A) and which of them count (N, RUN)."""
        rng = np.random.default_rng((self.config.seed, step))
        first = torch.from_numpy(rng.integers(len(self.action), size=max(1, self.config.batch // RUN)))
        rows = first[:, None] + torch.arange(RUN)
        counts = rows < self.end[first][:, None]
        rows = rows.clamp(max=len(self.action) - 1)
        return self.here[rows], self.there[rows], self.action[rows], counts


def _pairs(reader: Sensors, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings (B, D) of frames and of those after them, and the actions (B, A) between."""
    z = [reader.embed(e.conditions[PROPRIOCEPTION]) for e in episodes]
    action = torch.from_numpy(np.concatenate([e.action[:-1] for e in episodes]))
    return torch.cat([x[:-1] for x in z]), torch.cat([x[1:] for x in z]), action
