"""How Crafter is played for recording: live and craft, tour a loop twice, go and come back, wander, push, stand still.

Every policy reads the whole map from the engine, keeps out of lava, and all but the aimless ones look after the player.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from games.crafter.source import ACTIONS, CrafterSource

POLICIES = ("explore", "lap", "return", "wander", "push", "idle")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
WALKABLE = ("grass", "sand", "path")
TOOLS = ("wood_pickaxe", "wood_sword", "stone_pickaxe", "stone_sword", "iron_pickaxe", "iron_sword")
MATERIAL_OF = {"wood": "tree", "drink": "water"}
"""Where an item comes from when the material has another name."""
FAR = 26
"""Cells of the shortest way that a tour aims for, one way."""
WORKBENCH_REACH = 16
"""Cells of way up to which an old table is walked to instead of placing a new one."""

Cell = tuple[int, int]


class CrafterPolicy:
    """Plays a running source by one of the `POLICIES`; the same seed on the same level gives the same actions."""

    def __init__(self, source: CrafterSource, name: str, seed: int):
        from crafter import constants  # the engine's own recipes

        self.recipes = constants
        self.source, self.name = source, name
        self.rng = np.random.default_rng((seed, POLICIES.index(name)))
        self.steps = 0
        self.queue: list[str] = []
        self.tour: list[Cell] = []
        self.needs: set[str] = set()
        self.home = self._here()
        self.still, self.last = 0, None

    def act(self) -> np.ndarray:
        """The next action, a 0-d int64 array."""
        choose: Callable[[], str] = {
            "explore": self._explore,
            "lap": self._lap,
            "return": self._return,
            "wander": self._wander,
            "push": self._push,
            "idle": self._idle,
        }[self.name]
        player = self.source.player
        if player.sleeping:
            action = "noop"
            self.queue = []
        else:
            cares = self.name in ("explore", "lap", "return")
            if fight := self._fight(2 if cares else 1):
                self.queue = []
            action = fight or (self.queue.pop(0) if self.queue else (self._look_after() if cares else None) or choose())
        self._watch_for_stuck()
        self.steps += 1
        return np.array(ACTIONS.index(self._out_of_lava(action)), np.int64)

    # Seeing

    def _here(self) -> Cell:
        column, row = self.source.player.pos
        return int(column), int(row)

    def _front(self) -> Cell:
        (column, row), (right, down) = self._here(), self.source.player.facing
        return column + int(right), row + int(down)

    def _has(self, item: str) -> int:
        return self.source.player.inventory[item]

    def _is(self, *materials: str) -> np.ndarray:
        """bool (columns, rows): where the map is made of one of `materials`."""
        return np.isin(self.source.materials, [self.source.material_ids[m] for m in materials])

    def _creatures(self, *names: str) -> list[Cell]:
        found = [o for o in self.source.world.objects if type(o).__name__ in names]
        return [(int(o.pos[0]), int(o.pos[1])) for o in found]

    def _cells(self, cells: list[Cell]) -> np.ndarray:
        mask = np.zeros((self.source.side, self.source.side), bool)
        for cell in cells:
            mask[cell] = True
        return mask

    def _way(self, goal: np.ndarray, limit: int = 10_000, dig: bool = True) -> list[Cell] | None:
        """Cells from here (not included) to the nearest cell of `goal` (bool map), which need not be walkable itself.

        With a pickaxe ways lead through stone as well. None when no way of at most `limit` cells leads there.
        """
        passable = self._is(*WALKABLE, *(("stone",) if dig and self._has("wood_pickaxe") else ()))
        passable &= ~self._cells(self._creatures("Cow", "Zombie", "Skeleton", "Plant", "Arrow"))
        wanted, free, side = goal.tolist(), passable.tolist(), self.source.side
        start = self._here()
        previous: dict[Cell, Cell] = {start: start}
        queue = deque([(start, 0)])
        while queue:
            cell, length = queue.popleft()
            if length >= limit:
                return None
            for right, down in DIRECTIONS.values():
                column, row = following = (cell[0] + right, cell[1] + down)
                if not (0 <= column < side and 0 <= row < side) or following in previous:
                    continue
                if wanted[column][row]:
                    way = [following]
                    while cell != start:
                        way.append(cell)
                        cell = previous[cell]
                    return way[::-1]
                if free[column][row]:
                    previous[following] = cell
                    queue.append((following, length + 1))
        return None

    # Moving

    def _move(self, cell: Cell) -> str:
        """The move that faces the neighbouring `cell`, and enters it when it is free."""
        here = self._here()
        step = (cell[0] - here[0], cell[1] - here[1])
        return "move_" + next(name for name, way in DIRECTIONS.items() if way == step)

    def _advance(self, way: list[Cell]) -> str:
        """One action along `way`; what blocks it and can be dug is dug."""
        ahead = way[0]
        if self._front() == ahead and self.source.world[ahead][0] == "stone" and self._has("wood_pickaxe"):
            return "do"
        return self._move(ahead)

    def _walk(self, goal: np.ndarray, dig: bool = True) -> str | None:
        """Towards the nearest cell of `goal` and into it; None when there is no way or we stand on it."""
        way = None if goal[self._here()] else self._way(goal, dig=dig)
        return self._advance(way) if way else None

    def _use(self, goal: np.ndarray, limit: int = 10_000, dig: bool = True) -> str | None:
        """Go beside the nearest cell of `goal`, face it, and do."""
        way = self._way(goal, limit, dig)
        if not way:
            return None
        if len(way) > 1:
            return self._advance(way)
        return "do" if self._front() == way[0] else self._move(way[0])

    def _out_of_lava(self, action: str) -> str:
        if not action.startswith("move_"):
            return action
        step = DIRECTIONS[action[5:]]
        column, row = self._here()
        return "noop" if self.source.world[column + step[0], row + step[1]][0] == "lava" else action

    def _random_move(self) -> str:
        return "move_" + str(self.rng.choice(list(DIRECTIONS)))

    def _watch_for_stuck(self) -> None:
        state = (self._here(), tuple(self.source.player.facing), tuple(self.source.player.inventory.values()))
        self.still = self.still + 1 if state == self.last and not self.source.player.sleeping else 0
        self.last = state
        if self.still > 10 and self.name in ("explore", "lap", "return"):
            self.still, self.queue = 0, [self._random_move() for _ in range(5)]

    # Staying alive

    def _fight(self, reach: int) -> str | None:
        """Hit a zombie or skeleton that is at most `reach` steps away."""
        foes = self._creatures("Zombie", "Skeleton")
        here = self._here()
        if not any(abs(x - here[0]) + abs(y - here[1]) <= reach for x, y in foes):
            return None
        return self._use(self._cells(foes), limit=reach, dig=False)

    def _look_after(self) -> str | None:
        """Drink, eat and rest when it is time, until it is enough; spend the night in the rock."""
        hidden = self._room(4) <= 3
        enough = {"drink": 8, "food": 6, "energy": 8}
        begin = 1 if hidden and self.source.world.daylight < 0.5 else 4
        for need, level in enough.items():
            if self._has(need) < begin:
                self.needs.add(need)
            elif self._has(need) >= level:
                self.needs.discard(need)
        remedies: dict[str, Callable[[], str | None]] = {"drink": self._drink, "food": self._eat, "energy": self._sleep}
        for need in sorted(self.needs, key=self._has):
            if not (need == "energy" and self._dusk() is None) and (action := remedies[need]()) is not None:
                return action
        dusk = self._dusk()
        tool = next((t for t in TOOLS[:2] if not self._has(t)), None)
        if dusk == "dusk" and tool is not None and (action := self._make(tool)) is not None:
            return action
        return self._sleep() if dusk == "night" or (dusk and hidden) else None

    def _dusk(self) -> str | None:
        """ "dusk" when the light fails, "night" when it has gone (or we cannot stay awake), None by day."""
        light, falling = self.source.world.daylight, self.source.env._step % 300 > 60
        if self._has("energy") < 3 or light < 0.45:
            return "night"
        return "dusk" if falling and light < 0.85 else None

    def _drink(self) -> str | None:
        return self._use(self._is("water"))

    def _eat(self) -> str | None:
        plants = [o for o in self.source.world.objects if type(o).__name__ == "Plant" and o.ripe]
        return self._use(self._cells(self._creatures("Cow") + [(int(o.pos[0]), int(o.pos[1])) for o in plants]))

    def _sleep(self) -> str | None:
        """Dig two cells into the rock, close the hole behind and sleep; in the open only when exhausted."""
        if self._room(4) <= 3:
            return "sleep"
        exhausted = "sleep" if self._has("energy") < 1 else None
        burrows = self._burrows() if self._has("wood_pickaxe") else {}
        if self._here() not in burrows:
            way = self._way(self._cells(list(burrows)))
            return self._advance(way) if way else exhausted
        inward, outward = burrows[self._here()]
        self.queue = ["do", inward, "do", inward, outward, "place_stone", "sleep"]
        return inward  # rock ahead: this only turns

    def _room(self, enough: int) -> int:
        """How many cells a zombie could reach us from; stops counting at `enough`."""
        free = self._is(*WALKABLE)
        seen, queue = {self._here()}, deque([self._here()])
        while queue and len(seen) < enough:
            column, row = queue.popleft()
            for right, down in DIRECTIONS.values():
                cell = (column + right, row + down)
                if min(cell) >= 0 and max(cell) < self.source.side and cell not in seen and free[cell]:
                    seen.add(cell)
                    queue.append(cell)
        return len(seen)

    def _burrows(self) -> dict[Cell, tuple[str, str]]:
        """Free cells beside two cells of rock, one behind the other and closed all around: cell -> moves in and out."""
        rock, free = self._is("stone"), self._is(*WALKABLE)
        firm = ~free & ~self._is("lava")
        names = {way: name for name, way in DIRECTIONS.items()}
        found = {}
        for (right, down), name in names.items():
            at = lambda mask, along, aside, r=right, d=down: np.roll(  # noqa: E731
                mask, (-(r * along + d * aside), -(d * along + r * aside)), (0, 1)
            )
            good = free & at(rock, 1, 0) & at(rock, 2, 0) & at(firm, 3, 0)
            good &= at(firm, 1, 1) & at(firm, 1, -1) & at(firm, 2, 1) & at(firm, 2, -1)
            good[:4], good[-4:], good[:, :4], good[:, -4:] = False, False, False, False  # np.roll wraps around
            for column, row in np.argwhere(good):
                found[int(column), int(row)] = ("move_" + name, "move_" + names[-right, -down])
        return found

    # Getting on

    def _explore(self) -> str:
        """Gather, plant, build and craft up to iron, then dig for diamonds and roam."""
        if self.rng.random() < 0.03:
            self.queue = [str(a) for a in self.rng.choice(["noop", self._random_move(), "do"], self.rng.integers(1, 4))]
        if self.source.world[self._front()] == ("grass", None):
            if self._has("sapling"):
                return "place_plant"
            if self.rng.random() < 0.12:
                return "do"
        for tool in TOOLS:
            if not self._has(tool) and (action := self._make(tool)):
                return action
        if (action := self._collect("diamond")) is not None:
            return action
        return self._roam()

    def _collect(self, item: str) -> str | None:
        material = MATERIAL_OF.get(item, item)
        require = self.recipes.collect[material]["require"]  # type: ignore[attr-defined]
        if any(self._has(tool) < count for tool, count in require.items()):
            return None
        return self._use(self._is(material))

    def _make(self, tool: str) -> str | None:
        """The next action towards holding `tool`; None when something it needs is out of reach."""
        recipe = self.recipes.make[tool]  # type: ignore[attr-defined]
        near, _ = self.source.world.nearby(self.source.player.pos, 1)
        missing = [bench for bench in recipe["nearby"] if bench not in near]
        wanted = dict(recipe["uses"])
        for bench in missing:
            if bench == "furnace" or not self._bench_in_reach(bench):
                for item, count in self.recipes.place[bench]["uses"].items():  # type: ignore[attr-defined]
                    wanted[item] = wanted.get(item, 0) + count
        for item, count in wanted.items():
            if self._has(item) < count:
                return self._collect(item)
        return self._bench(missing[0]) if missing else f"make_{tool}"

    def _bench_in_reach(self, bench: str) -> list[Cell] | None:
        return self._way(self._is(bench), WORKBENCH_REACH)

    def _bench(self, bench: str) -> str:
        """Stand beside a table or furnace: walk to one that is in reach, or place one (a furnace always beside the table)."""
        way = self._bench_in_reach(bench) if bench == "table" else None
        if way:
            return self._advance(way)
        material, creature = self.source.world[self._front()]
        return f"place_{bench}" if material in WALKABLE and creature is None else self._random_move()

    def _roam(self) -> str:
        while self.tour:
            action = self._walk(self._cells([self.tour[0]]))
            if action is not None:
                return action
            self.tour.pop(0)
        self.tour = [self._far_cell()]
        return self._random_move()

    # Tours

    def _far_cell(self) -> Cell:
        """A free cell whose way from here, without digging, is about FAR long."""
        free = self._is(*WALKABLE).tolist()
        reach, queue = {self._here(): 0}, deque([self._here()])
        while queue:
            cell = queue.popleft()
            for right, down in DIRECTIONS.values():
                column, row = following = (cell[0] + right, cell[1] + down)
                if (
                    0 <= column < self.source.side
                    and 0 <= row < self.source.side
                    and free[column][row]
                    and following not in reach
                ):
                    reach[following] = reach[cell] + 1
                    queue.append(following)
        cells = list(reach)
        sample = [cells[i] for i in self.rng.permutation(len(cells))[:24]]
        return min(sample, key=lambda cell: abs(reach[cell] - FAR))

    def _walk_tour(self) -> str | None:
        while self.tour:
            action = self._walk(self._cells([self.tour[0]]), dig=False)
            if action is not None:
                return action
            self.tour.pop(0)
        return None

    def _lap(self) -> str:
        """Walk to a far place and home by the same cells, then the very same way again and again."""
        if self.steps == 0:
            away = self._far_cell()
            way = self._way(self._cells([away]), dig=False) or []
            self.circuit = way + way[-2::-1] + [self.home]
        if not self.tour:
            self.tour = list(self.circuit)
        return self._walk_tour() or "noop"

    def _return(self) -> str:
        """Go to a far place, come back home, stand a moment, and off to another place."""
        action = self._walk_tour()
        if action is None:
            self.tour = [self._far_cell(), self.home]
            self.queue = ["noop"] * 3
        return action or "noop"

    # Aimless

    def _wander(self) -> str:
        if self.rng.random() < 0.75:
            action = self._random_move()
            self.queue = [action] * int(self.rng.integers(0, 5))
            return action
        return str(self.rng.choice(["do", "do", "do", "do", "noop", *ACTIONS[7:]]))

    def _push(self) -> str:
        """Walk into the nearest thing that stops us and keep pushing; try what cannot work here; go elsewhere."""
        blocked = ~self._is(*WALKABLE, "lava")
        way = self._way(blocked, dig=False)
        if not way or len(way) > 1:
            return self._advance(way) if way else self._random_move()
        push = self._move(way[0])
        useless = [str(a) for a in self.rng.choice(ACTIONS[9:], 2)]
        direction = self._random_move()
        self.queue = [push] * int(self.rng.integers(4, 12)) + useless + [direction] * int(self.rng.integers(3, 9))
        return push

    def _idle(self) -> str:
        return "noop" if self.steps % 48 < 32 else self._wander()
