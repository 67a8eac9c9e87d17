"""Roads: they connect, stand where they should, and answer questions about themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point
from shapely.ops import unary_union

from core.errors import ZoetropeError
from driving.road.build import KINDS, build
from driving.road.lines import bent, joined, lengths, resample
from driving.road.query import nearest_lane, on_drivable, path_from
from driving.road.raster import Ground, rasterize

ROADS = {(kind, seed): build(kind, seed) for kind in KINDS for seed in (3, 8)}
any_road = pytest.mark.parametrize("road", ROADS.values(), ids=lambda road: road.name)


@any_road
def test_lanes_connect_without_a_kink(road):
    for lane in road.lanes.values():
        steps = np.diff(lane.centre, axis=0)
        assert np.hypot(*steps.T).max() < 1.6
        for after in lane.successors:
            begin = road.lanes[after].centre
            assert np.allclose(lane.centre[-1], begin[0], atol=1e-6)
            a, b = steps[-1], begin[1] - begin[0]
            assert a @ b / np.hypot(*a) / np.hypot(*b) > np.cos(np.radians(12))


@any_road
def test_only_the_road_ends_have_no_successor(road):
    middle = [lane for lane in road.lanes.values() if not lane.successors]
    ends = np.array([lane.centre[-1] for lane in middle])
    assert all(lane.junction is False for lane in middle)
    assert all(road.drivable.boundary.distance(Point(end)) < 0.5 for end in ends)


@any_road
def test_lanes_lie_on_drivable_ground_and_walkways_beside_it(road):
    points = np.concatenate([resample(lane.centre)[1:-1] for lane in road.lanes.values()])
    assert on_drivable(road, points).all()
    assert road.drivable.intersection(road.walkways).area < 0.01
    assert road.drivable.is_valid and road.walkways.is_valid
    assert all(crossing.difference(road.drivable).area < 1 for crossing in road.crossings)


@any_road
def test_scenery_keeps_off_the_road(road):
    paved = unary_union([road.drivable, road.walkways])
    assert all(not paved.intersects(b.footprint) for b in road.buildings)
    assert all(not paved.contains(Point(p.position)) for p in road.plants)
    assert all(not road.drivable.contains(Point(p)) and not paved.contains(Point(p)) for p in road.lamps)
    footprints = [b.footprint for b in road.buildings]
    assert unary_union(footprints).area == pytest.approx(sum(f.area for f in footprints))
    assert road.buildings and road.plants and road.lamps


@any_road
def test_the_first_lane_leads_through_for_twenty_seconds(road):
    for lane in (0, next(i for i in road.lanes if road.lanes[i].right is None)):
        path = path_from(road, lane, (), 1e4)
        assert path.ends and path.length > 20 * road.lanes[0].speed_limit + 40


@any_road
def test_crossing_directions_never_go_at_once(road):
    going = {lane.signal: [] for lane in road.lanes.values() if lane.signal is not None}
    for lane in road.lanes.values():
        if lane.signal is not None:
            going[lane.signal] += [i for i in lane.successors if abs(road.lane_turns[i]) < 0.5]
    for time in np.arange(0, 60, 0.25):
        free = [i for s, lanes in going.items() if road.signals[s].colour(time) != "red" for i in lanes]
        assert all(road.conflicts[i].isdisjoint(free) for i in free)


@any_road
def test_every_signal_shows_green_sometime_and_looks_at_its_traffic(road):
    for lane in road.lanes.values():
        if lane.signal is None:
            continue
        signal = road.signals[lane.signal]
        assert any(colour == "green" for colour, _ in signal.phases)
        travel = lane.centre[-1] - lane.centre[-2]
        assert travel @ (np.cos(signal.yaw), np.sin(signal.yaw)) < -0.9 * np.hypot(*travel)
        assert (np.array(signal.position[:2]) - lane.centre[-1]) @ travel > 0
        assert not road.drivable.contains(Point(signal.position[:2]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_road(kind):
    a, b = build(kind, 5), build(kind, 5)
    assert a.drivable.equals(b.drivable) and a.plants == b.plants and a.lamps == b.lamps and a.signals == b.signals
    assert all(np.array_equal(a.lanes[i].centre, b.lanes[i].centre) for i in a.lanes)
    assert not a.drivable.equals(build(kind, 6).drivable)


def test_parameters_are_kept():
    road = build("straight", 0, lanes=3, lane_width=3.5, speed_limit=20.0, parking=True, length=600.0)
    assert len(road.lanes) == 6 and road.bays
    assert road.lanes[0].width == 3.5 and road.lanes[0].speed_limit == 20.0
    assert path_from(road, 2, (), 1e4).length == pytest.approx(600, rel=1e-3)
    assert (road.lanes[1].left, road.lanes[1].right, road.lanes[1].opposite) == (0, 2, 3)


@pytest.mark.parametrize(
    "kind, options, words",
    [
        ("bridge", {}, "unknown kind 'bridge'"),
        ("straight", {"lanes": 4}, "lanes"),
        ("roundabout", {"lanes": 2}, "lanes"),
        ("straight", {"lane_width": 2.0}, "lane_width"),
        ("straight", {"speed_limit": 60.0}, "speed_limit"),
        ("straight", {"length": 100.0}, "length"),
    ],
)
def test_what_cannot_be_built_is_refused(kind, options, words):
    with pytest.raises(ZoetropeError, match=words):
        build(kind, 0, **options)


def test_routes_must_follow():
    road = ROADS["junction", 3]
    for lane in road.lanes[0].successors:
        assert path_from(road, 0, (lane,), 0.0).lanes[:2] == (0, lane)
    with pytest.raises(ZoetropeError, match="does not follow"):
        path_from(road, 0, (0,))
    with pytest.raises(ZoetropeError, match="does not exist"):
        path_from(road, 999)


def test_backwards_paths_run_against_their_lanes():
    road = ROADS["junction", 3]
    path = path_from(road, 0, (), 0.0, backwards=True)
    assert np.array_equal(path.points, road.lanes[0].centre[::-1])


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.01, 0.99), lateral=st.floats(-2.5, 2.5), kind=st.sampled_from(["curve", "s_curve", "town"]))
def test_projection_undoes_position(share, lateral, kind):
    path = path_from(ROADS[kind, 3], 0, (), 1e4)
    s = share * path.length
    x, y, _ = path.position(s, lateral)
    back = path.project(x, y)
    assert back == pytest.approx((s, lateral), abs=0.12)


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.05, 0.95))
def test_the_nearest_lane_is_the_one_stood_on(share):
    road = ROADS["straight", 3]
    for lane in road.lanes:
        x, y, yaw = path_from(road, lane, (), 0.0).position(share * road.lane_lengths[lane])
        found, s, d = nearest_lane(road, x, y, yaw)
        assert found == lane and abs(d) < 1e-6 and s == pytest.approx(share * road.lane_lengths[lane], abs=1e-6)


@pytest.mark.parametrize("kind", ["junction", "roundabout"])
def test_a_raster_agrees_with_the_polygons(kind):
    road = ROADS[kind, 8]
    raster = rasterize(road, 0.1)
    rng = np.random.default_rng(0)
    x0, y0, x1, y1 = road.bounds
    points = rng.uniform((x0, y0), (x1, y1), (20000, 2))
    column, row = np.floor(raster.pixels(points)).astype(int).T
    seen = raster.classes[row, column]
    far = np.array([road.drivable.boundary.distance(Point(p)) > 0.4 for p in points[:3000]])
    inside = on_drivable(road, points[:3000])
    drivable = np.isin(seen[:3000], (Ground.DRIVABLE, Ground.CROSSING, Ground.WHITE, Ground.YELLOW))
    assert (drivable == inside)[far].all()
    assert set(np.unique(raster.classes)) == set(int(kind) for kind in Ground)


@settings(max_examples=40, deadline=None)
@given(turn=st.floats(-2.0, 2.0), metres=st.floats(20, 200))
def test_bends_turn_as_far_and_run_as_long_as_asked(turn, metres):
    line = bent(np.zeros(2), 0.3, ((30.0, 0.0), (metres, turn)))
    chord = line[-1] - line[-2]
    assert np.arctan2(*chord[::-1]) == pytest.approx(np.arctan2(np.sin(0.3 + turn), np.cos(0.3 + turn)), abs=0.05)
    assert lengths(line)[-1] == pytest.approx(metres + 30, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(x=st.floats(10, 40), y=st.floats(-30, 30), turn=st.floats(-1.6, 1.6))
def test_joining_lines_meet_both_ends(x, y, turn):
    end = np.array([x, y])
    line = joined(np.zeros(2), 0.0, end, turn, 8.0)
    assert np.array_equal(line[0], np.zeros(2)) and np.array_equal(line[-1], end)
