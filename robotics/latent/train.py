"""Training on recorded episodes: the latent model first, then inverse dynamics on its embeddings. Each can be cut off."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from core.config import load_yaml, to_dict
from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.files import write_text
from core.heap import keep_freed_memory
from core.training.trainer import TrainConfig, Trainer
from robotics.latent import ABOUT
from robotics.latent.collapse import measure
from robotics.latent.controller import ControllerConfig
from robotics.latent.evaluate import ProtocolConfig
from robotics.latent.inverse import InverseConfig, InverseDynamics, embed_all
from robotics.latent.model import LeWorldModel, ModelConfig
from robotics.latent.planners import PlannerConfig
from robotics.record import OBJECTS, PROPRIOCEPTION
from robotics.worlds import CONFIGS

RECIPE = "recipe.yaml"
"""The whole configuration, beside the weights."""
STATISTICS_BATCHES = 50
"""Batches over which the encoder's batch statistics are taken once its weights are final."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentConfig:
    """One YAML file in configs/."""

    name: str
    world: str
    """The robot world whose recordings are learnt from: the name of its own YAML."""
    model: ModelConfig
    train: TrainConfig
    inverse: InverseConfig
    train_inverse: TrainConfig
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)

    def __post_init__(self) -> None:
        model, inverse = self.model, self.inverse
        if (inverse.embedding, inverse.action) != (model.embedding, model.action):
            raise ZoetropeError(
                f"config {self.name}: inverse: embedding and action must be the model's, {model.embedding} and {model.action}"
            )


def config_file(name_or_file: str | Path) -> Path:
    """The YAML of a latent model that comes with the program, by its name, or the file itself."""
    return CONFIGS / f"{name_or_file}.yaml" if str(name_or_file) in ABOUT else Path(name_or_file)


def load(path: Path) -> LatentConfig:
    """Read a latent model's YAML."""
    return load_yaml(LatentConfig, path)


def train_latent(
    config: LatentConfig, store: EpisodeStore, folder: Path, out: Path, progress: bool = True
) -> tuple[LeWorldModel, InverseDynamics]:
    """Train both networks on the episodes of `store`, write them into `out`, and read them back. Cut off, it goes on.

    Checkpoints and logs live in `folder`; `summary.json` there tells time, sizes, and whether the embeddings collapsed.
    """
    keep_freed_memory(shared=True)
    torch.manual_seed(config.train.seed)
    model = LeWorldModel(config.model)
    sampler = MomentSampler(store, config.model, config.train.seed)
    model.encoder.centre, model.encoder.spread = sampler.spread("proprioception")
    if model.reader is not None:
        model.reader.centre, model.reader.spread = sampler.spread("state")
    trainer = Trainer(
        model,
        lambda batch, generator: model.loss(*batch, generator=generator),
        lambda step: sampler.draw(step, config.train.batch),
        config.train,
        folder / "latent",
    )
    trainer.run("latent model", progress=progress)
    _settle(model, sampler, config.train)
    model.save(out)
    model = LeWorldModel.load(out)

    inverse = InverseDynamics(config.inverse)
    pairs = PairSampler(model, store, config.inverse, config.train_inverse.seed)
    second = Trainer(
        inverse,
        lambda batch, generator: inverse.loss(*batch, generator=generator),
        lambda step: pairs.draw(step, config.train_inverse.batch),
        config.train_inverse,
        folder / "inverse",
    )
    second.run("inverse dynamics", progress=progress)
    inverse.save(out)
    write_text(out / RECIPE, yaml.safe_dump(to_dict(config), sort_keys=False))
    collapse = measure(model, store)
    summary = {
        "episodes": len(store.indices()),
        "parameters": {"latent": _count(model), "inverse": _count(inverse)},
        "seconds": {"latent": round(trainer.seconds, 1), "inverse": round(second.seconds, 1)},
        "collapse": collapse.as_dict(),
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return model, InverseDynamics.load(out)


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@torch.no_grad()
def _settle(model: LeWorldModel, sampler: MomentSampler, config: TrainConfig) -> None:
    """Take the encoder's batch statistics anew: those gathered while training are of other weights, and of no checkpoint."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all that follows
    model.encoder.train()
    for batch in range(STATISTICS_BATCHES):
        frames, proprioception, *_ = sampler.draw(config.steps + batch, config.batch)
        model.encoder(frames.flatten(0, 1), proprioception.flatten(0, 1))
    model.eval()


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What is learnt from of one episode."""

    frames: np.ndarray
    """uint8 (T, V, H, W, 3)."""
    proprioception: np.ndarray
    """float32 (T, P)."""
    action: np.ndarray
    """float32 (T, A)."""
    state: np.ndarray
    """float32 (T, K)."""


class MomentSampler:
    """Random windows of `history` + 1 moments a stride apart, decided by (seed, step) alone."""

    def __init__(self, store: EpisodeStore, config: ModelConfig, seed: int):
        """Reads every episode once and holds it in memory: 24 KiB a frame at two cameras of 64x64."""
        self.config, self.seed = config, seed
        self.frames = config.history * config.stride + 1
        found = [i for i in store.indices() if store.length(i) >= self.frames]
        if not found:
            raise ZoetropeError(
                f"{store.folder}: no episode of at least {self.frames} frames; record some with 'zoetrope record'"
            )
        _check(store, store.read(found[0], 0, 1), config)
        size = config.proprioception
        self.held = [
            Held(frames=e.frames, proprioception=_known(e, size), action=e.action, state=_state(e, config.read))
            for e in map(store.read, found)
        ]

    def draw(self, step: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames uint8 (B, T, V, H, W, 3), proprioception (B, T, P), actions (B, T - 1, S, A) and states (B, T, K)."""
        rng = np.random.default_rng((self.seed, step))
        stride = self.config.stride
        frames, known, actions, states = [], [], [], []
        for pick in rng.integers(len(self.held), size=count):
            held = self.held[pick]
            first = int(rng.integers(len(held.frames) - self.frames + 1))
            last = first + self.frames - 1
            frames.append(held.frames[first : last + 1 : stride])
            known.append(held.proprioception[first : last + 1 : stride])
            actions.append(held.action[first:last].reshape(-1, stride, self.config.action))
            states.append(held.state[first : last + 1 : stride])
        return tuple(torch.from_numpy(np.stack(x)) for x in (frames, known, actions, states))  # type: ignore[return-value]

    def spread(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation over the episodes of what `Held` calls `name`, to see it in."""
        rows = np.concatenate([getattr(held, name) for held in self.held])
        return torch.from_numpy(rows.mean(0)), torch.from_numpy(rows.std(0).clip(1e-3))


class PairSampler:
    """Random pairs of frames of one episode, their distance log-uniform in 1 to `reach`, and what was done after the first."""

    def __init__(self, model: LeWorldModel, store: EpisodeStore, config: InverseConfig, seed: int):
        """Embeds every episode once: a few hundred bytes a frame are held in memory."""
        self.config, self.seed = config, seed
        found, actions = [], []
        for index in store.indices():
            episode = store.read(index)
            if len(episode) > 1:
                found.append(embed_all(model, episode.frames, _known(episode, model.config.proprioception)))
                actions.append(torch.from_numpy(episode.action))
        if not found:
            raise ZoetropeError(f"{store.folder}: no episode of two frames or more; record some with 'zoetrope record'")
        lengths = torch.tensor([len(z) for z in found])
        self.embeddings = torch.cat(found)
        padding = torch.zeros(config.chunk, config.action)  # a chunk may hang over the end, where it counts for nothing
        self.actions = torch.cat([*actions, padding])
        ends = lengths.cumsum(0)
        self.last = torch.repeat_interleave(ends - 1, lengths)
        self.starts = (torch.arange(len(self.last)) < self.last).nonzero()[:, 0]

    def draw(self, step: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Embeddings (B, D) here and there, the frames between them (B,), and the actions (B, C, A) from here."""
        rng = np.random.default_rng((self.seed, step))
        here = self.starts[torch.from_numpy(rng.integers(len(self.starts), size=count))]
        most = (self.last[here] - here).clamp(max=self.config.reach)
        left = torch.from_numpy(rng.random(count)).mul((most + 1).double().log()).exp().long().clamp(min=1)
        left = torch.minimum(left, most)
        chunk = here[:, None] + torch.arange(self.config.chunk)
        return self.embeddings[here], self.embeddings[here + left], left, self.actions[chunk]


def _known(episode: Episode, size: int) -> np.ndarray:
    """Proprioception float32 (T, P)."""
    return episode.conditions[PROPRIOCEPTION][:, :size] if size else np.zeros((len(episode), 0), np.float32)


def _state(episode: Episode, size: int) -> np.ndarray:
    """The robot's own numbers and where things are, the first `size` of them: float32 (T, K)."""
    if not size:
        return np.zeros((len(episode), 0), np.float32)
    return np.concatenate([episode.conditions[PROPRIOCEPTION], episode.conditions[OBJECTS]], 1)[:, :size]


def _check(store: EpisodeStore, episode: Episode, config: ModelConfig) -> None:
    """That the recordings are of the config's sizes; ZoetropeError where they are not."""
    wanted = (config.cameras, config.height, config.width, 3)
    told = (config.action,)
    for name, found, expected in (("frames", episode.frames.shape[1:], wanted), ("action", episode.action.shape[1:], told)):
        if found != expected:
            raise ZoetropeError(f"{store.folder}: {name} of shape {found}, and the config's model reads {expected}")
    held, things = (episode.conditions.get(name, np.zeros((1, 0))).shape[1] for name in (PROPRIOCEPTION, OBJECTS))
    if held + things < config.read:
        raise ZoetropeError(f"{store.folder}: {held + things} numbers of the state, and the config's model reads {config.read}")
    if held < config.proprioception:
        raise ZoetropeError(
            f"{store.folder}: {held} numbers of proprioception, and the config's model reads {config.proprioception}"
        )
