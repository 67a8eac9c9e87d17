"""What is known and what is remembered, in one picture."""

from __future__ import annotations

import torch

from core.memory.sketch import Sketch


def test_remembered_over_known_and_moving_over_remembered_unless_hidden():
    """Five pixels: nothing remembered; remembered over map; a body before and behind a remembered wall; a body in a hole."""
    moving = torch.tensor([[0.0, 0, 1, 1, 1]])
    sketch = Sketch(torch.full((3, 1, 5), 0.5), torch.tensor([[5.0, 5, 5, 20, 5]]), moving)
    valid = torch.tensor([[0.0, 1, 1, 1, 0]])
    memory = torch.full((3, 1, 5), -0.5), torch.full((1, 5), 10.0), valid, torch.full((1, 5), 0.1)
    colour, depth, shown, coarseness = sketch.under(memory)
    assert colour[0, 0].tolist() == [0.5, -0.5, 0.5, -0.5, 0.5]
    assert depth[0].tolist() == [5, 10, 5, 10, 5]
    assert shown[0].tolist() == [0, 1, 0, 1, 0] and (coarseness[0] > 0).tolist() == [False, True, False, True, False]


def test_depth_to_remember_is_exact_where_known_and_unknown_where_it_moves():
    sketch = Sketch(torch.zeros(3, 1, 4), torch.tensor([[10.0, 10, 0, 10]]), torch.tensor([[0.0, 0, 0, 1]]))
    assert sketch.remembered_depth(torch.tensor([[10.5, 4, 7, 10]]))[0].tolist() == [10, 4, 7, 0]
    blank = sketch.blank()
    assert blank.remembered_depth(torch.tensor([[10.5, 4, 7, 10]]))[0].tolist() == [10.5, 4, 7, 10]
