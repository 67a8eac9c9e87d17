"""The typed configuration of a game world: where it comes from, what is recorded, what is learnt and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.config import load_yaml
from core.streaming.model import WorldConfig
from core.training.recipe import RecipeConfig
from games.maze.levels import LevelConfig
from games.record import RecordConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class StartsConfig:
    """The short real recordings that come with the weights."""

    count: int
    frames: int
    policy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GameConfig:
    """One YAML file in configs/."""

    name: str
    record: RecordConfig
    world: WorldConfig
    train: RecipeConfig
    starts: StartsConfig
    levels: LevelConfig = field(default_factory=LevelConfig)
    """Of the maze; other sources have one kind of level."""


def load(path: Path) -> GameConfig:
    """Read a game world's YAML."""
    return load_yaml(GameConfig, path)
