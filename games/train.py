"""Train a game world from its recording by the one recipe, and put starts beside its weights."""

from __future__ import annotations

from pathlib import Path

import torch

from core.episodes.store import EpisodeStore
from core.streaming.model import WorldModel
from core.training import recipe
from games import registry, starts
from games.worlds import GameConfig


def train(
    config: GameConfig, data: Path, run: Path, out: Path, progress: bool = True, device: torch.device | None = None
) -> WorldModel:
    """Train from `data`/train, keeping checkpoints in `run`, and write the world with its starts to `out`.

    A run that was cut off goes on where it was.
    """
    store = EpisodeStore(data / "train")
    model = recipe.train(config.world, config.train, store, run, out, progress=progress, device=device)
    starts.save(out, starts.make(registry.game(config.name), config))
    return model
