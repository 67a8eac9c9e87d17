"""The generated robot worlds as Gymnasium environments. Gymnasium imports this module when the name says so:

    env = gymnasium.make("robotics.env:zoetrope/Push-v0")

Observations are dicts of `pixels` uint8 (V, H, W, 3), `proprioception` float32 (P,) and, where the world predicts them,
`objects` float32 (O,); actions are float32 (A,) in [-1, 1]. The reward is 1 in a frame in which the goal holds, else 0; an
episode ends when it has held for a while. It begins at a start of the training split, which MuJoCo shows for a few frames,
drawn by the seed or given as `reset(options={"start": index})`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import register

from core.streaming.world import World
from robotics import worlds
from robotics.loop import CONTEXT, JudgeName, judge, observe
from robotics.policies import Checked
from robotics.record import OBJECTS, PROPRIOCEPTION, record_episode, reset_seed
from robotics.scene.challenges import CHALLENGES
from robotics.task import HOLD, RATE, Observation
from robotics.worlds import RobotConfig

STARTS = 10_000
"""Starts of the training split that episodes are drawn from."""
_SEEDS = 2**31
_NAMES = {"push": "Push"}


class RobotEnv(gymnasium.Env[Any, np.ndarray]):
    """One session of a robot world: a registered name, a folder with trained weights, or an already loaded one."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": RATE}

    def __init__(
        self,
        world: str | tuple[RobotConfig, World] = "push",
        judge_by: JudgeName = "objects",
        render_mode: str | None = None,
    ):
        config, self._world = worlds.load_world(world) if isinstance(world, str) else world
        self._task = config.record.make_task()
        self._judge = judge(judge_by, self._task, self._world)
        self.render_mode = render_mode
        parts = {part.name: spaces.Box(-np.inf, np.inf, (part.size,), np.float32) for part in config.world.state}
        pixels = spaces.Box(0, 255, (len(self._task.cameras), *self._task.size, 3), np.uint8)
        self.observation_space = spaces.Dict({"pixels": pixels, **parts})
        self._names = ("pixels", *parts)
        self.action_space = spaces.Box(-1, 1, (self._task.action_size,), np.float32)
        self._still = Checked(lambda seen: np.zeros(self._task.action_size), "still", self._task.action_size)
        self._session: Any = None
        self._frames: np.ndarray | None = None
        self._held = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(STARTS))
        start = int((options or {}).get("start", drawn))
        context = record_episode(self._task, self._still, reset_seed("train", start), 0, frames=CONTEXT)
        self._session = self._world.open(context, seed=int(self.np_random.integers(_SEEDS)))
        self._held = 0
        known = context.conditions
        last = Observation(frames=context.frames[-1], proprioception=known[PROPRIOCEPTION][-1], objects=known[OBJECTS][-1])
        return self._seen(last), {"start": start}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        if self._session is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        shown = self._session.step(np.clip(np.asarray(action, np.float32), -1, 1))
        observation = observe(shown.frame, shown.state, self._task)
        holds = self._judge(observation, float(shown.reward))
        self._held = self._held + 1 if holds else 0
        success = self._held >= HOLD
        return self._seen(observation), float(holds), success, False, {"is_success": success}

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        if self.render_mode != "rgb_array" or self._frames is None:
            return None
        return np.concatenate(list(self._frames), 1)

    def close(self) -> None:
        self._session = None

    def _seen(self, observation: Observation) -> dict[str, np.ndarray]:
        self._frames = observation.frames
        seen = {"pixels": observation.frames, PROPRIOCEPTION: observation.proprioception, OBJECTS: observation.objects}
        return {name: np.array(seen[name]) for name in self._names}


def register_environments() -> None:
    """Make every robot world known to Gymnasium as `zoetrope/<Name>-v0`."""
    for name, shown in _NAMES.items():
        register(
            id=f"zoetrope/{shown}-v0",
            entry_point="robotics.env:RobotEnv",
            max_episode_steps=CHALLENGES[name].horizon - CONTEXT,
            kwargs={"world": name},
        )


register_environments()
