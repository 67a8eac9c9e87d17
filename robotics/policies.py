"""Policies: anything that turns an observation into an action, found by a name and checked at every call.

Names: `expert`; `noisy:0.5`, `burst:0.25`, `delay:5`, `bias:0.25` (see `behaviours`); `random`; `cloned:NAME` (see
`cloning`); or `package.module:factory`, where `factory(task)` returns the policy.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from core.errors import ZoetropeError
from robotics.adapters import Predicting, Selecting
from robotics.behaviours import Biased, Burst, Delayed, Noisy
from robotics.experts import expert
from robotics.task import Observation, Task, clipped

Policy = Callable[[Observation], Any]
"""Observation -> action (A,) in [-1, 1]. If it has `reset(seed)`, that begins an episode."""
EXPERT, RANDOM, CLONED = "expert", "random", "cloned"
_DEGRADED = {"noisy": "noisy:0.5", "burst": "burst:0.25", "delay": "delay:5", "bias": "bias:0.25"}
"""Kinds of behaviour, each with an example."""


class Checked:
    """A policy whose mistakes end in one line that names it: it raises, or its action is not A finite numbers."""

    def __init__(self, policy: Policy, name: str, action_size: int, privileged: bool = False):
        self.name, self.action_size = name, action_size
        self.privileged = privileged
        """Whether it must know where the objects are."""
        self.training_run: str | None = getattr(policy, "training_run", None)
        """The training it comes from, if it says so: checkpoints of one run share that name."""
        self._policy = policy

    def reset(self, seed: int) -> None:
        """Begin an episode; the same seed draws the same noise."""
        if hasattr(self._policy, "reset"):
            self._guarded("reset", self._policy.reset, seed)  # type: ignore[attr-defined]

    def __call__(self, observation: Observation) -> np.ndarray:
        """The action, float32 (A,) in [-1, 1]."""
        action = self._guarded("acting", self._policy, observation)
        try:
            return clipped(action, self.action_size).astype(np.float32)
        except (TypeError, ValueError):
            raise ZoetropeError(
                f"policy '{self.name}': action: expected {self.action_size} numbers, found {type(action).__name__}"
            ) from None
        except ZoetropeError as error:
            raise ZoetropeError(f"policy '{self.name}': {error}") from None

    def _guarded(self, what: str, call: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return call(argument)
        except Exception as error:  # whatever a user's code raises
            said = " ".join(str(error).split())
            kind = "" if isinstance(error, ZoetropeError) else f"{type(error).__name__}: "
            raise ZoetropeError(f"policy '{self.name}' failed in {what}: {kind}{said}") from error


def make(name: str, task: Task) -> Checked:
    """The policy called `name`, for `task`. Raises ZoetropeError when there is none of that name."""
    size = task.action_size
    if name == EXPERT:
        return Checked(expert(task.name), name, size, privileged=True)
    if name == RANDOM:
        return Checked(Burst(_nothing, 1.0, size), name, size)
    kind, _, rest = name.partition(":")
    if kind in _DEGRADED:
        return Checked(_degraded(kind, _amount(name, rest), task), name, size, privileged=True)
    if kind == CLONED:
        from robotics.cloning import policy  # here: who records needs no networks

        return Checked(policy.load(rest, task), name, size)
    if rest:
        return Checked(load(name, task), name, size)
    known = ", ".join((EXPERT, RANDOM, *_DEGRADED.values(), f"{CLONED}:FOLDER"))
    raise ZoetropeError(f"unknown policy '{name}'; known: {known}, or package.module:factory of your own")


def load(name: str, task: Task) -> Policy:
    """Call `factory(task)` of `package.module:factory`. Policies with `select_action` or `predict` are adapted."""
    module_name, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise ZoetropeError(f"policy '{name}': no module '{error.name}'; is its folder on PYTHONPATH?") from None
    except AttributeError:
        raise ZoetropeError(f"policy '{name}': module '{module_name}' has no '{attribute}'") from None
    except Exception as error:  # whatever a user's module raises
        raise ZoetropeError(f"policy '{name}': importing it failed: {type(error).__name__}: {error}") from error
    try:
        policy = factory(task)
    except Exception as error:  # whatever a user's factory raises
        said = " ".join(str(error).split())
        raise ZoetropeError(f"policy '{name}': {attribute}(task) failed: {type(error).__name__}: {said}") from error
    return adapted(policy, name, task)


def adapted(policy: Any, name: str, task: Task) -> Policy:
    """A policy object of any known style as a callable."""
    if hasattr(policy, "select_action"):  # first: such a policy is callable too, for its training loss
        return Selecting(policy, task)
    if hasattr(policy, "predict"):
        return Predicting(policy)
    if callable(policy):
        return policy
    raise ZoetropeError(f"policy '{name}': expected a callable, or select_action or predict; found {type(policy).__name__}")


def _degraded(kind: str, amount: float, task: Task) -> Policy:
    base, size = expert(task.name), task.action_size
    if kind == "noisy":
        return Noisy(base, amount)
    if kind == "burst":
        return Burst(base, amount, size)
    if kind == "delay":
        return Delayed(base, round(amount))
    return Biased(base, amount, size)


def _amount(name: str, text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    kind = name.partition(":")[0]
    fits = {"burst": amount <= 1, "delay": amount == round(amount) if np.isfinite(amount) else False}.get(kind, True)
    if not (np.isfinite(amount) and amount >= 0 and fits):
        wanted = {"burst": "a probability", "delay": "a number of frames"}.get(kind, "a number that is not negative")
        raise ZoetropeError(f"policy '{name}': expected {wanted} after ':', as in {_DEGRADED[kind]}")
    return amount


def _nothing(observation: Observation) -> np.ndarray:
    raise AssertionError("a policy that is always random asks nobody")
