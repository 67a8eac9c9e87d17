"""`zoetrope drive edit`: a recorded scene, changed and imagined again."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from tqdm import tqdm

from apps.drive.synthesize import tell
from apps.drive.worlds import Shown, first_imager
from apps.writing import writing
from core.errors import ZoetropeError
from driving.dream import CONTEXT_FRAMES
from driving.nuscenes.read import Dataset
from driving.nuscenes.write import DatasetWriter
from driving.record import render
from driving.scenario import edit, library
from driving.source.imager import Imager
from driving.source.replay import Replay, still_shows
from driving.synthesize import Gate, finish, write_scene

RECORDED = "recorded"


def run(args: argparse.Namespace) -> int:
    changes = _changes(args)
    data = Dataset(args.dataset)
    data.scene(args.scene)
    shown = Shown.open(args.world)
    gate = None if args.ungated else Gate.load()
    size = (None, None) if shown.world is None else (shown.world.config.width, shown.world.config.height)
    recording = data.read(args.scene, *size)
    scene = edit.apply(recording.scene, changes)
    scene = replace(scene, rig=shown.fit(scene.rig))
    writer = DatasetWriter(args.out)
    if writer.has(scene.name):
        raise ZoetropeError(f"{args.out}: has a scene '{scene.name}' already; give the edit another name, or another folder")
    first: Imager | None = None
    if shown.world is not None:
        kept = args.first == RECORDED and still_shows(recording.scene, scene, CONTEXT_FRAMES)
        first = Replay(recording) if kept else first_imager("source" if args.first == RECORDED else args.first)
        if args.first == RECORDED and not kept:
            print("the recorded pictures do not show the changed scene; its first frames come from the source world")
    imager = shown.imager(first)
    with writing(args.out):
        args.out.mkdir(parents=True, exist_ok=True)
        try:
            images = list(tqdm(render(scene, imager), total=len(scene), desc="edit", unit="frame"))
        finally:
            imager.close()
        write_scene(scene, images, writer, gate)
        quality = finish(writer)
    tell(args.out, quality)
    return 0


def _changes(args: argparse.Namespace) -> edit.Edit:
    """The file's, with the options in their place."""
    changes = edit.load(args.edit) if args.edit else edit.Edit()
    given: dict[str, Any] = {k: v for k, v in (("weather", args.weather), ("time", args.time)) if v is not None}
    changes = replace(changes, **given)
    library.check(changes, "edit")
    return changes
