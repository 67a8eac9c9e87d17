"""Crafter: a two-dimensional world of gathering, crafting, fighting, hunger and sleep, day and night, at 64x64.

Engine: Crafter 1.8 (MIT), textures included. A level's number is its seed. A new world takes one to three seconds to make,
so record with several processes.

Actions are 0-d int64, see `ACTIONS`. World coordinates are cells: x to the right, y up (the engine's rows grow downwards),
heading counter-clockwise from x. The view always has north on top, whatever way the player faces.

The flat world is a plane seen from straight above: the camera's pose moves with the player, the plane is one cell away, and
the inventory and the player's own cell, which are no part of it, are infinitely far. So spatial memory works here as in 3D.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from core.errors import ZoetropeError
from games.source import Observation

HEIGHT, WIDTH = 64, 64
ACTIONS = (
    "noop", "move_left", "move_right", "move_up", "move_down", "do", "sleep", "place_stone", "place_table", "place_furnace",
    "place_plant", "make_wood_pickaxe", "make_stone_pickaxe", "make_iron_pickaxe", "make_wood_sword", "make_stone_sword",
    "make_iron_sword",
)  # fmt: skip
VIEW_CELLS = (9, 7)
"""Cells of the world in sight, across and down, the player in the middle; two rows of inventory stand below."""

CELL_PIXELS = 7
INTRINSICS = np.array([[CELL_PIXELS, 0, 4.5 * CELL_PIXELS], [0, CELL_PIXELS, 3.5 * CELL_PIXELS], [0, 0, 1]], np.float32)


def _ground() -> np.ndarray:
    """Depth float16 (H, W): 1 where the ground is seen, infinite on the inventory and on the player."""
    depth = np.full((HEIGHT, WIDTH), np.inf, np.float16)
    depth[: VIEW_CELLS[1] * CELL_PIXELS, : VIEW_CELLS[0] * CELL_PIXELS] = 1
    row, column = VIEW_CELLS[1] // 2 * CELL_PIXELS, VIEW_CELLS[0] // 2 * CELL_PIXELS
    depth[row : row + CELL_PIXELS, column : column + CELL_PIXELS] = np.inf
    return depth


_DEPTH = _ground()


class _OrderedSet(dict):
    """A set that keeps the order of insertion."""

    def add(self, item: object) -> None:
        self[item] = None

    def remove(self, item: object) -> None:
        del self[item]


class CrafterSource:
    """A running Crafter world of `side` x `side` cells; it ends when the player dies."""

    intrinsics: np.ndarray | None = INTRINSICS

    def __init__(self, side: int = 64) -> None:
        try:
            import crafter
        except ImportError:
            raise ZoetropeError("Crafter is not installed; run: pip install 'zoetrope[games]'") from None
        self.side = side
        self.env: Any = crafter.Env(area=(side, side), size=(WIDTH, HEIGHT), length=0, seed=0)  # length 0: no time limit

    def reset(self, level: int) -> Observation:
        self.env._seed, self.env._episode = level, 0
        frame = self.env.reset()
        self._order_creatures()
        return self._observe(frame, 0.0, False)

    def step(self, action: np.ndarray | int) -> Observation:
        frame, reward, terminated, _ = self.env.step(int(action))
        return self._observe(frame, float(reward), bool(terminated))

    @property
    def world(self) -> Any:
        """The engine's world: `world[column, row]` is (material, creature)."""
        return self.env._world

    @property
    def player(self) -> Any:
        """The engine's player: `pos` (column, row), `facing`, `inventory`, `achievements`, `sleeping`."""
        return self.env._player

    @property
    def materials(self) -> np.ndarray:
        """uint8 (columns, rows) material of each cell; `material_ids` names them."""
        return self.env._world._mat_map

    @property
    def material_ids(self) -> dict[str, int]:
        return self.env._world._mat_ids

    @property
    def position(self) -> tuple[float, float, float]:
        """Player x, y in cells and heading in radians, counter-clockwise from world x."""
        (column, row), (right, down) = self.player.pos, self.player.facing
        return float(column) + 0.5, self.side - float(row) - 0.5, float(np.arctan2(-down, right))

    def close(self) -> None:
        """Nothing to release: the engine is plain Python."""

    def _observe(self, frame: np.ndarray, reward: float, terminated: bool) -> Observation:
        return Observation(np.ascontiguousarray(frame), camera_pose(*self.position[:2]), _DEPTH.copy(), reward, terminated)

    def _order_creatures(self) -> None:
        """Give the engine's creature sets an order.

        The engine picks creatures to remove by their place in a Python set, which follows memory addresses: the same seed
        and actions would not give the same world twice.
        """
        chunks: defaultdict[Any, _OrderedSet] = defaultdict(_OrderedSet)
        for key in self.world._chunks:
            chunks[key] = _OrderedSet()
        for creature in self.world.objects:
            chunks[self.world.chunk_key(creature.pos)].add(creature)
        self.world._chunks = chunks


def camera_pose(x: float, y: float) -> np.ndarray:
    """Camera-to-world float32 (4, 4) of the view from above: x right, y down the screen, z into the ground; in cells."""
    pose = np.eye(4, dtype=np.float32)
    pose[1, 1] = pose[2, 2] = -1
    pose[:3, 3] = x - 0.5, y - 0.5, 1  # whole numbers, so that a predicted position can be rounded to one
    return pose
