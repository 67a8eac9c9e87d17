"""Modules of a world, found by name and swapped for others, so that taking a technique off puts the very same ones back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import nn

from core.acceleration.stack import Undo

M = TypeVar("M", bound=nn.Module)


def named(root: nn.Module, prefixes: tuple[str, ...], kind: type[M]) -> dict[str, M]:
    """The modules of exactly this kind under `root` whose names begin with one of `prefixes`."""
    return {name: m for name, m in root.named_modules() if type(m) is kind and name.startswith(prefixes)}


def swap(root: nn.Module, others: Mapping[str, nn.Module]) -> Undo:
    """Put `others` in the places that their names say. Returns what puts back what was there."""
    before = {name: root.get_submodule(name) for name in others}

    def put(modules: Mapping[str, nn.Module]) -> None:
        for name, module in modules.items():
            parent, _, last = name.rpartition(".")
            holder = root.get_submodule(parent)
            if isinstance(holder, (nn.Sequential, nn.ModuleList)):
                holder[int(last)] = module
            else:
                setattr(holder, last, module)

    put(others)
    return lambda: put(before)
