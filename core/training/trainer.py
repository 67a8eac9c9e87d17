"""One trainer for every stage: seeded batches, warm-up and decay, averaged weights, checkpoints that survive `kill -9`."""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from core.errors import ZoetropeError
from core.files import atomic_path
from core.memory.sketch import Sketch
from core.parallel.training import Crew, shard, shared_like, whole

Batch = Any
CHECKPOINT = "checkpoint.safetensors"
Loss = Callable[[Batch, torch.Generator], tuple[Tensor, dict[str, float]]]
"""(batch, generator) -> (loss, figures to show). The generator is reseeded every step, so a resumed run repeats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How long and how fast to train one stage."""

    steps: int
    batch: int
    learning_rate: float = 1e-3
    warmup: int = 50
    decay: float = 0.4
    """Share of the steps, at the end, over which the learning rate falls to zero."""
    weight_decay: float = 0.01
    momentum: float = 0.9
    """Decay of the gradient's running mean; a lower one keeps adversarial training stable."""
    clip: float = 1.0
    average: float = 0.995
    """Decay of the averaged weights that are kept at the end."""
    seed: int = 0
    parts: int = 1
    """Batches, each of `batch`, that a step learns from. Processes (torchrun) share them: what is learnt depends on how many
    parts there are, not on how many processes."""
    shard: bool = False
    """With several processes: keep weights and optimizer state in shares, not whole in each (FSDP2); for a module that is used
    through its forward."""


class Trainer:
    """Trains the parameters of `module` that require gradients, on its device, and keeps their running average.

    `make_batch(step)` must depend on nothing but the step, so that a run that was cut off goes on as if it had not been. Of
    several parts, part p of step s is batch s x parts + p. In several processes the first writes and shows.
    """

    def __init__(self, module: nn.Module, loss: Loss, make_batch: Callable[[int], Batch], config: TrainConfig, folder: Path):
        self.module, self.loss, self.make_batch, self.config = module, loss, make_batch, config
        self.checkpoint = folder / CHECKPOINT
        self.log = folder / "log.jsonl"
        self.device = next(module.parameters()).device
        self.crew = Crew()
        self.own = self.crew.parts(config.parts)
        """Parts of a step that are this process's."""
        self.crew.agree(module)
        self._sharded = config.shard and self.crew.size > 1
        self._make_whole = shard(module) if self._sharded else lambda: None
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}
        matrices = [p for p in self.parameters.values() if p.ndim > 1]
        vectors = [p for p in self.parameters.values() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            [g for g in groups if g["params"]], lr=config.learning_rate, betas=(config.momentum, 0.99), fused=True
        )
        self.step = 0
        self.seconds = 0.0

    def run(self, name: str, checkpoint_seconds: float = 60.0, progress: bool = True) -> None:
        """Train to the last step, resuming from the checkpoint when there is one, and load the averaged weights."""
        self.resume()
        config, started = self.config, time.monotonic() - self.seconds
        saved, shown = time.monotonic(), progress and self.crew.leads
        self.module.train()
        with (
            _prefetch(self._make_parts, self.step, config.steps) as batches,
            tqdm(total=config.steps, initial=self.step, desc=f"train {name}", unit="step", disable=not shown) as bar,
        ):
            while self.step < config.steps:
                figures = self._update(*batches.get())
                self.step += 1
                self.seconds = time.monotonic() - started
                bar.update()
                bar.set_postfix({k: f"{v:.3f}" for k, v in figures.items()}, refresh=False)
                if self.step % 10 == 0 and self.crew.leads:
                    self._append_log(figures)
                if self.crew.decided(time.monotonic() - saved > checkpoint_seconds):
                    self.save()
                    saved = time.monotonic()
        self.save()
        with torch.no_grad():
            for name_, parameter in self.parameters.items():
                parameter.copy_(self.average[name_])
        self._make_whole()
        self.module.eval()

    def save(self) -> None:
        """Write weights, averages, optimizer state and position as one safetensors file, atomically."""
        arrays = {f"average.{n}": t for n, t in self.average.items()}
        for name, parameter in self.parameters.items():
            arrays[f"weight.{name}"] = parameter.detach()
            for key, value in self.optimizer.state.get(parameter, {}).items():
                arrays[f"optimizer.{key}.{name}"] = value
        arrays = {n: whole(t).contiguous() for n, t in arrays.items()}
        if not self.crew.leads:
            return
        position = {"step": str(self.step), "seconds": str(self.seconds)}
        with atomic_path(self.checkpoint) as temporary:
            save_file(arrays, temporary, position)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return
        try:
            with safe_open(self.checkpoint, framework="pt") as file:
                position = file.metadata()
                stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(shared_like(stored[f"weight.{name}"], parameter))
                    self.average[name].copy_(shared_like(stored[f"average.{name}"], parameter))
                    keys = ("step", "exp_avg", "exp_avg_sq")
                    if f"optimizer.step.{name}" in stored:
                        kept = {k: stored[f"optimizer.{k}.{name}"].to(self.device) for k in keys}
                        self.optimizer.state[parameter] = {
                            k: x if k == "step" else shared_like(x, parameter) for k, x in kept.items()
                        }
            self.step, self.seconds = int(position["step"]), float(position["seconds"])
        except (SafetensorError, KeyError, RuntimeError, OSError) as error:
            raise ZoetropeError(
                f"{self.checkpoint}: does not continue this run ({' '.join(str(error).split())}); delete it to start over"
            ) from None

    def _make_parts(self, step: int) -> list[Batch]:
        return [self.make_batch(step * self.config.parts + part) for part in self.own]

    def _update(self, *batches: Batch) -> dict[str, float]:
        """One step, on this process's parts of it."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(self.step, config)
        self.optimizer.zero_grad(set_to_none=True)
        share = (self.crew.size if self._sharded else 1) / config.parts  # FSDP takes the mean over processes
        figures: dict[str, float] = {}
        for part, batch in zip(self.own, batches):
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step * config.parts + part)
            loss, said = self.loss(moved(batch, self.device), generator)
            if not torch.isfinite(loss):
                raise ZoetropeError(f"training diverged at step {self.step}; lower learning_rate")
            (loss * share).backward()
            for name, value in {"loss": float(loss.detach()), **said}.items():
                figures[name] = figures.get(name, 0.0) + value / len(batches)
        if not self._sharded:
            self.crew.sum_gradients(self.parameters.values())
        nn.utils.clip_grad_norm_(self.parameters.values(), config.clip)
        self.optimizer.step()
        keep = min(config.average, (1 + self.step) / (10 + self.step))
        for name, parameter in self.parameters.items():
            self.average[name].lerp_(parameter.detach(), 1 - keep)
        return figures

    def _append_log(self, figures: dict[str, float]) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as file:
            file.write(json.dumps({"step": self.step, "seconds": round(self.seconds, 1), **figures}) + "\n")


def moved(batch: Batch, device: torch.device) -> Batch:
    """Every tensor of a batch on `device`; what is no tensor stays as it is."""
    if isinstance(batch, dict):
        return {name: moved(part, device) for name, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(moved(part, device) for part in batch)
    if isinstance(batch, Sketch):
        return batch.map(lambda x: x.to(device))
    return batch.to(device, non_blocking=True) if isinstance(batch, Tensor) else batch


def _schedule(step: int, config: TrainConfig) -> float:
    up = min(1.0, (step + 1) / max(1, config.warmup))
    left = (config.steps - step) / max(1, math.ceil(config.steps * config.decay))
    return up * min(1.0, left)


@contextmanager
def _prefetch(make: Callable[[int], Batch], start: int, stop: int):  # noqa: ANN202
    """Make batches on a thread while the model trains. An error there surfaces here."""
    ready: queue.Queue = queue.Queue(maxsize=2)
    stopping = threading.Event()

    def work() -> None:
        for step in range(start, stop):
            try:
                item: tuple[bool, Any] = (True, make(step))
            except Exception as error:  # noqa: BLE001 - handed to the training thread, which raises it
                item = (False, error)
            while not stopping.is_set():
                try:
                    ready.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if stopping.is_set() or not item[0]:
                return

    class Ready:
        @staticmethod
        def get() -> Batch:
            good, item = ready.get()
            if not good:
                raise item
            return item

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield Ready
    finally:
        stopping.set()
        thread.join(timeout=5)
