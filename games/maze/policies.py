"""How the maze is walked for recording: explore, tour a loop twice, go and come back, idle, push against walls, wander."""

from __future__ import annotations

from collections import deque

import numpy as np

from games.maze import levels
from games.maze.source import TICS, TURN, MazeSource

TURN_STEP = np.radians(TURN * TICS)
POLICIES = ("explore", "lap", "return", "wander", "push", "idle")
AWAY_FRAMES = 230
"""About how long a walker who returns stays away."""
LAP_FRAMES = 128
"""A lap's outward frames before the walker tours the same places again."""


def shortest_path(level: levels.Level, start: tuple[int, int], goal: tuple[int, int]) -> list[tuple[int, int]]:
    """Cells from start to goal, both included; empty when there is no way."""
    previous: dict[tuple[int, int], tuple[int, int] | None] = {start: None}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        if cell == goal:
            path = [cell]
            while (cell := previous[cell]) is not None:  # type: ignore[assignment]
                path.append(cell)
            return path[::-1]
        for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            following = (cell[0] + dr, cell[1] + dc)
            if level.open[following] and following not in previous:
                previous[following] = cell
                queue.append(following)
    return []


class MazePolicy:
    """Walks a running source by one of the `POLICIES`; the same seed on the same level gives the same keys."""

    def __init__(self, source: MazeSource, name: str, seed: int):
        self.source, self.name = source, name
        self.rng = np.random.default_rng((seed, POLICIES.index(name)))
        self.steps = 0
        self.stuck = 0
        self.route: list[tuple[int, int]] = []
        self.visited: list[tuple[int, int]] = []
        self.held, self.hold = np.zeros(4, np.float32), 0
        self.last: tuple[float, float, float] | None = None
        self.home = self._cell()
        self.home_heading = source.position[2]

    def act(self) -> np.ndarray:
        """The next action, float32 (4,)."""
        action = {
            "explore": self._explore,
            "lap": self._lap,
            "return": self._return,
            "wander": self._wander,
            "push": self._push,
            "idle": self._idle,
        }[self.name]()
        position = self.source.position
        still = self.last is not None and np.hypot(position[0] - self.last[0], position[1] - self.last[1]) < 0.5
        self.stuck = self.stuck + 1 if still and action[0] > 0 else 0
        self.last = position
        self.steps += 1
        return action

    def _cell(self) -> tuple[int, int]:
        x, y, _ = self.source.position
        return int(y // levels.CELL), int(x // levels.CELL)

    def _random_goal(self) -> list[tuple[int, int]]:
        assert self.source.level is not None
        cells = self.source.level.cells
        return shortest_path(self.source.level, self._cell(), tuple(cells[self.rng.integers(len(cells))]))[1:]

    def _follow(self) -> np.ndarray:
        """Steer along `route`; sidestep when something is in the way."""
        if self.stuck > 3 or (self.hold > 0 and self.held[1] != 0):
            if self.hold <= 0:
                self.held = np.array([-0.0, self.rng.choice([-1, 1]), 0, 0], np.float32)
                self.hold = int(self.rng.integers(4, 9))
            self.hold -= 1
            self.stuck = 0
            return self.held.copy()
        assert self.source.level is not None
        x, y, heading = self.source.position
        while self.route:
            tx, ty = self.source.level.centre(self.route[0])
            if np.hypot(tx - x, ty - y) > 48:
                break
            self.visited.append(self.route.pop(0))
        if not self.route:
            return np.zeros(4, np.float32)
        tx, ty = self.source.level.centre(self.route[0])
        return self._towards(np.arctan2(ty - y, tx - x), heading, walk=True)

    def _towards(self, wanted: float, heading: float, walk: bool) -> np.ndarray:
        error = (wanted - heading + np.pi) % (2 * np.pi) - np.pi
        turn = -np.sign(error) if abs(error) > TURN_STEP * 0.6 else 0.0
        forward = 1.0 if walk and abs(error) < np.radians(35) else 0.0
        return np.array([forward, 0, turn, 0], np.float32)

    def _explore(self) -> np.ndarray:
        if not self.route:
            self.route = self._random_goal()
        if self.hold > 0 and self.held[1] == 0:  # look around, back off, stand still or use for a moment
            self.hold -= 1
            return self.held.copy()
        if self.rng.random() < 0.03:
            self.held = np.zeros(4, np.float32)
            self.held[self.rng.choice([0, 2, 2, 3])] = self.rng.choice([-1, 1])
            self.held[3] = abs(self.held[3])
            self.held[0] = -abs(self.held[0])
            self.hold = int(self.rng.integers(2, 13))
        return self._follow()

    def _lap(self) -> np.ndarray:
        """Walk to a far place and back home, then the very same way again."""
        assert self.source.level is not None
        if self.steps == 0:
            self.circuit = self._circuit(LAP_FRAMES)
        if not self.route:
            self.route = list(self.circuit)
        return self._follow()

    def _circuit(self, frames: int) -> list[tuple[int, int]]:
        """Cells out and back home that take about `frames` to walk."""
        assert self.source.level is not None
        cells = [tuple(c) for c in self.source.level.cells]
        reach = max(2, round(frames / 2 / (levels.CELL / 13.5) - 2))
        paths = [shortest_path(self.source.level, self.home, cells[i]) for i in self.rng.permutation(len(cells))[:24]]
        out = min((p for p in paths if len(p) > 1), key=lambda p: abs(len(p) - 1 - reach))
        return out[1:] + out[-2::-1]

    def _return(self) -> np.ndarray:
        """Look around at home, go away for long, come back and look the first way again."""
        assert self.source.level is not None
        _, _, heading = self.source.position
        if self.steps < 48:
            return np.array([0, 0, 1, 0], np.float32)
        if self.steps == 48:
            self.route = self._circuit(AWAY_FRAMES)
        if self.route:
            return self._follow()
        return self._towards(self.home_heading, heading, walk=False)

    def _wander(self) -> np.ndarray:
        if self.hold <= 0:
            self.held = np.array(
                [
                    self.rng.choice([-1, 0, 1, 1, 1]),
                    self.rng.choice([-1, 0, 0, 1]),
                    self.rng.choice([-1, 0, 0, 1]),
                    self.rng.random() < 0.1,
                ],
                np.float32,
            )
            self.hold = int(self.rng.integers(2, 14))
        self.hold -= 1
        return self.held.copy()

    def _push(self) -> np.ndarray:
        """Walk into the nearest wall and keep pushing, slide along it, use it, back off, turn, again."""
        phase = self.steps % 60
        if phase == 0:
            self.held = np.array([1, self.rng.choice([-1, 0, 0, 1]), 0, 0], np.float32)
        if phase < 34:
            return self.held.copy() + np.array([0, 0, 0, float(phase > 28)], np.float32)
        if phase < 40:
            return np.array([-1, 0, 0, 0], np.float32)
        if phase == 40:
            self.held[2] = self.rng.choice([-1, 1])
        return (
            np.array([0, 0, self.held[2], 0], np.float32)
            if phase < 40 + 4 * (1 + self.steps // 60 % 4)
            else np.zeros(4, np.float32)
        )

    def _idle(self) -> np.ndarray:
        if self.steps % 48 < 32:
            return np.zeros(4, np.float32)
        return self._wander()
