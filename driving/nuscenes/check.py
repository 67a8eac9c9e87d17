"""The official evaluation of nuScenes, run through its devkit."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ZoetropeError
from driving.nuscenes.read import Dataset
from driving.nuscenes.tables import Record
from driving.nuscenes.write import SPLIT
from driving.scene import CATEGORIES

CONFIG = "detection_cvpr_2019"
"""The devkit's name for the matching and the class ranges of the detection task."""
_PIP = 'pip install "zoetrope[nuscenes]"'
Predictions = Mapping[str, Sequence[Record]]
"""Boxes by sample token, in the format of the detection task: sample_token, translation, size, rotation, velocity,
detection_name, detection_score, attribute_name."""


def split_samples(data: Dataset, split: str) -> list[Record]:
    """The sample records of a split of `splits.json`."""
    path = data.folder / data.version / "splits.json"
    try:
        scenes = json.loads(path.read_text())[split]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        raise ZoetropeError(f"{path}: names no split '{split}'") from None
    return [s for name in scenes for s in data.where("sample", "scene_token", data.scene(name)["token"])]


def perfect_predictions(folder: str | Path, version: str | None = None, split: str = SPLIT) -> dict[str, list[Record]]:
    """The annotated boxes themselves as predictions: what the official evaluation must call perfect.

    Without those that hold no points, which it leaves out of the truth but not out of the predictions.
    """
    data = Dataset(folder, version)
    detection = {c.nuscenes: c.detection for c in CATEGORIES.values()}
    out: dict[str, list[Record]] = {}
    for sample in split_samples(data, split):
        boxes = out[sample["token"]] = []
        for note in data.where("sample_annotation", "sample_token", sample["token"]):
            instance = data.get("instance", note["instance_token"])
            name = detection.get(data.get("category", instance["category_token"])["name"])
            if name is not None and note["num_lidar_pts"] + note["num_radar_pts"] > 0:
                boxes.append(
                    {
                        "sample_token": sample["token"],
                        **{field: note[field] for field in ("translation", "size", "rotation")},
                        "velocity": _velocity(data, note),
                        "detection_name": name,
                        "detection_score": 1.0,
                        "attribute_name": "".join(data.get("attribute", a)["name"] for a in note["attribute_tokens"][:1]),
                    }
                )
    return out


def official_detection(folder: str | Path, version: str, split: str, predictions: Predictions) -> dict[str, Any]:
    """Score predictions on a split of `splits.json` by the devkit's `DetectionEval`.

    Returns `ap` (mean over the distances 0.5, 1, 2 and 4 m) and `errors` (translation, scale, orientation, velocity,
    attribute) of each class that the split holds, and their counts in `boxes`. The devkit's own mean over all ten classes is
    left out: it counts a class that never occurs as 0.
    """
    try:
        nuscenes = import_module("nuscenes")
        config = import_module("nuscenes.eval.common.config")
        detection = import_module("nuscenes.eval.detection.evaluate")
    except ImportError:
        raise ZoetropeError(f"the official evaluation needs the nuScenes devkit; run: {_PIP}") from None

    samples = [s["token"] for s in split_samples(Dataset(folder, version), split)]
    modalities = {"use_camera": True, "use_lidar": False, "use_radar": False, "use_map": False, "use_external": False}
    results = {token: list(predictions.get(token, ())) for token in samples}
    if not any(results.values()):
        raise ZoetropeError(f"split '{split}': the predictions hold no box for any of its {len(samples)} samples")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "predictions.json"
        path.write_text(json.dumps({"meta": modalities, "results": results}))
        data = nuscenes.NuScenes(version=version, dataroot=str(folder), verbose=False)
        run = detection.DetectionEval(data, config.config_factory(CONFIG), str(path), split, scratch, verbose=False)
        metrics = run.evaluate()[0].serialize()
    boxes: dict[str, int] = {}
    for box in run.gt_boxes.all:
        boxes[box.detection_name] = boxes.get(box.detection_name, 0) + 1
    return {
        "ap": {name: metrics["mean_dist_aps"][name] for name in boxes},
        "errors": {name: metrics["label_tp_errors"][name] for name in boxes},
        "boxes": boxes,
    }


def _velocity(data: Dataset, note: Record) -> list[float]:
    """Metres a second between the neighbouring annotations, as the devkit takes it; 0 where there are none."""
    ends = [data.get("sample_annotation", note[way]) if note[way] else note for way in ("prev", "next")]
    times = [data.get("sample", end["sample_token"])["timestamp"] / 1e6 for end in ends]
    places = [np.array(end["translation"][:2]) for end in ends]
    return ((places[1] - places[0]) / (times[1] - times[0])).tolist() if times[0] < times[1] else [0.0, 0.0]
