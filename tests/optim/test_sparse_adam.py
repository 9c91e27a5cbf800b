"""Row-sparse gradients in the optimizers that take them (SparseAdam, SGD, Adagrad) and in those that don't.

The references and the golden traces are followed in test_algorithms and test_golden, torch also in parity/test_optim.
"""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
import optim
from minigrad import RowSparse
from tests.strict_array import strict

from .table import ROWS, TESTED

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
EXECUTIONS = ["eager", "blocked", "numba"]
TAKERS = {
    "SparseAdam": lambda params, **settings: optim.SparseAdam(params, **{"lr": 0.1, **settings}),
    "SGD": lambda params, **settings: optim.SGD(params, **{"lr": 0.1, **settings}),
    "SGD with momentum": lambda params, **settings: optim.SGD(params, **{"lr": 0.1, "momentum": 0.9, **settings}),
    "Adagrad": lambda params, **settings: optim.Adagrad(params, **{"lr": 0.1, **settings}),
}
every_taker = pytest.mark.parametrize("make", TAKERS.values(), ids=TAKERS)
numbers = st.sampled_from([0.0, 0.5, 0.9])
sgd_settings = st.fixed_dictionaries({"momentum": numbers, "dampening": numbers, "maximize": st.booleans()})
adagrad_settings = st.fixed_dictionaries({"lr_decay": numbers, "initial_accumulator_value": numbers})
cases = st.one_of(
    st.tuples(st.just("SGD"), sgd_settings),
    st.tuples(st.just("SGD"), st.just({"momentum": 0.9, "nesterov": True})),
    st.tuples(st.just("Adagrad"), adagrad_settings),
)


def parameter(shape=(6, 3), dtype="float64", seed=0):
    return nn.Parameter(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def gradient(rng, p, most=8):
    """Rows in any order, with repetitions, perhaps none; sums of two are exact enough to be compared."""
    rows = rng.integers(0, len(p), rng.integers(0, most))
    values = rng.integers(-64, 65, (len(rows), *p.shape[1:])) / 16
    return RowSparse(rows, values.astype(p.dtype), p.shape)


def everything(optimizer, params):
    """Copies of the parameters and of all that is remembered of them."""
    state = [
        {k: np.copy(v) if isinstance(v, np.ndarray) else v for k, v in optimizer.state.get(p, {}).items()}
        for p in params
    ]
    return [p.numpy().copy() for p in params], state


def assert_equal(a, b):
    for x, y in zip(a[0], b[0], strict=True):
        np.testing.assert_array_equal(x, y)
    for s, t in zip(a[1], b[1], strict=True):
        assert s.keys() == t.keys()
        for key in s:
            np.testing.assert_array_equal(s[key], t[key])


# --- the same numbers


@quick
@given(case=cases, seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(6, 3), (4,), (3, 2, 2), (5, 0)]))
def test_the_path_is_that_of_the_dense_gradients(case, seed, shape):
    name, chosen = case
    p, q = parameter(shape), parameter(shape)
    sparse, dense = (getattr(optim, name)([x], lr=0.1, **chosen) for x in (p, q))
    rng = np.random.default_rng(seed)
    with optim.execution("blocked"):
        for _ in range(6):
            p.grad = gradient(rng, p)
            q.grad = p.grad.to_dense()
            sparse.step()
            dense.step()
            assert_equal(everything(sparse, [p]), everything(dense, [q]))


@quick
@given(
    seed=st.integers(0, 2**32 - 1),
    betas=st.tuples(st.floats(0.5, 0.99), st.floats(0.5, 0.99)),
    eps=st.floats(1e-8, 1.0),
    maximize=st.booleans(),
)
def test_with_all_rows_sparse_adam_is_adam_with_eps_hat(seed, betas, eps, maximize):
    p, q = parameter(), parameter()
    chosen = {"lr": 0.1, "betas": betas, "eps": eps, "maximize": maximize}
    sparse, dense = optim.SparseAdam([p], **chosen), optim.AdamEpsilonHat([q], **chosen)
    rng = np.random.default_rng(seed)
    with optim.execution("blocked"):
        for _ in range(10):
            g = rng.standard_normal(p.shape)
            order = rng.permutation(len(p))
            p.grad, q.grad = RowSparse(order, g[order], p.shape), g
            sparse.step()
            dense.step()
    np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-10, atol=1e-10)


@every_taker
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_executions_give_the_same_bits(make, dtype):
    ends = []
    for name in EXECUTIONS:
        p = parameter((50, 7), dtype)
        optimizer, rng = make([p]), np.random.default_rng(1)
        with optim.execution(name):
            for _ in range(5):
                p.grad = gradient(rng, p, 40)
                p.grad.values[:1] = np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-40, 1e30
                optimizer.step()
        ends.append(everything(optimizer, [p]))
    assert_equal(ends[0], ends[1])
    assert_equal(ends[0], ends[2])


@every_taker
def test_any_memory_layout(make):
    base = np.random.default_rng(0).standard_normal((3, 12))
    p, q = nn.Parameter(base.T[::2]), nn.Parameter(base.T[::2].copy())
    first, second = make([p]), make([q])
    rng = np.random.default_rng(1)
    for _ in range(3):
        p.grad = q.grad = gradient(rng, p)
        first.step()
        second.step()
    assert_equal(everything(first, [p]), everything(second, [q]))


@every_taker
def test_dense_and_sparse_steps_in_turn(make):
    p, q = parameter(), parameter()
    first, second = make([p]), make([q])
    if isinstance(first, optim.SparseAdam):
        pytest.skip("it takes no dense gradients")
    rng = np.random.default_rng(1)
    for t in range(6):
        g = gradient(rng, p)
        p.grad, q.grad = g.to_dense() if t % 2 else g, g.to_dense()
        first.step()
        second.step()
    assert_equal(everything(first, [p]), everything(second, [q]))


def test_complex_parameters():
    rng = np.random.default_rng(0)
    p, q = (nn.Parameter(np.arange(8).reshape(4, 2) * (1 + 2j)) for _ in range(2))
    for make in (optim.SGD, optim.Adagrad):
        first, second = make([p], lr=0.1), make([q], lr=0.1)
        g = RowSparse([2, 0, 2], rng.standard_normal((3, 2)) + 1j * rng.standard_normal((3, 2)), p.shape)
        p.grad, q.grad = g, g.to_dense()
        first.step()
        second.step()
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-15)
    with pytest.raises(ValueError, match="SparseAdam: parameters must be real"):
        optim.SparseAdam([p])


def test_on_an_array_that_is_as_strict_as_cupys():
    for make in TAKERS.values():
        p, q = parameter(), parameter()
        q.data = strict(p.numpy())
        first, second = make([p]), make([q])
        for _ in range(2):
            g = RowSparse([4, 1, 4], np.arange(9.0).reshape(3, 3), p.shape)
            p.grad, q.grad = g, RowSparse(strict(g.rows), strict(g.values), p.shape)
            first.step()
            second.step()
        np.testing.assert_array_equal(q.numpy(), p.numpy())


# --- rows


@pytest.mark.parametrize("name", ["SparseAdam", "SGD", "Adagrad"])
def test_other_rows_are_not_touched(name):
    p = parameter()
    optimizer = TAKERS[name]([p])
    p.grad = RowSparse([0, 5], np.ones((2, 3)), p.shape)
    optimizer.step()
    before = everything(optimizer, [p])
    p.grad = RowSparse([5, 3, 5], np.ones((3, 3)), p.shape)
    optimizer.step()
    after = everything(optimizer, [p])
    arrays = [(before[0][0], after[0][0])]
    arrays += [(v, after[1][0][k]) for k, v in before[1][0].items() if isinstance(v, np.ndarray)]
    for old, new in arrays:
        np.testing.assert_array_equal(np.flatnonzero((old != new).any(axis=1)), [3, 5])


def test_a_gradient_without_rows_is_a_step():
    p = parameter()
    optimizer = optim.SparseAdam([p])
    before = p.numpy().copy()
    p.grad = RowSparse([], np.ones((0, 3)), p.shape)
    optimizer.step()
    np.testing.assert_array_equal(p.numpy(), before)
    assert optimizer.state[p]["step"] == 1
    p.grad = None
    optimizer.step()
    assert optimizer.state[p]["step"] == 1


def test_the_gradient_stays_as_it_was():
    p = parameter()
    p.grad = RowSparse([5, 3, 5], np.ones((3, 3)), p.shape)
    optim.SparseAdam([p], maximize=True).step()
    assert p.grad.rows.tolist() == [5, 3, 5] and (p.grad.values == 1).all()


def test_momentum_moves_rows_that_have_no_gradient_any_more():
    p = parameter()
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    p.grad = RowSparse([2], np.ones((1, 3)), p.shape)
    optimizer.step()
    before = p.numpy().copy()
    p.grad = RowSparse([4], np.ones((1, 3)), p.shape)
    optimizer.step()
    np.testing.assert_array_equal(np.flatnonzero((p.numpy() != before).any(axis=1)), [2, 4])


# --- what is refused, with nothing changed


@pytest.mark.parametrize("name", [n for n in TESTED if n not in ("SGD", "Adagrad", "SparseAdam") and not ROWS[n].loss])
def test_others_refuse_row_sparse_gradients(name):
    p, q = parameter(seed=1), parameter(seed=2)
    optimizer = getattr(optim, name)([p, q])
    before = everything(optimizer, [p, q])
    p.grad, q.grad = np.ones(p.shape), RowSparse([1], np.ones((1, 3)), q.shape)
    with pytest.raises((RuntimeError, TypeError), match=rf"{name}\.step: .*(row-sparse|RowSparse)"):
        optimizer.step(lambda: 0.0)
    assert_equal(everything(optimizer, [p, q]), before)


def test_sparse_adam_refuses_dense_gradients():
    p, q = parameter(seed=1), parameter(seed=2)
    optimizer = optim.SparseAdam([{"params": [p]}, {"params": [q]}])
    p.grad = RowSparse([1], np.ones((1, 3)), p.shape)
    q.grad = np.ones(q.shape)
    before = everything(optimizer, [p, q])
    with pytest.raises(RuntimeError, match=r"SparseAdam\.step: a dense gradient.*Use Adam"):
        optimizer.step()
    assert_equal(everything(optimizer, [p, q]), before)


@pytest.mark.parametrize("make", [optim.SGD, optim.Adagrad])
def test_decay_does_not_go_with_rows(make):
    p, q = parameter(seed=1), parameter(seed=2)
    optimizer = make([{"params": [p]}, {"params": [q], "weight_decay": 0.1}])
    p.grad = q.grad = RowSparse([1], np.ones((1, 3)), p.shape)
    before = everything(optimizer, [p, q])
    with pytest.raises(RuntimeError, match=rf"{make.__name__}\.step: a row-sparse gradient.*weight_decay 0\.1"):
        optimizer.step()
    assert_equal(everything(optimizer, [p, q]), before)


@every_taker
def test_a_gradient_that_does_not_fit(make):
    p = parameter()
    optimizer = make([p])
    p.grad = RowSparse([1], np.ones((1, 3)), p.shape)
    p.data = p.numpy()[:4].copy()
    with pytest.raises(ValueError, match=r"step: .*(gradient of )?shape"):
        optimizer.step()


# --- around the step


@every_taker
def test_saving_and_loading(make):
    p, q = parameter(), parameter()
    first = make([p])
    rng = np.random.default_rng(0)
    grads = [gradient(rng, p) for _ in range(6)]
    for g in grads[:3]:
        p.grad = g
        first.step()
    second = make([q])
    q.data[...] = p.data
    second.load_state_dict(first.state_dict())
    for g in grads[3:]:
        p.grad = q.grad = g
        first.step()
        second.step()
    assert_equal(everything(first, [p]), everything(second, [q]))


def test_zero_grad():
    p = parameter()
    optimizer = optim.SparseAdam([p])
    p.grad = RowSparse([1], np.full((1, 3), np.nan), p.shape)
    optimizer.zero_grad(set_to_none=False)
    assert isinstance(p.grad, RowSparse) and p.grad.rows.size == 0
    optimizer.step()
    optimizer.zero_grad()
    assert p.grad is None


@every_taker
def test_gradients_that_are_not_finite_are_skipped(make):
    p = parameter()
    optimizer = make([p])
    optimizer.skip_nonfinite = True
    before = everything(optimizer, [p])
    p.grad = RowSparse([1, 2], np.array([[1.0, np.inf, 1.0], [1.0, 1.0, 1.0]]), p.shape)
    optimizer.step()
    assert_equal(everything(optimizer, [p]), before)
    assert optimizer.skipped == 1
    p.grad.values[...] = 1.0
    optimizer.step()
    assert optimizer.skipped == 1 and (p.numpy() != before[0][0]).any()


@every_taker
def test_training_an_embedding(make):
    """Word pairs: each of 20 words predicts its neighbour."""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Embedding(20, 8, sparse=True), nn.Linear(8, 20))
    rows, rest = make([model[0].weight]), optim.Adam(model[1].parameters(), lr=0.05)
    words = np.arange(20)
    stream = np.random.default_rng(0)
    losses = []
    for _ in range(150):
        batch = stream.choice(words, 8)
        rows.zero_grad()
        rest.zero_grad()
        loss = nn.functional.cross_entropy(model(batch), (batch + 1) % 20)
        loss.backward()
        assert isinstance(model[0].weight.grad, RowSparse)
        rows.step()
        rest.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:10])


@pytest.mark.parametrize("name", ["SparseAdam", "SGD", "Adagrad"])
def test_nothing_of_the_size_of_the_table_is_allocated(name):
    embedding = nn.Embedding(200_000, 32, sparse=True)
    optimizer = TAKERS[name](embedding.parameters())
    indices = np.arange(0, 200_000, 2000)

    def train():
        optimizer.zero_grad()
        embedding(indices).sum().backward()
        optimizer.step()

    train()
    tracemalloc.start()
    train()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < embedding.weight.data.nbytes / 100


# --- torch


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("SparseAdam", {}),
        ("SparseAdam", {"maximize": True, "betas": (0.5, 0.7)}),
        ("SGD", {}),
        ("SGD", {"maximize": True}),
        ("SGD", {"momentum": 0.9}),
        ("SGD", {"momentum": 0.9, "dampening": 0.3}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("Adagrad", {}),
        ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True}),
    ],
)
def test_an_embedding_trains_as_in_torch(name, chosen):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Embedding(9, 4, sparse=True, dtype="float64"), torch.nn.Embedding(9, 4, sparse=True).double()
    theirs.weight.data[...] = torch.tensor(ours.weight.numpy())
    optimizer = getattr(optim, name)(ours.parameters(), lr=0.1, **chosen)
    other = getattr(torch.optim, name)(theirs.parameters(), lr=0.1, **chosen)
    stream = np.random.default_rng(0)
    for _ in range(12):
        indices = stream.integers(0, 9, stream.integers(0, 6))
        for module, its in ((ours, optimizer), (theirs, other)):
            its.zero_grad()
            given = indices if module is ours else torch.tensor(indices)
            (module(given) ** 2).sum().backward()
            its.step()
        np.testing.assert_allclose(ours.weight.numpy(), theirs.weight.detach().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parity
def test_state_goes_to_torch_and_back():
    torch = pytest.importorskip("torch")
    p, q = parameter(), torch.tensor(parameter().numpy(), requires_grad=True)
    ours, theirs = optim.SparseAdam([p], lr=0.1), torch.optim.SparseAdam([q], lr=0.1)
    rng = np.random.default_rng(0)
    for t in range(9):
        p.grad = g = gradient(rng, p)
        q.grad = torch.sparse_coo_tensor(torch.tensor(g.rows)[None], torch.tensor(g.values), g.shape)
        ours.step()
        theirs.step()
        if t == 3:
            ours.load_state_dict(theirs.state_dict())
        if t == 6:
            theirs.load_state_dict(optim.to_torch_state(ours))
    np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam"])
def test_torch_refuses_the_same(name):
    torch = pytest.importorskip("torch")
    p, q = parameter(), torch.ones(6, 3, requires_grad=True)
    p.grad = RowSparse([1], np.ones((1, 3)), p.shape)
    q.grad = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1, 3), (6, 3))
    for module, x in ((optim, p), (torch.optim, q)):
        with pytest.raises(RuntimeError):
            getattr(module, name)([x], weight_decay=0.1).step()
