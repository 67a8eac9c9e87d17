"""Find a world by its name or folder, and load all that playing it takes: model, starts, game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import load_yaml
from core.episodes.episode import Episode
from core.errors import ZoetropeError
from games import registry

if TYPE_CHECKING:
    from core.streaming.world import World

WEIGHTS_FILE = "world.safetensors"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A world ready to be opened."""

    name: str
    """What the user called it: a registered name, or a folder."""
    game: registry.Game
    world: World
    starts: tuple[Episode, ...]
    """Short real recordings to begin from."""


def find(name: str) -> Path:
    """The weights folder behind `name`: of a registered world, or one that `zoetrope train` wrote."""
    folder = registry.GAMES[name].weights if name in registry.GAMES else Path(name)
    if (folder / WEIGHTS_FILE).exists():
        return folder
    if name in registry.GAMES:
        raise ZoetropeError(f"{folder / WEIGHTS_FILE}: no weights of '{name}' here; make them with: zoetrope train {name}")
    if folder.is_dir():
        raise ZoetropeError(f"{folder}: no {WEIGHTS_FILE} in this folder; a trained world is a folder that holds one")
    raise ZoetropeError(f"unknown world '{name}'; known worlds: {', '.join(registry.GAMES)}, or a folder with trained weights")


def game_of(folder: Path) -> registry.Game:
    """The game that the weights in `folder` imagine, read from the configuration beside them."""
    from core.streaming.model import CONFIG, WorldConfig

    name = load_yaml(WorldConfig, folder / CONFIG).name
    if name not in registry.GAMES:
        raise ZoetropeError(f"{folder / CONFIG}: name: expected one of {', '.join(registry.GAMES)}, found '{name}'")
    return registry.GAMES[name]


def load(name: str, accelerations: Sequence[Any] | None = None) -> Loaded:
    """Load a world by name or folder, with `accelerations` on (None: those of its YAML).

    ZoetropeError when it is unknown, missing or damaged, or cannot have them on.
    """
    folder = find(name)
    from core.streaming.world import World  # brings torch: only when something is played
    from games import starts

    game, world = game_of(folder), World.load(folder, accelerations)
    episodes = tuple(starts.load(folder))
    if not episodes:
        raise ZoetropeError(f"{folder}: no starts to begin from")
    return Loaded(name, game, world, episodes)
