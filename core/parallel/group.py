"""Processes that work together: a few collectives of torch.distributed, and the bytes that each of them sends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import get_node_local_rank

from core.errors import ZoetropeError

LAUNCHERS = "'torchrun --nproc-per-node 2 --module apps.cli ...' (on GPUs also 'accelerate launch --multi_gpu ...')"


def join() -> None:
    """Become one of the processes that torchrun or `accelerate launch` has started; alone, or a second time, do nothing."""
    if dist.is_available() and dist.is_torchelastic_launched() and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(get_node_local_rank())
        dist.init_process_group()


def processes() -> int:
    """How many processes work together; 1 where none were launched."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first() -> bool:
    """Whether this is the first of the processes that work together, the one that speaks for them; alone it is."""
    return processes() == 1 or dist.get_rank() == 0


@dataclass(slots=True)
class Traffic:
    """What one process has sent."""

    bytes: int = 0
    messages: int = 0

    def add(self, size: int, messages: int) -> None:
        self.bytes, self.messages = self.bytes + size, self.messages + messages

    def clear(self) -> None:
        self.bytes = self.messages = 0


SENT = Traffic()
"""By this process, in all its groups."""


class Pending:
    """Tensors of one shape from all of a group, on their way."""

    def __init__(self, parts: list[Tensor], work: dist.Work | None):
        self._parts, self._work = parts, work

    def wait(self) -> list[Tensor]:
        """In the order of ranks."""
        if self._work is not None:
            self._work.wait()
            self._work = None
        return self._parts


class Group:
    """Some of the processes, numbered from 0. All of them make the same calls in the same order."""

    def __init__(self, handle: dist.ProcessGroup | None = None):
        """`handle` is torch's group; None for all processes. Raises ZoetropeError where none were launched."""
        if processes() < 2:
            raise ZoetropeError(f"parallel: one process alone has nobody to share with; start several with {LAUNCHERS}")
        self.handle = dist.group.WORLD if handle is None else handle
        self.rank, self.size = dist.get_rank(self.handle), dist.get_world_size(self.handle)
        self.sent = SENT
        self._sending: list[tuple[dist.Work, Tensor]] = []

    def __deepcopy__(self, memo: object) -> Group:
        return self  # a process group is no value

    def gather(self, x: Tensor) -> list[Tensor]:
        """What everyone has of one shape, in the order of ranks."""
        return self.start_gather(x).wait()

    def start_gather(self, x: Tensor) -> Pending:
        """The same, without waiting for it."""
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        self.sent.add(x.nbytes * (self.size - 1), self.size - 1)
        return Pending(parts, dist.all_gather(parts, x.contiguous(), self.handle, async_op=True))

    def exchange(self, parts: list[Tensor]) -> list[Tensor]:
        """One tensor for each rank, all of one shape -> what each rank had for this one (all-to-all)."""
        out = torch.stack(parts)
        received = torch.empty_like(out)
        dist.all_to_all_single(received, out, group=self.handle)
        self.sent.add(out.nbytes * (self.size - 1) // self.size, self.size - 1)
        return list(received.unbind(0))

    def start_pass(self, x: Tensor) -> Pending:
        """Hand `x` to the next rank; what comes is the same of the rank before."""
        x, received = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
        self.send(x, (self.rank + 1) % self.size)
        return Pending([received], dist.irecv(received, group=self.handle, group_src=(self.rank - 1) % self.size))

    def send(self, x: Tensor, to: int) -> None:
        """Without waiting until it has arrived."""
        x = x.contiguous()
        self._sending = [(work, kept) for work, kept in self._sending if not work.is_completed()]
        work = dist.isend(x, group=self.handle, group_dst=to)
        assert work is not None
        self._sending.append((work, x))
        self.sent.add(x.nbytes, 1)

    def receive(self, like: Tensor, sender: int) -> Tensor:
        """A tensor shaped `like`."""
        out = torch.empty_like(like, memory_format=torch.contiguous_format)
        dist.recv(out, group=self.handle, group_src=sender)
        return out

    def spread(self, x: Tensor, sender: int) -> Tensor:
        """`x` as rank `sender` has it."""
        x = x.clone(memory_format=torch.contiguous_format)
        dist.broadcast(x, group=self.handle, group_src=sender)
        self.sent.add(x.nbytes * (self.size - 1) * (self.rank == sender), (self.size - 1) * (self.rank == sender))
        return x

    def mean(self, x: Tensor) -> Tensor:
        """The mean over all ranks, in place (counted as a ring all-reduce sends it)."""
        dist.all_reduce(x, group=self.handle)
        self.sent.add(2 * x.nbytes * (self.size - 1) // self.size, 2 * (self.size - 1))
        return x.div_(self.size)

    def finish(self) -> None:
        """Wait until everything sent has arrived."""
        for work, _ in self._sending:
            work.wait()
        self._sending.clear()
