"""`zoetrope evaluate driving`: scores as JSON, as a table, and as a page with the dream beside the source world."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from apps.report import page
from apps.report.figures import Figure, table
from core.episodes.store import EpisodeStore
from core.episodes.video import GifWriter, VideoWriter
from core.files import write_text
from core.streaming.world import World
from driving import DETECTOR
from driving.gate.checks import Thresholds
from driving.gate.detector import Detector
from driving.planning.report import mosaic
from driving.rig import nuscenes_rig
from driving.scene import RATE
from driving.worlds import DrivingConfig

VIDEOS = 4
"""Scenes shown on the page."""
_AT_LEAST, _AT_MOST = 1, -1
TARGETS: tuple[tuple[str, str, str, float, int], ...] = (
    ("detector trained on generated only, AP over source", "detector_ap_generated_over_source", "", 0.85, _AT_LEAST),
    ("rare class: AP points gained by generated scenes", "rare_class_ap_gain", "", 10.0, _AT_LEAST),
    ("told boxes found, over the rate on source", "box_recall_ratio", "", 0.85, _AT_LEAST),
    ("overlap error of neighbouring cameras over the source's", "overlap_error_ratio", "", 1.5, _AT_MOST),
    ("ego motion read back, correlation with the commanded", "ego_motion_correlation", "", 0.95, _AT_LEAST),
    ("unseen rig: box score over the trained rig's", "unseen_rig_ratio", "", 0.8, _AT_LEAST),
    ("rank correlation of planners, generated and source world", "loop_rank_correlation", "", 0.8, _AT_LEAST),
    ("collisions of choices by imagination over those by going straight on", "planning_collision_ratio", "", 0.5, _AT_MOST),
)
GAINS = (
    ("PSNR over repeating the last frame", "psnr_gain_over_repeat_db", 4.0),
    ("PSNR over no conditions", "psnr_gain_over_untold_db", 3.0),
    ("PSNR over being told of no buildings and plants", "psnr_gain_over_bare_db", None),
)
PLAIN = (
    ("told boxes found in generated views", "box_recall", ""),
    ("... in source views", "box_recall_source", ""),
    ("speed read back, correlation", "ego_speed_correlation", ""),
    ("... on source", "ego_speed_correlation_source", ""),
    ("... with another scene's commands", "ego_speed_correlation_shuffled", ""),
    ("yaw rate read back, correlation", "ego_yaw_rate_correlation", ""),
    ("... on source", "ego_yaw_rate_correlation_source", ""),
    ("... with another scene's commands", "ego_yaw_rate_correlation_shuffled", ""),
    ("collision rate of choices by imagination", "planning_collisions_imagined", ""),
    ("... by the source world's own pictures", "planning_collisions_source", ""),
    ("... by letting everybody go straight on", "planning_collisions_straight_on", ""),
    ("images a second", "images_per_second", "frames/s"),
)


def evaluate(
    config: DrivingConfig,
    world: World,
    data: Path,
    out: Path,
    episodes: int,
    parts: tuple[str, ...],
    json_path: Path | None,
    html: Path | None,
    gif: Path | None,
) -> None:
    """Score `world` and write what is asked for."""
    from driving.evaluation.run import evaluate as score
    from driving.source.panda import PandaSource

    figures = score(
        config, world, Detector.load(DETECTOR), Thresholds.load(), data, out, PandaSource, episodes=episodes, parts=parts
    )
    print(table(rows(figures)))
    if json_path is not None:
        write_text(json_path, json.dumps(figures, indent=2) + "\n")
        print(json_path)
    told = EpisodeStore(out / world.fingerprint / "told")
    if html is not None:
        write_page(figures, EpisodeStore(data / "test"), told, html)
        print(html)
    if gif is not None:
        write_gif(EpisodeStore(data / "test"), told, gif)
        print(gif)


def rows(figures: dict[str, Any]) -> list[Figure]:
    """Every figure that was measured, beside what is wanted."""
    out: list[Figure] = []

    def add(label: str, found: dict | None, unit: str, target: float | None = None, side: int = _AT_LEAST) -> None:
        if not found:
            return
        low, high = found.get("ci95") or (None, None)
        met = None if target is None else (found["value"] - target) * side >= 0
        wanted = "" if target is None else f"{'>=' if side == _AT_LEAST else '<='} {target:g}"
        out.append(Figure(label, found["value"], unit, low, high, wanted, met))

    for label, key, unit, target, side in TARGETS:
        add(label, figures.get(key), unit, target, side)
    for label, key, target in GAINS:
        for horizon, found in (figures.get(key) or {}).items():
            add(f"{label}, at {horizon}", found, "dB", target)
    for horizon, found in (figures.get("sharpness_ratio") or {}).items():
        add(f"gradient energy over real, at {horizon}", found, "")
    for label, key, unit in PLAIN:
        add(label, figures.get(key), unit)
    return out


def pair(real: np.ndarray, dreamt: np.ndarray) -> np.ndarray:
    """Six cameras of the source above the same of the dream: uint8 (V, H, W, 3) each -> (H', W', 3)."""
    rig = nuscenes_rig(real.shape[2], real.shape[1])
    top, bottom = mosaic(real, rig), mosaic(dreamt, rig)
    return np.concatenate([top, np.full((6, top.shape[1], 3), 255, np.uint8), bottom])


def write_page(figures: dict[str, Any], real: EpisodeStore, dreamt: EpisodeStore, path: Path) -> None:
    """The page, and its videos beside it in `<name>_files`."""
    about = f"{figures['episodes']} scenes on roads, with actors and seeds never seen in training; intervals are 95 %."
    parts = [page.paragraph(about), page.section("Figures", page.figure_table(rows(figures)))]
    videos = []
    for index in dreamt.indices()[:VIDEOS]:
        target = path.with_name(f"{path.stem}_files") / f"{index:06d}.mp4"
        _film(real, dreamt, index, lambda: VideoWriter(target, RATE))  # noqa: B023 - used at once
        said = real.read(index, 0, 1).text
        videos.append(page.video(f"{target.parent.name}/{target.name}", f"{said} Above the source world, below the dream."))
    parts.append(page.section("Side by side", *videos) if videos else "")
    parts.append(page.origin(figures))
    write_text(path, page.page("driving: the dream against the source world", *parts))


def write_gif(real: EpisodeStore, dreamt: EpisodeStore, path: Path) -> None:
    """The first scene, real and imagined, as a GIF."""
    _film(real, dreamt, dreamt.indices()[0], lambda: GifWriter(path, RATE))


def _film(real: EpisodeStore, dreamt: EpisodeStore, index: int, open_writer: Callable[[], Any]) -> None:
    truth, dream = real.read(index), dreamt.read(index)
    with open_writer() as film:
        for one, other in zip(truth.frames, dream.frames):
            film.add(pair(one, other))
