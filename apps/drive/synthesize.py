"""`zoetrope drive synthesize`: scenarios in, a nuScenes dataset with pictures, videos and a quality report out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from apps.drive.worlds import Shown, at_least, first_imager
from apps.writing import writing
from core.config import to_dict
from core.errors import ZoetropeError
from core.files import write_text
from driving.scenario import library, text
from driving.scenario.description import Description
from driving.synthesize import JUDGED, PICTURES, QUALITY, REJECTED, Gate, Share, synthesize

PLANS = ".plans"
"""Folder in a dataset: how each scenario's scenes were asked for."""
PATIENCE = timedelta(days=7)
"""How long a process that has made its scenes waits for the others."""


def run(args: argparse.Namespace) -> int:
    at_least(1, scenes=args.scenes)
    at_least(2, frames=args.frames)
    at_least(0, seed=args.seed)
    wanted = _wanted(args.scenario, args.text, args.weather, args.time)
    share, wait = _processes()
    shown = Shown.open(args.world)
    gate = None if args.ungated else Gate.load()
    descriptions = [shown.suit(description) for description in wanted]
    with writing(args.out):
        made = {"frames": args.frames, "world": shown.fingerprint, "first": args.first, "gated": gate is not None}
        _agree(args.out, descriptions, made)
        imager = shown.imager(first_imager(args.first) if shown.world else None)
        try:
            quality = synthesize(
                descriptions, args.scenes, args.frames, args.out, imager, gate, args.seed, share, wait, share.rank == 0
            )
        finally:
            imager.close()
    if share.rank == 0:
        tell(args.out, quality)
    return 0


def tell(out: Path, quality: dict[str, Any]) -> None:
    """Say what is in a dataset's folder now."""
    rejected = quality["rejected"]
    print(f"{out}: {len(quality['accepted'])} scenes accepted, {len(rejected)} rejected")
    print(f"quality report: {out / QUALITY}")
    if quality["accepted"]:
        print(f"contact sheets and videos: {out / PICTURES}")
    if rejected:
        print(f"rejected scenes, with reasons: {out / REJECTED}")


def _wanted(scenarios: Sequence[str], words: str | None, weather: str | None, time: str | None) -> list[Description]:
    """The scenarios asked for, checked, with their weather and time replaced where these are given."""
    if not scenarios and not words:
        raise ZoetropeError(f"expected --scenario or --text; scenarios: {', '.join(library.names())}")
    found = [library.load(name) for name in dict.fromkeys(scenarios)] + ([text.parse(words)] if words else [])
    changes: dict[str, Any] = {k: (v,) for k, v in (("weather", weather), ("time", time)) if v is not None}
    out = [replace(description, **changes) for description in found]
    for number, description in enumerate(out):
        library.check(description, f"scenario {description.name}")
        if description.name in (other.name for other in out[:number]):
            raise ZoetropeError(f"two of the scenarios are named '{description.name}'; synthesize them into different folders")
    return out


def _agree(out: Path, descriptions: Sequence[Description], made: dict[str, Any]) -> None:
    """Note how scenes are made, or compare where there are any: those of one name made in two ways would be mixed up."""
    for description in descriptions:
        path = out / PLANS / f"{description.name}.json"
        plan = json.loads(json.dumps(to_dict(description) | made))
        if not path.exists() or not any((out / JUDGED).glob(f"{description.name}-*.json")):
            write_text(path, json.dumps(plan, indent=1) + "\n")
            continue
        held = json.loads(path.read_text())
        if differs := [k for k in plan if held.get(k) != plan[k]]:
            raise ZoetropeError(
                f"{out}: holds scenes of '{description.name}' made with another {differs[0]}; choose another folder for --out"
            )


def _processes() -> tuple[Share, Callable[[], None]]:
    """This process's share, and how it waits for the others: of those that `accelerate launch` started, if it did."""
    try:
        accelerate: Any = import_module("accelerate")
    except ImportError:
        return Share(), lambda: None
    state = accelerate.PartialState(cpu=True, timeout=PATIENCE)
    return Share(state.process_index, state.num_processes), state.wait_for_everyone
