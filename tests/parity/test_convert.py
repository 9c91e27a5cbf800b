"""20 steps there and then 20 here are 40 steps, in both directions."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigrad as mg
import optim
from optim.convert import to_torch_state
from tests.golden.settings import SETTINGS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

SHAPES = {"Muon": [(4, 3), (3, 3)]}
CASES = [
    (name, number)
    for name, chosen in SETTINGS.items()
    if hasattr(optim, name) and name != "SparseAdam"
    for number in range(len(chosen))
]


@pytest.fixture
def float64():
    """torch keeps numbers in its default dtype, and iterates in bfloat16 in Muon."""
    before, bfloat16 = torch.get_default_dtype(), torch.Tensor.bfloat16
    torch.set_default_dtype(torch.float64)
    torch.Tensor.bfloat16 = torch.Tensor.clone
    yield
    torch.set_default_dtype(before)
    torch.Tensor.bfloat16 = bfloat16


class Theirs:
    """torch's optimizer over arrays."""

    def __init__(self, name, settings, starts):
        self.params = [torch.tensor(start).requires_grad_() for start in starts]
        options = {} if name == "Muon" else {"foreach": False}
        self.optimizer = getattr(torch.optim, name)(self.params, **settings, **options)

    def walk(self, grads):
        for row in grads:
            for p, g in zip(self.params, row, strict=True):
                p.grad = None if g is None else torch.tensor(g)
            self.optimizer.step()

    def values(self):
        return [p.detach().numpy().copy() for p in self.params]


class Ours:
    """Our optimizer over arrays."""

    def __init__(self, name, settings, starts):
        self.params = [mg.tensor(start, requires_grad=True) for start in starts]
        self.optimizer = getattr(optim, name)(self.params, **settings)

    def walk(self, grads):
        for row in grads:
            for p, g in zip(self.params, row, strict=True):
                p.grad = None if g is None else g
            self.optimizer.step()

    def values(self):
        return [p.numpy().copy() for p in self.params]


def draw(name, number):
    """Starts and 40 gradients for each of two parameters, and for one that never has a gradient."""
    rng = np.random.default_rng([number, *name.encode()])
    shapes = SHAPES.get(name, [(4, 3), (5,)])
    starts = [rng.normal(size=shape) for shape in [*shapes, shapes[0]]]
    grads = [[rng.normal(size=s) * 10 ** rng.uniform(-2, 1) for s in shapes] + [None] for _ in range(40)]
    grads[3][1] = grads[25][0] = None
    return starts, grads


def assert_close(found, wanted):
    largest = max(np.abs(w).max() for w in wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * largest)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_from_torch(float64, name, number):
    settings = SETTINGS[name][number]
    starts, grads = draw(name, number)
    straight = Theirs(name, settings, starts)
    straight.walk(grads[:20])
    ours = Ours(name, {}, straight.values())
    ours.optimizer.load_state_dict(copy.deepcopy(straight.optimizer.state_dict()))
    straight.walk(grads[20:])
    ours.walk(grads[20:])
    assert_close(ours.values(), straight.values())


@pytest.mark.parametrize(("name", "number"), CASES)
def test_to_torch(float64, name, number):
    settings = SETTINGS[name][number]
    starts, grads = draw(name, number)
    straight = Ours(name, settings, starts)
    straight.walk(grads[:20])
    theirs = Theirs(name, {}, straight.values())
    theirs.optimizer.load_state_dict(to_torch_state(straight.optimizer))
    straight.walk(grads[20:])
    theirs.walk(grads[20:])
    assert_close(theirs.values(), straight.values())


@pytest.mark.parametrize(("name", "number"), CASES)
def test_there_and_back(float64, name, number):
    """Through torch's own load and save, and its settings stay."""
    starts, grads = draw(name, number)
    ours = Ours(name, SETTINGS[name][number], starts)
    ours.walk(grads[:5])
    theirs = Theirs(name, {}, ours.values())
    theirs.optimizer.load_state_dict(to_torch_state(ours.optimizer))
    again = Ours(name, {}, ours.values())
    again.optimizer.load_state_dict(theirs.optimizer.state_dict())
    before, after = ours.optimizer.state_dict(), again.optimizer.state_dict()
    for number, entry in before["state"].items():
        for key, value in entry.items():
            np.testing.assert_array_equal(after["state"][number][key], value)
    for old, new in zip(before["param_groups"], after["param_groups"], strict=True):
        assert old.items() <= new.items()
    theirs.optimizer.load_state_dict(to_torch_state(again.optimizer))
    theirs.walk(grads[5:6])


def test_what_torch_does_not_have():
    with pytest.raises(ValueError, match="no Lion"):
        to_torch_state(optim.Lion([mg.tensor([1.0], requires_grad=True)]))


def test_two_groups_and_names(float64):
    p, q = (mg.tensor(np.ones(3), requires_grad=True) for _ in range(2))
    ours = optim.Adam([{"params": [("a", p)], "lr": 0.1}, {"params": [("b", q)], "lr": 0.2}])
    p.grad = q.grad = np.ones(3)
    ours.step()
    params = [torch.ones(3, requires_grad=True) for _ in range(2)]
    theirs = torch.optim.Adam([{"params": [("a", params[0])]}, {"params": [("b", params[1])]}])
    theirs.load_state_dict(to_torch_state(ours))
    assert [g["lr"] for g in theirs.param_groups] == [0.1, 0.2]
    assert [g["param_names"] for g in theirs.state_dict()["param_groups"]] == [["a"], ["b"]]
    np.testing.assert_array_equal(theirs.state[params[1]]["exp_avg"], ours.state[q]["exp_avg"])
