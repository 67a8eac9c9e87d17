"""The games this program knows: what each is called, which keys play it, and which engine stands behind it.

Importing this module imports no engine and no network code; each is fetched when it is first needed.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ZoetropeError
from games import keys
from games.source import Policy, Source

if TYPE_CHECKING:
    from gymnasium import spaces

    from games.worlds import GameConfig

WEIGHTS = Path(__file__).parent / "weights"
CONFIGS = Path(__file__).parent.parent / "configs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Game:
    """One game. `source` and `policy` name a class as `module:Class`."""

    name: str
    about: str
    """One line for `zoetrope worlds`."""
    keys: keys.KeyMap
    waits: bool
    """Whether the world stands still while no key is pressed (a game of turns)."""
    tour: tuple[tuple[str, int], ...]
    """What the scripted tour presses: keys joined by '+', and for how many frames."""
    source: str
    policy: str
    choices: tuple[int, ...]
    """How an agent chooses: (n,) is one of n actions; more are parts of a continuous action, 2 for (0, 1), 3 for (-1, 0, 1)."""
    takes_levels: bool = False
    """Whether the engine is made from the `levels` of the world's YAML."""

    @property
    def config(self) -> Path:
        """The YAML that says how it is recorded, trained and scored."""
        return CONFIGS / f"{self.name}.yaml"

    def read_config(self) -> GameConfig:
        """The game's own YAML, typed."""
        return read_config(self.name)

    @property
    def weights(self) -> Path:
        """The folder of the weights that come with the program."""
        return WEIGHTS / self.name

    def make_source(self, config: GameConfig | None = None) -> Source:
        """Start the real engine as `config` (the game's own YAML unless given) has it; ZoetropeError when not installed."""
        if not self.takes_levels:
            return _fetch(self.source)()
        return _fetch(self.source)((config or self.read_config()).levels)

    def make_policy(self, source: Source, name: str, seed: int) -> Policy:
        """A policy by name, walking `source`."""
        return _fetch(self.policy)(source, name, seed)

    @property
    def action_space(self) -> spaces.Space:
        """The Gymnasium space of its choices; `to_action` turns a member into what a session takes."""
        from gymnasium import spaces

        return spaces.Discrete(self.choices[0]) if len(self.choices) == 1 else spaces.MultiDiscrete(list(self.choices))

    def to_action(self, choice: Any) -> np.ndarray:
        """Members of `action_space`, one or a batch, as actions: float32 (..., A), or int64 (...) for single choices."""
        chosen = np.asarray(choice, np.int64)
        if len(self.choices) == 1:
            return chosen
        return (chosen - [n // 3 for n in self.choices]).astype(np.float32)  # 3 choices: -1, 0, 1; 2 choices: 0, 1


def _fetch(name: str) -> Any:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)


_MAZE_TOUR = (
    ("right", 48),  # once around: everything near has been seen
    ("w", 14),
    ("", 6),
    ("left", 12),
    ("w", 14),
    ("right", 24),  # half around, and back the same way
    ("w", 14),
    ("right", 12),
    ("w", 14),
    ("right", 24),
    ("", 10),
    ("w+right", 20),
    ("a", 8),
    ("d", 8),
    ("s", 10),
    ("left", 48),
)
_CRAFTER_TOUR = (
    ("right", 6),
    ("space", 4),
    ("down", 6),
    ("space", 4),
    ("left", 12),
    ("up", 6),
    ("space", 6),
    ("right", 6),
    ("t", 1),
    ("", 8),
)
_MINIGRID_TOUR = (("right", 4), ("up", 3), ("left", 1), ("up", 3), ("space", 1), ("right", 2), ("up", 6), ("left", 2))

GAMES: dict[str, Game] = {
    game.name: game
    for game in (
        Game(
            name="maze",
            about="rooms and corridors of generated ViZDoom levels, seen in first person (128x96)",
            keys=keys.MAZE,
            waits=False,
            tour=_MAZE_TOUR,
            source="games.maze.source:MazeSource",
            policy="games.maze.policies:MazePolicy",
            choices=(3, 3, 3, 2),
            takes_levels=True,
        ),
        Game(
            name="crafter",
            about="Crafter, a survival game seen from above: gather, craft, fight, sleep (64x64)",
            keys=keys.CRAFTER,
            waits=False,
            tour=_CRAFTER_TOUR,
            source="games.crafter.source:CrafterSource",
            policy="games.crafter.policies:CrafterPolicy",
            choices=(17,),
        ),
        Game(
            name="minigrid",
            about="MiniGrid, a tiny grid of rooms, keys and doors; for tests and the tutorial",
            keys=keys.MINIGRID,
            waits=True,
            tour=_MINIGRID_TOUR,
            source="games.minigrid.source:MiniGridSource",
            policy="games.minigrid.policies:MiniGridPolicy",
            choices=(7,),
        ),
    )
}


def game(name: str) -> Game:
    """The game called `name`; ZoetropeError naming the known ones otherwise."""
    try:
        return GAMES[name]
    except KeyError:
        raise ZoetropeError(f"unknown world '{name}'; known worlds: {', '.join(GAMES)}") from None


def read_config(name: str) -> GameConfig:
    """The typed YAML of a registered world, or of the file at that path."""
    from games import worlds  # brings torch

    if name not in GAMES and Path(name).suffix not in (".yaml", ".yml"):
        raise ZoetropeError(f"unknown world '{name}'; known worlds: {', '.join(GAMES)}, or a YAML file")
    config = worlds.load(GAMES[name].config if name in GAMES else Path(name))
    if config.name not in GAMES:
        raise ZoetropeError(f"{name}: name: expected one of {', '.join(GAMES)}, found '{config.name}'")
    return config
