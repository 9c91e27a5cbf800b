"""Parameters as one vector, and back."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import RowSparse
from optim.flat import Flat
from tests.strict_array import strict


def parameters(wrap=np.array):
    arrays = [np.arange(6.0).reshape(2, 3), np.array([1 + 2j, 3 - 4j], np.complex64), np.array(5, np.float32)]
    return [mg.Tensor(wrap(a)).requires_grad_() for a in (*arrays, np.zeros((0, 2)), np.ones((4, 6))[::2, ::3])]


@pytest.mark.parametrize("wrap", [np.array, strict])
def test_there_and_back(wrap):
    params = parameters(wrap)
    flat = Flat([*params, params[0]])  # twice is once
    vector = flat.values()
    assert (flat.size, flat.dtype, type(vector)) == (15, np.float64, type(params[0].data))
    wanted = [0, 1, 2, 3, 4, 5, 1, 2, 3, -4, 5, 1, 1, 1, 1]
    assert vector.tolist() == wanted
    flat.assign(vector * 2)
    assert flat.values().tolist() == [2 * v for v in wanted]
    assert [p.dtype for p in params] == [p.dtype for p in parameters()]
    for part, p in zip(flat.split(flat.values()), params, strict=True):
        assert part.shape == p.shape
        assert part.tolist() == p.data.tolist()


def test_gradients_are_zero_where_there_are_none():
    a, b, c = (mg.tensor(np.ones((2, 2)), requires_grad=True) for _ in range(3))
    a.grad, b.grad = np.full((2, 2), 3.0), RowSparse(np.array([1]), np.array([[5.0, 6.0]]), (2, 2))
    assert Flat([a, b, c]).gradients().tolist() == [3, 3, 3, 3, 0, 0, 5, 6, 0, 0, 0, 0]


def test_infinite_parts_stay_what_they_are():
    z = mg.tensor(np.array([complex(1, np.inf)]), requires_grad=True)
    flat = Flat([z])
    assert flat.split(flat.values())[0][0] == complex(1, np.inf)


def test_a_write_is_noted():
    p = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = (p * p).sum()
    Flat([p]).assign(np.zeros(2))
    with pytest.raises(RuntimeError, match="written in place"):
        loss.backward()


def test_what_arithmetic_leaves_of_a_0d_array():
    p = mg.tensor(3.0, dtype="float64", requires_grad=True)
    p.data = 2 * p.data
    flat = Flat([p])
    flat.assign(flat.values() + 1)
    assert p.item() == 7


def test_raises_without_parameters():
    with pytest.raises(ValueError, match=r"expected parameters on one device, got 0 on \[\]"):
        Flat([])
