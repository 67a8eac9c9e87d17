"""`zoetrope drive plan`: imagine what each candidate leads to, score the futures, pick the best."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from apps.drive.worlds import RUNS, Shown, at_least, first_imager
from apps.writing import writing
from core.files import write_text
from driving.planning.candidates import HORIZON
from driving.planning.imagined import begin, imagination
from driving.planning.loop import Course
from driving.planning.report import write_tree
from driving.planning.staged import staged
from driving.planning.tree import Judged, Pictured, Situation, approach, judge
from driving.planning.way import Way
from driving.scene import Images
from driving.source.imager import Imager
from driving.traffic.chauffeur import Chauffeur
from driving.traffic.simulation import Simulation

FRAMES = 150
"""Of the scenario; the decision falls where going on would end in a collision, or else at CALM."""
CALM = 20
SHOWN = 3
"""Moments of each future in the picture."""


def run(args: argparse.Namespace) -> int:
    at_least(0, seed=args.seed)
    at_least(1, samples=args.samples)
    shown = Shown.open(args.world)
    course = staged(shown.load(args.scenario), args.seed, FRAMES)
    situation = approach(course, FRAMES) or _calm(course)
    out = args.out or RUNS / "plan" / course.name
    imager = shown.imager(first_imager(args.first) if shown.world else None)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            judged = _judge(situation, imager, args.samples)
        finally:
            imager.close()
        picture = out / "futures.png"
        write_tree(judged, course.rig, picture, SHOWN)
        write_text(out / "futures.json", json.dumps([_plain(j) for j in judged], indent=2) + "\n")
    for entry in judged:
        terms = entry.reward
        parts = (
            f"map {terms.map:.2f}  object {terms.object:.2f}  certainty {terms.certainty:.2f}  progress {terms.progress:.2f}"
        )
        print(f"{terms.total:.3f}  {entry.candidate.name:22}  {parts}")
    print(f"best: {judged[0].candidate.name}\n{picture}")
    return 0


def _calm(course: Course) -> Situation:
    """Where nothing is about to happen: some frames on, driven by the rules."""
    simulation = Simulation(course.road, course.entrants, course.ego, course.seed)
    moments, chauffeur = [simulation.moment], Chauffeur(path=course.route)
    for _ in range(CALM):
        moments.append(simulation.step(chauffeur(moments[-1], course.road)))
    return Situation(course=course, way=Way(road=course.road, path=course.route), simulation=simulation, moments=tuple(moments))


def _judge(situation: Situation, imager: Imager, samples: int) -> list[Judged]:
    """All candidates, the best first. The world is shown what happened so far, then imagines each future from there."""
    course, options = situation.course, situation.options()
    total = len(situation.moments) - 1 + HORIZON * len(options) * samples
    with tqdm(total=total, desc="plan", unit="frame") as bar:
        now = begin(situation, imager, bar.update)
        imagine = imagination(situation, imager)

        def counted(states: np.ndarray, sample: int) -> Sequence[Images]:
            futures = imagine(states, sample)
            bar.update(len(futures))
            return futures

        return judge(
            options, Pictured(imagine=counted, rig=course.rig, now=now, samples=samples), situation.way, situation.limit
        )


def _plain(judged: Judged) -> dict[str, Any]:
    terms, candidate = judged.reward, judged.candidate
    return {
        "candidate": candidate.name,
        "reward": terms.total,
        "map": terms.map,
        "object": terms.object,
        "certainty": terms.certainty,
        "progress": terms.progress,
        "plan": candidate.plan.round(3).tolist(),
    }
