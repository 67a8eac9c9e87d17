"""`zoetrope robot generate`: few demonstrations grown into a LeRobot dataset, and a page that says what was kept and why."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from apps.report import page
from apps.writing import writing
from core.device import device
from core.files import write_text
from core.hardware import halves
from core.heap import keep_freed_memory
from robotics import worlds
from robotics.engine import few, strips
from robotics.engine.generate import DATASET, generate
from robotics.engine.plan import LABELS, WAYS, Plan
from robotics.engine.readers import ActionReader, Pictures, Sensors, train_sensors
from robotics.engine.verdict import REASONS, Limits
from robotics.scene.variation import Variation

RUNS = Path("runs")
HEAD = ["way", "tried", "kept", "rejected", "frames kept", "pseudo-actions", "sent less read", "confidence", "frames/s"]


def run(args: argparse.Namespace) -> int:
    plan = _plan(args)
    world = None
    if plan.imagines:
        _, world = worlds.load_world(args.world or args.task)
        world.to(device(args.device))
    demonstrations = few.read(args.data, plan.demonstrations, plan.seed, plan.by)
    out = args.out or RUNS / args.task / "generated"
    keep_freed_memory()
    torch.set_num_threads(halves())
    with writing(out):
        readers: list[ActionReader] = []
        if plan.imagines:
            readers.append(Sensors.load(args.reader) if args.reader else train_sensors(demonstrations, out / "reader"))
        if args.latent is not None:
            readers.append(Pictures.load(args.latent))
        figures = generate(world, args.task, plan, demonstrations, readers, out)
        for row in _rows(figures):
            print("  ".join(f"{name} {value}" for name, value in zip(HEAD, row) if value))
        print(f"{figures['episodes']} episodes in {out / DATASET}")
        if args.json is not None:
            write_text(args.json, json.dumps(figures, indent=2) + "\n")
            print(args.json)
        if args.html is not None:
            write_page(figures, out, args.html)
            print(args.html)
    return 0


def write_page(figures: dict[str, Any], out: Path, path: Path) -> None:
    """The page, and the strips it shows beside it in `<name>_files`."""
    about = (
        f"{figures['demonstrations']} demonstrations of '{figures['task']}', '{figures['policy']}' acts in what is imagined. "
        f"Actions written: {LABELS[figures['labels']]}. The dataset has {figures['episodes']} episodes."
    )
    parts = [page.paragraph(about), page.plain_table(HEAD, _rows(figures))]
    for way, found in figures["ways"].items():
        shown = [_strip(out, path, name, reason) for name, reason in found["shown"].items()]
        parts.append(page.section(f"{way}: {WAYS[way]}", *shown))
    parts.append(page.origin(figures | {"weights": figures["fingerprint"] or ""}))
    write_text(path, page.page(f"{figures['task']}: what was generated, and what of it is kept", *parts))


def _strip(out: Path, page_path: Path, name: str, reason: str | None) -> str:
    source = strips.path(out, name)
    target = page_path.with_name(f"{page_path.stem}_files") / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    verdict = "kept" if reason is None else f"rejected: {REASONS[reason]}"  # type: ignore[index]
    return page.picture(f"{target.parent.name}/{target.name}", f"{name}, {verdict}")


def _plan(args: argparse.Namespace) -> Plan:
    looks = Variation(
        colours=args.colours, textures=args.textures, camera=args.camera, light=args.light, distractors=args.distractors
    )
    return Plan(
        **({"ways": tuple(args.way)} if args.way else {}),
        attempts=args.attempts,
        demonstrations=args.demonstrations,
        by=args.by,
        policy=args.policy,
        noise=args.noise,
        variation=looks,
        judge=args.judge,
        labels=args.labels,
        include=args.include,
        limits=Limits(disagreement=args.disagreement, confidence=args.confidence),
        seed=args.seed,
        batch=args.batch,
    )


def _rows(figures: dict[str, Any]) -> list[list[str]]:
    return [
        [
            way,
            str(found["attempts"]),
            str(found["kept"]),
            ", ".join(f"{count} {REASONS[reason]}" for reason, count in found["rejected"].items()),
            str(found["frames"]),
            "" if found["pseudo"] is None else f"{found['pseudo']:.0%}",
            *("" if found[name] is None else f"{found[name]:.2f}" for name in ("disagreement", "confidence")),
            f"{found['frames_per_second']:.1f}",
        ]
        for way, found in figures["ways"].items()
    ]
