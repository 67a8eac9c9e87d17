"""Keeping embeddings from collapse: what they look like from random sides must be a standard Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

KNOTS = 17
"""Points at which characteristic functions are compared."""
REACH = 3.0
"""Of the last of them: beyond it a Gaussian's is nothing."""


def sigreg(z: Tensor, directions: int, generator: torch.Generator) -> Tensor:
    """Sketched isotropic Gaussian regularization (LeJEPA, arXiv 2511.08544): scalar of samples (..., N, D).

    The N samples of each leading index are seen along `directions` unit vectors, drawn anew at every call, and each view is
    held against N(0, 1) by the statistic of Epps and Pulley (1983): N times the squared distance of characteristic functions
    under a Gaussian weight. About 1 for Gaussian samples whatever N, and in proportion to N for any others.
    """
    sides = torch.randn(z.shape[-1], directions, generator=generator).to(z)
    seen = z @ (sides / sides.norm(dim=0))
    t = torch.linspace(0, REACH, KNOTS, device=z.device, dtype=z.dtype)
    gaussian = torch.exp(-t.square() / 2)
    real = [(seen * knot).cos().mean(-2) for knot in t]  # knot by knot: all at once do not fit the cache
    imaginary = [(seen * knot).sin().mean(-2) for knot in t]
    apart = (torch.stack(real, -1) - gaussian).square() + torch.stack(imaginary, -1).square()
    whole = 2 * torch.trapezoid(apart * gaussian, t, dim=-1)  # of both signs of t
    return z.shape[-2] * whole.mean()
