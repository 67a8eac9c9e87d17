"""How the maze is walked for recording: explore, tour a loop twice, go and come back, idle, push walls, wander, bump."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from games.maze import levels
from games.maze.source import TICS, TURN, MazeSource

TURN_STEP = np.radians(TURN * TICS)
POLICIES = ("explore", "lap", "return", "wander", "push", "idle", "bump")
AWAY_FRAMES = 230
"""About how long a walker who returns stays away."""
LAP_FRAMES = 128
"""A lap's outward frames before the walker tours the same places again."""
STRIDE = 13.5
"""Map units walked a frame."""
BUMP_FROM, BUMP_ASIDE = 140.0, 36.0
"""Map units from which a landmark or corner is run into, and how far beside its middle at most."""
BUMP_WAYS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
"""Forward and strafe keys that it is run into with."""
BUMP_TRIES, BUMP_PATIENCE = (3, 7), 90
"""How often one is run into, and frames after which the walker gives up getting there."""
BUMP_LANDMARKS = 0.6
"""Share of the runs that go for landmarks; the others go for corners."""


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
            "bump": self._bump,
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
        reach = max(2, round(frames / 2 / (levels.CELL / STRIDE) - 2))
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

    def _bump(self) -> np.ndarray:
        """Run into landmarks and corners that stick out, whichever way round: push on, slide past, turn, back off, again."""
        if self.steps == 0:
            self.bumps = self._bumps()
        return next(self.bumps)

    def _bumps(self) -> Iterator[np.ndarray]:
        assert self.source.level is not None
        while True:
            goal, cell = self._bump_goal()
            self.route = shortest_path(self.source.level, self._cell(), cell)[1:]
            for _ in range(BUMP_PATIENCE):
                if not self.route or self._distance(goal) < BUMP_FROM:
                    break
                yield self._follow()
            for _ in range(self.rng.integers(*BUMP_TRIES)):
                yield from self._run_into(goal + self.rng.uniform(-BUMP_ASIDE, BUMP_ASIDE, 2))

    def _run_into(self, target: np.ndarray) -> Iterator[np.ndarray]:
        """One run with keys that need little turning: up to the target, on against what stands there, then something else."""
        ways = [way for way in BUMP_WAYS if abs(self._miss(target, way)) < np.pi / 3]
        way = ways[self.rng.integers(len(ways))]
        while abs(miss := self._miss(target, way)) > TURN_STEP * 0.6:
            yield np.array([0, 0, -np.sign(miss), 0], np.float32)
        for _ in range(int(self._distance(target) / STRIDE + self.rng.integers(4))):
            yield np.array([*way, 0, 0], np.float32)
        for turn, frames in ((self.rng.choice([-1, 0, 0, 1]), 10), (0, 4)):
            for _ in range(self.rng.integers(frames)):
                yield np.array([*way, turn, 0], np.float32)
        change = np.array([*self.rng.choice([-1, 0, 1], 2), self.rng.choice([-1, 0, 0, 1]), 0], np.float32)
        for _ in range(self.rng.integers(2, 9)):
            yield change

    def _distance(self, target: np.ndarray) -> float:
        x, y, _ = self.source.position
        return float(np.hypot(target[0] - x, target[1] - y))

    def _miss(self, target: np.ndarray, way: tuple[int, int]) -> float:
        """Angle to turn, counter-clockwise, until walking with the keys (forward, strafe) leads to the target."""
        x, y, heading = self.source.position
        wanted = np.arctan2(target[1] - y, target[0] - x) + np.arctan2(way[1], way[0])
        return float((wanted - heading + np.pi) % (2 * np.pi) - np.pi)

    def _bump_goal(self) -> tuple[np.ndarray, tuple[int, int]]:
        """Somewhere to run into, and an open cell beside it."""
        level = self.source.level
        assert level is not None
        if level.things and self.rng.random() < BUMP_LANDMARKS:
            _, x, y = level.things[self.rng.integers(len(level.things))]
            return np.array([x, y]), (int(y // levels.CELL), int(x // levels.CELL))
        around = np.stack([level.open[:-1, :-1], level.open[:-1, 1:], level.open[1:, :-1], level.open[1:, 1:]])
        corners = np.argwhere(around.sum(0) == 3)  # of the four cells that meet here one is solid
        row, column = corners[self.rng.integers(len(corners))] if len(corners) else level.cells[0]
        cell = next((r, c) for r in (row, row + 1) for c in (column, column + 1) if level.open[r, c])
        return np.array([column + 1, row + 1]) * levels.CELL, (int(cell[0]), int(cell[1]))
