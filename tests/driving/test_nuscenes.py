"""nuScenes in and out: what is written is what is read, by us and by the official devkit."""

import errno
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, Polygon

from core.errors import ZoetropeError
from driving.nuscenes import lidar, maps, view
from driving.nuscenes.check import official_detection, perfect_predictions
from driving.nuscenes.geometry import box_corners, box_pose, quaternion, rotation, yaw_of, yaw_quaternion
from driving.nuscenes.read import Dataset
from driving.nuscenes.roads import SPEED_LIMIT, follow
from driving.nuscenes.tables import KEYFRAME, TABLES, token
from driving.nuscenes.write import VERSION, DatasetWriter
from driving.rig import Camera, Rig, nuscenes_rig
from driving.road.build import build
from driving.road.lines import headings, lengths
from driving.road.network import Lane, Road
from driving.scene import CATEGORIES, RATE, Actor, Ambience, Event, Images, Scene

FRAMES = 12
ROAD = build("junction", 3, lanes=2)


def drive(lane: int, start: float, speed: float, left: float = 0.0, frames: int = FRAMES) -> np.ndarray:
    """(T, 4) along a lane of ROAD."""
    centre = ROAD.lanes[lane].centre
    along = start + speed * np.arange(frames) / RATE
    x, y, yaw = (np.interp(along, lengths(centre), v) for v in (*centre.T, headings(centre)))
    return np.stack([x - left * np.sin(yaw), y + left * np.cos(yaw), yaw, np.full(frames, speed)], 1)


def make_scene(name: str = "one", frames: int = FRAMES, rig: Rig | None = None) -> Scene:
    """One of every kind of actor around the ego, none hidden by another; the ball leaves half way."""
    actors, tracks = [], []
    for i, category in enumerate(CATEGORIES):
        size = CATEGORIES[category].size
        actors.append(Actor(id=i, category=category, size=size, colour=(10 * i, 90, 200), parked=category == "van"))
        ring = 9.0 + 3.5 * (i % 5)
        angle = 2 * math.pi * i / len(CATEGORIES)
        track = drive(0, 60 + ring * math.cos(angle), 0.0 if category == "van" else 5.0, ring * math.sin(angle), frames)
        if category == "van":
            track[:] = track[0]
        if category == "ball":
            track[frames // 2 :] = np.nan
        tracks.append(track)
    return Scene(
        name=name,
        road=ROAD,
        rig=rig or nuscenes_rig(64, 36),
        ambience=Ambience(rain=0.3, sun_elevation=-10),
        ego=drive(0, 60, 5.0, frames=frames),
        actors=tuple(actors),
        tracks=np.stack(tracks),
        events=(Event(name="cut_in", frame=3, actor=2),),
        text="a van in the rain",
        scenario="cut_in",
        seed=7,
    )


def show(scene: Scene, t: int, ids: bool = True) -> Images:
    """Boxes on flat ground, cast ray by ray."""
    moment, rig = scene.moment(t), scene.rig
    shape = (len(rig.cameras), rig.height, rig.width)
    depth, seen, colour = np.full(shape, np.inf), np.zeros(shape, np.int32), np.full((*shape, 3), 150, np.uint8)
    poses = rig.poses(moment.ego.x, moment.ego.y, moment.ego.yaw).astype(np.float64)
    for v, (k, pose) in enumerate(zip(rig.intrinsics(), poses)):
        rays = lidar.pixel_rays(rig.width, rig.height, k) @ pose[:3, :3].T
        with np.errstate(divide="ignore"):
            ground = -pose[2, 3] / rays[..., 2]
        depth[v] = np.where(ground > 0, ground, np.inf)
        for actor, state in moment.actors:
            box = box_pose(state.x, state.y, state.yaw, actor.size[2])
            half = np.array([actor.size[1], actor.size[0], actor.size[2]]) / 2
            with np.errstate(divide="ignore"):
                ends = (np.array([-half, half])[:, None, None] - (pose[:3, 3] - box[:3, 3]) @ box[:3, :3]) / (
                    rays @ box[:3, :3]
                )
            enter, leave = ends.min(0).max(-1), ends.max(0).min(-1)
            hit = (enter < leave) & (enter > 0.1) & (enter < depth[v])
            depth[v][hit], seen[v][hit], colour[v][hit] = enter[hit], actor.id + 1, actor.colour
    return Images(colour, depth.astype(np.float32), seen if ids else None)


def every(scene: Scene, ids: bool = True) -> list[Images]:
    return [show(scene, t, ids) for t in range(len(scene))]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, scene: Scene) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    writer = DatasetWriter(folder)
    shown = every(scene)
    writer.add(scene, shown)
    writer.add(replace(scene, name="two"), [replace(images, ids=None) for images in shown], split="held-out")
    writer.finish()
    return folder


# Geometry


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 1e-2))
def test_quaternions_survive_the_matrix_and_back(q):
    matrix = rotation(q)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    again = quaternion(matrix)
    assert np.isclose(np.linalg.norm(again), 1) and again[0] >= 0
    assert np.allclose(rotation(again), matrix, atol=1e-12)


@given(st.floats(-50, 50))
def test_yaw_survives_the_quaternion(yaw):
    assert abs(math.remainder(yaw_of(yaw_quaternion(yaw)) - yaw, 2 * math.pi)) < 1e-9


def test_a_box_stands_on_the_ground_and_looks_ahead():
    corners = box_corners(box_pose(10, 20, math.pi / 2, 2.0), (1.0, 4.0, 2.0))
    assert np.allclose(corners[0], (9.5, 22, 0)) and np.allclose(corners[5], (10.5, 22, 2))


@given(st.sets(st.tuples(st.text(max_size=6), st.integers(0, 9)), min_size=2, max_size=30))
def test_tokens_differ_and_repeat(parts):
    found = {token(*p) for p in parts}
    assert len(found) == len({tuple(map(str, p)) for p in parts}) and all(len(t) == 32 for t in found)
    assert found == {token(*p) for p in parts}


# What is written


def test_records_point_at_each_other_and_at_files(dataset, scene):
    data = Dataset(dataset)
    tokens = {name: [r["token"] for r in data.table(name)] for name in TABLES}
    assert all(len(set(t)) == len(t) for t in tokens.values())
    for name in TABLES:
        for record in data.table(name):
            for field, value in record.items():
                kind = field.removesuffix("_token").removesuffix("_tokens")
                kind = {"first_sample": "sample", "last_sample": "sample"}.get(kind, kind)
                kind = "sample_annotation" if kind.endswith("_annotation") else kind
                for one in [value] if isinstance(value, str) else value if field.endswith("tokens") else ():
                    if kind in TABLES and field != "token" and field.endswith(("token", "tokens")):
                        assert one in tokens[kind], (name, field)
                if field in ("prev", "next") and value:
                    assert data.get(name, value)["next" if field == "prev" else "prev"] == record["token"]
    for record in data.table("sample_data"):
        assert (dataset / record["filename"]).is_file()
        assert record["filename"].startswith("samples" if record["is_key_frame"] else "sweeps")
    cameras = 2 * len(scene.rig.cameras) * len(scene)
    keyframes = 2 * len(range(0, len(scene), KEYFRAME))
    assert len(tokens["sample_data"]) == cameras + keyframes and len(tokens["sample"]) == keyframes
    assert len(tokens["map"]) == 1  # both scenes are on one road
    assert json.loads((dataset / VERSION / "splits.json").read_text()) == {"all": ["one"], "held-out": ["two"]}


def test_points_lie_on_ground_and_bodies(scene):
    points = lidar.point_cloud(show(scene, 0), scene.rig)
    assert points.dtype == np.float32 and points.shape[1] == 5
    assert len(points) > 1000 and set(points[:, 4].astype(int)) <= set(range(32))
    assert (points[:, 2] + lidar.POSITION[2] > -1e-3).all()
    car = scene.actors[0]
    x, y, yaw, _ = scene.tracks[0, 0]
    ahead = scene.ego[0]
    world = np.stack([points[:, 1] + lidar.POSITION[0], -points[:, 0], points[:, 2] + lidar.POSITION[2]], 1)
    turn = rotation(yaw_quaternion(ahead[2]))
    assert lidar.points_in_box(world @ turn.T + [*ahead[:2], 0], box_pose(x, y, yaw, car.size[2]), car.size) > 10


def test_hidden_actors_are_left_out_and_half_hidden_ones_marked(tmp_path):
    behind = np.stack([drive(0, 75, 0, 0), drive(0, 95, 0, 0.0), drive(0, 95, 0, 5.3), drive(0, 160, 0, 8.0)])
    size = CATEGORIES["car"].size
    actors = [Actor(id=0, category="bus", size=CATEGORIES["bus"].size, colour=(9, 9, 9))]
    actors += [Actor(id=i, category="car", size=size, colour=(99, 9, 9)) for i in (1, 2, 3)]
    scene = replace(make_scene(frames=FRAMES, rig=nuscenes_rig(128, 72)), actors=tuple(actors), tracks=behind, events=())
    scene = replace(scene, ego=scene.ego[:1], tracks=behind[:, :1])
    for ids in (True, False):
        writer = DatasetWriter(tmp_path / str(ids))
        writer.add(scene, every(scene, ids))
        writer.finish()
        data = Dataset(tmp_path / str(ids))
        levels = {data.get("instance", n["instance_token"])["zoetrope"]["actor"]: n for n in data.table("sample_annotation")}
        assert set(levels) == {0, 2}  # 1 stands behind the bus, 3 too far away
        assert levels[0]["visibility_token"] == "4" and levels[2]["visibility_token"] in ("1", "2", "3")


def test_the_mask_lies_where_the_devkit_looks(scene):
    mask, origin = maps.mask(ROAD), maps.origin(ROAD)
    for x, y, _, _ in scene.ego:
        column, row = round((x + origin[0]) / maps.PIXEL), round(len(mask) - (y + origin[1]) / maps.PIXEL)
        assert mask[row, column] == 255
    assert mask[0].max() == 0 and 0.05 < (mask > 0).mean() < 0.6


# What is read


def test_a_scene_survives_the_dataset(dataset, scene):
    recording = Dataset(dataset).read("one")
    again, episode = recording.scene, recording.episode
    last = (len(scene) - 1) // KEYFRAME * KEYFRAME + 1
    assert len(again) == len(episode) == last
    assert np.allclose(again.ego[:, :3], scene.ego[:last, :3], atol=1e-4)
    assert np.allclose(again.ego[:, 3], scene.ego[:last, 3], atol=0.05)
    poses = np.stack([scene.rig.poses(*scene.ego[t, :3]) for t in range(last)])
    assert episode.pose is not None and episode.intrinsics is not None
    assert np.allclose(episode.pose, poses, atol=1e-3) and np.allclose(episode.intrinsics, scene.rig.intrinsics(), atol=1e-4)
    assert [a.category for a in again.actors] == [a.category for a in scene.actors]
    for i, (mine, theirs) in enumerate(zip(scene.actors, again.actors)):
        assert (mine.colour, mine.parked) == (theirs.colour, theirs.parked) and np.allclose(mine.size, theirs.size)
        for t in range(0, last, KEYFRAME):
            if np.isfinite(again.tracks[i, t]).all():
                assert np.allclose(again.tracks[i, t, :2], scene.tracks[i, t, :2], atol=0.01)
                assert abs(math.remainder(again.tracks[i, t, 2] - scene.tracks[i, t, 2], 2 * math.pi)) < 1e-4
    ball = [a.category for a in again.actors].index("ball")
    assert np.isfinite(again.tracks[ball, 0]).all() and np.isnan(again.tracks[ball, -1]).all()
    assert (again.text, again.scenario, again.seed, again.events) == (scene.text, scene.scenario, scene.seed, scene.events)
    assert again.ambience == scene.ambience
    for mine, theirs in zip(scene.rig.cameras, again.rig.cameras):
        assert mine.name == theirs.name and np.allclose(mine.position, theirs.position, atol=1e-5)
        assert abs(math.remainder(mine.yaw - theirs.yaw, 360)) < 1e-3 and abs(mine.focal - theirs.focal) < 1e-4
    frame = np.abs(episode.frames[3].astype(int) - show(scene, 3).colour)
    assert frame.mean() < 6  # JPEG


def test_a_road_survives_the_map(dataset):
    road = Dataset(dataset).read("one").scene.road
    assert (road.name, road.kind, len(road.lanes)) == (ROAD.name, ROAD.kind, len(ROAD.lanes))
    assert road.drivable.symmetric_difference(ROAD.drivable).area < 1
    assert road.walkways.symmetric_difference(ROAD.walkways).area < 1
    assert len(road.crossings) == len(ROAD.crossings) and len(road.signals) == len(ROAD.signals)
    for lane in ROAD.lanes.values():
        twin = min(
            road.lanes.values(),
            key=lambda x: np.hypot(*(x.centre[0] - lane.centre[0])) + np.hypot(*(x.centre[-1] - lane.centre[-1])),
        )
        assert np.hypot(*(twin.centre[-1] - lane.centre[-1])) < 0.01
        assert (twin.junction, len(twin.successors)) == (lane.junction, len(lane.successors))
        assert (twin.signal is None) == (lane.signal is None) and twin.speed_limit == lane.speed_limit
        assert [(n is None) for n in (twin.left, twin.right, twin.opposite)] == [
            (n is None) for n in (lane.left, lane.right, lane.opposite)
        ]
    kinds = Counter(m.kind for m in ROAD.markings)
    assert {k: v for k, v in Counter(m.kind for m in road.markings).items() if k != "curb"} == {
        k: v for k, v in kinds.items() if k != "curb"
    }
    assert {s.phases for s in road.signals.values()} == {s.phases for s in ROAD.signals.values()}


def test_a_real_recording_needs_none_of_our_own_fields(dataset, tmp_path):
    """Format-true data: our own notes gone, cameras and keyframes out of step, pictures of another size asked for."""
    import shutil

    shutil.copytree(dataset, tmp_path / "real")
    tables = tmp_path / "real" / VERSION
    for path in tables.glob("*.json"):
        records = json.loads(path.read_text())
        for record in records if isinstance(records, list) else ():
            record.pop("zoetrope", None)
            if path.stem == "sample_data" and "CAM_BACK/" in record["filename"]:
                record["timestamp"] += 21_000
            if path.stem == "scene":
                record["description"] = "Night, rain, parked cars"
        path.write_text(json.dumps(records))
    (vectors,) = (tmp_path / "real" / "maps" / "expansion").iterdir()
    city = json.loads(vectors.read_text(), object_hook=lambda record: {k: v for k, v in record.items() if k != "zoetrope"})
    vectors.write_text(json.dumps(city))
    lanes = Dataset(tmp_path / "real").read("two", 32, 16).scene.road.lanes
    assert len(lanes) > 4 and {lane.speed_limit for lane in lanes.values()} == {SPEED_LIMIT}
    assert all(abs(lane.width - ROAD.lanes[0].width) < 0.1 for lane in lanes.values() if not lane.junction)
    vectors.unlink()
    recording = Dataset(tmp_path / "real").read("one", 32, 16)
    assert recording.episode.frames.shape[1:] == (6, 16, 32, 3)
    assert recording.scene.ambience.night and recording.scene.ambience.rain > 0
    assert not recording.scene.road.lanes
    assert "van" in {a.category for a in recording.scene.actors if a.parked}
    assert recording.episode.intrinsics is not None
    assert np.allclose(recording.episode.intrinsics[0, :2, 2], (16, 8))


def test_what_is_missing_is_named(dataset, tmp_path):
    import shutil

    shutil.copytree(dataset, tmp_path / "broken")
    with pytest.raises(ZoetropeError, match="no scene 'three'; there are one, two"):
        Dataset(dataset).read("three")
    with pytest.raises(ZoetropeError, match="expected one version"):
        Dataset(tmp_path)
    picture = next((tmp_path / "broken" / "samples" / "CAM_BACK").iterdir())
    picture.write_bytes(b"no picture")
    with pytest.raises(ZoetropeError, match=picture.name):
        for name in ("one", "two"):
            Dataset(tmp_path / "broken").read(name)
    (tmp_path / "broken" / VERSION / "instance.json").unlink()
    with pytest.raises(ZoetropeError, match="instance.json: missing"):
        Dataset(tmp_path / "broken").read("one")
    (tmp_path / "broken" / VERSION / "sample.json").write_text("[{")
    with pytest.raises(ZoetropeError, match="sample.json: not readable"):
        Dataset(tmp_path / "broken").read("one")


# Resuming, sharding, failing


@pytest.fixture(scope="module")
def small() -> Scene:
    rig = Rig(cameras=(Camera(name="CAM_FRONT", position=(1.7, 0, 1.5), yaw=0, focal=0.8),), width=32, height=16)
    centre = np.stack([np.linspace(0, 40, 41), np.zeros(41)], 1)
    road = Road(
        name="lane",
        kind="straight",
        lanes={0: Lane(id=0, centre=centre, width=3.5, speed_limit=10.0)},
        drivable=LineString(centre).buffer(3),
        walkways=Polygon(),
    )
    along = np.stack([5 + np.arange(7.0), np.zeros(7), np.zeros(7), np.full(7, 10.0)], 1)
    car = Actor(id=0, category="car", size=CATEGORIES["car"].size, colour=(200, 30, 30))
    still = Ambience()
    return Scene(name="small", road=road, rig=rig, ambience=still, ego=along, actors=(car,), tracks=along[None] + [12, 0, 0, 0])


@settings(max_examples=12, deadline=None)
@given(cut=st.integers(0, 30))
def test_a_run_that_was_cut_off_ends_with_the_same_bytes(tmp_path_factory, small, cut):
    """Killed after any number of files, in the middle of the next one."""
    scenes = [replace(small, name=n) for n in ("a", "b")]
    shown = every(small)

    def run(folder: Path) -> None:
        writer = DatasetWriter(folder)
        for scene in scenes:
            writer.add(scene, iter(shown))
        writer.finish()

    whole, part = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("part")
    run(whole)

    class Killed(BaseException):
        pass

    real, left = Path.write_bytes, [cut]

    def dying(self: Path, data: bytes) -> int:
        if left[0] == 0:
            real(self, data[: len(data) // 2])
            raise Killed
        left[0] -= 1
        return real(self, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", dying)
        try:
            run(part)
        except Killed:
            assert DatasetWriter(part).scenes() in ([], ["a"], ["a", "b"])
    run(part)
    assert files(part) == files(whole)


def test_shards_in_any_order_make_the_same_dataset(tmp_path, small):
    shown = every(small)
    for folder, order in (("x", "abc"), ("y", "cab")):
        for name in order:
            DatasetWriter(tmp_path / folder).add(replace(small, name=name), shown)
            DatasetWriter(tmp_path / folder).finish()
    assert files(tmp_path / "x") == files(tmp_path / "y")
    assert len(Dataset(tmp_path / "x").table("map")) == 1


def test_a_finished_scene_is_not_asked_for_again(tmp_path, small):
    writer = DatasetWriter(tmp_path)
    assert not writer.has("small")
    (tmp_path / ".parts").mkdir()
    (tmp_path / ".parts" / ".small.k3x.json").write_text("{")  # what a killed process leaves
    assert writer.scenes() == []
    writer.add(small, every(small))
    assert writer.has("small")
    writer.add(small, (pytest.fail("rendered again") for _ in range(1)))


def test_bad_input_is_one_line(tmp_path, small, monkeypatch):
    writer = DatasetWriter(tmp_path)
    with pytest.raises(ZoetropeError, match="no scenes"):
        writer.finish()
    with pytest.raises(ZoetropeError, match="3 pictures for 7 frames"):
        writer.add(small, every(small)[:3])
    with pytest.raises(ZoetropeError, match="'a/b' is no file name"):
        writer.add(replace(small, name="a/b"), [])
    with pytest.raises(ZoetropeError, match="split 'val'"):
        writer.add(small, [], split="val")
    with pytest.raises(ZoetropeError, match="frame 0: expected pictures"):
        writer.add(small, every(replace(small, rig=replace(small.rig, width=48))))
    (tmp_path / "file").write_text("")
    with pytest.raises(ZoetropeError, match="cannot be written"):
        DatasetWriter(tmp_path / "file").add(small, every(small))

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ZoetropeError, match="No space left.*finished scenes are kept"):
        writer.add(small, every(small))
    assert not writer.has("small")


# Looking


def test_sheet_and_video_show_the_scene(dataset, tmp_path, small):
    import cv2

    from core.episodes.video import read_video

    view.contact_sheet(dataset, "one", tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None and sheet.std() > 10
    writer = DatasetWriter(tmp_path / "small")
    writer.add(small, every(small))
    writer.finish()
    view.scene_video(tmp_path / "small", "small", tmp_path / "scene.mp4")
    frames, rate = read_video(tmp_path / "scene.mp4")
    assert len(frames) == 6 and rate == RATE
    above = view.Page(small.road, ["CAM_FRONT"]).above(small.moment(0), 160)
    ahead = 80 - round(12 / view.SPAN * 160)  # the car stands 12 m ahead, that is above the middle
    assert tuple(above[ahead + 2, 80]) == tuple(c // 2 for c in view.colour_of("car")) != tuple(above[80 + 24, 80])


# The official devkit


@pytest.fixture(scope="module")
def official(dataset):
    nuscenes = pytest.importorskip("nuscenes")
    pytest.importorskip("matplotlib").use("Agg")
    return nuscenes.NuScenes(version=VERSION, dataroot=str(dataset), verbose=False)


def test_the_devkit_loads_lists_and_renders(official, tmp_path, capsys):
    official.list_scenes()
    assert "a van in the rain" in capsys.readouterr().out
    official.render_sample(official.sample[0]["token"], out_path=str(tmp_path / "sample.png"), verbose=False)
    assert (tmp_path / "sample.png").stat().st_size > 10_000


def test_the_devkit_agrees_with_our_reader(official, dataset):
    episode = Dataset(dataset).read("one").episode
    classes = pytest.importorskip("nuscenes.utils.data_classes")
    geometry = pytest.importorskip("nuscenes.utils.geometry_utils")
    turn = pytest.importorskip("pyquaternion").Quaternion
    origin = np.array([*maps.origin(ROAD), 0])
    first = next(s for s in official.scene if s["name"] == "one")["first_sample_token"]
    sample = official.get("sample", first)
    for v, camera in enumerate(nuscenes_rig().cameras):
        data = official.get("sample_data", sample["data"][camera.name])
        pose, mount = (official.get(n, data[f"{n}_token"]) for n in ("ego_pose", "calibrated_sensor"))
        matrices = [geometry.transform_matrix(r["translation"], turn(r["rotation"])) for r in (pose, mount)]
        expected = matrices[0] @ matrices[1]
        expected[:3, 3] -= origin
        assert episode.pose is not None and np.allclose(episode.pose[0, v], expected, atol=1e-4)
    path, boxes, _ = official.get_sample_data(sample["data"]["LIDAR_TOP"])
    points = classes.LidarPointCloud.from_file(path).points[:3].astype(np.float64)
    counted = 0
    for box in boxes:
        grown = classes.Box(box.center, box.wlh + np.array([2, 2, 0]) * lidar.SURFACE, box.orientation)
        grown.translate(np.array([0, 0, lidar.SURFACE]))
        counted += official.get("sample_annotation", box.token)["num_lidar_pts"]
        assert geometry.points_in_box(grown, points).sum() == official.get("sample_annotation", box.token)["num_lidar_pts"]
    assert counted > 100


def test_the_devkit_queries_the_map(official, dataset, scene):
    map_api = pytest.importorskip("nuscenes.map_expansion.map_api")
    location = official.log[0]["location"]
    map_api.locations.append(location)
    try:
        vectors = map_api.NuScenesMap(dataroot=str(dataset), map_name=location)
    finally:
        map_api.locations.remove(location)
    x, y = scene.ego[0, :2] + maps.origin(ROAD)
    layers = vectors.layers_on_point(x, y)
    assert all(layers[name] for name in ("drivable_area", "road_segment", "road_block", "lane"))
    assert vectors.get_closest_lane(x, y) == layers["lane"] and vectors.get_outgoing_lane_ids(layers["lane"])
    path = np.array(vectors.discretize_lanes([layers["lane"]], 0.5)[layers["lane"]])
    assert np.hypot(*(path[:, :2] - (x, y)).T).min() < 0.3
    found = vectors.get_records_in_patch((0, 0, *vectors.canvas_edge))
    assert all(
        found[name] for name in ("ped_crossing", "walkway", "stop_line", "lane_divider", "road_divider", "traffic_light")
    )
    assert official.map[0]["mask"].is_on_mask(x, y).all() and not official.map[0]["mask"].is_on_mask(1, 1).any()


@pytest.mark.parametrize("shape", ["LSL", "LSR", "RSL", "RSR", "LRL", "RLR"])
def test_curved_lanes_run_as_the_devkit_has_them(shape):
    paths = pytest.importorskip("nuscenes.map_expansion.arcline_path_utils")
    lane = [{"start_pose": [3.0, 4.0, 0.7], "shape": shape, "radius": 9.0, "segment_length": [6.3, 4.0, 8.8]}]
    line = LineString(follow(lane))
    theirs = np.array(paths.discretize_lane(lane, 0.5))[:, :2]
    assert line.hausdorff_distance(LineString(theirs)) < 0.05 and abs(line.length - 19.1) < 0.05


def test_perfect_boxes_score_one_and_wrong_ones_less(official, dataset):
    perfect = perfect_predictions(dataset, VERSION)
    score = official_detection(dataset, VERSION, "all", perfect)
    assert set(score["ap"]) == {c.detection for c in CATEGORIES.values()} - {None}
    assert all(ap == pytest.approx(1.0) for ap in score["ap"].values()), score["ap"]
    assert all(error["trans_err"] == pytest.approx(0, abs=1e-6) for error in score["errors"].values())
    moved = {t: [{**b, "translation": [b["translation"][0] + 3, *b["translation"][1:]]} for b in p] for t, p in perfect.items()}
    wrong = official_detection(dataset, VERSION, "all", moved)
    assert all(wrong["ap"][name] < 0.6 for name in score["ap"])
    with pytest.raises(ZoetropeError, match="names no split 'nothing'"):
        official_detection(dataset, VERSION, "nothing", perfect)
    with pytest.raises(ZoetropeError, match="no box for any"):
        official_detection(dataset, VERSION, "all", {})
