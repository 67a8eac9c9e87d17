"""LeWorldModel: a frame becomes one embedding, and the next one is predicted from the last few and what is done in between.

Trained end to end by the error of the prediction and by SIGReg: no averaged copy of the encoder, no stopped gradient. After
LeWorldModel (arXiv 2603.19312), with a convolutional encoder for small pictures; and, where recordings tell where things are,
grounded: that must be readable linearly, of embeddings seen and predicted, which a small model learns late by itself.

Shape letters: B batch, T moments a stride apart, N candidates, V cameras, H height, W width, P proprioception, A action size,
S stride, D embedding, K numbers read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import weights
from core.errors import ZoetropeError
from robotics.latent.sigreg import sigreg
from robotics.task import Observation

NAME, REMEDY = "latent", "train them with robotics.latent.train"
"""Of the files that hold it."""
GROUPS = 8
"""Channels are normalized in this many groups."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Sizes of the model."""

    cameras: int
    action: int
    """A: numbers in an action."""
    height: int = 64
    width: int = 64
    proprioception: int = 0
    """P: numbers that the robot knows of itself and the encoder is told; 0 for pictures alone."""
    stride: int = 5
    """S: frames, and so actions, from one moment to the next."""
    history: int = 3
    """Moments that a prediction looks back on."""
    embedding: int = 192
    fold: int = 1
    """Pixels on a side that are folded into channels before the first convolution: twice as many, a quarter of its work."""
    channels: tuple[int, ...] = (24, 48, 96, 128)
    """Of the encoder's convolutions, each of which halves the picture."""
    hidden: int = 256
    """Width of the encoder's last hidden layer."""
    predictor: int = 128
    layers: int = 3
    heads: int = 4
    dropout: float = 0.1
    """In the predictor only."""
    regularization: float = 0.09
    """Weight of SIGReg in the loss."""
    directions: int = 256
    """In which SIGReg looks."""
    read: int = 0
    """K: numbers of the state, the robot's own and where things are, read off an embedding; 0 for no grounding."""
    grounding: float = 0.5
    """Weight of the error of reading in the loss."""

    def __post_init__(self) -> None:
        shrink = self.shrink
        if self.height % shrink or self.width % shrink:
            raise ZoetropeError(
                f"latent model: height and width must be multiples of {shrink}, fold times 2 to the channels' number"
            )
        if self.predictor % self.heads or any(c % GROUPS for c in self.channels):
            raise ZoetropeError(f"latent model: predictor must be a multiple of heads, and every channel count of {GROUPS}")

    @property
    def shrink(self) -> int:
        """Pixels on a side that become one place of the encoder's last convolution."""
        return self.fold * 2 ** len(self.channels)


class Encoder(nn.Module):
    """All cameras of a frame, stacked as channels, and what the robot knows of itself -> one embedding."""

    centre: Tensor
    spread: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.fold = config.fold
        sizes = (3 * config.cameras * config.fold**2, *config.channels)
        self.eye = nn.Sequential(
            *(part for a, b in zip(sizes, sizes[1:]) for part in (nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(GROUPS, b), nn.SiLU()))
        )
        seen = sizes[-1] * (config.height // config.shrink) * (config.width // config.shrink)
        # Normalized over the batch, as LeWorldModel must be: over the features it could not become Gaussian.
        self.head = nn.Sequential(
            nn.Linear(seen + config.proprioception, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.embedding),
        )
        self.register_buffer("centre", torch.zeros(config.proprioception))
        self.register_buffer("spread", torch.ones(config.proprioception))

    def forward(self, frames: Tensor, proprioception: Tensor) -> Tensor:
        """uint8 (N, V, H, W, 3) and float (N, P) -> (N, D)."""
        n, v, h, w, c = frames.shape
        f = self.fold
        folded = frames.reshape(n, v, h // f, f, w // f, f, c).permute(0, 1, 6, 3, 5, 2, 4)
        # one pass over the bytes: permuted as they become floats
        pixels = folded.to(torch.float32, memory_format=torch.contiguous_format).div_(255).sub_(0.5)
        known = (proprioception - self.centre) / self.spread
        return self.head(torch.cat([self.eye(pixels.flatten(1, 4)).flatten(1), known], 1))


class Layer(nn.Module):
    """Causal attention and a feed-forward layer, both modulated by the action (AdaLN-zero: they start as nothing)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.attend, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """x (B, T, C), modulated (B, T, 6 * C)."""
        move_a, scale_a, gate_a, move_f, scale_f, gate_f = modulation.chunk(6, -1)
        normal = F.layer_norm(x, x.shape[-1:]) * (1 + scale_a) + move_a
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.attend(normal).chunk(3, -1))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + gate_a * self.dropout(self.join(seen))
        normal = F.layer_norm(x, x.shape[-1:]) * (1 + scale_f) + move_f
        return x + gate_f * self.dropout(self.feed(normal))


class Predictor(nn.Module):
    """Embeddings and actions up to a moment -> the embedding of the next: what is there now, and what the action changes."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.predictor
        self.into = nn.Linear(config.embedding, width)
        self.action = nn.Sequential(nn.Linear(config.stride * config.action, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.position = nn.Parameter(0.02 * torch.randn(config.history, width))
        self.layers = nn.ModuleList(Layer(width, config.heads, config.dropout) for _ in range(config.layers))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.embedding))

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        """z (B, T, D), T at most `history`, and the S actions after each (B, T, S * A) -> the next of each (B, T, D)."""
        return self.follow(z, self.read(action))

    def read(self, action: Tensor) -> list[Tensor]:
        """The actions (B, T, S * A) as each layer's modulation (B, T, 6 * C): the same wherever in a window they stand."""
        done = F.silu(self.action(action))
        return [cast(Layer, layer).modulation(done) for layer in self.layers]

    def follow(self, z: Tensor, modulations: list[Tensor]) -> Tensor:
        """z (B, T, D) and what `read` made of the actions after each -> the next of each (B, T, D)."""
        x = self.into(z) + self.position[: z.shape[1]]
        for layer, modulation in zip(self.layers, modulations):
            x = layer(x, modulation)
        return z + self.out(x)


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What led to now, of B situations at once."""

    embeddings: Tensor
    """(B, T, D): moments a stride apart, the last one now; at least one."""
    actions: Tensor
    """(B, T - 1, S, A): what was done between them."""


class Reader(nn.Module):
    """An embedding -> the state in units of its spread over the recordings, linearly."""

    centre: Tensor
    spread: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.out = nn.Linear(config.embedding, config.read)
        self.register_buffer("centre", torch.zeros(config.read))
        self.register_buffer("spread", torch.ones(config.read))

    def forward(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., K)."""
        return self.out(z)

    def state(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., K) in the state's own units."""
        return self(z) * self.spread + self.centre

    def error(self, z: Tensor, state: Tensor) -> Tensor:
        """Mean squared error of what is read off z (..., D) against states (..., K) in their own units."""
        return (self(z) - (state - self.centre) / self.spread).square().mean()


class LeWorldModel(nn.Module):
    """Encoder and predictor, and what reads off the embeddings."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.encoder, self.predictor = Encoder(config), Predictor(config)
        self.reader = Reader(config) if config.read else None

    @property
    def stride(self) -> int:
        return self.config.stride

    @property
    def action_size(self) -> int:
        return self.config.action

    def loss(
        self, frames: Tensor, proprioception: Tensor, action: Tensor, state: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Of windows: frames uint8 (B, T, V, H, W, 3), proprioception (B, T, P), action (B, T - 1, S, A), state (B, T, K).

        With figures of it: `copy` is the error of predicting that nothing changes, beside which `prediction` is to be seen.
        """
        z = self.encoder(frames.flatten(0, 1), proprioception.flatten(0, 1)).unflatten(0, frames.shape[:2])
        with torch.random.fork_rng(devices=[]):  # dropout knows only the global generator
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            told = self.predictor(z[:, :-1], action.flatten(2))
        prediction = (told - z[:, 1:]).square().mean()
        gaussian = sigreg(z.transpose(0, 1), self.config.directions, generator)
        with torch.no_grad():
            figures = {
                "prediction": float(prediction),
                "copy": float((z[:, 1:] - z[:, :-1]).square().mean()),
                "sigreg": float(gaussian),
                "rank": effective_rank(z.flatten(0, 1)),
            }
        loss = prediction + self.config.regularization * gaussian
        if self.reader is not None:
            seen, foreseen = self.reader.error(z, state), self.reader.error(told, state[:, 1:])
            loss = loss + self.config.grounding * (seen + foreseen)
            figures |= {"read": float(seen.detach()), "read_ahead": float(foreseen.detach())}
        return loss, figures

    @torch.no_grad()
    def embed(self, observation: Observation) -> Tensor:
        """One observation -> (D,). Raises ZoetropeError when its frames or proprioception are not what the model reads."""
        config = self.config
        shape = (config.cameras, config.height, config.width, 3)
        if observation.frames.shape != shape:
            raise ZoetropeError(f"latent model: expected frames of shape {shape}, found {observation.frames.shape}")
        known = observation.proprioception[: config.proprioception]
        if len(known) < config.proprioception:
            raise ZoetropeError(f"latent model: expected {config.proprioception} numbers of proprioception, found {len(known)}")
        return self.encoder(torch.from_numpy(observation.frames)[None], torch.from_numpy(known)[None].float())[0]

    def rollout(self, past: Past, actions: Tensor) -> Tensor:
        """Predict each of N candidates: actions (B, N, M * S, A) -> the embeddings after each stride (B, N, M, D)."""
        b, n, frames, _ = actions.shape
        blocks = actions.reshape(b * n, frames // self.stride, -1)
        repeat = lambda x: x.repeat_interleave(n, 0)  # noqa: E731
        z = [*repeat(past.embeddings).unbind(1)]
        done = self.predictor.read(torch.cat([repeat(past.actions.flatten(2)), blocks], 1))
        before = len(z)
        for now in range(before, before + blocks.shape[1]):
            seen = slice(max(0, now - self.config.history), now)
            z.append(self.predictor.follow(torch.stack(z[seen], 1), [part[:, seen] for part in done])[:, -1])
        return torch.stack(z[before:], 1).unflatten(0, (b, n))

    def apart(self, z: Tensor, goal: Tensor) -> Tensor:
        """How far embeddings (..., D) are from others: their squared distance, summed."""
        return (z - goal).square().sum(-1)

    def save(self, folder: Path) -> None:
        """Write config and weights into `folder`, atomically."""
        weights.save(self, self.config, folder, NAME, lambda _, tensor: tensor.ndim < 2)

    @staticmethod
    def load(folder: Path) -> LeWorldModel:
        """Read a model. Raises ZoetropeError when anything is missing, cut short or of another architecture."""
        return weights.load(LeWorldModel, ModelConfig, folder, NAME, REMEDY)


class Reading:
    """A grounded model to plan in, where distance is not of embeddings but of the states that are read off them."""

    def __init__(self, model: LeWorldModel, weights: tuple[float, ...] = ()):
        """`weights` of the state's K numbers; all alike where there are none."""
        if model.reader is None:
            raise ZoetropeError("planner: cost 'state' needs a model that was trained to read it (model.read above 0)")
        if weights and len(weights) != model.config.read:
            raise ZoetropeError(
                f"planner: weights: expected {model.config.read}, one a number of the state, found {len(weights)}"
            )
        self.model, self.reader = model, model.reader
        self.weights = torch.tensor(weights or [1.0] * model.config.read)
        self.stride, self.action_size = model.stride, model.action_size

    def rollout(self, past: Past, actions: Tensor) -> Tensor:
        return self.model.rollout(past, actions)

    def apart(self, z: Tensor, goal: Tensor) -> Tensor:
        """Squared distance of the states, each number in units of its spread, weighted and summed: (...)."""
        return (self.weights * (self.reader(z) - self.reader(goal)).square()).sum(-1)


def effective_rank(z: Tensor) -> float:
    """Directions that samples (N, D) really use: e to the entropy of their variance's shares (Roy and Vetterli 2007).

    D for an isotropic cloud of many samples, 1 for a line, 0 for a point.
    """
    variance = torch.linalg.eigvalsh(torch.cov(z.detach().T.double())).clamp(min=0)
    if variance.sum() <= 1e-12:
        return 0.0
    share = variance / variance.sum()
    return float(torch.exp(torch.special.entr(share).sum()))
