"""The data engine: what is kept holds up, every action says whose it is, and a run that was cut off writes nothing twice."""
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.training.trainer import TrainConfig
from robotics import policies, tasks
from robotics.engine import few, generate, measure, strips, verdict
from robotics.engine.generate import DATASET, key
from robotics.engine.labels import labelled
from robotics.engine.neighbours import Neighbours
from robotics.engine.plan import Plan
from robotics.engine.readers import Reading, Sensors, SensorsConfig, train_sensors
from robotics.engine.verdict import Limits, Story
from robotics.latent.inverse import TOLERANCE
from robotics.lerobot.demonstration import GENERATED, SIMULATED
from robotics.lerobot.read import Dataset
from robotics.loop import CONTEXT
from robotics.record import OBJECTS, PROPRIOCEPTION, SUCCESS, record_episode
from robotics.scene.challenges import Push
from tests.robotics import tiny

pytest.importorskip("mujoco")
pytest.importorskip("pyarrow")

HORIZON = 14
LOOSE = Limits(disagreement=2.0, confidence=0.0, blur=1e-3, speed=1e3)
PLAN = Plan(attempts=3, batch=2, limits=LOOSE, include=True, ways=("relook", "redo", "scene"))


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(Push, "horizon", HORIZON)


def demonstrations(count: int = 2) -> list[Episode]:
    """Of an expert who runs out of time, which nobody tells."""
    task = tiny.config().record.make_task()
    expert = policies.make("expert", task)
    made = [record_episode(task, expert, seed, policy_seed=seed) for seed in range(3, 3 + count)]
    return [replace(e, metadata=e.metadata | {SUCCESS: "true"}) for e in made]


def reader() -> Sensors:
    """Random weights."""
    torch.manual_seed(0)
    return Sensors(SensorsConfig(proprioception=4, action=2, width=16, layers=1)).eval()


def run(out, plan: Plan = PLAN, **changes):
    arguments = {"world": tiny.world(), "name": "push", "demonstrations": demonstrations(), "readers": [reader()]}
    return generate.generate(plan=plan, out=out, progress=False, **(arguments | changes))


@pytest.fixture
def easy(monkeypatch):
    """Every imagined frame reaches the goal."""
    monkeypatch.setattr(generate, "judge", lambda *of: lambda observation, reward: True)


# --- reading actions ---


def drive(seed: int, frames: int = 40) -> Episode:
    """A hand that goes where it is told, a frame late."""
    rng = np.random.default_rng(seed)
    action = np.repeat(rng.uniform(-1, 1, (frames // 4, 2)), 4, 0).astype(np.float32)
    moved = np.cumsum(np.concatenate([np.zeros((2, 2)), action[:-2]]), 0) * 0.02
    known = np.concatenate([moved, np.zeros((frames, 2))], 1).astype(np.float32)
    return Episode(frames=np.zeros((frames, 1, 2, 2, 3), np.uint8), action=action, conditions={PROPRIOCEPTION: known})


def test_actions_are_learnt_from_sensors_and_the_reader_knows_how_sure_it_may_be(tmp_path):
    training = TrainConfig(steps=250, batch=128, learning_rate=5e-3, warmup=20, average=0.9)
    made = train_sensors([drive(seed) for seed in range(15)], tmp_path, training, progress=False)
    found = measure.pseudo_action_error(made, [drive(seed) for seed in range(20, 25)])
    assert found["error"]["value"] < 0.2 * found["nothing"]["value"] and found["episodes"] == 5
    assert abs(found["within"]["value"] - found["confidence"]["value"]) < 0.15
    again = train_sensors([], tmp_path, progress=False)
    one = drive(30)
    said = [r.read(one.frames, one.conditions[PROPRIOCEPTION]) for r in (made, again)]
    np.testing.assert_array_equal(said[0].action, said[1].action)
    assert said[0].action.shape == (39, 2) and ((said[0].confidence >= 0) & (said[0].confidence <= 1)).all()
    with pytest.raises(ZoetropeError, match="reads 4 numbers of proprioception, found 3"):
        made.read(one.frames, np.zeros((5, 3), np.float32))
    with pytest.raises(ZoetropeError, match="no episode of two frames"):
        train_sensors([], tmp_path / "other", progress=False)


class Oracle:
    """Reads what was done, `off` by so much."""

    name = "oracle"

    def __init__(self, episodes, off=0.0):
        self.known = {e.conditions[PROPRIOCEPTION].tobytes(): e.action[:-1] for e in episodes}
        self.off = off

    def read(self, frames, proprioception):
        action = (self.known[proprioception.tobytes()] + self.off).clip(-1, 1)
        return Reading(action, np.full(len(action), 0.5, np.float32))


def test_pseudo_actions_are_measured_by_what_they_do():
    task = tasks.make("push", (16, 16), pictures=False)
    expert = policies.make("expert", task)
    episodes = [record_episode(task, expert, seed, policy_seed=seed) for seed in (0, 1)]
    exact = measure.pseudo_action_replay(Oracle(episodes), episodes, task)
    assert exact["ratio"]["value"] == exact["true"]["value"] == exact["same_verdict"]["value"] == 1
    wrong = measure.pseudo_action_replay(Oracle(episodes, off=1.0), episodes, task)
    assert wrong["pseudo"]["value"] == 0 and wrong["true"]["value"] == 1
    assert measure.pseudo_action_error(Oracle(episodes), episodes)["error"]["value"] == 0
    nameless = replace(episodes[0], metadata={})
    with pytest.raises(ZoetropeError, match="names no seed"):
        measure.pseudo_action_replay(Oracle(episodes), [nameless], task)


# --- acting ---


@settings(max_examples=20, deadline=None)
@given(st.floats(-np.pi, np.pi), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2))
def test_what_was_shown_in_one_place_serves_in_all_others(turn, x, y):
    task = tasks.make("push", (16, 16), pictures=False)
    rng = np.random.default_rng(0)
    state = rng.uniform(-0.1, 0.1, (30, 11)).astype(np.float32)
    action = rng.uniform(-0.5, 0.5, (30, 2)).astype(np.float32)

    def episode(state, action):
        known = {PROPRIOCEPTION: state[:, :4], OBJECTS: state[:, 4:]}
        return Episode(frames=np.zeros((len(state), 1, 2, 2, 3), np.uint8), action=action, conditions=known)

    policy = Neighbours([episode(state, action)], task)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    elsewhere = state.copy()
    for column in (0, 4, 9):  # hand, block, target
        elsewhere[:, column : column + 2] = state[:, column : column + 2] @ rotation + (x, y)
    from robotics.task import Observation

    nothing = np.zeros((2, 16, 16, 3), np.uint8)
    for here, there in zip(state[:5], elsewhere[:5]):
        done = [policy(Observation(frames=nothing, proprioception=s[:4], objects=s[4:])) for s in (here, there)]
        np.testing.assert_allclose(done[0] @ rotation, done[1], atol=1e-3)


def test_few_demonstrations_solve_new_scenes():
    task = tasks.make("push", (16, 16), pictures=False)
    expert = policies.make("expert", task)
    shown = [record_episode(task, expert, seed, policy_seed=seed) for seed in range(16)]
    acting = policies.Checked(Neighbours(shown, task), "neighbours", 2)
    won = [record_episode(task, acting, 1000 + i, policy_seed=i).metadata[SUCCESS] == "true" for i in range(4)]
    assert sum(won) >= 2, "random actions hardly ever do"


# --- judging and labelling ---


def test_the_first_reason_counts():
    good = Story(success=True, disagreement=0.1, confidence=0.9, detail=1.0, leap=0.01)
    limits = Limits()
    assert good.reason(limits, fastest=0.02) is None
    for change, reason in (
        ({"success": False, "leap": 1.0}, "failed"),
        ({"leap": 0.1, "detail": 0.1}, "jumps"),
        ({"detail": 0.2}, "blurs"),
        ({"detail": 4.0}, "blurs"),
        ({"disagreement": 0.5, "confidence": 0.0}, "contradicts"),
        ({"confidence": 0.1}, "unsure"),
    ):
        assert replace(good, **change).reason(limits, fastest=0.02) == reason
    assert set(verdict.REASONS) >= {"failed", "differs", "jumps", "blurs", "contradicts", "unsure"}


def test_an_action_that_frames_do_not_bear_out_is_replaced_and_says_so():
    known = {PROPRIOCEPTION: np.zeros((6, 4), np.float32)}
    action = np.zeros((6, 2), np.float32)
    episode = Episode(frames=np.zeros((6, 1, 2, 2, 3), np.uint8), action=action, conditions=known)
    read = np.zeros((5, 2), np.float32)
    read[[1, 3], 0] = 2 * TOLERANCE
    reading = Reading(read, np.linspace(0.5, 0.9, 5).astype(np.float32))
    checked = labelled(episode, reading, 2, "checked")
    assert checked.source == GENERATED and checked.action_is_pseudo.tolist() == [False, False, False, True, False, True]
    assert checked.episode.action[3, 0] == 2 * TOLERANCE and checked.episode.action[1, 0] == 0, "real frames' actions stand"
    np.testing.assert_allclose(checked.confidence, [1, 1, 1, 0.8, 1, 0], rtol=1e-6)
    pseudo = labelled(episode, reading, 2, "pseudo")
    assert pseudo.action_is_pseudo.tolist() == [False, False, True, True, True, True]
    assert (action == 0).all(), "the episode is left as it was"


# --- generating ---


def test_the_dataset_holds_what_was_kept_with_its_provenance(tmp_path, short, easy):
    figures = run(tmp_path)
    assert {way: found["kept"] for way, found in figures["ways"].items()} == {"relook": 3, "redo": 3, "scene": 3}
    dataset = Dataset(tmp_path / DATASET)
    assert len(dataset) == figures["episodes"] == 2 + 9
    shown, names = demonstrations(), dataset.names
    first = dataset.read(names.index("demonstration-00000"))
    np.testing.assert_array_equal(first.episode.frames, shown[0].frames)
    assert first.source == SIMULATED and not first.action_is_pseudo.any() and (first.confidence == 1).all()

    other = dataset.read(names.index(key("relook", 1)))
    np.testing.assert_array_equal(other.state, shown[1].conditions[PROPRIOCEPTION])
    np.testing.assert_array_equal(other.episode.action, shown[1].action)
    assert not np.array_equal(other.episode.frames, shown[1].frames) and other.source == SIMULATED
    again = dataset.read(names.index(key("relook", 2)))
    third = dataset.read(names.index(key("relook", 0)))
    assert not np.array_equal(again.episode.frames, third.episode.frames), "another look of the same demonstration"

    redone = dataset.read(names.index(key("redo", 0)))
    np.testing.assert_array_equal(redone.episode.frames[:CONTEXT], shown[0].frames[:CONTEXT])
    np.testing.assert_array_equal(redone.environment_state[:CONTEXT], shown[0].conditions[OBJECTS][:CONTEXT])
    assert redone.source == GENERATED and redone.action_is_pseudo[-1] and redone.confidence[-1] == 0
    assert redone.episode.terminated.sum() == 1 and redone.episode.terminated[-2]
    assert set(dataset.read(names.index(key("scene", 0))).episode.metadata) >= {"seed", "way", "policy"}
    assert strips.path(tmp_path, key("scene", 2)).exists()


def test_what_does_not_hold_up_is_left_out(tmp_path, short):
    figures = run(tmp_path)
    for way in ("redo", "scene"):
        assert figures["ways"][way]["kept"] == 0 and figures["ways"][way]["rejected"] == {"failed": 3}
    nothing = run(tmp_path / "nothing", replace(PLAN, ways=("redo",), include=False))
    assert nothing["episodes"] == 0 and not (tmp_path / "nothing" / DATASET / "meta").exists()
    moved = [replace(e, metadata=e.metadata | {"seed": "77"}) for e in demonstrations()]
    figures = run(tmp_path / "other", replace(PLAN, ways=("relook",)), world=None, demonstrations=moved)
    assert figures["ways"]["relook"]["rejected"] == {"differs": 3} and figures["world"] is None


def test_a_run_that_was_cut_off_goes_on(tmp_path, short, easy, monkeypatch):
    whole = run(tmp_path / "whole")
    made, add = [], generate.Ledger.add

    def killed(ledger, name, row):
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(name)
        add(ledger, name, row)

    monkeypatch.setattr(generate.Ledger, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    monkeypatch.setattr(generate.Ledger, "add", lambda *of: (made.append(of[1]), add(*of)))
    again = run(tmp_path / "cut")
    assert len(made) == len(set(made)) == 9 and again["episodes"] == whole["episodes"]
    one, other = (Dataset(tmp_path / name / DATASET) for name in ("whole", "cut"))
    assert sorted(one.names) == sorted(other.names) and len(set(one.names)) == 11
    for name in one.names:
        a, b = (d.read(d.names.index(name)) for d in (one, other))
        np.testing.assert_allclose(a.episode.action, b.episode.action, atol=1e-4)
        assert np.abs(a.episode.frames.astype(int) - b.episode.frames.astype(int)).max() <= 1
    made.clear()
    more = run(tmp_path / "cut", replace(PLAN, attempts=4))
    assert len(made) == 3 and more["episodes"] == whole["episodes"] + 3, "what is there is not made again"
    with pytest.raises(ZoetropeError, match="another plan"):
        run(tmp_path / "cut", replace(PLAN, noise=0.5))


def test_a_world_without_objects_replays_demonstrations(tmp_path, short, easy):
    plan = replace(PLAN, ways=("redo",), policy="replay", noise=0.1, judge="reward", labels="pseudo")
    bare = [replace(e, conditions={PROPRIOCEPTION: e.conditions[PROPRIOCEPTION]}) for e in demonstrations()]
    world = tiny.world(objects=False)
    figures = run(tmp_path, plan, demonstrations=bare, world=world)
    assert figures["ways"]["redo"]["kept"] == 3 and figures["ways"]["redo"]["pseudo"] > 0.5
    assert "observation.environment_state" not in Dataset(tmp_path / DATASET).features
    with pytest.raises(ZoetropeError, match="do not tell where things are"):
        run(tmp_path / "other", replace(plan, policy="neighbours"), demonstrations=bare, world=world)


def test_mistakes_are_said_in_one_line(tmp_path, short):
    with pytest.raises(ZoetropeError, match="leave out --way scene"):
        Plan(policy="replay")
    with pytest.raises(ZoetropeError, match="--attempts must be at least 1, found 0"):
        Plan(attempts=0)
    with pytest.raises(ZoetropeError, match="unknown 'dream'"):
        Plan(ways=("dream",))  # type: ignore[arg-type]
    with pytest.raises(ZoetropeError, match="needs a generated world"):
        run(tmp_path, world=None)
    with pytest.raises(ZoetropeError, match="pictures of"):
        run(tmp_path, demonstrations=[replace(e, frames=e.frames[:, :1], pose=None, intrinsics=None) for e in demonstrations()])
    with pytest.raises(ZoetropeError, match="unknown policy 'clever'"):
        run(tmp_path, replace(PLAN, policy="clever"))
    assert not (tmp_path / DATASET).exists(), "nothing is written before all fits"


def test_few_are_read_from_recordings_and_from_datasets(tmp_path, short, easy):
    store = EpisodeStore(tmp_path / "recorded")
    for index, episode in enumerate(demonstrations(3)):
        failed = {SUCCESS: "false"} if index == 1 else {}
        store.write(index, replace(episode, metadata=episode.metadata | failed))
    assert len(few.read(tmp_path / "recorded", 20, seed=0)) == 2
    run(tmp_path / "made", replace(PLAN, ways=("redo",), include=False))
    grown = few.read(tmp_path / "made" / DATASET, 20, seed=0)
    assert len(grown) == 3 and all(OBJECTS in e.conditions and e.reward is not None for e in grown)
