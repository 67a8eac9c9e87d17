import os
import subprocess
import sys

import torch

from kernels import launch

FILES = ["int8_attention", "linear", "linear_attention", "modulate", "quantize", "rotary", "scan", "sparse", "tile", "bench"]


def test_importing_kernels_imports_no_triton():
    """So that they can be imported where there is none, and cost nothing where they are not used."""
    imports = "; ".join(f"import kernels.{name}" for name in FILES)
    code = f"import sys; sys.modules['triton'] = None; {imports}; assert not sys.modules['triton']"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bench_says_what_it_needs():
    if torch.cuda.is_available():
        return
    done = subprocess.run([sys.executable, "-m", "kernels.bench"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs a GPU" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_kernel_is_not_chosen_where_it_cannot_run():
    assert not launch.runs(torch.zeros(2))
    assert not launch.runs(torch.zeros(2, requires_grad=True), None)


def test_power_of_two():
    assert [launch.power_of_two(size) for size in (1, 2, 3, 64, 65)] == [1, 2, 4, 64, 128]
    assert launch.power_of_two(3, launch.SMALLEST_DOT) == 16


def test_every_kernel_compiles_for_a_gpu(tmp_path):
    """Also where there is none."""
    settings = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    settings["TRITON_CACHE_DIR"] = str(tmp_path)
    command = [sys.executable, "-m", "tests.kernels.compiled"]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= {f"kernels.{name}" for name in FILES if name != "bench"}
