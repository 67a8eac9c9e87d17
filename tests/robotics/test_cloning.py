"""Cloned policies: trained on any demonstrations, found by name, weighted by confidence, and what generated ones are worth."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.cli import main
from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.training.trainer import TrainConfig
from robotics import policies, tasks
from robotics.cloning import lessons, policy
from robotics.cloning.gain import ALONE, WITH, GainPlan, gain, paired_gain
from robotics.cloning.network import REACH, Design, Network, NetworkConfig
from robotics.cloning.train import CloneConfig, Origin, train
from robotics.lerobot.demonstration import GENERATED, SIMULATED, Demonstration
from robotics.lerobot.layout import Layout
from robotics.record import record_episode, reset_seed
from robotics.task import Observation

pytest.importorskip("mujoco")

DESIGN = Design(channels=(8,), points=4, hidden=16, chunk=2)
TINY = CloneConfig(design=DESIGN, train=TrainConfig(steps=3, batch=4, warmup=1))
PUSH = tasks.make("push", (16, 16))


def demonstration(seed: int = 0, steps: int = 6, source: str = SIMULATED, confidence: float = 1.0) -> Demonstration:
    """Frames of noise and actions that the state alone decides."""
    rng = np.random.default_rng(seed)
    state = rng.uniform(-1, 1, (steps, 4)).astype(np.float32)
    return Demonstration(
        episode=Episode(
            frames=rng.integers(0, 256, (steps, 2, 16, 16, 3), np.uint8), action=state[:, :2].copy(), text=PUSH.instruction
        ),
        state=state,
        source=source,
        action_is_pseudo=np.full(steps, source == GENERATED),
        confidence=np.full(steps, confidence, np.float32),
    )


def seen(seed: int = 0) -> Observation:
    rng = np.random.default_rng(seed)
    return Observation(frames=rng.integers(0, 256, (2, 16, 16, 3), np.uint8), proprioception=np.zeros(4, np.float32))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Three wins of the expert and two episodes of chance, small pictures."""
    folder = tmp_path_factory.mktemp("recordings")
    store = EpisodeStore(folder)
    for index, name in enumerate(["expert", "expert", "random", "expert", "random"]):
        frames = None if name == "expert" else 6
        store.write(index, record_episode(PUSH, policies.make(name, PUSH), reset_seed("train", index), index, frames))
    return folder


@pytest.fixture
def trained(tmp_path) -> Path:
    train([demonstration()], 0, tmp_path / "run", TINY, progress=False)
    return tmp_path / "run"


# --- what is learnt from ---


def test_only_wins_of_the_named_policy_are_read(recordings):
    found = lessons.read(recordings, "expert")
    assert [d.episode.metadata["seed"] for d in found] == ["0", "1", "3"]
    assert all(d.source == SIMULATED and (d.confidence == 1).all() for d in found)
    with pytest.raises(ZoetropeError, match="no successful episode of policy 'nobody'"):
        lessons.read(recordings, "nobody")


def test_a_lerobot_dataset_is_read_with_its_confidence(tmp_path):
    pytest.importorskip("pyarrow")
    from robotics.lerobot.write import DatasetWriter

    layout = Layout(
        rate=10,
        robot="arm",
        cameras=PUSH.cameras,
        height=16,
        width=16,
        state=PUSH.proprioception_names,
        action=("x", "y"),
        rewards=False,
    )
    writer = DatasetWriter(tmp_path / "set", layout)
    made = demonstration(1, source=GENERATED, confidence=0.25)
    writer.add("a", made)
    writer.finish()
    (read,) = lessons.read(tmp_path / "set")
    assert np.array_equal(read.episode.frames, made.episode.frames) and np.array_equal(read.confidence, made.confidence)
    assert np.array_equal(read.state, made.state) and read.source == GENERATED


def test_a_folder_without_demonstrations_is_said(tmp_path):
    with pytest.raises(ZoetropeError, match="neither recorded episodes nor a LeRobot dataset"):
        lessons.read(tmp_path)


def test_more_demonstrations_hold_the_fewer():
    found = [demonstration(seed) for seed in range(8)]
    few, many = lessons.choose(found, 3, seed=5), lessons.choose(found, 6, seed=5)
    assert list(map(id, few)) == list(map(id, many[:3]))
    assert list(map(id, lessons.choose(found, 3, seed=6))) != list(map(id, few))
    for count in (0, 9):
        with pytest.raises(ZoetropeError, match="expected 1 to 8"):
            lessons.choose(found, count, seed=0)


def test_chunks_follow_their_frame_and_end_with_the_episode():
    made = [demonstration(0, steps=4, confidence=0.5), demonstration(1, steps=5)]
    sampler = lessons.LessonSampler(made, [], chunk=3, generated_share=0.5, shift=0, seed=0)
    frames, state, action, weight = sampler.draw(0, 64)
    rows = [(d, t) for d in made for t in range(len(d.episode))]
    for k in range(64):
        d, t = next((d, t) for d, t in rows if np.array_equal(d.episode.frames[t], frames[k].numpy()))
        inside = min(3, len(d.episode) - t)
        assert np.array_equal(state[k], d.state[t])
        assert np.array_equal(action[k, :inside], d.episode.action[t : t + inside])
        assert weight[k].tolist() == [float(d.confidence[0])] * inside + [0.0] * (3 - inside)


def test_a_shift_moves_pictures_and_nothing_else():
    sampler = lessons.LessonSampler([demonstration()], [], chunk=1, generated_share=0.5, shift=2, seed=0)
    frames, state, *_ = sampler.draw(3, 16)
    again = sampler.draw(3, 16)[0]
    assert torch.equal(frames, again)
    middle = frames[:, :, 4:12, 4:12]
    for k in range(16):
        t = int(np.argmax((sampler.proprioception == state[k].numpy()).all(1)))
        whole = sampler.frames[t, 0]
        moved = [whole[4 + y : 12 + y, 4 + x : 12 + x] for y in range(-2, 3) for x in range(-2, 3)]
        assert any(np.array_equal(middle[k, 0], m) for m in moved)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_generated_demonstrations_have_their_share(share):
    generated = [demonstration(s, source=GENERATED, confidence=0.5) for s in range(1, 9)]
    sampler = lessons.LessonSampler([demonstration(0)], generated, chunk=1, generated_share=share, shift=0, seed=0)
    weight = sampler.draw(0, 2000)[3]
    assert float((weight == 0.5).float().mean()) == pytest.approx(share, abs=0.05)


# --- the network and its training ---


def test_a_point_is_where_its_picture_is():
    """What lies elsewhere in the picture moves the points by as much."""
    torch.manual_seed(0)
    network = Network(NetworkConfig(cameras=1, height=32, width=32, proprioception=4, action=2, design=DESIGN)).eval()
    frames = torch.zeros(2, 1, 32, 32, 3, dtype=torch.uint8)
    frames[0, 0, 8:12, 8:12] = frames[1, 0, 20:24, 12:16] = 255  # three cells down, one to the right
    points = network.eyes[0](network._fold(frames)[0]).detach().unflatten(1, (-1, 2))
    cell = 2 * REACH / 7
    moved = (points[1] - points[0]) / cell
    assert float((moved - torch.tensor([1.0, 3.0])).abs().min(0).values.max()) < 0.2


def test_the_loss_counts_by_confidence():
    torch.manual_seed(0)
    network = Network(NetworkConfig(cameras=1, height=16, width=16, proprioception=4, action=2, design=DESIGN))
    frames, state = torch.zeros(2, 1, 16, 16, 3, dtype=torch.uint8), torch.zeros(2, 4)
    action = torch.tensor([[[0.5, 0.5]] * 2, [[9.0, 9.0]] * 2])
    sure = network.loss(frames, state, action, torch.tensor([[1.0, 1.0], [0.0, 0.0]]))[0]
    assert torch.isclose(sure, network.loss(frames[:1], state[:1], action[:1], torch.ones(1, 2))[0])
    assert float(network.loss(frames, state, action, torch.ones(2, 2))[0].detach()) > float(sure.detach())


def test_it_learns_what_the_demonstrations_do(tmp_path):
    config = replace(TINY, shift=0, train=TrainConfig(steps=300, batch=16, learning_rate=1e-2, warmup=1, average=0.9))
    made = demonstration(0, steps=32)
    network = train([made], 0, tmp_path, config, progress=False)
    told = network(torch.from_numpy(made.episode.frames), torch.from_numpy(made.state))[:, 0].detach().numpy()
    assert np.abs(told - made.episode.action).mean() < 0.15 < np.abs(made.episode.action).mean()


def test_a_run_repeats_and_resumes_and_differs_by_seed(tmp_path):
    made = [demonstration()]

    def weights(folder: str, seed: int = 0) -> dict[str, torch.Tensor]:
        return train(made, seed, tmp_path / folder, TINY, progress=False).state_dict()

    first = weights("a")
    assert all(torch.equal(first[n], t) for n, t in weights("b").items())
    assert not all(torch.equal(first[n], t) for n, t in weights("c", seed=1).items())
    runs = [Origin.load(tmp_path / folder).training_run for folder in "abc"]
    assert runs[0] == runs[1] != runs[2]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["origin.yaml", "policy.safetensors", "policy.yaml"]
    assert all(torch.equal(first[n], t) for n, t in weights("a").items())
    with pytest.raises(ZoetropeError, match="another training"):
        weights("a", seed=1)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], "no demonstrations"),
        ([demonstration(), replace(demonstration(), state=np.zeros((6, 3), np.float32))], "one is needed"),
        ([demonstration(), replace(demonstration(), episode=replace(demonstration().episode, text="dance"))], "several tasks"),
    ],
)
def test_demonstrations_that_do_not_fit(tmp_path, others, said):
    with pytest.raises(ZoetropeError, match=said):
        train(others, 0, tmp_path, TINY, progress=False)


# --- as a policy ---


def test_a_name_finds_it_and_a_reset_forgets(trained):
    found = policies.make(f"cloned:{trained}", PUSH)
    assert found.training_run == Origin.load(trained).training_run and not found.privileged
    found.reset(0)
    first, second = found(seen(0)), found(seen(1))
    assert first.shape == (2,) and np.isfinite(first).all()
    found.reset(0)
    assert np.array_equal(found(seen(0)), first)
    found.reset(0)
    assert not np.array_equal(found(seen(1)), second)  # what was foretold before has its say


def test_what_comes_with_the_program_has_a_name(trained, monkeypatch):
    monkeypatch.setattr(policy, "SHIPPED", trained.parent)
    assert policies.make("cloned:run", PUSH).name == "cloned:run"
    with pytest.raises(ZoetropeError, match="no cloned policy 'nobody'.*one of: run"):
        policies.make("cloned:nobody", PUSH)
    with pytest.raises(ZoetropeError, match="no cloned policy ''"):
        policies.make("cloned:", PUSH)


def test_another_task_and_other_pictures_are_refused(trained):
    with pytest.raises(ZoetropeError, match="taught to"):
        policies.make(f"cloned:{trained}", tasks.make("slide", (16, 16)))
    with pytest.raises(ZoetropeError, match="here are"):
        policies.make(f"cloned:{trained}", tasks.make("push", (32, 32)))


def test_damaged_weights_are_said(trained):
    path = trained / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ZoetropeError, match="damaged"):
        policies.make(f"cloned:{trained}", PUSH)


# --- gain ---


def test_the_gain_of_made_tables():
    better, worse = np.ones((5, 10), bool), np.zeros((5, 10), bool)
    assert paired_gain(better, worse).value == 1 and paired_gain(worse, better).low == -1
    rng = np.random.default_rng(0)
    a, b = rng.random((5, 50)) < 0.6, rng.random((5, 50)) < 0.4
    found = paired_gain(a, b)
    assert found.low < found.value < found.high and found.value == pytest.approx(a.mean() - b.mean())
    assert paired_gain(a, a).bounds == [0, 0]
    assert np.isnan(paired_gain(a[:1], b[:1]).low)


def test_a_gain_that_was_cut_off_goes_on(tmp_path, recordings, monkeypatch):
    recorded = lessons.read(recordings, "expert")
    episode = recorded[0].episode
    generated = [*recorded, replace(recorded[0], source=GENERATED, episode=replace(episode, frames=255 - episode.frames))]
    plan = GainPlan(demonstrations=2, seeds=(0, 1), episodes=2, clone=TINY)
    short = tasks.make("push", (16, 16))
    short.horizon = 5
    whole = gain(short, recorded, [generated], plan, tmp_path, progress=False)
    assert json.loads(json.dumps(whole))["gain"]["n"] == 4
    assert set(whole["by_seed"]) == {ALONE, WITH} and whole["independent_training_runs"] == 4
    added = [Origin.load(tmp_path / f"{arm}-0").generated for arm in (ALONE, WITH)]
    assert added == [0, 2]  # demonstrations that were chosen are nothing new
    monkeypatch.setattr("robotics.cloning.gain.successes", lambda *_: pytest.fail("played again"))
    assert gain(short, recorded, [generated], plan, tmp_path, progress=False)["by_seed"] == whole["by_seed"]


@pytest.mark.parametrize("generated", [[], [[]], [[demonstration(1)]] * 2])
def test_a_gain_needs_generated_demonstrations_for_every_seed(tmp_path, generated):
    plan = GainPlan(demonstrations=1, seeds=(0, 1, 2), clone=TINY)
    with pytest.raises(ZoetropeError, match="for each of 3 seeds"):
        gain(PUSH, [demonstration()], generated, plan, tmp_path)


# --- the command ---


def test_the_command_trains_measures_and_writes(tmp_path, recordings, monkeypatch, capsys):
    monkeypatch.setattr(
        "apps.robot.clone.train", lambda made, seed, out, **more: train(made, seed, out, TINY, progress=False, **more)
    )
    monkeypatch.setattr("robotics.scene.challenges.Push.horizon", 5)
    command = ["robot", "clone", "--data", str(recordings), "--demos", "2", "--episodes", "2"]
    assert main([*command, "--out", str(tmp_path / "run"), "--json", str(tmp_path / "run.json")]) == 0
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["demonstrations"] == 2 and told["success"]["n"] == 2
    assert told["training_run"] == policies.make(f"cloned:{tmp_path / 'run'}", PUSH).training_run
    assert main([*command, "--gain", "2", "--out", str(tmp_path / "gain")]) == 2
    assert "--generated" in capsys.readouterr().err
    assert main([*command, "--demos", "9", "--out", str(tmp_path / "more")]) == 2
    assert "expected 1 to 3" in capsys.readouterr().err
