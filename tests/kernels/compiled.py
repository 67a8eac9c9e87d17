"""Compiles every kernel for an H100, on any machine: the interpreter accepts programs that the compiler refuses.

Run by itself, as `python -m tests.kernels.compiled`, since Triton either interprets or compiles for the whole of a process.
"""

from __future__ import annotations

from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]
from torch import Tensor
from triton.backends.compiler import GPUTarget  # pyright: ignore[reportMissingImports]
from triton.compiler import ASTSource  # pyright: ignore[reportMissingImports]

from kernels import int8_attention, launch, linear, linear_attention, modulate, quantize, rotary, scan, sparse, tile

HOPPER = GPUTarget("cuda", 90, 32)
SHARED_MEMORY = 227 * 1024
"""Bytes that one program may use there."""
POINTERS = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.int8: "*i8",
    torch.int32: "*i32",
    torch.float8_e4m3fn: "*fp8e4nv",
}


def compile_instead(program: launch.Program, grid: tuple[int, ...], *arguments: Any, **settings: Any) -> None:
    """Takes the place of a launch."""
    function = program.compiled
    kinds, constants, hints = {}, {}, {}
    for i, (parameter, value) in enumerate(zip(function.params, arguments)):
        if parameter.is_constexpr or isinstance(value, int) and value == 1:
            kinds[parameter.name], constants[(i,)] = "constexpr", value
        elif isinstance(value, float):
            kinds[parameter.name] = "fp32"
        else:
            kinds[parameter.name] = POINTERS[value.dtype] if isinstance(value, Tensor) else "i32"
            if isinstance(value, Tensor) or value % 16 == 0:
                hints[(i,)] = [["tt.divisibility", 16]]
    made = triton.compile(ASTSource(function, kinds, constants, hints), target=HOPPER, options=settings)
    assert made.metadata.shared <= SHARED_MEMORY
    print(function.fn.__module__, function.fn.__name__)


def main() -> None:
    launch.Program.__call__ = compile_instead  # pyright: ignore[reportAttributeAccessIssue]
    half = torch.bfloat16
    x, table = torch.randn(1, 2, 32, 64, dtype=half, requires_grad=True), torch.randn(2, 1, 2, 1, 64, dtype=half)
    modulate.kernel(x, table[0], table[1]).sum().backward()
    pairs, weight = torch.randn(1, 32, 2, 2, 32, dtype=half, requires_grad=True), torch.randn(32, dtype=half)
    angle = torch.randn(32, 32)
    queries, keys, kept = rotary.kernel(pairs, weight, weight, angle, angle, 1e-3)
    (queries + keys + kept).sum().backward()
    heads = torch.randn(1, 2, 32, 32, dtype=half, requires_grad=True)
    sparse.kernel(heads, heads, heads, sparse.BlockMap(torch.ones(1, 1, 2, 2, dtype=torch.bool), 16, 16)).sum().backward()
    heads = heads.detach()
    for causal in (False, True):
        tile.kernel(heads, heads, heads, tile.SlidingTile(grid=(4, 4), tile=(1, 4, 4), window=(2, 1, 1), causal=causal))
    int8_attention.kernel(heads, heads, heads)
    for kind in (quantize.INT8, quantize.FLOAT8):
        linear.kernel(heads[0, 0], linear.QuantizedWeight.of(torch.randn(32, 32), kind), weight)
    linear_attention.kernel(heads, heads, heads, 16)
    scan.kernel(heads, -torch.rand(1, 2, 32), heads, heads)


if __name__ == "__main__":
    main()
