"""Saved sessions: one safetensors file, never unpickled, complete or absent, good for going on bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.errors import ZoetropeError
from core.files import atomic_path
from core.memory.ring import KeyValueRing
from core.memory.spatial import KEPT, Keyframe, SpatialMemory
from core.streaming.frames import Keyframes, Newest, done
from core.streaming.session import Session

if TYPE_CHECKING:
    from core.streaming.world import World

FORMAT = "zoetrope-session-5"
_NEWEST = ("latents", "action", "started", "motion", "condition", "facts", "before")
_KEYFRAME = ("picture", *KEPT)


def write_session(session: Session, path: Path) -> None:
    """Write `session` to `path`, atomically. What it could rewind to is not kept."""
    session._committed.result()
    ring = session._imagination.ring
    tensors: dict[str, Tensor] = {f"ring.{n}": getattr(ring, n) for n in ring.STATE}
    tensors |= {f"ring.times.{i}": t for i, t in enumerate(ring.times)}
    tensors |= {f"kept.{n}": x for n, x in session._imagination.kept.items()}
    tensors |= {"motion": session._motion, "action": session._action, "tint": session._tint}
    if session._pose is not None:
        tensors["pose"] = session._pose
    if session.world.config.state:
        tensors["state"] = session._state
    if session._rays is not None:
        tensors["rays"] = session._rays
    if session.newest is not None:
        tensors |= {f"newest.{n}": t for n in _NEWEST if (t := getattr(session.newest, n)) is not None}
    for number, made in enumerate(session._coming):
        tensors |= _coming_tensors(f"coming.{number}", made.result())
    for b, memory in enumerate(session._spatial):
        tensors |= {f"spatial.{b}.{n}": getattr(memory, n) for n in SpatialMemory.INDEX}
        tensors[f"spatial.{b}.intrinsics"] = memory.intrinsics
        held = [i for i in range(memory.config.capacity) if memory.order[i] >= 0]
        if held:
            tensors[f"spatial.{b}.pictures"] = torch.stack([memory.pictures[i] for i in held])
    facts = {
        "world": session.world.config.name,
        "folder": str(session.world.folder or ""),
        "fingerprint": session.world.fingerprint,
        "accelerations": _accelerations(session.world),
        "storage": ring.storage,
        "seeds": session.seeds,
        "single": session.single,
        "steps": session.steps,
        "guidance": session.guidance,
        "number": session.number,
        "spatial_on": session.spatial_on,
        "packed_on": session.packed_on,
        "recalled": list(session._recalled),
        "coming": [[[_keyframe_facts(k) for k in cameras] for cameras in made.result()] for made in session._coming],
    }
    with atomic_path(path) as temporary:
        plain = {n: t.clone().contiguous() for n, t in tensors.items()}
        save_file(plain, temporary, {"format": FORMAT, "facts": json.dumps(facts)})


def _accelerations(world: World) -> list[dict]:
    from core.acceleration.catalog import describe

    return [] if world.stack is None else [describe(a) for a in world.stack.accelerations]


def _coming_tensors(prefix: str, made: Keyframes) -> dict[str, Tensor]:
    return {
        f"{prefix}.{b}.{v}.{name}": getattr(keyframe, name)
        for b, cameras in enumerate(made)
        for v, keyframe in enumerate(cameras)
        if keyframe is not None
        for name in _KEYFRAME
    }


def _keyframe_facts(keyframe: Keyframe | None) -> dict | None:
    return None if keyframe is None else {"number": keyframe.number, "real": keyframe.real, "camera": keyframe.camera}


def _read_coming(prefix: str, facts: list, tensors: dict[str, Tensor]) -> Keyframes:
    return [
        [
            None if k is None else Keyframe(**{n: tensors[f"{prefix}.{b}.{v}.{n}"] for n in _KEYFRAME}, **k)
            for v, k in enumerate(cameras)
        ]
        for b, cameras in enumerate(facts)
    ]


def read_session(path: Path, world: World | None) -> Session:
    """Read a session. Raises ZoetropeError when the file is missing, cut short, of another version or of other weights."""
    from core.streaming.world import World

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise ZoetropeError(f"{path}: no such saved session") from None
    except (SafetensorError, OSError) as error:
        raise ZoetropeError(f"{path}: damaged saved session ({error})") from None
    if header.get("format") != FORMAT:
        raise ZoetropeError(f"{path}: not a {FORMAT} file (found {header.get('format')}); it was saved by another version")
    try:
        facts = json.loads(header["facts"])
        on = facts.get("accelerations", [])
        world = world or World.load(facts["folder"], on)
        if world.fingerprint != facts["fingerprint"]:
            raise ZoetropeError(
                f"{path}: was saved from other weights of '{facts['world']}' than these; it cannot go on exactly"
            )
        if (found := json.loads(json.dumps(_accelerations(world)))) != on:
            named = lambda stack: ", ".join(a["name"] for a in stack) or "no accelerations"  # noqa: E731
            same = " in other settings" if named(found) == named(on) else ""
            raise ZoetropeError(f"{path}: was saved with {named(on)} on, this world has {named(found)}{same}; it cannot go on")
        return _restore(world, facts, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ZoetropeError(f"{path}: damaged saved session ({' '.join(str(error).split())})") from None


def _restore(world: World, facts: dict, tensors: dict[str, Tensor]) -> Session:
    session = Session(world, facts["seeds"], facts["single"])
    tensors = {name: tensor.to(session.device) for name, tensor in tensors.items()}
    ring = session._imagination.ring
    if (stored := facts.get("storage", KeyValueRing.storage)) != ring.storage:
        raise ZoetropeError(
            f"the session's key/value memory is kept as {stored}, this world keeps it as {ring.storage}: "
            "put the same accelerations on"
        )
    for name in ring.STATE:
        getattr(ring, name).copy_(tensors[f"ring.{name}"])
    for i, times in enumerate(ring.times):
        times.copy_(tensors[f"ring.times.{i}"])
    kept = {n.removeprefix("kept."): x for n, x in tensors.items() if n.startswith("kept.")}
    session._imagination.kept = kept
    session._motion, session._action, session._pose = tensors["motion"], tensors["action"], tensors.get("pose")
    if "newest.latents" in tensors:
        session.newest = Newest(**{n: tensors.get(f"newest.{n}") for n in _NEWEST})  # type: ignore[arg-type]
    if world.config.state:
        session._state = tensors["state"]
    session._rays, session._tint = tensors.get("rays"), tensors["tint"]
    config = world.config
    if config.spatial is not None:
        for b in range(len(session.seeds)):
            memory = SpatialMemory(config.spatial, tensors[f"spatial.{b}.intrinsics"], config.height, config.width)
            for part in SpatialMemory.INDEX:
                getattr(memory, part).copy_(tensors[f"spatial.{b}.{part}"])
            held = [i for i in range(config.spatial.capacity) if memory.order[i] >= 0]
            for row, slot in enumerate(held):
                memory.pictures[slot] = tensors[f"spatial.{b}.pictures"][row].clone()
            session._spatial.append(memory)
    session._coming = tuple(done(_read_coming(f"coming.{i}", made, tensors)) for i, made in enumerate(facts["coming"]))
    session.number, session.steps = int(facts["number"]), int(facts["steps"])
    session.guidance = float(facts["guidance"])
    session.spatial_on, session.packed_on = bool(facts["spatial_on"]), bool(facts["packed_on"])
    session._recalled = tuple(facts["recalled"])
    return session
