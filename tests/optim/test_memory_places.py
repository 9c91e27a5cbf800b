"""Large arrays of a step lie at different places of their pages, so that a loop over them does not wait."""

from itertools import combinations

import numpy as np
import pytest

import minigrad as mg
import optim
from optim.memory import APART, LARGE, LINE, PAGE, beside

LONG = LARGE // 4


def place(array):
    """Where an array's first byte is in its page."""
    return array.ctypes.data % PAGE


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("shift", [0, 2, 17])
def test_large_arrays_begin_apart(dtype, shift):
    data = np.zeros(LARGE + shift, dtype)[shift:]
    arrays = [beside(data, (2, LARGE // 2), number) for number in range(1, 7)]
    for number, array in enumerate(arrays, 1):
        assert (place(array) - place(data) // LINE * LINE - number * APART) % PAGE == 0
        assert array.ctypes.data % LINE == 0
        assert array.shape == (2, LARGE // 2)
        assert array.dtype == data.dtype
        assert array.flags.carray
        array[...] = number
    assert [np.unique(array).tolist() for array in arrays] == [[number] for number in range(1, 7)]


@pytest.mark.parametrize("shape", [(), (0,), (3,), (LONG - 1,)])
def test_small_arrays_take_no_more_than_they_need(shape):
    array = beside(np.zeros(shape, np.float32), shape, 1)
    assert array.shape == shape
    assert array.dtype == np.float32
    assert array.base is None


def test_states_lie_apart_from_the_first_step_on_and_after_loading():
    p = mg.tensor(np.ones((64, LONG // 64), np.float32), requires_grad=True)
    p.grad = mg.tensor(p.numpy())
    optimizer = optim.Adam([p], amsgrad=True)
    optimizer.step()
    other = optim.Adam([p], amsgrad=True)
    other.load_state_dict(optimizer.state_dict())
    for each in (optimizer, other):
        state = each.state[p]
        arrays = [p.data, *(state[key] for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"))]
        distances = [(place(a) - place(b)) % PAGE for a, b in combinations(arrays, 2)]
        assert min(min(d, PAGE - d) for d in distances) >= APART - LINE
    for key, array in optimizer.state[p].items():
        assert np.array_equal(other.state[p][key], array)


def test_work_space_of_a_formula_lies_apart_too():
    p = mg.tensor(np.ones(LONG, np.float32), requires_grad=True)
    p.grad = mg.tensor(p.numpy())
    optimizer = optim.Prodigy([p])
    optimizer.step()
    binding = optimizer._bindings[p]
    large = [array for array in (binding.flat, *binding.flats) if array.size > 1]
    distances = [(place(a) - place(b)) % PAGE for a, b in combinations(large, 2)]
    assert min(min(d, PAGE - d) for d in distances) >= APART - LINE
