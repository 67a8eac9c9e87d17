"""What the tests of the kernels share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Triple = tuple[Tensor, Tensor, Tensor]


def in_single(inputs: Triple) -> Triple:
    """The same in 32 bits."""
    first, second, third = (x.float() for x in inputs)
    return first, second, third


def gradients(function: Callable, *inputs: Tensor, fixed: tuple = ()) -> list[Tensor]:
    """Of a fixed mixture of all outputs, for each input; `fixed` are further arguments without one."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    outputs = function(*leaves, *fixed)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(out.shape, generator=generator).to(out) for out in outputs]
    return list(torch.autograd.grad(outputs, leaves, weights))
