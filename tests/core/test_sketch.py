"""What is known of a frame: hidden behind it what is remembered, its light, and what is to be remembered of it."""

from __future__ import annotations

import numpy as np
import torch

from core.memory.sketch import TINT_EVIDENCE, Sketch, fit_tint, tint_evidence

TOLD = torch.ones(1, 1)


def random_sketch(seed: int = 0, views: int = 2) -> Sketch:
    """Half ground of known depth, half sky."""
    rng = torch.Generator().manual_seed(seed)
    colour = torch.rand(views, 3, 8, 10, generator=rng) * 2 - 1
    depth = torch.rand(views, 8, 10, generator=rng) * 20 + 2
    depth[:, :4] = 0
    return Sketch(colour, depth, torch.zeros(views, 8, 10), torch.ones(views, 1, 1))


def test_what_moves_hides_what_is_remembered_behind_it():
    """Five pixels: nothing remembered; remembered; a body before and behind a remembered wall; a body in a hole."""
    moving = torch.tensor([[0.0, 0, 1, 1, 1]])
    sketch = Sketch(torch.full((3, 1, 5), 0.5), torch.tensor([[5.0, 5, 5, 20, 5]]), moving, TOLD)
    valid = torch.tensor([[0.0, 1, 1, 1, 0]])
    memory = torch.full((3, 1, 5), -0.5), torch.full((1, 5), 10.0), valid, torch.full((1, 5), 0.1) * valid
    colour, depth, shown, coarseness = sketch.before(memory)
    assert torch.equal(colour, memory[0]) and torch.equal(depth, memory[1])
    assert shown[0].tolist() == [0, 1, 0, 1, 0] and (coarseness[0] > 0).tolist() == [False, True, False, True, False]


def test_depth_to_remember_is_exact_where_known_and_unknown_where_it_moves():
    sketch = Sketch(torch.zeros(3, 1, 4), torch.tensor([[10.0, 10, 0, 10]]), torch.tensor([[0.0, 0, 0, 1]]), TOLD)
    assert sketch.remembered_depth(torch.tensor([[10.5, 4, 7, 10]]))[0].tolist() == [10, 4, 7, 0]
    blank = sketch.blank()
    assert blank.remembered_depth(torch.tensor([[10.5, 4, 7, 10]]))[0].tolist() == [10.5, 4, 7, 10]


def test_a_view_of_zeros_is_one_of_which_nothing_is_known():
    picture = np.zeros((2, 8, 10, 4), np.uint8)
    picture[1, 3, 3] = (255, 0, 0, 255)
    sketch = Sketch.unpack(picture, np.zeros((2, 8, 10), np.float16))
    assert sketch.told.flatten().tolist() == [0, 1]
    assert not sketch.colour[0].any() and sketch.colour[1, :, 3, 3].tolist() == [1, -1, -1] and sketch.moving[1, 3, 3] == 1
    lit = sketch.tinted(torch.full((4, 3), 0.3))
    assert not lit.colour[0].any() and lit.colour[1].any()


def test_the_light_is_read_where_the_same_surface_is_seen_and_nowhere_else():
    """Frames that are their sketches in another light, but for a house that the sketch does not know of."""
    sketch = random_sketch()
    light = torch.tensor([[0.5, 0.1, 0], [0, 0.4, 0.1], [0.05, 0, 0.45], [-0.2, -0.1, 0.1]])
    seen = sketch.tinted(light).colour
    depth = torch.where(sketch.depth > 0, sketch.depth * 1.05, 1000.0)
    seen[:, :, 2:6, 3:7], depth[:, 2:6, 3:7] = 0.9, 1.0
    found = fit_tint(tint_evidence(sketch, seen, depth) * 1000)
    assert (sketch.tinted(found).colour - sketch.tinted(light).colour).abs().max() < 0.03


def test_without_evidence_there_is_no_tint_and_evidence_adds_up():
    sketch = random_sketch(1)
    plain = fit_tint(torch.zeros(TINT_EVIDENCE))
    assert torch.allclose(sketch.tinted(plain).colour, sketch.colour, atol=1e-6)
    depth = torch.where(sketch.depth > 0, sketch.depth, 1000.0)
    seen = random_sketch(2).colour
    one, other = (Sketch(*(getattr(sketch, n)[i : i + 1] for n in ("colour", "depth", "moving", "told"))) for i in (0, 1))
    parts = tint_evidence(one, seen[:1], depth[:1]) + tint_evidence(other, seen[1:], depth[1:])
    assert torch.allclose(parts, tint_evidence(sketch, seen, depth), atol=1e-4)


def test_a_batch_of_rigs_is_lit_each_by_its_own_light():
    one, other = random_sketch(3), random_sketch(4)
    tints = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(5)) - 0.5
    names = ("colour", "depth", "moving", "told")
    both = Sketch(*(torch.stack([getattr(one, n), getattr(other, n)]) for n in names)).tinted(tints)
    assert torch.allclose(both.colour[0], one.tinted(tints[0]).colour, atol=1e-6)
    assert torch.allclose(both.colour[1], other.tinted(tints[1]).colour, atol=1e-6)


def test_unknown_depth_is_infinitely_far():
    sketch = random_sketch()
    assert not sketch.disparity(2.0)[:, :4].any() and (sketch.disparity(2.0)[:, 4:] > 0.09).all()
