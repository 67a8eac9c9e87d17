"""Planning: scores on cases made by hand, vehicles within their limits, planners that misbehave."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon

from core.errors import ZoetropeError
from driving.geometry import corners, overlap, to_body, to_world
from driving.planning import openloop
from driving.planning.comfort import comfortable, slope
from driving.planning.idm import Leader, Temper, ahead, pedal
from driving.planning.lines import place, project
from driving.planning.pdm import PDMScore, pdm_score
from driving.planning.perception import by_depth
from driving.planning.planner import ask, checked, command, load
from driving.planning.planners import PLANNERS, Sight, planner
from driving.planning.reward import RoadColour, certainty, free
from driving.planning.vehicle import EGO, STEP, follow
from driving.rig import nuscenes_rig
from driving.scene import EGO_CENTRE, RATE, Actor, Images, Moment, State
from tests.driving.street import FRONT, LINE, ROAD, STRAIGHT, actor, black, observation, wall


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
