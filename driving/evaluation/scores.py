"""Scores of imagined scenes, each beside the source's own and its trivial baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.evaluation import intervals
from core.evaluation.intervals import Interval, figure
from core.evaluation.metrics import gradient_energy, psnr
from core.streaming.world import World
from driving.evaluation.rollouts import CONTEXT
from driving.gate.detector import Detector
from driving.gate.egomotion import EgoMotionReader
from driving.gate.figures import overlap_error
from driving.gate.score import find, match
from driving.rig import Rig
from driving.scene import RATE

HORIZONS = {"2s": 2 * RATE, "8s": 8 * RATE}
"""Imagined frames after which PSNR is taken."""
TURNS = 0.005
"""Standard deviation of the yaw rate, rad/s, above which a scene counts as one in which the ego turns."""
LOOK_EVERY = 4
"""Every so-manieth imagined frame is looked at by the detector."""


def pictures(
    world: World, real: EpisodeStore, dreamt: EpisodeStore, less: dict[str, EpisodeStore], indices: Sequence[int]
) -> dict:
    """PSNR at each horizon over repeating the last frame and over rollouts that were told `less`, by name; the tokenizer's
    ceiling; sharpness.
    """
    rows: dict[str, list[float]] = {}
    for index in indices:
        truth = real.read(index)
        last = CONTEXT - 1
        for horizon, ahead in HORIZONS.items():
            at = last + ahead
            if at >= len(truth):
                raise ZoetropeError(
                    f"{real.path(index)}: {len(truth)} frames are too few to look {horizon} ahead; record longer"
                )
            want = truth.frames[at][None]
            ours = dreamt.read(index, at, 1).frames
            for label, shown in (
                ("psnr", ours),
                *((f"psnr_{name}", other.read(index, at, 1).frames) for name, other in less.items()),
                ("psnr_repeat", truth.frames[last][None]),
                ("psnr_ceiling", world.reconstruct(want)),
            ):
                rows.setdefault(f"{label}_{horizon}", []).append(float(psnr(want, shown)[0]))
            rows.setdefault(f"sharpness_{horizon}", []).append(float(gradient_energy(ours)[0]))
            rows.setdefault(f"sharpness_real_{horizon}", []).append(float(gradient_energy(want)[0]))
    out: dict = {name: figure(intervals.mean(values)) for name, values in rows.items()}
    for base in ("repeat", *less):
        out[f"psnr_gain_over_{base}_db"] = {
            name: figure(intervals.difference(rows[f"psnr_{name}"], rows[f"psnr_{base}_{name}"])) for name in HORIZONS
        }
    out["sharpness_ratio"] = {
        name: figure(intervals.ratio(rows[f"sharpness_{name}"], rows[f"sharpness_real_{name}"])) for name in HORIZONS
    }
    return out


def found_share(detector: Detector, episode: Episode, hidden_by: np.ndarray, score: float) -> tuple[int, int]:
    """How many told boxes the detector finds in imagined frames, and how many there are; bodies are hidden by true depth."""
    seen = replace(episode, depth=hidden_by).window(CONTEXT, len(episode))
    found = find(detector, seen, LOOK_EVERY)
    hits = match(found).score[found.demanded] >= score
    return int(hits.sum()), len(hits)


def boxes(detector: Detector, score: float, real: EpisodeStore, dreamt: EpisodeStore, indices: Sequence[int]) -> dict:
    """Share of told boxes found in imagined frames over the share found in the same real ones.

    `score`: from which a detection counts.
    """
    rows = []
    for index in indices:
        truth = real.read(index)
        assert truth.depth is not None
        ours = found_share(detector, dreamt.read(index), truth.depth, score)
        theirs = found_share(detector, truth, truth.depth, score)
        rows.append([*ours, *theirs])
    table = np.array(rows, float)
    share = lambda a, b: lambda s: s[..., a] / np.maximum(s[..., b], 1)  # noqa: E731
    over = lambda s: (s[..., 0] / np.maximum(s[..., 1], 1)) / np.maximum(s[..., 2] / np.maximum(s[..., 3], 1), 1e-9)  # noqa: E731
    return {
        "box_recall": figure(intervals.statistic(table, share(0, 1))),
        "box_recall_source": figure(intervals.statistic(table, share(2, 3))),
        "box_recall_ratio": figure(intervals.statistic(table, over)),
        "told_boxes": int(table[:, 1].sum()),
    }


def overlap(real: EpisodeStore, dreamt: EpisodeStore, indices: Sequence[int]) -> dict:
    """Colour difference where neighbouring cameras see the same surface, imagined over real."""
    ours, theirs = [], []
    for index in indices:
        truth, dream = real.read(index), dreamt.read(index)
        assert truth.pose is not None and truth.intrinsics is not None and truth.depth is not None
        cut = slice(CONTEXT, None, LOOK_EVERY)
        where = (truth.depth[cut].astype(np.float32), truth.pose[cut], truth.intrinsics)
        pair = [overlap_error(e.frames[cut], *where) for e in (dream, truth)]
        if pair[0] is not None and pair[1] is not None:
            ours.append(pair[0])
            theirs.append(pair[1])
    return {
        "overlap_error": figure(intervals.mean(ours)),
        "overlap_error_source": figure(intervals.mean(theirs)),
        "overlap_error_ratio": figure(intervals.ratio(ours, theirs)),
    }


def turning(real: EpisodeStore) -> list[int]:
    """The scenes in which the ego turns: on a straight road there is no yaw rate to be read."""
    found = [i for i in real.indices() if float(real.read(i).action[:, 1].std()) > TURNS]
    if len(found) < 2:
        raise ZoetropeError(f"{real.folder}: the ego turns in {len(found)} scenes, two are needed; record more")
    return found


def ego_motion(rigs: dict[int, Rig], real: EpisodeStore, dreamt: EpisodeStore, indices: Sequence[int]) -> dict:
    """Correlation of speed and yaw rate read from pictures with those commanded; beside it, with another scene's commands."""
    read: dict[str, list[np.ndarray]] = {"dream": [], "source": []}
    commanded = []
    for index in indices:
        truth, reader = real.read(index), EgoMotionReader(rigs[index])
        cut = slice(CONTEXT - 1, None)
        commanded.append(truth.action[cut][:-1])
        for name, episode in (("dream", dreamt.read(index)), ("source", truth)):
            depth = None if episode.depth is None else episode.depth[cut].astype(np.float32)
            read[name].append(reader.read(episode.frames[cut], depth))
    out: dict = {}
    for part, column in (("speed", 0), ("yaw_rate", 1)):
        pick = lambda rows, c=column: [r[:, c] for r in rows]  # noqa: E731
        want = pick(commanded)
        for name, label in (("dream", ""), ("source", "_source")):
            out[f"ego_{part}_correlation{label}"] = figure(correlation(pick(read[name]), want))
        length = min(map(len, want))
        other = [w[:length] for w in want[1:] + want[:1]]
        out[f"ego_{part}_correlation_shuffled"] = figure(correlation([r[:length] for r in pick(read["dream"])], other))
    parts = [out["ego_speed_correlation"], out["ego_yaw_rate_correlation"]]
    out["ego_motion_correlation"] = None if None in parts else min(parts, key=lambda part: part["value"])
    return out


def correlation(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Interval | None:
    """Pearson's correlation over all frames of all scenes, scenes resampled."""
    rows = np.array([[len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()] for x, y in zip(a, b)], float)

    def pearson(s: np.ndarray) -> np.ndarray:
        n, x, y, xx, yy, xy = np.moveaxis(s, -1, 0)
        spread = np.sqrt(np.maximum(xx - x * x / n, 0) * np.maximum(yy - y * y / n, 0))
        return (xy - x * y / n) / np.maximum(spread, 1e-12)

    return intervals.statistic(rows, pearson)
