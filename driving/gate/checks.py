"""The gate: whether a generated scene shows what it was told to show, and why not.

A scene is measured (`measure`), each figure is held against limits calibrated on source scenes (`driving.gate.calibrate`),
and the verdict names every limit that was broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from core.config import load_yaml
from core.episodes.episode import Episode
from core.errors import ZoetropeError
from driving.gate import figures
from driving.gate.boxes import CLASSES, CONDITION, Boxes, project
from driving.gate.detector import Detector
from driving.gate.score import Found, find, match, strays

FIND_EVERY = 2
"""The detector looks at every so-manieth frame."""
AREAS = (24.0, 60.0, 150.0, 400.0)
"""Square pixels: lower borders of the size bands in which the source's rate of finding is known."""
MIN_EXPECTED = 4.0
"""Finds that must be expected of a scene before it is judged by them."""
MIN_VIEWS = 8
"""Clear views (`Found.clear`) of an actor before it is judged by itself."""
FAINT, NEARLY = 0.5, 0.2
"""An actor is there where anything is found with this share of the usual score and this overlap, of whatever class."""
LIMITS = "thresholds.yaml"

Side = Literal["low", "high", "both"]


@dataclass(frozen=True, slots=True)
class Check:
    """A figure of a scene and what it means to be out of bounds."""

    side: Side
    """Which side is bad."""
    slack: float
    """No limit lies nearer than this to what is typical: less is not worth a rejection."""
    meaning: str


CHECKS: dict[str, Check] = {
    "told_boxes": Check("low", 0.1, "told bodies are found less often than in the source"),
    "worst_actor": Check("low", 0.2, "one told body is hardly to be seen"),
    "unknown_bodies": Check("high", 0.05, "bodies are seen that were not told"),
    "overlap": Check("high", 0.2, "neighbouring cameras disagree where they see the same"),
    "motion": Check("low", 0.1, "bodies do not move as their boxes do"),
    "stillness": Check("low", 0.2, "the video freezes while the ego drives"),
    "sharpness": Check("both", 0.05, "the pictures are blurred or grainy"),
    "drift": Check("high", 0.03, "the colours drift away"),
}
"""told_boxes: found over expected; worst_actor: share of an actor's clear views in which anything is where it should be;
unknown_bodies: a picture; overlap: over the source's typical error; motion: correlation; stillness: log10 of change over
contrast; sharpness: gradient over that when blurred; drift: share of full scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    check: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.check not in CHECKS:
            raise ZoetropeError(f"gate: unknown check '{self.check}'; known: {', '.join(CHECKS)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """How well the detector finds bodies in source pictures."""

    score: float
    """From which a detection counts."""
    sure: float
    """From which one that is no told body counts as something that was not told."""
    rates: tuple[tuple[float, ...], ...]
    """Share found: class by size band."""
    overlap: float
    """The source's mean overlap error."""

    def __post_init__(self) -> None:
        if len(self.rates) != len(CLASSES) or any(len(row) != len(AREAS) for row in self.rates):
            raise ZoetropeError(f"gate: rates: expected {len(CLASSES)} classes by {len(AREAS)} size bands; calibrate again")


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    expectation: Expectation
    limits: tuple[Limit, ...]

    @staticmethod
    def load(path: Path | None = None) -> Thresholds:
        """From a file; without one, those that come with the gate."""
        return load_yaml(Thresholds, path or Path(str(files("driving.gate") / LIMITS)))


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of a scene, before it is held against what is usual."""

    found: Found
    overlap: float | None
    """Overlap error as a share of full scale."""
    others: dict[str, float | None]
    """The figures that need no expectation."""


@dataclass(frozen=True, slots=True)
class Measurement:
    figures: dict[str, float | None]
    """One a check; None where the scene offers nothing to measure it on."""
    found: Found
    worst_frame: int
    """The frame with the most told bodies that were not found."""


@dataclass(frozen=True, slots=True)
class Verdict:
    accepted: bool
    reasons: tuple[str, ...]
    """Empty when accepted."""
    figures: dict[str, float | None]


def measure(episode: Episode, detector: Detector, expectation: Expectation) -> Measurement:
    """All figures of a scene of boxes, poses, intrinsics and, where known, depth.

    `depth` should be the told scene's (the source renders it), so that a body that the world forgot still counts as visible;
    without it bodies hide only each other and cameras' overlap is not measured.
    """
    return assess(observe(episode, detector), expectation)


def observe(episode: Episode, detector: Detector) -> Observation:
    """Look at a scene: see `measure`."""
    if episode.pose is None or episode.intrinsics is None or CONDITION not in episode.conditions:
        raise ZoetropeError("gate: the scene lacks boxes, poses or intrinsics; generate it with 'zoetrope drive synthesize'")
    boxes = Boxes.read(episode.conditions[CONDITION])
    height, width = episode.frames.shape[2:4]
    sight = project(boxes, episode.pose, episode.intrinsics, width, height)
    return Observation(
        find(detector, episode, FIND_EVERY),
        figures.overlap_error(episode.frames, episode.depth, episode.pose, episode.intrinsics),
        {
            "motion": figures.motion_agreement(episode.frames, boxes, sight, sight.demanded()),
            "stillness": figures.stillest(episode.frames, episode.pose),
            "sharpness": figures.sharpness(episode.frames),
            "drift": figures.colour_drift(episode.frames),
        },
    )


def assess(seen: Observation, expectation: Expectation) -> Measurement:
    """Hold what was seen against what is usual in the source."""
    told, actor, unknown, frame = _bodies(seen.found, expectation)
    values = {"told_boxes": told, "worst_actor": actor, "unknown_bodies": unknown}
    values["overlap"] = None if seen.overlap is None else seen.overlap / expectation.overlap
    return Measurement(values | seen.others, seen.found, frame * FIND_EVERY)


def judge(measurement: Measurement, thresholds: Thresholds) -> Verdict:
    """Accept a scene none of whose figures is out of bounds."""
    reasons = []
    for limit in thresholds.limits:
        value = measurement.figures[limit.check]
        if value is None:
            continue
        what = f"{limit.check}: {CHECKS[limit.check].meaning}"
        if limit.low is not None and value < limit.low:
            reasons.append(f"{what} ({value:.3g}, at least {limit.low:.3g} expected)")
        if limit.high is not None and value > limit.high:
            reasons.append(f"{what} ({value:.3g}, at most {limit.high:.3g} expected)")
    return Verdict(not reasons, tuple(reasons), measurement.figures)


def size_band(area: np.ndarray) -> np.ndarray:
    """Index into AREAS."""
    return np.clip(np.digitize(area, AREAS) - 1, 0, len(AREAS) - 1)


def _bodies(found: Found, expectation: Expectation) -> tuple[float | None, float | None, float | None, int]:
    """Found over expected, the same of the worst actor, unknown bodies a picture, and the worst frame."""
    hit, demanded = match(found).score >= expectation.score, found.demanded
    t, v, n = np.nonzero(demanded)
    expected = np.asarray(expectation.rates)[found.boxes.kind[t, n], size_band(found.sight.area[t, v, n])]
    got = hit[t, v, n].astype(float)
    told = float(got.sum() / expected.sum()) if expected.sum() >= MIN_EXPECTED else None
    clear, there = found.clear, match(found, limit=NEARLY, by_class=False).score >= FAINT * expectation.score
    views = clear.sum((0, 1))
    share = (clear & there).sum((0, 1))[views >= MIN_VIEWS] / views[views >= MIN_VIEWS]
    worst = float(share.min()) if len(share) else None
    stray = (found.detections.score >= expectation.sure) & strays(found)
    pictures = len(demanded) * found.cameras
    missed = np.bincount(t, expected - got, len(demanded))
    missed += np.bincount(found.detections.picture[stray] // found.cameras, minlength=len(missed))
    return told, worst, float(stray.sum() / pictures), int(missed.argmax())
