"""`zoetrope evaluate driving`: every figure of a driving world, kept part by part, so that a run that was cut off goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.evaluation.provenance import provenance
from core.files import write_text
from core.streaming.world import World
from driving.evaluation import PARTS, planning, scores, training
from driving.evaluation.rollouts import CONTEXT, record_other_rig, roll_out_all
from driving.gate.checks import Thresholds
from driving.gate.detector import Detector
from driving.planning import courses
from driving.planning.compare import compare
from driving.planning.planners import planner
from driving.record import scene_of
from driving.rig import nuscenes_rig
from driving.scene import Scene
from driving.source.imager import Imager
from driving.worlds import DrivingConfig

RIG_FRAMES = 44
"""Frames of a rollout seen by another rig."""
RARE = "motorcycle"
LOOP_PLANNERS = (
    "sight",
    "sight_cautious",
    "sight_aggressive",
    "sight_late",
    "lane_follow",
    "weaving",
    "speeding",
    "constant_speed",
    "stop",
)
"""Compared in both worlds; none is told what it cannot see."""
LOOP_FRAMES, LOOP_COURSES, FIRST_COURSE = 60, 6, 9_000_000
SPEED_FRAMES = 400
"""Imagined frames over which the speed is taken, to see whether it falls."""


def evaluate(
    config: DrivingConfig,
    world: World,
    detector: Detector,
    thresholds: Thresholds,
    data: Path,
    out: Path,
    make_source: Callable[[], Imager],
    episodes: int,
    parts: Sequence[str] = PARTS,
    progress: bool = True,
) -> dict:
    """All figures of these parts, on the first `episodes` scenes of `data`/test; written to `out` as they come."""
    test = EpisodeStore(data / "test")
    indices = test.indices()[:episodes]
    if len(indices) < 2:
        raise ZoetropeError(f"{test.folder}: fewer than two scenes; make them with 'zoetrope record driving'")
    out = out / world.fingerprint
    figures: dict = {"world": world.config.name, "fingerprint": world.fingerprint, "episodes": len(indices), "seed": 0}
    figures |= provenance()
    score = thresholds.expectation.score

    def rollout() -> dict:
        dreamt = roll_out_all(world, test, indices, out / "told", progress=progress)
        untold = roll_out_all(world, test, indices, out / "untold", told=False, progress=progress)
        scenes = {i: scene_of(config.record, "test", i) for i in indices}
        bare = roll_out_all(world, test, indices, out / "bare", scenes=scenes, progress=progress)
        found = scores.pictures(world, test, dreamt, {"untold": untold, "bare": bare}, indices)
        found["psnr_gain_db"] = found["psnr_gain_over_repeat_db"]
        found |= scores.boxes(detector, score, test, dreamt, indices)
        return found | scores.overlap(test, dreamt, indices)

    def motion() -> dict:
        driven = scores.turning(test)
        dreamt = roll_out_all(world, test, driven, out / "told", progress=progress)
        rigs = {i: scene_of(config.record, "test", i).rig for i in driven}
        return scores.ego_motion(rigs, test, dreamt, driven)

    def rig() -> dict:
        source = make_source()
        scenes: dict[int, Scene] = {i: scene_of(config.record, "test", i) for i in indices}
        real = record_other_rig(scenes, RIG_FRAMES, source, out / "rig-real", progress)
        dreamt = roll_out_all(world, real, indices, out / "rig-told", progress=progress)
        other = scores.boxes(detector, score, real, dreamt, indices)
        known = roll_out_all(world, test, indices, out / "told", progress=progress)
        own = scores.boxes(detector, score, test, known, indices)
        there, here = other["box_recall_ratio"], own["box_recall_ratio"]
        kept = None
        if there is not None and here is not None:
            share = lambda value: value / max(here["value"], 1e-9)  # noqa: E731
            bounds = there["ci95"] and [share(bound) for bound in there["ci95"]]
            kept = {"value": share(there["value"]), "ci95": bounds, "n": len(indices)}
        return {
            "unseen_rig_box_recall": other["box_recall"],
            "unseen_rig_box_recall_source": other["box_recall_source"],
            "unseen_rig_ratio": kept,
        }

    def detectors() -> dict:
        source = EpisodeStore(data / "train")
        chosen = source.indices()[: 2 * episodes]
        generated = roll_out_all(world, source, chosen, out / "train", progress=progress)
        found = training.generated_over_source(source, generated, chosen, test, indices, out / "detectors", progress)
        return found | training.rare_class(RARE, source, generated, chosen, test, indices, out / "detectors", progress)

    def loop() -> dict:
        from driving.dream import Dream

        source, seen = make_source(), nuscenes_rig(world.config.width, world.config.height)
        runs = [courses.ordinary(FIRST_COURSE + n, seen) for n in range(LOOP_COURSES)]
        factories = {name: planner(name) for name in LOOP_PLANNERS}
        return compare(factories, runs, Dream(world, source), source, LOOP_FRAMES).as_dict()

    def speed() -> dict:
        return images_per_second(world, test, indices[0])

    def choices() -> dict:
        return planning.choices(world, make_source, out / "planning", progress)

    steps = {
        "rollout": rollout,
        "motion": motion,
        "rig": rig,
        "detector": detectors,
        "loop": loop,
        "planning": choices,
        "speed": speed,
    }
    for name in parts:
        done = out / f"figures-{len(indices)}" / f"{name}.json"
        if not done.exists():
            write_text(done, json.dumps(steps[name](), indent=2) + "\n")
        figures |= json.loads(done.read_text())
    return figures


def images_per_second(world: World, store: EpisodeStore, index: int) -> dict:
    """Pictures imagined a second over `SPEED_FRAMES` frames, and how the last hundred's time compares with the first's."""
    real = store.read(index)
    assert real.pose is not None
    session = world.open(real.window(0, CONTEXT), seed=0)
    times, t, forward = [], CONTEXT, True
    for _ in range(SPEED_FRAMES):  # there and back again, as often as needed
        known = {name: real.conditions[name][t] for name in world.config.conditions}
        begun = time.perf_counter()
        session.step(real.action[t - 1], real.pose[t], known)
        times.append(time.perf_counter() - begun)
        if not CONTEXT < t + (1 if forward else -1) < len(real) - 1:
            forward = not forward
        t += 1 if forward else -1
    cameras, taken = world.config.cameras, np.array(times)
    return {
        "images_per_second": {"value": cameras / float(np.median(taken)), "ci95": None, "n": len(taken) * cameras},
        "rig_ms_p50": float(np.median(taken) * 1e3),
        "rig_ms_p95": float(np.percentile(taken, 95) * 1e3),
        "stage_ms": {name: round(value, 1) for name, value in session.timings.items()},
        "time_growth": float(np.median(taken[-100:]) / np.median(taken[20:120])),
    }
