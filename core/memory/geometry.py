"""Pinhole geometry: pixels to world points and back, relative motions. Camera axes x right, y down, z forward (OpenCV)."""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_rays(intrinsics: Tensor, height: int, width: int) -> Tensor:
    """Camera-frame rays with z = 1 through every pixel centre: (H W, 3) from intrinsics (3, 3)."""
    u = (torch.arange(width, device=intrinsics.device) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    v = (torch.arange(height, device=intrinsics.device) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    grid_v, grid_u = torch.meshgrid(v, u, indexing="ij")
    return torch.stack([grid_u, grid_v, torch.ones_like(grid_u)], -1).reshape(-1, 3)


def to_world(points: Tensor, pose: Tensor) -> Tensor:
    """Camera points (..., N, 3) under camera-to-world poses (..., 4, 4) -> world points."""
    return points @ pose[..., :3, :3].transpose(-1, -2) + pose[..., None, :3, 3]


def to_camera(points: Tensor, pose: Tensor) -> Tensor:
    """World points (..., N, 3) seen from camera-to-world poses (..., 4, 4) -> camera points."""
    return (points - pose[..., None, :3, 3]) @ pose[..., :3, :3]


def inverse(pose: Tensor) -> Tensor:
    """World-to-camera matrices of rigid camera-to-world poses (..., 4, 4)."""
    out = pose.clone()
    out[..., :3, :3] = pose[..., :3, :3].transpose(-1, -2)
    out[..., :3, 3:] = -(out[..., :3, :3] @ pose[..., :3, 3:])
    return out


def relative_motion(before: Tensor, after: Tensor) -> Tensor:
    """Motion between camera-to-world poses (..., 4, 4) as (..., 6): translation in the earlier camera, then rotation vector."""
    rotation = before[..., :3, :3].transpose(-1, -2) @ after[..., :3, :3]
    shift = (before[..., :3, :3].transpose(-1, -2) @ (after[..., :3, 3] - before[..., :3, 3])[..., None])[..., 0]
    return torch.cat([shift, rotation_vector(rotation)], -1)


def move(pose: Tensor, motion: Tensor) -> Tensor:
    """Apply a motion (..., 6) to a camera-to-world pose (..., 4, 4); the inverse of `relative_motion`."""
    moved = pose.clone()
    moved[..., :3, :3] = pose[..., :3, :3] @ rotation_matrix(motion[..., 3:])
    moved[..., :3, 3] = pose[..., :3, 3] + (pose[..., :3, :3] @ motion[..., :3, None])[..., 0]
    return moved


def rotation_vector(rotation: Tensor) -> Tensor:
    """Axis times angle (..., 3) of rotation matrices (..., 3, 3), for angles below a half turn."""
    axis = torch.stack(
        [
            rotation[..., 2, 1] - rotation[..., 1, 2],
            rotation[..., 0, 2] - rotation[..., 2, 0],
            rotation[..., 1, 0] - rotation[..., 0, 1],
        ],
        -1,
    )
    sine = axis.norm(dim=-1, keepdim=True) / 2
    cosine = ((rotation.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1) / 2).clamp(-1, 1)
    angle = torch.atan2(sine, cosine)
    return axis / 2 * torch.where(sine > 1e-6, angle / sine.clamp(min=1e-6), 1.0)


def rotation_matrix(vector: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3) (Rodrigues)."""
    angle = vector.norm(dim=-1)[..., None, None]
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    # sin(a) / a and (1 - cos(a)) / a^2, exact at a = 0 too: torch.sinc(x) is sin(pi x) / (pi x).
    first = torch.sinc(angle / torch.pi)
    second = torch.sinc(angle / (2 * torch.pi)).square() / 2
    return torch.eye(3, dtype=vector.dtype, device=vector.device) + first * skew + second * (skew @ skew)
