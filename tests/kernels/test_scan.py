import pytest
import torch

from kernels import scan


def _inputs(tokens, width, size, device):
    make = lambda *shape: torch.randn(1, 2, tokens, *shape, device=device)  # noqa: E731
    return make(width), -make().abs() / 4, make(size), make(size)


def _recurrence(x, decay, write, read, state=None):
    """One token after another, as the paper's definition has it."""
    state = x.new_zeros(*x.shape[:2], write.shape[3], x.shape[3]) if state is None else state
    out = []
    for t in range(x.shape[2]):
        state = state * decay[:, :, t, None, None].exp() + write[:, :, t, :, None] * x[:, :, t, None]
        out.append((state * read[:, :, t, :, None]).sum(2))
    return torch.stack(out, 2), state


@pytest.mark.parametrize(("tokens", "width", "size"), [(5, 8, 4), (150, 24, 16), (64, 80, 20)])
def test_both_are_the_recurrence(tokens, width, size, device):
    inputs = _inputs(tokens, width, size, device)
    state = torch.randn(1, 2, size, width, device=device)
    wanted = _recurrence(*inputs, state)
    for mine in (scan.kernel(*inputs, state), scan.reference(*inputs, state)):
        torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)


def test_a_scan_goes_on_where_it_stopped(device):
    inputs = _inputs(100, 16, 16, device)
    whole, last = scan.kernel(*inputs)
    early, late = zip(*(x.split((30, 70), 2) for x in inputs))
    first, state = scan.kernel(*early)
    second, state = scan.kernel(*late, state=state)
    torch.testing.assert_close(torch.cat([first, second], 2), whole, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(state, last, atol=1e-4, rtol=1e-4)


def test_state_given_is_left_alone(device):
    inputs, state = _inputs(10, 16, 16, device), torch.ones(1, 2, 16, 16, device=device)
    scan.kernel(*inputs, state)
    assert (state == 1).all()


def test_strong_decay_forgets_without_overflow(device):
    x, decay, write, read = _inputs(70, 16, 16, device)
    mine, _ = scan.kernel(x, decay * 0 - 1e4, write, read)
    wanted = (read * write).sum(-1, keepdim=True) * x
    torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)
    assert scan.reference(x, decay * 0 - 1e4, write, read)[0].isfinite().all()
