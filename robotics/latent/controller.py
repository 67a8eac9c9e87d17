"""Receding horizon: a planner as a policy. It plans, does the first part of it, looks, and plans again."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.errors import ZoetropeError
from robotics.latent.model import LeWorldModel, Past
from robotics.latent.planners import Planner
from robotics.task import Observation


@dataclass(frozen=True, kw_only=True, slots=True)
class ControllerConfig:
    execute: int = 5
    """Actions of a plan that are done before the next is made."""
    within: int = 25
    """Frames in which the goal is to be reached; when they are over it has as many again."""


class Controller:
    """A policy towards one goal: see `robotics.policies`."""

    def __init__(self, model: LeWorldModel, planner: Planner, goal: Observation, config: ControllerConfig):
        if min(config.execute, config.within) < 1:
            raise ZoetropeError("controller: execute and within must be at least 1")
        self.model, self.planner, self.config = model, planner, config
        self.goal = model.embed(goal)
        self.plan_seconds: list[float] = []
        """How long each plan took so far, the encoding of what is seen included."""
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin an episode; the same seed, the same plans from the same pictures."""
        self._rng = np.random.default_rng(seed)
        self._seen: list[Tensor] = []
        self._done: list[Tensor] = []
        self._plan: Tensor | None = None
        self._frame = self._next = 0

    def __call__(self, observation: Observation) -> np.ndarray:
        """The action (A,) in [-1, 1]."""
        started = time.perf_counter()
        self._seen.append(self.model.embed(observation))
        if self._plan is None or self._next >= min(self.config.execute, self._plan.shape[1]):
            before = None if self._plan is None else self._plan[:, self._next :]
            left = self.config.within - self._frame % self.config.within
            with torch.no_grad():
                self._plan = self.planner.plan(self._past(), self.goal[None], self._rng, left, before)
            self._next = 0
            self.plan_seconds.append(time.perf_counter() - started)
        action = self._plan[0, self._next]
        self._done.append(action)
        self._next += 1
        self._frame += 1
        return action.numpy()

    def _past(self) -> Past:
        """Every stride-th frame up to now, and the actions between them."""
        stride, history = self.model.stride, self.model.config.history
        keep = (history - 1) * stride
        self._seen, self._done = self._seen[-keep - 1 :], self._done[-keep:] if keep else []
        whole = len(self._done) // stride * stride
        embeddings = torch.stack(self._seen[len(self._seen) - 1 - whole :: stride])
        done = [torch.zeros(0, self.model.action_size), *(action[None] for action in self._done[len(self._done) - whole :])]
        return Past(embeddings=embeddings[None], actions=torch.cat(done).reshape(1, -1, stride, self.model.action_size))
