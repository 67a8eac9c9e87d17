"""How well bodies are found: average precision and recall against told boxes, with intervals over scenes.

Rectangles count as found at an overlap (intersection over union) of 0.3 or 0.5: at 128x72 a pedestrian is three pixels wide and
one pixel of error costs a third of the overlap, so 0.3 is the figure to judge by. Places on the ground match within 2 m or 4 m
between centres, as in nuScenes (arXiv 1903.11027), but camera by camera. Average precision is the area under the precision
envelope. Bodies that are not demanded (`Sight.demanded`), and detections of them, count neither way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.episodes.episode import Episode
from core.evaluation import intervals
from core.evaluation.intervals import Interval
from driving.gate.boxes import CLASSES, CONDITION, Boxes, Sight, episode_sight
from driving.gate.detector import Detections, Detector

BANDS = (0.0, 10.0, 20.0, 30.0, np.inf)
"""Metres: borders of the distance bands."""
SCORE_LEVELS = 512
"""Average precision is taken at this many score levels at most; exact below as many detections."""
CLEAR, CLEAR_AREA = 0.8, 60.0
"""A clear view: at least this share visible and inside the picture, and this many square pixels."""
NEVER = -1.0
"""Score of a body that was not found."""

Rule = Literal["overlap", "ground"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector found of one scene beside what was told. T frames, V cameras, N bodies, M detections."""

    boxes: Boxes
    sight: Sight
    """(T, V, N)."""
    visible: np.ndarray
    """float32 (T, V, N)."""
    detections: Detections
    """`picture` is frame * V + camera."""
    position: np.ndarray
    """float64 (M, 3): where the detections are in the world."""
    cameras: int

    @property
    def demanded(self) -> np.ndarray:
        """bool (T, V, N): what the detector is asked to find."""
        return self.sight.demanded(self.visible)

    @property
    def clear(self) -> np.ndarray:
        """bool (T, V, N): what is so well in view that missing it again and again is no bad luck."""
        return self.demanded & (self.visible >= CLEAR) & (self.sight.inside >= CLEAR) & (self.sight.area >= CLEAR_AREA)


def find(detector: Detector, episode: Episode, every: int = 1) -> Found:
    """Run the detector over every so-manieth frame of an episode with boxes. Bodies hidden in `depth` are not demanded."""
    if episode.pose is None or episode.intrinsics is None:
        raise ValueError("an episode without poses or intrinsics cannot be held against boxes")
    frames, pose, k = episode.frames[::every], episode.pose[::every], episode.intrinsics
    steps, cameras, height, width, _ = frames.shape
    depth = None if episode.depth is None else episode.depth[::every]
    boxes, sight, visible = episode_sight(episode.conditions[CONDITION][::every], pose, k, depth, (width, height))
    flat = frames.reshape(-1, height, width, 3)
    detections = detector.find(flat, np.tile(k[:, 0, 0], steps))
    position = detections.positions(pose.reshape(-1, 4, 4), np.tile(k, (steps, 1, 1)))
    return Found(boxes, sight, visible, detections, position, cameras)


@dataclass(frozen=True, slots=True)
class Matches:
    """Which detection is which body."""

    score: np.ndarray
    """float32 (T, V, N): of the detection that found the body; NEVER where none did."""
    right: np.ndarray
    """bool (M,): finds a demanded body."""
    ignored: np.ndarray
    """bool (M,): lies on a body that is not demanded."""


def match(found: Found, rule: Rule = "overlap", limit: float = 0.3, by_class: bool = True) -> Matches:
    """Pair detections with bodies, best first, each with the nearest free one within `limit` (overlap, or metres).

    `by_class`: only bodies of the detection's class.
    """
    d, all_demanded = found.detections, found.demanded
    score = np.full(all_demanded.shape, NEVER, np.float32)
    right, ignored = np.zeros((2, len(d.score)), bool)
    order = np.lexsort((-d.score, d.picture))
    starts = np.searchsorted(d.picture[order], np.arange(len(all_demanded) * found.cameras + 1))
    for picture in np.flatnonzero(np.diff(starts)):
        t, v = divmod(picture, found.cameras)
        bodies = np.flatnonzero(found.sight.shown[t, v])
        if not len(bodies):
            continue
        mine = order[starts[picture] : starts[picture + 1]]
        if rule == "overlap":
            near = _overlap(d.box[mine], found.sight.box[t, v, bodies]) - limit
        else:
            gap = found.position[mine, None, :2] - found.boxes.centre[t, bodies, :2]
            near = limit - np.linalg.norm(gap, axis=-1)
        if by_class:
            near = np.where(d.kind[mine, None] == found.boxes.kind[t, bodies], near, -1.0)
        demanded = all_demanded[t, v, bodies]
        free = demanded.copy()
        for row, m in enumerate(mine):
            choice = np.where(free, near[row], -1.0)
            best = int(choice.argmax())
            if choice[best] >= 0:
                right[m], free[best] = True, False
                score[t, v, bodies[best]] = d.score[m]
            else:
                ignored[m] = bool((near[row][~demanded] >= 0).any())
    return Matches(score, right, ignored)


def strays(found: Found, limit: float = 0.1) -> np.ndarray:
    """bool (M,): detections that overlap no told body of any class and size by `limit`."""
    d, out = found.detections, np.zeros(len(found.detections.score), bool)
    for picture in np.unique(d.picture):
        t, v = divmod(int(picture), found.cameras)
        mine = d.picture == picture
        told = found.sight.box[t, v][found.sight.shown[t, v]]
        out[mine] = (_overlap(d.box[mine], told) < limit).all(1)
    return out


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of rectangles (M, 4) and (N, 4): (M, N)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    area = lambda box: (box[:, 2:] - box[:, :2]).prod(-1)  # noqa: E731
    return both / np.maximum(area(a)[:, None] + area(b)[None] - both, 1e-9)


def average_precision(right: np.ndarray, wrong: np.ndarray, told: np.ndarray) -> np.ndarray:
    """AP (...,), NaN without bodies, from right and wrong detections (..., L) at falling scores, and told bodies (...,)."""
    right, wrong = np.cumsum(right, -1), np.cumsum(wrong, -1)
    precision = right / np.maximum(right + wrong, 1e-12)
    envelope = np.maximum.accumulate(precision[..., ::-1], -1)[..., ::-1]
    gained = np.diff(right, axis=-1, prepend=0)
    return np.where(told > 0, (envelope * gained).sum(-1) / np.maximum(told, 1e-12), np.nan)


@dataclass(frozen=True, slots=True)
class Precision:
    """Counts of S scenes from which average precision follows; they add up, so that scenes can be drawn again."""

    rows: np.ndarray
    """float64 (S, C, 2 L + 1): right at each level, wrong at each level, told."""

    def of(self, kinds: Sequence[int]) -> Interval | None:
        """Mean AP over those of the classes `kinds` that were told at all, with the scenes drawn again."""
        return intervals.statistic(self.rows, lambda total: _mean_precision(total[:, list(kinds)]))

    def over(self, other: Precision, kinds: Sequence[int]) -> Interval | None:
        """This mean AP over another's on the same scenes, drawn together."""
        both = np.stack([self.rows, other.rows], 1)
        chosen = list(kinds)
        return intervals.statistic(both, lambda t: _mean_precision(t[:, 0, chosen]) / _mean_precision(t[:, 1, chosen]))


def _mean_precision(total: np.ndarray) -> np.ndarray:
    levels = total.shape[-1] // 2
    each = average_precision(total[..., :levels], total[..., levels : 2 * levels], total[..., -1])
    known = np.isfinite(each)
    with np.errstate(all="ignore"):
        return np.where(known, each, 0).sum(-1) / known.sum(-1)


def precision(scenes: Sequence[Found], rule: Rule = "overlap", limit: float = 0.3) -> Precision:
    """The counts of each scene, over common score levels."""
    matches = [match(scene, rule, limit) for scene in scenes]
    scores = np.unique(np.concatenate([scene.detections.score for scene in scenes] + [np.zeros(1)]))
    if len(scores) > SCORE_LEVELS:
        scores = np.quantile(scores, np.linspace(0, 1, SCORE_LEVELS))
    levels = len(scores)
    rows = np.zeros((len(scenes), len(CLASSES), 2 * levels + 1))
    for row, scene, result in zip(rows, scenes, matches):
        d = scene.detections
        level = levels - 1 - np.clip(np.searchsorted(scores, d.score, side="right") - 1, 0, levels - 1)
        kept = ~result.ignored
        np.add.at(row, (d.kind[kept], level[kept] + np.where(result.right[kept], 0, levels)), 1)
        kinds = np.broadcast_to(scene.boxes.kind[:, None], scene.demanded.shape)[scene.demanded]
        row[:, -1] = np.bincount(kinds, minlength=len(CLASSES))
    return Precision(rows)


@dataclass(frozen=True, slots=True)
class Recall:
    """Every demanded body of every picture of some scenes: whether it was found, and what it was. K of them."""

    found: np.ndarray
    """bool (K,)."""
    kind: np.ndarray
    band: np.ndarray
    """Distance band."""
    camera: np.ndarray
    actor: np.ndarray
    scene: np.ndarray

    def rows(self) -> list[list[int]]:
        """As plain numbers, a row a body: found, class, band, camera and actor."""
        columns = (self.found, self.kind, self.band, self.camera, self.actor)
        return np.stack([np.asarray(c, int) for c in columns], -1).tolist()

    @staticmethod
    def of_rows(scenes: Sequence[list[list[int]]]) -> Recall:
        """From the rows of some scenes."""
        table = [np.array(rows, int).reshape(-1, 5) for rows in scenes]
        numbers = np.concatenate([np.full(len(rows), n) for n, rows in enumerate(table)] or [np.zeros(0, int)])
        found, kind, band, camera, actor = np.concatenate(table or [np.zeros((0, 5), int)]).T
        return Recall(found > 0, kind, band, camera, actor, numbers)

    def rate(self, mask: np.ndarray | None = None) -> Interval | None:
        """Share found, of those in `mask`, with an interval over scenes."""
        at = np.ones(len(self.found), bool) if mask is None else mask
        return intervals.mean(self.found[at].astype(float), self.scene[at].tolist())

    def table(self, camera_names: Sequence[str]) -> dict[str, dict[str, dict[str, float | int | list[float]]]]:
        """Share found by class, distance and camera, each with its interval and count; only what occurs."""
        out: dict[str, dict[str, dict[str, float | int | list[float]]]] = {"class": {}, "distance": {}, "camera": {}}
        bands = [f"{low:g}-{high:g} m" for low, high in zip(BANDS, BANDS[1:])]
        for group, column, names in (
            ("class", self.kind, CLASSES),
            ("distance", self.band, bands),
            ("camera", self.camera, camera_names),
        ):
            for index, name in enumerate(names):
                rate = self.rate(column == index)
                if rate is not None:
                    out[group][name] = {"recall": rate.value, "ci95": rate.bounds, "count": rate.count}
        return out


def recall(scenes: Sequence[Found], threshold: float, limit: float = 0.3) -> Recall:
    """Which demanded bodies were found with a score of at least `threshold`."""
    columns: list[list[np.ndarray]] = []
    for number, scene in enumerate(scenes):
        score = match(scene, "overlap", limit).score
        t, v, n = np.nonzero(scene.demanded)
        band = np.digitize(scene.sight.distance[t, v, n], BANDS[1:-1])
        row = [score[t, v, n] >= threshold, scene.boxes.kind[t, n], band, v, scene.boxes.id[t, n], np.full(len(t), number)]
        columns.append(row)
    return Recall(*(np.concatenate(c) for c in zip(*columns)))
