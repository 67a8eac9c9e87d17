"""Does the world put policies into the right order? Mean maximum rank violation (SIMPLER, Li et al. 2024, arXiv 2405.05941)."""

from __future__ import annotations

from typing import Literal

import numpy as np

Ties = Literal["simpler", "inversion"]
"""What a tie in the world is to MMRV, where the true rates differ:

- "simpler": a violation, charged to the better policy of the two alone. It is what SIMPLER's published code does, hence what
  published figures mean. (Its paper writes the comparison the other way about, which would charge the worse one.)
- "inversion": none. Only a pair that the world puts into the opposite order counts.

A tie in the true rates costs nothing either way: the gap is zero.
"""


def mmrv(*, world: np.ndarray, true: np.ndarray, ties: Ties = "simpler") -> np.ndarray:
    """Mean over policies i of the largest |true_i - true_j| over those j that the world ranks wrongly against i.

    Success rates (..., P) -> (...), 0 best, 1 worst. The gap is measured on the true side, so that the two rates cannot be
    swapped: they go by name only.
    """
    S, R = (np.asarray(v, float) for v in (world, true))
    world_above, true_above = (v[..., :, None] > v[..., None, :] for v in (S, R))
    if ties == "simpler":
        violated = world_above != true_above
    elif ties == "inversion":
        violated = (world_above & np.swapaxes(true_above, -1, -2)) | (np.swapaxes(world_above, -1, -2) & true_above)
    else:
        raise ValueError(f"ties: expected 'simpler' or 'inversion', found {ties!r}")
    gap = np.abs(R[..., :, None] - R[..., None, :])
    return np.where(violated, gap, 0.0).max(-1).mean(-1)
