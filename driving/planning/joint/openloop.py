"""Open-loop scores of the trajectory head on held-out drives, in both conventions, beside planners that see nothing.

`at`: the figure for t seconds is taken at t (UniAD); `up_to`: it is the mean over all steps up to t (ST-P3, VAD). See
`driving.planning.openloop`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.evaluation.intervals import Interval, mean
from core.training.prepare import PreparedStore
from driving.geometry import to_body
from driving.planning import openloop
from driving.planning.candidates import HORIZON
from driving.planning.joint.errand import TIMES, Errand
from driving.planning.joint.head import COMPONENTS
from driving.planning.joint.imagine import Joint
from driving.planning.joint.lessons import driven, errand_at, prepare_lessons, remembered_rows, scene_in
from driving.planning.loop import EVERY
from driving.planning.planners import Follow, Rules
from driving.planning.way import Way
from driving.record import RecordConfig
from driving.scenario.place import driven_path
from driving.scene import RATE, Scene, State

SECONDS = (1.0, 2.0, 3.0)
STEP = RATE // openloop.STEPS_A_SECOND
"""Frames between the steps that are scored."""
MEASURES = {
    "l2_at": openloop.l2_at,
    "l2_up_to": openloop.l2_up_to,
}
COLLISIONS = {
    "collision_at": openloop.collision_at,
    "collision_up_to": openloop.collision_up_to,
}
Figures = dict[str, dict[str, dict[str, Interval | None]]]
"""By planner, measure and horizon ("1s", "2s", "3s", "mean" of the three); intervals are over scenes."""


def open_loop(joint: Joint, store: EpisodeStore, record: RecordConfig, folder: Path, progress: bool = True) -> Figures:
    """Score the head on the drives in `store`, twice a second; `folder` keeps what the world remembers of them.

    Beside it: `blind`, the same head shown nothing; `constant_speed`; `constant_speed_route`, the same along the route;
    `lane_follow` at the speed limit; and `idm`, which knows where everybody is.
    """
    lessons = prepare_lessons(joint.world, store, record, folder, progress)
    values: dict[str, dict[str, list[np.ndarray]]] = {}
    groups: list[int] = []
    for index in store.indices():
        if store.length(index) <= HORIZON:
            continue
        scene = scene_in(store, index, record)
        plans, frames = _plans(joint, lessons, index, scene)
        if not frames:
            continue
        steps = slice(STEP - 1, None, STEP)
        truth = np.stack([driven(scene, frame)[steps] for frame in frames])
        others = np.stack([_others(scene, frame)[steps] for frame in frames])
        for name, made in plans.items():
            asked = np.stack(made)[:, steps]
            kept = values.setdefault(name, {})
            for seconds in SECONDS:
                for measure, of in MEASURES.items():
                    kept.setdefault(f"{measure} {seconds:g}s", []).append(of(asked, truth, seconds))
                for measure, of in COLLISIONS.items():
                    kept.setdefault(f"{measure} {seconds:g}s", []).append(of(asked, truth, others, seconds))
        groups += [index] * len(frames)
    if not groups:
        raise ZoetropeError(f"{store.folder}: no episode of more than {HORIZON + EVERY} frames; record longer ones")
    return {name: _figures(kept, groups) for name, kept in values.items()}


def _figures(kept: dict[str, list[np.ndarray]], groups: list[int]) -> dict[str, dict[str, Interval | None]]:
    out: dict[str, dict[str, Interval | None]] = {}
    for measure in (*MEASURES, *COLLISIONS):
        columns = {f"{s:g}s": np.concatenate(kept[f"{measure} {s:g}s"]) for s in SECONDS}
        out[measure] = {name: mean(column, groups) for name, column in columns.items()}
        out[measure]["mean"] = mean(np.mean(list(columns.values()), 0), groups)
    return out


@torch.inference_mode()
def _plans(joint: Joint, lessons: PreparedStore, index: int, scene: Scene) -> tuple[dict[str, list[np.ndarray]], list[int]]:
    """What everybody plans (HORIZON, 3) at the frames of a scene that are looked at, every one watched."""
    way = Way(road=scene.road, path=driven_path(scene))
    read = lessons.read(index, ("frame", "older", "elapsed"))
    every = (read["elapsed"] * RATE).round() == 1
    rows = [int(row) for row in every.nonzero() if int(read["frame"][row]) % EVERY == 0]
    plans: dict[str, list[np.ndarray]] = {}
    frames = []
    for row in rows:
        frame = int(read["frame"][row])
        errand = errand_at(scene, way, frame, float(read["elapsed"][row]))
        moment = scene.moment(frame)
        told = torch.from_numpy(errand.told)[None]
        noise = torch.randn(1, COMPONENTS, generator=torch.Generator().manual_seed(frame))
        seen = remembered_rows(lessons, index, row, int(read["older"][row]))[None]
        hidden = torch.zeros(1, seen.shape[1] * seen.shape[2], dtype=torch.bool)
        head, follow = joint.head, Follow()
        told_alone = head.context(seen, told, hidden)
        made = {
            "joint": _trajectory(joint, errand, head.context(seen, told), noise),
            "blind": _trajectory(joint, errand, told_alone, noise),
            "constant_speed": _straight(errand),
            "constant_speed_route": errand.trajectory(np.zeros((HORIZON, 2))),
            "lane_follow": follow.steer(errand.route, errand.ego.speed, errand.limit, moment.time)[:HORIZON],
            "idm": Rules().steer(errand.route, errand.ego, moment, errand.limit, errand.stop)[:HORIZON],
        }
        for name, plan in made.items():
            plans.setdefault(name, []).append(plan)
        frames.append(frame)
    return plans, frames


def _trajectory(joint: Joint, errand: Errand, context: torch.Tensor, noise: torch.Tensor) -> np.ndarray:
    return errand.trajectory(joint.head.imagine(context, noise, joint.steps)[0].double().numpy())


def _straight(errand: Errand) -> np.ndarray:
    return np.stack([errand.ego.speed * TIMES, np.zeros(HORIZON), np.zeros(HORIZON)], -1)


def _others(scene: Scene, frame: int) -> np.ndarray:
    """Boxes (HORIZON, M, 5) of all actors in the ego's axes at a frame; NaN while they are not there."""
    ego = State(*map(float, scene.ego[frame]))
    tracks = scene.tracks[:, frame + 1 : frame + 1 + HORIZON, :3].transpose(1, 0, 2)
    size = np.array([a.size[:2] for a in scene.actors]).reshape(-1, 2)
    return np.concatenate([to_body(tracks.reshape(HORIZON, -1, 3), ego), np.broadcast_to(size, (HORIZON, *size.shape))], -1)
