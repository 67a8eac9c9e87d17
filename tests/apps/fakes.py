"""A world with the real one's interface and no network behind it: a dot that moves over a coloured field.

A frame depends on everything that was done, so that any difference in what was done shows.
"""

from __future__ import annotations

import copy
import json
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.streaming.frames import done
from games import registry
from games.loading import Loaded
from games.source import Observation

HEIGHT, WIDTH = 24, 32
KEPT = 64


def paint(state: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (H, W, 3) of a state (x, y, hash)."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[..., 0] = np.arange(WIDTH) * 6
    frame[..., 1] = (int(state[2]) * 37 + seed) % 200
    frame[int(state[1]) % HEIGHT, int(state[0]) % WIDTH] = 255
    return frame


def move(state: np.ndarray, action: np.ndarray | int) -> np.ndarray:
    if np.ndim(action) == 0:
        dx, dy = {0: (-1, 0), 1: (1, 0), 2: (0, -1)}.get(int(action), (0, 0))
    else:
        forward, strafe, turn, _ = np.asarray(action)
        dx, dy = strafe + turn, -forward
    return np.array([state[0] + dx, state[1] + dy, (state[2] * 31 + 7 * dx + 3 * dy + 1) % 997])


@dataclass
class FakeSession:
    states: np.ndarray
    """(B, 3)."""
    seed: int
    batch: bool
    number: int = 0
    steps: int = 2
    past: deque = field(default_factory=lambda: deque(maxlen=KEPT))
    used: dict = field(default_factory=dict)
    opened: list = field(default_factory=list)

    def step(self, action) -> SimpleNamespace:
        self.past.append(self.states.copy())
        actions = action if self.batch else [action]
        assert len(actions) == len(self.states)
        self.states = np.stack([move(s, a) for s, a in zip(self.states, actions, strict=True)])
        self.number += 1
        frames = np.stack([paint(s, self.seed)[None] for s in self.states])
        reward, over = self.states[:, 0].astype(np.float32), self.states[:, 0] >= 60
        if self.batch:
            return SimpleNamespace(frame=frames, depth=None, pose=None, reward=reward, terminated=over)
        return SimpleNamespace(frame=frames[0], depth=None, pose=None, reward=float(reward[0]), terminated=bool(over[0]))

    def submit(self, action) -> Future:
        return done(self.step(action))

    timings = {"memory": 1.0, "imagine": 10.0, "decode": 5.0}
    held = {"tokens": 512, "bytes": 3_000_000, "keyframes": 7}

    def fork(self) -> FakeSession:
        return copy.deepcopy(self)

    def rewind(self, frames: int = 30) -> None:
        if frames > len(self.past):
            raise ZoetropeError(f"cannot rewind {frames} frames")
        for _ in range(frames):
            self.states = self.past.pop()
        self.number -= frames

    def use(self, spatial: bool = True, packed: bool = True) -> None:
        self.used = {"spatial": spatial, "packed": packed}

    def select(self, indices) -> FakeSession:
        assert self.batch
        return replace(self, states=self.states[list(indices)], past=deque(maxlen=KEPT))

    def save(self, path: str) -> None:
        notes = {"seed": str(self.seed), "number": str(self.number), "steps": str(self.steps)}
        save_file({"states": self.states}, path, notes)

    def memory_view(self) -> SimpleNamespace:
        rng = np.random.default_rng(3)
        views = rng.normal(0, 100, (40, 3))
        return SimpleNamespace(keyframes=views, recalled=[3, 7], points=rng.normal(0, 150, (500, 2)), here=np.zeros(3))


class FakeWorld:
    fingerprint, stack = "f" * 64, None
    config = SimpleNamespace(
        name="maze", rate=25, height=HEIGHT, width=WIDTH, cameras=1, action=SimpleNamespace(kind="continuous", size=4)
    )

    def open(self, context, seed: int = 0) -> FakeSession:
        batch = isinstance(context, list)
        episodes = context if batch else [context]
        return FakeSession(np.stack([first_state(e) for e in episodes]), seed, batch)

    @classmethod
    def resume(cls, path: str, world=None) -> FakeSession:
        try:
            with safe_open(path, framework="numpy") as file:
                notes = file.metadata()
                states = file.get_tensor("states")
        except (SafetensorError, OSError) as error:
            raise ZoetropeError(f"{path}: damaged save ({error})") from None
        return FakeSession(states, int(notes["seed"]), False, int(notes["number"]), int(notes["steps"]))


def first_state(context: Episode) -> np.ndarray:
    return np.array([*json.loads(context.metadata["at"]), 0], np.float64)


def start(number: int, frames: int = 3) -> Episode:
    """A start recorded by letting the fake engine stand still."""
    at = (4 + number, 10)
    source = FakeSource()
    seen = [source.reset(number).frame] + [source.step(np.zeros(4)).frame for _ in range(frames - 1)]
    return Episode(
        frames=np.stack(seen)[:, None],
        action=np.zeros((frames, 4), np.float32),
        metadata={"level": str(number), "at": json.dumps(at)},
    )


class FakeSource:
    """The engine behind the fake world."""

    intrinsics = None

    def __init__(self) -> None:
        self.state = np.zeros(3)

    def reset(self, level: int) -> Observation:
        self.state = np.array([4.0 + level, 10.0, 0.0])
        return Observation(paint(self.state, 0))

    def step(self, action: np.ndarray) -> Observation:
        self.state = move(self.state, action)
        return Observation(paint(self.state, 0))

    def close(self) -> None: ...


def loaded(name: str = "maze") -> Loaded:
    """The fake world in the dress of a registered one."""
    world = FakeWorld()
    return Loaded(name, registry.GAMES[name], world, tuple(start(i) for i in range(3)))  # type: ignore[arg-type]
