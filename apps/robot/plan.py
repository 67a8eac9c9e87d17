"""`zoetrope robot plan`: reach pictures of goals by planning in latents, in MuJoCo, beside random actions."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apps.report import page
from apps.report.evaluation import side_by_side
from apps.report.figures import Figure, table
from apps.writing import writing
from core.config import to_dict
from core.episodes.store import EpisodeStore
from core.episodes.video import VideoWriter
from core.errors import ZoetropeError
from core.evaluation.ledger import Ledger
from core.evaluation.provenance import provenance
from core.files import write_text
from core.heap import keep_freed_memory
from robotics import policies, worlds
from robotics.latent.evaluate import STILL, Contender, Report, attempt, evaluate, play_seed
from robotics.latent.shipped import Latent
from robotics.policies import RANDOM
from robotics.record import record
from robotics.task import RATE, Observation, Task

DATA, RUNS = Path("data"), Path("runs")
SHOWN = 6
"""Episodes on the page."""
TIMES_RANDOM, PLAN_SECONDS = 4.0, 0.5
"""What is wanted of strict goals: successes over those of random actions, and the time of a plan."""


def run(args: argparse.Namespace) -> int:
    if args.episodes < 1 or args.seed < 0:
        raise ZoetropeError("--episodes must be at least 1 and --seed not negative")
    latent = Latent.open(args.model)
    names = tuple(dict.fromkeys(args.planner)) or (latent.config.planner.kind,)
    contenders = latent.contenders(names)
    protocol = replace(latent.config.protocol, kind=args.protocol, pairs=args.episodes, seed=args.seed)
    out = args.out or RUNS / latent.config.name / "plan"
    keep_freed_memory()
    with writing(out):
        task, store = held_out(latent, args.data)
        first = to_dict(replace(protocol, pairs=1))  # of every number of pairs the first are the same
        settings = {**latent.settings, "store": str(store.folder.resolve()), "protocol": first}
        ledger = Ledger(out, "attempts", settings)
        try:
            report = evaluate(task, store, contenders, protocol, ledger=ledger)
        finally:
            ledger.close()
        figures = {"model": latent.config.name, "weights": latent.fingerprint, "seed": args.seed}
        figures |= report.as_dict() | provenance()
        print(table(rows(figures)))
        if args.json is not None:
            write_text(args.json, json.dumps(figures, indent=2) + "\n")
            print(args.json)
        if args.html is not None:
            write_page(figures, report, task, contenders, args.html)
            print(args.html)
    return 0


def held_out(latent: Latent, data: Path | None) -> tuple[Task, EpisodeStore]:
    """The task that `latent` was trained on and its test recordings: of the folder `data`, or made where they are missing."""
    config = worlds.load(latent.config.world)
    folder = (data or DATA / config.name) / "test"
    if data is None:
        record(config.record, "test", folder, os.cpu_count() or 1)
    return config.record.make_task(), EpisodeStore(folder)


def rows(figures: dict[str, Any]) -> list[Figure]:
    """How often each planner reached its goals, beside random actions and standing still; targets are strict's."""
    strict = figures["protocol"] == "strict"
    out: list[Figure] = []
    for name, found in figures["policies"].items():
        out.append(measured(f"{name}: goals reached", found["success"]))
        seconds = found["plan_seconds"]
        if name in (RANDOM, STILL):
            continue
        out.append(measured("... over random actions", found["over_random"], "x", TIMES_RANDOM if strict else None))
        if seconds:
            fast = seconds["p50"] <= PLAN_SECONDS
            out.append(Figure("... a plan, p50", seconds["p50"], "s", target=f"<= {PLAN_SECONDS:g}", met=fast))
            out.append(Figure("... a plan, p95", seconds["p95"], "s"))
    return out


def write_page(figures: dict[str, Any], report: Report, task: Task, contenders: dict[str, Contender], path: Path) -> None:
    """The page, and its videos beside it in `<name>_files`: the first goals, tried again before the camera."""
    protocol = report.config
    rule = {
        "strict": f"It must hold for {protocol.hold} frames; goals that standing still or random actions reach are left out",
        "original": "Passing through it counts, and goals that hold from the start are not left out",
    }[protocol.kind]
    about = (
        f"{len(report.pairs.accepted)} goals, each the picture {protocol.offset} frames later in a recording never seen in "
        f"training; {protocol.budget} frames to bring what the hand moves within {protocol.tolerance * 1000:g} mm of where it "
        f"is there. {rule}. Intervals are 95 %."
    )
    videos = []
    for number in range(min(SHOWN, len(report.pairs.accepted))):
        target = path.with_name(f"{path.stem}_files") / f"goal-{number}.mp4"
        verdicts = _film(report, task, contenders, number, target)
        caption = f"Goal {number + 1}: " + ", ".join(f"{n} {'reached it' if won else 'did not'}" for n, won in verdicts.items())
        videos.append(page.video(f"{target.parent.name}/{target.name}", caption))
    refused = page.plain_table(["goals left out", ""], [[r, n] for r, n in figures["refused"].items()])
    parts = [
        page.paragraph(about),
        page.section("Figures", page.figure_table(rows(figures)), refused if figures["refused"] else ""),
        page.section("Planned episodes, beside the goal", *videos),
        page.origin(figures),
    ]
    write_text(path, page.page(f"{task.name}: planning in latents", *parts))


def _film(report: Report, task: Task, contenders: dict[str, Contender], number: int, target: Path) -> dict[str, bool]:
    """Every contender and random actions towards one goal, in lockstep; those that are done stand still. Who reached it."""
    pair, config = report.pairs.accepted[number], report.config
    everyone: dict[str, Contender] = {**contenders, RANDOM: lambda goal: policies.make(RANDOM, task)}
    strips: dict[str, list[np.ndarray]] = {}
    verdicts: dict[str, bool] = {}
    for name, contender in everyone.items():
        seen: list[Observation] = []
        tried = attempt(task, pair, contender(pair.goal), config, play_seed(config, number), name, seen.append)
        strips[name], verdicts[name] = [o.frames for o in seen], tried.success
    with VideoWriter(target, RATE) as film:
        for t in range(max(len(strip) for strip in strips.values())):
            now: dict[str, np.ndarray | None] = {name: strip[min(t, len(strip) - 1)] for name, strip in strips.items()}
            film.add(side_by_side({"goal": pair.goal.frames, **now}, {}))
    return verdicts


def measured(label: str, found: dict[str, Any] | None, unit: str = "", least: float | None = None) -> Figure:
    """A row of what `core.evaluation.intervals.figure` made, and whether it is at least what is wanted."""
    if found is None:
        return Figure(label, None, unit)
    low, high = found["ci95"] or (None, None)
    met = None if least is None else found["value"] >= least
    return Figure(label, found["value"], unit, low, high, "" if least is None else f">= {least:g}", met)
