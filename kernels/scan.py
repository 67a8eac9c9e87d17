"""The state-space scan of Mamba-2 in chunks (arXiv 2405.21060): matrix products within a chunk, a recurrence between chunks.

    state[t] = exp(decay[t]) state[t - 1] + write[t] x[t]^T        out[t] = state[t]^T read[t]

Shape letters: B batch, H heads, N tokens, s channels of the state, p channels of a head, c chunks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.launch import SMALLEST_DOT, Program, dense, power_of_two, runs

if TYPE_CHECKING:
    import triton.language as tl  # pyright: ignore[reportMissingImports]

CHUNK = 64
"""Tokens between two states that are written down."""
LARGEST_SIZE = 128
"""Channels of the state up to which its tile stays in registers."""
COLUMNS = 64
"""Channels of a head that one program works on."""
PASSED = 512
"""Numbers of the state that one program passes on."""


def scan(x: Tensor, decay: Tensor, write: Tensor, read: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """x (B, H, N, p), decay (B, H, N) at most 0, write and read (B, H, N, s), state (B, H, s, p) from before, or zero.

    Returns out (B, H, N, p) in x's precision and the state after it, float32. Differentiable through the reference.
    """
    fits = write.shape[3] <= LARGEST_SIZE and runs(x, decay, write, read, state)
    return (kernel if fits else reference)(x, decay, write, read, state)


def reference(x: Tensor, decay: Tensor, write: Tensor, read: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Also in chunks: N steps one by one would take a CPU too long."""
    tokens = x.shape[2]
    cut = [
        F.pad(part.float(), (0, 0, 0, -tokens % CHUNK)).unflatten(2, (-1, CHUNK)) for part in (x, decay[..., None], write, read)
    ]
    inputs, writes, reads = cut[0], cut[2], cut[3]
    so_far = cut[1][..., 0].cumsum(-1)
    later = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=x.device).triu(1)
    between = (so_far[..., :, None] - so_far[..., None, :]).masked_fill(later, -torch.inf).exp()
    whole = so_far[..., -1:]
    added = (writes * (whole - so_far).exp()[..., None]).mT @ inputs
    carried = torch.zeros_like(added[:, :, 0]) if state is None else state.float()
    before = []
    for i in range(inputs.shape[2]):
        before.append(carried)
        carried = carried * whole[:, :, i].exp()[..., None] + added[:, :, i]
    own = ((reads @ writes.mT) * between) @ inputs
    out = own + (reads * so_far.exp()[..., None]) @ torch.stack(before, 2)
    return out.flatten(2, 3)[:, :, :tokens].to(x.dtype), carried


def kernel(x: Tensor, decay: Tensor, write: Tensor, read: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    x, write, read = dense(x), dense(write), dense(read)
    batch, heads, tokens, width = x.shape
    size, chunks = write.shape[3], -(-tokens // CHUNK)
    states = torch.empty(batch, heads, chunks, size, width, device=x.device)
    whole = torch.empty(batch, heads, chunks, device=x.device)
    final = torch.zeros(batch, heads, size, width, device=x.device) if state is None else state.float().contiguous().clone()
    out = torch.empty(batch, heads, tokens, width, dtype=x.dtype, device=x.device)
    columns = min(COLUMNS, power_of_two(width, SMALLEST_DOT))
    tiles = (CHUNK, power_of_two(size, SMALLEST_DOT), columns)
    grid = (-(-width // columns), chunks, batch * heads)
    sizes = (heads, tokens, size, width)
    steps = (*x.stride()[:3], *decay.stride(), *write.stride()[:3])
    _add(grid, x, decay, write, states, whole, *sizes, *steps, *tiles)
    _pass((-(-size * width // PASSED), batch * heads), states, whole, final, chunks, size * width, PASSED)
    _read(grid, x, decay, write, read, states, out, *sizes, *steps, *read.stride()[:3], *tiles)
    return out, final


@Program
def _add(
    x_at,
    decay_at,
    write_at,
    states_at,
    whole_at,
    heads,
    tokens,
    size,
    width,
    x_batch,
    x_head,
    x_step,
    decay_batch,
    decay_head,
    decay_step,
    write_batch,
    write_head,
    write_step,
    CHUNK: tl.constexpr,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """One instance: what one chunk adds to COLUMNS channels of the state, and how far it fades all that was before."""
    lane = tl.program_id(2).to(tl.int64)
    batch, head = lane // heads, lane % heads
    token = tl.program_id(1) * CHUNK + tl.arange(0, CHUNK)
    channel, column = tl.arange(0, SIZE), tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    there, inside, across = token < tokens, channel < size, column < width
    decay_from = decay_at + batch * decay_batch + head * decay_head + token * decay_step
    decay = tl.load(decay_from, mask=there, other=0.0).to(tl.float32)
    whole = tl.sum(decay, 0)
    left = tl.exp(whole - tl.cumsum(decay, 0))
    x_from = x_at + batch * x_batch + head * x_head + token[:, None] * x_step + column[None, :]
    x = tl.load(x_from, mask=there[:, None] & across[None, :], other=0.0)
    write_from = write_at + batch * write_batch + head * write_head + token[None, :] * write_step + channel[:, None]
    write = tl.load(write_from, mask=there[None, :] & inside[:, None], other=0.0).to(tl.float32)
    added = tl.dot((write * left[None, :]).to(x.dtype), x, input_precision="tf32x3")
    place = lane * tl.num_programs(1) + tl.program_id(1)
    out = states_at + place * size * width + channel[:, None] * width + column[None, :]
    tl.store(out, added, mask=inside[:, None] & across[None, :])
    tl.store(whole_at + place, whole)


@Program
def _pass(states_at, whole_at, final_at, chunks, size, BLOCK: tl.constexpr):
    """One instance: BLOCK numbers of the state, from chunk to chunk; leaves before each what it starts from."""
    lane = tl.program_id(1).to(tl.int64)
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = number < size
    carried = tl.load(final_at + lane * size + number, mask=live, other=0.0)
    for i in range(chunks):
        place = lane * chunks + i
        added = tl.load(states_at + place * size + number, mask=live, other=0.0)
        tl.store(states_at + place * size + number, carried, mask=live)
        carried = carried * tl.exp(tl.load(whole_at + place)) + added
    tl.store(final_at + lane * size + number, carried, mask=live)


@Program
def _read(
    x_at,
    decay_at,
    write_at,
    read_at,
    states_at,
    out_at,
    heads,
    tokens,
    size,
    width,
    x_batch,
    x_head,
    x_step,
    decay_batch,
    decay_head,
    decay_step,
    write_batch,
    write_head,
    write_step,
    read_batch,
    read_head,
    read_step,
    CHUNK: tl.constexpr,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """One instance: COLUMNS channels of one chunk's output, from its own tokens and from the state before it."""
    lane = tl.program_id(2).to(tl.int64)
    batch, head = lane // heads, lane % heads
    within = tl.arange(0, CHUNK)
    token = tl.program_id(1) * CHUNK + within
    channel, column = tl.arange(0, SIZE), tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    there, inside, across = token < tokens, channel < size, column < width
    decay_from = decay_at + batch * decay_batch + head * decay_head + token * decay_step
    so_far = tl.cumsum(tl.load(decay_from, mask=there, other=0.0).to(tl.float32), 0)
    x_from = x_at + batch * x_batch + head * x_head + token[:, None] * x_step + column[None, :]
    x = tl.load(x_from, mask=there[:, None] & across[None, :], other=0.0)
    write_from = write_at + batch * write_batch + head * write_head + token[None, :] * write_step + channel[:, None]
    write = tl.load(write_from, mask=there[None, :] & inside[:, None], other=0.0)
    read_from = read_at + batch * read_batch + head * read_head + token[:, None] * read_step + channel[None, :]
    read = tl.load(read_from, mask=there[:, None] & inside[None, :], other=0.0)
    fades = so_far[:, None] - so_far[None, :]
    fades = tl.exp(tl.where(within[:, None] >= within[None, :], fades, -float("inf")))
    scores = tl.dot(read, write, input_precision="tf32x3") * fades
    place = lane * tl.num_programs(1) + tl.program_id(1)
    state_from = states_at + place * size * width + channel[:, None] * width + column[None, :]
    state = tl.load(state_from, mask=inside[:, None] & across[None, :], other=0.0)
    faded = (read.to(tl.float32) * tl.exp(so_far)[:, None]).to(x.dtype)
    out = tl.dot(faded, state.to(x.dtype), input_precision="tf32x3")
    out = tl.dot(scores.to(x.dtype), x, out, input_precision="tf32x3")
    out_from = out_at + (lane * tokens + token)[:, None] * width + column[None, :]
    tl.store(out_from, out.to(out_at.dtype.element_ty), mask=there[:, None] & across[None, :])
