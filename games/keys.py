"""Which keys do what in each game. Names are those of pygame; nothing here needs a window.

A letter means one thing: the window's own keys (`apps.play.controls`) and a game's keys never overlap, which a test checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Action = np.ndarray | int
"""float32 (A,) in a continuous world, int in a discrete one."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One meaning, the keys that carry it, and what the action becomes."""

    keys: tuple[str, ...]
    text: str
    """What the help says."""
    value: tuple[float, ...] | int
    """What is added to a continuous action, or the number of a discrete one."""


@dataclass(frozen=True, slots=True)
class KeyMap:
    """Keys to actions of one game."""

    idle: tuple[float, ...] | int
    """The action of no key: its length is the size of a continuous action."""
    bindings: tuple[Binding, ...]

    def __post_init__(self) -> None:
        names = [key for binding in self.bindings for key in binding.keys]
        twice = {name for name in names if names.count(name) > 1}
        assert not twice, f"keys bound twice: {twice}"

    @property
    def names(self) -> frozenset[str]:
        return frozenset(key for binding in self.bindings for key in binding.keys)

    def binding(self, key: str) -> Binding | None:
        return next((binding for binding in self.bindings if key in binding.keys), None)

    def action(self, keys: Sequence[str]) -> Action:
        """The action of these keys together. A discrete world obeys the first that means something, so order by importance."""
        meant = [b for b in (self.binding(key) for key in keys) if b is not None]
        if isinstance(self.idle, int):
            return next((b.value for b in meant if isinstance(b.value, int)), self.idle)
        total = np.array(self.idle, np.float32)
        for value in {b.value for b in meant if isinstance(b.value, tuple)}:
            total += np.array(value, np.float32)
        return np.clip(total, -1, 1)


MAZE = KeyMap(
    (0.0, 0.0, 0.0, 0.0),
    (
        Binding(("w", "up"), "walk", (1, 0, 0, 0)),
        Binding(("s", "down"), "walk back", (-1, 0, 0, 0)),
        Binding(("a",), "step left", (0, -1, 0, 0)),
        Binding(("d",), "step right", (0, 1, 0, 0)),
        Binding(("left",), "turn left", (0, 0, -1, 0)),
        Binding(("right",), "turn right", (0, 0, 1, 0)),
        Binding(("space",), "use", (0, 0, 0, 1)),
    ),
)

CRAFTER = KeyMap(
    0,
    (
        Binding(("a", "left"), "left", 1),
        Binding(("d", "right"), "right", 2),
        Binding(("w", "up"), "up", 3),
        Binding(("s", "down"), "down", 4),
        Binding(("space",), "do: collect, fight, eat", 5),
        Binding(("z",), "sleep", 6),
        Binding(("x",), "place stone", 7),
        Binding(("t",), "place table", 8),
        Binding(("f",), "place furnace", 9),
        Binding(("e",), "place sapling", 10),
        Binding(("1",), "wood pickaxe", 11),
        Binding(("2",), "stone pickaxe", 12),
        Binding(("3",), "iron pickaxe", 13),
        Binding(("4",), "wood sword", 14),
        Binding(("5",), "stone sword", 15),
        Binding(("6",), "iron sword", 16),
    ),
)

MINIGRID = KeyMap(
    6,
    (
        Binding(("a", "left"), "turn left", 0),
        Binding(("d", "right"), "turn right", 1),
        Binding(("w", "up"), "walk", 2),
        Binding(("e",), "pick up", 3),
        Binding(("q",), "drop", 4),
        Binding(("space",), "open, toggle", 5),
    ),
)
