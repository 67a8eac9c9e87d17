"""The imagined worlds as Gymnasium environments. Gymnasium imports this module, which registers them, when the name says so:

    env = gymnasium.make("games.env:zoetrope/Maze-v0")
    many = gymnasium.make_vec("games.env:zoetrope/Crafter-v0", num_envs=8)

After an `import games.env` of one's own, `zoetrope/Maze-v0` is enough. Without either, Gymnasium does not know the name: since
its version 1.0 it looks for no plugins among the installed packages.

Observations are uint8 (H, W, 3) frames. Actions of the maze are MultiDiscrete([3, 3, 3, 2]): back / none / forward,
left / none / right, turn left / none / turn right, use or not; those of Crafter and MiniGrid are the engines' own Discrete(17)
and Discrete(7).
An episode begins at one of the world's starts, drawn by the seed or given as `reset(options={"start": index})`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import register
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from core.errors import ZoetropeError
from games import loading
from games.registry import GAMES

EPISODE_STEPS = 1000
"""After so many steps an episode is truncated, unless `max_episode_steps` says otherwise."""
_SEEDS = 2**31
_NAMES = {"maze": "Maze", "crafter": "Crafter", "minigrid": "MiniGrid"}


class WorldEnv(gymnasium.Env[np.ndarray, Any]):
    """One session of a world. `world`: a registered name, a folder with trained weights, or an already loaded world."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 25}

    def __init__(self, world: str | loading.Loaded, steps: int | None = None, render_mode: str | None = None):
        self._loaded = loading.load(world) if isinstance(world, str) else world
        self._game, self._steps = self._loaded.game, steps
        self.metadata = {**self.metadata, "render_fps": self._loaded.world.config.rate}
        self.render_mode = render_mode
        self.observation_space = _frame_space(self._loaded)
        self.action_space = self._game.action_space
        self._session: Any = None
        self._frame: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        index = _start(self._loaded, self.np_random, options)
        context = self._loaded.starts[index]
        self._session = self._loaded.world.open(context, seed=int(self.np_random.integers(_SEEDS)))
        if self._steps is not None:
            self._session.steps = self._steps
        frame = context.frames[-1, 0].copy()
        self._frame = frame
        return frame, {"start": index}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self._session is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        taken = self._game.to_action(action)
        out = self._session.step(taken if taken.ndim else int(taken))
        self._frame = out.frame[0]
        return out.frame[0], float(out.reward), bool(out.terminated), False, {}

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        return self._frame if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self._session = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Environments that began together: one batched session, and which environments its members are."""

    session: Any
    rows: np.ndarray
    """int64 (n,)."""


class WorldVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Batched sessions: environments that began together share one step of the model.

    One that ended begins anew on the following step, apart from those that go on: members of a batch share their frame numbers.
    Those that end together begin together. `info["start"]` (N,) says where, for those that `info["_start"]` marks.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 25, "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        num_envs: int,
        world: str | loading.Loaded,
        steps: int | None = None,
        max_episode_steps: int = EPISODE_STEPS,
        render_mode: str | None = None,
    ):
        self._loaded = loading.load(world) if isinstance(world, str) else world
        self._game, self._steps = self._loaded.game, steps
        self.metadata = {**self.metadata, "render_fps": self._loaded.world.config.rate}
        self.num_envs, self.render_mode, self._limit = num_envs, render_mode, max_episode_steps
        self.single_observation_space = _frame_space(self._loaded)
        self.single_action_space = self._game.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._groups: list[_Group] = []
        self._frames = np.zeros(self.observation_space.shape or (), np.uint8)
        self._ages = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, bool)

    def reset(  # type: ignore[override]
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._groups, self._frames = [], self._frames.copy()
        info = self._open(np.ones(self.num_envs, bool), options)
        self._ages[:], self._ended[:] = 0, False
        return self._frames.copy(), info

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:  # type: ignore[override]
        if not self._groups:
            raise gymnasium.error.ResetNeeded("call reset before step")
        fresh = self._ended
        taken = self._game.to_action(actions)
        reward, terminated = np.zeros(self.num_envs), np.zeros(self.num_envs, bool)
        self._frames = self._frames.copy()  # what render showed stays as it was
        self._groups = [left for group in self._groups if (left := _without(group, fresh)) is not None]
        for group in self._groups:
            out = group.session.step(taken[group.rows])
            self._frames[group.rows] = out.frame[:, 0]
            reward[group.rows], terminated[group.rows] = out.reward, out.terminated
        info = self._open(fresh, None) if fresh.any() else {}  # this step of theirs is the reset
        self._ages = np.where(fresh, 0, self._ages + 1)
        truncated = (self._ages >= self._limit) & ~terminated
        self._ended = terminated | truncated
        return self._frames.copy(), reward, terminated, truncated, info

    def render(self) -> tuple[np.ndarray, ...] | None:  # type: ignore[override]
        return tuple(self._frames) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        self._groups = []

    def _open(self, fresh: np.ndarray, options: dict[str, Any] | None) -> dict[str, Any]:
        """Begin the environments that `fresh`, bool (N,), marks, as a group of their own. Returns the info of it."""
        rows = np.flatnonzero(fresh)
        drawn = [_start(self._loaded, self.np_random, options) for _ in rows]
        contexts = [self._loaded.starts[index] for index in drawn]
        session = self._loaded.world.open(contexts, seed=int(self.np_random.integers(_SEEDS)))
        if self._steps is not None:
            session.steps = self._steps
        self._groups.append(_Group(session, rows))
        self._frames[rows] = np.stack([context.frames[-1, 0] for context in contexts])
        starts = np.zeros(self.num_envs, np.int64)
        starts[rows] = drawn
        return {"start": starts, "_start": fresh.copy()}


def _without(group: _Group, gone: np.ndarray) -> _Group | None:
    """What is left of a group when the environments that `gone`, bool (N,), marks leave it."""
    stay = np.flatnonzero(~gone[group.rows])
    if len(stay) == len(group.rows):
        return group
    return _Group(group.session.select(stay.tolist()), group.rows[stay]) if len(stay) else None


def _frame_space(loaded: loading.Loaded) -> spaces.Box:
    return spaces.Box(0, 255, loaded.starts[0].frames.shape[2:], np.uint8)


def _start(loaded: loading.Loaded, random: np.random.Generator, options: dict[str, Any] | None) -> int:
    """The index of a start: the one asked for, else a drawn one."""
    drawn = int(random.integers(len(loaded.starts)))
    index = int((options or {}).get("start", drawn))
    if not 0 <= index < len(loaded.starts):
        raise ZoetropeError(f"start {index}: this world has starts 0 to {len(loaded.starts) - 1}")
    return index


def register_environments() -> None:
    """Make every game known to Gymnasium as `zoetrope/<Name>-v0`."""
    for name in GAMES:
        register(
            id=f"zoetrope/{_NAMES[name]}-v0",
            entry_point="games.env:WorldEnv",
            vector_entry_point="games.env:WorldVectorEnv",
            max_episode_steps=EPISODE_STEPS,
            kwargs={"world": name},
        )


register_environments()
