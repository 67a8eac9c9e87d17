"""Policies made elsewhere, called as ours are: Gymnasium style (`predict`) and LeRobot style (`select_action`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robotics.task import Observation, Task


@dataclass(slots=True)
class Predicting:
    """A policy with `predict(observation)`, as in Stable-Baselines3: it may return the action, or the action and a state.

    It sees a dict of `pixels` uint8 (V, H, W, 3), `proprioception` (P,) and, where known, `objects` (O,).
    """

    policy: Any

    def reset(self, seed: int) -> None:
        _reset(self.policy)

    def __call__(self, observation: Observation) -> np.ndarray:
        seen = {"pixels": observation.frames, "proprioception": observation.proprioception}
        if observation.objects is not None:
            seen["objects"] = observation.objects
        action = self.policy.predict(seen)
        return np.asarray(action[0] if isinstance(action, tuple) else action)


@dataclass(slots=True)
class Selecting:
    """A policy with `select_action(batch)`, as in LeRobot: torch tensors under LeRobot's names, a batch of one.

    Pictures are float (1, 3, H, W) in [0, 1] under `observation.images.CAMERA`, proprioception is `observation.state`, objects
    where known are `observation.environment_state`, the instruction is `task`.
    """

    policy: Any
    task: Task

    def reset(self, seed: int) -> None:
        _reset(self.policy)

    def __call__(self, observation: Observation) -> np.ndarray:
        import torch

        batch: dict[str, Any] = {
            f"observation.images.{camera}": torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float() / 255
            for camera, frame in zip(self.task.cameras, observation.frames)
        }
        batch["observation.state"] = torch.from_numpy(observation.proprioception.copy())[None]
        if observation.objects is not None:
            batch["observation.environment_state"] = torch.from_numpy(observation.objects.copy())[None]
        batch["task"] = [self.task.instruction]
        with torch.no_grad():
            return self.policy.select_action(batch)[0].cpu().numpy()


def _reset(policy: Any) -> None:
    if hasattr(policy, "reset"):
        policy.reset()
