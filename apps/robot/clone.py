"""`zoetrope robot clone`: a policy trained on demonstrations and measured in MuJoCo, or what generated ones are worth to it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from apps.report.figures import Figure, table
from apps.writing import writing
from core.errors import ZoetropeError
from core.evaluation.intervals import figure
from core.evaluation.provenance import provenance
from core.files import write_text
from robotics import policies, tasks
from robotics.cloning import lessons
from robotics.cloning.gain import ALONE, WITH, GainPlan, gain
from robotics.cloning.measure import rate, successes
from robotics.cloning.train import Origin, train
from robotics.lerobot.demonstration import Demonstration
from robotics.policies import CLONED
from robotics.task import Task


def run(args: argparse.Namespace) -> int:
    if args.episodes < 0:
        raise ZoetropeError(f"--episodes must not be negative, found {args.episodes}")
    recorded = [d for folder in args.data for d in lessons.read(folder, args.policy)]
    generated = [d for folder in args.generated for d in lessons.read(folder)]
    task = tasks.make(args.task, recorded[0].episode.frames.shape[2:4])
    with writing(args.out):
        if args.gain:
            figures = _gain(args, task, recorded, generated)
        else:
            figures = _one(args, task, recorded, generated)
        if args.json is not None:
            write_text(args.json, json.dumps(figures, indent=2) + "\n")
            print(args.json)
    return 0


def _one(args: argparse.Namespace, task: Task, recorded: list[Demonstration], generated: list[Demonstration]) -> dict[str, Any]:
    count = len(recorded) if args.demos is None else args.demos
    few = lessons.choose(recorded, count, args.seed)
    train(few, args.seed, args.out, generated=lessons.new(generated, few))
    name = f"{CLONED}:{args.out}"
    origin, policy = Origin.load(args.out), policies.make(name, task)
    figures: dict[str, Any] = {
        "policy": name,
        "training_run": origin.training_run,
        "task": task.name,
        "demonstrations": origin.demonstrations,
        "generated": origin.generated,
        "seed": args.seed,
        "episodes": args.episodes,
        "success": figure(rate(successes(policy, task, args.episodes))),
        **provenance(),
    }
    print(table([_line("success in MuJoCo", figures["success"])]))
    print(f"now a policy anywhere: --policy {name}")
    return figures


def _gain(
    args: argparse.Namespace, task: Task, recorded: list[Demonstration], generated: list[Demonstration]
) -> dict[str, Any]:
    if not generated:
        raise ZoetropeError("--gain needs generated demonstrations: name their folder with --generated")
    seeds = tuple(range(args.seed, args.seed + args.gain))
    plan = GainPlan(demonstrations=args.demos or len(recorded), seeds=seeds, episodes=args.episodes)
    figures = gain(task, recorded, [generated], plan, args.out)
    alone, together = (_line(f"success, {name}", figures["success"][name]) for name in (ALONE, WITH))
    print(table([alone, together, _line("gain", figures["gain"])]))
    return figures


def _line(name: str, measured: dict[str, Any] | None) -> Figure:
    """A row of the table; `measured` is what `core.evaluation.intervals.figure` made."""
    if measured is None:
        return Figure(name, None, "")
    low, high = measured["ci95"] or (None, None)
    return Figure(name, measured["value"], "", low, high)
