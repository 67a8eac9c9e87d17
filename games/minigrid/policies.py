"""How the rooms are walked for recording: explore, tour a loop twice, go and come back, wander, push, stand still."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from games.minigrid.source import PITCH, SIZE, MiniGridSource

POLICIES = ("explore", "lap", "return", "wander", "push", "idle")
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, NOTHING = range(7)
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""(column, row) step of each engine direction."""
GOAL_AFTER = (80, 400)
"""Frames of exploring, drawn anew for each episode, before the walker fetches the key and ends it at the goal."""
FAR = 24
"""Cells of the shortest way that a tour aims for, one way."""

Cell = tuple[int, int]


class MiniGridPolicy:
    """Walks a running source by one of the `POLICIES`; the same seed on the same level gives the same actions."""

    def __init__(self, source: MiniGridSource, name: str, seed: int):
        self.source, self.name = source, name
        self.rng = np.random.default_rng((seed, POLICIES.index(name)))
        self.steps = 0
        self.queue: list[int] = []
        self.target: Cell | None = None
        self.intent = "walk"
        self.home, self.home_direction = source.cell, self._direction()
        self.goal_after = int(self.rng.integers(*GOAL_AFTER))
        self.tour: list[Cell] = []

    def act(self) -> np.ndarray:
        """The next action, a 0-d int64 array."""
        choose = {
            "explore": self._explore,
            "lap": self._lap,
            "return": self._return,
            "wander": self._wander,
            "push": self._push,
            "idle": self._idle,
        }[self.name]
        action = self.queue.pop(0) if self.queue else choose()
        self.steps += 1
        return np.array(action, np.int64)

    def _direction(self) -> int:
        return int(self.source.env.agent_dir)

    def _at(self, cell: Cell) -> Any:
        return self.source.env.grid.get(*cell)

    def _front(self) -> Cell:
        step = STEPS[self._direction()]
        return self.source.cell[0] + step[0], self.source.cell[1] + step[1]

    def _passable(self, cell: Cell) -> bool:
        thing, carried = self._at(cell), self.source.env.carrying
        if thing is None or thing.type == "floor":
            return True
        if thing.type == "door":
            return not thing.is_locked or (carried is not None and carried.type == "key" and carried.color == thing.color)
        return False

    def path(self, goal: Cell) -> list[Cell]:
        """Cells from here (not included) to `goal`, through doors that can be opened; empty when there is no way."""
        start = self.source.cell
        previous: dict[Cell, Cell] = {start: start}
        queue = deque([start])
        while queue:
            cell = queue.popleft()
            if cell == goal:
                way = []
                while cell != start:
                    way.append(cell)
                    cell = previous[cell]
                return way[::-1]
            for dx, dy in STEPS:
                following = (cell[0] + dx, cell[1] + dy)
                if following not in previous and (following == goal or self._passable(following)):
                    previous[following] = cell
                    queue.append(following)
        return []

    def _reachable(self) -> dict[Cell, int]:
        """Steps to every cell that can be walked to."""
        seen = {self.source.cell: 0}
        queue = deque(seen)
        while queue:
            cell = queue.popleft()
            for dx, dy in STEPS:
                following = (cell[0] + dx, cell[1] + dy)
                if following not in seen and self._passable(following):
                    seen[following] = seen[cell] + 1
                    queue.append(following)
        return seen

    def _turn(self, direction: int) -> int | None:
        difference = (direction - self._direction()) % 4
        return None if difference == 0 else LEFT if difference == 3 else RIGHT

    def _towards(self, goal: Cell, beside: bool = False) -> int | None:
        """One action on the way to `goal`, or None when there (facing it, if `beside`) or when no way leads there."""
        way = self.path(goal)
        if not way:
            return None
        step = (way[0][0] - self.source.cell[0], way[0][1] - self.source.cell[1])
        turn = self._turn(STEPS.index(step))
        if turn is not None:
            return turn
        if beside and len(way) == 1:
            return None
        thing = self._at(way[0])
        return TOGGLE if thing is not None and thing.type == "door" and not thing.is_open else FORWARD

    def _things(self, *types: str) -> list[Cell]:
        cells = [(i, j) for j in range(SIZE) for i in range(SIZE)]
        return [c for c in cells if (thing := self._at(c)) is not None and thing.type in types]

    def _explore(self) -> int:
        """Visit cells at random, carry things about, open and shut doors; in the end unlock the last room."""
        if self.rng.random() < 0.04:
            self.queue = [int(a) for a in self.rng.choice([LEFT, RIGHT, NOTHING, NOTHING], self.rng.integers(1, 4))]
        if self.target is None:
            self._new_task()
        assert self.target is not None
        action = self._towards(self.target, beside=self.intent != "walk")
        if action is not None:
            return action
        return self._arrive()

    def _new_task(self) -> None:
        carried = self.source.env.carrying
        intents = ["walk", "fetch", "door"] if carried is None else ["walk", "drop", "drop"]
        self.intent = str(self.rng.choice(intents))
        if self.steps > self.goal_after:
            self.intent = (
                "walk" if self._lock() is None else "unlock" if self._holds_key() else "fetch" if carried is None else "drop"
            )
        if self.intent == "walk" and self.steps > self.goal_after and self._lock() is None:
            goals = self._things("goal")
        elif self.intent == "fetch":
            goals = self._things("key") if self.steps > self.goal_after else self._things("ball", "box", "key")
        elif self.intent == "door":
            goals = [c for c in self._things("door") if not self._at(c).is_locked]
        elif self.intent == "unlock":
            goals = [c for c in [self._lock()] if c is not None]
        else:
            empty = [c for c in self._reachable() if self._at(c) is None and c != self.source.cell and self._inside(c)]
            goals = empty or [self.source.cell]
        goals = [c for c in goals if self.path(c)]
        if not goals:
            self.intent, goals = "walk", [c for c in self._reachable() if c != self.source.cell] or [self.source.cell]
        self.target = goals[self.rng.integers(len(goals))]

    def _arrive(self) -> int:
        target, self.target = self.target, None
        assert target is not None
        thing = self._at(target)
        if self._front() != target or self.intent == "walk":
            return NOTHING
        if self.intent == "fetch":
            return TOGGLE if thing is not None and thing.type == "box" and self.rng.random() < 0.2 else PICKUP
        if self.intent == "drop":
            return DROP
        if self.intent == "door":
            self.queue = [TOGGLE] * int(self.rng.integers(0, 3))
        return TOGGLE

    def _lock(self) -> Cell | None:
        locked = [c for c in self._things("door") if self._at(c).is_locked]
        return locked[0] if locked else None

    def _holds_key(self) -> bool:
        carried = self.source.env.carrying
        return carried is not None and carried.type == "key"

    @staticmethod
    def _inside(cell: Cell) -> bool:
        """Inside a room and not in a doorway's line, so that what is put down there blocks no door."""
        return all(c % PITCH in (1, PITCH - 1) for c in cell)

    def _far_cell(self) -> Cell:
        """A cell whose way from here is about FAR long."""
        reach = self._reachable()
        cells = [c for c in reach if c != self.source.cell and c[0] % PITCH and c[1] % PITCH] or [self.source.cell]
        sample = [cells[i] for i in self.rng.permutation(len(cells))[:24]]
        return min(sample, key=lambda c: abs(reach[c] - FAR))

    def _walk_tour(self) -> int | None:
        while self.tour:
            action = self._towards(self.tour[0])
            if action is not None:
                return action
            self.tour.pop(0)
        return None

    def _lap(self) -> int:
        """Walk to a far place and home, then the very same way again and again."""
        if self.steps == 0:
            away = self._far_cell()
            way = self.path(away)
            self.circuit = way + way[-2::-1] + [self.home]
        if not self.tour:
            self.tour = list(self.circuit)
        action = self._walk_tour()
        return NOTHING if action is None else action

    def _return(self) -> int:
        """Look around at home, go far away, come back and look the first way again; then off to another place."""
        action = self._walk_tour()
        if action is not None:
            return action
        turn = self._turn(self.home_direction)
        if turn is not None:
            return turn
        self.queue = [RIGHT] * 3 + [NOTHING] * 2
        self.tour = [self._far_cell(), self.home]
        return RIGHT

    def _wander(self) -> int:
        action = int(self.rng.choice(7, p=[0.17, 0.17, 0.5, 0.03, 0.03, 0.08, 0.02]))
        self.queue = [action] * int(self.rng.integers(0, 4 if action == FORWARD else 2))
        return action

    def _push(self) -> int:
        """Walk into whatever is ahead, keep pushing, try to lift and open it, turn, again."""
        front = self._front()
        if self._passable(front) and (self._at(front) is None or self._at(front).type != "door"):
            return FORWARD
        useless = [int(a) for a in self.rng.choice([FORWARD, FORWARD, FORWARD, TOGGLE, PICKUP, DROP], 6)]
        turns = [int(self.rng.choice([LEFT, RIGHT]))] * int(self.rng.integers(1, 3))
        self.queue = [FORWARD] * 5 + useless + turns
        return FORWARD

    def _idle(self) -> int:
        if self.steps % 48 < 32:
            return NOTHING
        return self._wander()
