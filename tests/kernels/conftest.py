import importlib.metadata
import importlib.util

import numpy as np
import pytest
import torch


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _can_run() -> bool:
    """Loops in Triton's interpreter before 3.9 do not run with NumPy 2.4 and later; compiled for a GPU they do."""
    if importlib.util.find_spec("triton") is None:
        return False
    recent = _release(importlib.metadata.version("triton")) >= (3, 9)
    return torch.cuda.is_available() or recent or _release(np.__version__) < (2, 4)


collect_ignore_glob = [] if _can_run() else ["test_*.py"]


@pytest.fixture
def device() -> torch.device:
    """Where kernels run: compiled on a GPU, or interpreted on the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
