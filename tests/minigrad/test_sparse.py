"""RowSparse, and the embedding whose gradient it is, against the same computed densely."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad import RowSparse
from tests.strict_array import StrictArray, strict

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def row_sparse(draw, shape=None):
    """Rows in any order and with repetitions, perhaps none; integers as values, whose sums are exact."""
    if shape is None:
        shape = (draw(st.integers(1, 6)), *draw(st.lists(st.integers(0, 3), max_size=2)))
    rows = draw(st.lists(st.integers(0, shape[0] - 1), max_size=9))
    stream = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = stream.integers(-9, 10, (len(rows), *shape[1:])).astype(draw(st.sampled_from(["float32", "float64"])))
    return RowSparse(rows, values, shape)


def dense(g):
    """All of it, row after row."""
    total = np.zeros(g.shape, g.dtype)
    for row, value in zip(g.rows.tolist(), g.values, strict=True):
        total[row] += value
    return total


def same(g, expected):
    assert g.shape == expected.shape and g.dtype == expected.dtype
    np.testing.assert_array_equal(g.numpy() if hasattr(g, "numpy") else g, expected)


@quick
@given(row_sparse())
def test_every_form_is_the_same_gradient(g):
    expected = dense(g)
    for form in (g, g.coalesced(), g.to_dense(), g.copy(), g.detach(), g.to("cpu", g.dtype), g + g.zeros()):
        same(form, expected)
    same(pickle.loads(pickle.dumps(g)), expected)
    same(copy.deepcopy(g), expected)
    same(g.to(dtype="float64"), expected.astype("float64"))
    once = g.coalesced()
    assert once.rows.dtype == np.int64
    assert once.rows.tolist() == sorted(set(g.rows.tolist()))
    assert not np.shares_memory(once.values, g.values) and not np.shares_memory(once.rows, g.rows)


@quick
@given(st.data())
def test_sums(data):
    a = data.draw(row_sparse())
    b = data.draw(row_sparse(a.shape)).astype(a.dtype)
    before = dense(a)
    assert isinstance(a + b, RowSparse)
    same(a + b, dense(a) + dense(b))
    array = dense(b)
    for total in (a + array, array + a, a + mg.Tensor(array), a + np.broadcast_to(array.dtype.type(2), a.shape)):
        assert not isinstance(total, RowSparse)
    same(a + array, dense(a) + array)
    same(array + a, dense(a) + array)
    same(a + mg.Tensor(array), dense(a) + array)
    same(array, dense(b))
    same(a, before)


@quick
@given(row_sparse(), st.sampled_from([2, 0.5, np.float64(0.25), np.array(4.0), mg.tensor(0.5, dtype="float64")]))
def test_scaling_keeps_rows_and_type(g, factor):
    expected, number = dense(g), float(factor)
    for scaled in (g * factor, 2 * g / 2 * factor):
        assert isinstance(scaled, RowSparse)
        same(scaled, (expected * number).astype(g.dtype))
    if not isinstance(factor, mg.Tensor):
        same(factor * g, (expected * number).astype(g.dtype))
    same(g / factor, (expected / number).astype(g.dtype))
    same(-g, -expected)
    g.values *= 2.0
    same(g, expected * 2)


def test_shape_type_and_text():
    g = RowSparse([1], mg.tensor([[1.0, 2.0]]), (3, 2))
    assert (g.shape, g.ndim, g.dtype, g.device) == ((3, 2), 2, np.float32, "cpu")
    assert repr(g) == "RowSparse(rows=[1], values=[[1. 2.]], shape=(3, 2), dtype=float32)"


@pytest.mark.parametrize(
    ("rows", "values", "shape", "error", "says"),
    [
        ([0.5], np.ones((1, 2)), (3, 2), TypeError, "integers, got float64"),
        ([0], [[1.0, 1.0]], (3, 2), TypeError, r"RowSparse: expected values as an array .* got a list and \(3, 2\)"),
        ([0], np.ones((1, 2)), 3, TypeError, "a shape as a tuple, got a ndarray and 3"),
        (0, np.ones((1, 2)), (3, 2), ValueError, r"RowSparse: expected rows \(n,\)"),
        ([3], np.ones((1, 2)), (3, 2), IndexError, r"0\.\.2, got 3 to 3"),
        ([-1], np.ones((1, 2)), (3, 2), IndexError, "-1"),
        ([0, 1], np.ones((1, 2)), (3, 2), ValueError, r"rows \(2,\) and values \(1, 2\)"),
        ([0], np.ones((1, 3)), (3, 2), ValueError, "expected rows"),
        ([[0]], np.ones((1, 2)), (3, 2), ValueError, "expected rows"),
        ([], np.ones(0), (), ValueError, "expected rows"),
    ],
)
def test_what_is_no_row_sparse_gradient(rows, values, shape, error, says):
    with pytest.raises(error, match=says):
        RowSparse(rows, values, shape)


def test_wrong_arithmetic():
    g = RowSparse([0], np.ones((1, 2)), (3, 2))
    with pytest.raises(ValueError, match="RowSparse: a gradient of shape"):
        g + np.ones((3, 1))
    with pytest.raises(TypeError, match="scaled by a number"):
        g * np.ones(2)
    with pytest.raises(TypeError, match="scaled by a number"):
        g * "2"
    with pytest.raises(TypeError):
        g + 1.0


# --- on the tape


def pair(num=7, dim=3, padding_idx=None):
    """The same embedding, sparse and dense."""
    sparse = nn.Embedding(num, dim, padding_idx, sparse=True, dtype="float64")
    plain = nn.Embedding(num, dim, padding_idx, dtype="float64")
    plain.load_state_dict(sparse.state_dict())
    return sparse, plain


@quick
@given(
    indices=st.lists(st.lists(st.integers(0, 6), min_size=2, max_size=2), max_size=6),
    padding_idx=st.sampled_from([None, 0, 6, -1]),
    seed=st.integers(0, 99),
)
def test_the_gradient_of_an_embedding(indices, padding_idx, seed):
    indices = np.array(indices, np.int64).reshape(-1, 2)
    g = np.random.default_rng(seed).standard_normal((*indices.shape, 3))
    sparse, plain = pair(padding_idx=padding_idx)
    for module in (sparse, plain):
        for _ in range(2):  # gradients add up over backwards
            module(indices).backward(g)
    assert isinstance(sparse.weight.grad, RowSparse)
    assert (np.diff(sparse.weight.grad.rows) > 0).all()
    np.testing.assert_allclose(sparse.weight.grad.numpy(), plain.weight.grad.numpy(), rtol=1e-14, atol=1e-14)


def test_several_uses_in_one_graph():
    sparse, plain = pair()
    for module in (sparse, plain):
        (module(np.array([1, 1, 4])).sum() + (module(np.array(4)) * 2).sum()).backward()
    assert isinstance(sparse.weight.grad, RowSparse)
    assert sparse.weight.grad.rows.tolist() == [1, 4]
    same(sparse.weight.grad, plain.weight.grad.numpy())


@pytest.mark.parametrize("order", [1, -1])
def test_sparse_and_dense_uses_give_a_dense_gradient(order):
    sparse, plain = pair()
    for module in (sparse, plain):
        uses = [module(np.array([1, 4, 1])).sum(), (module.weight * 3).sum()][::order]
        (uses[0] + uses[1]).backward()
    assert isinstance(sparse.weight.grad, mg.Tensor)
    same(sparse.weight.grad, plain.weight.grad.numpy())
    for module in (sparse, plain):  # and so do backwards one after the other
        module.zero_grad()
        for use in ("rows", "all")[::order]:
            (module(np.array([2, 2])) if use == "rows" else module.weight * 3).sum().backward()
    assert isinstance(sparse.weight.grad, mg.Tensor)
    same(sparse.weight.grad, plain.weight.grad.numpy())


def test_the_gradient_owns_its_memory():
    embedding, _ = pair()
    g = np.ones((2, 3))
    out = embedding(np.array([0, 3]))
    out.backward(g)
    embedding.weight.grad.values *= 5.0
    assert (g == 1).all()


def test_grad_and_products():
    sparse, plain = pair()
    indices = np.array([5, 0, 5])
    (found,) = mg.grad((sparse(indices) ** 2).sum(), [sparse.weight])
    assert isinstance(found, RowSparse) and sparse.weight.grad is None
    same(found, mg.grad((plain(indices) ** 2).sum(), plain.weight).numpy())
    both = sparse(indices).sum() + sparse.weight.sum()
    assert isinstance(mg.grad(both, sparse.weight), mg.Tensor)

    def looked_up(weight):
        return nn.functional.embedding(indices, weight, sparse=True)

    v = np.arange(9.0).reshape(3, 3)
    _, product = mg.vjp(looked_up, sparse.weight, mg.Tensor(v))
    same(product, mg.grad(plain(indices), plain.weight, mg.Tensor(v)).numpy())
    jacobian = mg.jacobian(looked_up, sparse.weight)
    assert jacobian.shape == (3, 3, 7, 3) and jacobian.numpy().sum() == 9


def test_a_second_derivative_is_refused():
    embedding, _ = pair()
    loss = (embedding(np.array([1])) ** 2).sum()
    with pytest.raises(RuntimeError, match="sparse=False"):
        loss.backward(create_graph=True)
    assert embedding.weight.grad is None
    with pytest.raises(RuntimeError, match="sparse=False"):
        mg.grad(loss, embedding.weight, create_graph=True)


def test_a_weight_that_was_computed_gets_an_array():
    base = mg.tensor(np.ones((4, 2)), requires_grad=True)
    nn.functional.embedding(np.array([1, 1]), base * 2, sparse=True).sum().backward()
    assert base.grad.numpy().tolist() == [[0, 0], [4, 4], [0, 0], [0, 0]]


def test_hooks_see_and_replace_it():
    embedding, _ = pair()
    seen = []
    first = embedding.weight.register_hook(seen.append)
    with embedding.weight.register_hook(lambda g: g * 2):
        embedding(np.array([1, 1])).sum().backward()
    assert isinstance(seen[0], RowSparse) and seen[0].values.tolist() == [[2, 2, 2]]
    assert embedding.weight.grad.values.tolist() == [[4, 4, 4]]
    first.remove()
    embedding.zero_grad()
    with embedding.weight.register_hook(lambda g: g.to_dense()):
        embedding(np.array([1])).sum().backward()
    assert isinstance(embedding.weight.grad, mg.Tensor)
    with embedding.weight.register_hook(lambda g: 3), pytest.raises(TypeError, match="hook"):
        embedding(np.array([1])).sum().backward()


def test_assigning_a_gradient():
    p = nn.Parameter(np.zeros((4, 2)))
    p.grad = RowSparse([1], np.ones((1, 2)), (4, 2))
    assert isinstance(p.grad, RowSparse)
    for wrong in (RowSparse([1], np.ones((1, 2)), (5, 2)), RowSparse([1], np.ones((1, 2), "f"), (4, 2))):
        with pytest.raises(ValueError, match="grad: shape"):
            p.grad = wrong
    copied = copy.deepcopy(p)
    copied.grad.values[...] = 7
    assert p.grad.values.tolist() == [[1, 1]]
    assert pickle.loads(pickle.dumps(p)).grad.rows.tolist() == [1]


def test_a_module_moves_and_forgets_it():
    embedding, _ = pair()
    embedding(np.array([3])).sum().backward()
    embedding.to(dtype="float32")
    assert isinstance(embedding.weight.grad, RowSparse) and embedding.weight.grad.dtype == np.float32
    embedding.zero_grad()
    assert embedding.weight.grad is None
    assert "sparse=True" in repr(embedding)


def test_wrong_indices():
    embedding, _ = pair()
    with pytest.raises(TypeError, match="embedding: expected integer indices"):
        embedding(np.array([0.5]))
    with pytest.raises(IndexError, match=r"embedding: indices must be in 0\.\.6"):
        embedding(np.array([7]))


def test_on_an_array_that_is_as_strict_as_cupys():
    rng = np.random.default_rng(0)
    embedding, plain = pair()
    embedding.weight.data = strict(plain.weight.numpy())
    g = rng.standard_normal((4, 3))
    embedding(strict([5, 0, 5, 2])).backward(strict(g))
    embedding(strict([5])).backward(strict(g[:1]))
    plain(np.array([5, 0, 5, 2, 5])).backward(np.concatenate([g, g[:1]]))
    gradient = embedding.weight.grad
    assert isinstance(gradient.values, StrictArray) and gradient.device == embedding.weight.device
    np.testing.assert_allclose(gradient.numpy(), plain.weight.grad.numpy(), rtol=1e-14)
    dense = gradient + strict(np.ones((7, 3)))
    np.testing.assert_allclose(dense.get(), plain.weight.grad.numpy() + 1, rtol=1e-14)


def test_no_dense_gradient_is_ever_allocated():
    embedding = nn.Embedding(200_000, 32, sparse=True)
    indices = np.arange(0, 200_000, 2000)
    tracemalloc.start()
    embedding(indices).sum().backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < embedding.weight.data.nbytes / 100


def test_a_modules_zeroed_gradient_stays_row_sparse():
    embedding = nn.Embedding(4, 2, sparse=True)
    embedding(np.array([1])).sum().backward()
    embedding.zero_grad(set_to_none=False)
    assert isinstance(embedding.weight.grad, mg.RowSparse)
    assert not embedding.weight.grad.to_dense().any()
