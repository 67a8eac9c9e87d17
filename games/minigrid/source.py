"""MiniGrid: nine rooms with doors, keys and things to carry, seen through the walker's own eyes at 64x64.

Engine: MiniGrid (Apache-2.0 by its licence file; its package metadata says MIT). The room layouts are this project's own.
The smallest world there is: flat tiles, an exact position and seven actions, so that a model of it trains in minutes.

Actions are 0-d int64: 0 turn left, 1 turn right, 2 forward, 3 pick up, 4 drop, 5 toggle (doors, boxes), 6 nothing.
World coordinates are cells: x to the right of the level's map, y up, heading counter-clockwise from x.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from core.errors import ZoetropeError
from games.source import Observation

HEIGHT, WIDTH = 64, 64
ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "nothing")
ROOMS = 3
"""Rooms along each side of the level."""
PITCH = 6
"""Cells from one wall to the next: five of floor and one of wall."""
SIZE = ROOMS * PITCH + 1
_TILE = 8
_VIEW = 9
"""Cells along each side of the engine's view; the middle 8x8 of it is shown, so that frames have no border."""
_COLOURS = ("red", "blue", "purple", "yellow", "grey")
_MAX_STEPS = 1_000_000
"""The engine's own time limit, put out of reach: an episode ends at the goal only."""


class MiniGridSource:
    """A running MiniGrid level. The goal stands in a locked room; its key lies in another one."""

    intrinsics: np.ndarray | None = None

    def __init__(self) -> None:
        self.env: Any = _engine()()

    def reset(self, level: int) -> Observation:
        self.env.level = level
        self.env.reset(seed=level)
        return self._observe(0.0, False)

    def step(self, action: np.ndarray | int) -> Observation:
        _, reward, terminated, _, _ = self.env.step(int(action))
        return self._observe(float(reward), bool(terminated))

    @property
    def cell(self) -> tuple[int, int]:
        """Where the walker stands: (column, row) of the engine's grid, row growing downwards."""
        column, row = self.env.agent_pos
        return int(column), int(row)

    @property
    def position(self) -> tuple[float, float, float]:
        """Walker x, y in cells and heading in radians, counter-clockwise from world x."""
        column, row = self.cell
        return column + 0.5, SIZE - row - 0.5, float(-np.pi / 2 * self.env.agent_dir)

    def close(self) -> None:
        self.env.close()

    def _observe(self, reward: float, terminated: bool) -> Observation:
        side = (_VIEW * _TILE - WIDTH) // 2
        frame = self.env.get_pov_render(_TILE)[_VIEW * _TILE - HEIGHT :, side : side + WIDTH]
        return Observation(np.ascontiguousarray(frame), flat_pose(*self.position), reward=reward, terminated=terminated)


def flat_pose(x: float, y: float, heading: float) -> np.ndarray:
    """Camera-to-world float32 (4, 4) of a walker on the plane z = 0: camera x right, y down, z forward; world z up."""
    c, s = np.round(np.cos(heading), 12), np.round(np.sin(heading), 12)
    pose = np.eye(4, dtype=np.float32)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = (s, -c, 0), (0, 0, -1), (c, s, 0), (x, y, 0)
    return pose


def connections(rng: np.random.Generator, loops: float = 0.4) -> tuple[list[tuple[int, int]], int]:
    """Which rooms are joined: pairs of room numbers (row * ROOMS + column), and the room behind a single, locked door.

    The other rooms are all joined to each other, with loops.
    """
    rooms = ROOMS * ROOMS
    walls = [(a, a + 1) for a in range(rooms) if a % ROOMS < ROOMS - 1] + [(a, a + ROOMS) for a in range(rooms - ROOMS)]
    locked = int(rng.choice([0, ROOMS - 1, rooms - ROOMS, rooms - 1]))  # a corner, so that the rest stays in one piece
    group = list(range(rooms))
    joined = []
    for index in rng.permutation(len(walls)):
        a, b = walls[index]
        if locked in (a, b):
            continue
        if group[a] != group[b]:
            group = [group[b] if g == group[a] else g for g in group]
            joined.append((a, b))
        elif rng.random() < loops:
            joined.append((a, b))
    ways = [pair for pair in walls if locked in pair]
    joined.append(ways[rng.integers(len(ways))])
    return joined, locked


@functools.cache
def _engine() -> type:
    """The engine's class with our layout; made on first use because MiniGrid is optional."""
    try:
        from minigrid.core.grid import Grid
        from minigrid.core.mission import MissionSpace
        from minigrid.core.world_object import Ball, Box, Door, Floor, Goal, Key, Wall
        from minigrid.minigrid_env import MiniGridEnv
    except ImportError:
        raise ZoetropeError("MiniGrid is not installed; run: pip install 'zoetrope[games]'") from None

    class Rooms(MiniGridEnv):
        """A 3x3 house of rooms, drawn from `level` alone."""

        def __init__(self) -> None:
            self.level = 0
            mission = MissionSpace(mission_func=lambda: "reach the green square")
            super().__init__(mission, grid_size=SIZE, max_steps=_MAX_STEPS, agent_view_size=_VIEW)

        def gen_obs(self) -> dict:
            return {}  # the frame is rendered once a step by the source; the engine's symbolic view is not used

        def _gen_grid(self, width: int, height: int) -> None:
            rng = np.random.default_rng((self.level, 0x6D67))
            colour = lambda: str(rng.choice(_COLOURS))  # noqa: E731
            grid = self.grid = Grid(width, height)
            for line in range(0, SIZE, PITCH):
                grid.horz_wall(0, line, obj_type=Wall)
                grid.vert_wall(line, 0, obj_type=Wall)
            joined, locked = connections(rng)
            lock = colour()
            for a, b in joined:
                row, column, offset = a // ROOMS * PITCH, a % ROOMS * PITCH, int(rng.integers(2, PITCH - 1))
                cell = (column + PITCH, row + offset) if b == a + 1 else (column + offset, row + PITCH)
                if locked in (a, b):
                    grid.set(*cell, Door(lock, is_locked=True))
                else:
                    kind = rng.choice(["gap", "shut", "open"], p=[0.4, 0.45, 0.15])
                    grid.set(*cell, None if kind == "gap" else Door(colour(), is_open=kind == "open"))
            start, keyed = (int(r) for r in rng.permutation([r for r in range(ROOMS * ROOMS) if r != locked])[:2])
            for room in range(ROOMS * ROOMS):
                self._furnish(
                    rng, room, colour, Key(lock) if room == keyed else None, rug=room != locked and rng.random() < 0.6
                )
            row, column = locked // ROOMS * PITCH, locked % ROOMS * PITCH
            grid.set(column + PITCH // 2, row + PITCH // 2, Goal())
            row, column = start // ROOMS * PITCH, start % ROOMS * PITCH
            self.agent_pos = (column + int(rng.integers(2, PITCH - 1)), row + int(rng.integers(2, PITCH - 1)))
            self.agent_dir = int(rng.integers(4))

        def _furnish(self, rng: np.random.Generator, room: int, colour: Any, key: Any, rug: bool) -> None:
            """Things stand in a room's corners, where they block no door; a rug lies in its middle."""
            row, column = room // ROOMS * PITCH, room % ROOMS * PITCH
            corners = [(column + i, row + j) for i in (1, PITCH - 1) for j in (1, PITCH - 1)]
            things = [Ball(colour()) if rng.random() < 0.6 else Box(colour()) for _ in range(rng.integers(1, 4))]
            things = [key, *things] if key is not None else things
            for (i, j), thing in zip(rng.permutation(corners).tolist(), things, strict=False):
                self.grid.set(i, j, thing)
            if rug:
                shade = colour()
                for i in range(2, PITCH - 1):
                    for j in range(2, PITCH - 1):
                        self.grid.set(column + i, row + j, Floor(shade))

    return Rooms
