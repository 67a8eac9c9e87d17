"""Planning: scores on cases made by hand, vehicles within their limits, planners that misbehave, loops that repeat, choices."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon, box

from core.errors import ZoetropeError
from driving.evaluation import planning
from driving.geometry import corners, overlap, to_body, to_world
from driving.planning import imitation, openloop
from driving.planning.comfort import comfortable, slope
from driving.planning.compare import Comparison, compare, spearman
from driving.planning.idm import Leader, Temper, ahead, pedal
from driving.planning.lines import place, project
from driving.planning.loop import Course, drive
from driving.planning.pdm import PDMScore, pdm_score
from driving.planning.perception import by_depth
from driving.planning.planner import Observation, ask, checked, command, load
from driving.planning.planners import PLANNERS, Sight, planner
from driving.planning.report import write_report, write_tree
from driving.planning.reward import RoadColour, certainty, free
from driving.planning.tree import Extrapolated, Pictured, approach, judge, touches, trial, true_future
from driving.planning.vehicle import EGO, STEP, follow
from driving.rig import Camera, Rig, nuscenes_rig
from driving.road.network import Lane, Road
from driving.road.query import path_from
from driving.scene import EGO_CENTRE, EGO_SIZE, RATE, Actor, Ambience, Images, Moment, State
from driving.traffic.behaviours import EgoSoon, Entrant, Stand, Walk

STRAIGHT = np.stack([np.arange(0.0, 301.0), np.zeros(301)], -1)
ROAD = Road(
    name="plain",
    kind="straight",
    lanes={0: Lane(id=0, centre=STRAIGHT, width=3.5, speed_limit=10.0)},
    drivable=box(-20, -5, 320, 5),
    walkways=box(-20, 5, 320, 8),
)
LINE = np.stack([np.arange(0.0, 81.0), np.zeros(81)], -1)
FRONT = EGO_CENTRE + EGO_SIZE[1] / 2


def actor(number: int = 0, category: str = "car") -> Actor:
    return Actor(id=number, category=category, size=(2.0, 4.0, 1.5), colour=(200, 0, 0))


def cruise(speed: float, steps: int = 40, x: float = 20.0, y: float = 0.0) -> np.ndarray:
    """Ego states straight on."""
    t = np.arange(steps + 1) / RATE
    return np.stack([x + speed * t, np.full_like(t, y), np.zeros_like(t), np.full_like(t, speed)], -1)


def still(states: np.ndarray, *bodies: tuple[Actor, State]) -> list[Moment]:
    """Moments in which bodies go straight on."""
    out = []
    for t, state in enumerate(states):
        moved = tuple(
            (a, State(s.x + s.speed * math.cos(s.yaw) * t / RATE, s.y + s.speed * math.sin(s.yaw) * t / RATE, s.yaw, s.speed))
            for a, s in bodies
        )
        out.append(Moment(t / RATE, State(*map(float, state)), moved))
    return out


def scored(states: np.ndarray, *bodies: tuple[Actor, State], reference: float = 40.0) -> PDMScore:
    return pdm_score(states, still(states, *bodies), ROAD, STRAIGHT, reference)


# --- boxes and lines ---

BOX = st.tuples(st.floats(-6, 6), st.floats(-6, 6), st.floats(-4, 4), st.floats(0.3, 4), st.floats(0.3, 9))


@given(BOX, BOX)
@settings(max_examples=100, deadline=None)
def test_boxes_overlap_as_shapely_says(a, b):
    common = Polygon(corners(np.array(a))).intersection(Polygon(corners(np.array(b)))).area
    if common > 1e-6:
        assert overlap(np.array(a), np.array(b))
    elif Polygon(corners(np.array(a))).distance(Polygon(corners(np.array(b)))) > 1e-6:
        assert not overlap(np.array(a), np.array(b))


def test_overlap_is_broadcast_and_nothing_touches_what_is_not_there():
    one, many = np.array([0, 0, 0, 2, 4.0]), np.array([[1, 0, 0, 2, 4.0], [9, 0, 0, 2, 4], [np.nan] * 5])
    assert overlap(one, many).tolist() == [True, False, False]


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-4, 4))
@settings(max_examples=30, deadline=None)
def test_world_and_body_axes_are_inverse(x, y, yaw):
    poses = np.array([[3.0, -2.0, 0.5], [0.0, 0.0, 0.0]])
    assert np.allclose(to_body(to_world(poses, State(x, y, yaw, 0)), State(x, y, yaw, 0)), poses)


@given(st.floats(-20, 99), st.floats(-8, 8))
@settings(max_examples=30, deadline=None)
def test_places_along_a_bend_are_found_again(along, left):
    angle = np.linspace(0, 1.5, 200)
    bend = 60 * np.stack([np.sin(angle), 1 - np.cos(angle)], -1)
    s, d = project(bend, place(bend, np.array([along]), left)[:, :2])
    assert abs(s[0] - along) < 0.2 and abs(d[0] - left) < 0.1


# --- the vehicle ---


@given(
    st.floats(0, 20), st.lists(st.tuples(st.floats(-40, 40), st.floats(-40, 40), st.floats(-3, 3)), min_size=20, max_size=20)
)
@settings(max_examples=25, deadline=None)
def test_whatever_is_planned_the_vehicle_keeps_its_limits(speed, plan):
    states, wheels = follow(State(0, 0, 0, speed), np.array([plan]), 40)
    pace = states[0, :, 3]
    change = np.diff(pace) / STEP
    assert np.isfinite(states).all() and (pace >= 0).all()
    assert change.max() <= EGO.throttle + 1e-6 and change.min() >= -EGO.brake - 1e-6
    assert np.abs(wheels).max() <= EGO.steer + 1e-9
    turn = np.diff(states[0, :, 2])
    gone = (pace[1:] + pace[:-1]) / 2 * STEP
    assert (np.abs(turn) <= gone * math.tan(EGO.steer) / EGO.wheelbase + 1e-9).all()


def test_a_plan_that_a_car_can_drive_is_driven():
    angle = np.linspace(0, 0.8, 200)
    bend = 40 * np.stack([np.sin(angle), 1 - np.cos(angle)], -1)
    plan = place(bend, 8.0 * np.arange(1, 41) / RATE)
    states, _ = follow(State(0, 0, 0, 8.0), plan[None], 40)
    assert np.linalg.norm(states[0, 1:, :2] - plan[:, :2], axis=1).max() < 0.6


# --- PDM score ---


def test_a_perfect_drive_scores_one():
    found = scored(cruise(10.0))
    assert found.total == 1.0 and found.as_dict()["total"] == 1.0


def test_running_into_somebody_scores_nothing():
    found = scored(cruise(10.0), (actor(), State(40, 0, 0, 0)))
    assert found.no_collision == 0 and found.total == 0


def test_running_into_a_thing_leaves_half():
    assert scored(cruise(10.0), (actor(category="cone"), State(40, 0, 0, 0))).no_collision == 0.5


def test_being_run_into_from_behind_is_not_the_ego_s_fault():
    assert scored(cruise(5.0), (actor(), State(12, 0, 0, 15.0))).no_collision == 1


def test_who_stands_is_not_at_fault():
    assert scored(cruise(0.0), (actor(), State(45, 0, math.pi, 10.0))).no_collision == 1


def test_hit_from_the_side_in_its_lane_is_not_its_fault_but_out_of_it_is():
    def side(y: float) -> tuple[Actor, State]:
        return actor(), State(20 + EGO_CENTRE + 1.6, y + 4.5, -math.pi / 2, 2.0)

    def faulty(y: float) -> bool:
        states = cruise(2.0, y=y)
        return scored(states, side(y)).no_collision == 0

    assert not faulty(0.0) and faulty(1.5)


def test_leaving_the_road_scores_nothing():
    found = scored(cruise(10.0, y=4.5))
    assert found.drivable == 0 and found.total == 0


def test_standing_still_makes_no_progress():
    found = scored(cruise(0.0))
    assert found.progress == 0 and found.total == pytest.approx(7 / 12)


def test_where_nobody_could_advance_nobody_must():
    assert scored(cruise(0.0), reference=2.0).progress == 1


def test_following_too_closely_fails_time_to_collision_alone():
    bodies = actor(), State(20 + FRONT + 2.0 + 4.0, 0, 0, 10.0)
    assert scored(cruise(10.0), bodies).time_to_collision == 1
    slower = actor(), State(20 + FRONT + 2.0 + 9.0, 0, 0, 8.0)
    found = scored(cruise(10.0), slower)
    assert (found.no_collision, found.time_to_collision) == (1, 0) and found.total == pytest.approx(7 / 12)


def test_hard_braking_is_uncomfortable():
    t = np.arange(41) / RATE
    speed = np.maximum(15 - 7 * t, 0)
    states = np.stack([np.cumsum(speed) / RATE, 0 * t, 0 * t, speed], -1)
    assert not comfortable(states) and comfortable(cruise(10.0))


def test_slopes_of_parabolas_are_exact():
    t = np.arange(30) / RATE
    assert np.allclose(slope(1 + 2 * t + 3 * t**2), 2 + 6 * t)


# --- open loop ---


def test_both_conventions_of_l2_and_collision():
    driven = np.zeros((1, 6, 3))
    plans = driven.copy()
    plans[0, :, 0] = np.arange(1, 7)
    assert openloop.l2_at(plans, driven, 3.0)[0] == 6 and openloop.l2_up_to(plans, driven, 3.0)[0] == 3.5
    actors = np.full((1, 6, 1, 5), np.nan)
    actors[0, 5, 0] = [10, 0, 0, 2, 4]
    assert (
        openloop.collision_at(plans, driven, actors, 3.0)[0] == 1 and openloop.collision_at(plans, driven, actors, 2.0)[0] == 0
    )
    assert openloop.collision_up_to(plans, driven, actors, 3.0)[0] == pytest.approx(1 / 6)
    actors[0, 5, 0] = [3, 0, 0, 2, 4]  # the recorded drive touches it too: the step is excluded
    assert np.isnan(openloop.collision_at(plans, driven, actors, 3.0)[0])


# --- planners ---


def black(rig: Rig) -> Images:
    shape = (len(rig.cameras), rig.height, rig.width)
    return Images(np.zeros((*shape, 3), np.uint8), np.full(shape, np.inf, np.float32))


def observation(
    speed: float = 8.0, images: Images | None = None, time: float = 0.0, moment: Moment | None = None
) -> Observation:
    rig = nuscenes_rig(64, 36)
    return Observation(
        images=images or black(rig),
        rig=rig,
        history=(State(0, 0, 0, speed),),
        route=LINE,
        command="straight",
        limit=10.0,
        stop=None,
        time=time,
        moment=moment,
    )


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (None, "returned nothing"),
        ("left", "expected numbers"),
        (np.zeros((5, 3)), "expected (20 to 40, 3), found (5, 3)"),
        (np.zeros((30, 2)), "found (30, 2)"),
        (np.full((30, 3), np.nan), "not a finite number at frame 0"),
        (np.full((30, 3), 1e6), "expected metres"),
        ([[0, 0, 0], [1]], "expected numbers"),
    ],
)
def test_a_bad_plan_is_named(plan, complaint):
    with pytest.raises(ZoetropeError, match="planner 'mine'") as caught:
        checked(plan, "mine")
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_a_planner_that_fails_or_hangs_gives_one_line():
    class Broken:
        privileged = False

        def plan(self, observation):
            raise ValueError("two\nlines")

    class Asleep:
        privileged = False

        def plan(self, observation):
            time.sleep(5)
            return np.zeros((30, 3))

    with pytest.raises(ZoetropeError, match="planner 'a': failed at 0.0 s of the scene: ValueError: two lines"):
        ask(Broken(), observation(), "a", 1.0)
    with pytest.raises(ZoetropeError, match="no plan within 0.05 s"):
        ask(Asleep(), observation(), "b", 0.05)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("nothing", "expected package.module:factory"),
        ("no.such.module:make", "cannot be imported"),
        ("math:nothing", "has no factory 'nothing'"),
        ("math:sqrt", "sqrt() failed"),
        ("builtins:dict", "without plan(observation)"),
    ],
)
def test_a_planner_that_cannot_be_loaded_is_named(spec, complaint):
    with pytest.raises(ZoetropeError) as caught:
        load(spec)()
    assert spec in str(caught.value) and complaint in str(caught.value)


def test_planners_load_by_name_or_path_and_plan():
    for name in PLANNERS:
        if name == "imitation":
            continue
        made = planner(name)()
        moment = Moment(0.0, State(0, 0, 0, 8.0), ())
        assert checked(made.plan(observation(moment=moment)), name).shape[1] == 3
    assert load("driving.planning.planners:Stop")().plan(observation())[-1, 0] < 40
    with pytest.raises(ZoetropeError, match="unknown; known: idm"):
        planner("nobody")


def test_a_driver_settles_behind_its_leader():
    temper = Temper()
    speed, gap = 12.0, 60.0
    for _ in range(1200):
        speed = max(speed + pedal(temper.style, speed, 15.0, [Leader(gap, 6.0)]) / RATE, 0)
        gap += (6.0 - speed) / RATE
    assert speed == pytest.approx(6.0, abs=0.1) and gap > temper.style.standstill


def test_only_what_is_on_the_way_leads():
    boxes = np.array([[20, 0, 0, 2, 4], [15, 3.5, 0, 2, 4], [-8, 0, 0, 2, 4.0]])
    found = ahead(LINE, boxes, np.zeros(3), 0.3)
    assert [round(leader.gap, 2) for leader in found] == [round(18 - FRONT, 2)]


def test_the_route_s_turn_is_a_command():
    angle = np.linspace(0, 1.5, 100)
    left = 15 * np.stack([np.sin(angle), 1 - np.cos(angle)], -1)
    assert command(LINE) == "straight" and command(left) == "left" and command(left * [1, -1]) == "right"


# --- looking ---


def wall(distance: float, half: float = 1.0, rig: Rig | None = None) -> tuple[Images, Rig]:
    """Flat grey ground, and 2 m high red wall of width 2 * half across the way, `distance` metres ahead of the rear axle."""
    rig = rig or Rig(cameras=(Camera(name="CAM_FRONT", position=(1.7, 0, 1.5), yaw=0, focal=0.8),))
    k = rig.intrinsics()[0]
    v, u = np.mgrid[: rig.height, : rig.width] + 0.5
    x, y = (u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1]
    depth = np.where(y > 0, 1.5 / np.maximum(y, 1e-9), np.inf)
    away = distance - 1.7
    hit = (np.abs(x * away) < half) & (1.5 - y * away > 0) & (1.5 - y * away < 2.0) & (depth > away)
    depth = np.where(hit, away, depth)
    colour = np.where(np.isfinite(depth)[..., None], 100, 220) * np.ones(3)
    colour[hit] = (200, 30, 30)
    return Images(colour[None].astype(np.uint8), depth[None].astype(np.float32)), rig


def test_depth_shows_where_something_stands_and_that_the_ground_is_nothing():
    images, rig = wall(20.0)
    (seen,) = by_depth(images, rig)
    assert (
        seen.x == pytest.approx(20.0, abs=0.3)
        and abs(seen.y) < 0.2
        and max(seen.width, seen.length) == pytest.approx(2.0, abs=0.5)
    )
    assert by_depth(wall(20.0, half=0.0)[0], rig) == []


def test_a_planner_that_looks_stops_for_what_it_sees_and_only_for_that():
    images, rig = wall(25.0)
    seen = observation(images=images)
    free_way = observation(images=wall(25.0, half=0.0)[0])
    for o in (seen, free_way):
        object.__setattr__(o, "rig", rig)
    assert Sight().plan(seen)[-1, 0] + FRONT < 25.0
    assert Sight().plan(free_way)[-1, 0] > 30.0


def test_looking_twice_tells_who_moves():
    """Behind somebody as fast as itself it does not slow down; behind somebody who stands it does."""

    def second_plan(second: float) -> float:
        driver = Sight()
        for when, distance in ((0.0, 25.0), (0.5, second), (1.0, 2 * second - 25.0)):
            images, rig = wall(distance)
            o = observation(images=images, time=when)
            object.__setattr__(o, "rig", rig)
            plan = driver.plan(o)
        return float(plan[-1, 0])

    assert second_plan(25.0) > second_plan(21.0) + 5


# --- rewards ---


def test_room_ahead_and_aside_is_rewarded():
    car = np.array([[30.0, 0, 0, 2, 4]])
    assert free(np.zeros((0, 5)), 10.0) == 1 and free(car, 10.0) == 1
    assert free(car - [[22, 0, 0, 0, 0]], 10.0) < 0.7 and free(car - [[26, 0, 0, 0, 0]], 0.0) == 0
    assert 0 < free(np.array([[1.0, 2.5, 0, 2, 4]]), 10.0) <= 1


def test_the_road_s_colour_is_learned_and_its_end_seen():
    images, rig = wall(30.0)
    road = RoadColour.of(images, rig)
    assert road is not None and road.share(images, rig) == 1
    grass = Images(np.where(images.colour == 100, np.array([60, 140, 50]), images.colour).astype(np.uint8), images.depth)
    assert road.share(grass, rig) == 0


def test_samples_that_differ_are_less_certain():
    rig = nuscenes_rig(64, 36)
    dark = black(rig)
    light = Images(dark.colour + 200, dark.depth)
    assert certainty([[dark]]) == 1 and certainty([[dark], [dark]]) == 1 and certainty([[dark], [light]]) < 0.5


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


class Flat:
    """An imager that shows every actor near the ego as the depth of its box would, seen by one camera; it knows no colours."""

    def begin(self, road, rig, ambience, seed):
        self.rig = rig

    def show(self, moment: Moment) -> Images:
        out = black(self.rig)
        k = self.rig.intrinsics()[0]
        camera = self.rig.cameras[0]
        for actor, state in moment.actors:
            at = to_body(corners(np.array([state.x, state.y, state.yaw, actor.size[0], actor.size[1]])), moment.ego)
            z = float(at[:, 0].min() - camera.position[0])
            if z < 0.5:
                continue
            u = k[0, 2] - at[:, 1] / z * k[0, 0]
            v = k[1, 2] + (camera.position[2] - np.array([actor.size[2], 0.35])) / z * k[1, 1]
            columns, rows = slice(max(int(u.min()), 0), max(int(u.max()), 0)), slice(max(int(v[0]), 0), max(int(v[1]), 0))
            out.depth[0, rows, columns] = np.minimum(out.depth[0, rows, columns], z)
        return out

    def close(self):
        pass


EYE = Rig(cameras=(Camera(name="CAM_FRONT", position=(1.7, 0, 1.5), yaw=0, focal=0.8),))
STANDING_CAR = Entrant(actor=actor(), behaviour=Stand(x=60.0, y=0.0, yaw=0.0))


def course(*entrants: Entrant) -> Course:
    return Course(
        name="plain",
        road=ROAD,
        rig=EYE,
        ambience=Ambience(),
        entrants=entrants,
        ego=State(20, 0, 0, 9.0),
        route=path_from(ROAD, 0),
    )


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
    with pytest.raises(ZoetropeError, match="no such file"):
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
