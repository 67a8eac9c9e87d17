"""Networks on disk: a folder with one typed YAML and one safetensors file a network, written atomically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from core.config import load_yaml, to_dict
from core.errors import ZoetropeError
from core.files import atomic_path, write_text

M = TypeVar("M", bound=nn.Module)


def save(module: nn.Module, config: Any, folder: Path, name: str) -> None:
    """Write `name`.yaml and `name`.safetensors: matrices in half precision, vectors and statistics, which are few, in full."""
    import yaml

    tensors = {n: (t.detach().half() if t.ndim > 1 else t.detach()).cpu().contiguous() for n, t in module.state_dict().items()}
    write_text(folder / f"{name}.yaml", yaml.safe_dump(to_dict(config), sort_keys=False))
    with atomic_path(folder / f"{name}.safetensors") as temporary:
        save_file(tensors, temporary)


def load(make: Callable[[Any], M], config: type, folder: Path, name: str) -> M:
    """`make(config)` with what `save` wrote. Raises ZoetropeError for weights missing, damaged or of another architecture."""
    path = folder / f"{name}.safetensors"
    module = make(load_yaml(config, folder / f"{name}.yaml"))
    try:
        with safe_open(path, framework="pt") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise ZoetropeError(f"{path}: no weights; train them with robotics.latent.train") from None
    except (SafetensorError, OSError) as error:
        raise ZoetropeError(f"{path}: damaged weights ({error}); restore the file or train again") from None
    wanted = module.state_dict()
    wrong = [n for n in wanted if n not in stored or stored[n].shape != wanted[n].shape] + [
        n for n in stored if n not in wanted
    ]
    if wrong:
        raise ZoetropeError(f"{path}: weights of another architecture than {name}.yaml beside it ('{wrong[0]}' does not fit)")
    with torch.no_grad():
        module.load_state_dict({n: t.to(wanted[n].dtype) for n, t in stored.items()})
    return module.eval()
