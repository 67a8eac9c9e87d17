"""Train a game world from its recording by the one recipe, and put starts beside its weights."""

from __future__ import annotations

from pathlib import Path

from core.episodes.store import EpisodeStore
from core.streaming.model import WorldModel
from core.training import recipe
from games import registry, starts
from games.worlds import GameConfig


def train(config: GameConfig, data: Path, run: Path, out: Path, progress: bool = True) -> WorldModel:
    """Train from `data`/train, keeping checkpoints in `run`, and write the world with its starts to `out`.

    A run that was cut off goes on where it was.
    """
    model = recipe.train(config.world, config.train, EpisodeStore(data / "train"), run, out, progress=progress)
    starts.save(out, starts.make(registry.game(config.name), config))
    return model
