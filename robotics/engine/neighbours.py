"""A policy made of a few demonstrations without training: it does what was done in the most similar moments, turned to fit.

Moments are compared where the task happens: with the first thing in the middle and, where a second one lies on the table too,
the way to it straight ahead. What was shown in one place and direction then serves in all others. Lengths in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from robotics.record import OBJECTS, PROPRIOCEPTION
from robotics.task import Observation, Task

NEIGHBOURS = 5
"""Moments that are averaged, the nearer the more."""
NEAR = 0.008
"""Metres over which a moment's say falls off."""
ACROSS, ALONG, UP = "_x", "_y", "_z"
"""How the names of sensors and objects end that say where something is; actions begin with x and y, the table's own axes."""


@dataclass(frozen=True, slots=True)
class _Points:
    """Where the places are among the numbers of a state."""

    flat: tuple[tuple[int, int], ...]
    """Indices of x and y of whatever has both; the hand first, then the things."""
    single: tuple[tuple[int, int], ...]
    """Index of a number that has no partner, and which axis it counts along: 0 x, 1 y, 2 neither."""


class Neighbours:
    """Needs to know where things are, as the demonstrations did."""

    def __init__(self, demonstrations: Sequence[Episode], task: Task):
        self._points = _points(task)
        if len(self._points.flat) < 2:
            raise ZoetropeError(f"task '{task.name}': nothing on its table is measured, so moments of it cannot be compared")
        moments, actions = [], []
        for episode in demonstrations:
            if OBJECTS not in episode.conditions:
                raise ZoetropeError("policy 'neighbours': the demonstrations do not tell where things are; use --policy replay")
            states = np.concatenate([episode.conditions[PROPRIOCEPTION], episode.conditions[OBJECTS]], 1).astype(float)
            for state, action in zip(states[:-1], episode.action[:-1]):
                moment, turn = self._see(state)
                moments.append(moment)
                actions.append(_turned(action.astype(float), turn.T))
        if not moments:
            raise ZoetropeError("policy 'neighbours': no demonstrations to act by")
        self._moments, self._actions = np.stack(moments), np.stack(actions)

    def __call__(self, observation: Observation) -> np.ndarray:
        moment, turn = self._see(observation.state.astype(float))
        away = np.linalg.norm(self._moments - moment, axis=1)
        near = np.argsort(away, kind="stable")[:NEIGHBOURS]
        weight = np.exp((away[near[0]] - away[near]) / NEAR)
        return _turned(weight @ self._actions[near] / weight.sum(), turn)

    def _see(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is compared of a state (S,), and the rotation (2, 2) from there back to the table."""
        hand, middle, *others = (state[list(pair)] for pair in self._points.flat)
        turn = np.eye(2)
        if others:
            ahead = others[0] - middle
            ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-9)
            turn = np.array([[ahead[0], -ahead[1]], [ahead[1], ahead[0]]])
        seen = [(place - middle) @ turn for place in (hand, *others)]
        origin = (*middle, 0.0)
        singles = [state[index] - origin[axis] for index, axis in self._points.single]
        return np.concatenate([*seen, singles]), turn


def _points(task: Task) -> _Points:
    names = (*task.proprioception_names, *task.object_names)
    places = {name: i for i, name in enumerate(names)}
    flat = [(i, places[n[:-2] + ALONG]) for n, i in places.items() if n.endswith(ACROSS) and n[:-2] + ALONG in places]
    paired = {i for pair in flat for i in pair}
    axes = {ACROSS: 0, ALONG: 1, UP: 2}
    own = len(task.proprioception_names)
    single = [(i, axes.get(n[-2:], 2)) for n, i in places.items() if i not in paired and (i < own or n[-2:] in axes)]
    return _Points(tuple(flat), tuple(single))


def _turned(action: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """An action (A,) whose first two components, along x and y, are rotated by (2, 2)."""
    return np.concatenate([turn @ action[:2], action[2:]])
