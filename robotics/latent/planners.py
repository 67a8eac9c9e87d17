"""Planners: sequences of actions that bring a latent dynamics to a goal. CEM, iCEM, MPPI and gradient descent.

All minimize how far the last predicted embedding is from the goal over actions in [-1, 1], for B situations at
once, and are decided by the generator that they are given. Shape letters as in `model`, and L = M * S frames of a plan.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from core.errors import ZoetropeError
from robotics.latent.model import LeWorldModel, Past, Reading

Kind = Literal["cem", "icem", "mppi", "gradient"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Dynamics(Protocol):
    """What planners plan in."""

    @property
    def stride(self) -> int:
        """S: actions from one embedding to the next."""
        ...

    @property
    def action_size(self) -> int: ...

    def rollout(self, past: Past, actions: Tensor) -> Tensor:
        """actions (B, N, L, A) -> embeddings after every S of them (B, N, L / S, D)."""
        ...

    def apart(self, z: Tensor, goal: Tensor) -> Tensor:
        """How far embeddings (..., D) are from a goal: (...)."""
        ...


Cost = Callable[[Tensor], Tensor]
"""Costs (B, N) of candidates (B, N, L, A)."""


class Planner(Protocol):
    def plan(
        self, past: Past, goal: Tensor, rng: np.random.Generator, left: int | None = None, before: Tensor | None = None
    ) -> Tensor:
        """Actions (B, L, A) in [-1, 1] from `past` towards the embeddings `goal` (B, D).

        `left`: frames within which the goal is to be reached, if they are few; `before`: a plan (B, L', A) from now on made
        earlier, to start from.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CEMConfig:
    """Cross-entropy method: a Gaussian is drawn from, and fitted to the best of what was drawn, again and again."""

    horizon: int = 5
    """M: strides to look ahead."""
    samples: int = 100
    elites: int = 10
    iterations: int = 8
    spread: float = 1.0
    """Standard deviation of the first Gaussian."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ICEMConfig:
    """Improved CEM (Pinneri et al. 2020, arXiv 2008.06389): fewer samples of smoother actions, the best of which are kept."""

    horizon: int = 5
    samples: int = 64
    elites: int = 8
    iterations: int = 6
    spread: float = 1.0
    colour: float = 2.0
    """Exponent by which the noise's power falls with its frequency; 0 is white."""
    kept: float = 0.3
    """Share of the elites that compete again in the next iteration."""
    decay: float = 1.25
    """By which the number of samples falls from one iteration to the next, down to twice the elites."""
    momentum: float = 0.1
    """Share of the old Gaussian in the new one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MPPIConfig:
    """Model-predictive path integral (Williams et al. 2017, arXiv 1707.02342): all samples count, better ones more.

    As in TD-MPC2 the spread is fitted along with the mean.
    """

    horizon: int = 5
    samples: int = 100
    iterations: int = 8
    spread: float = 1.0
    least: float = 0.05
    """The spread never falls below this."""
    temperature: float = 0.5
    """In standard deviations of the samples' costs, so that it fits any latent: the lower, the more the best one counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientConfig:
    """Adam (arXiv 1412.6980) through the model from several starts, the best of which is taken."""

    horizon: int = 5
    starts: int = 4
    iterations: int = 30
    rate: float = 0.1
    spread: float = 0.5
    """Standard deviation of the starts about the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannerConfig:
    """Which planner, and how each works."""

    kind: Kind = "cem"
    cost: Literal["embedding", "state"] = "embedding"
    """Distance to the goal: of embeddings, as in LeWorldModel, or of the states that are read off them."""
    weights: tuple[float, ...] = ()
    """Of the state's numbers in that distance; all alike where none are given."""
    cem: CEMConfig = field(default_factory=CEMConfig)
    icem: ICEMConfig = field(default_factory=ICEMConfig)
    mppi: MPPIConfig = field(default_factory=MPPIConfig)
    gradient: GradientConfig = field(default_factory=GradientConfig)


def dynamics(config: PlannerConfig, model: LeWorldModel) -> Dynamics:
    """The model, with the distance that `config` names."""
    return Reading(model, config.weights) if config.cost == "state" else model


def make(config: PlannerConfig, dynamics: Dynamics) -> Planner:
    """The planner that `config` names."""
    match config.kind:
        case "cem":
            return CEM(config.cem, dynamics)
        case "icem":
            return ICEM(config.icem, dynamics)
        case "mppi":
            return MPPI(config.mppi, dynamics)
        case "gradient":
            return Gradient(config.gradient, dynamics)


C = TypeVar("C", CEMConfig, ICEMConfig, MPPIConfig, GradientConfig)


class Search(ABC, Generic[C]):
    """A planner that makes a plan better again and again, beginning with what was planned before or standing still."""

    config: C
    dynamics: Dynamics

    def plan(
        self, past: Past, goal: Tensor, rng: np.random.Generator, left: int | None = None, before: Tensor | None = None
    ) -> Tensor:
        """See `Planner.plan`."""
        start = _first(self.dynamics, len(goal), self.config.horizon, left, before)
        return self.improve(start, _objective(self.dynamics, past, goal), rng)

    @abstractmethod
    def improve(self, mean: Tensor, cost: Cost, rng: np.random.Generator) -> Tensor:
        """A better plan than `mean` (B, L, A)."""


class CEM(Search[CEMConfig]):
    """See `CEMConfig`. The first sample of every iteration is the mean, which is also the plan."""

    def __init__(self, config: CEMConfig, dynamics: Dynamics):
        _check_elites(config.elites, config.samples)
        self.config, self.dynamics = config, dynamics

    @torch.no_grad()
    def improve(self, mean: Tensor, cost: Cost, rng: np.random.Generator) -> Tensor:
        config, spread = self.config, torch.full_like(mean, self.config.spread)
        for _ in range(config.iterations):
            drawn = _about(mean, spread, config.samples, rng)
            best = _best(drawn, cost(drawn), config.elites)
            mean, spread = best.mean(1), best.std(1, correction=0)
        return mean


class ICEM(Search[ICEMConfig]):
    """See `ICEMConfig`. The plan is the best sequence ever seen; the last iteration tries the mean too."""

    def __init__(self, config: ICEMConfig, dynamics: Dynamics):
        _check_elites(config.elites, config.samples)
        self.config, self.dynamics = config, dynamics

    @torch.no_grad()
    def improve(self, mean: Tensor, cost: Cost, rng: np.random.Generator) -> Tensor:
        config, spread = self.config, torch.full_like(mean, self.config.spread)
        kept = mean[:, None]
        for iteration in range(config.iterations):
            count = max(2 * config.elites, round(config.samples * config.decay**-iteration))
            noise = _coloured(rng, (len(mean), count, *mean.shape[1:]), config.colour)
            drawn = (mean[:, None] + spread[:, None] * noise).clamp(-1, 1)
            tried = [drawn, kept] + ([mean[:, None]] if iteration == config.iterations - 1 else [])
            best = _best(torch.cat(tried, 1), cost(torch.cat(tried, 1)), config.elites)
            kept = best[:, : max(1, round(config.kept * config.elites))]
            mean = config.momentum * mean + (1 - config.momentum) * best.mean(1)
            spread = config.momentum * spread + (1 - config.momentum) * best.std(1, correction=0)
        return kept[:, 0]


class MPPI(Search[MPPIConfig]):
    """See `MPPIConfig`. The plan is the mean."""

    def __init__(self, config: MPPIConfig, dynamics: Dynamics):
        self.config, self.dynamics = config, dynamics

    @torch.no_grad()
    def improve(self, mean: Tensor, cost: Cost, rng: np.random.Generator) -> Tensor:
        config, spread = self.config, torch.full_like(mean, self.config.spread)
        for _ in range(config.iterations):
            drawn = _about(mean, spread, config.samples, rng)
            costs = cost(drawn)
            unit = config.temperature * costs.std(1, correction=0, keepdim=True).clamp(min=1e-9)
            weight = torch.softmax((costs.amin(1, keepdim=True) - costs) / unit, 1)[:, :, None, None]
            mean = (weight * drawn).sum(1)
            spread = (weight * (drawn - mean[:, None]).square()).sum(1).sqrt().clamp(min=config.least)
        return mean


class Gradient(Search[GradientConfig]):
    """See `GradientConfig`. The plan is the best sequence at the end, where it starts included."""

    def __init__(self, config: GradientConfig, dynamics: Dynamics):
        self.config, self.dynamics = config, dynamics

    def improve(self, mean: Tensor, cost: Cost, rng: np.random.Generator) -> Tensor:
        config = self.config
        first = _about(mean, torch.full_like(mean, config.spread), config.starts, rng)
        with torch.enable_grad():
            actions = first.clone().requires_grad_()
            optimizer = torch.optim.Adam([actions], lr=config.rate)
            for iteration in range(config.iterations):
                # falls to nothing, for with a constant rate Adam circles about the optimum
                optimizer.param_groups[0]["lr"] = config.rate * (1 + math.cos(math.pi * iteration / config.iterations)) / 2
                (actions.grad,) = torch.autograd.grad(cost(actions).sum(), [actions])
                optimizer.step()
                with torch.no_grad():
                    actions.clamp_(-1, 1)
        with torch.no_grad():
            tried = torch.cat([first[:, :1], actions.detach()], 1)
            return _best(tried, cost(tried), 1)[:, 0]


def _objective(dynamics: Dynamics, past: Past, goal: Tensor) -> Cost:
    return lambda actions: dynamics.apart(dynamics.rollout(past, actions)[:, :, -1], goal[:, None])


def _first(dynamics: Dynamics, b: int, horizon: int, left: int | None, before: Tensor | None) -> Tensor:
    """The mean to start from (B, L, A): `before` as far as it goes, then standing still."""
    strides = horizon if left is None else min(horizon, max(1, -(-left // dynamics.stride)))
    mean = torch.zeros(b, strides * dynamics.stride, dynamics.action_size)
    if before is not None:
        known = min(before.shape[1], mean.shape[1])
        mean[:, :known] = before[:, :known]
    return mean


def _best(actions: Tensor, costs: Tensor, count: int) -> Tensor:
    """The `count` cheapest of (B, N, L, A), the cheapest first."""
    order = costs.argsort(dim=1, stable=True)[:, :count]
    return actions.gather(1, order[:, :, None, None].expand(-1, -1, *actions.shape[2:]))


def _about(mean: Tensor, spread: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """`count` sequences (B, N, L, A) drawn about a mean (B, L, A), which is the first of them."""
    noise = torch.from_numpy(rng.standard_normal((len(mean), count, *mean.shape[1:]), dtype=np.float32))
    noise[:, 0] = 0
    return (mean[:, None] + spread[:, None] * noise).clamp(-1, 1)


def _coloured(rng: np.random.Generator, shape: tuple[int, ...], exponent: float) -> Tensor:
    """Noise (..., L, A) of unit variance whose power falls with frequency along L (Timmer and Koenig 1995)."""
    length = shape[-2]
    frequency = np.maximum(np.fft.rfftfreq(length), 1 / length)
    amplitude = (frequency ** (-exponent / 2))[:, None]
    half = (*shape[:-2], len(frequency), shape[-1])
    turned = amplitude * (rng.standard_normal(half) + 1j * rng.standard_normal(half))
    ends = [0, -1] if length % 2 == 0 else [0]
    turned[..., ends, :] = turned[..., ends, :].real * math.sqrt(2)  # these frequencies have no phase
    twice = np.full((len(frequency), 1), 2.0)
    twice[ends] = 1.0  # and stand for themselves alone, the others for their mirror image too
    unit = math.sqrt(2 * float((twice * amplitude**2).sum())) / length
    return torch.from_numpy((np.fft.irfft(turned, length, axis=-2) / unit).astype(np.float32))


def _check_elites(elites: int, samples: int) -> None:
    if not 1 <= elites <= samples:
        raise ZoetropeError(f"planner: elites must be 1 to the number of samples, {samples}; found {elites}")
