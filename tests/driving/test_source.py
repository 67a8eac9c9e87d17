"""The source world: what its pictures, depths and ids promise."""

import math
from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import LineString, Polygon, box

pytest.importorskip("panda3d")

from driving.rig import Camera, Rig, nuscenes_rig  # noqa: E402
from driving.road.network import Building, Lane, Marking, Plant, Road, Signal  # noqa: E402
from driving.scene import CATEGORIES, Actor, Ambience, Moment, Scene, State  # noqa: E402
from driving.source.bodies import body  # noqa: E402
from driving.source.mesh import transformed  # noqa: E402
from driving.source.panda import PandaSource  # noqa: E402
from driving.source.record import actions, to_episode  # noqa: E402

DAY, NIGHT = Ambience(), Ambience(sun_elevation=-30)


def straight(bare: bool = False) -> Road:
    """200 m along x with everything that a road can have; bare: without what stands beside it."""
    line = np.stack([np.arange(-100.0, 101), np.zeros(201)], 1)
    lane = lambda k, y: Lane(id=k, centre=line + (0, y), width=3.5, speed_limit=13.0)  # noqa: E731
    full = Road(
        name="test",
        kind="straight",
        lanes={0: lane(0, 0.0), 1: lane(1, 3.5)},
        drivable=box(-100, -1.75, 100, 5.25),
        walkways=box(-100, -4, 100, -1.75).union(box(-100, 5.25, 100, 8)),
        crossings=(box(20, -1.75, 23, 5.25),),
        markings=(
            Marking(line=line + (0, 1.75), kind="dashed"),
            Marking(line=line + (0, -1.7), kind="solid"),
            Marking(line=line + (0, -1.75), kind="curb"),
            Marking(line=line[:20] + (0, 5.0), kind="double", colour="yellow"),
        ),
        signals={0: Signal(id=0, position=(25.0, -2.5, 4.0), yaw=math.pi, phases=(("green", 5.0), ("red", 5.0)))},
        buildings=(Building(footprint=Polygon([(10, -20), (40, -20), (40, -8), (10, -8)]), height=12, colour=(170, 120, 90)),),
        plants=(Plant(position=(8, -6), height=6, kind="broad"), Plant(position=(-8, 10), height=7, kind="conifer")),
        lamps=((0.0, -3.0),),
    )
    return replace(full, signals={}, buildings=(), plants=(), lamps=()) if bare else full


def actor(category: str = "car", number: int = 0, **changes: object) -> Actor:
    return Actor(id=number, category=category, size=CATEGORIES[category].size, colour=(200, 40, 40), **changes)  # type: ignore[arg-type]


def moment(*others: tuple[Actor, State], time: float = 0.0) -> Moment:
    return Moment(time, State(0, 0, 0, 5), others)


@pytest.fixture(scope="module")
def source():
    out = PandaSource()
    yield out
    out.close()


def shown(source: PandaSource, at: Moment, ambience: Ambience = DAY, road: Road | None = None, rig: Rig | None = None):
    source.begin(road or straight(), rig or nuscenes_rig(), ambience, 3)
    return source.show(at)


CAR_AHEAD = (actor(), State(15, 0, 0.4, 5))


def test_six_cameras_of_the_promised_kinds(source: PandaSource):
    images = shown(source, moment(CAR_AHEAD))
    assert images.colour.shape == (6, 72, 128, 3) and images.colour.dtype == np.uint8
    assert images.depth.shape == (6, 72, 128) and images.depth.dtype == np.float32
    assert images.ids is not None and images.ids.dtype == np.int32
    assert np.isinf(images.depth[0, 0]).any() and (images.depth > 0).all()


@pytest.mark.parametrize("ambience", [DAY, Ambience(rain=1, snow=0.5, fog=0.3, sun_elevation=-20)])
def test_pictures_repeat_bit_for_bit(source: PandaSource, ambience: Ambience):
    walker = (actor("pedestrian", 1), State(8, -2, 1.0, 1.4))
    first = shown(source, moment(CAR_AHEAD, walker), ambience)
    source.begin(straight(), nuscenes_rig(), ambience, 3)
    for k in range(3):
        source.show(moment((actor("bus", 2), State(-10 + k, 3.5, 0, 5)), time=k / 10))
    later = source.show(moment(CAR_AHEAD, walker))
    for name in ("colour", "depth", "ids"):
        np.testing.assert_array_equal(getattr(first, name), getattr(later, name))


def test_depth_of_the_flat_road_is_the_analytic_distance(source: PandaSource):
    rig = nuscenes_rig()
    images = shown(source, moment(), road=straight(bare=True), rig=rig)
    intrinsics, poses = rig.intrinsics(), rig.poses(0, 0, 0)
    for view in range(len(rig.cameras)):
        for row in (45, 55, 71):
            for column in (3, 64, 120):
                pixel = np.array([column + 0.5, row + 0.5, 1.0])
                ray = poses[view, :3, :3] @ np.linalg.inv(intrinsics[view]) @ pixel
                assert images.depth[view, row, column] == pytest.approx(-poses[view, 2, 3] / ray[2], rel=1e-3)


def test_depth_of_a_body_is_that_of_its_face(source: PandaSource):
    truck = (actor("truck"), State(20, 0, 0, 5))
    images = shown(source, moment(truck), road=straight(bare=True))
    assert images.ids is not None and images.ids[0, 30, 64] == 1
    assert images.depth[0, 30, 64] == pytest.approx(20 - CATEGORIES["truck"].size[1] / 2 - 1.70, abs=0.05)


@pytest.mark.parametrize("category", ["car", "truck", "pedestrian", "bicycle"])
@pytest.mark.parametrize("yaw", [0.0, 0.9])
def test_ids_fill_the_projected_box_and_nothing_outside(source: PandaSource, category: str, yaw: float):
    seen, rig = actor(category, 4), nuscenes_rig()
    images = shown(source, moment((seen, State(13, 0.5, yaw, 1))), road=straight(bare=True), rig=rig)
    assert images.ids is not None
    width, length, height = seen.size
    corners = np.array([(x, y, z) for x in (-length / 2, length / 2) for y in (-width / 2, width / 2) for z in (0, height)])
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
    to_camera = np.linalg.inv(rig.poses(0, 0, 0)[0].astype(float))
    camera = transformed(corners @ turn.T + (13, 0.5, 0), to_camera) @ rig.intrinsics()[0].T
    pixels = camera[:, :2] / camera[:, 2:]
    low, high = pixels.min(0), pixels.max(0)
    rows, columns = np.nonzero(images.ids[0] == 5)
    assert (columns + 0.5 > low[0] - 1).all() and (columns + 0.5 < high[0] + 1).all()
    assert (rows + 0.5 > low[1] - 1).all() and (rows + 0.5 < high[1] + 1).all()
    assert rows.max() + 1 > high[1] - 4 and rows.min() < low[1] + 3
    if category in ("car", "truck"):
        assert columns.min() < low[0] + 2 and columns.max() + 1 > high[0] - 2


def test_a_leaving_actor_disappears(source: PandaSource):
    shown(source, moment(CAR_AHEAD))
    images = source.show(moment(time=0.1))
    assert images.ids is not None and not images.ids.any()


def test_night_is_darker_and_windows_are_lit(source: PandaSource):
    day, night = shown(source, moment(), DAY).colour, shown(source, moment(), NIGHT).colour
    assert night.mean() < 0.5 * day.mean()
    assert night.max() > 200


def test_fog_hides_the_far(source: PandaSource):
    far = moment((actor("bus"), State(60, 0, 0, 5)))
    contrast = []
    for fog in (0.0, 1.0):
        images = shown(source, far, Ambience(fog=fog), straight(bare=True))
        assert images.ids is not None
        seen, rest = images.colour[0][images.ids[0] == 1], images.colour[0][20:34, :40].reshape(-1, 3)
        contrast.append(np.abs(seen.mean(0) - rest.mean(0)).max())
    assert contrast[1] < 0.15 * contrast[0]


def test_snow_is_brighter_than_grass_and_rain_darkens_the_road(source: PandaSource):
    plain, snow, rain = (
        shown(source, moment(), a, straight(bare=True)).colour
        for a in (Ambience(cloud=1), Ambience(cloud=1, snow=1), Ambience(cloud=1, rain=1))
    )
    beside = np.s_[1, 50:]
    assert snow[beside].mean() > plain[beside].mean() + 20
    assert rain[0, 60:, 50:80].mean() < plain[0, 60:, 50:80].mean()


def test_the_sun_is_where_the_ambience_says(source: PandaSource):
    into, away = (
        shown(source, moment(), Ambience(sun_elevation=8, sun_azimuth=a), straight(bare=True)).colour[0] for a in (0, 180)
    )
    assert into[:30].mean() > away[:30].mean() + 15


def test_signals_follow_their_phases(source: PandaSource):
    rig = Rig(cameras=(Camera(name="tele", position=(1.5, -2.5, 4.0), yaw=0, focal=4.0),))
    green, red = shown(source, moment(), rig=rig).colour[0].astype(int), source.show(moment(time=6.0)).colour[0].astype(int)
    assert ((green[..., 1] - green[..., 0]) > 120).any() and not ((green[..., 0] - green[..., 1]) > 150).any()
    assert ((red[..., 0] - red[..., 1]) > 150).any() and not ((red[..., 1] - red[..., 0]) > 120).any()


def test_brake_lights_tell_of_deceleration(source: PandaSource):
    ahead = lambda v, t: moment((actor(), State(10, 0, 0, v)), time=t)  # noqa: E731
    steady, braking = [], []
    for speeds, out in (((8.0, 8.0), steady), ((8.0, 7.5), braking)):
        source.begin(straight(bare=True), nuscenes_rig(), NIGHT, 0)
        out += [source.show(ahead(v, k / 10)).colour[0] for k, v in enumerate(speeds)]
    assert braking[1][..., 0].max() > steady[1][..., 0].max() + 20
    np.testing.assert_array_equal(steady[0], braking[0])


def test_another_rig(source: PandaSource):
    rig = Rig(cameras=(Camera(name="one", position=(1, 0, 2), yaw=30, focal=1.2, pitch=10),), width=96, height=48)
    images = shown(source, moment((actor(), State(12, 6.5, 0, 5))), rig=rig)
    assert images.colour.shape == (1, 48, 96, 3) and images.ids is not None and (images.ids == 1).sum() > 50


@pytest.mark.parametrize("category", list(CATEGORIES))
def test_every_body_fits_its_box_at_every_step(category: str):
    built = body(actor(category))
    width, length, height = CATEGORIES[category].size
    for x in np.linspace(0, 5, 12):
        poses = built.pose(State(x, 0, 0, 2.0))
        points = np.concatenate([transformed(p.mesh.triangles, m).reshape(-1, 3) for p, m in zip(built.parts, poses)])
        half = np.abs(points - (x, 0, 0)).max(0)
        assert half[0] <= length / 2 + 0.05 and half[1] <= width / 2 + 0.05
        assert points[:, 2].min() >= -0.03 and points[:, 2].max() <= height + 0.03
    assert half[0] >= 0.15 * length and points[:, 2].max() >= 0.9 * height
    assert 10 <= sum(len(p.mesh) for p in built.parts) <= 400


def test_walkers_walk(source: PandaSource):
    built = body(actor("pedestrian"))
    legs = [built.pose(State(x, 0, 0, 1.4))[1] for x in (0.0, 0.3)]
    assert not np.allclose(legs[0][:3, :3], legs[1][:3, :3])
    still = [built.pose(State(x, 0, 0, 0.0))[1] for x in (0.0, 0.3)]
    np.testing.assert_allclose(still[0][:3, :3], still[1][:3, :3])


def test_ground_is_covered_exactly():
    from driving.source.scenery import ground

    road = straight(bare=True)
    asphalt = [m for m in ground(road) if len(m) and m.surface[0] == 2]
    a, b = (asphalt[0].triangles[:, k, :2] - asphalt[0].triangles[:, 0, :2] for k in (1, 2))
    areas = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    assert (areas > 0).all() and areas.sum() == pytest.approx(road.drivable.area, rel=1e-5)


def test_an_episode_of_a_scene(source: PandaSource):
    steps = 4
    x = np.arange(steps) * 0.5
    ego = np.stack([x, np.zeros(steps), np.zeros(steps), np.full(steps, 5.0)], 1)
    scene = Scene(
        name="a", road=straight(), rig=nuscenes_rig(), ambience=DAY, ego=ego, actors=(actor(),), text="a car", scenario="test",
        tracks=np.stack([[ [15 + v, 0, 0, 5] for v in x ]]),
    )  # fmt: skip
    episode = to_episode(scene, source)
    assert episode.frames.shape == (steps, 6, 72, 128, 3) and episode.action.shape == (steps, 2)
    assert episode.depth is not None and episode.depth.dtype == np.float16 and (episode.depth == 0).any()
    np.testing.assert_allclose(episode.action, [[5, 0]] * steps, atol=1e-5)
    assert episode.metadata == {"source": "panda", "scenario": "test", "seed": "0", "road": "straight"}
    assert LineString(ego[:, :2]).length == pytest.approx(episode.action[:-1, 0].sum() / 10)


def test_actions_of_a_turn_and_of_reversing():
    yaw = np.linspace(3.0, 3.4, 5)  # across the half turn
    ego = np.stack([np.cumsum(-np.cos(yaw)) * 0.2, np.cumsum(-np.sin(yaw)) * 0.2, (yaw + np.pi) % (2 * np.pi) - np.pi, yaw], 1)
    found = actions(ego)
    np.testing.assert_allclose(found[:, 1], 1.0, atol=1e-5)
    np.testing.assert_allclose(found[:, 0], -2.0, atol=0.02)
