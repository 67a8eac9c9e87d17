"""Planning in latents: SIGReg, planners on a system whose optimum is known, inverse dynamics, files, and both protocols."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.training.trainer import TrainConfig
from robotics import policies, tasks, worlds
from robotics.latent import evaluate, planners
from robotics.latent.amortize import Goals, imagined_loss
from robotics.latent.collapse import measure, probe
from robotics.latent.controller import Controller, ControllerConfig
from robotics.latent.evaluate import Pair, ProtocolConfig
from robotics.latent.inverse import Amortized, InverseConfig, InverseDynamics, pseudo_actions
from robotics.latent.model import LeWorldModel, ModelConfig, Past, Reading, effective_rank
from robotics.latent.planners import CEMConfig, GradientConfig, ICEMConfig, MPPIConfig, PlannerConfig
from robotics.latent.samplers import MomentSampler
from robotics.latent.shipped import Latent
from robotics.latent.sigreg import sigreg
from robotics.latent.train import LatentConfig, load, train_latent
from robotics.record import record_episode
from robotics.task import HOLD, Observation

SMALL = ModelConfig(
    cameras=2, action=2, height=16, width=16, stride=2, history=2, embedding=16, channels=(8, 8), hidden=32, predictor=16,
    layers=1, heads=2, directions=16,
)  # fmt: skip
INVERSE = InverseConfig(embedding=16, action=2, chunk=3, reach=10, width=64, layers=2, dropout=0.0)
KINDS = ("cem", "icem", "mppi", "gradient")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(n: int = 256, d: int = 8) -> torch.Tensor:
    return torch.randn(n, d, generator=generator())


class TestSigreg:
    def test_gaussian_samples_cost_about_one_and_others_much_more(self):
        z = samples()
        collapsed = {
            "a point": torch.zeros_like(z),
            "a line": z[:, :1] * torch.ones(8),
            "too wide": 3 * z,
            "off centre": z + 1,
            "two points": z[:, :1].sign() * torch.ones(8),
        }
        for name, wrong in collapsed.items():
            assert sigreg(wrong, 64, generator()) > 10, name
        for n in (64, 512):
            drawn = torch.randn(40, n, 8, generator=generator())
            assert sigreg(drawn, 64, generator()) == pytest.approx(1.06, abs=0.25)

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 2**31 - 1))
    def test_turning_the_samples_changes_little(self, seed):
        turn = torch.linalg.qr(torch.randn(8, 8, generator=generator(seed))).Q
        wide = 2 * samples()
        many = 2048  # directions are drawn: the more, the nearer both come to the mean over all
        assert torch.isclose(sigreg(wide @ turn, many, generator(seed)), sigreg(wide, many, generator(seed)), rtol=0.1)

    def test_its_gradient_spreads_what_collapsed(self):
        z = (0.01 * samples(128, 4)).requires_grad_()
        optimizer = torch.optim.Adam([z], 0.05)
        for step in range(150):
            optimizer.zero_grad()
            sigreg(z, 32, generator(step)).backward()
            optimizer.step()
        assert 0.8 < z.std() < 1.2 and effective_rank(z) > 3.8

    def test_effective_rank(self):
        assert effective_rank(torch.ones(50, 4)) == 0
        assert effective_rank(samples()[:, :1] * torch.ones(8)) == pytest.approx(1, abs=1e-3)
        assert 7.5 < effective_rank(samples()) <= 8


@dataclass
class Linear:
    """z' = z + the sum of a stride's actions: the nearest reachable point to a goal is known."""

    stride: int = 2
    action_size: int = 2

    def rollout(self, past: Past, actions: torch.Tensor) -> torch.Tensor:
        moved = actions.unflatten(2, (-1, self.stride)).sum(3).cumsum(2)
        return past.embeddings[:, None, -1:] + moved

    def apart(self, z: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        return (z - goal).square().sum(-1)


START = Past(embeddings=torch.tensor([[[0.0, 0.0]], [[1.0, -1.0]]]), actions=torch.zeros(2, 0, 2, 2))
GOAL = torch.tensor([[1.5, -2.0], [30.0, -0.5]])
"""The second is farther away along x than six actions go."""
SIX = PlannerConfig(
    cem=CEMConfig(horizon=3, samples=128, elites=12, iterations=20),
    icem=ICEMConfig(horizon=3, samples=96, iterations=20),
    mppi=MPPIConfig(horizon=3, samples=200, iterations=30, least=0.01),
    gradient=GradientConfig(horizon=3, iterations=80),
)


@pytest.mark.parametrize("kind", KINDS)
class TestPlanners:
    def plan(self, kind, seed=0, **more):
        planner = planners.make(replace(SIX, kind=kind), Linear())
        return planner.plan(START, GOAL, np.random.default_rng(seed), **more)

    def test_reaches_the_optimum(self, kind):
        plan = self.plan(kind)
        assert plan.shape == (2, 6, 2) and plan.abs().max() <= 1
        end = Linear().rollout(START, plan[:, None])[:, 0, -1]
        assert torch.allclose(end, torch.tensor([[1.5, -2.0], [7.0, -0.5]]), atol=0.1)

    def test_a_seed_repeats_a_plan_bit_for_bit(self, kind):
        assert torch.equal(self.plan(kind, 1), self.plan(kind, 1))
        assert not torch.equal(self.plan(kind, 1), self.plan(kind, 2))

    def test_looks_no_farther_than_there_is_time_and_starts_from_a_plan(self, kind):
        assert self.plan(kind, left=3).shape == (2, 4, 2) and self.plan(kind, left=99).shape == (2, 6, 2)
        known = torch.full((2, 2, 2), 0.5)
        assert self.plan(kind, before=known).shape == (2, 6, 2)


def test_a_plan_from_before_is_where_the_search_starts():
    config = GradientConfig(horizon=1, starts=1, iterations=1, rate=1e-9)
    before = torch.full((2, 4, 2), 0.25)
    plan = planners.Gradient(config, Linear()).plan(START, GOAL, np.random.default_rng(0), before=before)
    assert torch.allclose(plan, before[:, :2])


@pytest.mark.parametrize("length", [5, 6, 25])
@pytest.mark.parametrize("colour", [0.0, 2.0])
def test_coloured_noise_has_unit_variance_and_its_colour(length, colour):
    noise = planners._coloured(np.random.default_rng(0), (20_000, length, 1), colour)
    assert noise.var(0).mean() == pytest.approx(1, rel=0.05)
    neighbours = float((noise[:, 1:] * noise[:, :-1]).mean())
    assert neighbours > 0.3 if colour else abs(neighbours) < 0.05


def test_elites_beyond_the_samples():
    with pytest.raises(ZoetropeError, match="elites"):
        planners.CEM(CEMConfig(samples=5, elites=6), Linear())


def window(model: ModelConfig, b: int = 4) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(0)
    moments = model.history + 1
    frames = rng.integers(0, 256, (b, moments, model.cameras, model.height, model.width, 3), dtype=np.uint8)
    actions = rng.uniform(-1, 1, (b, moments - 1, model.stride, model.action)).astype(np.float32)
    return (
        torch.from_numpy(frames),
        torch.zeros(b, moments, model.proprioception),
        torch.from_numpy(actions),
        torch.rand(b, moments, model.read),
    )


class TestModel:
    def test_sizes(self):
        preset = load(worlds.CONFIGS / "push_latent.yaml")
        assert 1e6 < sum(p.numel() for p in LeWorldModel(preset.model).parameters()) < 2.5e6

    def test_the_loss_repeats_and_teaches_encoder_and_predictor(self):
        torch.manual_seed(0)
        model = LeWorldModel(SMALL).train()
        batch = window(SMALL)
        first, figures = model.loss(*batch, generator=generator(3))
        assert torch.equal(model.loss(*batch, generator=generator(3))[0], first)
        assert set(figures) == {"prediction", "copy", "sigreg", "rank"}
        first.backward()
        assert all(p.grad is not None for p in model.parameters())

    def test_predictions_know_nothing_of_what_comes_later(self):
        model = LeWorldModel(SMALL).eval()
        for layer in model.predictor.layers:
            torch.nn.init.normal_(layer.modulation.weight)
        z, action = samples(2, 32).unflatten(1, (2, 16)), samples(2, 8).unflatten(1, (2, 4))
        told = model.predictor(z, action)
        later = model.predictor(z + torch.tensor([0.0, 1.0])[:, None], action + torch.tensor([0.0, 1.0])[:, None])
        assert torch.allclose(told[:, 0], later[:, 0]) and not torch.allclose(told[:, 1], later[:, 1])

    def test_a_rollout_is_the_predictor_step_by_step(self):
        model = LeWorldModel(SMALL).eval()
        past = Past(embeddings=samples(3, 32).unflatten(1, (2, 16)), actions=samples(3, 4).reshape(3, 1, 2, 2))
        actions = samples(3, 5 * 4 * 2).reshape(3, 5, 4, 2).clamp(-1, 1)
        told = model.rollout(past, actions)
        assert told.shape == (3, 5, 2, 16)
        first = torch.cat([past.actions.flatten(2), actions[:, 1, :2].flatten(1)[:, None]], 1)
        one = model.predictor(past.embeddings, first)[:, -1]
        second = torch.stack([actions[:, 1, :2], actions[:, 1, 2:]], 1).flatten(2)
        two = model.predictor(torch.stack([past.embeddings[:, -1], one], 1), second)[:, -1]
        assert torch.allclose(told[:, 1, 0], one, atol=1e-5) and torch.allclose(told[:, 1, 1], two, atol=1e-5)

    @pytest.mark.parametrize("wrong", [{"height": 18}, {"heads": 3}, {"channels": (8, 12)}])
    def test_sizes_that_do_not_fit(self, wrong):
        with pytest.raises(ZoetropeError, match="latent model"):
            replace(SMALL, **wrong)

    def test_observations_of_another_size(self):
        model = LeWorldModel(replace(SMALL, proprioception=3)).eval()
        frames = np.zeros((2, 16, 16, 3), np.uint8)
        assert model.embed(Observation(frames=frames, proprioception=np.zeros(4, np.float32))).shape == (16,)
        for seen, known in ((frames[:1], 4), (frames, 2)):
            with pytest.raises(ZoetropeError, match="expected"):
                model.embed(Observation(frames=seen, proprioception=np.zeros(known, np.float32)))


class TestGrounding:
    config = replace(SMALL, read=3)

    def test_what_can_be_read_is_learnt_and_told_in_its_own_units(self):
        torch.manual_seed(0)
        model = LeWorldModel(self.config).train()
        assert model.reader is not None
        model.reader.centre, model.reader.spread = torch.full((3,), 5.0), torch.full((3,), 2.0)
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        *batch, state = window(self.config, 8)
        for _ in range(60):
            loss, figures = model.loss(*batch, 5 + 2 * state, generator=generator())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert figures["read"] < 0.03
        z = model.encoder(batch[0].flatten(0, 1), batch[1].flatten(0, 1))
        assert (model.reader.state(z) - (5 + 2 * state).flatten(0, 1)).abs().mean() < 0.5

    def test_distance_of_states_is_weighted(self):
        model = LeWorldModel(self.config).eval()
        z, goal = samples(4, 16), samples(8, 16)[4:]
        parts = [Reading(model, weights).apart(z, goal) for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
        assert torch.allclose(sum(parts), Reading(model).apart(z, goal))

    def test_mistakes_end_in_one_line(self):
        with pytest.raises(ZoetropeError, match="trained to read"):
            Reading(LeWorldModel(SMALL))
        with pytest.raises(ZoetropeError, match="expected 3"):
            Reading(LeWorldModel(self.config), (1.0,))


@pytest.mark.parametrize(("kind", "config"), [(LeWorldModel, SMALL), (InverseDynamics, INVERSE)])
class TestFiles:
    def test_what_is_written_is_read(self, kind, config, tmp_path):
        module = kind(config)
        module.save(tmp_path)
        again = kind.load(tmp_path)
        assert again.config == config and not again.training
        assert all(torch.allclose(t, again.state_dict()[n], atol=1e-3) for n, t in module.state_dict().items())

    def test_mistakes_end_in_one_line(self, kind, config, tmp_path):
        kind(config).save(tmp_path)
        (weights,), (text,) = tmp_path.glob("*.safetensors"), tmp_path.glob("*.yaml")
        text.write_text(yaml.safe_dump(yaml.safe_load(text.read_text()) | {"layers": 3}))
        with pytest.raises(ZoetropeError, match="another architecture"):
            kind.load(tmp_path)
        weights.write_bytes(weights.read_bytes()[:-10])
        with pytest.raises(ZoetropeError, match="damaged"):
            kind.load(tmp_path)
        weights.unlink()
        with pytest.raises(ZoetropeError, match="no weights") as caught:
            kind.load(tmp_path)
        assert "\n" not in str(caught.value)


class TestInverse:
    def test_learns_a_tiny_set_and_knows_what_it_cannot_know(self):
        torch.manual_seed(0)
        inverse = InverseDynamics(INVERSE)
        here, there = samples(64, 16), samples(64, 32)[:, 16:]
        action = torch.tanh(samples(64, 6)).unflatten(1, (3, 2))
        left = torch.arange(64) % 10 + 1
        optimizer = torch.optim.Adam(inverse.parameters(), 3e-3)
        for step in range(250):
            value, _ = inverse.loss(here, there, left, action, generator(step))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        told = inverse.eval()(here, there, left)
        counts = torch.arange(3) < left[:, None]
        assert (told.mean - action)[counts].abs().mean() < 0.05
        away = inverse(3 * samples(64, 48)[:, 32:], there, left)
        assert told.spread[counts].mean() < away.spread[counts].mean()

    def test_actions_beyond_the_goal_teach_nothing(self):
        inverse = InverseDynamics(INVERSE)
        here, action = samples(4, 16), torch.zeros(4, 3, 2)
        other = action.clone()
        other[:, 1:] = 1
        left = torch.ones(4, dtype=torch.long)
        one, two = (inverse.loss(here, here, left, a, generator())[0] for a in (action, other))
        assert torch.equal(one, two)

    def test_pseudo_actions_and_their_confidence(self):
        model, inverse = LeWorldModel(SMALL).eval(), InverseDynamics(INVERSE).eval()
        frames = window(SMALL, 1)[0][0].numpy()
        actions, confidence = pseudo_actions(model, inverse, frames)
        assert actions.shape == (len(frames) - 1, 2) and confidence.shape == (len(frames) - 1,)
        assert np.abs(actions).max() <= 1 and (confidence >= 0).all() and (confidence <= 1).all()

    def test_as_a_planner_it_gives_no_more_than_is_asked(self):
        planner = Amortized(InverseDynamics(INVERSE).eval())
        past = Past(embeddings=samples(2, 16)[:, None], actions=torch.zeros(2, 0, 2, 2))
        rng = np.random.default_rng(0)
        assert planner.plan(past, samples(2, 16), rng).shape == (2, 3, 2)
        assert planner.plan(past, samples(2, 16), rng, left=2).shape == (2, 2, 2)


@dataclass
class Spy:
    """A planner that keeps what it was asked, and always plans the same."""

    asked: list[tuple[Past, int | None]]

    def plan(self, past, goal, rng, left=None, before=None):
        self.asked.append((past, left))
        return torch.linspace(-1, 1, 8).reshape(1, 4, 2)


def test_the_controller_remembers_a_stride_apart_and_plans_anew():
    model = LeWorldModel(SMALL).eval()
    rng = np.random.default_rng(0)
    seen = [
        Observation(frames=rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8), proprioception=np.zeros(4, np.float32))
        for _ in range(8)
    ]
    spy = Spy([])
    controller = Controller(model, spy, seen[0], ControllerConfig(execute=3, within=5))
    done = [controller(observation) for observation in seen]
    assert [left for _, left in spy.asked] == [5, 2, 4] and len(controller.plan_seconds) == 3
    plan = torch.linspace(-1, 1, 8).reshape(4, 2).numpy()
    assert np.array_equal(np.stack(done), np.concatenate([plan[:3], plan[:3], plan[:2]]))
    first, second, third = (past for past, _ in spy.asked)
    assert first.embeddings.shape == (1, 1, 16) and first.actions.shape == (1, 0, 2, 2)
    for past, now in ((second, 3), (third, 6)):
        wanted = torch.stack([model.embed(seen[now - 2]), model.embed(seen[now])])
        assert torch.equal(past.embeddings[0], wanted)
        assert np.array_equal(past.actions[0, 0].numpy(), np.stack(done[now - 2 : now]))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> EpisodeStore:
    """Of push, small pictures: the expert, and random actions."""
    pytest.importorskip("mujoco")
    store = EpisodeStore(tmp_path_factory.mktemp("push"))
    task = tasks.make("push", (16, 16))
    for seed in range(3):
        store.write(seed, record_episode(task, policies.make("expert", task), seed, seed))
    return store


def small_config(**more) -> LatentConfig:
    brief = TrainConfig(steps=4, batch=8, warmup=1)
    values = {
        "name": "push_latent",
        "world": "push",
        "model": SMALL,
        "train": brief,
        "inverse": INVERSE,
        "train_inverse": brief,
    }
    return LatentConfig(**values | more)


class TestTraining:
    def test_trains_resumes_and_measures(self, recordings, tmp_path):
        model, inverse = train_latent(small_config(), recordings, tmp_path / "run", tmp_path / "out", progress=False)
        again, _ = train_latent(small_config(), recordings, tmp_path / "run", tmp_path / "other", progress=False)
        assert all(torch.equal(t, again.state_dict()[n]) for n, t in model.state_dict().items())
        fresh, _ = train_latent(small_config(), recordings, tmp_path / "fresh", tmp_path / "fresh", progress=False)
        assert all(torch.equal(t, fresh.state_dict()[n]) for n, t in model.state_dict().items())
        assert (tmp_path / "run" / "summary.json").exists()
        collapse = measure(model, recordings).as_dict()
        assert 1 <= collapse["rank"] <= 16 and len(collapse["objects_r2"]) == 7 and collapse["objects_r2"][2] is None

    def test_the_planner_is_trained_and_what_has_none_plans_by_its_inverse_dynamics(self, recordings, tmp_path):
        brief = TrainConfig(steps=3, batch=8, warmup=1)
        taught = small_config(
            train_planner=brief,
            inverse=replace(INVERSE, chunk=SMALL.stride, reach=2 * SMALL.stride),
            controller=ControllerConfig(within=2 * SMALL.stride),
        )
        for name, config in (("taught", taught), ("plain", small_config())):
            train_latent(config, recordings, tmp_path / "run" / name, tmp_path / name, progress=False)
        train_latent(taught, recordings, tmp_path / "run" / "taught", tmp_path / "again", progress=False)
        ours, again, plain = (Latent.open(str(tmp_path / name)) for name in ("taught", "again", "plain"))
        assert ours.fingerprint == again.fingerprint and plain.amortized is plain.inverse
        same = [torch.equal(t, ours.inverse.state_dict()[n]) for n, t in ours.amortized.state_dict().items()]
        assert not all(same)
        (tmp_path / "taught" / "planner.safetensors").unlink()
        with pytest.raises(ZoetropeError, match=r"planner\.safetensors"):
            Latent.open(str(tmp_path / "taught"))

    def test_a_planner_learns_to_end_at_its_goals(self):
        """In a model where actions move the first two numbers of an embedding, from pairs whose actions say nothing."""
        config = replace(INVERSE, embedding=4, chunk=2, reach=4, dropout=0.0)

        class Moves:
            config, stride = replace(SMALL, stride=2, embedding=4, action=2), 2

            def predictor(self, z, action):
                return z + torch.nn.functional.pad(action.unflatten(-1, (2, 2)).sum(-2), (0, 2))

            def apart(self, z, goal):
                return (z - goal).square().sum(-1)

        planner, model = InverseDynamics(config), Moves()
        optimizer = torch.optim.Adam(planner.parameters(), 3e-3)
        apart = []
        for step in range(150):
            here = torch.randn(64, 4, generator=generator(step))
            there = here + torch.nn.functional.pad(2 * torch.rand(64, 2, generator=generator(step)) - 1, (0, 2))
            hindsight = here, there, torch.full((64,), 2), torch.zeros(64, 2, 2)
            loss, figures = imagined_loss(model, model, planner, Goals(here, there, 1 + step % 2, hindsight), generator(step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            apart.append(figures["apart"] / figures["before"])
        assert np.mean(apart[:5]) > 0.5 and np.mean(apart[-10:]) < 0.1

    def test_recordings_of_another_size(self, recordings):
        for wrong in ({"height": 32}, {"action": 3}, {"proprioception": 9}, {"stride": 500}):
            with pytest.raises(ZoetropeError, match=str(recordings.folder)):
                MomentSampler(recordings, replace(SMALL, **wrong), 0)

    def test_a_config_at_odds_with_itself(self):
        with pytest.raises(ZoetropeError, match="embedding and action"):
            small_config(inverse=replace(INVERSE, embedding=8))
        with pytest.raises(ZoetropeError, match="chunk must be the model's stride"):
            brief = TrainConfig(steps=1, batch=1)
            small_config(train_planner=brief, inverse=replace(INVERSE, chunk=SMALL.stride + 1, reach=50))

    def test_the_preset_is_of_its_worlds_recordings(self):
        preset = load(worlds.CONFIGS / "push_latent.yaml")
        world = worlds.load(worlds.CONFIGS / f"{preset.world}.yaml")
        task = world.record.make_task()
        assert (preset.model.cameras, preset.model.action) == (len(task.cameras), task.action_size)
        assert (preset.model.height, preset.model.width) == task.size


def test_the_probe_reads_what_is_linear_and_nothing_else():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((400, 6))
    values = np.stack([z @ rng.standard_normal(6) + 3, rng.standard_normal(400), np.full(400, 2.0)], 1)
    linear, noise, constant = probe(z[:200], values[:200], z[200:], values[200:])
    assert linear > 0.99 and noise < 0.1 and np.isnan(constant)


class TestProtocols:
    config = ProtocolConfig(pairs=3, offset=12, budget=20, random=1)

    @pytest.fixture
    def task(self):
        return tasks.make("push", (16, 16))

    def test_distance_is_of_what_moves(self, task):
        seen = task.reset(0)
        moved = seen.known_objects.copy()
        moved[:2] += (0.03, 0.04)
        moved[3:] = 0  # neither its turn nor the disc counts
        goal = Observation(frames=seen.frames, proprioception=seen.proprioception + 1, objects=moved)
        assert evaluate.distance(task, seen, goal) == pytest.approx(0.05, abs=1e-6)
        reach = tasks.make("reach", (16, 16))
        seen = reach.reset(0)
        goal = Observation(frames=seen.frames, proprioception=seen.proprioception + np.float32(0.1), objects=seen.objects)
        assert evaluate.distance(reach, seen, goal) == pytest.approx(0.1 * 3**0.5, abs=1e-6)

    def test_strict_refuses_what_is_solved_already(self, task, recordings):
        expert = recordings.length(0) - 1 - self.config.offset
        solved = evaluate.make_pair(task, recordings, 0, 0, replace(self.config, offset=1))
        assert evaluate.refusal(task, solved, self.config) == "start solved"
        unsolved = evaluate.make_pair(task, recordings, 0, expert - HOLD, self.config)
        assert unsolved.distance > self.config.tolerance and evaluate.refusal(task, unsolved, self.config) is None

    def test_strict_refuses_what_stands_still_or_luck_solve(self, task, recordings, monkeypatch):
        pair = evaluate.make_pair(task, recordings, 0, 0, self.config)
        seen = task.restore(pair.start)
        hand = Pair(episode=0, frame=0, start=pair.start, goal=seen, distance=1.0)  # as if it had started elsewhere
        assert evaluate.refusal(task, hand, self.config) == "solved by standing still"
        monkeypatch.setattr(evaluate, "distance", Falling())
        assert evaluate.refusal(task, replace(pair, distance=1.0), self.config) == "solved by random actions"

    def test_pairs_replay_the_recording_and_the_recorded_actions_solve_them(self, task, recordings):
        pairs = evaluate.find_pairs(task, recordings, self.config, progress=False)
        assert pairs.accepted and len(pairs.accepted) <= 3
        assert all(pair.distance >= self.config.tolerance for pair in pairs.accepted)
        for pair in pairs.accepted:
            seen = task.restore(pair.start)
            episode = recordings.read(pair.episode, pair.frame, self.config.offset + 1)
            assert np.array_equal(seen.frames, episode.frames[0])
            actions = iter([*episode.action[:-1], *np.zeros((self.config.budget, 2))])
            assert evaluate.attempt(task, pair, lambda o, a=actions: next(a), self.config, 0).success

    def test_a_report_stands_beside_random_and_standing_still(self, task, recordings):
        model, inverse = LeWorldModel(SMALL).eval(), InverseDynamics(INVERSE).eval()
        planner, config = Amortized(inverse), ControllerConfig(execute=2)
        report = evaluate.evaluate(
            task, recordings, {"amortized": lambda g: Controller(model, planner, g, config)}, self.config, progress=False
        )
        figures = report.as_dict()
        assert set(figures["policies"]) == {"amortized", "random", "still"} and figures["start_solved"]["value"] == 0
        assert figures["policies"]["still"]["success"]["value"] == 0
        assert (
            figures["policies"]["amortized"]["plan_seconds"]["p50"] > 0
            and figures["policies"]["random"]["plan_seconds"] is None
        )
        original = evaluate.evaluate(task, recordings, {}, replace(self.config, kind="original", offset=1), progress=False)
        assert original.success("still").value == 1 == original.as_dict()["start_solved"]["value"]

    def test_recordings_that_hold_no_pair(self, task, recordings):
        with pytest.raises(ZoetropeError, match="no pair for the strict protocol"):
            evaluate.find_pairs(task, recordings, replace(self.config, offset=1), progress=False)
        with pytest.raises(ZoetropeError, match="no episode is long enough"):
            evaluate.find_pairs(task, recordings, replace(self.config, offset=1000), progress=False)
        with pytest.raises(ZoetropeError, match="recorded in task 'push', not 'reach'"):
            evaluate.find_pairs(tasks.make("reach"), recordings, self.config, progress=False)


class Falling:
    """A distance that nothing reaches in the first try and everything in the second."""

    def __init__(self):
        self.asked = 0

    def __call__(self, task, seen, goal) -> float:
        self.asked += 1
        return 1.0 if self.asked <= TestProtocols.config.budget + 1 else 0.0
