"""INT8 (W8A8) on this machine's kernels: weights scaled for each output channel, activations as they come.

On a CPU the blocks' linear layers and the decoder's convolutions run through FBGEMM or oneDNN, with VNNI where the processor
has it; on a GPU the linear layers run through INT8 tensor cores. What is not worth its quantization stays as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.acceleration.calibration import Calibration, calibrate
from core.acceleration.modules import named, swap
from core.acceleration.stack import Acceleration, Stage, Undo
from core.errors import ZoetropeError
from core.quantizers import LEAST_STEP, largest, symmetric
from core.streaming.world import World

LINEARS, CONVOLUTIONS = ("backbone.blocks.",), ("tokenizer.decoder.network.",)
"""Where the layers are whose time counts."""
LEAST_CHANNELS = 32
"""Input channels below which an INT8 convolution is no faster."""
Compiled = Literal["fbgemm", "onednn", "int_mm"]
Kernel = Literal["auto", "fbgemm", "onednn", "int_mm"]
Multiply = Callable[[Tensor], Tensor]
"""x (..., in) -> x times the quantized weights (..., out)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8(Acceleration):
    """Linear layers and convolutions in eight bits; one to three hundredths of a layer's output are rounding error."""

    name: ClassVar[str] = "int8"
    stage: ClassVar[Stage] = Stage.MODULES
    kernel: Kernel = "auto"
    """`auto` takes FBGEMM on a CPU (the fastest for a frame's few tokens), oneDNN where this torch is without it."""
    per_token: bool = False
    """Whether each token's activations have a scale of their own; else those of a call share one, which is faster where the
    kernel can (FBGEMM). A batch's sessions then share it too."""
    convolutions: bool = True
    """Whether the decoder runs in INT8 too."""
    smoothing: float = 0.0
    """How much of the activations' outliers the weights take over (SmoothQuant's alpha, arXiv 2211.10438); 0 for none."""
    calibration: str = ""
    """File of the activations' peaks, for smoothing; where none is named they are measured on a dream."""

    def __post_init__(self) -> None:
        check_smoothing(self.name, self.smoothing)

    def check(self, world: World) -> None:
        choose(self.kernel, next(world.model.backbone.parameters()).device)

    def apply(self, world: World) -> Undo:
        linears = named(world.model, LINEARS, nn.Linear)
        kernel = choose(self.kernel, next(world.model.backbone.parameters()).device)
        scales = smoothing_scales(world, linears, self.smoothing, self.calibration)
        swapped: dict[str, nn.Module] = {
            name: Int8Linear(layer, kernel, self.per_token, scales.get(name)) for name, layer in linears.items()
        }
        if self.convolutions and kernel == "fbgemm":
            for name, layer in named(world.model, CONVOLUTIONS, nn.Conv2d).items():
                if layer.in_channels >= LEAST_CHANNELS:
                    swapped[name] = Int8Conv(layer)
        return swap(world.model, swapped)


def check_smoothing(name: str, smoothing: float) -> None:
    """Raise ZoetropeError for an alpha that is none."""
    if not 0 <= smoothing < 1:
        raise ZoetropeError(f"accelerations: {name}: smoothing must be at least 0 and below 1, found {smoothing}")


def smoothing_scales(world: World, layers: dict[str, nn.Linear], alpha: float, calibration: str) -> dict[str, Tensor]:
    """What each layer's input channels are divided by, and its weights multiplied with; empty where nothing is smoothed."""
    if not alpha:
        return {}
    known = Calibration.load(Path(calibration)) if calibration else calibrate(world, layers)
    scales = {}
    for name, layer in layers.items():
        peak = known.of(name, layer).to(layer.weight.device).clamp(min=LEAST_STEP)
        weight = layer.weight.detach().abs().amax(0).clamp(min=LEAST_STEP)
        scales[name] = peak**alpha / weight ** (1 - alpha)
    return scales


def choose(kernel: Kernel, device: torch.device) -> Compiled:
    """The kernel that runs on a device. Raises ZoetropeError where the one that was asked for does not."""
    there: dict[Compiled, bool] = {"int_mm": device.type in ("cpu", "cuda")}
    if device.type == "cpu":
        first: dict[Compiled, bool] = {"fbgemm": _has_fbgemm(), "onednn": hasattr(torch.ops.onednn, "qlinear_pointwise")}
        there = first | there
    for name, here in there.items():
        if here and kernel in ("auto", name):
            return name
    raise ZoetropeError(f"accelerations: int8: no kernel '{kernel}' on this {device.type}; leave int8 out, or kernel at auto")


class Int8Linear(nn.Module):
    """Stands for a linear layer."""

    def __init__(self, layer: nn.Linear, kernel: Compiled, per_token: bool, scale: Tensor | None):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        weight = layer.weight.detach() if scale is None else layer.weight.detach() * scale
        codes, step = symmetric(weight, 8, 1)
        self.bias = None if layer.bias is None else layer.bias.detach()
        self.shrink = None if scale is None else 1 / scale
        make = {"fbgemm": _fbgemm, "onednn": _onednn, "int_mm": _int_mm}[kernel]
        self.per_token = per_token or kernel != "fbgemm"
        self.multiply: Multiply = make(codes, step[:, 0], None if self.per_token else self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.shrink is not None:
            x = x * self.shrink
        if not self.per_token:
            return self.multiply(x)
        peak = x.abs().amax(-1, keepdim=True).clamp(min=LEAST_STEP)
        product = self.multiply(x / peak)
        return product * peak if self.bias is None else torch.addcmul(self.bias, product, peak)


class Int8Conv(nn.Module):
    """Stands for a convolution: weights in eight bits an output channel, activations scaled as they come."""

    def __init__(self, layer: nn.Conv2d):
        super().__init__()
        codes, step = symmetric(layer.weight.detach().flatten(1), 8, 1)
        quantized = _per_channel(codes.view(layer.weight.shape), step[:, 0])
        bias = None if layer.bias is None else layer.bias.detach()
        spread = [list(x) for x in (layer.stride, layer.padding, layer.dilation)]
        with _engine("fbgemm"):
            self.packed = torch.ops.quantized.conv2d_prepack(quantized, bias, *spread, layer.groups)
        self.narrow = _is_narrow()

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.conv2d_dynamic(x.contiguous(memory_format=torch.channels_last), self.packed, self.narrow)


# -- kernels -----------------------------------------------------------------------------------------------------------


def _fbgemm(codes: Tensor, step: Tensor, bias: Tensor | None) -> Multiply:
    """One scale and zero point for all of x, found by the kernel."""
    with _engine("fbgemm"):
        packed = torch.ops.quantized.linear_prepack(_per_channel(codes, step), bias)
    narrow = _is_narrow()
    return lambda x: torch.ops.quantized.linear_dynamic(x, packed, narrow)


def _onednn(codes: Tensor, step: Tensor, bias: Tensor | None) -> Multiply:
    """x must lie in [-1, 1]."""
    packed = torch.ops.onednn.qlinear_prepack(codes, None)
    zeros = torch.zeros(len(codes), dtype=torch.int32)
    most = largest(7 if _is_narrow() else 8)

    def multiply(x: Tensor) -> Tensor:
        unsigned = (x * most).round().add(most + 1).to(torch.uint8)
        return torch.ops.onednn.qlinear_pointwise(
            unsigned, 1 / most, most + 1, packed, step, zeros, bias, 1.0, 0, torch.float32, "none", [], ""
        )

    return multiply


INT_MM_ROWS, INT_MM_MULTIPLE = 17, 8
"""`torch._int_mm` on a GPU wants at least so many rows, and sizes that are multiples."""


def _int_mm(codes: Tensor, step: Tensor, bias: Tensor | None) -> Multiply:
    """x must lie in [-1, 1]."""
    out, most = len(codes), largest(8)
    pad = [-size % INT_MM_MULTIPLE for size in codes.shape]
    columns = F.pad(codes, (0, pad[1], 0, pad[0])).t()
    scale = step / most

    def multiply(x: Tensor) -> Tensor:
        rows = (x * most).round().to(torch.int8).flatten(0, -2)
        count = len(rows)
        missing = -count % INT_MM_MULTIPLE if count >= INT_MM_ROWS else INT_MM_ROWS + INT_MM_MULTIPLE - 1 - count
        product = torch.ops.aten._int_mm(F.pad(rows, (0, pad[1], 0, missing)), columns)[:count, :out] * scale
        product = product if bias is None else product + bias
        return product.unflatten(0, x.shape[:-1])

    return multiply


def _per_channel(codes: Tensor, step: Tensor) -> Tensor:
    """Torch's own quantized tensor, which FBGEMM packs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # deprecated without an equal; `_has_fbgemm` sees when it is gone
        zeros = torch.zeros(len(codes), dtype=torch.long)
        return torch.ops.aten._make_per_channel_quantized_tensor(codes.cpu(), step.cpu(), zeros, 0)


def _has_fbgemm() -> bool:
    return "fbgemm" in torch.backends.quantized.supported_engines and hasattr(
        torch.ops.aten, "_make_per_channel_quantized_tensor"
    )


def _is_narrow() -> bool:
    """Whether activations get seven bits: without VNNI two products of eight bits may overflow where they are summed."""
    return not torch.cpu._is_vnni_supported()


@contextmanager
def _engine(name: str) -> Iterator[None]:
    """Weights are packed for this engine."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
