"""Parallel techniques: equal to one process, with the bytes that were predicted; and what is refused."""

from __future__ import annotations

import parallel_workers as workers
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.multiprocessing.spawn import spawn
from worlds import world

from core.acceleration.parallel import Ulysses
from core.acceleration.stack import Stack
from core.backbone.transformer import FrameShape
from core.errors import ZoetropeError
from core.memory.context import ContextConfig, PackedLevel
from core.parallel.context import attend, merge
from core.parallel.cut import Cut
from core.parallel.training import Crew
from core.parallel.volume import VOLUMES, Network, Volume, Work, predicted_seconds

WORK = Work(tokens=48, width=192, heads=4, layers=6, channels=96, steps=4, branches=2)


def shape(cameras: int, rows: int, columns: int) -> FrameShape:
    return FrameShape(cameras=cameras, channels=4, rows=rows, columns=columns, condition=0, motion=False)


def test_two_processes_are_one(tmp_path):
    spawn(workers.two, (2, str(tmp_path)), 2)


def test_four_processes_are_one(tmp_path):
    spawn(workers.four, (4, str(tmp_path)), 4)


def test_two_processes_learn_what_one_learns(tmp_path):
    spawn(workers.train, (2, str(tmp_path)), 2)
    for make in (workers.trainer, workers.backbone_trainer):
        alone = make(tmp_path / "alone" / make.__name__, workers.TRAINING)
        alone.run("toy", progress=False)
        wanted = torch.cat([p.detach().flatten() for p in alone.module.parameters()])
        found = sorted(tmp_path.glob(f"{make.__name__}-*.safetensors"))
        assert found
        for path in found:
            assert torch.allclose(load_file(path)["weights"], wanted, atol=1e-4), path.name


def test_parts_that_cannot_be_shared_out_are_refused():
    crew = Crew()
    assert list(crew.parts(3)) == [0, 1, 2]
    crew.size = 2
    with pytest.raises(ZoetropeError, match="multiple"):
        crew.parts(3)


def test_one_process_alone_is_told_how_to_start_several():
    alone = world()
    with pytest.raises(ZoetropeError, match="torchrun"):
        Stack(alone, [Ulysses()])
    assert alone.stack is None


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4))
def test_a_cut_frame_is_joined_again(cameras, rows, columns, parts):
    whole = shape(cameras, rows, columns)
    if all(size % parts for size in (cameras, rows, columns)):
        with pytest.raises(ZoetropeError, match="equally"):
            Cut.of(whole, parts)
        return
    cut = Cut.of(whole, parts)
    x = torch.arange(2 * whole.tokens * 3).view(2, whole.tokens, 3)
    dealt = cut.deal(x, 1)
    assert torch.equal(cut.join(dealt, 1), x)
    assert torch.equal(cut.own(x, 1, parts - 1), dealt[-1])
    assert cut.shape(whole).tokens * parts == whole.tokens


def test_no_packed_token_is_cut_in_two():
    context = ContextConfig(recent=1, packed=(PackedLevel(frames=2, rows=2, columns=4),))
    assert Cut.of(shape(1, 6, 8), 2, context).shape(shape(1, 6, 8)).columns == 4
    assert Cut.of(shape(1, 4, 4), 2, context).shape(shape(1, 4, 4)).rows == 2
    with pytest.raises(ZoetropeError, match="packed"):
        Cut.of(shape(1, 6, 4), 2, context)


@given(st.integers(1, 5), st.integers(1, 5), st.floats(0.1, 30))
def test_attention_over_two_sets_of_keys_merges(first, second, scale):
    torch.manual_seed(first * 10 + second)
    queries, keys, values = torch.randn(3, 4), torch.randn(first + second, 4) * scale, torch.randn(first + second, 4)
    whole, weight = attend(queries, keys, values)
    parts = [attend(queries, keys[s], values[s]) for s in (slice(0, first), slice(first, None))]
    out, total = merge(*parts[0], *parts[1])
    assert torch.allclose(out, whole, atol=1e-5) and torch.allclose(total, weight, atol=1e-4)
    plain = torch.nn.functional.scaled_dot_product_attention(queries[None], keys[None], values[None])[0]
    assert torch.allclose(whole, plain, atol=1e-5)


@pytest.mark.parametrize("name", VOLUMES)
def test_one_process_sends_nothing_and_a_slow_network_never_helps(name):
    if name != "guidance_parallel":
        assert VOLUMES[name](WORK, 1).bytes == 0
    volume = VOLUMES[name](WORK, 2)
    assert volume.bytes > 0 and 0 <= volume.hidden <= volume.bytes and volume.rounds > 0
    times = [predicted_seconds(1.0, 0.8, volume, 2, Network(bandwidth=b, latency=1e-4)) for b in (1e12, 1e8, 1e5)]
    assert times == sorted(times) and times[0] > 0.6


def test_what_is_hidden_costs_nothing_until_it_takes_longer_than_computing():
    network = Network(bandwidth=100.0, latency=0.0)
    assert predicted_seconds(1.0, 1.0, Volume(50, 0, 50), 2, network) == pytest.approx(0.5)
    assert predicted_seconds(1.0, 1.0, Volume(50, 0, 0), 2, network) == pytest.approx(0.75)
    with pytest.raises(ZoetropeError, match="positive"):
        predicted_seconds(1.0, 1.0, Volume(50, 0, 0), 2, Network(bandwidth=0.0, latency=0.0))
