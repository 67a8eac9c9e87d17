"""Have the embeddings collapsed? How many directions they use, and whether where things are can be read from them linearly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from robotics.latent.inverse import embed_all
from robotics.latent.model import LeWorldModel, effective_rank
from robotics.record import OBJECTS, PROPRIOCEPTION

RIDGE = 1e-3
"""Share of the embeddings' variance by which the linear probe is held back."""
MOVED = 1e-3
"""Standard deviation over episodes below which a number is a constant, not something to be read (metres, mostly)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collapse:
    """A sound model uses many directions and tells where things are."""

    rank: float
    """Effective rank; the embedding's width at most."""
    hand: np.ndarray
    """R2 (P,) of each number of proprioception read linearly, on episodes not fitted on; NaN for constants."""
    objects: np.ndarray
    """R2 (O,) of each number of where things are."""

    def as_dict(self) -> dict[str, Any]:
        """As it is reported: R2 rounded, None for constants."""
        plain = lambda values: [None if np.isnan(v) else round(float(v), 3) for v in values]  # noqa: E731
        return {"rank": round(self.rank, 1), "hand_r2": plain(self.hand), "objects_r2": plain(self.objects)}


def measure(model: LeWorldModel, store: EpisodeStore, episodes: int = 80) -> Collapse:
    """Over `episodes` of `store`, spread evenly; every other one fits the probe, the rest score it."""
    indices = store.indices()
    if len(indices) < 2:
        raise ZoetropeError(f"{store.folder}: two episodes or more are needed to probe embeddings")
    picks = [indices[i] for i in np.unique(np.linspace(0, len(indices) - 1, episodes).round().astype(int))]
    parts: list[list[np.ndarray]] = [[], [], []]
    half: list[np.ndarray] = []
    for number, index in enumerate(picks):
        episode = store.read(index)
        known = episode.conditions[PROPRIOCEPTION]
        z = embed_all(model, episode.frames, known).double().numpy()
        for part, values in zip(parts, (z, known.astype(float), episode.conditions[OBJECTS].astype(float))):
            part.append(values)
        half.append(np.full(len(z), number % 2))
    z, hand, objects = (np.concatenate(part) for part in parts)
    scored = np.concatenate(half) == 1
    return Collapse(
        rank=effective_rank(torch.from_numpy(z)),
        hand=probe(z[~scored], hand[~scored], z[scored], hand[scored]),
        objects=probe(z[~scored], objects[~scored], z[scored], objects[scored]),
    )


def probe(z: np.ndarray, values: np.ndarray, held_z: np.ndarray, held_values: np.ndarray) -> np.ndarray:
    """Fit `values` (N, K) by ridge regression on z (N, D), and score it on held-out rows: R2 (K,), NaN for constants."""
    centre, mean = z.mean(0), values.mean(0)
    known = z - centre
    gram = known.T @ known
    hold = RIDGE * np.trace(gram) / len(gram) + 1e-12
    weight = np.linalg.solve(gram + hold * np.eye(len(gram)), known.T @ (values - mean))
    left = held_values - mean - (held_z - centre) @ weight
    spread = held_values.std(0)
    return np.where(spread > MOVED, 1 - (left**2).mean(0) / np.maximum(spread, MOVED) ** 2, np.nan)
