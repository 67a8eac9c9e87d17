import os

import pytest
import torch

from core.hardware import cores

if not torch.cuda.is_available():  # Triton then interprets its kernels on the CPU; it must know before anyone imports it
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    """Processes of pytest-xdist share the cores."""
    if processes := getattr(config, "workerinput", {}).get("workercount"):
        torch.set_num_threads(max(1, cores() // processes))
