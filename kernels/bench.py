"""Measures every kernel against the best alternative on the GPU at hand: `python -m kernels.bench`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernels import launch, quantize
from kernels.cases import Call, Case, Units, cases

WARM_UP, ROUNDS = 3, 30
FLUSHED = 2**28
"""Bytes written before every call, so that none finds its inputs in the cache."""
PEAK_SIZE, PEAK_BYTES = 8192, 2**30
"""Of the square matrices and of the copy that the GPU's peaks are measured with."""
PAYS = 1.2
"""Ratio over the best alternative from which a kernel is worth having."""


def captured(call: Call) -> Call:
    """The same as a CUDA graph, so that the GPU is measured and not Python."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def medians(calls: dict[str, Call]) -> dict[str, float]:
    """Milliseconds of each, measured in turns."""
    flush = torch.empty(FLUSHED, dtype=torch.uint8, device="cuda")
    events = {name: [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(ROUNDS)] for name in calls}
    for i in range(ROUNDS):
        for name, call in calls.items():
            flush.zero_()
            start, end = events[name][i]
            start.record()
            call()
            end.record()
    torch.cuda.synchronize()
    return {
        name: float(torch.tensor([start.elapsed_time(end) for start, end in pairs]).median()) for name, pairs in events.items()
    }


def peaks() -> tuple[float, dict[Units, float]]:
    """What this GPU reaches: bytes a second of a copy, operations a second of the library's own products."""
    source = torch.empty(PEAK_BYTES, dtype=torch.uint8, device="cuda")
    half = torch.randn(PEAK_SIZE, PEAK_SIZE, device="cuda", dtype=torch.bfloat16)
    integer, one = torch.ones_like(half, dtype=torch.int8), torch.ones((), device="cuda")
    calls: dict[str, Call] = {
        "copy": lambda: source.clone(),
        "bfloat16": lambda: half @ half,
        "int8": lambda: torch.ops.aten._int_mm(integer, integer.T),
    }
    if quantize.takes(quantize.FLOAT8, half.device):
        small = half.to(torch.float8_e4m3fn)
        calls["float8"] = lambda: torch.ops.aten._scaled_mm(
            small, small.T, one, one, out_dtype=torch.bfloat16, use_fast_accum=True
        )
    took = medians({name: captured(call) for name, call in calls.items()})
    copy = 2 * PEAK_BYTES / took.pop("copy") * 1e3
    rates = {name: 2 * PEAK_SIZE**3 / milliseconds * 1e3 for name, milliseconds in took.items()}
    return copy, rates  # pyright: ignore[reportReturnType]


def difference(mine: object, theirs: object) -> float:
    """Largest relative difference of the outputs, as norms."""
    if isinstance(mine, Tensor) and isinstance(theirs, Tensor):
        return float((mine.float() - theirs.float()).norm() / theirs.float().norm())
    assert isinstance(mine, tuple) and isinstance(theirs, tuple)
    return max(difference(a, b) for a, b in zip(mine, theirs))


def measure(case: Case, bandwidth: float, rates: dict[Units, float]) -> dict[str, Any]:
    """One row of the result."""
    row: dict[str, Any] = {"kernel": case.kernel, "shape": case.shape}
    calls: dict[str, Call] = {}
    for name, call in {"ours": case.ours, **case.alternatives}.items():
        try:
            calls[name] = captured(call)
        except Exception as error:  # an alternative that this GPU or version lacks is a fact of the table
            torch.cuda.synchronize()
            row.setdefault("not_run", {})[name] = f"{type(error).__name__}: {error}".split("\n")[0][:200]
    if "ours" not in calls:
        return row
    same = next(iter(case.alternatives))
    if same in calls:
        row["difference"] = difference(case.ours(), case.alternatives[same]())
    took = medians(calls)
    seconds = took.pop("ours") / 1e3
    row |= {
        "milliseconds": seconds * 1e3,
        "alternatives": took,
        "gigabytes_per_second": case.moved / seconds / 1e9,
        "share_of_peak_bandwidth": case.moved / seconds / bandwidth,
    }
    if case.operations:
        row["teraflops"] = case.operations / seconds / 1e12
        row["share_of_peak_compute"] = case.operations / seconds / rates[case.units]
    if took:
        best = min(took, key=took.__getitem__)
        row |= {"best_alternative": best, "ratio": took[best] / (seconds * 1e3)}
        row["pays"] = row["ratio"] >= PAYS
    return row


def line(row: dict[str, Any]) -> str:
    if "milliseconds" not in row:
        return f"{row['kernel']} ({row['shape']}): did not run: {row['not_run']['ours']}"
    shares = f"{row['share_of_peak_bandwidth']:.0%} of peak bandwidth"
    if "teraflops" in row:
        shares += f", {row['teraflops']:.0f} T/s, {row['share_of_peak_compute']:.0%} of peak compute"
    against = f"{row['ratio']:.2f}x {row['best_alternative']}" if "ratio" in row else "no alternative ran"
    apart = f", differs by {row['difference']:.1e}" if "difference" in row else ""
    return f"{row['kernel']} ({row['shape']}): {row['milliseconds']:.3f} ms, {against}; {shares}{apart}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m kernels.bench", description=__doc__)
    parser.add_argument("--only", help="measure the kernels whose name contains this")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    if not torch.cuda.is_available() or not launch.has_triton():
        print("kernels: the bench needs a GPU that PyTorch can use, and triton", file=sys.stderr)
        return 2
    bandwidth, rates = peaks()
    machine = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "peak_gigabytes_per_second": bandwidth / 1e9,
        "peak_teraflops": {name: rate / 1e12 for name, rate in rates.items()},
    }
    print(json.dumps(machine))
    rows = []
    for case in cases():
        if options.only is None or options.only in case.kernel:
            rows.append(measure(case, bandwidth, rates))
            print(line(rows[-1]), flush=True)
            torch.compiler.reset()
            torch.cuda.empty_cache()
    if options.json is not None:
        part = options.json.with_name(options.json.name + ".part")
        part.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))
        part.replace(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
