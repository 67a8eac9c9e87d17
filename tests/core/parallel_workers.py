"""What the processes of test_parallel do: each checks what it imagines against a single process, and what it sends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from worlds import episode, model, world_config

from core.acceleration.parallel import (
    GuidanceParallel,
    PatchesInPipeline,
    PatchParallel,
    Ring,
    StepsInPipeline,
    Ulysses,
)
from core.acceleration.parallel_bench import rows
from core.acceleration.stack import Acceleration, Stack
from core.backbone.call import Call
from core.backbone.rotary import rotate
from core.backbone.transformer import Inputs, Outputs
from core.parallel.cut import Cut
from core.parallel.group import SENT
from core.parallel.messages import blank
from core.parallel.volume import VOLUMES, Work
from core.streaming.frames import Newest
from core.streaming.imagination import Imagination
from core.streaming.session import Session
from core.streaming.world import World
from core.training.trainer import TrainConfig, Trainer

CLOSE = 1e-4


def joined(rank: int, processes: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{Path(folder) / 'meeting'}", rank=rank, world_size=processes)


def told_world() -> World:
    """Four cameras, four heads, four layers, and something that it is told, so that guidance counts."""
    config = world_config(cameras=4, told=True)
    return World(model(replace(config, backbone=replace(config.backbone, heads=4, layers=4))))


def blind_world() -> World:
    """Without a camera that moves."""
    config = replace(world_config(spatial=False, state=True), motion=None)
    return World(model(replace(config, backbone=replace(config.backbone, heads=4, layers=4))))


def opened(world: World, steps: int, guidance: float = 1.0) -> Session:
    session = world.open(episode(world.config).window(0, 4), seed=3)
    session.steps, session.guidance = steps, guidance
    return session


def latents(world: World, steps: int, guidance: float = 1.0, frames: int = 2) -> Tensor:
    """(frames, V, C, h, w): what a session imagines."""
    session, seen = opened(world, steps, guidance), episode(world.config)
    out = []
    for t in range(frames):
        session.step(seen.action[t], conditions={n: seen.conditions[n][t] for n in world.config.conditions})
        assert session.newest is not None
        out.append(session.newest.latents[0])
    return torch.stack(out)


def same_everywhere(x: Tensor) -> None:
    everyone = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, x.contiguous())
    assert all(torch.equal(x, other) for other in everyone)


def check_volume(world: World, acceleration: Acceleration, steps: int, guidance: float = 1.0, **settings: object) -> None:
    """Predicted bytes are those that all processes send for one frame."""
    session, seen = opened(world, steps, guidance), episode(world.config)
    _ = session.ring
    SENT.clear()
    session.step(seen.action[0])
    _ = session.ring
    sent = torch.tensor([SENT.bytes])
    dist.all_reduce(sent)
    work = Work.of(world.config, steps, guided=guidance != 1)
    predicted = VOLUMES[acceleration.name](work, dist.get_world_size(), **settings).bytes
    assert int(sent) == predicted, (acceleration, int(sent), predicted)


def check(world: World, acceleration: Acceleration, steps: int, wanted: Tensor, guidance: float = 1.0, **settings) -> None:
    stack = Stack(world, [acceleration])
    found = latents(world, steps, guidance)
    same_everywhere(found)
    assert float((found - wanted).abs().max()) <= CLOSE, (acceleration, float((found - wanted).abs().max()))
    check_volume(world, acceleration, steps, guidance, **settings)
    stack.remove()


class StaleReference(Imagination):
    """Patches that see each other as they were one step before, in one process with plain attention.

    With `sequential` those that came before it in this step are seen as they are now.
    """

    parts = 2
    sequential = False

    def imagine(
        self, fresh: Newest, number: int, steps: int, packed: bool, weak: Newest | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Outputs]:
        backbone, cut = self.backbone, Cut.of(self.backbone.shape, self.parts)
        layout = backbone.layout(torch.tensor([number]), self._slots(packed))
        cached, told = self.ring.read(layout), [fresh] if weak is None else [fresh, weak]
        x, batch = fresh.latents, len(fresh.latents)
        seen: list[list[list[Tensor]]] = []
        out = blank(backbone, x)
        for step in range(steps):
            signal, stride = torch.full((batch,), step / steps), torch.full((batch,), 1 / steps)
            entered = [backbone._enter(self._inputs(frame, x, signal, stride)) for frame in told]
            if step == 0:
                outs = [backbone(self._inputs(frame, x, signal, stride), layout, cached) for frame in told]
                seen = [[cut.deal(torch.stack([k.keys, k.values])[:, :, :, 0], 3) for k in o.cache] for o in outs]
            else:
                outs = []
                for b, (tokens, frame, known) in enumerate(entered):
                    parts, new = [], [list(layer) for layer in seen[b]]
                    for p in range(self.parts):
                        now = new if self.sequential else seen[b]
                        past = []
                        for layer, (keys, values) in enumerate(cached):
                            others = [q for q in range(self.parts) if q != p]
                            turned = [rotate(now[layer][q][0], cut.rotation(layout.rotation, q)) for q in others]
                            past.append((turned + keys, [now[layer][q][1] for q in others] + values))
                        modulation = backbone.modulate(frame).unflatten(-1, (6, -1))
                        here = replace(layout, rotation=cut.rotation(layout.rotation, p), bias=None)
                        y, kept = backbone.through(cut.own(tokens, 2, p), modulation, here, tuple(past))
                        for layer, k in enumerate(kept):
                            new[layer][p] = torch.stack([k.keys, k.values])[:, :, :, 0]
                        parts.append(y)
                    seen[b] = new
                    outs.append(backbone._leave(cut.join(parts, 2), frame, known, ()))
            out, clean = outs[0], outs[0].clean[:, -1]
            if weak is not None:
                clean = torch.lerp(outs[1].clean[:, -1], clean, guidance)
            x = x + (clean - x) / (1 - step / steps) / steps
        return x, out


class SequentialReference(StaleReference):
    sequential = True


class StepsReference(Imagination):
    """The pipeline over timesteps in one process: a ring for each step."""

    steps = 2

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.each = [Imagination(*arguments) for _ in range(self.steps)]
        self.moving: list[tuple[int, Newest, Tensor]] = []
        self.newest = -1

    def imagine(
        self, fresh: Newest, number: int, steps: int, packed: bool, weak: Newest | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Outputs]:
        self.moving = [(number, fresh, fresh.latents), *self.moving][: self.steps]
        self.newest, said = number, []
        for step, (frame, asked, x) in enumerate(self.moving):
            on, batch = self.each[step], len(x)
            layout = on.backbone.layout(torch.tensor([frame]), on._slots(packed))
            inputs = on._inputs(asked, x, torch.full((batch,), step / self.steps), torch.full((batch,), 1 / self.steps))
            out = on.backbone(inputs, replace(layout, call=Call({})), on.ring.read(layout))
            on.commit(replace(asked, latents=out.clean[:, -1]), frame, packed)
            moved = x + (out.clean[:, -1] - x) / (1 - step / self.steps) / self.steps
            self.moving[step] = frame, asked, moved
            said.append(out)
        return said[-1].clean[:, -1], replace(said[-1], state=said[0].state)

    def commit(self, frame: Newest, number: int, packed: bool) -> None:
        if number != self.newest:
            for on in self.each:
                on.commit(frame, number, packed)


def reference(world: World, kind: type[Imagination], steps: int, guidance: float = 1.0) -> Tensor:
    world.imagination = kind
    out = latents(world, steps, guidance)
    world.imagination = Imagination
    return out


def two(rank: int, processes: int, folder: str) -> None:
    joined(rank, processes, folder)
    world = told_world()
    weights = world.fingerprint
    alone = latents(world, 2)
    guided = latents(world, 2, guidance=1.5)
    assert float((alone - guided).abs().max()) > 1e-2
    check(world, Ulysses(), 2, alone)
    check(world, Ulysses(cache="sharded"), 2, alone, cache="sharded")
    check(world, Ring(), 2, guided, guidance=1.5)
    check(world, Ring(cache="sharded"), 2, alone, cache="sharded")
    check(world, GuidanceParallel(), 2, guided, guidance=1.5)
    check(world, PatchParallel(warmup=2), 2, alone, warmup=2)
    check(world, PatchParallel(), 1, latents(world, 1))
    check(world, PatchParallel(), 4, reference(world, StaleReference, 4))
    check(world, PatchesInPipeline(), 1, latents(world, 1))
    check(world, PatchesInPipeline(), 3, reference(world, SequentialReference, 3, 1.5), guidance=1.5)
    blind = blind_world()
    check(blind, StepsInPipeline(), 2, reference(blind, StepsReference, 2))
    exact, refused = rows(world, episode(world.config), [Ulysses(), StepsInPipeline()], context=4, frames=2, steps=1)
    assert exact.bytes == VOLUMES["ulysses"](Work.of(world.config, 1), 2).bytes and (exact.milliseconds or 0) > 0
    assert (exact.difference is None) == (rank > 0) and (exact.difference or 0) <= CLOSE
    assert "camera" in refused.note and refused.milliseconds is None
    assert torch.equal(latents(world, 2), alone), "taken off, nothing is left"
    assert world.model.fingerprint() == weights
    dist.destroy_process_group()


def four(rank: int, processes: int, folder: str) -> None:
    joined(rank, processes, folder)
    world = told_world()
    guided = latents(world, 2, guidance=1.5)
    check(world, Ulysses(cache="sharded"), 2, guided, guidance=1.5, cache="sharded")
    check(world, Ring(cache="sharded"), 2, guided, guidance=1.5, cache="sharded")
    check(world, Ring(), 1, latents(world, 1))
    check(world, PatchesInPipeline(patches=4), 1, latents(world, 1), patches=4)
    both = Stack(world, [GuidanceParallel(), Ulysses(degree=2)])
    found = latents(world, 2, guidance=1.5)
    same_everywhere(found)
    assert float((found - guided).abs().max()) <= CLOSE
    both.remove()
    dist.destroy_process_group()


class Stacked(nn.Module):
    """A module with blocks, as a backbone has them."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x).tanh()
        return self.last(x)


def trainer(folder: Path, config: TrainConfig) -> Trainer:
    torch.manual_seed(dist.get_rank() if dist.is_initialized() else 0)
    net = Stacked()

    def loss(x: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return (net(x) + 0.1 * torch.randn(2, generator=generator) - x[:, :2]).square().mean(), {}

    def batch(step: int) -> Tensor:
        return torch.randn(8, 4, generator=torch.Generator().manual_seed(step))

    return Trainer(net, loss, batch, config, folder)


TRAINING = TrainConfig(steps=6, batch=8, warmup=2, parts=2)


def backbone_trainer(folder: Path, config: TrainConfig) -> Trainer:
    backbone = model(world_config(spatial=False), seed=dist.get_rank() if dist.is_initialized() else 0).backbone
    shape, window = backbone.shape, 3

    def loss(seed: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        draw = lambda *size: torch.randn(2, window, *size, generator=generator)  # noqa: E731
        inputs = Inputs(
            draw(shape.cameras, shape.channels, shape.rows, shape.columns),
            draw().abs(),
            draw().abs(),
            draw(3),
            torch.ones(2, window, dtype=torch.bool),
            draw(6),
            None,
        )
        out = backbone(inputs, backbone.layout(torch.arange(window)))
        return (out.clean - inputs.latents).square().mean() + out.reward.square().mean() + out.ended.square().mean(), {}

    return Trainer(backbone, loss, lambda step: step, config, folder)


def train(rank: int, processes: int, folder: str) -> None:
    """Leaves weights behind, for the parent to compare."""
    joined(rank, processes, folder)
    for make, shard in ((trainer, False), (trainer, True), (backbone_trainer, True)):
        name, config = f"{make.__name__}-{shard}", replace(TRAINING, shard=shard)
        cut = make(Path(folder) / name, config)
        for step in range(3):
            cut._update(*cut._make_parts(step))
            cut.step += 1
        cut.save()
        dist.barrier()
        again = make(Path(folder) / name, config)
        again.run("toy", progress=False)
        assert all(type(p) is nn.Parameter for p in again.module.parameters()), "whole again"
        weights = torch.cat([p.detach().flatten() for p in again.module.parameters()])
        same_everywhere(weights)
        if rank == 0:
            save_file({"weights": weights}, Path(folder) / f"{name}.safetensors")
    dist.destroy_process_group()
