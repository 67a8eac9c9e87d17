"""`zoetrope drive loop`: a planner drives in the generated world and, as the truth beside it, in the source world."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from apps.drive.worlds import RUNS, SOURCE, Shown, at_least, first_imager
from apps.report import page
from apps.writing import writing
from core.evaluation.provenance import provenance
from core.files import write_text
from driving.planning.loop import EVERY, Course, LoopResult, drive, goal
from driving.planning.pdm import PARTS
from driving.planning.planner import Factory
from driving.planning.planners import planner
from driving.planning.report import LoopReport, write_report
from driving.planning.staged import staged
from driving.scene import RATE
from driving.source.imager import Imager

GENERATED = "generated"
COLOURS = {GENERATED: "#3458d6", SOURCE: "#1d1d24"}


def run(args: argparse.Namespace) -> int:
    at_least(EVERY, frames=args.frames)
    at_least(0, seed=args.seed)
    factory = planner(args.planner)
    page.chart(lambda axes: None)  # without Matplotlib there is no report: say so now, not after the drive
    shown = Shown.open(args.world)
    course = staged(shown.load(args.scenario), args.seed, args.frames)
    out = args.out or RUNS / "loop" / f"{course.name}-{args.planner.replace(':', '.')}"
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        reach = goal(course, args.frames)
        results: dict[str, LoopResult] = {}
        if shown.world is not None:
            dream = shown.imager(first_imager(args.first))
            results[GENERATED] = _drive(factory, args.planner, course, dream, args.frames, reach, GENERATED)
        results[SOURCE] = _drive(factory, args.planner, course, Shown(SOURCE).imager(), args.frames, reach, SOURCE)
        files = {world: write_report(result, course, out, world) for world, result in results.items()}
        figures = _figures(args, results)
        write_text(out / "report.html", _page(figures, results, files))
        if args.json is not None:
            write_text(args.json, json.dumps(figures, indent=2) + "\n")
    for world, result in results.items():
        ends = f"ended: {result.ended} after {(len(result.states) - 1) / RATE:.1f} s"
        scores = f"driving score {result.driving_score:.2f}, route {result.completion:.0%}, PDM score {result.pdms:.2f}"
        print(f"{world:9} {scores}; {ends}")
    print(out / "report.html")
    return 0


def _drive(factory: Factory, name: str, course: Course, imager: Imager, frames: int, reach: float, world: str) -> LoopResult:
    try:
        with tqdm(total=frames, desc=f"drive, {world}", unit="frame") as bar:
            return drive(factory, name, course, imager, frames, keep=True, reach=reach, report=lambda t: _to(bar, t))
    finally:
        imager.close()


def _to(bar: tqdm, count: int) -> None:
    bar.update(count - bar.n)


def _figures(args: argparse.Namespace, results: Mapping[str, LoopResult]) -> dict[str, Any]:
    """Plain values for JSON."""
    asked = {"planner": args.planner, "scenario": args.scenario, "seed": args.seed, "world": args.world}
    return asked | {"worlds": {world: result.as_dict() for world, result in results.items()}} | provenance()


def _page(figures: dict[str, Any], results: Mapping[str, LoopResult], files: Mapping[str, LoopReport]) -> str:
    runs = [result.as_dict() for result in results.values()]
    rows = [
        ["driving score", *(f"{r['driving_score']:.2f}" for r in runs)],
        ["route completed, of what a driver by the rules makes", *(f"{r['completion']:.0%}" for r in runs)],
        ["PDM score", *(f"{r['pdms']:.2f}" for r in runs)],
        *([name.replace("_", " "), *(f"{r['parts'][name]:.2f}" for r in runs)] for name in PARTS),
        ["ended", *(f"{r['ended']}, {r['frames'] / RATE:.1f} s" for r in runs)],
        ["touched", *(", ".join(c["category"] for c in r["collisions"]) or "nobody" for r in runs)],
    ]
    videos = [page.video(f.video.name, f"{world} world") for world, f in files.items() if f.video is not None]
    about = "The same planner, road, traffic and seed in each world. Traffic reacts to the ego; scores are of every plan."
    return page.page(
        f"{figures['planner']} drives {figures['scenario']}",
        page.paragraph(about),
        page.section("Scores", page.plain_table(["", *(f"{world} world" for world in results)], rows)),
        page.section(
            "Over time", page.chart(lambda axes: _speeds(axes, results)), page.chart(lambda axes: _scores(axes, results))
        ),
        page.section("Side by side", *videos),
        page.origin(figures),
    )


def _speeds(axes: Any, results: Mapping[str, LoopResult]) -> None:
    for world, result in results.items():
        axes.plot(np.arange(len(result.states)) / RATE, result.states[:, 3], label=world, color=COLOURS[world])
    axes.set(xlabel="seconds", ylabel="m/s", title="Speed")
    axes.legend(frameon=False)


def _scores(axes: Any, results: Mapping[str, LoopResult]) -> None:
    for world, result in results.items():
        frames = [frame / RATE for frame, _ in result.scores]
        axes.plot(frames, [score.total for _, score in result.scores], "o-", ms=3, label=world, color=COLOURS[world])
        for collision in result.collisions:
            axes.axvline(collision.frame / RATE, color=COLOURS[world], linestyle=":")
    axes.set(xlabel="seconds", ylim=(-0.05, 1.05), title="PDM score of each plan; dotted: somebody is touched")
    axes.legend(frameon=False)
