"""Metrics against closed forms, intervals, the probe on a toy, places, the ledger, the yardstick's size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.evaluation import intervals, metrics, places, probe
from core.evaluation.ledger import Ledger
from core.evaluation.yardstick import Yardstick


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny work on many threads is slower than on one, much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def frames() -> np.ndarray:
    """Smooth random pictures, uint8 (6, 1, 48, 64, 3)."""
    import cv2

    coarse = np.random.default_rng(0).integers(0, 255, (6, 12, 16, 3)).astype(np.uint8)
    return np.stack([cv2.resize(c, (64, 48), interpolation=cv2.INTER_CUBIC) for c in coarse])[:, None]


def blurred(frames: np.ndarray, sigma: float) -> np.ndarray:
    import cv2

    return np.stack([cv2.GaussianBlur(f[0], (0, 0), sigma) for f in frames])[:, None]


def test_psnr_is_the_formula(frames: np.ndarray) -> None:
    flat = np.full((2, 1, 8, 8, 3), 100, np.uint8)
    assert metrics.psnr(flat, flat + 10) == pytest.approx([20 * np.log10(255 / 10)] * 2)
    assert metrics.psnr(frames, frames) == pytest.approx([metrics.PSNR_CEILING] * 6)


def test_ssim_of_flat_frames_is_the_formula() -> None:
    a, b = np.full((1, 1, 16, 16, 3), 100, np.uint8), np.full((1, 1, 16, 16, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert metrics.ssim(a, b)[0] == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), abs=1e-4)
    assert metrics.ssim(a, a)[0] == pytest.approx(1.0)


def test_perceptual_orders_what_eyes_order(frames: np.ndarray) -> None:
    same, shifted = metrics.perceptual(frames, frames), metrics.perceptual(frames, np.roll(frames, 1, 3))
    little, much = metrics.perceptual(frames, blurred(frames, 1.5)), metrics.perceptual(frames, blurred(frames, 3))
    other = metrics.perceptual(frames, np.roll(frames, 1, 0))
    assert same.max() == 0 and max(much.max(), other.max()) <= 1
    assert shifted.mean() < little.mean() < much.mean() and shifted.mean() < other.mean()
    assert (
        metrics.psnr(frames, np.roll(frames, 1, 3)) < metrics.psnr(frames, blurred(frames, 1.5))
    ).all()  # PSNR likes the blur
    assert metrics.perceptual(frames, blurred(frames, 3)) == pytest.approx(metrics.perceptual(blurred(frames, 3), frames))


def test_gradient_energy_is_the_formula(frames: np.ndarray) -> None:
    ramp = np.repeat(np.arange(32, dtype=np.uint8)[None, :, None] * 5, 3, -1)[None, None].repeat(8, 2)
    assert metrics.gradient_energy(ramp)[0] == pytest.approx((5 / 255) ** 2, rel=1e-4)
    assert (metrics.gradient_energy(blurred(frames, 3)) < 0.6 * metrics.gradient_energy(frames)).all()


def test_histogram(frames: np.ndarray) -> None:
    histogram = metrics.colour_histogram(frames)
    assert histogram.sum() == pytest.approx(1) and metrics.histogram_overlap(histogram, histogram) == pytest.approx(1)
    assert metrics.histogram_overlap(histogram, metrics.colour_histogram(np.zeros_like(frames))) < 0.5


def test_bootstrap() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = intervals.mean(values)
    assert found == intervals.mean(values) and found is not None
    assert found.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.04) and found.high == pytest.approx(
        values.mean() + half, abs=0.04
    )
    assert intervals.mean([]) is None and intervals.mean([np.nan]) is None
    alone = intervals.mean([1.0, 3.0], ["a", "a"])
    assert alone is not None and alone.value == 2.0 and np.isnan(alone.low)  # one level tells nothing about others


def test_paired_and_grouped_bootstrap() -> None:
    rng = np.random.default_rng(2)
    level = rng.normal(0, 5, 20).repeat(10)
    first, second = level + rng.normal(1, 0.1, 200), level + rng.normal(0, 0.1, 200)
    paired = intervals.difference(first, second)
    alone, grouped = intervals.mean(first), intervals.mean(first, np.arange(20).repeat(10))
    assert paired and alone and grouped
    assert paired.high - paired.low < 0.1 * (alone.high - alone.low)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)  # ten episodes of a level are not ten levels
    ratio = intervals.ratio([1, 2, 3], [2, 4, 6])
    assert ratio is not None and ratio.value == ratio.low == ratio.high == pytest.approx(0.5)


def moving_dot(seed: int, frames: int = 64) -> Episode:
    """A bright bar that the first component moves left or right; the second does nothing that can be seen."""
    rng = np.random.default_rng(seed)
    action = np.repeat(rng.choice([-1.0, 0.0, 1.0], (frames // 4, 2)), 4, 0).astype(np.float32)
    x = np.concatenate([[16], 16 + np.cumsum(action[:-1, 0] * 3)]).astype(int) % 32
    picture = np.zeros((frames, 1, 16, 32, 3), np.uint8)
    for t, column in enumerate(x):
        picture[t, 0, :, (column + np.arange(4)) % 32] = 255
    return Episode(frames=picture, action=action)


def test_probe_learns_a_toy(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "train")
    for index in range(8):
        store.write(index, moving_dot(index))
    config = probe.ProbeConfig(classes=(3,), components=(0,), height=16, width=32, channels=(16, 32), steps=120, batch=32)
    reader = probe.cached(store, config, tmp_path, "toy")
    unseen = moving_dot(99)
    counts = probe.confusions(unseen.frames, unseen.action, reader)
    assert counts.shape == (1, 3, 3) and counts.sum() == 62
    assert probe.balanced_accuracy(counts) > 0.9
    frozen = np.broadcast_to(unseen.frames[:1], unseen.frames.shape)
    assert probe.balanced_accuracy(probe.confusions(frozen, unseen.action, reader)) < 0.5
    again = probe.cached(store, config, tmp_path, "toy")
    assert (probe.confusions(unseen.frames, unseen.action, again) == counts).all()
    next(tmp_path.glob("probe-*.safetensors")).write_bytes(b"cut short")
    assert (probe.confusions(unseen.frames, unseen.action, probe.cached(store, config, tmp_path, "toy")) == counts).all()


def test_balanced_accuracy_does_not_reward_the_common_class() -> None:
    always_zero = np.array([[[0, 10, 0], [0, 80, 0], [0, 10, 0]]])
    assert probe.balanced_accuracy(always_zero) == pytest.approx(1 / 3)


def pose(x: float, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    out = np.eye(4)
    out[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    out[0, 3] = x
    return out


def test_gap_between_poses() -> None:
    distance, degrees = places.gap(pose(3, 10), pose(7, 350))
    assert distance == pytest.approx(4) and degrees == pytest.approx(20, abs=1e-4)
    near = places.Nearness(distance=5, degrees=15)
    assert not places.same_place(pose(3, 10), pose(7, 350), near)
    assert places.same_place(pose(3, 10), pose(7, 350), places.Nearness(distance=5, degrees=None))


def test_laps_and_absences() -> None:
    near = places.Nearness(distance=1, degrees=30)
    walk = np.stack([pose(x, 0) for x in [0, 0.5, 1.5, 3, 1.5, 0.9, 0.2, 0, 2, 4]])
    assert places.home_again(walk, near) == 6
    assert places.home_again(walk[:5], near) is None
    assert places.longest_absence(walk, near) == (2, 5)
    assert places.longest_absence(walk[:3], near) is None


def test_gallery_finds_the_place_in_a_blur(frames: np.ndarray) -> None:
    gallery = places.Gallery()
    gallery.add(0, frames, np.stack([pose(10 * i, 0) for i in range(6)]))
    assert gallery.nearest(blurred(frames, 3))[:, 0, 3] == pytest.approx([0, 10, 20, 30, 40, 50])
    without_itself = gallery.nearest(frames[:1], without=[(0, 0)], margin=1)
    assert without_itself[0, 0, 3] >= 20


def test_ledger_survives_a_cut(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "test", {"a": 1})
    ledger.add("one", {"x": 1.5})
    ledger.add("two", {"x": 2.5})
    ledger.close()
    ledger.path.write_bytes(ledger.path.read_bytes()[:-3])
    again = Ledger(tmp_path, "test", {"a": 1})
    assert again.rows == {"one": {"x": 1.5}}
    again.add("three", {"x": 3.5})
    again.close()
    assert list(Ledger(tmp_path, "test", {"a": 1}).rows) == ["one", "three"]
    assert Ledger(tmp_path, "test", {"a": 2}).rows == {}


def test_yardstick_has_the_peers_size() -> None:
    assert Yardstick().parameter_count == pytest.approx(4.4e6, rel=0.05)
