"""Traffic: bodies never meet, move as bodies can, obey, react, and repeat."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon

from core.errors import ZoetropeError
from driving.road.build import build
from driving.road.query import nearest_lane, path_from
from driving.scene import CATEGORIES, EGO_CENTRE, EGO_SIZE, RATE, Actor, State
from driving.traffic.background import background
from driving.traffic.behaviours import (
    AheadOfEgo,
    AtTime,
    Brake,
    ChangeLane,
    Drive,
    EgoDriven,
    EgoNear,
    EgoSoon,
    Entrant,
    Replay,
    Shift,
    Stand,
    Stop,
    Walk,
)  # fmt: skip
from driving.traffic.chauffeur import Chauffeur, roll
from driving.traffic.idm import Style, acceleration
from driving.traffic.simulation import Simulation
from driving.traffic.triggers import fires

TOUCH = 0.02
"""Square metres of overlap that come from rounding."""
STRAIGHT = build("straight", 0, lanes=2, speed_limit=12.0, parking=False, length=500.0)


def actor(category="car", number=0):
    return Actor(id=number, category=category, size=CATEGORIES[category].size, colour=(90, 90, 90))


def parked_ego():
    """Far from everything."""
    x, y, yaw = path_from(STRAIGHT, 0).position(5.0)
    return State(x - 1000, y, yaw, 0.0)


def box(row, size):
    width, length, _ = size
    c, s = np.cos(row[2]), np.sin(row[2])
    corners = np.array([[length, width], [-length, width], [-length, -width], [length, -width]]) / 2
    return Polygon(corners @ np.array([[c, s], [-s, c]]) + row[:2])


def overlaps(ego, actors, tracks, every=4):
    body = ego.copy()
    body[:, :2] += EGO_CENTRE * np.stack([np.cos(ego[:, 2]), np.sin(ego[:, 2])], 1)
    rows, sizes = np.concatenate([body[None], tracks]), [EGO_SIZE, *(a.size for a in actors)]
    reach = np.array([math.hypot(*s[:2]) / 2 for s in sizes])
    found = []
    for t in range(0, rows.shape[1], every):
        gap = np.hypot(*(rows[:, None, t, :2] - rows[None, :, t, :2]).transpose(2, 0, 1))
        for i, j in zip(*np.nonzero(np.triu(gap < reach[:, None] + reach[None], 1))):
            if box(rows[i, t], sizes[i]).intersection(box(rows[j, t], sizes[j])).area > TOUCH:
                found.append((t, int(i) - 1, int(j) - 1))
    return found


def ordinary(kind, seed, frames=200, density=1.0):
    road = build(kind, seed)
    lane = next(i for i in road.lanes if road.lanes[i].right is None)
    path = path_from(road, lane, (), 1e4)
    start = State(*path.position(25.0), 0.8 * road.lanes[lane].speed_limit)
    entrants = background(road, start, seed, density)
    return road, entrants, *roll(road, entrants, start, Chauffeur(path=path), frames, seed)


@pytest.mark.parametrize("kind, seed", [("junction", 1), ("roundabout", 1), ("crossing", 3)])
def test_ordinary_traffic_moves_as_bodies_can(kind, seed):
    _, _, ego, actors, tracks = ordinary(kind, seed)
    assert len(actors) > 10
    assert overlaps(ego, actors, tracks) == []
    speed = tracks[:, :, 3]
    assert np.nanmin(speed) >= 0 and np.nanmax(speed) < 20
    push = np.diff(speed, axis=1) * RATE
    assert np.nanmin(push) > -8.01 and np.nanmax(push) < 2.6
    moved = np.hypot(*np.diff(tracks[:, :, :2], axis=1).transpose(2, 0, 1))
    middle = (speed[:, 1:] + speed[:, :-1]) / 2 / RATE
    assert np.nanmax(np.abs(moved - middle)) < 0.15
    turned = np.abs(np.angle(np.exp(1j * np.diff(tracks[:, :, 2], axis=1))))
    wheels = [i for i, a in enumerate(actors) if a.category not in ("pedestrian", "child")]
    assert np.nanmax(turned[wheels]) * RATE < 1.2
    assert np.nanmax(moved) > 0.3


def test_the_ego_drives_on_and_keeps_to_its_road():
    road, _, ego, _, _ = ordinary("town", 0, 100)
    assert np.hypot(*np.diff(ego[:, :2], axis=0).T).sum() > 40
    assert all(abs(nearest_lane(road, *row[:3])[2]) < 0.6 for row in ego[::10])


def test_the_same_seed_gives_the_same_tracks_bit_for_bit():
    first, second = ordinary("junction", 1, 60), ordinary("junction", 1, 60)
    assert np.array_equal(first[2], second[2]) and np.array_equal(first[4], second[4], equal_nan=True)
    assert first[3] == second[3]


def test_a_copy_goes_the_same_way_and_leaves_the_first_alone():
    road, entrants, ego, _, _ = ordinary("junction", 1, 60)
    states = [State(*map(float, row)) for row in ego]
    simulation = Simulation(road, entrants, states[0], 1)
    for state in states[1:20]:
        simulation.step(state)
    twin, still = simulation.copy(), simulation.moment
    ahead = [twin.step(state) for state in states[20:]]
    assert simulation.moment is still
    assert [simulation.step(state) for state in states[20:]] == ahead


def test_nobody_begins_inside_another_and_numbers_go_on():
    van = Entrant(actor=actor("van"), behaviour=Drive(lane=1, along=60.0))
    start = State(*path_from(STRAIGHT, 1).position(30.0), 8.0)
    entrants = background(STRAIGHT, start, 4, 4.0, pedestrians=30, cyclists=8, others=(van,))
    assert [e.actor.id for e in entrants] == list(range(1, len(entrants) + 1))
    ego, actors, tracks = roll(STRAIGHT, (van, *entrants), start, lambda moment, road: moment.ego, 1, 0)
    assert overlaps(ego, actors, tracks) == []
    assert {"pedestrian", "bicycle", "car"} <= {a.category for a in actors}


def run(behaviour, frames, category="car", ego=None, others=()):
    simulation = Simulation(STRAIGHT, (Entrant(actor=actor(category), behaviour=behaviour), *others), ego or parked_ego(), 0)
    out = [simulation.moment] + [simulation.step(ego or parked_ego()) for _ in range(frames)]
    return [{a.id: s for a, s in moment.actors}[0] for moment in out]


def test_a_driver_stops_behind_a_stalled_vehicle():
    x, y, yaw = path_from(STRAIGHT, 0).position(150.0)
    stalled = Entrant(actor=actor("truck", 1), behaviour=Stand(x=x, y=y, yaw=yaw))
    states = run(Drive(lane=0, along=40.0), 250, others=(stalled,))
    gap = 150 - CATEGORIES["truck"].size[1] / 2 - CATEGORIES["car"].size[1] / 2
    reached = path_from(STRAIGHT, 0).project(states[-1].x, states[-1].y)[0]
    assert states[-1].speed < 0.1 and gap - 4 < reached < gap - 1


def test_a_driver_stops_for_the_ego():
    ego = State(*path_from(STRAIGHT, 1).position(140.0), 0.0)
    assert run(Drive(lane=1, along=60.0), 200, ego=ego)[-1].speed < 0.1
    assert run(Drive(lane=1, along=60.0, yields=False), 100, ego=ego)[-1].speed > 8


def test_a_cut_in_ends_in_the_lane_beside():
    change = ChangeLane(trigger=AtTime(seconds=1.0), to="left", seconds=2.5)
    states = run(Drive(lane=1, along=40.0, speed=10.0, manoeuvres=(change,)), 60)
    assert nearest_lane(STRAIGHT, states[9].x, states[9].y)[0] == 1
    lane, _, lateral = nearest_lane(STRAIGHT, states[-1].x, states[-1].y)
    assert lane == 0 and abs(lateral) < 1e-6
    yaw = path_from(STRAIGHT, 0).position(0.0)[2]
    assert 0.05 < max(s.yaw - yaw for s in states) < 0.5


@pytest.mark.parametrize("manoeuvre, speed", [
    (Brake(trigger=AtTime(seconds=1.0), deceleration=7.0, to_speed=3.0), 3.0),
    (Brake(trigger=AtTime(seconds=1.0), deceleration=7.0), 0.0),
    (Stop(trigger=AtTime(seconds=1.0)), 0.0),
])  # fmt: skip
def test_braking_reaches_its_speed_and_stays(manoeuvre, speed):
    speeds = np.array([s.speed for s in run(Drive(lane=0, along=40.0, speed=11.0, manoeuvres=(manoeuvre,)), 90)])
    assert speeds[:10] == pytest.approx(11.0, abs=0.3)
    assert speeds[-10:] == pytest.approx(speed, abs=0.05)
    assert np.diff(speeds).min() * RATE == pytest.approx(-getattr(manoeuvre, "deceleration", 2.5), abs=0.1)


def test_shifting_and_driving_the_wrong_way():
    shift = Shift(trigger=AtTime(seconds=0.0), lateral=0.9)
    last = run(Drive(lane=0, along=40.0, speed=9.0, manoeuvres=(shift,)), 50)[-1]
    assert path_from(STRAIGHT, 0).project(last.x, last.y)[1] == pytest.approx(0.9)
    states = run(Drive(lane=0, along=400.0, speed=9.0, lateral=0.5, wrong_way=True), 50)
    begin, end = (path_from(STRAIGHT, 0).project(s.x, s.y) for s in (states[0], states[-1]))
    assert begin == pytest.approx((400, 0.5), abs=1e-6) and end[0] == pytest.approx(355, abs=0.5)


def signalised(colour):
    """A junction whose signals show one colour for ever."""
    road = build("junction", 0, speed_limit=11.1)
    signals = {i: replace(signal, phases=((colour, 10.0),)) for i, signal in road.signals.items()}
    return replace(road, signals=signals)


@pytest.mark.parametrize("colour, obeys, goes", [("red", True, False), ("red", False, True), ("green", True, True)])
def test_red_means_stop_for_those_who_obey(colour, obeys, goes):
    road = signalised(colour)
    drive = Drive(lane=0, along=road.lane_lengths[0] - 40, obeys_signals=obeys, speed=10.0)
    simulation = Simulation(road, (Entrant(actor=actor(), behaviour=drive),), parked_ego(), 0)
    for _ in range(120):
        simulation.step(parked_ego())
    lane, along, _ = nearest_lane(road, *[(s.x, s.y, s.yaw) for _, s in simulation.moment.actors][0])
    assert (lane != 0) == goes
    if not goes:
        assert 0 < road.lane_lengths[0] - along - CATEGORIES["car"].size[1] / 2 < 4


def test_a_walker_waits_walks_and_stops():
    states = run(Walk(path=((0.0, 50.0), (6.0, 50.0)), speed=1.5, trigger=AtTime(seconds=2.0)), 90, "child")
    assert {(s.x, s.y, s.speed) for s in states[:20]} == {(0.0, 50.0, 0.0)}
    assert states[-1].x == pytest.approx(6.0, abs=0.05) and states[-1].speed == pytest.approx(0, abs=0.1)
    assert max(s.speed for s in states) == pytest.approx(1.5)


def test_replays_are_exact_and_may_be_absent():
    track = np.array([[np.nan] * 4, [1, 2, 0.5, 3], [2, 2, 0.5, 3]], float)
    simulation = Simulation(STRAIGHT, [Entrant(actor=actor(), behaviour=Replay(track=track))], parked_ego(), 0)
    assert simulation.moment.actors == ()
    states = [simulation.step(parked_ego()).actors[0][1] for _ in range(4)]
    assert states == [State(1, 2, 0.5, 3), State(2, 2, 0.5, 3), State(2, 2, 0.5, 0), State(2, 2, 0.5, 0)]


@pytest.mark.parametrize("trigger, near, far", [
    (EgoNear(metres=20), 15.0, 25.0),
    (EgoSoon(seconds=2.0), 15.0, 25.0),
    (AheadOfEgo(metres=20), 25.0, 15.0),
])  # fmt: skip
def test_triggers_know_the_ego(trigger, near, far):
    front = EGO_CENTRE + EGO_SIZE[1] / 2
    ego = State(0.0, 0.0, 0.0, 10.0)
    assert fires(trigger, 0.0, ego, 0.0, State(front + near, 0, 0, 0))
    assert not fires(trigger, 0.0, ego, 0.0, State(front + far, 0, 0, 0))
    assert fires(EgoDriven(metres=5), 0.0, ego, 5.0, ego) and not fires(EgoDriven(metres=5), 0.0, ego, 4.0, ego)


@settings(max_examples=100, deadline=None)
@given(v=st.floats(0, 30), other=st.floats(0, 30), gap=st.floats(0.1, 200), nearer=st.floats(0.1, 1.0))
def test_idm_brakes_more_for_what_is_nearer(v, other, gap, nearer):
    style = Style()
    assert acceleration(style, v, 15.0, gap * nearer, other) <= acceleration(style, v, 15.0, gap, other) + 1e-9
    assert acceleration(style, v, 15.0, math.inf, 0.0) <= style.acceleration


def test_what_cannot_be_is_refused():
    twice = [Entrant(actor=actor(), behaviour=Stand(x=0.0, y=0.0))] * 2
    with pytest.raises(ZoetropeError, match="different numbers"):
        Simulation(STRAIGHT, twice, parked_ego(), 0)
    with pytest.raises(ZoetropeError, match="does not exist"):
        Simulation(STRAIGHT, [Entrant(actor=actor(), behaviour=Drive(lane=77, along=0.0))], parked_ego(), 0)
    with pytest.raises(ZoetropeError, match="density"):
        background(STRAIGHT, parked_ego(), 0, -1.0)
    with pytest.raises(ZoetropeError, match="path"):
        Walk(path=((0.0, 0.0),))
    with pytest.raises(ZoetropeError, match="seconds"):
        ChangeLane(trigger=AtTime(), to="left", seconds=0.1)
