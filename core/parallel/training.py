"""Training in several processes: gradients are summed, and weights are kept whole by everyone or in shares (FSDP2)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.errors import ZoetropeError
from core.parallel.group import SENT, join, processes

_PLAIN = (Tensor, nn.Parameter)
"""Kinds that are surely whole, so that nothing of torch's for shares need be imported."""


class Crew:
    """The processes that train one module; alone, all of it does nothing."""

    def __init__(self) -> None:
        join()
        self.size = processes()
        self.rank = dist.get_rank() if self.size > 1 else 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    def parts(self, count: int) -> range:
        """This process's of `count` parts. Raises ZoetropeError where they cannot be shared out equally."""
        if count % self.size:
            raise ZoetropeError(
                f"train: parts: {count} cannot be shared out to {self.size} processes; set it to a multiple, "
                "and 'batch' so that parts x batch is what one step is to learn from"
            )
        return range(self.rank, count, self.size)

    @torch.no_grad()
    def agree(self, module: nn.Module) -> None:
        """Everyone starts from the first one's weights."""
        if self.size > 1:
            for x in (*module.parameters(), *module.buffers()):
                dist.broadcast(x, 0)

    def decided(self, question: bool) -> bool:
        """The first one's answer."""
        if self.size == 1:
            return question
        answer = torch.tensor([question], dtype=torch.uint8, device=_device())
        dist.broadcast(answer, 0)
        return bool(answer)

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Over all processes, in one message."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not gradients:
            return
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        SENT.add(2 * flat.nbytes * (self.size - 1) // self.size, 2 * (self.size - 1))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
            gradient.copy_(part.view_as(gradient))


def shard(module: nn.Module) -> Callable[[], None]:
    """Keep weights, gradients and optimizer state in shares over all processes (FSDP2, arXiv 2304.11277, `fully_shard`).

    Blocks of a `ModuleList` are gathered one at a time, so the module must be used through its forward. What is returned makes
    it whole again: parameters are then plain tensors as before.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    before = {
        part: (type(part), {k: copy.copy(v) if isinstance(v, dict) else v for k, v in vars(part).items()})
        for part in module.modules()
    }
    mesh = init_device_mesh(_device().type, (processes(),))
    for part in module.modules():
        if isinstance(part, nn.ModuleList):
            for block in part:
                if any(p.requires_grad for p in block.parameters()):
                    fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)

    @torch.no_grad()
    def whole_again() -> None:
        values = {name: whole(p) for name, p in module.named_parameters()}
        for part, (kind, held) in before.items():
            part.__class__ = kind
            part.__dict__.clear()
            part.__dict__.update(held)
        for name, parameter in module.named_parameters():
            parameter.data, parameter.grad = values[name], None

    return whole_again


def whole(x: Tensor) -> Tensor:
    """All of a tensor that may be kept in shares; everyone must ask."""
    if type(x) in _PLAIN:
        return x
    from torch.distributed.tensor import DTensor

    return x.full_tensor() if isinstance(x, DTensor) else x


def shared_like(x: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, in shares where `like` is."""
    if type(like) in _PLAIN:
        return x
    from torch.distributed.tensor import DTensor, distribute_tensor

    return distribute_tensor(x, like.device_mesh, like.placements) if isinstance(like, DTensor) else x


def _device() -> torch.device:
    """Where this process talks to the others."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
