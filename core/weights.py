"""Networks on disk: a folder with one typed YAML and one safetensors file a network, never pickled, written atomically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.config import load_yaml, to_dict
from core.errors import ZoetropeError
from core.files import atomic_path, write_text

M = TypeVar("M", bound=nn.Module)


def save(module: nn.Module, config: Any, folder: Path, name: str, exact: Callable[[str, Tensor], bool]) -> None:
    """Write `name`.yaml and `name`.safetensors: half precision, but full for tensors of which `exact` is true."""
    tensors = {}
    for key, tensor in module.state_dict().items():
        precision = torch.float32 if exact(key, tensor) else torch.float16
        tensors[key] = tensor.detach().to("cpu", precision).contiguous()
    write_text(folder / f"{name}.yaml", yaml.safe_dump(to_dict(config), sort_keys=False))
    with atomic_path(folder / f"{name}.safetensors") as temporary:
        save_file(tensors, temporary)


def load(make: Callable[[Any], M], config: type, folder: Path, name: str, remedy: str) -> M:
    """`make(config)` with what `save` wrote, ready to be used.

    Raises ZoetropeError for weights missing (with the `remedy`), damaged or of another architecture.
    """
    module, path = make(load_yaml(config, folder / f"{name}.yaml")), folder / f"{name}.safetensors"
    stored, _ = read(path, f"no weights; {remedy}")
    fill(module, stored, path)
    return module.eval()


def read(path: Path, missing: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises ZoetropeError, with `missing` where there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise ZoetropeError(f"{path}: {missing}") from None
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ZoetropeError(f"{path}: damaged weights ({reason}); restore the file or train again") from None


def fill(module: nn.Module, stored: dict[str, Tensor], path: Path) -> None:
    """Give `module` all its tensors. Raises ZoetropeError naming the first that does not fit."""
    wanted = module.state_dict()
    wrong = [n for n in wanted if n not in stored or stored[n].shape != wanted[n].shape]
    wrong += [n for n in stored if n not in wanted]
    if wrong:
        raise ZoetropeError(f"{path}: weights of another architecture than the configuration's ('{wrong[0]}' does not fit)")
    module.load_state_dict({n: t.to(wanted[n].dtype) for n, t in stored.items()})
