"""What parallel techniques send for a frame, and how they would scale on another network.

Shape letters: n tokens of a frame, d width, H heads, L layers, C latent channels, S denoising steps, P processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.errors import ZoetropeError
from core.parallel.context import Cache
from core.streaming.model import WorldConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What imagining one frame of one session takes."""

    tokens: int
    width: int
    heads: int
    layers: int
    channels: int
    steps: int
    state: int = 0
    branches: int = 1
    """Predictions a step: 2 with guidance."""
    number: int = 4
    """Bytes of a number."""

    @staticmethod
    def of(config: WorldConfig, steps: int | None = None, guided: bool = False) -> Work:
        """Of a world's frame, by default in its own number of steps."""
        shape, backbone = config.frame_shape, config.backbone
        return Work(
            tokens=shape.tokens,
            width=backbone.width,
            heads=backbone.heads,
            layers=backbone.layers,
            channels=shape.channels,
            steps=config.steps if steps is None else steps,
            state=shape.state,
            branches=2 if guided else 1,
        )

    @property
    def said(self) -> int:
        """Numbers in what is said of a frame: latents, reward, end, state."""
        return self.tokens * self.channels + 2 + self.state


@dataclass(frozen=True, slots=True)
class Volume:
    """Of one frame, remembering it included."""

    bytes: int
    """Sent by all processes together."""
    rounds: int
    """Messages in a row that somebody waits for."""
    hidden: int = 0
    """Of the bytes, those that travel while everybody computes."""
    at_once: float | None = None
    """How many processes compute at a time, on average over a frame's calls; None for all."""


def ulysses(work: Work, processes: int, cache: Cache = "shared") -> Volume:
    """Queries, keys and values there and what they found back in each layer; tokens at the end of each call."""
    n, d, L, P = work.tokens, work.width, work.layers, processes
    calls, share = work.steps * work.branches, (P - 1) * n * work.width // P  # of an all-to-all, all processes together
    numbers = calls * (4 * L * share + (P - 1) * n * d) + 4 * (L - 1) * share + 2 * share
    rounds = calls * (2 * L + 1) + 2 * L - 1
    return _with_cache(work, numbers, rounds, P, cache)


def ring_attention(work: Work, processes: int, cache: Cache = "shared") -> Volume:
    """Keys and values pass everybody in each layer; with a sharded past queries, what they found and its weight."""
    n, d, L, P = work.tokens, work.width, work.layers, processes
    calls = work.steps * work.branches
    layer = (P - 1) * 2 * n * d if cache == "shared" else (P - 1) * n * (2 * d + work.heads) + n * d
    hops = P - 1 if cache == "shared" else P
    numbers = calls * (L * layer + (P - 1) * n * d) + (L - 1) * layer
    return _with_cache(work, numbers, calls * (L * hops + 1) + (L - 1) * hops, P, cache)


def patch_parallel(work: Work, processes: int, warmup: int = 1) -> Volume:
    """Keys and values of each layer to everybody, in stale steps for the step after; tokens at the end of each call."""
    n, d, L, P = work.tokens, work.width, work.layers, processes
    waited = min(warmup, work.steps)
    stale = work.steps - waited
    layer = (P - 1) * 2 * n * d
    later = max(0, stale - 1) * L * layer * work.branches
    numbers = work.branches * (waited * L * layer + work.steps * (P - 1) * n * d) + later + L * layer
    rounds = work.branches * (waited * L + work.steps) + L
    return Volume(numbers * work.number, rounds, later * work.number)


def patch_pipeline(work: Work, processes: int, patches: int = 0, warmup: int = 1) -> Volume:
    """Tokens from stage to stage, latents from the last to the first, and the finished frame to everybody."""
    n, d, P = work.tokens, work.width, processes
    patches, waited = patches or P, min(warmup, work.steps)
    along = (P - 1) * n * d
    numbers = work.steps * work.branches * along + (P > 1) * (work.steps - 1) * n * work.channels + along + (P - 1) * work.said
    hidden = (work.steps - waited) * work.branches * along * (patches - 1) // patches
    rounds = waited * P + (work.steps - waited) * max(1, P + 1 - patches) + 2 * P - 1
    at_once = (work.steps + 1) / (waited + 1 + (work.steps - waited) / P)
    return Volume(numbers * work.number, rounds, hidden * work.number, at_once)


def step_pipeline(work: Work, processes: int) -> Volume:
    """Latents from step to step, and the finished frame to everybody; as many steps as processes."""
    numbers = (processes - 1) * (work.tokens * work.channels + work.said + work.state)
    return Volume(numbers * work.number, 2 + (work.state > 0), at_once=(processes + 1) / 2)


def guidance_parallel(work: Work, processes: int = 2) -> Volume:
    """What is said of the frame, in each step."""
    at_once = (2 * work.steps + 1) / (work.steps + 1)
    return Volume(processes * work.steps * work.said * work.number, work.steps, at_once=at_once)


VOLUMES: dict[str, Callable[..., Volume]] = {
    f.__name__: f for f in (ulysses, ring_attention, patch_parallel, patch_pipeline, step_pipeline, guidance_parallel)
}
"""By the names of the accelerations; each takes (work, processes) and the acceleration's settings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Between any two processes."""

    bandwidth: float
    """Bytes a second that one process can send."""
    latency: float
    """Seconds until a message has arrived, however small."""


def predicted_seconds(seconds: float, share: float, volume: Volume, processes: int, network: Network) -> float:
    """Seconds a frame, of a frame that takes one process `seconds`, of which `share` is imagining (the rest everyone does).

    What is hidden costs only what takes longer than computing. Raises ZoetropeError for numbers that mean nothing.
    """
    if not 0 <= share <= 1 or seconds <= 0 or network.bandwidth <= 0 or network.latency < 0 or processes < 1:
        raise ZoetropeError("parallel: seconds and bandwidth must be positive, latency not negative, and share within 0 and 1")
    sending = 1 / (processes * network.bandwidth)
    computing = max(seconds * share / (volume.at_once or processes), volume.hidden * sending)
    return seconds * (1 - share) + computing + (volume.bytes - volume.hidden) * sending + volume.rounds * network.latency


def _with_cache(work: Work, numbers: int, rounds: int, processes: int, cache: Cache) -> Volume:
    """Adds what it takes that everybody remembers the whole frame."""
    whole = 2 * work.layers * (processes - 1) * work.tokens * work.width
    shared = cache == "shared"
    return Volume((numbers + whole * shared) * work.number, rounds + shared)
