"""Clipping, checking and gathering gradients."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
import nn.functional as F
from nn.utils import (
    GradientAccumulation,
    check_grads_finite,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
    grads_are_finite,
    parameters_to_vector,
    vector_to_parameters,
)
from tests.strict_array import StrictArray, strict

quick = settings(max_examples=40, deadline=None)
SHAPES = [(), (0,), (1,), (5,), (2, 3), (2, 0, 3)]
DTYPES = [np.float64, np.float32, np.float16]
orders = st.sampled_from([1, 2, 3, 0.5, 7.0, np.inf, "inf"])


def with_gradients(*gradients):
    made = []
    for g in gradients:
        p = mg.tensor(np.zeros_like(g), requires_grad=True)
        p.grad = g
        made.append(p)
    return made


@st.composite
def gradients(draw, dtypes=DTYPES):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shapes = draw(st.lists(st.sampled_from(SHAPES), max_size=4))
    made = [np.array(rng.normal(size=shape), draw(st.sampled_from(dtypes))) for shape in shapes]
    return [np.asfortranarray(g)[::-1] if g.ndim and draw(st.booleans()) else g for g in made]


def norm_of(arrays, p):
    whole = np.concatenate([np.ravel(a).astype(np.float64) for a in arrays] or [np.zeros(1)])
    p = float(p)
    return abs(whole).max(initial=0) if p == np.inf else (abs(whole) ** p).sum() ** (1 / p)


# --- clipping


@quick
@given(gradients(), orders)
def test_the_norm_is_that_of_one_vector(arrays, p):
    found = get_total_norm([mg.Tensor(a) for a in arrays], p)
    assert found.shape == ()
    assert not found.requires_grad
    np.testing.assert_allclose(found.item(), norm_of(arrays, p), rtol=1e-3 if p == 7.0 else 1e-5)
    if arrays and all(a.dtype == np.float64 for a in arrays):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found.item(), norm_of(arrays, p), rtol=1e-12)


@quick
@given(gradients([np.float64]), orders, st.floats(0, 5))
def test_clipping_by_norm(arrays, p, limit):
    parameters = with_gradients(*(a.copy() for a in arrays))
    kept, without = [(q.grad, q.grad.data) for q in parameters], mg.tensor(1.0, requires_grad=True)
    norm = clip_grad_norm_([*parameters, without], limit, p)
    np.testing.assert_allclose(norm.item(), norm_of(arrays, p), rtol=1e-12)
    for q, (grad, data), before in zip(parameters, kept, arrays, strict=True):
        assert q.grad is grad
        assert grad.data is data
        np.testing.assert_allclose(data, before * min(1.0, limit / (norm.item() + 1e-6)), rtol=1e-12)
    if limit > 1e-300:  # else each product is rounded to the next of the smallest numbers
        assert norm_of([q.grad.data for q in parameters], p) <= limit * (1 + 1e-12)
    assert without.grad is None


@quick
@given(gradients(), st.floats(0, 2))
def test_clipping_by_value(arrays, limit):
    parameters = with_gradients(*(a.copy() for a in arrays))
    assert clip_grad_value_(parameters, limit) is None
    for q, before in zip(parameters, arrays, strict=True):
        np.testing.assert_array_equal(q.grad.data, np.clip(before, -limit, limit))


def test_float16_does_not_overflow():
    (p,) = with_gradients(np.full(4, 300.0, np.float16))
    assert clip_grad_norm_(p, 1.0).item() == 600
    np.testing.assert_allclose(p.grad.numpy(), 0.5, rtol=1e-3)
    (p,) = with_gradients(np.array([6e4, -6e4], np.float16))
    clip_grad_value_(p, 1e6)
    assert np.isfinite(p.grad.numpy()).all()


def test_what_is_not_finite_goes_through():
    for value in (np.nan, np.inf):
        p, q = with_gradients(np.array([1.0, value]), np.array([2.0]))
        assert not np.isfinite(clip_grad_norm_([p, q], 1.0).item())
        assert np.isnan(p.grad.numpy()[1])
        assert q.grad.item() == 0 if value == np.inf else np.isnan(q.grad.item())
        p, q = with_gradients(np.array([-9.0, value]), np.array([2.0]))
        clip_grad_value_([p, q], 1.0)
        np.testing.assert_array_equal(p.grad.numpy(), [-1.0, min(value, 1.0) if value == np.inf else np.nan])
        assert q.grad.item() == 1


def test_an_error_changes_nothing():
    p, q = with_gradients(np.array([1.0, np.inf]), np.array([2.0]))
    with pytest.raises(RuntimeError, match="the norm of order 2 of 2 tensors is inf"):
        clip_grad_norm_([p, q], 1.0, error_if_nonfinite=True)
    frozen = np.ones(1)
    frozen.flags.writeable = False
    p, r = with_gradients(np.array([5.0]), frozen)
    for call in (clip_grad_norm_, clip_grad_value_):
        with pytest.raises(ValueError, match=r"the gradient of a parameter of shape \(1,\) is read-only"):
            call([p, r], 1.0)
    assert [p.grad.item(), q.grad.item()] == [5, 2]


def test_row_sparse_gradients_count_as_the_whole():
    repeated = lambda: mg.RowSparse([2, 0, 2], np.array([[3.0, 0.0], [1.0, -2.0], [1.0, 0.5]]), (4, 2))
    whole = repeated().numpy()
    for dense in (False, True):
        p, q = with_gradients(whole.copy(), np.array([2.0]))
        if not dense:
            p.grad = repeated()
        np.testing.assert_allclose(clip_grad_norm_([p, q], 1.5).item(), norm_of([whole, [2.0]], 2))
        np.testing.assert_allclose(p.grad.numpy(), whole * 1.5 / (norm_of([whole, [2.0]], 2) + 1e-6))
        p.grad = whole.copy() if dense else repeated()
        clip_grad_value_(p, 2.5)
        np.testing.assert_array_equal(p.grad.numpy(), np.clip(whole, -2.5, 2.5))
        assert isinstance(p.grad, mg.RowSparse) != dense


def test_complex_gradients():
    (p,) = with_gradients(np.array([3j, -4.0 + 0j]))
    assert clip_grad_norm_(p, 1.0).item() == 5
    np.testing.assert_allclose(p.grad.numpy(), [0.6j, -0.8], rtol=1e-6)
    with pytest.raises(TypeError, match="complex gradients can't be clipped by value"):
        clip_grad_value_(p, 1.0)


def test_known_norms():
    (p,) = with_gradients(np.array([3.0, 4.0]))
    for norm, limit, wanted in ((5.0, 1.0, 0.6), (mg.tensor(10.0), 5, 1.5), (1.0, 100.0, 3.0)):
        p.grad = np.array([3.0, 4.0])
        assert clip_grads_with_norm_(p, limit, norm) is None
        np.testing.assert_allclose(p.grad.numpy()[0], wanted, rtol=1e-5)
    p.grad = np.array([3.0, 4.0])
    clip_grad_norm_(p, np.inf)
    assert p.grad.tolist() == [3, 4]


def test_without_gradients():
    p = mg.tensor(1.0, requires_grad=True)
    for nothing in ([], [p], p, iter([])):
        assert clip_grad_norm_(nothing, 1.0).item() == 0
        assert clip_grad_value_(nothing, 1.0) is None
        assert grads_are_finite(nothing)
    with pytest.warns(UserWarning, match="the generator was used up already"):
        clip_grad_norm_((p for p in []), 1.0)


def test_a_recorded_gradient_that_was_clipped_is_not_gone_back_through():
    p = mg.tensor([2.0], requires_grad=True)
    (p**3).sum().backward(create_graph=True)
    penalty = (p.grad * p.grad).sum()
    clip_grad_norm_(p, 1.0)
    with pytest.raises(RuntimeError, match="written in place"):
        penalty.backward()


def test_on_a_device_nothing_is_converted():
    host = [np.array([[3.0, -1.0]]), np.array(2.0)]
    ours, theirs = with_gradients(*(g.copy() for g in host)), with_gradients(*map(strict, host))
    for parameters in (ours, theirs):
        norm = clip_grad_norm_(parameters, 2.0)
        clip_grad_value_(parameters, 1.0)
        assert grads_are_finite(parameters)
        vector = parameters_to_vector(parameters)
        vector_to_parameters(vector + 1.0, parameters)
    assert isinstance(norm.data, StrictArray)
    for q, r in zip(ours, theirs, strict=True):
        assert isinstance(r.grad.data, StrictArray)
        np.testing.assert_array_equal(q.grad.numpy(), r.grad.numpy())
        np.testing.assert_array_equal(q.numpy(), r.numpy())
    r.grad = strict(np.array(np.nan))
    with pytest.raises(RuntimeError, match=r"gradient of parameter 0, of shape \(\), has 1 of 1"):
        check_grads_finite(r)


# --- checking


def test_whose_gradient_is_not_finite():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model(np.ones((1, 2), np.float32)).sum().backward()
    assert grads_are_finite(model.parameters())
    assert check_grads_finite(model.named_parameters()) is None
    model[1].weight.grad[0, 1] = -np.inf
    assert not grads_are_finite(model.parameters())
    message = r"gradient of '1.weight', of shape \(1, 2\), has 1 of 2 elements .*; the first, at \(0, 1\), is -inf"
    with pytest.raises(RuntimeError, match=message):
        check_grads_finite(model.named_parameters())
    with pytest.raises(RuntimeError, match="gradient of parameter 2, "):
        check_grads_finite(model.parameters())
    model[1].weight.grad = None
    assert grads_are_finite(model.parameters())


def test_row_sparse_gradients_are_checked():
    (p,) = with_gradients(np.zeros((4, 2)))
    p.grad = mg.RowSparse([3], np.array([[0.0, np.nan]]), (4, 2))
    assert not grads_are_finite(p)
    with pytest.raises(RuntimeError, match=r"1 of 8 elements .* at \(3, 1\), is nan"):
        check_grads_finite(p)


# --- parameters as a vector


@quick
@given(gradients([np.float64]))
def test_a_vector_and_back(arrays):
    parameters = [nn.Parameter(a.copy()) for a in arrays]
    if not parameters:
        return
    vector = parameters_to_vector(parameters)
    np.testing.assert_array_equal(vector.numpy(), np.concatenate([a.ravel() for a in arrays]))
    (vector * vector).sum().backward()
    for p, a in zip(parameters, arrays, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), 2 * a)
    kept = [p.data for p in parameters]
    vector_to_parameters(vector.detach() * 2, parameters)
    for p, a, data in zip(parameters, arrays, kept, strict=True):
        assert p.data is data
        np.testing.assert_array_equal(p.numpy(), 2 * a)


def test_a_graph_through_parameters_that_were_written_since_is_refused():
    p = mg.tensor([2.0], requires_grad=True)
    square = (p * p).sum()
    vector_to_parameters([3.0], p)
    with pytest.raises(RuntimeError, match="written in place"):
        square.backward()


# --- micro-batches


def classifier():
    mg.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5, dtype=np.float64), nn.Tanh(), nn.Linear(5, 3, dtype=np.float64))


def cut(n, rng):
    """0..n cut into parts of random sizes."""
    edges = [0, *sorted(rng.choice(np.arange(1, n), rng.integers(0, n), replace=False).tolist()), n]
    return [slice(a, b) for a, b in pairwise(edges)]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_parts_of_a_batch_give_the_gradient_of_the_whole(n, seed, weighted, earlier):
    rng, model = np.random.default_rng(seed), classifier()
    x, y = mg.tensor(rng.normal(size=(n, 4))), rng.integers(0, 3, n)
    ignored = rng.random(n) < 0.2
    y[ignored] = -100
    weight = rng.uniform(0.5, 2, 3) if weighted else np.ones(3)
    of_each = np.where(ignored, 0.0, weight[y * ~ignored])  # what the mean divides by
    criterion = nn.CrossEntropyLoss(weight)
    if not of_each.any():
        return

    def outcome(gather):
        model.zero_grad()
        if earlier:
            (model(x) ** 2).sum().backward()
        loss = gather()
        return [p.grad.numpy().copy() for p in model.parameters()], loss

    def whole():
        loss = criterion(model(x), y)
        loss.backward()
        return loss.item()

    def in_parts():
        with GradientAccumulation(model.parameters()) as batch:
            for part in cut(n, rng):
                if of_each[part].any():
                    batch.backward(criterion(model(x[part]), y[part]), of_each[part].sum())
        return batch.loss.item()

    (found, loss), (wanted, wanted_loss) = outcome(in_parts), outcome(whole)
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-12)
    for g, h in zip(found, wanted, strict=True):
        np.testing.assert_allclose(g, h, rtol=1e-11, atol=1e-14)


def test_equal_parts_with_device_counts_and_sparse_gradients():
    mg.manual_seed(0)
    layer, chosen = nn.Embedding(6, 2, sparse=True, dtype=np.float64), np.array([1, 4, 1, 2, 4, 1])
    (layer(chosen) ** 2).mean().backward()
    wanted = layer.weight.grad.numpy()
    before = mg.RowSparse([5], np.ones((1, 2)), (6, 2))
    for earlier in (None, before):
        layer.weight.grad = earlier
        with GradientAccumulation(layer.parameters()) as batch:
            for part in (slice(0, 2), slice(2, 4), slice(4, 6)):
                batch.backward((layer(chosen[part]) ** 2).mean(), mg.tensor(2))
        assert isinstance(layer.weight.grad, mg.RowSparse)
        total = wanted if earlier is None else wanted + before.numpy()
        np.testing.assert_allclose(layer.weight.grad.numpy(), total, rtol=1e-12)


def test_float16_sums_stay_small():
    p, x = mg.tensor(np.float16(1.0), requires_grad=True), np.full(1000, 100.0, np.float16)
    with GradientAccumulation([p]) as batch:
        for _ in range(10):
            batch.backward((p * x).mean(), len(x))
    assert p.grad.item() == 100
    assert batch.loss.item() == 100


def test_an_error_in_the_block_brings_the_gradients_back():
    p = mg.tensor([1.0], requires_grad=True)
    p.grad = kept = mg.tensor([7.0])
    batch = GradientAccumulation(p)
    with pytest.raises(KeyboardInterrupt), batch:
        batch.backward((p * p).mean(), 1)
        raise KeyboardInterrupt
    assert p.grad is kept
    assert kept.item() == 7
    with batch, pytest.raises(RuntimeError, match="entered a second time"):  # after that error it may be entered again
        batch.__enter__()
    assert p.grad is kept
    with batch:
        batch.backward((p * p).mean(), 1)
    assert p.grad.item() == 9


def test_parameters_that_take_no_part():
    p, q = (mg.tensor([1.0], requires_grad=True) for _ in range(2))
    with GradientAccumulation([p, q]) as batch:
        assert batch.loss is None
        batch.backward(F.mse_loss(p, np.zeros(1, np.float32)), 3)
    assert p.grad.item() == 2
    assert q.grad is None


# --- wrong input

one = mg.tensor(1.0, requires_grad=True)


def plainly_accumulated(p):
    before = p.grad = mg.tensor(3.0)
    try:
        with GradientAccumulation([p]):
            (p * 2).backward()
    finally:
        assert p.grad is before


WRONG = [
    (lambda: get_total_norm([one], 0), ValueError, r"get_total_norm: norm_type must be in \(0.0, inf\], got 0"),
    (lambda: get_total_norm([one], float("nan")), ValueError, r"norm_type must be in \(0.0, inf\], got nan"),
    (lambda: clip_grad_norm_([one], -1), ValueError, r"max_norm must be in \[0.0, inf\], got -1"),
    (lambda: clip_grad_norm_([one], float("nan")), ValueError, r"max_norm must be in \[0.0, inf\], got nan"),
    (lambda: clip_grads_with_norm_([one], -1, 1.0), ValueError, "clip_grads_with_norm_: max_norm must be in"),
    (lambda: clip_grads_with_norm_([one], 1, -2), ValueError, "with_norm_: total_norm must be at least 0, got -2"),
    (lambda: clip_grads_with_norm_([one], 1, mg.tensor(-0.5)), ValueError, "total_norm must be at least 0, got -0.5"),
    (lambda: clip_grads_with_norm_([one], 1, np.ones(1)), ValueError, r"must be one number, got shape \(1,\)"),
    (lambda: clip_grads_with_norm_([one], 1, "a"), TypeError, "with_norm_: total_norm must be a number, got 'a'"),
    (lambda: clip_grad_value_([one], -1), ValueError, r"clip_grad_value_: clip_value must be in \[0.0, inf\], got -1"),
    (lambda: vector_to_parameters(np.ones(2), [one]), ValueError, r"a vector of 1 elements, got shape \(2,\)"),
    (lambda: vector_to_parameters(np.ones((1, 1)), [one]), ValueError, r"got shape \(1, 1\)"),
    (lambda: parameters_to_vector([]), ValueError, "parameters_to_vector: expected at least one parameter, got none"),
    (lambda: plainly_accumulated(one), RuntimeError, r"expected `batch.backward\(loss, weight\)`"),
    (lambda: GradientAccumulation([one]).backward(one * 1, 1), RuntimeError, "backward is called inside its `with`"),
    (
        lambda: GradientAccumulation([one]).__enter__().backward(one * 1, 0),
        ValueError,
        r"Accumulation: weight must be in \(0.0, inf\), got 0",
    ),
    (
        lambda: GradientAccumulation([one]).__enter__().backward(one * 1, np.inf),
        ValueError,
        r"weight must be in \(0.0, inf\), got inf",
    ),
    (lambda: GradientAccumulation([one]).__enter__().backward(one * 1, "a"), TypeError, "weight must be a number"),
    (lambda: GradientAccumulation([one]).__enter__().backward(3.0, 1), TypeError, "loss must be a Tensor, got a float"),
    (lambda: vector_to_parameters("a", [one]), TypeError, "vector_to_parameters: vec: .* type str"),
    (lambda: clip_grad_norm_([one], None), TypeError, "max_norm must be a number, got None"),
    (lambda: clip_grad_norm_([one], 1, "nuc"), TypeError, "norm_type must be a number, got 'nuc'"),
    (lambda: clip_grad_value_([one], [1]), TypeError, r"clip_value must be a number, got \[1\]"),
    (lambda: clip_grad_norm_(nn.Sequential(nn.ReLU()), 1), TypeError, "clip_grad_norm_: .* got a ReLU in a Sequential"),
    (lambda: clip_grad_value_(nn.ReLU(), 1), TypeError, "clip_grad_value_: expected a Tensor .* got a ReLU$"),
    (lambda: clip_grad_norm_([("p", one)], 1), TypeError, "clip_grad_norm_: .* got a tuple in a list"),
    (lambda: grads_are_finite(None), TypeError, "grads_are_finite: .* got a NoneType"),
    (lambda: check_grads_finite(nn.Sequential(nn.ReLU())), TypeError, "check_grads_finite: .* got a ReLU"),
    (lambda: check_grads_finite(nn.ReLU()), TypeError, "check_grads_finite: .* got a ReLU"),
    (lambda: vector_to_parameters(np.ones(1) * 1j, [one]), TypeError, "the vector is complex, and not all parameters"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_wrong_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
