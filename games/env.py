"""The imagined worlds as Gymnasium environments. Importing this module registers them:

    import gymnasium, games.env
    env = gymnasium.make("zoetrope/Maze-v0")
    many = gymnasium.make_vec("zoetrope/Crafter-v0", num_envs=8)

or, without an import of one's own, `gymnasium.make("games.env:zoetrope/Maze-v0")`.

Observations are uint8 (H, W, 3) frames. Actions of the maze are MultiDiscrete([3, 3, 3, 2]): back / none / forward,
left / none / right, turn left / none / turn right, use or not; those of Crafter and MiniGrid are the engines' own Discrete(17)
and Discrete(7).
An episode begins at one of the world's starts, drawn by the seed or given as `reset(options={"start": index})`.
"""

from __future__ import annotations

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


class WorldVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A batched session: all environments in one step of the model. One that ended begins anew on the following step."""

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
        self._session: Any = None
        self._frames = np.zeros(self.observation_space.shape or (), np.uint8)
        self._ages = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, bool)

    def reset(  # type: ignore[override]
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self._open(options)

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:  # type: ignore[override]
        if self._session is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        fresh = self._ended.copy()
        if fresh.all():
            frames, info = self._open(None)
            return frames, np.zeros(self.num_envs), np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool), info
        out = self._session.step(self._game.to_action(actions))
        self._frames = np.array(out.frame[:, 0])
        for row in np.flatnonzero(fresh):  # this step of theirs is the reset
            context = self._loaded.starts[_start(self._loaded, self.np_random, None)]
            self._session.replace(int(row), context)
            self._frames[row] = context.frames[-1, 0]
        self._ages = np.where(fresh, 0, self._ages + 1)
        reward = np.where(fresh, 0.0, np.asarray(out.reward, np.float64))
        terminated = np.asarray(out.terminated, bool) & ~fresh
        truncated = (self._ages >= self._limit) & ~terminated
        self._ended = terminated | truncated
        return self._frames.copy(), reward, terminated, truncated, {}

    def render(self) -> tuple[np.ndarray, ...] | None:  # type: ignore[override]
        return tuple(self._frames) if self.render_mode == "rgb_array" else None

    def _open(self, options: dict[str, Any] | None) -> tuple[np.ndarray, dict[str, Any]]:
        starts = [_start(self._loaded, self.np_random, options) for _ in range(self.num_envs)]
        contexts = [self._loaded.starts[index] for index in starts]
        self._session = self._loaded.world.open(contexts, seed=int(self.np_random.integers(_SEEDS)))
        if self._steps is not None:
            self._session.steps = self._steps
        self._frames = np.stack([context.frames[-1, 0] for context in contexts])
        self._ages[:], self._ended[:] = 0, False
        return self._frames.copy(), {"start": np.array(starts)}


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
