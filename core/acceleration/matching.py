"""Bipartite token matching (ToMe, arXiv 2210.09461): which tokens go together, what their groups are, and back again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Groups:
    """Tokens 0..n-1 of each of B members in m groups."""

    of: Tensor
    """int64 (B, n): the group of each token."""
    head: Tensor
    """int64 (B, m): the token that stands for each group."""
    share: Tensor
    """(B, m, n): rows that take the mean of a group."""

    def merge(self, x: Tensor) -> Tensor:
        """(B, n, d) -> the groups' means (B, m, d)."""
        return self.share @ x

    def restore(self, x: Tensor) -> Tensor:
        """(B, ..., m, d) -> (B, ..., n, d): every token is given what its group has."""
        index = self.of.view(len(self.of), *[1] * (x.dim() - 3), -1, 1)
        return torch.gather(x, -2, index.expand(*x.shape[:-2], -1, x.shape[-1]))


def match(x: Tensor, stay: Tensor, count: int) -> Groups:
    """Merge `count` of the tokens x (B, n, d) that are not in `stay` int64 (B, k) into the likest of those that are."""
    batch, n, _ = x.shape
    free = torch.ones(batch, n, dtype=torch.bool, device=x.device).scatter(1, stay, False)
    moves = free.nonzero()[:, 1].view(batch, -1)
    unit = F.normalize(x, dim=-1)
    rows = lambda index: torch.gather(unit, 1, index[..., None].expand(-1, -1, unit.shape[-1]))  # noqa: E731
    likeness, likest = (rows(moves) @ rows(stay).mT).max(-1)
    order = likeness.argsort(dim=1, descending=True, stable=True)
    merged, alone = order[:, :count], order[:, count:]
    left = moves.gather(1, alone)
    head = torch.cat([stay, left], 1)
    of = torch.empty(batch, n, dtype=torch.int64, device=x.device)
    of.scatter_(1, head, torch.arange(head.shape[1], device=x.device).expand(batch, -1))
    of.scatter_(1, moves.gather(1, merged), likest.gather(1, merged))
    member = F.one_hot(of, head.shape[1]).mT.to(x.dtype)
    return Groups(of, head, member / member.sum(-1, keepdim=True))


def grid_of(cameras: int, rows: int, columns: int, ratio: float, device: torch.device) -> Tensor:
    """int64 (k,): tokens that stay, spread evenly: every second one like a chessboard, or one of four for ratios above half."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    stay = (row + column) % 2 == 0 if ratio <= 0.5 else (row % 2 == 0) & (column % 2 == 0)
    return stay.flatten().repeat(cameras).nonzero()[:, 0].to(device)
