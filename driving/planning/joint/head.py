"""The head that imagines a trajectory: flow matching (arXiv 2210.02747) on the principal components of driven ones.

Shape letters: B situations, F frames that are remembered, n tokens of a frame, d numbers of a token, K components.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from core import weights
from core.diffusion.flow import euler
from core.errors import ZoetropeError
from core.files import atomic_path
from driving.planning.candidates import HORIZON
from driving.planning.joint.context import FRAMES
from driving.planning.joint.errand import TOLD

COMPONENTS = 12
"""A trajectory is smooth: so many numbers say it to a centimetre."""
FINEST = 0.01
"""Components that vary less than this, metres, are not magnified any further."""


Batch = tuple[Tensor, Tensor, Tensor]
"""What is remembered (B, F, n, d) and asked (B, TOLD), and the profiles that were driven (B, HORIZON, 2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadConfig:
    tokens: int
    """n."""
    features: int
    """d."""
    world: str
    """Fingerprint of the world whose memory it reads."""
    width: int = 128
    queries: int = 4
    """Places at which the tokens are pooled."""
    heads: int = 4
    hidden: int = 256
    blocks: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadLoss:
    """How the head is taught."""

    hide: float = 0.3
    """Share of tokens that are hidden: there are few drives to learn from, and many tokens to learn them by heart from."""
    blind: float = 0.15
    """Share of situations in which all are hidden, so that what the context is worth can be told."""
    pure_noise: float = 0.5
    """Share that starts from pure noise, as every imagined trajectory does."""


class Head(nn.Module):
    """What is remembered and what is asked to a trajectory's profile (see `Errand`)."""

    mean: Tensor
    basis: Tensor

    def __init__(self, config: HeadConfig):
        super().__init__()
        self.config = config
        width, hidden = config.width, config.hidden
        self.embed = nn.Linear(config.features, width)
        self.place = nn.Parameter(torch.randn(FRAMES * config.tokens, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(config.queries, width))
        self.ask = nn.Linear(TOLD, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.pooled = nn.Linear(config.queries * width, hidden)
        self.told = nn.Sequential(nn.Linear(TOLD, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.level = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, hidden))
        self.enter = nn.Linear(COMPONENTS, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden)) for _ in range(config.blocks)
        )
        self.leave = nn.Linear(hidden, COMPONENTS)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("mean", torch.zeros(2 * HORIZON))
        self.register_buffer("basis", torch.eye(2 * HORIZON)[:, :COMPONENTS].contiguous())

    def context(self, remembered: Tensor, told: Tensor, shown: Tensor | None = None) -> Tensor:
        """What is remembered (B, F, n, d) and asked (B, TOLD) -> (B, hidden). `shown` (B, F n) hides tokens where False."""
        config = self.config
        tokens = F.layer_norm(remembered, remembered.shape[-1:]).flatten(1, 2)
        keys, values = self.key_value(self.embed(tokens) + self.place).chunk(2, -1)
        queries = self._split(self.queries + self.ask(told)[:, None])
        bias, seen = None, None
        if shown is not None:
            seen = shown.any(1)
            hidden = torch.zeros(shown.shape).masked_fill(~shown & seen[:, None], float("-inf"))
            bias = hidden[:, None, None].expand(-1, config.heads, config.queries, -1)
        pooled = (
            F.scaled_dot_product_attention(queries, self._split(keys), self._split(values), attn_mask=bias)
            .transpose(1, 2)
            .flatten(1)
        )
        pooled = self.pooled(pooled)
        return self.told(told) + (pooled if seen is None else pooled * seen[:, None])

    def forward(self, x: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """Clean components (B, K) of noisy ones (B, K) at `signal` (B,)."""
        out = self.enter(x) + self.level(signal[:, None])
        for block in self.blocks:
            out = out + block(F.layer_norm(out + context, out.shape[-1:]))
        return self.leave(F.layer_norm(out, out.shape[-1:]))

    def imagine(self, context: Tensor, noise: Tensor, steps: int) -> Tensor:
        """Profiles (B, HORIZON, 2) from noise (B, K) in `steps` Euler steps."""
        return self.unpack(euler(lambda x, signal, stride: self(x, signal, context), noise, steps))

    def pack(self, profiles: Tensor) -> Tensor:
        """Components (B, K) of profiles (B, HORIZON, 2)."""
        return (profiles.flatten(1) - self.mean) @ (self.basis / self.basis.square().sum(0))

    def unpack(self, components: Tensor) -> Tensor:
        """Profiles (B, HORIZON, 2) of components (B, K)."""
        return (self.mean + components @ self.basis.T).unflatten(1, (HORIZON, 2))

    def fit(self, profiles: Tensor) -> None:
        """Take the components from driven profiles (N, HORIZON, 2), in closed form; each varies by one."""
        flat = profiles.double().flatten(1)
        mean = flat.mean(0)
        _, size, directions = torch.linalg.svd(flat - mean, full_matrices=False)
        if len(size) < COMPONENTS:
            raise ZoetropeError(f"trajectory: {len(flat)} driven trajectories are too few; at least {COMPONENTS} are needed")
        spread = (size[:COMPONENTS] / len(flat) ** 0.5).clamp(min=FINEST)
        self.mean.copy_(mean)
        self.basis.copy_(directions[:COMPONENTS].T * spread)

    def loss(self, config: HeadLoss, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """How far predicted components are from the driven ones, those that vary more weighing more; and metres at the end."""
        remembered, told, profiles = batch
        count = len(profiles)
        draw = lambda *size: torch.rand(*size, generator=generator)  # noqa: E731
        shown = (draw(count, FRAMES * self.config.tokens) >= config.hide) & (draw(count) >= config.blind)[:, None]
        signal = torch.where(draw(count) < config.pure_noise, torch.zeros(count), draw(count))
        clean = self.pack(profiles)
        noise = torch.randn(clean.shape, generator=generator)
        guess = self(torch.lerp(noise, clean, signal[:, None]), signal, self.context(remembered, told, shown))
        weight = self.basis.norm(dim=0)
        error = (guess - clean).square() * weight / weight.mean()
        with torch.no_grad():
            end = (self.unpack(guess) - profiles)[:, -1].norm(dim=-1)
            fresh = (signal == 0) & shown.any(1)
            figures = {"metres": float(end[fresh].mean()) if fresh.any() else 0.0}
        return (error * (0.1 + 0.9 * (1 - signal[:, None]))).mean(), figures

    def save(self, path: Path) -> None:
        """Write weights and configuration as one file, atomically."""
        with atomic_path(path) as temporary:
            save_file(self.state_dict(), temporary, {"config": json.dumps(asdict(self.config))})

    @staticmethod
    def load(path: Path) -> Head:
        """Read one. Raises ZoetropeError where there is none or it is damaged."""
        stored, described = weights.read(path, "no trajectory head; train one with driving.planning.joint.train")
        try:
            head = Head(HeadConfig(**json.loads(described["config"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ZoetropeError(f"{path}: no trajectory head's weights ({' '.join(str(error).split())})") from None
        weights.fill(head, stored, path)
        return head.eval()

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, heads, N, e)."""
        return x.unflatten(-1, (self.config.heads, -1)).transpose(1, 2)
