"""A cloned policy where a policy is named: `cloned:NAME` of one that comes with the program, or `cloned:FOLDER`."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import torch

from core.errors import ZoetropeError
from robotics import WEIGHTS
from robotics.cloning.network import Network
from robotics.cloning.train import Origin
from robotics.task import Observation, Task

SHIPPED = WEIGHTS / "cloned"
"""Folder of the policies that come with the program, one folder each."""
FADE = 0.5
"""What was foretold for now counts this much less for every frame that it is older."""


class Cloned:
    """A network as a policy. What it does is the mean of what it says of now and said of now before, older words counting less.

    (Temporal ensembling: Zhao et al., arXiv 2304.13705.)
    """

    def __init__(self, network: Network, training_run: str | None = None):
        self.network, self.training_run = network.eval(), training_run
        self._told: deque[np.ndarray] = deque(maxlen=network.config.design.chunk)

    def reset(self, seed: int) -> None:
        """Forget what was foretold; nothing is drawn."""
        self._told.clear()

    def __call__(self, observation: Observation) -> np.ndarray:
        """The action, float32 (A,)."""
        with torch.inference_mode():
            frames, known = torch.from_numpy(observation.frames), torch.from_numpy(observation.proprioception)
            self._told.appendleft(self.network(frames[None], known[None])[0].numpy())
        foretold = np.stack([chunk[age] for age, chunk in enumerate(self._told)])
        return np.average(foretold, 0, FADE ** np.arange(len(foretold))).astype(np.float32)


def load(name_or_folder: str, task: Task) -> Cloned:
    """A policy for `task`. Raises ZoetropeError where there is none, or it is one of another task or of other pictures."""
    shipped = SHIPPED / name_or_folder
    folder = shipped if name_or_folder and shipped.is_dir() else Path(name_or_folder)
    if not name_or_folder or not folder.is_dir():
        held = ", ".join(sorted(path.name for path in SHIPPED.glob("*/"))) or "none"
        raise ZoetropeError(
            f"no cloned policy '{name_or_folder}'; a folder that 'zoetrope robot clone' wrote, or one of: {held}"
        )
    origin, network = Origin.load(folder), Network.load(folder)
    if origin.instruction != task.instruction:
        raise ZoetropeError(f"{folder}: this policy was taught to '{origin.instruction}', not to '{task.instruction}'")
    config = network.config
    reads = (config.cameras, config.height, config.width, config.proprioception, config.action)
    given = (len(task.cameras), *task.size, len(task.proprioception_names), task.action_size)
    if reads != given:
        raise ZoetropeError(
            f"{folder}: reads cameras, height, width, proprioception and gives actions {reads}; here are {given}"
        )
    return Cloned(network, origin.training_run)
