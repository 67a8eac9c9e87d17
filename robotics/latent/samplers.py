"""What the latent networks are trained on: random windows and pairs of moments of recorded episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from robotics.latent.inverse import InverseConfig, embed_all
from robotics.latent.model import LeWorldModel, ModelConfig
from robotics.record import OBJECTS, PROPRIOCEPTION


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
