"""Synthesize scenes of a scenario: sampled, imagined, judged, and written as a nuScenes dataset.

Each scene leaves a record of its own in `.judged/`, written last, so that a run cut off goes on with what is missing, and
several processes or machines share the work by taking every so-manieth scene. Rejected scenes stay out of the dataset.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from core.files import write_text
from driving import DETECTOR
from driving.gate import report
from driving.gate.checks import Thresholds, judge, measure
from driving.gate.detector import Detector
from driving.gate.score import recall
from driving.nuscenes.view import contact_sheet, scene_video
from driving.nuscenes.write import DatasetWriter
from driving.record import render, to_episode
from driving.scenario.description import Description
from driving.scenario.sample import sample
from driving.scene import Images, Scene
from driving.source.imager import Imager

JUDGED, REJECTED, PICTURES = ".judged", "rejected", "pictures"
QUALITY = "quality.json"


@dataclass(frozen=True, slots=True)
class Gate:
    """What decides whether a scene shows what it was told to show."""

    detector: Detector
    thresholds: Thresholds

    @staticmethod
    def load() -> Gate:
        """The one that comes with the program."""
        return Gate(Detector.load(DETECTOR), Thresholds.load())


@dataclass(frozen=True, slots=True)
class Share:
    """Which scenes are this process's: number `rank`, and every `count`-th after it."""

    rank: int = 0
    count: int = 1

    def of(self, total: int) -> Iterator[int]:
        return iter(range(self.rank, total, self.count))


def synthesize(
    descriptions: Iterable[Description],
    scenes: int,
    frames: int,
    out: Path,
    imager: Imager,
    gate: Gate | None,
    seed: int = 0,
    share: Share = Share(),  # noqa: B008 - frozen
    wait: Callable[[], None] = lambda: None,
    progress: bool = True,
) -> dict:
    """Write `scenes` scenes of each scenario into `out`; returns the content of `quality.json`.

    The same arguments give the same scenes, whoever makes which. `wait` returns once every process has come to it; the first
    one then puts the dataset together.
    """
    wanted = [(d, seed + i, f"{d.name}-{seed + i:06d}") for d in descriptions for i in range(scenes)]
    writer = DatasetWriter(out)
    mine = [wanted[i] for i in share.of(len(wanted)) if not _record(out, wanted[i][2]).exists()]
    for description, number, name in tqdm(mine, desc="synthesize", unit="scene", disable=not progress):
        scene = sample(description, number, frames, name)
        write_scene(scene, list(render(scene, imager)), writer, gate)
    wait()
    return finish(writer) if share.rank == 0 else {}


def write_scene(scene: Scene, images: list[Images], writer: DatasetWriter, gate: Gate | None) -> bool:
    """Judge a scene and write it if it is accepted, with a contact sheet and a video; returns whether it was."""
    record: dict = {"scene": scene.name, "accepted": True, "reasons": [], "figures": {}, "found": [], "picture": None}
    out = writer.folder
    if gate is not None:
        episode = to_episode(scene, images)
        measured = measure(episode, gate.detector, gate.thresholds.expectation)
        verdict = judge(measured, gate.thresholds)
        score = gate.thresholds.expectation.score
        record |= {"accepted": verdict.accepted, "reasons": list(verdict.reasons), "figures": verdict.figures}
        record["found"] = recall([measured.found], score).rows()
        if not verdict.accepted:
            record["picture"] = f"{REJECTED}/{scene.name}.png"
            picture = report.rejection_picture(episode, measured, verdict, score)
            report.write_picture(out / record["picture"], picture)
    record["cameras"] = [camera.name for camera in scene.rig.cameras]
    if record["accepted"]:
        writer.add(scene, images)
    write_text(_record(out, scene.name), json.dumps(report.plain(record)) + "\n")
    return record["accepted"]


def finish(writer: DatasetWriter) -> dict:
    """Put tables, pictures and `quality.json` together of all scenes that are in the folder."""
    records = [json.loads(path.read_text()) for path in sorted((writer.folder / JUDGED).glob("[!.]*.json"))]
    quality = report.quality(records)
    write_text(writer.folder / QUALITY, json.dumps(quality, indent=2) + "\n")
    if writer.scenes():
        writer.finish()
        for name in writer.scenes():
            pictures = writer.folder / PICTURES
            if not (sheet := pictures / f"{name}.png").exists():
                contact_sheet(writer.folder, name, sheet)
            if not (video := pictures / f"{name}.mp4").exists():
                scene_video(writer.folder, name, video)
    return quality


def _record(out: Path, scene: str) -> Path:
    return out / JUDGED / f"{scene}.json"
