"""What a run leaves behind: figures as JSON, a chart of its scores over time, a video. Pages are made of them elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.episodes.video import VideoWriter
from core.errors import ZoetropeError
from core.files import atomic_path, write_text
from driving.geometry import actor_boxes, corners, ego_boxes, to_body
from driving.planning.loop import Course, LoopResult
from driving.planning.pdm import PARTS
from driving.planning.tree import Judged
from driving.rig import Rig
from driving.scene import RATE, Moment

VIEW = 50.0
"""Metres that the bird's-eye view shows to each side."""
BEHIND = 15.0
"""...and behind the ego; ahead it shows the rest."""
ORDER = (55, 0, -55, 110, 180, -110)
"""Where cameras stand in a frame of the video: yaws from left to right, upper row first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopReport:
    """The files of one run."""

    figures: Path
    """JSON: `LoopResult.as_dict` and the parts of the score over time."""
    chart: Path
    """PNG."""
    video: Path | None
    """MP4; None where no pictures were kept."""


def write_report(result: LoopResult, course: Course, folder: Path, stem: str) -> LoopReport:
    """Write a run's files as `folder/stem.*`, each atomically."""
    figures, chart, video = (folder / f"{stem}.{kind}" for kind in ("json", "png", "mp4"))
    times = [{"frame": frame, **score.as_dict()} for frame, score in result.scores]
    write_text(figures, json.dumps(result.as_dict() | {"over_time": times}, indent=1))
    _chart([result], chart)
    if result.pictures:
        with VideoWriter(video, RATE) as out:
            for i, colour in enumerate(result.pictures):
                out.add(frame_of(colour, course, result, i))
    return LoopReport(figures=figures, chart=chart, video=video if result.pictures else None)


def frame_of(colour: np.ndarray, course: Course, result: LoopResult, t: int) -> np.ndarray:
    """One frame of the video, uint8 (H, W, 3): the cameras, and beside them the scene and the plan from above."""
    cameras = mosaic(colour, course.rig)
    plan = [p for frame, p in result.plans if frame <= t][-1]
    return np.concatenate([cameras, bird(course, result.moments[t], plan, cameras.shape[0])], 1)


def mosaic(colour: np.ndarray, rig: Rig) -> np.ndarray:
    """Pictures uint8 (V, H, W, 3) beside each other in rows of three, left cameras to the left."""

    def rank(index: int) -> float:
        yaw = (rig.cameras[index].yaw + 180) % 360 - 180
        away = [abs((yaw - place + 180) % 360 - 180) for place in ORDER]
        return float(np.argmin(away))

    views = [colour[i] for i in sorted(range(len(colour)), key=rank)]
    across = min(3, len(views))
    views += [np.zeros_like(views[0])] * (-len(views) % across)
    return np.concatenate([np.concatenate(views[i : i + across], 1) for i in range(0, len(views), across)], 0)


def bird(course: Course, moment: Moment, plan: np.ndarray, size: int) -> np.ndarray:
    """The scene from above around the ego, which looks up: uint8 (size, size, 3)."""
    scale = size / VIEW
    picture = np.full((size, size, 3), 92, np.uint8)

    def pixels(points: np.ndarray) -> np.ndarray:
        own = to_body(points[..., :2], moment.ego)
        at = np.stack([size / 2 - own[..., 1] * scale, size - (own[..., 0] + BEHIND) * scale], -1)
        return np.clip(np.round(at), -(2**14), 2**14).astype(np.int32)

    for polygon in getattr(course.road.drivable, "geoms", [course.road.drivable]):
        cv2.fillPoly(
            picture, [pixels(np.array(ring.coords)) for ring in (polygon.exterior, *polygon.interiors)], (150, 150, 150)
        )
    for marking in course.road.markings:
        cv2.polylines(picture, [pixels(marking.line)], False, (225, 225, 225), 1, cv2.LINE_AA)
    for (actor, _), box in zip(moment.actors, actor_boxes(moment)):
        cv2.fillPoly(picture, [pixels(corners(box))], actor.colour, cv2.LINE_AA)
    ego = np.array([moment.ego.x, moment.ego.y, moment.ego.yaw])
    cv2.fillPoly(picture, [pixels(corners(ego_boxes(ego)))], (20, 20, 20), cv2.LINE_AA)
    cv2.polylines(picture, [pixels(plan)], False, (0, 160, 90), 2, cv2.LINE_AA)
    return picture


def compare_chart(results: Sequence[LoopResult], path: Path) -> None:
    """The scores of several runs over time in one PNG, such as the same run in two worlds."""
    _chart(results, path)


def _chart(results: Sequence[LoopResult], path: Path) -> None:
    figure = _figure(9, 5)
    axes = figure.subplots(2, 1, sharex=True)
    for number, result in enumerate(results):
        time = [frame / RATE for frame, _ in result.scores]
        axes[0].plot(np.arange(len(result.states)) / RATE, result.states[:, 3], label=f"{result.planner}: speed, m/s")
        axes[1].plot(time, [s.total for _, s in result.scores], label=f"{result.planner}: PDM score", linewidth=2)
        if len(results) == 1:
            for part in PARTS:
                axes[1].plot(time, [getattr(s, part) for _, s in result.scores], label=part.replace("_", " "), alpha=0.6)
        for collision in result.collisions:
            axes[0].axvline(collision.frame / RATE, color=f"C{number}", linestyle=":", label=f"touches {collision.category}")
    axes[1].set_xlabel("seconds")
    axes[1].set_ylim(-0.05, 1.05)
    for axis in axes:
        axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        axis.grid(alpha=0.3)
    _save(figure, path)


def write_tree(judged: Sequence[Judged], rig: Rig, path: Path, moments: int = 3) -> None:
    """A PNG of imagined futures: a row each candidate, the best first, the front camera at some times, and the terms."""
    front = int(np.argmin([abs((c.yaw + 180) % 360 - 180) for c in rig.cameras]))
    figure = _figure(2.6 * (moments + 1), 1.5 * len(judged))
    axes = figure.subplots(len(judged), moments + 1, squeeze=False)
    for row, entry in zip(axes, judged):
        futures = entry.outcome.pictures
        for column in range(moments):
            axis = row[column]
            axis.set_axis_off()
            if futures:
                t = round((column + 1) * len(futures) / moments) - 1
                axis.imshow(futures[t].colour[front])
                axis.set_title(f"in {(t + 1) / RATE:.1f} s", fontsize=7)
        terms = entry.reward
        row[-1].set_axis_off()
        row[-1].text(
            0,
            0.5,
            f"{entry.candidate.name}\nreward {terms.total:.2f}\nmap {terms.map:.2f}  object {terms.object:.2f}\n"
            f"certain {terms.certainty:.2f}  progress {terms.progress:.2f}",
            va="center",
            fontsize=8,
            weight="bold" if entry is judged[0] else "normal",
        )
    _save(figure, path)


def _figure(width: float, height: float):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ZoetropeError("charts need matplotlib; run: pip install zoetrope[report]") from None
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
