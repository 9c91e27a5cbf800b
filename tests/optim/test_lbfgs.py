"""LBFGS: its direction, what it reaches, what it survives, and what it says of closures that are wrong."""

import contextlib
import copy
import math
import pickle
import signal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
import optim
from minigrad import RowSparse
from minigrad.vectors import dot, norm
from optim.lbfgs import Rows, _direction, _history
from tests.strict_array import strict

from .closures import closure_of, network, parameter, quadratic, rosenbrock

SEARCHES = [None, "strong_wolfe"]


def inverse_hessian(pairs, gamma, n):
    """H by the dense recursion (6.17) = (7.16)."""
    h = gamma * np.eye(n)
    for s, y in pairs:
        rho = 1 / (y @ s)
        v = np.eye(n) - rho * np.outer(y, s)
        h = v.T @ h @ v + rho * np.outer(s, s)
    return h


# --- the history


def test_rows_are_a_list_and_a_matrix():
    """Over growth, many rounds, and a size that changes."""
    rng = np.random.default_rng(0)
    for sizes in ([1], [2], [5], [12], [40], [3, 30, 4]):
        rows, wanted = Rows(np.empty((1, 3), np.float32)), []
        for k in range(150):
            size, vector = sizes[k * len(sizes) // 150], rng.standard_normal(3).astype(np.float32)
            roomy = rows.with_room(size)
            roomy.spare[...] = vector
            np.testing.assert_array_equal(list(rows), wanted or np.zeros(0), "a spare row is not yet one of them")
            np.testing.assert_array_equal(list(roomy), wanted[-size:] or np.zeros(0))
            rows = roomy.extended(size)
            wanted = [*wanted, vector][-size:]
            np.testing.assert_array_equal(list(rows), wanted)
            assert all(row.base is rows.matrix and row.dtype == np.float32 for row in rows)
            assert not any(np.shares_memory(row, rows.spare) for row in rows)
            assert len(rows) < len(rows.matrix) <= max(sizes) + 1
        for again in (copy.deepcopy(rows), pickle.loads(pickle.dumps(rows))):
            assert again.row == rows.row
            again[0][:] = 7
            np.testing.assert_array_equal(list(again), [np.full(3, 7), *wanted[1:]])
            np.testing.assert_array_equal(list(rows), wanted)


@given(st.integers(1, 5), st.integers(0, 7), st.integers(1, 40), st.integers(0, 10**6))
def test_products_and_sums_block_by_block(m, row, n, seed):
    """Small whole numbers, whose sums are exact."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-9, 10, (m, n)).astype(np.float32)
    rows = Rows.of(vectors, vectors, m + 1, row % (m + 2)) if row < 6 else Rows.of(vectors, vectors, m + 4, m)
    rows.spare[...] = rng.integers(-9, 10, n)
    vectors = np.vstack([vectors, rows.spare])
    v, weights = rng.integers(-9, 10, n).astype(np.float32), rng.integers(-9, 10, m + 1).astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optim.lbfgs.CACHED", 4 * (m + 1) * int(rng.integers(1, n + 1)))
        blocks, total = rows.blocks(), np.empty(n, np.float32)
        np.testing.assert_array_equal(np.concatenate([v[block] for block in blocks]), v)
        for block in blocks:
            rows.combination(weights, total, block)
            np.testing.assert_array_equal(rows.products(v, block), vectors[:, block] @ v[block])
        np.testing.assert_array_equal(rows @ v, vectors[:-1] @ v)
    np.testing.assert_array_equal(total, weights @ vectors)


# --- the direction


@given(st.integers(1, 6), st.integers(0, 8), st.integers(0, 10**6))
def test_two_loops_are_the_product_with_the_reference_matrix(n, m, seed):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n, n))
    hessian = root @ root.T + np.eye(n)
    pairs = [(s, hessian @ s) for s in rng.standard_normal((m, n))]
    gamma, g = rng.uniform(0.1, 10), rng.standard_normal(n)
    state = {
        "old_stps": [s for s, _ in pairs],
        "old_dirs": [y for _, y in pairs],
        "ro": [1 / (y @ s) for s, y in pairs],
        "H_diag": gamma,
        "prev_flat_grad": g,
    }
    _history(state, g)
    h = inverse_hessian(pairs, gamma, n)
    np.testing.assert_allclose(_direction(g, state), -h @ g, rtol=1e-7, atol=1e-9 * np.abs(h).max() * 10)


@pytest.mark.parametrize("history_size", [1, 3, 100])
def test_each_step_goes_along_the_reference_direction(history_size):
    """The whole algorithm with a dense matrix, over steps of one iteration."""
    f, a, least = quadratic(6)
    x = parameter(np.ones(6))
    optimizer = optim.LBFGS([x], lr=0.1, max_iter=1, history_size=history_size)
    closure = closure_of(optimizer, lambda: f(x))
    at, pairs, gamma = np.ones(6), [], 1.0
    for k in range(8):
        optimizer.step(closure)
        g = a @ (at - least)
        d = -inverse_hessian(pairs[-history_size:], gamma, 6) @ g
        move = d * 0.1 * (min(1, 1 / np.abs(g).sum()) if k == 0 else 1)
        at = at + move
        pairs.append((move, a @ move))
        gamma = move @ a @ move / (a @ move @ a @ move)
        np.testing.assert_allclose(x.numpy(), at, rtol=1e-9)
        assert len(optimizer.state[x]["old_dirs"]) == min(k, history_size)


# --- what it reaches


@pytest.mark.parametrize("search", SEARCHES)
def test_quadratic(search):
    f, _, least = quadratic(8)
    x = parameter(np.zeros(8))
    optimizer = optim.LBFGS([x], max_iter=200, max_eval=400, tolerance_change=0, line_search_fn=search)
    loss = optimizer.step(closure_of(optimizer, lambda: f(x)))
    assert loss.item() == f(parameter(np.zeros(8))).item(), "the first loss is returned"
    np.testing.assert_allclose(x.numpy(), least, atol=1e-7)
    report = optimizer.report
    assert report.stopped == "gradient below tolerance_grad"
    assert report.pairs_kept + report.pairs_refused == report.iterations - 1
    assert report.pairs_refused <= 3, "at the end alone, where yᵀs falls below 1e-10"
    assert report.wolfe is (None if search is None else True)
    assert optimizer.state[x]["func_evals"] == report.evaluations
    assert optimizer.state[x]["n_iter"] == report.iterations


@pytest.mark.parametrize("n", [2, 10])
def test_rosenbrock(n):
    x = parameter(np.resize([-1.2, 1.0], n) * (1 if n == 2 else 0.5))
    optimizer = optim.LBFGS([x], max_iter=500, tolerance_change=0, line_search_fn="strong_wolfe")
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    np.testing.assert_allclose(x.numpy(), 1, atol=1e-6)


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(0, 10**6), st.floats(0, 4))
def test_it_descends_monotonically_on_convex_quadratics(n, seed, exponent):
    f, _, _ = quadratic(n, seed, 10**exponent)
    x = parameter(np.zeros(n))
    optimizer = optim.LBFGS([x], max_iter=1, max_eval=60, line_search_fn="strong_wolfe", tolerance_change=0)
    losses = [optimizer.step(closure_of(optimizer, lambda: f(x))).item() for _ in range(25)]
    assert all(b < a or a < 1e-12 * losses[0] for a, b in pairwise(losses))
    assert losses[-1] <= 0.5 * losses[0]


def test_maximize_is_minimizing_the_negative():
    paths = []
    for sign, maximize in ((1, False), (-1, True)):
        x = parameter([-1.2, 1.0])
        optimizer = optim.LBFGS([x], maximize=maximize, line_search_fn="strong_wolfe", max_iter=7)
        loss = optimizer.step(closure_of(optimizer, lambda x=x, sign=sign: sign * rosenbrock(x)))
        assert loss.item() == pytest.approx(sign * 24.2)
        paths.append(x.numpy().copy())
    np.testing.assert_array_equal(*paths)


def test_groups_are_one_vector():
    whole, parts = parameter([-1.2, 1.0]), [parameter([-1.2]), parameter([1.0])]
    one = optim.LBFGS([whole], line_search_fn="strong_wolfe")
    two = optim.LBFGS([{"params": parts[:1]}, {"params": parts[1:]}], line_search_fn="strong_wolfe")
    one.step(closure_of(one, lambda: rosenbrock(whole)))
    two.step(closure_of(two, lambda: rosenbrock(mg.concatenate(parts))))
    np.testing.assert_array_equal(whole.numpy(), np.concatenate([p.numpy() for p in parts]))
    assert [*two.state] == parts[:1], "state on the first parameter alone"


def test_a_group_that_is_added_starts_it_anew():
    x, z = parameter([-1.2, 1.0]), parameter([3.0])
    optimizer = optim.LBFGS([x], line_search_fn="strong_wolfe")
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    optimizer.add_param_group({"params": [z]})
    assert not optimizer.state
    for _ in range(10):
        optimizer.step(closure_of(optimizer, lambda: rosenbrock(x) + (z * z).sum()))
    np.testing.assert_allclose([*x.numpy(), *z.numpy()], [1, 1, 0], atol=1e-3)


def test_complex_parameters_are_two_reals():
    z, xy = mg.tensor(np.array([1 - 2j, 0.5 + 1j]), requires_grad=True), parameter([1.0, -2.0, 0.5, 1.0])
    scale = np.array([1.0, 5.0, 2.0, 3.0])
    one, two = (optim.LBFGS([p], max_iter=5, line_search_fn="strong_wolfe") for p in (z, xy))

    def complex_closure():
        parts = z.numpy().view(np.float64)
        z.grad = (2 * scale * parts).view(np.complex128)
        return (scale * parts**2).sum()

    def real_closure():
        xy.grad = 2 * scale * xy.numpy()
        return (scale * xy.numpy() ** 2).sum()

    one.step(complex_closure)
    two.step(real_closure)
    np.testing.assert_array_equal(z.numpy().view(np.float64), xy.numpy())


def test_types_are_promoted_and_kept():
    x, z = parameter([-1.2], "float32"), parameter([1.0])
    optimizer = optim.LBFGS([x, z], line_search_fn="strong_wolfe", max_iter=100, tolerance_grad=1e-5)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(mg.concatenate([x, z]))))
    assert (x.dtype, z.dtype, optimizer.state[x]["d"].dtype) == (np.float32, np.float64, np.float64)
    np.testing.assert_allclose([*x.numpy(), *z.numpy()], 1, atol=1e-3)


def test_row_sparse_gradients_and_frozen_parameters():
    table, frozen = parameter(np.ones((4, 2))), parameter([2.0])
    optimizer = optim.LBFGS([table, frozen], max_iter=3)

    def closure():
        table.grad = RowSparse(np.array([1, 3]), 2 * table.numpy()[[1, 3]], (4, 2))
        return (table.numpy()[[1, 3]] ** 2).sum()

    for _ in range(3):
        optimizer.step(closure)
    assert np.abs(table.numpy()[[1, 3]]).max() < 1e-6
    np.testing.assert_array_equal(table.numpy()[[0, 2]], 1)
    assert frozen.item() == 2


@pytest.mark.parametrize("search", SEARCHES)
def test_it_runs_on_strict_arrays(search):
    ends = []
    for wrap in (np.array, strict):
        x, z = (mg.Tensor(wrap(np.array(v))).requires_grad_() for v in ([-1.2, 0.5], 1.0))
        optimizer = optim.LBFGS([x, z], lr=0.01, max_iter=6, history_size=2, line_search_fn=search)
        closure = closure_of(optimizer, lambda x=x, z=z: rosenbrock(mg.concatenate([x, z.reshape(1)])))
        optimizer.step(closure)
        saved = optimizer.state_dict()
        assert isinstance(saved["state"][0]["old_dirs"][0], np.ndarray)
        optimizer.load_state_dict(saved)
        optimizer.step(closure)
        ends.append(np.append(x.numpy(), z.numpy()))
    np.testing.assert_array_equal(*ends)


def test_nothing_to_do():
    x, empty = parameter([0.0, 0.0]), parameter(np.zeros((0, 3)))
    optimizer = optim.LBFGS([x, empty])
    optimizer.step(closure_of(optimizer, lambda: (x * x).sum() + empty.sum()))
    assert optimizer.report.stopped == "gradient below tolerance_grad"
    assert (optimizer.report.iterations, optimizer.report.evaluations) == (0, 1)
    assert optimizer.state[x] == {"func_evals": 1, "n_iter": 0}
    optimizer.load_state_dict(optimizer.state_dict())


def test_the_limits():
    reports = {}
    for name, limits in {"max_iter": {"max_iter": 3, "max_eval": 99}, "max_eval": {"max_eval": 4}}.items():
        x = parameter([-1.2, 1.0])
        optimizer = optim.LBFGS([x], line_search_fn="strong_wolfe", **limits)
        optimizer.step(closure_of(optimizer, lambda x=x: rosenbrock(x)))
        reports[name] = optimizer.report
        assert optimizer.report.stopped == f"{name} reached"
    assert reports["max_iter"].iterations == 3
    assert reports["max_eval"].evaluations in (4, 5)


def test_small_functions_need_a_smaller_tolerance_of_curvature():
    """torch's 1e-10 is absolute: of a small function no pair is kept."""
    kept = {}
    for tolerance in (1e-10, 0.0):
        x = parameter([-1.2, 1.0])
        settings = {"tolerance_curvature": tolerance, "tolerance_grad": 0, "tolerance_change": 0}
        optimizer = optim.LBFGS([x], max_iter=60, max_eval=200, line_search_fn="strong_wolfe", **settings)
        optimizer.step(closure_of(optimizer, lambda x=x: 1e-12 * rosenbrock(x)))
        kept[tolerance] = optimizer.report.pairs_kept, rosenbrock(x).item()
    assert kept[1e-10][0] == 0
    assert kept[1e-10][1] > 1
    assert kept[0.0][1] < 1e-12


SCALES = {"float64": [1e-290, 1e-150, 1e-30, 1e-9, 1e9, 1e30, 1e150, 1e290], "float32": [1e-30, 1e-15, 1e15, 1e30]}
WITHOUT = {"tolerance_grad": 0, "tolerance_change": 0, "tolerance_curvature": 0}


@pytest.mark.parametrize(("dtype", "scale"), [(dtype, scale) for dtype in SCALES for scale in SCALES[dtype]])
def test_the_unit_of_the_loss_does_not_matter(dtype, scale):
    x = parameter([-1.2, 1.0, 0.5], dtype)
    optimizer = optim.LBFGS([x], max_iter=100, max_eval=150, line_search_fn="strong_wolfe", **WITHOUT)
    optimizer.step(closure_of(optimizer, lambda: scale * rosenbrock(x)))
    np.testing.assert_allclose(x.numpy(), 1, atol=1e-10 if dtype == "float64" else 1e-5)
    assert optimizer.report.evaluations < 110


def test_the_scale_of_the_inverse_hessian_where_squares_leave_the_type():
    for scale in (1.0, 2.0**-700, 2.0**700):
        x = parameter([3.0, -2.0, 1.0])
        optimizer = optim.LBFGS([x], max_iter=2, max_eval=40, line_search_fn="strong_wolfe", **WITHOUT)
        optimizer.step(closure_of(optimizer, lambda x=x, scale=scale: scale * rosenbrock(x)))
        state = optimizer.state[x]
        s, y = state["old_stps"][-1], state["old_dirs"][-1] / scale
        assert state["H_diag"] == pytest.approx((s @ y) / (y @ y) / scale)


# --- what is not finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("search", SEARCHES)
def test_what_is_not_finite_is_too_long_a_step(search, bad):
    """-log(1 - x) - 2x from far away: whatever lies beyond 1 is bad."""
    x = parameter([-30.0])
    optimizer = optim.LBFGS([x], lr=100 if search else 1, max_iter=60, max_eval=300, line_search_fn=search)
    seen = []

    def closure():
        at = x.item()
        seen.append(at)
        x.grad = np.array([1 / (1 - at) - 2 if at < 1 else bad])
        return -math.log(1 - at) - 2 * at if at < 1 else bad

    optimizer.step(closure)
    assert max(seen) > 1, "nothing was tested"
    np.testing.assert_allclose(x.numpy(), 0.5, atol=1e-4)


def test_without_a_search_a_step_that_was_not_evaluated_is_halved_later():
    x = parameter([-1.0])
    optimizer = optim.LBFGS([x], lr=40, max_iter=1)
    lost = []

    def closure():
        at = x.item()
        lost.append(at >= 1)
        x.grad = np.array([1 / (1 - at) - 2 if at < 1 else math.nan])
        return -math.log(1 - at) - 2 * at if at < 1 else math.nan

    for _ in range(60):
        optimizer.param_groups[0]["lr"] *= 0.9
        optimizer.step(closure)
        assert math.isfinite(x.item())
    assert any(lost)
    np.testing.assert_allclose(x.numpy(), 0.5, atol=0.1)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("skip", [False, True])
def test_bad_data_change_nothing(search, skip):
    model, loss_of, _ = network()
    optimizer = optim.LBFGS(model.parameters(), max_iter=4, line_search_fn=search, skip_nonfinite=skip)
    optimizer.step(closure_of(optimizer, loss_of))
    before, state = [p.numpy().copy() for p in model.parameters()], optimizer.state_dict()
    calls = []
    optimizer.step(closure_of(optimizer, lambda: loss_of() * math.nan, calls))
    assert optimizer.report.stopped == "loss or gradient not finite"
    assert optimizer.skipped == skip
    assert len(calls) <= 2
    for p, value in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
    after = optimizer.state_dict()["state"][0]
    assert after.pop("func_evals") == state["state"][0].pop("func_evals") + len(calls)
    np.testing.assert_equal(after, state["state"][0])
    loss = optimizer.step(closure_of(optimizer, loss_of)).item()
    assert loss_of().item() < loss


def test_with_skip_nonfinite_a_batch_that_is_not_finite_takes_no_move_back():
    """Not by the move before, which a step without a search would else halve: nothing changes, and it is counted."""
    x = parameter([-1.2, 1.0])
    optimizer = optim.LBFGS([x], max_iter=2, skip_nonfinite=True)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    before, state, calls = x.numpy().copy(), optimizer.state_dict()["state"][0], []
    assert state["t"]
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x) * (1.0 if calls else math.nan), calls))
    assert (len(calls), optimizer.skipped) == (1, 1)
    np.testing.assert_array_equal(x.numpy(), before)
    after = optimizer.state_dict()["state"][0]
    assert after.pop("func_evals") == state.pop("func_evals") + 1
    np.testing.assert_equal(after, state)


@pytest.mark.parametrize(("max_eval", "keeps"), [(2, True), (1000, False)])
def test_pairs_are_forgotten_where_no_point_is_lower_not_where_evaluations_ran_out(max_eval, keeps):
    x, optimizer, saved = saved_state()
    here, pairs = x.numpy().copy(), len(saved["state"][0]["old_stps"])
    optimizer.param_groups[0].update(max_eval=max_eval)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x) + (0 if (x.numpy() == here).all() else math.inf)))
    np.testing.assert_array_equal(x.numpy(), here)
    assert optimizer.report.stopped == "no lower point found" and optimizer.report.pairs_kept == 1
    assert len(optimizer.state[x]["old_stps"]) == (pairs + 1 if keeps else 0)


def test_it_begins_anew_where_the_direction_climbs():
    x = parameter([-1.2, 1.0])
    optimizer = optim.LBFGS([x], max_iter=4, line_search_fn="strong_wolfe")
    closure = closure_of(optimizer, lambda: rosenbrock(x))
    optimizer.step(closure)
    state = optimizer.state[x]
    state.update(old_stps=[], old_dirs=[], ro=[], H_diag=-1.0, t=0.0)
    closure()
    assert x.grad.numpy() @ _direction(x.grad.numpy(), state) > 0
    optimizer.param_groups[0].update(max_iter=200, max_eval=400)
    for _ in range(3):
        optimizer.step(closure)
    np.testing.assert_allclose(x.numpy(), 1, atol=1e-3)


# --- closures that are wrong


def build(search=None):
    x = parameter([1.0, 2.0])
    return x, optim.LBFGS([x], line_search_fn=search)


@pytest.mark.parametrize("closure", [None, 3.0, "closure"])
def test_raises_without_a_closure(closure):
    _, optimizer = build()
    with pytest.raises(TypeError, match=r"LBFGS\.step: expected a closure, which clears the gradients.*got"):
        optimizer.step(closure)


@pytest.mark.parametrize(
    ("answer", "got"), [(None, "None"), ("loss", "'loss'"), (mg.tensor([1.0, 2.0]), r"a tensor of shape \(2,\)")]
)
def test_raises_where_no_loss_is_returned(answer, got):
    x, optimizer = build()

    def closure():
        (x * x).sum().backward()
        return answer

    with pytest.raises(TypeError, match=rf"expected the closure to return the loss, .* got {got}"):
        optimizer.step(closure)
    np.testing.assert_array_equal(x.numpy(), [1, 2])
    assert not optimizer.state_dict()["state"]


def test_raises_where_backward_is_not_called():
    x, optimizer = build()
    x.grad = np.ones(2)  # of before
    with pytest.raises(RuntimeError, match=r"no parameter has a gradient after the closure; it must call backward\(\)"):
        optimizer.step(lambda: (x * x).sum())


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(("retain", "max_iter"), [(False, 1), (False, 20), (True, 20)])
def test_raises_where_the_prediction_is_computed_outside(search, retain, max_iter):
    x = parameter([1.0, 2.0])
    optimizer = optim.LBFGS([x], line_search_fn=search, max_iter=max_iter)
    prediction = x @ mg.tensor(np.eye(2)[:, :1] + 1)
    accepted = []

    def closure():
        optimizer.zero_grad()
        loss = ((prediction - 7) ** 2).sum()
        loss.backward(retain_graph=retain)
        return loss

    with pytest.raises(RuntimeError, match=r"LBFGS\.step: .*inside the closure, the prediction too"):
        for _ in range(2):
            accepted.append(x.numpy().copy())
            optimizer.step(closure)
    np.testing.assert_array_equal(x.numpy(), accepted[-1])


def test_other_errors_of_a_closure_stay_as_they_are():
    _, optimizer = build()

    def closure():
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match=r"^out of luck$"):
        optimizer.step(closure)


def test_a_gradient_that_was_not_cleared_is_not_added_to():
    ends = []
    for clears in (True, False):
        x, optimizer = build("strong_wolfe")

        def closure(x=x, optimizer=optimizer, clears=clears):
            if clears:
                optimizer.zero_grad()
            loss = rosenbrock(x)
            loss.backward()
            return loss

        optimizer.step(closure)
        ends.append(x.numpy().copy())
    np.testing.assert_array_equal(*ends)


def test_a_loss_that_is_flat_by_rounding_is_no_error():
    x = parameter([1e-9, 1.0], "float32")
    optimizer = optim.LBFGS([x], line_search_fn="strong_wolfe", tolerance_grad=0, tolerance_change=0)
    for _ in range(3):
        optimizer.step(closure_of(optimizer, lambda: (x * 1e-3).sum() + 1e6))


# --- interruptions


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("at", range(1, 12))
def test_an_error_in_a_trial_leaves_the_point_before_it(search, error, at):
    """And the same path is taken afterwards as if nothing had happened."""

    def trained(fail_at):
        x = parameter([-1.2, 1.0])
        optimizer = optim.LBFGS([x], lr=1e-3 if search is None else 1, max_iter=30, max_eval=99, line_search_fn=search)
        points = []

        def loss_of():
            points.append(x.numpy().copy())
            if len(points) == fail_at:
                if error is KeyboardInterrupt:
                    signal.raise_signal(signal.SIGINT)
                raise error
            return rosenbrock(x)

        try:
            optimizer.step(closure_of(optimizer, loss_of))
        except error:
            assert len(points) == fail_at
            restored = x.numpy().copy()
            assert any(np.array_equal(restored, point) for point in points[: max(1, at - 1)])
            saved = optimizer.state_dict()
            optimizer.load_state_dict(saved)
            done = optimizer.state[x].get("n_iter", 0)
            optimizer.param_groups[0]["max_iter"] = 30 - done
            if search is None:
                optimizer.param_groups[0]["lr"] = 1e-3
            optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
        return x.numpy()

    np.testing.assert_array_equal(trained(at), trained(None))


def test_a_move_is_remembered_once():
    """Also where another batch would give it another y after the error."""
    x, batches = parameter([1.0, 2.0]), iter([1.0, 1.0, 1.0, None, 0.3, 0.3])
    optimizer = optim.LBFGS([x], lr=0.1, max_iter=2, max_eval=9)

    def closure():
        batch = next(batches)
        if batch is None:
            raise ZeroDivisionError
        x.grad = 2 * batch * x.numpy()
        return float((batch * x.numpy() ** 2).sum())

    optimizer.step(closure)
    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure)
    kept = len(optimizer.state[x]["old_dirs"])
    optimizer.param_groups[0]["max_iter"] = 1
    optimizer.step(closure)
    assert len(optimizer.state[x]["old_dirs"]) == kept == 2


# --- state


def saved_and_loaded(model, optimizer):
    again = optim.LBFGS(model.parameters())
    again.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    return model, again


COPIES = {
    "state_dict": saved_and_loaded,
    "pickle": lambda *both: pickle.loads(pickle.dumps(both)),
    "deepcopy": lambda *both: copy.deepcopy(both),
}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("copied", COPIES)
def test_resumes_exactly(search, copied):
    _, _, (images, labels) = network()
    criterion, images, labels = nn.CrossEntropyLoss(), mg.tensor(images), mg.tensor(labels)

    def trained(interrupted_at):
        model, _, _ = network()
        optimizer = optim.LBFGS(model.parameters(), lr=0.5, max_iter=3, history_size=4, line_search_fn=search)
        for k in range(8):
            if k == interrupted_at:
                model, optimizer = COPIES[copied](model, optimizer)
            optimizer.step(closure_of(optimizer, lambda model=model: criterion(model(images), labels)))
        return [p.numpy() for p in model.parameters()]

    straight = trained(None)
    for k in (1, 5):
        for a, b in zip(trained(k), straight, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [[5], [5, 2, 5], [9, 3, 6], [2, 100, 7]])
def test_resumes_exactly_at_every_place_of_the_history_in_memory(sizes, dtype):
    """The products with all pairs have the same bits wherever in memory they stand, also as `history_size` changes."""
    rng = np.random.default_rng(0)
    scale, n = np.geomspace(1, 1e3, 1003).astype(dtype), 1003
    start = rng.standard_normal(n).astype(dtype)

    def trained(saves):
        x = mg.tensor(start, requires_grad=True)
        optimizer = optim.LBFGS([x], lr=0.1, max_iter=1)
        for k in range(36):
            size, refuses = sizes[k * len(sizes) // 36], k % 12 < 2
            optimizer.param_groups[0].update(history_size=size, tolerance_curvature=1e9 if refuses else 0.0)
            optimizer.step(closure_of(optimizer, lambda: (mg.tensor(scale) * (x**2 + 0.1 * x**4)).sum()))
            if saves:
                saved = optimizer.state_dict()
                optimizer = optim.LBFGS([x])
                optimizer.load_state_dict(saved)
        assert len(optimizer.state[x]["ro"]) == min(size, 30)
        return x.numpy()

    np.testing.assert_array_equal(trained(False), trained(True))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_the_pairs_are_as_exact_as_the_gradients(dtype, search):
    """Those with older moves are differences of products with gradients, also where pairs in between were refused."""
    model, _, (images, labels) = network()
    model.to(dtype=dtype)
    criterion, images, labels = nn.CrossEntropyLoss(), mg.tensor(images).to(dtype=dtype), mg.tensor(labels)
    optimizer = optim.LBFGS(model.parameters(), lr=0.1, max_iter=3, history_size=6, line_search_fn=search)
    norms = []

    def closure():
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        norms.append(np.sqrt(sum((p.grad.numpy() ** 2).sum() for p in model.parameters())))
        return loss

    for k in range(12):
        optimizer.param_groups[0]["tolerance_curvature"] = 1e9 if k in (3, 7) else 0.0
        optimizer.step(closure)
        state = optimizer.state[next(model.parameters())]
        S, Y = (np.array(state[key], np.float64).reshape(-1, state["d"].size) for key in ("old_stps", "old_dirs"))
        error = np.abs(state["sy"] - np.triu(S @ Y.T))
        assert (error <= 4 * np.finfo(dtype).eps * np.linalg.norm(S, axis=1)[:, None] * max(norms)).all()
    assert len(S) == 6


def test_products_are_computed_where_differences_would_lose_them():
    """Beside a gradient that stays, and is large."""
    rng = np.random.default_rng(0)
    scale, slope = (rng.uniform(0.5, 2.0, 2000).astype(np.float32) for _ in range(2))
    x = mg.tensor(np.zeros(2000, np.float32), requires_grad=True)
    optimizer = optim.LBFGS([x], lr=1e-5, max_iter=9, history_size=5, tolerance_change=0, tolerance_curvature=0)
    optimizer.step(closure_of(optimizer, lambda: (scale * x * x + 1e4 * slope * x).sum()))
    S, Y = (np.array(optimizer.state[x][key], np.float64) for key in ("old_stps", "old_dirs"))
    curvatures = np.einsum("ij,ij->i", S, Y)
    error = np.abs(optimizer.state[x]["sy"] - np.triu(S @ Y.T)) / np.sqrt(np.outer(curvatures, curvatures))
    assert error.max() < 1e-5
    assert len(S) == 5


def test_a_step_that_is_begun_again_goes_the_same_way_after_a_refusal():
    """f = -1.5‖x‖², whose pairs are all refused; the third call of the closure raises."""

    def stepped(fails_at):
        x, calls = parameter([0.3, -0.2]), []
        optimizer = optim.LBFGS([x], max_iter=3, max_eval=99)

        def closure():
            calls.append(1)
            if len(calls) == fails_at:
                raise ZeroDivisionError
            optimizer.zero_grad()
            loss = -1.5 * (x * x).sum()
            loss.backward()
            return loss

        for _ in range(2):
            with contextlib.suppress(ZeroDivisionError):
                optimizer.step(closure)
            optimizer.param_groups[0]["max_iter"] = 3 - optimizer.state[x]["n_iter"]
        return x.numpy()

    np.testing.assert_array_equal(stepped(3), stepped(0))


def test_products_with_the_gradient_are_of_the_latest_one():
    """Also where a step begins without a move, with another function."""
    x, optimizer, _ = saved_state()
    state = optimizer.state[x]
    for f in (lambda: rosenbrock(x), lambda: ((x - 5) ** 2).sum()):
        state["t"] = 0.0
        optimizer.param_groups[0].update(max_iter=1)
        optimizer.step(closure_of(optimizer, f))
        assert len(state["old_stps"])
        np.testing.assert_allclose(state["sg"], np.array(state["old_stps"]) @ state["prev_flat_grad"], rtol=1e-12)


def test_after_a_retreat_the_move_is_the_shorter_one():
    x = parameter([1.0])
    optimizer = optim.LBFGS([x], lr=8.0, max_iter=1)
    closure = closure_of(optimizer, lambda: (x - mg.log(x) + 3 * x).sum())
    with np.errstate(invalid="ignore"):
        optimizer.step(closure)
        assert x.item() < 0
        optimizer.param_groups[0].update(max_iter=0, max_eval=20)
        optimizer.step(closure)
    state = optimizer.state[x]
    assert 0 < x.item() < 1
    np.testing.assert_allclose(state["t"] * state["d"], x.numpy() - 1, rtol=1e-12)


def test_a_linear_function_has_no_pairs():
    x = parameter([1.0, -2.0])
    optimizer = optim.LBFGS([x], lr=0.1, max_iter=4, tolerance_curvature=0)
    optimizer.step(closure_of(optimizer, lambda: (x * np.array([3.0, 1.0])).sum()))
    assert optimizer.report.pairs_kept == 0
    assert optimizer.report.pairs_refused == 3
    assert np.isfinite(x.numpy()).all()


@pytest.mark.parametrize(("dtype", "n", "slope"), [("float16", 1000, 200.0), ("float32", 10_000, 2e35)])
def test_sums_that_the_parameters_type_can_not_hold(dtype, n, slope):
    x = mg.tensor(np.ones(n, dtype), requires_grad=True)
    optimizer = optim.LBFGS([x], max_iter=20, tolerance_grad=0, tolerance_change=0)

    def closure():
        x.grad = mg.Tensor((slope * x.numpy()).astype(dtype))
        return float(0.5 * slope * (x.numpy().astype(np.float64) ** 2).sum())

    optimizer.step(closure)
    assert np.abs(x.numpy()).max() < 1e-2


def test_norms_and_products_of_many_narrow_numbers():
    x = np.full(70_000, 2, np.float16)
    assert norm(x) == pytest.approx(2 * math.sqrt(70_000))
    assert dot(x, x) == 280_000


def test_one_evaluation_is_enough_to_move():
    x = parameter([3.0])
    optimizer = optim.LBFGS([x], max_eval=1, max_iter=5)
    optimizer.step(closure_of(optimizer, lambda: (x * x).sum()))
    assert x.item() < 3.0


def test_room_for_pairs_grows_with_them():
    x = parameter(np.ones(3))
    optimizer = optim.LBFGS([x], lr=0.1, max_iter=2, history_size=100)
    optimizer.step(closure_of(optimizer, lambda: (x**4).sum()))
    assert len(optimizer.state[x]["old_stps"].matrix) <= 8


def test_products_that_do_not_fit_the_pairs_are_computed_anew():
    """As where torch has gone on with a state of ours."""
    x, optimizer, saved = saved_state()
    wanted = optimizer.state_dict()["state"][0]["sy"]
    assert wanted.shape == (2, 2)
    assert np.array_equal(wanted, np.triu(wanted))
    for spoil in (lambda s: s.pop("sy"), lambda s: s.update(sy=np.ones((3, 3))), lambda s: s.update(sy=2 * s["sy"])):
        spoiled = copy.deepcopy(saved)
        spoil(spoiled["state"][0])
        optimizer.load_state_dict(spoiled)
        optimizer.state[x]["t"] = 0.0
        _history(optimizer.state[x], x.numpy())
        np.testing.assert_allclose(optimizer.state[x]["sy"], wanted, rtol=1e-9, atol=1e-14)


def test_loaded_pairs_of_negative_curvature_are_forgotten():
    x, optimizer, saved = saved_state()
    del saved["state"][0]["sy"]
    saved["state"][0]["old_dirs"][0] *= -1
    optimizer.load_state_dict(saved)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    assert len(optimizer.state[x]["old_dirs"]) == optimizer.report.pairs_kept
    optimizer.param_groups[0].update(max_iter=200, max_eval=400)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    np.testing.assert_allclose(x.numpy(), 1, atol=1e-3)


def saved_state():
    x = parameter([-1.2, 1.0])
    optimizer = optim.LBFGS([x], max_iter=4, line_search_fn="strong_wolfe")
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    return x, optimizer, optimizer.state_dict()


def test_state_is_copied_both_ways():
    x, optimizer, saved = saved_state()
    loaded = copy.deepcopy(saved)
    optimizer.load_state_dict(loaded)
    loaded["state"][0]["old_dirs"][0][:] = 99
    optimizer.state[x]["d"][:] = 77
    np.testing.assert_equal(optimizer.state_dict()["state"][0]["old_dirs"], saved["state"][0]["old_dirs"])
    assert 77 not in saved["state"][0]["d"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s["state"][0].pop("d"), r"LBFGS\.load_state_dict: the state has no d, only"),
        (lambda s: s["state"][0].update(d=np.ones(3)), r"d has shape \(3,\), expected \(2,\)"),
        (lambda s: s["state"][0]["old_stps"].append(np.ones(5)), r"old_stps\[2\] has shape \(5,\), expected \(2,\)"),
        (lambda s: s["state"][0]["ro"].pop(), r"as many of one as of the other, got .*'old_stps': 2, .*'ro': 1"),
        (lambda s: s["param_groups"][0].update(history_size=0), "history_size must be a whole number from 1, got 0"),
    ],
)
def test_raises_where_a_state_does_not_fit_and_nothing_has_changed(spoil, message):
    _, optimizer, saved = saved_state()
    before = optimizer.state_dict()
    spoil(saved)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    np.testing.assert_equal(optimizer.state_dict(), before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"old_stps": 3}, "old_stps must be a list, got 3"),
        ({"old_stps": "abc"}, "old_stps must be a list, got 'abc'"),
        ({"old_dirs": [None, None]}, r"old_dirs\[0\] must be an array of real numbers, got object"),
        ({"old_dirs": [["a", "b"]] * 2}, r"old_dirs\[0\] must be an array of real numbers, got <U1"),
        ({"ro": None}, "ro must be a list, got None"),
        ({"ro": [0.5, "a"]}, r"ro\[1\] must be a number, got 'a'"),
        ({"ro": [0.5, None]}, r"ro\[1\] must be a number, got None"),
        ({"row": "a"}, "row must be a number, got 'a'"),
        ({"row": [1]}, r"row must be a number, got \[1\]"),
        ({"sy": [["a", "b"], ["c", "d"]]}, "sy must be an array of real numbers, got <U1"),
        ({"d": {}}, "d must be an array of real numbers, got object"),
        ({"t": "a"}, "t must be a number, got 'a'"),
    ],
)
def test_raises_where_a_state_is_of_another_kind_and_nothing_has_changed(changes, message):
    _, optimizer, saved = saved_state()
    before = optimizer.state_dict()
    saved["state"][0].update(changes)
    with pytest.raises(TypeError, match=rf"^LBFGS\.load_state_dict: {message}$"):
        optimizer.load_state_dict(saved)
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_raises_for_state_of_another_parameter_or_another_order():
    x, z = parameter([1.0]), parameter([2.0])
    optimizer = optim.LBFGS([("x", x), ("z", z)])
    optimizer.step(closure_of(optimizer, lambda: (x * x * z * z).sum()))
    saved = optimizer.state_dict()
    other = optim.LBFGS([("z", z), ("x", x)])
    with pytest.raises(ValueError, match=r"a vector of the parameters \['x', 'z'\] in that order, here they are"):
        other.load_state_dict(saved)
    saved["state"][1] = saved["state"].pop(0)
    with pytest.raises(ValueError, match="expected state of the first parameter alone"):
        optimizer.load_state_dict(saved)


def test_raises_where_groups_have_different_settings():
    x, z = parameter([1.0]), parameter([2.0])
    message = "LBFGS: lr is 1 in one group and 0.5 in another; all parameters are one vector and share the settings"
    with pytest.raises(ValueError, match=message):
        optim.LBFGS([{"params": [x]}, {"params": [z], "lr": 0.5}])
    optimizer = optim.LBFGS([{"params": [x]}, {"params": [z]}])
    optimizer.param_groups[1]["lr"] = 0.5
    with pytest.raises(ValueError, match=message):
        optimizer.step(closure_of(optimizer, lambda: (x * z).sum()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1}, r"LBFGS: lr must be in \[0"),
        ({"max_iter": 1.5}, "max_iter must be a whole number from 0, got 1.5"),
        ({"max_eval": -1}, "max_eval must be a whole number from 0, got -1"),
        ({"history_size": 0}, "history_size must be a whole number from 1, got 0"),
        ({"line_search_fn": "armijo"}, "line_search_fn must be one of None, 'strong_wolfe', got 'armijo'"),
        ({"tolerance_grad": math.nan}, "tolerance_grad must be in"),
        ({"tolerance_change": -1e-9}, "tolerance_change must be in"),
        ({"tolerance_curvature": -1}, "tolerance_curvature must be in"),
    ],
)
def test_raises_for_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        optim.LBFGS([parameter([1.0])], **settings)


def test_raises_for_read_only_parameters_and_several_devices():
    x = parameter([1.0])
    x.data.flags.writeable = False
    with pytest.raises(ValueError, match=r"a parameter of shape \(1,\) is read-only"):
        optim.LBFGS([x]).step(lambda: 1.0)
    z = mg.Tensor(strict([1.0])).requires_grad_()
    with pytest.raises(ValueError, match=r"expected parameters on one device, got 2 on \['cpu', 'strict:0'\]"):
        optim.LBFGS([parameter([1.0]), z]).step(lambda: 1.0)


def test_max_eval_is_five_quarters_of_max_iter():
    groups = [optim.LBFGS([parameter([1.0])], **given).param_groups[0] for given in ({}, {"max_iter": 7})]
    assert [group["max_eval"] for group in groups] == [25, 8]
