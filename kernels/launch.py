"""How the kernels meet Triton: it is imported at the first launch, so that every file here imports where there is none."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

LOG2E = 1.4426950408889634
"""Softmax is taken with powers of two, which a GPU has an instruction for."""
SMALLEST_DOT = 16
"""Least rows, columns and depth of a matrix product on tensor cores; twice that in depth for numbers of 8 bits."""


class Program:
    """A function in Triton's language, compiled at its first launch. Decorates it; its file knows `tl` only from then on."""

    def __init__(self, function: Callable[..., None]):
        self.function = function

    @cached_property
    def compiled(self) -> Any:
        import triton  # pyright: ignore[reportMissingImports]
        import triton.language  # pyright: ignore[reportMissingImports]

        self.function.__globals__["tl"] = triton.language
        return triton.jit(self.function)

    def __call__(self, grid: tuple[int, ...], first: Tensor, *arguments: Any, **settings: Any) -> None:
        """Run one instance per place of the grid, on the device of the first tensor."""
        with torch.cuda.device_of(first):
            self.compiled[grid](first, *arguments, **settings)


LARGEST_HEAD = 512
"""Bytes of a head's channels: with more, a GPU's shared memory does not hold the tiles that attention is cut into."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a kernel cuts up its work. Rows and columns are powers of two."""

    rows: int
    columns: int
    warps: int
    """Groups of 32 threads that share a tile."""
    stages: int
    """Loads in flight while one tile is worked on."""


@cache
def has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def runs(*tensors: Tensor | None, trains: bool = False) -> bool:
    """Whether a kernel may take these: on a GPU, with triton there, and no gradient wanted unless the kernel `trains`."""
    given = [x for x in tensors if x is not None]
    wanted = not trains and torch.is_grad_enabled() and any(x.requires_grad for x in given)
    return not wanted and all(x.is_cuda for x in given) and has_triton()


def dense(x: Tensor) -> Tensor:
    """x with neighbouring channels next to each other, copied only where they are not."""
    return x if x.stride(-1) == 1 else x.contiguous()


def power_of_two(size: int, least: int = 1) -> int:
    """The smallest one that is neither below `size` nor below `least`."""
    return max(least, 1 << (size - 1).bit_length())
