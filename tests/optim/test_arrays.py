"""Parameters and gradients that are views, memory maps or numbers, and states that are another optimizer's."""

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from optim.formula import execution

EXECUTIONS = ("eager", "blocked", "numba")


def stepped(data, gradients, cls=optim.AdamW, **settings):
    """The values of a parameter after a step with each of these gradients, given as functions of its array."""
    p = nn.Parameter(data)
    optimizer = cls([p], lr=0.1, **settings)
    for gradient in gradients:
        p.grad = mg.Tensor(gradient(p.data))
        optimizer.step()
    return p.numpy().copy(), optimizer.state[p]


@pytest.mark.parametrize("name", EXECUTIONS)
@pytest.mark.parametrize("view", [lambda p: p, lambda p: p[:], lambda p: p.reshape(2, 2).reshape(4), lambda p: p[::-1]])
def test_a_gradient_that_is_a_view_of_its_parameter_is_read_before_that_changes(name, view):
    with execution(name):
        shared, state = stepped(np.arange(1.0, 5.0), [view, view])
        apart, same = stepped(np.arange(1.0, 5.0), [lambda p: view(p).copy()] * 2)
    np.testing.assert_array_equal(shared, apart)
    np.testing.assert_array_equal(state["exp_avg"], same["exp_avg"])


def test_a_parameter_that_is_a_view_of_its_gradient():
    whole = np.arange(1.0, 5.0)
    p = nn.Parameter(whole[:2])
    p.data = whole[:2]
    p.grad = mg.Tensor(whole[1:3])
    with execution("blocked"):
        optim.SGD([p], lr=1.0, momentum=0.5).step()
    assert p.tolist() == [-1.0, -1.0]


def test_a_parameter_in_a_memory_map_is_stepped_there(tmp_path):
    file = np.memmap(tmp_path / "w", np.float32, "w+", shape=(3, 2))
    file[...] = 1
    p = nn.Parameter(file)
    p.data = file
    model = nn.Linear(2, 3, bias=False)
    model.weight = p
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        model(mg.ones_like(mg.tensor([[1.0, 1.0]]))).sum().backward()
        optimizer.step()
    assert p.data is file
    assert not file.any()
    p.grad = mg.Tensor(np.memmap(tmp_path / "g", np.float32, "w+", shape=(3, 2)))
    optimizer.step()
    assert not p.data.any()


def test_a_gradient_that_became_a_number():
    p = nn.Parameter(np.array(1.0))
    p.grad = mg.tensor(2.0, dtype="float64")
    p.grad.data = p.grad.data / 2
    assert isinstance(p.grad.data, np.generic)
    optim.SGD([p], lr=0.5).step()
    assert p.item() == 0.5


@pytest.mark.parametrize("cls", [optim.LARS, optim.LAMB, optim.Prodigy, optim.Adafactor, optim.Muon])
def test_norms_beyond_the_type_stop_no_step_halfway(cls):
    params = [nn.Parameter(np.ones((2, 2), np.float32)), nn.Parameter(np.full((2, 2), 1e30, np.float32))]
    for p in params:
        p.grad = mg.Tensor(np.full_like(p.data, 1e30))
    optimizer = cls(params)
    with np.errstate(all="raise"):
        optimizer.step()
    assert optimizer.steps_taken == 1
    assert len(optimizer.state) == 2


@pytest.mark.parametrize("cls", [optim.LARS, optim.LAMB])
def test_norms_of_float16_are_taken_in_float32(cls):
    values = {}
    for dtype in (np.float16, np.float64):
        values[dtype], _ = stepped(np.ones(70_000, dtype), [np.ones_like], cls)
    np.testing.assert_allclose(values[np.float16], values[np.float64], rtol=2e-3)


def test_adagrads_first_accumulator_of_complex_numbers():
    p = nn.Parameter(np.array([1 + 2j]))
    optimizer = optim.Adagrad([p], lr=0.1, initial_accumulator_value=0.5)
    assert optimizer.state[p]["sum"].tolist() == [0.5 + 0.5j]


@pytest.mark.parametrize(
    "cls, other, named",
    [
        (optim.SGD, optim.Adam, "exp_avg, exp_avg_sq"),
        (optim.Lion, optim.Adam, "exp_avg_sq"),
        (optim.Adam, optim.RMSprop, "square_avg"),
    ],
)
def test_a_state_of_another_optimizer_is_refused(cls, other, named):
    p, q = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    p.grad = q.grad = mg.Tensor(np.ones(2))
    foreign, optimizer = other([p]), cls([q], lr=0.5)
    foreign.step()
    with pytest.raises(
        ValueError, match=rf"{cls.__name__}.load_state_dict: .* has {named}, which .* another optimizer"
    ):
        optimizer.load_state_dict(foreign.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert not optimizer.state
