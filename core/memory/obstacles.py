"""What stands in the way: obstacle points out of depth images, and the nearest of them all around a camera held level.

A surface is taken as it is seen. A thing that stands alone, with something farther on both its sides, is taken by its middle:
its own picture may be flat and turn with the camera, but its middle stays where it is.

Shape letters: K views, W columns of a depth image, S sectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SCAN_SECTORS = 128
"""Directions in which the nearest remembered surface is reported."""
CLEAR = 1e6
"""Offset of an obstacle where there is none."""
SCAN_SUPPORT = 3
"""Pixels of an image column that must stand at least as near for something to count as an obstacle there."""
STRAIGHT = 0.02
"""Inverse depth is straight across a flat surface: the bend, relative to it, up to which three columns belong to one. What no
three columns agree on is not there: at the outlines of things depth images err."""
RUN_COLUMNS, VIEW_COLUMNS = 4, 8
"""Columns between two edges, and columns of all views of a thing that stands alone, fewer than which are not believed."""
JUMP = 0.08
"""Relative difference in depth between neighbouring columns that is an edge."""
SLIM, SCAN_RANGE = 1.5, 1.5
"""How wide a thing that stands alone may be, and how far around the camera obstacles are reported, in heights of the band in
which they are looked for."""
DEPTH_ERROR, IMAGINED_ERROR, SIDE_ERROR, MIDDLE_ERROR = 5e-4, 0.02, 0.01, 0.02
"""What is known of a point: the error of its depth, seen and imagined, and across, relative to its distance; and how far the
middle of a thing's outline may be from its own, relative to the widest."""
ROUNDS, DOUBT = 4, 3.0
"""Rounds of the robust fit of a thing's place, and the error of a view, in expected ones, above which it counts less."""
LOOK_BESIDE = 2
"""Columns to each side that must see farther, too, for a view to see through a point."""
HOLD = 4.0
"""Errors of its depth by which a point counts as farther away than it is: of points nearly alike the surest is taken."""


@dataclass(frozen=True, slots=True)
class Obstacles:
    """The obstacles of K views."""

    points: Tensor
    """(K, W, 2) world x and y of the nearest obstacle in each image column, of its middle if it stands alone; inf for none."""
    alone: Tensor
    """bool (K, W): whether it stands alone."""
    beyond: Tensor
    """(K, W) the depth up to which each view has seen through each column and its neighbours; 0 where it does not say."""
    pose: Tensor
    """(K, 4, 4) of the cameras."""
    aside: Tensor
    """(W,) tangent of each column's angle to the right of forward; evenly spaced."""
    real: Tensor
    """bool (K,): whether each view was seen, not imagined."""


def obstacle_points(depth: Tensor, rays: Tensor, pose: Tensor, heights: tuple[float, float]) -> tuple[Tensor, Tensor, Tensor]:
    """Obstacles between two heights in depth images (K, H, W): points (K, W, 2), alone and beyond (K, W) as in `Obstacles`.

    `rays` (H W, 3) as of `pixel_rays`, `pose` (K, 4, 4) of cameras that are held level.
    """
    height, width = depth.shape[1:]
    rise = (pose[:, 2:3, :3] @ rays.T).view(len(pose), height, width)
    z = pose[:, 2, 3, None, None] + rise * depth
    standing = (z > heights[0]) & (z < heights[1]) & (depth > 0)
    nearest = torch.where(standing, depth, float("inf")).transpose(1, 2).kthvalue(SCAN_SUPPORT, -1).values
    aside = rays.view(height, width, 3)[height // 2, :, 0].expand(len(depth), -1)
    alone, nearest, aside = _middles(nearest, aside, SLIM * (heights[1] - heights[0]))
    found = torch.isfinite(nearest)
    ahead = torch.where(found, nearest, 0.0)
    points = pose[:, None, :2, 3] + ahead[..., None] * (pose[:, None, :2, 2] + aside[..., None] * pose[:, None, :2, 0])
    beyond = -F.max_pool1d(-ahead[:, None], 2 * LOOK_BESIDE + 1, 1, LOOK_BESIDE)[:, 0]
    return torch.where(found[..., None], points, float("inf")), alone, beyond


def _middles(depth: Tensor, aside: Tensor, slim: float) -> tuple[Tensor, Tensor, Tensor]:
    """Which columns (K, W) of a row of depths show a thing that stands alone; depths and tangents, of those of the middle."""
    views, width = depth.shape
    left, right = depth[:, :-1], depth[:, 1:]
    edge = ~((left - right).abs() < JUMP * torch.minimum(left, right))  # between two columns that see nothing, too
    run = F.pad(edge.long(), (1, 0)).cumsum(1)
    column = torch.arange(width, device=depth.device).expand(views, -1)
    empty = torch.zeros_like(run)
    first = (empty + width).scatter_reduce(1, run, column, "amin").gather(1, run)
    last = (empty - 1).scatter_reduce(1, run, column, "amax").gather(1, run)
    before, after = (first - 1).clamp(min=0), (last + 1).clamp(max=width - 1)
    farther = (depth.gather(1, before) > depth.gather(1, first)) & (depth.gather(1, after) > depth.gather(1, last))
    near, far = aside.gather(1, first), aside.gather(1, last)
    mean = torch.zeros_like(depth).scatter_reduce(1, run, depth, "mean", include_self=False).gather(1, run)
    believed = last - first + 1 >= RUN_COLUMNS
    alone = farther & believed & (first > 0) & (last < width - 1) & ((far - near) * mean < slim)
    inverse = 1 / depth
    bend = (inverse[:, :-2] - 2 * inverse[:, 1:-1] + inverse[:, 2:]).abs()
    flat = F.pad((bend < STRAIGHT * inverse[:, 1:-1]).float(), (2, 2))
    depth = torch.where(believed & (F.max_pool1d(flat, 3, 1) > 0), depth, float("inf"))
    return alone, torch.where(alone, mean, depth), torch.where(alone, (near + far) / 2, aside)


def scan_obstacles(obstacles: Obstacles, here: Tensor, heights: tuple[float, float]) -> Tensor:
    """What stands around `here` (2,): offsets (S + 1, 2) in world axes; CLEAR for none.

    First the nearest surface in S directions, counter-clockwise from world x, then the middle of the nearest thing alone.
    """
    band = heights[1] - heights[0]
    offsets = obstacles.points - here
    near = (offsets.abs().amax(-1) < SCAN_RANGE * band).nonzero(as_tuple=True)
    view, offsets, alone = near[0], offsets[near], obstacles.alone[near]
    pose, error = obstacles.pose[view], torch.where(obstacles.real, DEPTH_ERROR, IMAGINED_ERROR)[view]
    away = here + offsets - pose[:, :2, 3]
    out = here.new_full((SCAN_SECTORS + 1, 2), CLEAR)
    surface = ~alone
    middle = _thing(offsets[alone], away[alone], pose[alone, :2, 2], error[alone], SLIM * band, obstacles, here)
    if middle is not None:
        out[-1] = middle
        surface &= (offsets - middle).abs().amax(-1) > SLIM * band / 2
    offsets, away, error = offsets[surface], away[surface], error[surface]
    sector = (torch.atan2(offsets[:, 1], offsets[:, 0]) / (2 * torch.pi) * SCAN_SECTORS).round().long() % SCAN_SECTORS
    distance = offsets.norm(dim=-1) + HOLD * error * away.norm(dim=-1)
    nearest = here.new_full((SCAN_SECTORS,), CLEAR).scatter_reduce(0, sector, distance, "amin")
    taken = distance == nearest[sector]
    sector, offsets = sector[taken], offsets[taken]
    believed = _believed(here + offsets, obstacles)
    out[sector[believed]] = offsets[believed]
    return out


def _believed(points: Tensor, obstacles: Obstacles) -> Tensor:
    """bool (N,): whether at least as many views see something at points (N, 2) as see through them."""
    pose, aside = obstacles.pose, obstacles.aside
    # (N, K): how far ahead of each view each point is, and in which of its columns.
    ahead = points @ pose[:, :2, 2].T - (pose[:, :2, 3] * pose[:, :2, 2]).sum(-1)
    right = points @ pose[:, :2, 0].T - (pose[:, :2, 3] * pose[:, :2, 0]).sum(-1)
    column = ((right / ahead - aside[0]) / (aside[1] - aside[0])).round()
    inside = (ahead > 0) & (column >= LOOK_BESIDE) & (column < len(aside) - LOOK_BESIDE)
    seen = obstacles.beyond.gather(1, torch.where(inside, column, 0).long().T).T
    through = inside & (seen > ahead * (1 + 2 * JUMP))
    there = inside & ((seen - ahead).abs() < JUMP * ahead)
    return there.sum(1) >= through.sum(1)


def _thing(
    offsets: Tensor, away: Tensor, forward: Tensor, error: Tensor, slim: float, obstacles: Obstacles, here: Tensor
) -> Tensor | None:
    """Where (2,) the nearest of some things is, by views (N, ...) of their middles, each sure ahead and less so across."""
    distance = offsets.norm(dim=-1)
    while len(offsets):
        same = (offsets - offsets[distance.argmin()]).norm(dim=-1) < slim / 2
        if int(same.sum()) >= VIEW_COLUMNS:
            middle = _meet(offsets[same], away[same].norm(dim=-1), forward[same], error[same], slim)
            if bool(_believed((here + middle)[None], obstacles)):
                return middle
        offsets, away, forward, error, distance = (x[~same] for x in (offsets, away, forward, error, distance))
    return None


def _meet(points: Tensor, distance: Tensor, forward: Tensor, error: Tensor, slim: float) -> Tensor:
    """Where (2,) lines across the views, at points (N, 2), meet: least squares that doubts views far off the others."""
    across = torch.stack([-forward[:, 1], forward[:, 0]], -1)
    sure_ahead, sure_across = 1 / (error * distance), 1 / (SIDE_ERROR * distance + MIDDLE_ERROR * slim)
    rows = torch.stack([forward * sure_ahead[:, None], across * sure_across[:, None]]).double()
    wanted = (rows * points).sum(-1)
    found = points.median(0).values.double()
    for _ in range(ROUNDS):
        off = (rows @ found - wanted) / DOUBT
        weight = 1 / (1 + off.square())
        weighted = (rows * weight[..., None]).flatten(0, 1)
        found = torch.linalg.solve(weighted.T @ rows.flatten(0, 1), weighted.T @ wanted.flatten())
    return found.float()
