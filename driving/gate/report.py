"""What the gate decided, as `quality.json`, and a picture of every rejected scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.episodes.episode import Episode
from core.files import write_bytes
from driving.gate.checks import FIND_EVERY, Measurement, Verdict
from driving.gate.score import Recall

ENLARGE = 3
COLUMNS = 3
TOLD, FOUND, TEXT = (70, 220, 90), (255, 90, 70), (240, 240, 240)
"""RGB of told boxes, found boxes and writing."""
_LINE = 16
"""Pixels of a line of text."""


def quality(scenes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The content of `quality.json`, of the records of judged scenes.

    A record: {"scene", "accepted", "reasons", "picture", "figures", "cameras", "found": `Recall.rows`}. The content:
    {"accepted": [names], "rejected": [{"scene", "reasons", "picture"}], "acceptance_rate",
    "figures": {scene: {check: value or null}},
    "recall": {"class" | "distance" | "camera": {name: {"recall", "ci95", "count"}}}}
    """
    kept = [s["scene"] for s in scenes if s["accepted"]]
    refused = [{name: s[name] for name in ("scene", "reasons", "picture")} for s in scenes if not s["accepted"]]
    found = [s["found"] for s in scenes]
    return {
        "accepted": kept,
        "rejected": refused,
        "acceptance_rate": len(kept) / len(scenes) if scenes else None,
        "figures": {s["scene"]: s["figures"] for s in scenes},
        "recall": plain(Recall.of_rows(found).table(scenes[0]["cameras"])) if any(found) else {},
    }


def plain(value: Any) -> Any:
    """The same with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def rejection_picture(episode: Episode, measurement: Measurement, verdict: Verdict, score: float) -> np.ndarray:
    """uint8 (H', W', 3): the worst frame's cameras, told boxes and found ones drawn, the reasons below."""
    frame, found = measurement.worst_frame, measurement.found
    t = frame // FIND_EVERY
    tiles = []
    for v, picture in enumerate(episode.frames[frame]):
        tile = cv2.resize(picture, None, fx=ENLARGE, fy=ENLARGE, interpolation=cv2.INTER_NEAREST)
        for box in found.sight.box[t, v][found.demanded[t, v]]:
            _rectangle(tile, box, TOLD)
        d = found.detections
        for box in d.box[(d.picture == t * found.cameras + v) & (d.score >= score)]:
            _rectangle(tile, box, FOUND)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[i : i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
    lines = [f"frame {frame}; told green, found red", *verdict.reasons]
    note = np.zeros((_LINE * len(lines) + _LINE // 2, rows[0].shape[1], 3), np.uint8)
    for i, line in enumerate(lines):
        cv2.putText(note, line, (4, _LINE * (i + 1) - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.42, TEXT, 1, cv2.LINE_AA)
    return np.concatenate([*rows, note])


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write uint8 (H, W, 3) RGB as PNG, atomically."""
    write_bytes(path, cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes())


def _rectangle(tile: np.ndarray, box: np.ndarray, colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = (int(round(float(c) * ENLARGE)) for c in box)
    cv2.rectangle(tile, (x0, y0), (x1 - 1, y1 - 1), colour, 1)
