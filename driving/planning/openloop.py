"""Open-loop scores of plans against a recorded drive, in both conventions that papers use.

`..._at`: the figure for t seconds is taken at t (UniAD, arXiv 2212.10156). `..._up_to`: it is the mean over all steps up to t
(ST-P3, arXiv 2207.07601; VAD, arXiv 2303.12077), which is smaller: never compare one with the other. Steps are 0.5 s, and the
boxes are exact where the papers' are drawn in a grid of 0.5 m.
"""

from __future__ import annotations

import numpy as np

from driving.geometry import ego_boxes, overlap

STEPS_A_SECOND = 2


def l2_at(plans: np.ndarray, driven: np.ndarray, seconds: float) -> np.ndarray:
    """Metres (S,) between plans (S, N, >= 2) and what was driven, in steps of 0.5 s from now, at `seconds` (UniAD)."""
    return _l2(plans, driven)[:, _index(seconds)]


def l2_up_to(plans: np.ndarray, driven: np.ndarray, seconds: float) -> np.ndarray:
    """The same, as mean (S,) over the steps up to `seconds` (ST-P3, VAD)."""
    return _l2(plans, driven)[:, : _index(seconds) + 1].mean(1)


def collision_at(plans: np.ndarray, driven: np.ndarray, actors: np.ndarray, seconds: float) -> np.ndarray:
    """Whether plans (S, N, 3) touch an actor, actors (S, N, M, 5) being boxes that may be NaN, at `seconds`: 0, 1 (S,) (UniAD).

    NaN where the recorded drive's own box touches one at that step: such steps are excluded.
    """
    return _collision(plans, driven, actors)[:, _index(seconds)]


def collision_up_to(plans: np.ndarray, driven: np.ndarray, actors: np.ndarray, seconds: float) -> np.ndarray:
    """The same, as share (S,) of the steps up to `seconds` that are not excluded (ST-P3, VAD); NaN where all are."""
    steps = _collision(plans, driven, actors)[:, : _index(seconds) + 1]
    known = np.isfinite(steps)
    return np.where(known.any(1), np.where(known, steps, 0.0).sum(1) / np.maximum(known.sum(1), 1), np.nan)


def _index(seconds: float) -> int:
    return round(seconds * STEPS_A_SECOND) - 1


def _l2(plans: np.ndarray, driven: np.ndarray) -> np.ndarray:
    return np.linalg.norm(plans[..., :2] - driven[..., :2], axis=-1)


def _collision(plans: np.ndarray, driven: np.ndarray, actors: np.ndarray) -> np.ndarray:
    ours, theirs = (overlap(ego_boxes(p)[..., None, :], actors).any(-1) for p in (plans, driven))
    return np.where(theirs, np.nan, ours.astype(float))
