"""A policy in the generated world: it sees imagined frames and predicted sensors, and what it does decides what comes next.

The first frames are MuJoCo's, played by the same policy from the same start; from there on nothing is real. Many episodes run
as one batch of sessions. Shape letters: T frames, V cameras, S numbers of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.backbone.state import join_state
from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.streaming.world import World
from robotics.policies import Checked
from robotics.record import OBJECTS, PROPRIOCEPTION
from robotics.task import HOLD, Observation, Task

CONTEXT = 3
"""Real frames that an episode in the generated world begins with."""
JudgeName = Literal["objects", "reward"]
Judge = Callable[[Observation, float], bool]
"""Whether the goal holds in an imagined frame, from what is predicted: its observation and its reward."""
PARTED = 0.02
"""Metres (or radians) between a thing's predicted and its true place from which on two worlds count as parted."""
PLACES = ("_x", "_y", "_z")
"""How the names of those objects end that say where something is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """One episode in the generated world, its real first frames included."""

    frames: np.ndarray
    """uint8 (T, V, H, W, 3)."""
    state: np.ndarray
    """float32 (T, S)."""
    reward: np.ndarray
    """float32 (T,): whether the goal holds; the real frames' as it was, the others' as predicted."""
    success: bool

    def __len__(self) -> int:
        return len(self.frames)


def judge(name: JudgeName, task: Task, world: World) -> Judge:
    """Who says whether the goal holds: the task's own rule on the predicted objects, or the predicted reward."""
    if name == "reward":
        return lambda observation, reward: reward >= 0.5
    if OBJECTS not in world.config.measured:
        raise ZoetropeError(f"world '{world.config.name}' predicts no objects; let the reward judge: --judge reward")
    return lambda observation, reward: task.reached(observation)


def observe(frames: np.ndarray, state: np.ndarray, task: Task) -> Observation:
    """What a policy is shown of an imagined frame: uint8 (V, H, W, 3) and a state (S,)."""
    own = len(task.proprioception_names)
    return Observation(frames=frames, proprioception=state[:own], objects=state[own:] if len(state) > own else None)


@dataclass(slots=True)
class _Episode:
    """One member of a batch while it lasts."""

    policy: Checked
    action: np.ndarray
    most: int
    """Frames after which it is over."""
    frames: list[np.ndarray]
    states: list[np.ndarray]
    rewards: list[float]
    holds: list[bool] = field(default_factory=list)

    @property
    def success(self) -> bool:
        return len(self.holds) >= HOLD and all(self.holds[-HOLD:])

    @property
    def over(self) -> bool:
        return self.success or len(self.frames) >= self.most


def play(
    world: World,
    task: Task,
    policies: Sequence[Checked],
    contexts: Sequence[Episode],
    seeds: Sequence[int],
    judge: Judge,
    frames: Sequence[int] | None = None,
) -> list[Rollout]:
    """Let each policy go on from its context of real frames until it succeeds, or its `frames` (the task's horizon) are over.

    Policies are reset with their seed and shown the context, as they were when it was recorded; `seeds` also decide what is
    imagined. Every policy is an object of its own.
    """
    most = [task.horizon] * len(contexts) if frames is None else list(frames)
    members = [_begin(world, *of) for of in zip(policies, contexts, seeds, most)]
    session, going = world.open(list(contexts), seed=list(seeds)), [m for m in members if not m.over]
    if len(going) < len(members):
        raise ZoetropeError(f"an episode of {min(most)} frames is over before its first imagined one")
    while going:
        shown = session.step(np.stack([member.action for member in going]))
        assert shown.state is not None
        for row, member in enumerate(going):
            observation = observe(shown.frame[row], shown.state[row], task)
            member.frames.append(observation.frames)
            member.states.append(shown.state[row])
            member.rewards.append(float(shown.reward[row]))
            member.holds.append(judge(observation, member.rewards[-1]))
            if not member.over:
                member.action = member.policy(observation)
        stay = [row for row, member in enumerate(going) if not member.over]
        if 0 < len(stay) < len(going):
            session = session.select(stay)
        going = [going[row] for row in stay]
    return [
        Rollout(frames=np.stack(m.frames), state=np.stack(m.states), reward=np.array(m.rewards, np.float32), success=m.success)
        for m in members
    ]


def _begin(world: World, policy: Checked, context: Episode, seed: int, most: int) -> _Episode:
    states = join_state(world.config.state, context.conditions)
    policy.reset(seed)
    action = context.action[-1]
    for t in range(len(context)):
        known = {name: values[t] for name, values in context.conditions.items()}
        seen = Observation(frames=context.frames[t], proprioception=known[PROPRIOCEPTION], objects=known.get(OBJECTS))
        action = policy(seen)
    assert context.reward is not None
    rewards = [0.0, *map(float, context.reward[:-1])]
    return _Episode(policy, action, most, list(context.frames), list(states), rewards, [reward > 0 for reward in rewards])


@dataclass(slots=True)
class Recorded:
    """A policy that does what was recorded, and then nothing, whatever it sees."""

    actions: np.ndarray
    """float32 (T, A)."""
    _frame: int = 0

    def reset(self, seed: int) -> None:
        self._frame = 0

    def __call__(self, observation: Observation) -> np.ndarray:
        self._frame += 1
        return self.actions[self._frame - 1] if self._frame <= len(self.actions) else np.zeros_like(self.actions[0])


def parted(truth: Episode, rollout: Rollout, task: Task, threshold: float = PARTED) -> int | None:
    """The first frame in which a thing's predicted place is further than `threshold` from its true one; None if none is.

    Frames are compared as long as both worlds go on. None too where the world predicts no objects.
    """
    own = len(task.proprioception_names)
    if rollout.state.shape[1] == own:
        return None
    places = [i for i, name in enumerate(task.object_names) if name.endswith(PLACES)]
    both = min(len(truth), len(rollout))
    off = np.abs(rollout.state[:both, own:][:, places] - truth.conditions[OBJECTS][:both, places]).max(1)
    return int(np.argmax(off > threshold)) if (off > threshold).any() else None
