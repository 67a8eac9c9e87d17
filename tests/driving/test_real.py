"""Real video as episodes: lenses, clocks, motion, files as they lie on disk, complaints, and a world that trains on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from apps import cli
from core.config import to_dict
from core.episodes.episode import FACTS, Episode
from core.episodes.store import EpisodeStore
from core.episodes.video import VideoWriter
from core.streaming.world import World
from driving.nuscenes.geometry import quaternion
from driving.real import worlds
from driving.real.lens import Lens, crop
from driving.real.motion import EARTH, integrate
from driving.real.record import FrontRecordConfig, clips, read, resampled, to_episode
from driving.real.video import Frames, Video
from driving.rig import Camera, Rig
from driving.source.record import actions

RIG = Rig(width=32, height=16, cameras=(Camera(name="CAM_FRONT", position=(1.5, 0.0, 1.2), yaw=0, focal=0.8),))
CONFIG = FrontRecordConfig(rig=RIG, frames=12)
SPEED, TURN = 9.0, 0.3
STEP = 4
"""Grey levels by which each filmed frame is brighter than the one before."""


def film(path: Path, frames: int = 60, rate: float = 20, width: int = 64, height: int = 48) -> Path:
    """A video that grows brighter frame by frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, rate) as video:
        for number in range(frames):
            video.add(np.full((height, width, 3), STEP * number, np.uint8))
    return path


def numbers_in(frames: np.ndarray) -> np.ndarray:
    """Which filmed frames (T, 1, H, W, 3) shows."""
    return np.rint(frames.mean((1, 2, 3, 4)) / STEP).astype(int)


def whole(folder: Path, config: FrontRecordConfig = CONFIG) -> Episode:
    """The only recording in a folder, as one episode."""
    recordings = read(replace(config, frames=10_000, validation=0.0, test=0.0), folder)
    assert len(recordings) == 1
    (clip,) = clips(replace(config, frames=10_000, validation=0.0, test=0.0), "train", recordings)
    return to_episode(recordings[0], clip, Frames(recordings[0].video), config.rig)


def segment(folder: Path, frames: int = 60, posed: bool = True) -> Path:
    """A comma2k19 segment of a car that turns left at SPEED and TURN, looking slightly down, somewhere on the earth."""
    film(folder / "video.mp4", frames, width=96, height=72)
    times = np.arange(frames) / 20
    ego = integrate(times, np.full(frames, SPEED), np.full(frames, TURN), times)
    place = np.array([-2712087.5, -4261670.1, 3881014.5])
    up = place / np.square(EARTH) / np.linalg.norm(place / np.square(EARTH))
    east = np.cross([0, 0, 1], up) / np.linalg.norm(np.cross([0, 0, 1], up))
    local = np.stack([east, np.cross(up, east), up], 1)  # east, north, up to ECEF
    c, s, zero, one = np.cos(ego[:, 2]), np.sin(ego[:, 2]), np.zeros(frames), np.ones(frames)
    device = np.stack([np.stack([c, s, zero], 1), np.stack([s, -c, zero], 1), np.stack([zero, zero, -one], 1)], -1)
    camera = np.c_[ego[:, :2] + 1.5 * np.stack([c, s], 1), np.full(frames, 40.0)]
    logs: dict[str, np.ndarray] = {"global_pose/frame_times": 46408.5 + times}
    if posed:
        logs["global_pose/frame_positions"] = place + camera @ local.T
        logs["global_pose/frame_orientations"] = np.array([quaternion(local @ turn) for turn in device])
    clock = 46408.4 + np.arange(0, times[-1] + 0.2, 0.01)
    for name, value in (("CAN/speed", [SPEED]), ("CAN/steering_angle", 12.0), ("IMU/gyro", [0.0, 0.0, -TURN])):
        logs[f"processed_log/{name}/t"] = clock
        logs[f"processed_log/{name}/value"] = np.broadcast_to(value, (len(clock), *np.shape(value)))
    for name, values in logs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.save(file, values)
    return folder


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(200, 2000),
    height=st.integers(150, 1500),
    focal=st.floats(0.4, 2.0),
    wanted=st.floats(0.4, 2.0),
    off=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
)
def test_a_crop_stays_in_the_picture_and_keeps_its_shape(width, height, focal, wanted, off):
    lens = Lens(width=width, height=height, focal=focal * width, centre=(off[0] * width, off[1] * height))
    cut = crop(lens, 128, 72, wanted)
    assert min(cut.left, cut.top) >= 0 and cut.left + cut.width <= width and cut.top + cut.height <= height
    k = cut.intrinsics(lens)
    assert k[0, 0] == pytest.approx(k[1, 1], rel=0.03) and k[0, 0] > wanted * 128 * 0.98
    if k[0, 0] > wanted * 128 * 1.03:  # it saw less than is wanted: all of one side is used
        assert cut.width >= width - 1 or cut.height >= height - 1


def test_intrinsics_say_where_a_crop_shows_what_was_filmed():
    lens = Lens(width=960, height=540, focal=700.0, centre=(500.0, 250.0))
    cut = crop(lens, 128, 72, 1.1)
    assert cut.left > 0 and cut.width < 960
    picture = np.zeros((540, 960, 3), np.uint8)
    picture[200:220, 600:624] = 255
    shown = cut.apply(picture)[..., 0].astype(float)
    rows, columns = np.mgrid[:72, :128] + 0.5
    seen = np.array([(shown * columns).sum(), (shown * rows).sum()]) / shown.sum()
    ray = np.array([(612 - 500) / 700, (210 - 250) / 700, 1.0])
    np.testing.assert_allclose(cut.intrinsics(lens) @ ray, [*seen, 1.0], atol=0.1)


@settings(max_examples=40, deadline=None)
@given(speed=st.floats(-3, 30), turn=st.floats(-0.5, 0.5), rate=st.sampled_from([10, 20, 50, 100]))
def test_a_track_gives_back_the_speed_and_yaw_rate_it_was_made_from(speed: float, turn: float, rate: int):
    log, at = np.arange(0, 4 + 1e-9, 1 / rate), np.arange(1, 3, 0.1)
    track = integrate(log, np.full(len(log), speed), np.full(len(log), turn), at)
    assert track[0, :3] == pytest.approx([0, 0, 0], abs=1e-9)
    np.testing.assert_allclose(actions(track), np.tile([speed, turn], (20, 1)), atol=2e-2)


@settings(max_examples=40, deadline=None)
@given(rate=st.floats(10, 60), seconds=st.floats(1, 6))
def test_resampling_takes_ten_frames_a_second_each_once(rate: float, seconds: float):
    times = np.arange(max(2, int(rate * seconds))) / rate
    chosen = resampled(times)
    assert (np.diff(chosen) > 0).all()
    assert np.abs(times[chosen] - np.arange(len(chosen)) / 10).max() <= 0.5 / rate + 1e-6


def test_a_pause_of_the_camera_repeats_no_frame():
    times = np.r_[np.arange(20) / 20, 2.0 + np.arange(20) / 20]
    assert (np.diff(resampled(times)) > 0).all()


def test_frames_of_a_video_are_found_by_number_forwards_backwards_and_far(tmp_path: Path):
    video = Video.open(film(tmp_path / "a.mp4", frames=60, rate=25))
    assert (video.width, video.height) == (64, 48)
    np.testing.assert_allclose(video.times, np.arange(60) / 25, atol=1e-6)
    for reader in (Frames(video), Frames(replace(video, stamps=None))):
        for numbers in ([3, 4, 10], [40, 59], [10, 11], [11]):
            shown = np.stack(list(reader.read(np.array(numbers))))[:, None]
            assert numbers_in(shown).tolist() == numbers


def test_a_segment_with_poses(tmp_path: Path):
    made = whole(segment(tmp_path / "drive").parent)
    assert numbers_in(made.frames).tolist() == list(range(0, 60, 2))
    np.testing.assert_allclose(made.action, np.tile([SPEED, TURN], (30, 1)), atol=0.02)
    assert made.pose is not None and made.pose.shape == (30, 1, 4, 4) and made.depth is None
    np.testing.assert_allclose(made.pose[0, 0, :3, 3], [0, 0, 1.2], atol=1e-3)
    np.testing.assert_allclose(made.pose[0, 0, :3, :3], [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-3)
    assert made.intrinsics is not None and made.intrinsics[0, 0, 0] == pytest.approx(0.8 * 32, rel=0.05)
    assert not made.conditions[FACTS].any() and made.metadata["motion"] == "poses"


def test_a_segment_without_poses_goes_by_its_speed_and_gyroscope(tmp_path: Path):
    made = whole(segment(tmp_path / "drive", posed=False).parent)
    np.testing.assert_allclose(made.action, np.tile([SPEED, TURN], (30, 1)), atol=0.02)
    assert made.pose is not None and made.metadata["motion"] == "speed"
    np.testing.assert_allclose(made.pose[:, 0], np.stack([RIG.poses(*row[:3])[0] for row in _circle(30)]), atol=0.02)


def _circle(frames: int) -> np.ndarray:
    times = np.arange(frames) / 10
    return integrate(times, np.full(frames, SPEED), np.full(frames, TURN), times)


@pytest.mark.parametrize("clocked", [False, True])
def test_a_video_with_a_table(tmp_path: Path, clocked: bool):
    film(tmp_path / "a.mp4", frames=50, rate=25)
    rows = [f"{SPEED},{TURN}" + (f",{n / 100}" if clocked else "") for n in range(200 if clocked else 50)]
    (tmp_path / "a.csv").write_text("\n".join(["speed, yaw_rate" + (", time" if clocked else ""), *rows]))
    made = whole(tmp_path)
    assert len(made) == 20
    step = np.diff(resampled(np.arange(50) / 25)) / 25 * 10  # what is seen between two frames, as if in a tenth of a second
    np.testing.assert_allclose(made.action[:-1], np.outer(step, [SPEED, TURN]), atol=0.02)


def test_a_video_with_motion_and_lens_in_json(tmp_path: Path):
    film(tmp_path / "a.mp4", frames=30, rate=10)
    known = {"speed": [SPEED] * 30, "yaw_rate": [TURN] * 30, "focal": 80.0, "centre": [30.0, 20.0]}
    (tmp_path / "a.json").write_text(json.dumps(known))
    made = whole(tmp_path)
    np.testing.assert_allclose(made.action, np.tile([SPEED, TURN], (30, 1)), atol=0.02)
    assert made.metadata["lens"] == "known"
    assert made.intrinsics is not None and made.intrinsics[0, 0, 0] > 0.8 * 32  # filmed with a longer lens than is wanted


def test_a_video_alone_says_that_its_motion_is_unknown(tmp_path: Path):
    film(tmp_path / "below" / "a.mp4", frames=20, rate=10)
    made = whole(tmp_path)
    assert made.pose is None and not made.action.any() and made.conditions[FACTS].all()
    assert made.metadata == {"source": "below/a.mp4", "start": "0.00", "motion": "unknown", "lens": "assumed"}


def test_splits_share_no_frame_and_lose_none(tmp_path: Path):
    film(tmp_path / "a.mp4", frames=60, rate=10)
    recordings = read(CONFIG, tmp_path)
    taken = {split: [c.numbers for c in clips(CONFIG, split, recordings)] for split in ("train", "validation", "test")}
    assert np.concatenate(sum(taken.values(), [])).tolist() == list(range(60))
    assert [len(x) for x in taken.values()] == [4, 1, 1] and max(len(n) for n in taken["train"]) <= CONFIG.frames


def tiny(folder: Path, steps: int = 2) -> Path:
    """The YAML of a world that trains in a moment."""
    config = worlds.load()
    world = replace(
        config.world,
        tokenizer=replace(
            config.world.tokenizer,
            height=16,
            width=32,
            channels=8,
            encoder_widths=(8, 8, 8),
            decoder_widths=(8, 8, 8),
            blocks=1,
        ),
        backbone=replace(config.world.backbone, width=16, layers=1, heads=2, expansion=2),
    )
    train = replace(
        config.train,
        tokenizer=replace(config.train.tokenizer, steps=steps, batch=2),
        dynamics=replace(config.train.dynamics, steps=steps, batch=2),
    )
    path = folder / "driving_front_tiny.yaml"
    path.write_text(yaml.safe_dump(to_dict(replace(config, name=path.stem, record=CONFIG, world=world, train=train))))
    return path


def test_import_resume_train_and_step(tmp_path: Path, capsys):
    recordings, data, out = tmp_path / "drives", tmp_path / "data", tmp_path / "out"
    film(recordings / "a.mp4", frames=60, rate=20)
    film(recordings / "b.mp4", frames=60, rate=20)
    (recordings / "b.json").write_text(json.dumps({"speed": [SPEED] * 60, "yaw_rate": [TURN] * 60}))
    config = str(tiny(tmp_path))
    record = ["record", config, "--from", str(recordings), "--out", str(data), "--splits", "train", "--processes", "1"]
    assert cli.main(record) == 0
    store = EpisodeStore(data / "train")
    assert store.indices() == [0, 1, 2, 3]
    assert [e.conditions[FACTS].all() for e in store] == [True, True, False, False]
    kept = store.read(1).frames
    store.path(1).unlink()
    assert cli.main(record) == 0 and ": 1 new episodes" in capsys.readouterr().out
    assert (store.read(1).frames == kept).all()

    film(recordings / "c.mp4", frames=60, rate=20)
    assert cli.main(record) == 2 and "another plan" in capsys.readouterr().err

    train = ["train", config, "--data", str(data), "--run", str(tmp_path / "run"), "--out", str(out)]
    assert cli.main(train) == 0
    world = World.load(out)
    session = world.open(store.read(2).window(0, 3))
    assert session.step(np.array([SPEED, TURN], np.float32)).frame.shape == (1, 16, 32, 3)
    unknown = {FACTS: np.ones(1, np.float32)}
    assert session.step(np.zeros(2, np.float32), None, unknown).frame.shape == (1, 16, 32, 3)


def _spoil(folder: Path, how: str) -> str:
    """Recordings with one thing wrong; returns what the complaint must name."""
    if how == "no folder":
        return "no such folder"
    folder.mkdir()
    if how == "empty":
        return "no recordings here"
    if how == "not a video":
        (folder / "a.mp4").write_text("nothing")
        return "a.mp4: not readable as a video"
    if how == "slow":
        film(folder / "a.mp4", frames=10, rate=5)
        return "a.mp4: expected a video of at least 10 frames a second"
    if how.startswith("table: "):
        film(folder / "a.mp4", frames=20, rate=10)
        table, _, wanted = how.removeprefix("table: ").partition(" -> ")
        (folder / "a.csv").write_text(table.replace(";", "\n"))
        return f"a.csv: {wanted}"
    if how.startswith("json: "):
        film(folder / "a.mp4", frames=20, rate=10)
        text, _, wanted = how.removeprefix("json: ").partition(" -> ")
        (folder / "a.json").write_text(text)
        return f"a.json: {wanted}"
    made = segment(folder / "drive", frames=20)
    name, _, wanted = how.partition(" -> ")
    file = made / name
    if name.endswith("frame_positions"):
        with file.open("wb") as out:
            np.save(out, np.zeros((7, 3)))
    else:
        file.unlink()
    return wanted


@pytest.mark.parametrize(
    "how",
    [
        "no folder",
        "empty",
        "not a video",
        "slow",
        "table: speed,yaw_rate;1,0;2,0 -> 2 entries for the 20 frames of a.mp4",
        "table: speed;1 -> missing 'yaw_rate'",
        "table: speed,yaw_rate;1,x -> line 2: yaw_rate: expected a number",
        "table: speed,yaw_rate,time;1,0,0;1,nan,2 -> yaw_rate: entry 2 is nan",
        "table: speed,yaw_rate,time;1,0,0;1,0,1 -> covers 0.0 to 1.0 s",
        "table: speed,yaw_rate,time;1,0,1;1,0,1 -> time: the times do not rise",
        "json: {'speed': -> not readable as JSON",
        'json: {"pace": [1]} -> unknown key',
        'json: {"speed": [1, 2], "yaw_rate": [1]} -> columns of different lengths',
        'json: {"focal": -3.0} -> focal -3',
        "video.mp4 -> a segment without its video",
        "global_pose/frame_times -> frame_times: missing",
        "global_pose/frame_orientations -> frame_orientations: missing",
        "global_pose/frame_positions -> frame_positions: 7 entries for 20 frames",
    ],
)
def test_complaints_are_one_line_that_names_the_file(tmp_path: Path, capsys, how: str):
    wanted = _spoil(tmp_path / "drives", how)
    code = cli.main(["record", "driving_front", "--from", str(tmp_path / "drives"), "--out", str(tmp_path / "data")])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoetrope")]
    assert code == 2 and len(lines) == 1 and wanted in lines[0], lines
    assert not (tmp_path / "data").exists()


def test_only_worlds_of_real_video_are_imported(capsys, tmp_path: Path):
    assert cli.main(["record", "driving", "--from", str(tmp_path)]) == 2 and "--from" in capsys.readouterr().err
    assert cli.main(["record", "driving_front"]) == 2 and "--from" in capsys.readouterr().err
    assert cli.main(["train", "driving_front", "--data", str(tmp_path)]) == 2
    assert "zoetrope record driving_front --from FOLDER" in capsys.readouterr().err
