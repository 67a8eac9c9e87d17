"""Spatial memory, its geometry and the motion head: what was seen is shown again, and what was looked through stays empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.backbone.action import ActionConfig
from core.backbone.motion import MotionConfig, MotionHead, Touch
from core.memory.geometry import inverse, move, pixel_rays, relative_motion
from core.memory.obstacles import CLEAR, SCAN_SECTORS, Obstacles, obstacle_points, scan_obstacles
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
    return SpatialMemory(SpatialConfig(capacity=8, near=0.1, **settings), INTRINSICS[None], HEIGHT, WIDTH)


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


BAND = (0.2, 1.8)


def surroundings(depth: torch.Tensor, pose: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
    """What one depth image (H, W) tells of what stands around a place (2,)."""
    rays = pixel_rays(INTRINSICS, HEIGHT, WIDTH)
    views = obstacle_points(depth[None], rays, pose[None], BAND)
    obstacles = Obstacles(*views, pose[None], rays[:WIDTH, 0], torch.ones(1, dtype=torch.bool))
    return scan_obstacles(obstacles, here, BAND)


@given(st.floats(2.0, 3.5), st.floats(-0.5, 0.5))
@settings(max_examples=25, deadline=None)
def test_the_scan_tells_where_a_wall_is(x, heading):
    pose = level_pose(x, 0.0, heading)
    scan = surroundings(wall(pose)[1], pose, pose[:2, 3])
    assert torch.allclose(scan[0, 0], torch.tensor(4.0 - x), atol=0.01)  # straight along world x
    assert (scan[SCAN_SECTORS // 2] == CLEAR).all() and (scan[-1] == CLEAR).all()


@given(st.floats(-0.3, 0.3), st.floats(-0.4, 0.4))
@settings(max_examples=25, deadline=None)
def test_a_thing_that_stands_alone_is_taken_by_its_middle(y, heading):
    middle = torch.tensor([2.5, y])
    pose = level_pose(0.5, 0.0, heading)
    depth = wall(pose)[1]
    offset = middle - pose[:2, 3]
    ahead, right = offset @ pose[:2, 2], offset @ pose[:2, 0]
    column = 32 * right / ahead + 32
    depth[:, round(float(column)) - 5 : round(float(column)) + 5] = ahead
    scan = surroundings(depth, pose, middle - torch.tensor([1.0, 0.0]))
    assert torch.allclose(scan[-1], torch.tensor([1.0, 0.0]), atol=0.06)
    assert (scan[:-1].abs() > 0.5).any(-1).all()  # none of it is taken for a surface


def touching(scan: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    """The change of free motions (B, 2) from rest by an untrained network."""
    torch.manual_seed(0)
    return Touch(hidden=8, reach=1.0)(free, torch.zeros_like(free), torch.zeros_like(free), torch.zeros(len(free), 1), scan)


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0), st.floats(2.6, 50.0), st.floats(0.0, 6.3))
@settings(max_examples=40, deadline=None)
def test_what_a_body_cannot_reach_does_not_change_its_motion(x, y, distance, angle):
    scan = torch.full((1, SCAN_SECTORS + 1, 2), CLEAR)
    scan[0, 5] = scan[0, -1] = distance * 2**0.5 * torch.tensor([np.cos(angle), np.sin(angle)])
    assert torch.equal(touching(scan, torch.tensor([[x, y]])), torch.zeros(1, 2))


def test_left_and_right_are_alike():
    scan = torch.full((1, SCAN_SECTORS + 1, 2), CLEAR)
    scan[0, 5] = torch.tensor([1.2, 0.3])
    mirror = torch.tensor([-1.0, 1.0])
    free = torch.tensor([[0.7, 0.4]])
    assert touching(scan, free).abs().max() > 0
    assert torch.allclose(touching(scan * mirror, free * mirror), touching(scan, free) * mirror)


def test_a_wall_ahead_stops_the_body():
    """Bodies of half width 1 that go one way at one speed until a wall at `distance` stops them: learnt from walks."""
    torch.manual_seed(0)
    n = 2048
    free = torch.stack([torch.rand(n) * 2 - 1, torch.rand(n) * 2 - 1], -1)
    scan = torch.full((n, SCAN_SECTORS + 1, 2), CLEAR)
    lanes = torch.linspace(-3, 3, 33)
    gap = torch.rand(n) ** 2
    scan[:, :33] = torch.stack([(1 + gap)[:, None].expand(-1, 33), lanes.expand(n, -1)], -1)
    touch = Touch(hidden=32, reach=1.0)
    touch.measure(scan)
    assert touch.contact[0] == pytest.approx(1.0, abs=0.01)
    wanted = torch.stack([torch.minimum(free[:, 0], gap), free[:, 1]], -1) - free
    optimizer = torch.optim.Adam(touch.parameters(), 3e-3)
    still = torch.zeros_like(free)
    error = torch.zeros(())
    for _ in range(150):
        error = (touch(free, still, still, still[:, :1], scan) - wanted).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert error < 0.03 < wanted.abs().mean()


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
        ahead = torch.tensor([1.0, 0.0]).expand(n, 2)
        found = head(action, before, last, torch.full((n, SCAN_SECTORS + 1, 2), CLEAR), ahead, None)
        near = head(action, before, last, torch.full((n, SCAN_SECTORS + 1, 2), 1.0), ahead, None)
    assert (found - exact).abs().max() < 0.01
    assert not torch.equal(found[:, :3], near[:, :3])
    assert torch.equal(found[:, 3:], near[:, 3:])  # what is in the way does not turn the camera


def test_a_body_that_nobody_drives_comes_to_rest_as_measured():
    """Below a speed it stops at once, above it coasts on; a body that is driven is not slowed."""
    touch = Touch(hidden=8, reach=1.0)
    generator = torch.Generator().manual_seed(0)
    free = (torch.rand(4000, 2, generator=generator) - 0.5) * 0.05
    stops = free.abs().amax(-1, keepdim=True) < 0.01
    touch.measure_rest(free, torch.zeros_like(free), torch.where(stops, 0.0, free))
    nothing = torch.full((2, SCAN_SECTORS + 1, 2), CLEAR)
    still, last = torch.zeros(2, 2), torch.zeros(2, 2)
    slow, coasting = torch.tensor([0.005, -0.004]), torch.tensor([0.004, -0.02])
    change = touch(torch.stack([slow, coasting]), still, last, still[:, :1], nothing)
    assert torch.allclose(change, torch.stack([-slow, torch.zeros(2)]), atol=1e-6)
    assert not touch(slow.expand(2, 2), still + 1.0, last, still[:, :1], nothing).any()


def test_what_one_camera_has_seen_another_is_shown():
    """A wall seen by a camera of another focal length is rendered where it belongs."""
    wide = INTRINSICS.clone()
    wide[0, 0] = wide[1, 1] = INTRINSICS[0, 0] * 0.7
    bank = SpatialMemory(SpatialConfig(capacity=8, near=0.1), torch.stack([INTRINSICS, wide]), HEIGHT, WIDTH)
    pose = level_pose()
    colour, depth = wall(pose)
    bank.add(colour, depth, pose, 0, camera=0)
    shown = bank.render(pose, 1, camera=1)
    inner = shown.valid > 0
    assert 0.3 < float(inner.float().mean()) < 0.7, "the wide camera sees the wall that the narrow one saw in its middle"
    rays = pixel_rays(wide, HEIGHT, WIDTH) @ pose[:3, :3].T
    point = pose[:3, 3] + rays * ((4.0 - pose[0, 3]) / rays[:, 0])[:, None]
    pattern = torch.stack([torch.sin(3 * point[:, 1]), torch.cos(2 * point[:, 2]), torch.sin(point[:, 1] + point[:, 2])])
    error = (shown.colour - 0.8 * pattern.view(3, HEIGHT, WIDTH)).abs().amax(0)
    assert float(error[inner].mean()) < 0.05
