"""The amortized planner, taught by the latent model: what it does is imagined, and how far from the goal that ends is its loss.

What searches minimize anew for every plan, one network learns to minimize for all, as policies are learnt in dreams (Dreamer,
arXiv 1912.01603). It begins as the inverse dynamics, which follow what was done in the recordings, whoever did it; some of that
stays in the loss, so that what is asked for stays near what has been seen. Shape letters as in `model`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robotics.latent.inverse import InverseDynamics
from robotics.latent.model import LeWorldModel
from robotics.latent.planners import Dynamics
from robotics.latent.samplers import PairSampler

HINDSIGHT = 0.1
"""Weight of the likelihood of what was done in the recordings."""


@dataclass(frozen=True, slots=True)
class Goals:
    """A batch."""

    here: Tensor
    """Embeddings (B, D)."""
    there: Tensor
    """Those of the goals."""
    strides: int
    """Between the two."""
    hindsight: tuple[Tensor, Tensor, Tensor, Tensor]
    """What `PairSampler` draws."""


class GoalSampler:
    """Random moments with goals up to `within` frames ahead, far ones more often, decided by (seed, step) alone."""

    def __init__(self, pairs: PairSampler, stride: int, within: int):
        self.pairs, self.stride, self.most = pairs, stride, within // stride

    def draw(self, step: int, count: int) -> Goals:
        pairs, rng = self.pairs, np.random.default_rng((self.pairs.seed, 1, step))
        strides = int(rng.integers(1, self.most + 1, 2).max())
        frames = strides * self.stride
        fitting = pairs.starts[pairs.last[pairs.starts] - pairs.starts >= frames]
        here = fitting[torch.from_numpy(rng.integers(len(fitting), size=count))]
        return Goals(pairs.embeddings[here], pairs.embeddings[here + frames], strides, pairs.draw(step, count))


def imagined_loss(
    model: LeWorldModel, dynamics: Dynamics, planner: InverseDynamics, batch: Goals, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """How far from their goals `dynamics` says that it ends when `planner` is followed in `model`; and hindsight's share."""
    with torch.random.fork_rng(devices=[]):  # dropout knows only the global generator
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        end = _followed(model, planner, batch)
    apart = dynamics.apart(end, batch.there).mean()
    told, _ = planner.loss(*batch.hindsight, generator=generator)
    with torch.no_grad():
        figures = {"apart": float(apart), "before": float(dynamics.apart(batch.here, batch.there).mean())}
    return apart + HINDSIGHT * told, figures


def _followed(model: LeWorldModel, planner: InverseDynamics, batch: Goals) -> Tensor:
    """Where the planner's first chunks lead, asked again after each: embeddings (B, D)."""
    z, done, history = [batch.here], [], model.config.history
    for stride in range(batch.strides):
        left = torch.full((len(batch.here),), (batch.strides - stride) * model.stride)
        done.append(planner(z[-1], batch.there, left).mean.flatten(1))
        z.append(model.predictor(torch.stack(z[-history:], 1), torch.stack(done[-history:], 1))[:, -1])
    return z[-1]
