"""Trust in a generated world: every figure against hand-worked, published or simulated truth."""

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ZoetropeError
from core.evaluation.correlation import pearson, spearman
from robotics.trust.calibration import calibrate
from robotics.trust.judge import Judge, agreement
from robotics.trust.outcomes import Outcomes
from robotics.trust.powered import powered
from robotics.trust.ranking import mmrv
from robotics.trust.rates import paired_difference, wilson
from robotics.trust.resample import Resampled, noise_floor
from robotics.trust.trust import measure

rates = st.lists(st.integers(0, 20), min_size=2, max_size=8).map(lambda v: np.array(v) / 20)


def tables(rng, rates, episodes=50, flip=0.0):
    """Success at `rates` in MuJoCo, and the same with a share of verdicts turned round in the world."""
    true = rng.random((len(rates), episodes)) < np.asarray(rates)[:, None]
    return true, true ^ (rng.random(true.shape) < flip)


def outcomes(true, world, **more) -> Outcomes:
    return Outcomes(policies=tuple(f"p{i}" for i in range(len(true))), true=true, world=world, **more)


# --- correlation ---


@given(rates, st.integers(0, 99))
def test_correlations_are_those_of_numpy_and_of_ranks(a, seed):
    b = np.random.default_rng(seed).permutation(a)
    if np.ptp(a) == 0:
        assert np.isnan(pearson(a, b)) and np.isnan(spearman(a, b))
    else:
        assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
        assert spearman(a, np.exp(a)) == pytest.approx(1) and spearman(a, -a) == pytest.approx(-1)
        assert spearman(a, b) == pytest.approx(spearman(a**3, b))


# --- mean maximum rank violation ---

# SIMPLER (arXiv 2405.05941), table of the Google robot: RT-2-X, RT-1 converged, 15 %, RT-1-X, begin, Octo-Base
SIMPLER = {
    "pick coke can": ((0.907, 0.853, 0.920, 0.760, 0.133, 0.293), (0.787, 0.857, 0.710, 0.567, 0.027, 0.170), 0.031),
    "move near": ((0.733, 0.633, 0.583, 0.450, 0.017, 0.350), (0.779, 0.442, 0.354, 0.317, 0.050, 0.042), 0.111),
    "open drawer": ((0.333, 0.815, 0.704, 0.519, 0.000, 0.148), (0.157, 0.601, 0.463, 0.296, 0.000, 0.009), 0.000),
    "close drawer": ((0.630, 0.926, 0.889, 0.741, 0.000, 0.519), (0.343, 0.861, 0.667, 0.891, 0.278, 0.444), None),
    "place apple": ((0.074, 0.185, 0.185, 0.407, 0.000, 0.000), (0.037, 0.065, 0.130, 0.213, 0.000, 0.000), 0.000),
}


def mmrv_by_hand(world, true):
    """The definition, pair by pair."""
    n = range(len(true))
    return sum(
        max(abs(true[i] - true[j]) for j in n if (world[i] > world[j]) != (true[i] > true[j]) or i == j) for i in n
    ) / len(n)


@pytest.mark.parametrize("task", SIMPLER)
def test_mmrv_on_published_tables(task):
    true, world, published = SIMPLER[task]
    found = mmrv(world=np.array(world), true=np.array(true))
    assert found == pytest.approx(mmrv_by_hand(world, true))
    if published is not None:
        assert found == pytest.approx(published, abs=6e-4)


@given(rates, st.integers(0, 99))
def test_mmrv_is_its_definition_and_inversions_are_never_more(true, seed):
    world = np.random.default_rng(seed).permutation(true)
    found = mmrv(world=world, true=true)
    assert found == pytest.approx(mmrv_by_hand(world, true)) and 0 <= found <= 1
    assert mmrv(world=world, true=true, ties="inversion") <= found + 1e-12
    assert mmrv(world=true**2, true=true) == 0 == mmrv(world=true, true=true, ties="inversion")


def test_mmrv_measures_the_gap_on_the_true_side():
    true, world = np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.0, 0.2])
    assert mmrv(world=world, true=true) == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert mmrv(world=true, true=world) == pytest.approx((0.1 + 0.1 + 0) / 3)
    with pytest.raises(TypeError):
        mmrv(world, true)  # type: ignore[reportCallIssue]


def test_what_a_tie_is_has_a_name():
    true, world = np.array([0.2, 0.8, 1.0]), np.array([0.5, 0.5, 0.9])
    assert mmrv(world=world, true=true, ties="simpler") == pytest.approx(0.6 / 3)  # charged to the better one alone
    assert mmrv(world=world, true=true, ties="inversion") == 0
    assert mmrv(world=true, true=world) == 0  # a tie in the truth costs nothing
    with pytest.raises(ValueError, match="ties"):
        mmrv(world=world, true=true, ties="none")  # type: ignore[arg-type]


# --- rates ---


def test_wilson_by_the_book():
    found = wilson(8, 10)
    assert (found.value, found.count) == (0.8, 10) and found.bounds == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert wilson(0, 20).low == 0 and wilson(20, 20).high == 1 and wilson(20, 20).low == pytest.approx(0.8389, abs=1e-4)
    assert math.isnan(wilson(0, 0).value)


def test_paired_differences_hold_the_truth_and_gain_from_pairing():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        luck = rng.random(40)
        held += (lambda i: i.low <= 0.2 <= i.high)(paired_difference(luck < 0.6, luck < 0.4))
    assert held >= 0.93 * 400
    luck, other = rng.random((2, 100))
    width = lambda i: i.high - i.low  # noqa: E731
    assert width(paired_difference(luck < 0.6, luck < 0.4)) < width(paired_difference(luck < 0.6, other < 0.4))
    assert paired_difference(luck < 0.6, luck < 0.6).value == 0 < width(paired_difference(luck < 0.6, luck < 0.6))


# --- bootstrap and noise floor ---


def test_bootstrap_is_wide_as_both_policies_and_episodes_are_few_and_repeats():
    rng = np.random.default_rng(1)
    true, world = tables(rng, np.linspace(0.05, 0.95, 16), 50, 0.1)
    width = lambda i: i.high - i.low  # noqa: E731
    full = Resampled.draw(outcomes(true, world)).interval(pearson)
    assert full.low < full.value < full.high and full == Resampled.draw(outcomes(true, world)).interval(pearson)
    mean = lambda true: width(Resampled.draw(outcomes(true, true)).interval(lambda world, true: true.mean(-1)))  # noqa: E731
    alike = tables(rng, np.full(16, 0.5))[0]
    assert mean(true[::3]) > 1.3 * mean(true) and mean(alike[:, :8]) > 1.3 * mean(alike)


def test_a_perfect_copy_of_the_outcomes_is_certain():
    true, _ = tables(np.random.default_rng(2), np.linspace(0, 1, 6))
    found = measure(outcomes(true, true.copy()))
    assert found.pearson.bounds == pytest.approx([1, 1]) and found.mmrv.bounds == [0, 0] and found.bias.bounds == [0, 0]
    assert all(found.within_noise_floor.values()) and found.judge.errors() == {}


def test_a_thousand_draws_take_less_than_two_seconds():
    true, world = tables(np.random.default_rng(3), np.linspace(0.1, 0.9, 16), 50, 0.1)
    start = time.process_time()
    measure(outcomes(true, world))
    assert time.process_time() - start < 2


def test_the_noise_floor_of_sixteen_policies_by_fifty_episodes():
    """Rates uniform in [0, 1]; the figures were found by another program."""
    rng = np.random.default_rng(4)
    floors = [noise_floor(rng.random(16), 50, draws=200, seed=seed) for seed in range(60)]
    mean = lambda name: np.mean([floor[name].mean for floor in floors])  # noqa: E731
    assert mean("pearson") == pytest.approx(0.958, abs=0.01)
    assert mean("spearman") == pytest.approx(0.94, abs=0.015)
    assert mean("mmrv") == pytest.approx(0.066, abs=0.012)
    assert all(floor["pearson"].low < floor["pearson"].mean < floor["pearson"].high for floor in floors)


def test_the_noise_floor_falls_with_episodes():
    few, many = (noise_floor(np.linspace(0.1, 0.9, 12), n) for n in (20, 500))
    assert many["pearson"].low > few["pearson"].low and many["mmrv"].high < few["mmrv"].high


# --- calibration ---


def test_calibration_by_hand():
    said = np.array([0.1, 0.1, 0.9, 0.9])
    found = calibrate(said, np.array([False, True, True, True]), bins=2)
    assert found.brier == pytest.approx((0.01 + 0.81 + 0.01 + 0.01) / 4) and found.brier_base == pytest.approx(0.75 * 0.25)
    assert found.ece == pytest.approx((0.4 + 0.1) / 2)
    assert [(b.low, b.observed.value, b.observed.count) for b in found.bins] == [(0, 0.5, 2), (0.5, 1.0, 2)]


def test_honest_probabilities_are_calibrated_and_bold_ones_are_not():
    rng = np.random.default_rng(5)
    said = rng.random(20000)
    came = rng.random(20000) < said
    assert calibrate(said, came).ece < 0.02 and calibrate((said > 0.5).astype(float), came).ece > 0.2
    assert calibrate(said, came).brier == pytest.approx(1 / 6, abs=0.01)
    assert sum(b.observed.count for b in calibrate(np.array([0.0, 1.0]), np.array([False, True])).bins) == 2
    with pytest.raises(ZoetropeError, match="between 0 and 1"):
        calibrate(np.array([1.2]), np.array([True]))


# --- prediction-powered inference ---


def rollouts(rng, rate, wrong_success, wrong_failure, trials, count):
    """`trials` samples of `count` episodes in both worlds; the world errs at these rates where the truth fails or succeeds."""
    true = rng.random((trials, count)) < rate
    return true, np.where(true, rng.random(true.shape) >= wrong_failure, rng.random(true.shape) < wrong_success)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("wrong", [(0.0, 0.0), (0.1, 0.05), (0.5, 0.1), (0.5, 0.5)])
def test_intervals_hold_the_truth_whatever_the_world_is_worth(rate, wrong):
    rng = np.random.default_rng(6)
    true, paired = rollouts(rng, rate, *wrong, trials=1000, count=30)
    _, generated = rollouts(rng, rate, *wrong, trials=1000, count=300)
    found = powered(true, paired, generated)
    assert ((found.low <= rate) & (rate <= found.high)).mean() >= 0.93
    assert found.value.mean() == pytest.approx(rate, abs=0.015)
    assert (found.error <= found.error_alone + 1e-12).all()


def test_a_good_world_saves_rollouts_and_a_blind_one_none():
    rng = np.random.default_rng(7)
    saved, belief = {}, {}
    for name, wrong in {"good": (0.05, 0.05), "blind": (0.5, 0.5)}.items():
        true, paired = rollouts(rng, 0.5, *wrong, trials=200, count=50)
        found = powered(true, paired, rollouts(rng, 0.5, *wrong, trials=200, count=2000)[1])
        saved[name], belief[name] = found.rollouts_saved, found.tuning.mean()
    assert saved["good"] > 0.6 > 0.05 > saved["blind"] >= 0 and belief["good"] > 0.7 > 0.2 > belief["blind"]


def test_rollouts_saved_are_rollouts_saved():
    """As many more true rollouts as claimed, without the world, give intervals of the same width."""
    rng = np.random.default_rng(8)
    true, paired = rollouts(rng, 0.6, 0.1, 0.1, trials=300, count=100)
    found = powered(true, paired, rollouts(rng, 0.6, 0.1, 0.1, trials=300, count=5000)[1])
    more = round(100 / (1 - found.rollouts_saved))
    alone = powered(*(rng.random((300, k)) < 0.6 for k in (more, more, 2)))
    assert alone.error_alone.mean() == pytest.approx(found.error.mean(), rel=0.05)


def test_a_world_that_never_erred_is_not_believed_to_be_perfect():
    true = np.ones(20, bool)
    true[::3] = False
    found = powered(true, true.copy(), np.resize(true, 100_000))
    assert found.high - found.low > 0.1 and found.tuning < 1


# --- judge ---


def test_agreement_tells_which_way_the_judge_errs():
    truth = np.array([True] * 6 + [False] * 4)
    said = np.array([True] * 5 + [False] + [True] * 2 + [False] * 2)
    found = agreement(said, truth)
    assert found.rate.value == pytest.approx(0.7) and found.chance == pytest.approx(0.6)
    assert (found.false_success.value, found.false_failure.value) == (0.5, pytest.approx(1 / 6))
    assert agreement(truth[:6], truth[:6]).as_dict()["false_success"] is None


def test_errors_are_told_apart_by_where_they_come_in():
    truth = np.arange(100) % 2 == 0
    off = lambda wrong: agreement(truth ^ (np.arange(100) < wrong), truth)  # noqa: E731
    judge = Judge(real=off(2), replay=off(5), closed_loop=off(15))
    assert judge.errors() == pytest.approx({"judge": 0.02, "replay": 0.03, "closed_loop": 0.10})
    assert Judge(real=off(2), closed_loop=off(15)).errors() == pytest.approx({"judge": 0.02})


# --- the account ---


def whole() -> Outcomes:
    rng = np.random.default_rng(9)
    true, world = tables(rng, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 40, 0.05)
    _, extra = tables(rng, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 400, 0.05)
    return outcomes(
        true,
        world,
        extra=extra,
        predicted=np.where(world, 0.9, 0.1),
        training_runs=(None, "a", "a", "b", "c", None),
        random="p0",
    )


def test_the_account_has_what_machines_read():
    found = json.loads(json.dumps(measure(whole()).as_dict(), allow_nan=False))
    assert {"pearson", "spearman", "mmrv", "noise_floor", "bias", "judge", "rollouts_saved"} <= set(found)
    assert (found["policies"], found["episodes"], found["independent_training_runs"]) == (6, 40, 3)
    assert found["pearson"]["value"] > 0.9 and found["pearson"]["ci95"][0] < found["pearson"]["value"]
    assert {"mean", "band90"} == set(found["noise_floor"]["mmrv"]) and set(found["judge"]) >= {"real", "replay", "closed_loop"}
    policy = found["per_policy"]["p3"]
    assert policy["training_run"] == "b" and len(policy["success_true"]["ci95"]) == 2 and policy["success_world"]["n"] == 40
    assert policy["over_random_true"]["value"] == pytest.approx(policy["success_true"]["value"])
    assert found["per_policy"]["p0"]["over_random_true"] is None and 0 < found["rollouts_saved"] < 1
    assert found["calibration"]["brier"] < found["calibration"]["brier_base"]


def test_few_policies_correlate_with_nothing():
    true, world = tables(np.random.default_rng(10), [0.2, 0.8])
    found = json.loads(json.dumps(measure(outcomes(true, world)).as_dict(), allow_nan=False))
    assert found["pearson"] is None and found["noise_floor"]["mmrv"] is None and found["bias"]["value"] == 0
    assert found["within_noise_floor"] == {"pearson": None, "spearman": None, "mmrv": None} and found["rollouts_saved"] is None


def test_a_world_that_calls_everything_success_is_biased_and_outside_the_floor():
    true, _ = tables(np.random.default_rng(11), np.linspace(0.1, 0.9, 8))
    found = measure(outcomes(true, np.ones_like(true)))
    assert found.bias.value == pytest.approx(0.5, abs=0.1) and found.bias.low > 0.2
    assert found.within_noise_floor == {"pearson": None, "spearman": None, "mmrv": False}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"world": np.zeros((2, 4), bool)}, r"outcomes world: expected shape \(2, 5\)"),
        ({"true": np.zeros((2, 5))}, "outcomes true: expected bool"),
        ({"policies": ("a", "a")}, "a name stands twice"),
        ({"policies": (), "true": np.zeros((0, 5), bool)}, "one policy and one episode or more"),
        ({"extra": np.zeros((3, 9), bool)}, "outcomes extra: expected 2 rows"),
        ({"predicted": np.full((2, 5), np.nan)}, "probabilities between 0 and 1"),
        ({"training_runs": ("x",)}, "outcomes training_runs: expected 2"),
        ({"random": "c"}, "no policy is named 'c'"),
    ],
)
def test_tables_that_do_not_fit_are_named(wrong, message):
    right = {"policies": ("a", "b"), "true": np.zeros((2, 5), bool), "world": np.zeros((2, 5), bool)}
    with pytest.raises(ZoetropeError, match=message):
        Outcomes(**(right | wrong))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_any_table_gives_an_account(policies, episodes, seed):
    rng = np.random.default_rng(seed)
    true, world, extra = (rng.random((policies, n)) < 0.5 for n in (episodes, episodes, 4))
    found = measure(outcomes(true, world, extra=extra), draws=50)
    json.dumps(found.as_dict(), allow_nan=False)
    assert found.bias.value == pytest.approx(world.mean() - true.mean())
