"""Trajectory and video from one context: the fast path, the joint path, what the head learns, and its open-loop scores."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.streaming.session import Session
from core.training.trainer import TrainConfig
from driving.geometry import to_world
from driving.planning.candidates import HORIZON
from driving.planning.joint import lessons
from driving.planning.joint.context import FRAMES, Witness, remembered, shape
from driving.planning.joint.driver import JointPlanner
from driving.planning.joint.errand import TIMES, TOLD, Errand
from driving.planning.joint.head import COMPONENTS, Head, HeadConfig
from driving.planning.joint.imagine import Joint, along
from driving.planning.joint.openloop import open_loop
from driving.planning.joint.train import train_joint
from driving.planning.loop import drive
from driving.planning.planner import checked
from driving.record import RecordConfig, SplitConfig
from driving.rig import nuscenes_rig
from driving.scene import RATE, Ambience, Images, Moment, Scene, State
from tests.driving.conftest import HEIGHT, WIDTH
from tests.driving.street import ROAD, actor, course

BEND = 60 * np.stack([np.sin(np.linspace(0, 1.4, 85)), 1 - np.cos(np.linspace(0, 1.4, 85))], -1)
SCENES = {"train": 2, "validation": 1}
LENGTH = HORIZON + 7


SPLIT = SplitConfig(scenes=1, frames=LENGTH)
RECORD = RecordConfig(train=SPLIT, validation=SPLIT, test=SPLIT)


def errand(speed: float = 8.0, route: np.ndarray = BEND, **kind) -> Errand:
    return Errand(ego=State(5.0, -3.0, 0.7, speed), route=route, limit=10.0, stop=kind.pop("stop", None), elapsed=0.1, **kind)


class Noise:
    """An imager whose pictures differ from moment to moment."""

    def __init__(self, shade: float = 1.0):
        self.shade = shade

    def begin(self, road, rig, ambience, seed) -> None:
        self.rig = rig

    def show(self, moment) -> Images:
        rng = np.random.default_rng(round(moment.time * RATE))
        view = (len(self.rig.cameras), self.rig.height, self.rig.width)
        colour = (rng.integers(0, 256, (*view, 3)) * self.shade).astype(np.uint8)
        return Images(colour, rng.uniform(2, 60, view).astype(np.float32))

    def close(self) -> None: ...


def scene_of(config: RecordConfig | None, split: str, number: int) -> Scene:
    """Somebody who brakes, or speeds up, behind a car that does the same."""
    t = np.arange(LENGTH) / RATE
    push = np.random.default_rng([len(split), number]).uniform(-2, 2)
    x, speed = 20 + 8 * t + push * t**2 / 2, 8 + push * t
    ego = np.stack([x, 0.2 * np.sin(t + number), np.zeros(LENGTH), speed], -1)
    rig = nuscenes_rig(WIDTH, HEIGHT)
    tracks = (ego + [12.0, 0, 0, 0])[None]
    name = f"{split}-{number:06d}"
    return Scene(name=name, road=ROAD, rig=rig, ambience=Ambience(), ego=ego, actors=(actor(),), tracks=tracks)


def store_of(folder: Path, split: str) -> EpisodeStore:
    """The split as `Noise` shows it."""
    store, imager = EpisodeStore(folder / split), Noise()
    for index in range(SCENES[split]):
        scene = scene_of(None, split, index)
        imager.begin(scene.road, scene.rig, scene.ambience, scene.seed)
        shown = [imager.show(scene.moment(t)) for t in range(len(scene))]
        episode = Episode(
            frames=np.stack([images.colour for images in shown]),
            action=np.zeros((len(scene), 2), np.float32),
            pose=np.stack([scene.rig.poses(*row[:3]) for row in scene.ego]),
            intrinsics=scene.rig.intrinsics(),
            depth=np.stack([images.depth for images in shown]).astype(np.float16),
            metadata={"scene": scene.name},
        )
        store.write(index, episode)
    return store


@pytest.fixture
def joint(world) -> Joint:
    torch.manual_seed(0)
    tokens, features = shape(world.config)
    head = Head(HeadConfig(tokens=tokens, features=features, world=world.fingerprint))
    with torch.no_grad():  # what is remembered and asked must reach the trajectory
        head.leave.weight.normal_(0, 0.05)
    return Joint(world, head)


def watched(world, rig, frames: int = 3, seed: int = 0, shade: float = 1.0) -> Session:
    """A session that has seen some frames of a drive straight on."""
    imager, witness = Noise(shade), Witness(world, rig, seed)
    imager.begin(None, rig, None, 0)
    for t in range(frames):
        ego = State(5.0 + 0.8 * t, -3.0, 0.7, 8.0)
        witness.see(imager.show(Moment(t / RATE, ego, ())), ego, t / RATE)
    assert witness.session is not None
    return witness.session


# --- errands ---


@given(st.floats(0, 14), st.floats(-2, 2), st.floats(-2, 2))
@settings(max_examples=40, deadline=None)
def test_a_trajectory_is_told_along_the_route_and_back(speed, aside, change):
    """A smooth drive beside a bend comes back from its profile."""
    here = errand(speed, BEND + np.array([0.0, aside]))
    gone = np.maximum.accumulate(np.maximum(speed * TIMES + change * TIMES**2 / 2, 0))
    profile = np.stack([gone - speed * TIMES, 0.1 * TIMES], -1)
    plan = here.trajectory(profile)
    moving = np.diff(gone, prepend=0) > 0.02
    assert checked(plan, "joint").shape == (HORIZON, 3)
    back = here.profile(plan[:, :2])
    assert np.abs(back - profile)[moving].max(initial=0) < 0.15


def test_who_stands_keeps_place_and_heading():
    here = errand(4.0)
    profile = np.stack([np.minimum(4.0 * TIMES, 3.0) - 4.0 * TIMES, 0.2 * TIMES], -1)
    plan = here.trajectory(profile)
    stands = 4.0 * TIMES > 3.05
    assert np.ptp(plan[stands], axis=0).max() == 0
    assert np.array_equal(errand(0.0).trajectory(np.zeros((HORIZON, 2))), np.zeros((HORIZON, 3)))


def test_an_errand_is_the_same_from_further_on():
    here = errand(8.0, stop=30.0)
    plan = here.trajectory(np.zeros((HORIZON, 2)))
    taken = along(plan, here.ego)
    there = here.moved(taken[9])
    assert np.allclose(to_world(there.route, there.ego), to_world(here.route, here.ego))
    assert there.stop == pytest.approx(30.0 - 8.0, abs=0.2)
    assert here.told.shape == (TOLD,) and np.isfinite(here.told).all()
    assert there.moved(taken[-1]).stop == pytest.approx(6.0, abs=0.3)


# --- the two paths ---


def test_the_fast_path_is_the_joint_path_s_trajectory_bit_for_bit(joint, rig):
    session = watched(joint.world, rig)
    fast = joint.trajectory(session, errand())
    both = joint.imagine(session, errand(), rig, frames=4)
    assert np.array_equal(fast, both.trajectory) and checked(fast, "joint") is not None
    assert len(both.frames) == 4 and len(both.states) == 5
    assert np.allclose([[s.x, s.y, s.yaw] for s in both.states[1:]], to_world(fast[:4], errand().ego))
    assert session.number == 3 and both.session.number == 7, "the session itself has imagined nothing"
    assert np.array_equal(joint.trajectory(session, errand()), fast)


def test_the_fast_path_denoises_and_decodes_nothing(joint, rig, monkeypatch):
    session = watched(joint.world, rig)

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(joint.world.model.backbone, "forward", never)
    monkeypatch.setattr(joint.world.model.tokenizer, "decode_pixels", never)
    assert joint.trajectory(session, errand()).shape == (HORIZON, 3)
    with pytest.raises(AssertionError):
        joint.imagine(session, errand(), rig, frames=1)


def test_seeds_repeat_and_differ(joint, rig):
    one, again = (joint.imagine(watched(joint.world, rig, seed=4), errand(), rig, frames=2) for _ in range(2))
    other = joint.imagine(watched(joint.world, rig).fork(seed=5), errand(), rig, frames=2)
    assert np.array_equal(one.trajectory, again.trajectory)
    assert all(np.array_equal(a.frame, b.frame) for a, b in zip(one.frames, again.frames))
    assert (one.trajectory != other.trajectory).any() and (one.frames[0].frame != other.frames[0].frame).any()


def test_what_was_seen_changes_the_trajectory(joint, rig):
    assert (
        joint.trajectory(watched(joint.world, rig, 3), errand()) != joint.trajectory(watched(joint.world, rig, 4), errand())
    ).any()


def test_the_newest_frames_are_read_as_they_came(world, rig):
    """Whoever looked a frame earlier read as its newest what is now the one before."""
    now, before = remembered(watched(world, rig, 4)), remembered(watched(world, rig, 3))
    assert now.shape == (FRAMES, *shape(world.config))
    assert torch.equal(now[0], before[1]) and not torch.equal(now[1], before[1])
    first = remembered(watched(world, rig, 1))
    assert torch.equal(first[0], first[1])


def test_chunks_go_on_from_what_was_imagined(joint, rig):
    session = watched(joint.world, rig)
    whole, parts = (joint.imagine(session, errand(), rig, frames=4, chunk=chunk) for chunk in (4, 2))
    assert np.array_equal(whole.trajectory, parts.trajectory)
    assert np.array_equal(whole.frames[1].frame, parts.frames[1].frame)
    assert whole.states[:3] == parts.states[:3] and whole.states[3:] != parts.states[3:]
    with pytest.raises(ZoetropeError, match="imagine: expected 1 frame"):
        joint.imagine(session, errand(), rig, frames=4, chunk=0)


def test_an_imagined_frame_may_be_told(joint, rig):
    session, numbers = watched(joint.world, rig), []
    size = joint.world.config.facts

    def tell(number: int, ego: State) -> dict[str, np.ndarray]:
        numbers.append(number)
        return {"facts": np.full(size, 1.0, np.float32)}

    plain, told = joint.imagine(session, errand(), rig, 2), joint.imagine(session, errand(), rig, 2, tell=tell)
    assert numbers == [1, 2] and (plain.frames[0].frame != told.frames[0].frame).any()


# --- learning and driving ---


def test_a_head_learns_is_kept_and_is_scored(world, tmp_path, monkeypatch):
    monkeypatch.setattr(lessons, "scene_of", scene_of)
    store, training = store_of(tmp_path, "train"), TrainConfig(steps=12, batch=4, learning_rate=2e-3, warmup=5)
    out = tmp_path / "joint.safetensors"
    head = train_joint(world, store, training, tmp_path / "run", out, RECORD, progress=False)
    assert sum(p.numel() for p in head.parameters()) <= 1_000_000
    joint = Joint.load(world, out)
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(), joint.head.state_dict().values()))
    figures = open_loop(joint, store_of(tmp_path, "validation"), RECORD, tmp_path / "held-out", progress=False)
    assert set(figures) == {"joint", "blind", "constant_speed", "constant_speed_route", "lane_follow", "idm"}
    for name, of in figures.items():
        at, up_to = of["l2_at"]["3s"], of["l2_up_to"]["3s"]
        assert at is not None and up_to is not None and 0 <= up_to.value <= at.value < 30, name
        assert of["collision_at"]["mean"] is not None
    shutil.rmtree(tmp_path / "run" / "head")
    again = train_joint(world, store, training, tmp_path / "run", out, RECORD, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(), again.state_dict().values()))


def test_components_say_driven_trajectories():
    rng = np.random.default_rng(0)
    push, drift = rng.normal(0, 1, (2, 200, 1))
    profiles = torch.from_numpy(np.stack([push * TIMES**2 / 2, drift * TIMES / 10], -1)).float()
    head = Head(HeadConfig(tokens=2, features=4, world=""))
    head.fit(profiles)
    assert torch.allclose(head.unpack(head.pack(profiles)), profiles, atol=0.01)
    assert head.pack(profiles).shape == (200, COMPONENTS)
    with pytest.raises(ZoetropeError, match="too few"):
        head.fit(profiles[:3])


def test_it_drives_in_the_closed_loop(joint, rig):
    here = replace(course(), rig=rig)
    one, again = (drive(lambda: JointPlanner(joint), "joint", here, Noise(), 15) for _ in range(2))
    assert np.array_equal(one.states, again.states) and len(one.plans) == 3


def test_a_head_of_another_world_or_none_is_named(joint, tmp_path):
    other = Head(replace(joint.head.config, world="another"))
    with pytest.raises(ZoetropeError, match="was trained on world another"):
        Joint(joint.world, other)
    with pytest.raises(ZoetropeError, match="no trajectory head; train"):
        Head.load(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ZoetropeError, match="bad.safetensors: damaged"):
        Head.load(tmp_path / "bad.safetensors")


def test_scenes_recorded_otherwise_are_named(world, tmp_path, monkeypatch):
    store, training = store_of(tmp_path, "validation"), TrainConfig(steps=1, batch=1)
    monkeypatch.setattr(lessons, "scene_of", lambda config, split, number: scene_of(config, split, number + 1))
    with pytest.raises(ZoetropeError, match="is another one in this configuration"):
        train_joint(world, store, training, tmp_path, tmp_path / "x", RECORD, progress=False)
    store.write(0, replace(store.read(0), metadata={}))
    with pytest.raises(ZoetropeError, match="scene '' is not one that"):
        train_joint(world, store, training, tmp_path, tmp_path / "x", RECORD, progress=False)
