"""What the bench measures: each kernel at its target shapes, and the best that can be had without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from kernels import int8_attention, linear, linear_attention, modulate, quantize, rotary, scan, sparse, tile

Call = Callable[[], object]
Units = Literal["bfloat16", "int8", "float8"]
"""What a GPU multiplies with."""
HALF = torch.bfloat16


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    kernel: str
    shape: str
    ours: Call
    alternatives: dict[str, Call]
    """By name; the first computes the same, to within rounding."""
    moved: float
    """Bytes that must be read and written."""
    operations: float = 0
    """Multiplications and additions."""
    units: Units = "bfloat16"


def cases() -> Iterator[Case]:
    """One after another, so that only one's tensors are held."""
    torch.manual_seed(0)
    yield from _norms()
    for tokens, rows, columns in ((16384, 128, 128), (16384, 64, 64), (1024, 128, 128)):
        yield from _sparse(tokens, rows, columns)
    yield _tile()
    for size in (64, 128):
        yield _int8_attention(size)
    for rows, depth, columns in ((16384, 2048, 8192), (64, 2048, 8192)):
        yield _linear(rows, depth, columns, quantize.INT8)
        if quantize.takes(quantize.FLOAT8, torch.device("cuda")):
            yield _linear(rows, depth, columns, quantize.FLOAT8)
    yield _linear_attention()
    yield _scan()


def _random(*shape: int, dtype: torch.dtype = HALF) -> Tensor:
    return torch.randn(shape, device="cuda", dtype=dtype)


def _attended(heads: int, queries: int, keys: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values."""
    return _random(1, heads, queries, size), _random(1, heads, keys, size), _random(1, heads, keys, size)


def _compiled(function: Callable) -> Callable:
    return torch.compile(function, dynamic=False)


def _trained(function: Callable, *inputs: Tensor, fixed: tuple = ()) -> Call:
    """Forward and backward."""
    leaves = [x.detach().requires_grad_() for x in inputs]

    def call() -> tuple[Tensor, ...]:
        outputs = function(*leaves, *fixed)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return torch.autograd.grad(outputs, leaves, [torch.ones_like(out) for out in outputs])

    return call


def _norms() -> Iterator[Case]:
    frames, tokens, width, heads = 16, 1024, 2048, 16
    x, table = _random(1, frames, tokens, width), _random(1, frames, 6, 1, width)
    inputs = (x, table[:, :, 0], table[:, :, 1])
    shape = f"{frames} frames, {tokens} tokens, width {width}"
    fast = _compiled(modulate.reference)
    yield Case(
        kernel="norm + modulate",
        shape=shape,
        ours=lambda: modulate.kernel(*inputs),
        alternatives={"torch.compile": lambda: fast(*inputs), "PyTorch": lambda: modulate.reference(*inputs)},
        moved=2 * x.nbytes,
    )
    yield Case(
        kernel="norm + modulate, trained",
        shape=shape,
        ours=_trained(modulate.kernel, *inputs),
        alternatives={"torch.compile": _trained(fast, *inputs), "PyTorch": _trained(modulate.reference, *inputs)},
        moved=5 * x.nbytes,
    )
    qkv = _random(1, frames * tokens, 3, heads, width // heads)
    pairs, weights = qkv[:, :, :2], (_random(width // heads), _random(width // heads))
    angle = _random(frames * tokens, width // heads // 2, dtype=torch.float32)
    fixed = (angle.cos().repeat(1, 2), torch.cat([-angle.sin(), angle.sin()], -1), 1e-3)
    turn = _compiled(rotary.reference)
    shape = f"{frames * tokens} tokens, {heads} heads of {width // heads}"
    moved = 5 * x.nbytes + 2 * fixed[0].nbytes
    yield Case(
        kernel="rotary + QK norm",
        shape=shape,
        ours=lambda: rotary.kernel(pairs, *weights, *fixed),
        alternatives={
            "torch.compile": lambda: turn(pairs, *weights, *fixed),
            "PyTorch": lambda: rotary.reference(pairs, *weights, *fixed),
        },
        moved=moved,
    )
    yield Case(
        kernel="rotary + QK norm, trained",
        shape=shape,
        ours=_trained(rotary.kernel, pairs, *weights, fixed=fixed),
        alternatives={
            "torch.compile": _trained(turn, pairs, *weights, fixed=fixed),
            "PyTorch": _trained(rotary.reference, pairs, *weights, fixed=fixed),
        },
        moved=moved + 7 * x.nbytes + 2 * fixed[0].nbytes,
    )


def _dense(queries: Tensor, keys: Tensor, values: Tensor) -> dict[str, Call]:
    """Attention to all, by each library that PyTorch brings."""

    def by(backend: SDPBackend) -> Call:
        def call() -> Tensor:
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(queries, keys, values)

        return call

    return {
        "SDPA dense, FlashAttention": by(SDPBackend.FLASH_ATTENTION),
        "SDPA dense, cuDNN": by(SDPBackend.CUDNN_ATTENTION),
    }


FLEX_BLOCK = 128
"""Below which FlexAttention must be told how to cut its work."""


def _flex(seen: Tensor, rows: int, columns: int, queries: int, keys: int) -> Callable:
    """FlexAttention over a map (1, 1, q, k) of blocks."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    blocks = seen[0, 0]
    allowed = lambda b, h, row, column: blocks[row // rows, column // columns]  # noqa: E731
    mask = create_block_mask(allowed, None, None, queries, keys, device="cuda", BLOCK_SIZE=(rows, columns))
    attend = _compiled(flex_attention)
    options = None if min(rows, columns) >= FLEX_BLOCK else {"BLOCK_M": rows, "BLOCK_N": columns}
    return lambda q, k, v: attend(q, k, v, block_mask=mask, kernel_options=options)


DENSITY = 1 / 8
"""Share of blocks seen."""


def _sparse(queries: int, rows: int, columns: int) -> Iterator[Case]:
    keys, heads, size = 16384, 16, 128
    inputs = _attended(heads, queries, keys, size)
    seen = torch.rand(1, 1, queries // rows, keys // columns, device="cuda") < DENSITY
    seen[..., 0] = True
    blocks, flex = sparse.BlockMap(seen, rows, columns), _flex(seen, rows, columns, queries, keys)
    operations = 4 * int(seen.sum()) * rows * columns * heads * size
    moved = 2 * inputs[0].nbytes + 2 * inputs[1].nbytes
    shape = f"{queries} queries, {keys} keys, {heads} heads of {size}, {rows}x{columns} blocks, {DENSITY:.1%} seen"
    yield Case(
        kernel="block-sparse attention",
        shape=shape,
        ours=lambda: sparse.kernel(*inputs, blocks),
        alternatives={"FlexAttention": lambda: flex(*inputs), **_dense(*inputs)},
        moved=moved,
        operations=operations,
    )
    if queries == keys:
        yield Case(
            kernel="block-sparse attention, trained",
            shape=shape,
            ours=_trained(sparse.kernel, *inputs, fixed=(blocks,)),
            alternatives={
                "FlexAttention": _trained(flex, *inputs),
                "SDPA dense": _trained(F.scaled_dot_product_attention, *inputs),
            },
            moved=3 * moved,
            operations=3.5 * operations,
        )


def _tile() -> Case:
    frames, grid, block, window, heads, size = 16, (32, 32), (2, 8, 8), (3, 3, 3), 16, 128
    tokens, tiles = frames * grid[0] * grid[1], (frames // block[0], grid[0] // block[1], grid[1] // block[2])
    shape = tile.SlidingTile(grid=grid, tile=block, window=window, causal=False)
    inputs = _attended(heads, tokens, tokens, size)
    by_tile = tile.SlidingTile(grid=tiles[1:], tile=(1, 1, 1), window=window, causal=False)
    count = tiles[0] * tiles[1] * tiles[2]
    seen = by_tile.mask(count, count)[None, None].cuda()
    flex = _flex(seen, 128, 128, tokens, tokens)

    def regroup(x: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """Swap the orders within and between tiles."""
        return x.unflatten(2, sizes).permute(0, 1, 2, 4, 6, 3, 5, 7, 8).flatten(2, 7)

    def regrouped() -> Tensor:
        split = (tiles[0], block[0], tiles[1], block[1], tiles[2], block[2])
        out = flex(*(regroup(x, split) for x in inputs))
        return out.unflatten(2, (*tiles, *block)).permute(0, 1, 2, 5, 3, 6, 4, 7, 8).flatten(2, 7)

    return Case(
        kernel="sliding-tile attention",
        shape=f"{frames} frames of {grid[0]}x{grid[1]}, {heads} heads of {size}, tiles {block}, window {window}",
        ours=lambda: tile.kernel(*inputs, shape),
        alternatives={"FlexAttention, tokens regrouped": regrouped, **_dense(*inputs)},
        moved=4 * inputs[0].nbytes,
        operations=4 * int(seen.sum()) * 128 * 128 * heads * size,
    )


def _int8_attention(size: int) -> Case:
    tokens, heads = 16384, 16
    inputs = _attended(heads, tokens, tokens, size)
    return Case(
        kernel="INT8 attention",
        shape=f"{tokens} tokens, {heads} heads of {size}",
        ours=lambda: int8_attention.kernel(*inputs),
        alternatives=_dense(*inputs),
        moved=4 * inputs[0].nbytes,
        operations=4 * tokens * tokens * heads * size,
    )


def _linear(rows: int, depth: int, columns: int, kind: torch.dtype) -> Case:
    x, exact, bias = _random(rows, depth), _random(columns, depth) / depth**0.5, _random(columns)
    weight = linear.QuantizedWeight.of(exact, kind)

    def integers() -> Tensor:
        numbers, scales = quantize.reference(x[None], kind)
        return (torch.ops.aten._int_mm(numbers[0], weight.numbers.T) * scales[0][:, None] * weight.scales + bias).to(HALF)

    def floats() -> Tensor:
        numbers, scales = quantize.reference(x[None], kind)
        by = {"scale_a": scales[0][:, None], "scale_b": weight.scales[None], "out_dtype": HALF, "use_fast_accum": True}
        return torch.ops.aten._scaled_mm(numbers[0], weight.numbers.T, bias=bias, **by)

    name, theirs = ("_int_mm", integers) if kind == quantize.INT8 else ("_scaled_mm", floats)
    return Case(
        kernel="INT8 linear" if kind == quantize.INT8 else "FP8 linear",
        shape=f"{rows} x {depth} to {columns}",
        ours=lambda: linear.kernel(x, weight, bias),
        alternatives={
            f"torch.{name}, compiled": _compiled(theirs),
            "bfloat16 linear": lambda: F.linear(x, exact, bias),
            **_torchao(x, exact, bias, kind),
        },
        moved=x.nbytes + weight.numbers.nbytes + rows * columns * 2,
        operations=2 * rows * depth * columns,
        units="int8" if kind == quantize.INT8 else "float8",
    )


def _torchao(x: Tensor, weight: Tensor, bias: Tensor, kind: torch.dtype) -> dict[str, Call]:
    """Its layer of the same kind, where it is installed."""
    try:
        from torchao import quantization as ao  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {}
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], device="cuda", dtype=HALF)
    layer.load_state_dict({"weight": weight, "bias": bias})
    if kind == quantize.INT8:
        config = ao.Int8DynamicActivationInt8WeightConfig()
    else:
        config = ao.Float8DynamicActivationFloat8WeightConfig(granularity=ao.PerRow())
    ao.quantize_(layer, config)
    fast = torch.no_grad()(_compiled(layer))
    return {"torchao, compiled": lambda: fast(x)}


def _linear_attention() -> Case:
    frames, tokens, heads, size = 16, 1024, 16, 64
    inputs = _attended(heads, frames * tokens, frames * tokens, size)
    fast = _compiled(linear_attention.reference)
    return Case(
        kernel="linear attention",
        shape=f"{frames} frames of {tokens} tokens, {heads} heads of {size}",
        ours=lambda: linear_attention.kernel(*inputs, tokens),
        alternatives={
            "torch.compile": lambda: fast(*inputs, tokens),
            "PyTorch": lambda: linear_attention.reference(*inputs, tokens),
        },
        moved=4 * inputs[0].nbytes,
        operations=4 * frames * tokens * heads * size * size,
    )


def _scan() -> Case:
    tokens, heads, width, size = 16384, 16, 64, 128
    decay = -torch.rand(1, heads, tokens, device="cuda")
    inputs = (_random(1, heads, tokens, width), decay, _random(1, heads, tokens, size), _random(1, heads, tokens, size))
    fast = _compiled(scan.reference)
    chunk = scan.CHUNK
    return Case(
        kernel="chunked scan",
        shape=f"{tokens} tokens, {heads} heads of {width}, state {size}",
        ours=lambda: scan.kernel(*inputs),
        alternatives={"torch.compile": lambda: fast(*inputs), "PyTorch": lambda: scan.reference(*inputs)},
        moved=2 * inputs[0].nbytes + 2 * inputs[2].nbytes + decay.nbytes,
        operations=2 * tokens * heads * (chunk * (size + width) + 2 * size * width),
    )
