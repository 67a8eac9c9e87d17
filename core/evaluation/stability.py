"""Ten minutes of play: does the picture freeze, fade, drift off in colour, and does it stand still when no key is pressed?

The keys are stretches of recorded play in a shuffled order with idle stretches between them; what the same stretches look like
in the real engine is the measure. Nothing real is shown after the context. Statistics are kept per minute, no frames are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.episodes.episode import Episode
from core.evaluation import metrics
from core.evaluation.dream import World


@dataclass(frozen=True, kw_only=True, slots=True)
class StabilityConfig:
    frames: int = 15_000
    """Ten minutes at 25 frames a second."""
    context: int = 32
    stretch: int = 192
    """Frames of recorded keys between two idle stretches."""
    idle: int = 64
    """Steps without a key."""
    settle: int = 8
    """Idle steps for momentum to run out, before the picture that the last one is compared with."""
    segment: int = 1_500
    """Frames a figure is gathered over: a minute."""
    sample: int = 10
    """Every so many frames, sharpness and colours are looked at."""


def run(
    world: World,
    recordings: Sequence[Episode],
    idle_action: np.ndarray | int,
    config: StabilityConfig,
    seed: int,
    progress: Callable[[int], None] = lambda frames: None,
) -> dict[str, Any]:
    """Play `config.frames` frames from the first recording's start and say what became of the picture."""
    rng = np.random.default_rng((seed, 0x57AB))
    start = recordings[int(rng.integers(len(recordings)))]
    session = world.open(start.window(0, config.context), seed=seed)
    previous = start.frames[config.context - 1]
    minutes: list[dict[str, float]] = []
    stills: list[float] = []
    gathered = _Gathered()
    played = 0
    while played < config.frames:
        episode = recordings[int(rng.integers(len(recordings)))]
        first = int(rng.integers(max(1, len(episode) - config.stretch)))
        keys = episode.action[first : first + config.stretch]
        real_motion = _motion(episode.frames[first : first + config.stretch + 1])
        still = None
        for t in range(len(keys) + config.idle):
            moving = t < len(keys)
            frame = session.step(keys[t] if moving else idle_action).frame
            if moving:
                gathered.motion.append(float(np.abs(frame.astype(np.int16) - previous).mean()))
                gathered.real_motion.append(real_motion[min(t, len(real_motion) - 1)])
            elif t - len(keys) == config.settle - 1:
                still = frame
            previous = frame
            played += 1
            if played % config.sample == 0:
                gathered.frames.append(frame)
            if played % config.segment == 0 or played == config.frames:
                minutes.append(gathered.summary())
                gathered = _Gathered()
                progress(played)
            if played == config.frames:
                break
        else:
            if still is not None:
                stills.append(float(metrics.psnr(still[None], previous[None])[0]))
    real = real_look(recordings, config)
    for minute in minutes:
        minute["sharpness_ratio"] = minute.pop("energy") / real["energy"]
        minute["histogram_overlap"] = metrics.histogram_overlap(np.asarray(minute.pop("histogram")), real["histogram"])
    motion = [m["motion_ratio"] for m in minutes if m["motion_ratio"] is not None]
    return {
        "seed": seed,
        "frames": played,
        "minutes": minutes,
        "idle_psnr_db": float(np.mean(stills)) if stills else None,
        "idle_psnr_worst_db": min(stills) if stills else None,
        "real_histogram_overlap": real["overlap"],
        "frozen": bool(motion) and min(motion) < 0.2,
        "collapsed": any(not 0.4 < m["sharpness_ratio"] < 2.5 for m in minutes)
        or any(m["histogram_overlap"] < 0.5 * real["overlap"] for m in minutes),
    }


def real_look(recordings: Sequence[Episode], config: StabilityConfig) -> dict[str, Any]:
    """Sharpness and colours of the real recordings, and how much of the pooled colours a single recording shares on average."""
    parts = [episode.frames[:: config.sample] for episode in recordings]
    pooled = metrics.colour_histogram(np.concatenate(parts))
    single = [metrics.histogram_overlap(metrics.colour_histogram(part), pooled) for part in parts]
    energy = float(np.mean([metrics.gradient_energy(part).mean() for part in parts]))
    return {"energy": energy, "histogram": pooled, "overlap": float(np.mean(single))}


class _Gathered:
    def __init__(self) -> None:
        self.motion: list[float] = []
        self.real_motion: list[float] = []
        self.frames: list[np.ndarray] = []

    def summary(self) -> dict[str, Any]:
        """`motion_ratio`: mean change from frame to frame over what the same keys change in the engine."""
        frames = np.stack(self.frames)
        real = float(np.mean(self.real_motion)) if self.real_motion else 0.0
        return {
            "motion_ratio": float(np.mean(self.motion)) / real if real > 0 else None,
            "energy": float(metrics.gradient_energy(frames).mean()),
            "histogram": metrics.colour_histogram(frames).tolist(),
        }


def _motion(frames: np.ndarray) -> list[float]:
    """Mean absolute change between neighbouring frames (T, ...) -> T - 1 values."""
    return [float(np.abs(b.astype(np.int16) - a).mean()) for a, b in zip(frames, frames[1:])]
