"""Spatial memory, its geometry and the motion head: what was seen is shown again, and what was looked through stays empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.backbone.motion import MotionConfig, MotionHead
from core.backbone.transformer import ActionConfig
from core.memory.geometry import inverse, move, pixel_rays, relative_motion
from core.memory.obstacles import CLEAR, SCAN_SECTORS, obstacle_points, scan_points
from core.memory.spatial import SpatialConfig, SpatialMemory

HEIGHT, WIDTH = 48, 64
INTRINSICS = torch.tensor([[32.0, 0, 32], [0, 32, 24], [0, 0, 1]])
motions = st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6)


def level_pose(x: float = 0.0, y: float = 0.0, heading: float = 0.0) -> torch.Tensor:
    """A camera at eye height 1 that looks along `heading` radians from world x; world z up."""
    c, s = np.cos(heading), np.sin(heading)
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor([[s, 0, c], [-c, 0, s], [0, -1, 0]])
    pose[:3, 3] = torch.tensor([x, y, 1.0])
    return pose


def wall(pose: torch.Tensor, distance: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Colour (3, H, W) and depth (H, W) of an endless wall at world x = `distance` with a smooth pattern."""
    rays = pixel_rays(INTRINSICS, HEIGHT, WIDTH) @ pose[:3, :3].T
    depth = (distance - pose[0, 3]) / rays[:, 0]
    point = pose[:3, 3] + rays * depth[:, None]
    pattern = torch.stack([torch.sin(3 * point[:, 1]), torch.cos(2 * point[:, 2]), torch.sin(point[:, 1] + point[:, 2])])
    return 0.8 * pattern.view(3, HEIGHT, WIDTH), depth.view(HEIGHT, WIDTH)


def memory(**settings) -> SpatialMemory:
    return SpatialMemory(SpatialConfig(capacity=8, near=0.1, **settings), INTRINSICS, HEIGHT, WIDTH)


@given(motions, motions)
@settings(max_examples=40, deadline=None)
def test_a_motion_is_what_it_moves(start, step):
    pose = move(torch.eye(4, dtype=torch.float64), torch.tensor(start, dtype=torch.float64))
    motion = torch.tensor(step, dtype=torch.float64)
    assert torch.allclose(relative_motion(pose, move(pose, motion)), motion, atol=1e-9)
    assert torch.allclose(inverse(pose) @ pose, torch.eye(4, dtype=torch.float64), atol=1e-12)


@given(st.floats(-1.0, 1.0), st.floats(-0.6, 0.6), st.floats(-0.25, 0.25))
@settings(max_examples=25, deadline=None)
def test_what_was_seen_is_shown_from_elsewhere(x, y, heading):
    bank = memory()
    for start in (level_pose(), level_pose(0.2, 0.8, -0.2), level_pose(0.2, -0.8, 0.2)):
        bank.add(*wall(start), start, 0)
    here = level_pose(x, y, heading)
    colour, depth = wall(here)
    shown = bank.render(here, 1)
    seen = shown.valid > 0
    assert seen.float().mean() > 0.6
    assert (shown.colour - colour).abs().mean(0)[seen].mean() < 0.02
    assert ((shown.depth - depth).abs() / depth)[seen].mean() < 0.02


def test_an_empty_memory_shows_nothing():
    shown = memory().render(level_pose(), 0)
    assert not shown.valid.any() and shown.recalled == ()


def test_imagination_does_not_stand_where_real_eyes_saw_through():
    here = level_pose()
    colour, depth = wall(here)
    bank = memory()
    bank.add(colour, depth, here, 0)
    imagined = lambda m, far, number: m.insert(m.keyframe(colour, far, here, number, False, m.render(here, number).witnesses))  # noqa: E731
    slot = imagined(bank, depth * 0.4, 1)
    assert not (bank.pictures[slot][3] > 0).any()
    kept = imagined(bank, depth * 1.01, 2)  # on the wall itself, as nearly as depth is known
    assert (bank.pictures[kept][3] > 0).all()
    alone = memory()
    assert (alone.pictures[imagined(alone, depth * 0.4, 0)][3] > 0).all()


@given(st.floats(0.5, 3.0), st.floats(-0.5, 0.5))
@settings(max_examples=25, deadline=None)
def test_the_scan_reads_the_distance_to_a_wall(x, heading):
    pose = level_pose(x, 0.0, heading)
    rays = pixel_rays(INTRINSICS, HEIGHT, WIDTH)
    scan = scan_points(obstacle_points(wall(pose)[1], rays, pose, (0.2, 1.8)), pose)
    ahead = round(heading / (2 * np.pi) * SCAN_SECTORS) % SCAN_SECTORS  # clockwise from forward, the wall is this way
    assert scan[ahead] == pytest.approx(4.0 - x, rel=0.02)
    assert scan[SCAN_SECTORS // 2] == CLEAR


def test_free_motion_is_fitted_exactly_though_some_samples_hit_walls():
    torch.manual_seed(0)
    n = 3000
    action, before = torch.randint(-1, 2, (2, n, 2)).float()
    last = torch.zeros(n, 6)
    last[:, 0], last[:, 2], last[:, 4] = torch.randn(n), torch.randn(n), 0.1 * before[:, 1]
    turn = last[:, 4]
    target = torch.zeros(n, 6)
    target[:, 0] = 0.7 * (turn.cos() * last[:, 0] - turn.sin() * last[:, 2])
    target[:, 2] = 0.7 * (turn.sin() * last[:, 0] + turn.cos() * last[:, 2]) + 0.5 * action[:, 0]
    target[:, 4] = 0.1 * action[:, 1]
    exact = target.clone()
    target[::5, :3] = 0.0
    head = MotionHead(MotionConfig(hidden=8, scan=True), ActionConfig(kind="continuous", size=2), 4)
    head.fit_free(action, before, last, target)
    with torch.no_grad():
        found = head(action, before, last, torch.full((n, SCAN_SECTORS), CLEAR), None)
        near = head(action, before, last, torch.full((n, SCAN_SECTORS), 1.0), None)
    assert (found - exact).abs().max() < 0.01
    assert torch.equal(found[:, 3:], near[:, 3:])  # what is in the way does not turn the camera
