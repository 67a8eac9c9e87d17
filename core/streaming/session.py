"""A live session: one causal step at a time, memory -> imagine -> decode -> remember.

A step is two halves. The first (where the camera goes, what memory shows of that, what the backbone imagines) runs where the
step is asked for; the second (taking the new frame into the key/value ring, decoding it, making a keyframe of it) runs behind,
on a thread of the world's. `step` waits for both. Who asks for the next step while the last one's picture is still on its way
(`submit`) uses two cores at once. Either way the frames are the same, bit for bit: what a step sees of memory is decided by
frame numbers, never by time.

Shape letters: B sessions in the batch, V cameras, A action size.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from core.backbone.state import join_state
from core.backbone.transformer import MOTION_SIZE
from core.episodes.episode import FACTS, Episode
from core.errors import ZoetropeError
from core.memory.geometry import move, relative_motion
from core.memory.obstacles import CLEAR, SCAN_SECTORS
from core.memory.ring import KeyValueRing
from core.memory.sketch import SKETCH, SKETCH_DEPTH, TINT_EVIDENCE, Sketch, fit_tint, tint_evidence
from core.memory.spatial import Keyframe, Rendering, SpatialMemory, Views, Witnesses
from core.streaming.clock import Clock
from core.streaming.frames import (
    Conditions,
    Frame,
    Keyframes,
    MemoryView,
    Newest,
    done,
    flat_sketch,
    flat_views,
    members_of,
)
from core.streaming.given import Given

if TYPE_CHECKING:
    from core.streaming.world import World

REWIND_FRAMES = 64
"""How far back a session can rewind at least."""
SNAPSHOT_EVERY = 16
"""Frames between the snapshots that rewinding starts from."""
Shown = tuple[Tensor, np.ndarray, Tensor | None]
"""What a decoded frame is: pixels (B, V, c, H, W), frames uint8 (B, V, H, W, 3) and depth (B, V, H, W)."""
Seers = list[list[Witnesses | None]]
"""Who can say, for each session and camera, whether an imagined view contradicts what was seen."""


class Session:
    """Opened by `World.open` or `World.resume`."""

    def __init__(self, world: World, seeds: Sequence[int], single: bool):
        self.world, self.seeds, self.single = world, list(seeds), single
        self.steps, self.guidance = world.config.steps, world.config.guidance
        self.spatial_on, self.packed_on = True, True
        self.timings: dict[str, float] = {}
        self.rendering: np.ndarray | None = None
        """uint8 (V, H, W, 3): what memory alone showed for the last step."""
        self.number = 0
        """Frames so far, the context included."""
        batch, self.device = len(self.seeds), world.model.device
        self._imagination = world.imagination(world.model, batch)
        self._committed: Future[None] = done(None)
        """The newest frame's way into the key/value ring."""
        self._spatial: list[SpatialMemory] = []
        """One a session of the batch."""
        self._rays: Tensor | None = None
        """(B, V, 6, h, w) where tokens look, for a world that asks for it."""
        self._tint = torch.zeros(batch, *TINT_EVIDENCE, device=self.device)
        """What the frames that were seen say of the light in which sketches are drawn."""
        self._coming: tuple[Future[Keyframes], ...] = ()
        """Keyframes on their way into spatial memory; that of the newest frame is not seen by the step right after it."""
        self.newest: Newest | None = None
        """The newest frame's latents and conditions; training on a session's own history reads them."""
        self._pose: Tensor | None = None
        self._state = torch.zeros(batch, world.config.state_size, device=self.device)
        """(B, S) of the newest frame: measured, or predicted."""
        self._motion = torch.zeros(batch, MOTION_SIZE, device=self.device)
        self._action = self._blank_action(batch)
        self._recalled: tuple[int, ...] = ()
        self._snapshots: list[Session] = []
        self._log: list[tuple[Any, ...]] = []

    # -- driving ---------------------------------------------------------------------------------------------------------

    def begin(self, contexts: Sequence[Episode], blank: bool = False) -> None:
        """Take in real frames from an empty state; if `blank`, only where they were seen from."""
        config = self.world.config
        if config.spatial is not None:
            for context in contexts:
                assert context.intrinsics is not None
                intrinsics = self._put(context.intrinsics)
                self._spatial.append(SpatialMemory(config.spatial, intrinsics, config.height, config.width))
        if config.rays:
            self._rays = torch.stack([self._look(context) for context in contexts])
        pick = lambda values, t: None if values[0] is None else np.stack([v[t] for v in values])  # noqa: E731
        for t in range(0 if blank else len(contexts[0])):
            action = None if t == 0 else pick([c.action for c in contexts], t - 1)
            frames = pick([c.frames for c in contexts], t)
            pose, depth = pick([c.pose for c in contexts], t), pick([c.depth for c in contexts], t)
            assert frames is not None
            known = {name: np.stack([c.conditions[name][t] for c in contexts]) for name in self.world.config.measured}
            self._observe(frames, action, pose, depth, known)
        self._remember_state()

    def step(self, action: Any, pose: np.ndarray | None = None, conditions: Conditions | None = None) -> Frame:
        """Imagine the next frame. `action` is (A,) or an int ((B, A) or (B,) in a batch).

        `pose` (V, 4, 4) ((B, V, 4, 4) in a batch) overrides where the motion head would put the cameras. `conditions` says what
        is known of the frame, in a world that is told; nothing is known of what is left out. A state that is known of the frame
        stands in the place of the one that would be predicted.
        """
        return self.submit(action, pose, conditions).result()

    def submit(self, action: Any, pose: np.ndarray | None = None, conditions: Conditions | None = None) -> Future[Frame]:
        """The same as `step`, but returns as soon as the frame is imagined; it is decoded while the next one is asked for."""
        self._take_snapshot()
        take = self._given
        batched, given, known = take.action(action), take.pose(pose), take.known(conditions or {})
        self._log.append(("step", batched, given, known, self._settings))
        return self._step(batched, given, known)

    def observe(
        self,
        frames: np.ndarray,
        action: Any,
        pose: np.ndarray | None = None,
        depth: np.ndarray | None = None,
        conditions: Conditions | None = None,
    ) -> None:
        """A real frame happened: uint8 (V, H, W, 3) after `action`, with pose (V, 4, 4) and depth (V, H, W) where known.

        `conditions` says what is known of it; in a world with a state its parts must be there.
        """
        self._take_snapshot()
        take = self._given
        entry = take.frames(frames), take.action(action), take.pose(pose), take.depth(depth), take.real(conditions or {})
        self._log.append(("observe", *entry))
        self._observe(*entry)

    def fork(self, seed: int | None = None) -> Session:
        """An independent session that goes on from here; remembered pictures are shared. With a `seed` it imagines others."""
        twin = self._bare_copy()
        if seed is not None:
            twin.seeds = [seed + i for i in range(len(self.seeds))]
        twin._snapshots, twin._log = list(self._snapshots), list(self._log)
        return twin

    def select(self, indices: Sequence[int]) -> Session:
        """An independent batch of only these members, which goes on from here and cannot rewind further back than this.

        The members of a batch share their frame numbers, so one that is to begin anew leaves and is opened apart.
        """
        members = [int(i) for i in indices]
        if self.single:
            raise ZoetropeError("select: this session is no batch")
        if not members or not all(0 <= i < len(self.seeds) for i in members):
            raise ZoetropeError(f"select: a batch of {len(self.seeds)} has members 0 to {len(self.seeds) - 1}, got {members}")
        rows = torch.tensor(members, device=self.device)
        pick = lambda x: None if x is None else x.index_select(0, rows)  # noqa: E731
        twin = object.__new__(Session)
        twin.__dict__.update(self.__dict__)
        twin.seeds = [self.seeds[i] for i in members]
        self._committed.result()
        twin._imagination = self._imagination.select(rows)
        twin._spatial = [self._spatial[i].copy() for i in members] if self._spatial else []
        twin._rays, twin._tint = pick(self._rays), self._tint[rows]
        twin._coming = tuple(done([made[i] for i in members]) for made in (f.result() for f in self._coming) if made)
        twin._pose, twin._motion, twin._action = pick(self._pose), self._motion[rows], self._action[rows]
        twin._state = self._state[rows]
        if (newest := self.newest) is not None:
            seen = newest.rendering
            twin.newest = Newest(
                latents=newest.latents[rows],
                action=newest.action[rows],
                started=newest.started[rows],
                motion=newest.motion[rows],
                condition=pick(newest.condition),
                facts=pick(newest.facts),
                rendering=None if seen is None else (seen[0][rows], seen[1][rows], seen[2][rows], seen[3][rows]),
                sketch=None if newest.sketch is None else newest.sketch.map(lambda x: x[rows]),
                before=pick(newest.before),
            )
        twin._recalled = self._recalled if members[0] == 0 else ()  # the map shows the first member alone
        twin.rendering, twin.timings, twin._snapshots, twin._log = None, {}, [], []
        twin._remember_state()
        return twin

    def rewind(self, frames: int = 30) -> None:
        """Go back by `frames` steps. Raises ZoetropeError when that is further than the session keeps."""
        target = self.number - frames
        candidates = [s for s in self._snapshots if s.number <= target]
        if frames < 0 or not candidates:
            oldest = min((s.number for s in self._snapshots), default=self.number)
            raise ZoetropeError(f"rewind: cannot go back {frames} frames; at most {self.number - oldest} are kept")
        base = candidates[-1]
        start = base.number
        replayed = self._log[len(self._log) - (self.number - start) :][: target - start]
        kept_log = self._log[: len(self._log) - (self.number - target)]
        settings = self._settings
        self._restore(base)
        for kind, *entry in replayed:
            if kind == "step":
                *inputs, self._settings = entry
                self._step(*inputs)
            else:
                self._observe(*entry)
        self._snapshots = [s for s in self._snapshots if s.number <= target]
        self._log = kept_log
        self._settings = settings

    def use(self, spatial: bool | None = None, packed: bool | None = None) -> None:
        """Switch spatial memory and packed older frames on or off."""
        self.spatial_on = self.spatial_on if spatial is None else spatial
        self.packed_on = self.packed_on if packed is None else packed

    def save(self, path: str | Path) -> None:
        """Write everything needed to go on bit for bit."""
        from core.streaming.save import write_session

        write_session(self, Path(path))

    # -- looking ---------------------------------------------------------------------------------------------------------

    @property
    def ring(self) -> KeyValueRing:
        """The key/value ring with every frame so far in it; to be read, not written."""
        self._committed.result()
        return self._imagination.ring

    @property
    def held(self) -> dict[str, int]:
        """What memory holds now: tokens and keyframes of a session, and bytes allocated in all."""
        return {
            "tokens": self._imagination.ring.tokens,
            "keyframes": self._spatial[0].count if self._spatial else 0,
            "bytes": self._imagination.ring.bytes + sum(m.bytes for m in self._spatial),
        }

    @property
    def tint(self) -> Tensor:
        """(B, 4, 3): the light in which sketches are drawn, as far as it was seen (see `core.memory.sketch`)."""
        return fit_tint(self._tint)

    def memory_view(self) -> MemoryView | None:
        """The map of the first session, as its first camera was shown it; None without spatial memory."""
        if not self._spatial or self._pose is None:
            return None
        memory = self._spatial[0]
        slots = [i for i in range(memory.config.capacity) if memory.order[i] >= 0]
        points = memory.obstacles[slots].reshape(-1, 2)
        points = points[torch.isfinite(points).all(-1)]
        return MemoryView(
            keyframes=np.array([_flat(memory.pose[i]) for i in slots]).reshape(-1, 3),
            recalled=[slots.index(s) for s in self._recalled if s in slots],
            points=_array(points),
            here=np.array(_flat(self._pose[0, 0])),
        )

    # -- inside ----------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _step(self, action: np.ndarray, given: np.ndarray | None, known: Conditions) -> Future[Frame]:
        clock, background = Clock(), self.world.background
        with clock.during("memory"):
            self._remember(self._coming[:-1])
            moved = self._put(action)
            pose = self._next_pose(moved, None if given is None else self._put(given).float())
            sketch, facts = self._sketch(known), self._facts(known)
            sketch = None if sketch is None else sketch.tinted(self.tint)
            rendering, witnesses = self._render(pose)
            shown = self._before(sketch, rendering)
            condition = self._condition(shown, sketch)
        self._committed.result()
        with clock.during("imagine"):
            started = torch.full((len(self.seeds),), self.newest is not None, device=self.device)
            fresh = Newest(
                self._noise(), moved, started, self._relative(pose), condition, facts, shown, sketch, self._known_state
            )
            weak = None
            if self.guidance != 1 and self.world.config.conditions:
                blank = None if facts is None else torch.zeros_like(facts)
                unknown = None if sketch is None else sketch.blank()
                weak = replace(fresh, condition=self._condition(rendering, unknown), facts=blank)
            latents, said = self._imagination.imagine(fresh, self.number, self.steps, self.packed_on, weak, self.guidance)
        number, imagined, state = self.number, replace(fresh, latents=latents), self._state
        if self.world.model.state is not None and said.state is not None:
            state = self.world.model.state.after(state, moved, said.state[:, -1])
            if self.world.config.state[0].name in known:
                state = self._put(join_state(self.world.config.state, known))
        self._accept(imagined, pose, state, clock)
        picture = background.submit(self._show, imagined, clock)
        frame = background.submit(self._frame, picture, pose, said.reward[:, -1], said.ended[:, -1], state)
        made = background.submit(self._make_keyframes, picture, imagined, pose, witnesses, number, clock)
        self._coming = (*self._coming, made)
        return frame

    @torch.inference_mode()
    def _observe(
        self,
        frames: np.ndarray,
        action: np.ndarray | None,
        pose: np.ndarray | None,
        depth: np.ndarray | None,
        given: Conditions,
    ) -> None:
        model = self.world.model
        batch = len(frames)
        moved = self._blank_action(batch) if action is None else self._put(action)
        started = torch.full((batch,), action is not None, device=self.device)
        self._remember(self._coming)
        if pose is not None:
            where: Tensor | None = self._put(np.asarray(pose, np.float32))
        else:
            where = self._next_pose(moved, None)
        seen = self._put(np.ascontiguousarray(frames))
        known = None if depth is None else self._put(np.asarray(depth, np.float32))
        latents = model.tokenizer.encode(seen[:, None], None if known is None else known[:, None])[:, 0]
        plain = self._sketch(given)
        if known is not None and plain is not None:
            evidence = zip(members_of(plain, batch), model.tokenizer.pack(seen)[0][:, :, :3], known)
            self._tint = self._tint + torch.stack([tint_evidence(*of) for of in evidence])
        sketch = None if plain is None else plain.tinted(self.tint)
        rendering = self._before(sketch, self._render(where)[0])
        condition = self._condition(rendering, sketch)
        motion = self._relative(where) if action is not None else torch.zeros_like(self._motion)
        if self._spatial:
            if known is None:
                known = model.tokenizer.decode(latents[:, None])[1]
                assert known is not None
                known = known[:, 0]
            pixels = model.tokenizer.pack(seen, known)[0]
            if sketch is not None:
                known = known * (1 - sketch.moving)
            self._coming = (done(self._keyframes(pixels, known, where, rendering, None, self.number)),)
            self._remember(self._coming)
        facts = self._facts(given)
        config = self.world.config
        state = self._put(join_state(config.state, given)) if config.state else self._state
        newest = Newest(latents, moved, started, motion, condition, facts, rendering, sketch, self._known_state)
        self._accept(newest, where, state, Clock())

    def _accept(self, frame: Newest, pose: Tensor | None, state: Tensor, clock: Clock) -> None:
        """Go on from a frame; what follows is asked for only once it is in the ring."""
        self.newest, self._state = frame, state
        self._motion, self._action, self._pose = frame.motion, frame.action, pose
        commit = clock.timed("imagine", self._imagination.commit)
        self._committed = self.world.background.submit(commit, frame, self.number, self.packed_on)
        self.number += 1

    @torch.inference_mode()
    def _show(self, frame: Newest, clock: Clock) -> Shown:
        model = self.world.model
        with clock.during("decode"):
            pixels = model.show(frame.latents.flatten(0, 1), flat_views(frame.rendering), flat_sketch(frame.sketch))
            pixels = pixels.unflatten(0, (len(self.seeds), -1))
            frames, depth = model.tokenizer.unpack(pixels)
            self.rendering = None if frame.rendering is None else self._as_frame(frame.rendering[0])
        return pixels, _array(frames), depth

    def _frame(self, shown: Future[Shown], pose: Tensor | None, reward: Tensor, ended: Tensor, state: Tensor) -> Frame:
        _, frames, depth = shown.result()
        told = _array(state).copy() if self.world.config.state else None
        optional = lambda x: None if x is None else _array(x)  # noqa: E731
        return self._unbatch(Frame(frames, optional(depth), optional(pose), _array(reward), _array(ended > 0), told))

    @torch.inference_mode()
    def _make_keyframes(
        self,
        picture: Future[Shown],
        frame: Newest,
        pose: Tensor | None,
        witnesses: Seers,
        number: int,
        clock: Clock,
    ) -> Keyframes:
        pixels, _, depth = picture.result()
        with clock.during("memory"):
            if frame.sketch is not None and depth is not None:
                depth = frame.sketch.remembered_depth(depth)
            made = self._keyframes(pixels, depth, pose, frame.rendering, witnesses, number)
        self.timings = clock.milliseconds
        return made

    def _keyframes(
        self,
        pixels: Tensor,
        depth: Tensor | None,
        pose: Tensor | None,
        rendering: Views | None,
        witnesses: Seers | None,
        number: int,
    ) -> Keyframes:
        """Keyframes of the views of which memory showed too little. `witnesses` None says that they are real."""
        config = self.world.config.spatial
        if config is None or rendering is None or pose is None or depth is None:
            return []
        limit = config.keep_real_below if witnesses is None else config.keep_below

        def make(b: int, v: int, memory: SpatialMemory) -> Keyframe | None:
            colour, far, valid, coarseness = (x[b, v] for x in rendering)
            if Rendering(colour, far, valid, coarseness, ()).shown(config.coarse) >= limit:
                return None
            view = (pixels[b, v, :3], depth[b, v], pose[b, v], number)
            return memory.keyframe(*view, witnesses is None, witnesses[b][v] if witnesses else None, v)

        return [[make(b, v, memory) for v in range(self.world.config.cameras)] for b, memory in enumerate(self._spatial)]

    def _remember(self, coming: Sequence[Future[Keyframes]]) -> None:
        """Take the first of the keyframes that are on their way into spatial memory."""
        for made in coming:
            for memory, keyframes in zip(self._spatial, made.result()):
                for keyframe in keyframes:
                    if keyframe is not None:
                        memory.insert(keyframe)
        self._coming = self._coming[len(coming) :]

    def _next_pose(self, action: Tensor, given: Tensor | None) -> Tensor | None:
        """Camera poses (B, V, 4, 4) after the action; the rig moves as one body."""
        head = self.world.model.motion
        if head is None or given is not None or self._pose is None:
            return given
        scan = None
        if head.config.scan and self._spatial:
            scan = torch.stack([memory.scan(pose[0]) for memory, pose in zip(self._spatial, self._pose)])
        elif head.config.scan:
            scan = torch.full((len(self.seeds), SCAN_SECTORS + 1, 2), CLEAR, device=self.device)
        latents = None if self.newest is None else self.newest.latents
        motion = head(action, self._action, self._motion, scan, self._pose[:, 0, :2, 2], latents)
        first = move(self._pose[:, 0], motion)
        if head.config.quantum:
            first[:, :3, 3] = (first[:, :3, 3] / head.config.quantum).round() * head.config.quantum
        rigid = torch.linalg.inv(self._pose[:, :1]) @ self._pose  # exact: errors of a transpose would grow from step to step
        return first[:, None] @ rigid

    def _relative(self, pose: Tensor | None) -> Tensor:
        if pose is None or self._pose is None:
            return torch.zeros_like(self._motion)
        return relative_motion(self._pose[:, 0], pose[:, 0])

    def _render(self, pose: Tensor | None) -> tuple[Views | None, Seers]:
        """What memory shows of every camera's view: colour (B, V, 3, H, W), depth, valid, coarseness; and who bears witness."""
        if not self._spatial or pose is None:
            return None, []
        if self.spatial_on:
            views = [[m.render(p, self.number, camera=v) for v, p in enumerate(poses)] for m, poses in zip(self._spatial, pose)]
        else:
            views = [[m.nothing() for _ in poses] for m, poses in zip(self._spatial, pose)]
        self._recalled = views[0][0].recalled
        stack = lambda name: torch.stack([torch.stack([getattr(v, name) for v in vs]) for vs in views])  # noqa: E731
        shown = stack("colour"), stack("depth"), stack("valid"), stack("coarseness")
        return shown, [[v.witnesses for v in vs] for vs in views]

    def _before(self, sketch: Sketch | None, rendering: Views | None) -> Views | None:
        return rendering if sketch is None or rendering is None else sketch.before(rendering)

    def _sketch(self, known: Conditions) -> Sketch | None:
        return Sketch.unpack(known[SKETCH], known[SKETCH_DEPTH]).map(self._move) if SKETCH in known else None

    def _facts(self, known: Conditions) -> Tensor | None:
        return self._put(known[FACTS]).float() if FACTS in known else None

    def _look(self, context: Episode) -> Tensor:
        assert context.intrinsics is not None and context.pose is not None
        looks = self.world.model.rays(self._put(context.intrinsics), self._put(context.pose[0]))
        assert looks is not None
        return looks

    def _condition(self, rendering: Views | None, sketch: Sketch | None) -> Tensor | None:
        if self.world.config.still:
            shape = self.world.config.frame_shape
            blank = (len(self.seeds), shape.cameras, shape.channels, shape.rows, shape.columns)
            return torch.zeros(blank, device=self.device) if self.newest is None else self.newest.latents
        if rendering is None:
            return None
        flat = flat_views(rendering)
        assert flat is not None
        coded = self.world.model.condition(flat, flat_sketch(sketch)).unflatten(0, (len(self.seeds), -1))
        return coded if self._rays is None else torch.cat([coded, self._rays], 2)

    @property
    def _given(self) -> Given:
        return Given(self.world.config, len(self.seeds), self.single)

    @property
    def _known_state(self) -> Tensor | None:
        """The newest frame's state (B, S), from which the next frame comes."""
        return self._state if self.world.config.state else None

    @property
    def _settings(self) -> tuple[int, float, bool, bool]:
        return self.steps, self.guidance, self.spatial_on, self.packed_on

    @_settings.setter
    def _settings(self, values: tuple[int, float, bool, bool]) -> None:
        self.steps, self.guidance, self.spatial_on, self.packed_on = values

    def _noise(self) -> Tensor:
        """Noise (B, V, C, h, w) decided by each session's seed and the frame's number alone."""
        shape, out = self.world.config.frame_shape, []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed((seed * 0x9E3779B1 + self.number) & 0x7FFFFFFFFFFFFFFF)
            out.append(torch.randn(shape.cameras, shape.channels, shape.rows, shape.columns, generator=generator))
        return self._move(torch.stack(out))

    def _blank_action(self, batch: int) -> Tensor:
        action = self.world.config.action
        blank = torch.zeros(batch, action.size) if action.kind == "continuous" else torch.zeros(batch, dtype=torch.int64)
        return self._move(blank)

    def _put(self, array: np.ndarray) -> Tensor:
        return self._move(torch.from_numpy(array))

    def _move(self, x: Tensor) -> Tensor:
        return x.to(self.device)

    def _unbatch(self, out: Frame) -> Frame:
        if not self.single:
            return out
        pick = lambda x: None if x is None else x[0]  # noqa: E731
        scores = float(out.reward[0]), bool(out.terminated[0])
        return Frame(out.frame[0], pick(out.depth), pick(out.pose), *scores, pick(out.state))

    def _as_frame(self, colour: Tensor) -> np.ndarray:
        frame = self.world.model.tokenizer.unpack(torch.cat([colour, torch.ones_like(colour[:, :, :1])], 2))[0].cpu().numpy()
        return frame[0] if self.single else frame

    # -- snapshots -------------------------------------------------------------------------------------------------------

    def _take_snapshot(self) -> None:
        if not self._snapshots or self.number - self._snapshots[-1].number >= SNAPSHOT_EVERY:
            self._remember_state()

    def _remember_state(self) -> None:
        self._snapshots.append(self._bare_copy())
        keep = REWIND_FRAMES // SNAPSHOT_EVERY + 1
        self._snapshots = self._snapshots[-keep:]
        self._log = self._log[-(keep * SNAPSHOT_EVERY) :]

    def _bare_copy(self) -> Session:
        """This session's state without its history."""
        self._committed.result()
        twin = object.__new__(Session)
        twin.__dict__.update(self.__dict__)
        twin._imagination = self._imagination.copy()
        twin._spatial = [memory.copy() for memory in self._spatial]
        twin.timings, twin._snapshots, twin._log = dict(self.timings), [], []
        return twin

    def _restore(self, base: Session) -> None:
        copy = base._bare_copy()
        history = (self._snapshots, self._log)
        self.__dict__.update(copy.__dict__)
        self._snapshots, self._log = history


def _array(x: Tensor) -> np.ndarray:
    return x.cpu().numpy()


def _flat(pose: Tensor) -> tuple[float, float, float]:
    """x, y and heading of a camera pose."""
    return float(pose[0, 3]), float(pose[1, 3]), float(torch.atan2(pose[1, 2], pose[0, 2]))
