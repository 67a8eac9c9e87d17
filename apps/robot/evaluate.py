"""`zoetrope robot evaluate`: policies in both worlds, as a table, as JSON and as a page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from apps.report import page
from apps.report.figures import table
from apps.robot.report import policy_rows, rows, write_page
from apps.writing import writing
from core.device import device
from core.errors import ZoetropeError
from core.files import write_text
from core.hardware import halves
from core.heap import keep_freed_memory
from robotics import worlds
from robotics.evaluate import Plan, evaluate

RUNS = Path("runs")


def run(args: argparse.Namespace) -> int:
    plan = Plan(
        policies=tuple(args.policy),
        episodes=args.episodes,
        first=args.seed,
        generated=args.generated,
        replay=args.replay,
        judge=args.judge,
        batch=args.batch,
    )
    if args.html is not None:
        page.chart(lambda axes: None)  # without Matplotlib there is no page: say so now, not after the evaluation
    config, world = worlds.load_world(args.world or args.task)
    world.to(device(args.device))
    if config.record.task != args.task:
        raise ZoetropeError(f"--task: world '{config.name}' imagines the task '{config.record.task}', not '{args.task}'")
    out = args.out or RUNS / config.name / "evaluation"
    keep_freed_memory()
    torch.set_num_threads(halves())
    with writing(out):
        figures = evaluate(world, config, plan, out)
        for name, measured in policy_rows(figures):
            print(f"{name:24} {measured}")
        print(table(rows(figures)))
        if args.json is not None:
            write_text(args.json, json.dumps(figures, indent=2) + "\n")
            print(args.json)
        if args.html is not None:
            write_page(figures, plan, out, args.html)
            print(args.html)
    return 0
