"""`zoetrope evaluate robotics`: the table of what a robot world and its latent planner are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from apps.report import page
from apps.report.figures import Figure, table
from apps.robot.plan import PLAN_SECONDS, TIMES_RANDOM, measured
from apps.writing import writing
from core.files import write_text
from core.hardware import halves
from core.heap import keep_freed_memory
from robotics import worlds
from robotics.figures.run import evaluate
from robotics.latent.shipped import Latent

DREAMT = ("replay", "speed")
"""Parts that need the generated world."""
AMORTIZED_SHARE, AMORTIZED_COST = 0.95, 1 / 50
PROBE_RATIO, REPLAY_RATIO, SPEED_RATIO = 2.0, 0.9, 1.0


def run(
    latent_name: str,
    data: Path,
    out: Path,
    episodes: int,
    seed: int,
    parts: tuple[str, ...],
    json_path: Path | None,
    html: Path | None,
) -> None:
    """Measure `parts` and write what is asked for. Raises ZoetropeError where weights or recordings are missing."""
    latent = Latent.open(latent_name)
    config, world = worlds.load(latent.config.world), None
    if set(parts) & set(DREAMT):
        config, world = worlds.load_world(latent.config.world)
    keep_freed_memory()
    torch.set_num_threads(halves())
    with writing(out):
        figures = evaluate(config.record, world, latent, data, out, episodes, parts, seed)
        print(table(rows(figures)))
        if json_path is not None:
            write_text(json_path, json.dumps(figures, indent=2) + "\n")
            print(json_path)
        if html is not None:
            about = f"{figures['episodes']} held-out episodes or goals a figure; intervals are 95 %."
            parts_of_page = [page.paragraph(about), page.section("Figures", page.figure_table(rows(figures)))]
            origin = page.origin(figures | {"weights": f"{figures['latent']}, {figures['world']}"})
            write_text(html, page.page(f"{figures['task']}: planning, dreams and data", *parts_of_page, origin))
            print(html)


def rows(figures: dict[str, Any]) -> list[Figure]:
    """Every figure that was measured, beside what is wanted."""
    out: list[Figure] = []
    if "planning" in figures:
        for name, found in figures["planning"]["policies"].items():
            out.append(measured(f"strict goals reached: {name}", found["success"]))
        out.append(measured(f"{figures['planner']} over random actions", figures["planning_over_random"], "x", TIMES_RANDOM))
        seconds = figures["plan_seconds"]["p50"]
        out.append(Figure("a plan, p50", seconds, "s", None, None, f"<= {PLAN_SECONDS:g}", seconds <= PLAN_SECONDS))
        out.append(measured("amortized planner's successes over CEM's", figures["amortized_over_search"], "", AMORTIZED_SHARE))
        cost = figures["amortized_cost_ratio"]
        out.append(Figure("... its time over CEM's", cost, "", None, None, f"<= {AMORTIZED_COST:g}", cost <= AMORTIZED_COST))
    for reader, found in figures.get("pseudo_actions", {}).items():
        out.append(measured(f"pseudo-actions from {reader}, mean error", found["error"]["error"]))
        out.append(measured("... success of doing them over the true ones'", found["replay"]["ratio"], "", REPLAY_RATIO))
    if "export_exact" in figures:
        out.append(measured("LeRobot episodes read back exactly", figures["export_exact"], "", 1.0))
    if "state_probe" in figures:
        probe = figures["state_probe"]
        for kind in ("real", "generated"):
            out.append(measured(f"places read off {kind} pictures, mean error", probe[kind], "m"))
        value, wanted = probe["ratio"]["value"], f"<= {PROBE_RATIO:g}"
        low, high = probe["ratio"]["ci95"] or (None, None)
        out.append(Figure("... generated over real", value, "x", low, high, wanted, value <= PROBE_RATIO))
    if "frames_per_second" in figures:
        speed = figures["frames_per_second"]
        out.append(Figure(f"generated world, batch of {speed['batch']}", speed["world"], "frames/s"))
        out.append(Figure("MuJoCo with its pictures", speed["mujoco"], "frames/s"))
        ratio = speed["ratio"]
        out.append(Figure("generated world over MuJoCo", ratio, "x", None, None, f">= {SPEED_RATIO:g}", ratio >= SPEED_RATIO))
    return out
