"""LBFGS and torch's: the same path over some steps, the same state, and the same final loss where paths are chaotic."""

import copy
import inspect

import numpy as np
import pytest

import minigrad as mg
import optim
from tests.optim.closures import closure_of, network, parameter, quadratic, rosenbrock

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

SEARCHES = [None, "strong_wolfe"]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """More only get into each other's way on arrays this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def torch_closure(optimizer, loss_of):
    def closure():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        return loss

    return closure


def of_quadratic(n=6):
    f, a, least = quadratic(n)
    x, y = parameter(np.zeros(n)), torch.zeros(n, dtype=torch.float64, requires_grad=True)
    matrix, center = torch.tensor(a), torch.tensor(least)
    return [x], lambda: f(x), [y], lambda: 0.5 * ((y - center) @ (matrix @ (y - center)))


def of_rosenbrock(n):
    start = np.resize([-1.2, 1.0], n)
    x, y = parameter(start), torch.tensor(start, requires_grad=True)
    return [x], lambda: rosenbrock(x), [y], lambda: rosenbrock(y)


def of_network():
    model, loss_of, (images, labels) = network()
    weights = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in model.parameters()]
    assert [p.shape for p in model.parameters()] == [(8, 5), (8,), (3, 8), (3,)]
    images, labels = torch.tensor(images), torch.tensor(labels)

    def theirs():
        hidden = torch.tanh(images @ weights[0].T + weights[1])
        loss = torch.nn.functional.cross_entropy(hidden @ weights[2].T + weights[3], labels)
        return loss + 1e-2 * sum((w * w).sum() for w in weights)

    params = list(model.parameters())
    return params, lambda: loss_of() + 1e-2 * sum((p * p).sum() for p in params), weights, theirs


PROBLEMS = {
    "quadratic": of_quadratic,
    "Rosenbrock": lambda: of_rosenbrock(2),
    "Rosenbrock, 7 variables": lambda: of_rosenbrock(7),
    "MLP": of_network,
}
SETTINGS = [
    {},
    {"lr": 0.1, "max_iter": 4},
    {"history_size": 2, "max_iter": 7},
    {"max_iter": 5, "max_eval": 3},
    {"tolerance_grad": 1e-2, "tolerance_change": 1e-4},
]


def both(name, **settings):
    ours, our_loss, theirs, their_loss = PROBLEMS[name]()
    a, b = optim.LBFGS(ours, **settings), torch.optim.LBFGS(theirs, **settings)
    return ours, a, closure_of(a, our_loss), theirs, b, torch_closure(b, their_loss)


def compare(ours, theirs):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
def test_follows_torch_for_five_steps(name, settings, search):
    if search is None and "Rosenbrock" in name:
        settings = settings | {"lr": 1e-3}  # torch diverges with a larger one, and what is not finite parts us
    ours, a, our_closure, theirs, b, their_closure = both(name, line_search_fn=search, **settings)
    for _ in range(5):
        loss, their_loss = a.step(our_closure).item(), b.step(their_closure).item()
        np.testing.assert_allclose(loss, their_loss, rtol=1e-6, atol=1e-9)
        compare(ours, theirs)
        state, their_state = a.state[ours[0]], b.state[theirs[0]]
        assert state.keys() - {"sy", "sg", "row"} == their_state.keys() - {"al"}  # work space of torch's loop
        assert state["n_iter"] == their_state["n_iter"]
        assert state["func_evals"] == their_state["func_evals"]
        assert len(state.get("ro", [])) == len(their_state.get("ro", []))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", PROBLEMS)
def test_torch_continues_where_we_stop_and_the_other_way_round(name, search):
    settings = {"max_iter": 3, "line_search_fn": search, "lr": 1e-3 if search is None and "R" in name else 1}
    straight_ours, straight, straight_closure, _, _, _ = both(name, **settings)
    ours, a, our_closure, theirs, b, their_closure = both(name, **settings)
    for optimizer, closure in ((straight, straight_closure), (a, our_closure), (b, their_closure)):
        for _ in range(2):
            optimizer.step(closure)
    from_torch, to_torch = copy.deepcopy(b.state_dict()), optim.to_torch_state(a)
    a.load_state_dict(from_torch)
    b.load_state_dict(to_torch)
    for optimizer, closure in ((straight, straight_closure), (a, our_closure), (b, their_closure)):
        for _ in range(2):
            optimizer.step(closure)
    compare(ours, [torch.tensor(p.numpy()) for p in straight_ours])
    compare(straight_ours, theirs)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_same_final_loss(name):
    _, a, our_closure, _, b, their_closure = both(name, line_search_fn="strong_wolfe", max_iter=50)
    for _ in range(10):
        loss, their_loss = a.step(our_closure).item(), b.step(their_closure).item()
    assert abs(loss - their_loss) <= 1e-5 * (1 + abs(their_loss))


def test_before_a_first_move_too():
    """A state without directions, where the first gradient was below the tolerance."""
    _, a, our_closure, _, b, their_closure = both("quadratic", tolerance_grad=1e9)
    a.step(our_closure)
    b.step(their_closure)
    b.load_state_dict(optim.to_torch_state(a))
    a.load_state_dict(b.state_dict())
    assert a.state_dict()["state"] == {0: {"func_evals": 1, "n_iter": 0}}


def test_names_and_defaults():
    theirs = inspect.signature(torch.optim.LBFGS).parameters
    ours = inspect.signature(optim.LBFGS).parameters
    assert [(p.name, p.default) for p in theirs.values()] == [
        (p.name, p.default) for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert {p.name for p in ours.values() if p.kind is p.KEYWORD_ONLY} == {"maximize", "tolerance_curvature"}


def test_complex_state_loads():
    z, w = mg.tensor(np.array([1 - 2j, 0.5 + 1j]), requires_grad=True), torch.tensor([1 - 2j, 0.5 + 1j])
    w = w.to(torch.complex128).requires_grad_()
    a, b = (make([p], max_iter=3) for make, p in ((optim.LBFGS, z), (torch.optim.LBFGS, w)))

    def ours():
        z.grad = 2 * z.numpy()
        return float((abs(z.numpy()) ** 2).sum())

    def theirs():
        w.grad = 2 * w.detach()
        return (w.detach().abs() ** 2).sum()

    for _ in range(2):
        a.step(ours)
        b.step(theirs)
        np.testing.assert_allclose(z.numpy(), w.detach().numpy(), atol=1e-12)
        a.load_state_dict(b.state_dict())
