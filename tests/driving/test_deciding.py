"""Planning in the loop: runs that repeat, planners compared, choices by imagined futures, a learner."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from core.errors import ZoetropeError
from driving.evaluation import planning
from driving.planning import imitation
from driving.planning.compare import Comparison, compare, spearman
from driving.planning.loop import Course, drive
from driving.planning.planner import checked
from driving.planning.planners import PLANNERS
from driving.planning.report import write_report, write_tree
from driving.planning.tree import Extrapolated, Pictured, approach, judge, touches, trial, true_future
from driving.scene import Ambience
from driving.traffic.behaviours import EgoSoon, Entrant, Walk
from tests.driving.street import EYE, ROAD, STANDING_CAR, Flat, actor, course, observation, wall

# --- comparison ---


def test_rank_correlation_of_known_orders():
    a = np.array([1.0, 2, 3, 4, 5])
    assert spearman(a, a**3) == 1 and spearman(a, -a) == -1
    assert spearman(a, np.array([2.0, 1, 3, 5, 4])) == pytest.approx(0.8)
    assert spearman(np.array([1.0, 1, 2]), np.array([1.0, 2, 3])) == pytest.approx(math.sqrt(3) / 2)
    assert np.isnan(spearman(a, np.ones(5)))


def test_the_correlation_has_an_interval_over_settings():
    rng = np.random.default_rng(0)
    truth = np.linspace(0, 1, 8)[:, None] + rng.normal(0, 0.1, (8, 12))
    names = tuple("abcdefgh"), tuple(map(str, range(12)))
    found = Comparison(planners=names[0], courses=names[1], ours=truth + rng.normal(0, 0.1, (8, 12)), truth=truth).correlation
    assert found.low <= found.value <= 1 and found.value > 0.9 and found.count == 12


# --- the loop ---


def run(name: str, *entrants: Entrant, frames: int = 40):
    return drive(PLANNERS[name], name, course(*entrants), Flat(), frames)


def test_an_empty_road_is_driven_perfectly_and_the_same_again():
    first, second = run("idm"), run("idm")
    assert first.ended == "time" and first.completion == 1 and first.pdms > 0.95
    assert np.array_equal(first.states, second.states) and first.as_dict() == second.as_dict()


def test_who_looks_stops_and_who_does_not_runs_into_it():
    seeing, blind = run("sight", STANDING_CAR, frames=60), run("lane_follow", STANDING_CAR)
    assert seeing.ended == "time" and seeing.collisions == () and seeing.states[-1, 3] < 1.5
    assert blind.ended == "collision" and blind.collisions[0].at_fault and blind.driving_score < seeing.driving_score


def test_standing_still_completes_little():
    found = run("stop")
    assert found.completion < 0.5 and found.driving_score < run("idm").driving_score / 2


def test_a_run_keeps_its_pictures_and_writes_its_report(tmp_path):
    pytest.importorskip("matplotlib")
    here = course(STANDING_CAR)
    result = drive(PLANNERS["lane_follow"], "lane_follow", here, Flat(), 40, keep=True)
    assert len(result.pictures) == len(result.states) - 1
    written = write_report(result, here, tmp_path, "run")
    assert json.loads(written.figures.read_text())["ended"] == "collision"
    assert written.chart.stat().st_size > 1000 and written.video is not None and written.video.stat().st_size > 1000


def test_planners_are_ranked_alike_in_the_same_world():
    some = {name: PLANNERS[name] for name in ("idm", "lane_follow", "stop")}
    found = compare(some, [course(STANDING_CAR), course()], Flat(), Flat(), 20)
    assert found.correlation.value == 1 and np.array_equal(found.ours, found.truth)
    with pytest.raises(ZoetropeError, match="3 planners or more"):
        compare({}, [], Flat(), Flat(), 30)


# --- the tree ---


def crossing_course() -> Course:
    """Somebody stands beside the road and walks into the ego's way when it is near."""
    walk = Walk(path=((48.0, -4.0), (48.0, 4.0)), speed=2.5, trigger=EgoSoon(seconds=2.2))
    return course(Entrant(actor=actor(category="pedestrian"), behaviour=walk))


def test_the_tree_avoids_a_stopped_car_that_going_on_would_hit():
    situation = approach(course(STANDING_CAR), 60)
    assert situation is not None
    imager = Flat()
    imager.begin(ROAD, EYE, Ambience(), 0)
    outlook = Pictured(
        imagine=true_future(situation.simulation, imager), rig=EYE, now=imager.show(situation.moments[-1]), samples=2
    )
    judged = judge(situation.options(), outlook, situation.way, situation.limit)
    best = judged[0]
    assert not touches(situation.simulation, best.candidate.states)
    keep = next(j for j in judged if j.candidate.name == "keep")
    assert touches(situation.simulation, keep.candidate.states) and keep.reward.total < best.reward.total
    assert len(best.outcome.pictures) == len(best.candidate.states) - 1 and best.reward.certainty == 1


def test_the_truth_foresees_what_straight_on_does_not(tmp_path):
    pytest.importorskip("matplotlib")
    situation = approach(crossing_course(), 60)
    assert situation is not None
    imager = Flat()
    imager.begin(ROAD, EYE, Ambience(), 0)

    def pictured(here):
        return Pictured(imagine=true_future(here.simulation, imager), rig=EYE, now=imager.show(here.moments[-1]))

    def straight_on(here):
        return Extrapolated(now=here.moments[-1], road=here.way.road)

    found = trial([situation], {"imagined": pictured, "straight on": straight_on})
    assert found.avoidable == [True] and found.collided["imagined"] == [False]
    rate = found.rate("imagined")
    assert rate is not None and rate.value == 0
    judged = judge(situation.options(), pictured(situation), situation.way, situation.limit)
    write_tree(judged[:3], EYE, tmp_path / "tree.png")
    assert (tmp_path / "tree.png").stat().st_size > 1000


def test_where_nothing_is_in_the_way_there_is_nothing_to_decide():
    assert approach(course(), 20) is None
    with pytest.raises(ZoetropeError, match="no situation to decide in"):
        trial([], {})


# --- learning ---


def test_the_learner_drives_what_it_was_taught_and_its_weights_are_checked(tmp_path):
    lessons = imitation.gather([course(STANDING_CAR), course()], Flat(), 30)
    assert lessons.pictures.shape[1:] == (imitation.HEIGHT, imitation.WIDTH, 3) and lessons.facts.shape[1] == imitation.FACTS
    losses: list[float] = []
    driver = imitation.train(lessons, steps=30, batch=16, report=lambda step, loss: losses.append(loss))
    assert losses[-1] < losses[0]
    imitation.save(driver, tmp_path / "w.safetensors")
    made = imitation.Imitation.shipped(tmp_path / "w.safetensors")
    seen = observation(images=wall(25.0)[0])
    object.__setattr__(seen, "rig", EYE)
    assert np.array_equal(checked(made.plan(seen), "imitation"), imitation.Imitation(driver).plan(seen))
    with pytest.raises(ZoetropeError, match="no weights of planner"):
        imitation.Imitation.shipped(tmp_path / "none.safetensors")


def test_decisions_are_kept_and_taken_up_where_they_were_left(tmp_path, monkeypatch):
    """Every second course has nothing to decide, every fourth no way out; the second run decides nothing anew."""
    decided: list[int] = []

    def decide(number, world, source):
        decided.append(number)
        if number % 2:
            return None
        names = (planning.IMAGINED, planning.SOURCE, planning.STRAIGHT_ON)
        ends = {planning.IMAGINED: False, planning.SOURCE: False, planning.STRAIGHT_ON: True}
        return {
            "collided": {n: [ends[n]] for n in names},
            "chosen": {n: ["keep"] for n in names},
            "avoidable": [number % 4 == 0],
        }

    monkeypatch.setattr(planning, "_decide", decide)
    monkeypatch.setattr(planning, "SITUATIONS", 3)
    first = planning.choices(None, Flat, tmp_path, progress=False)
    assert decided == list(range(9)) and first["planning_collision_ratio"]["value"] == 0
    assert first["planning_collisions_straight_on"]["value"] == 1 and first["planning_collisions_straight_on"]["n"] == 3
    assert planning.choices(None, Flat, tmp_path, progress=False) == first and len(decided) == 9
