"""AdaHessian: what it makes of curvature. Its formula is held against a reference in test_algorithms."""

import numpy as np
import pytest

import minigrad as mg
import optim


def leaf(values):
    return mg.tensor(values, dtype="float64", requires_grad=True)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def test_the_signs_are_those_of_seed_step_and_parameter():
    """v is (z ⊙ Hz)² after one step, which tells the signs of z."""
    A = np.random.default_rng(0).standard_normal((5, 5))
    A = A + A.T

    def after(seed, before=0):
        x, y = leaf(np.zeros(5)), leaf(np.zeros(5))
        optimizer = optim.AdaHessian([x, y], lr=0.0, betas=(0.9, 0.0), seed=seed)
        for _ in range(before + 1):
            optimizer.step(lambda: (x * mg.matmul(A, x)).sum() + (y * mg.matmul(A, y)).sum())
        return [optimizer.state[p]["exp_hessian_diag_sq"].tolist() for p in (x, y)]

    possible = [(2 * A @ z) ** 2 for z in 2.0 * ((np.arange(32)[:, None] >> np.arange(5)) % 2) - 1]
    seen = [v for seed in range(4) for before in range(4) for v in after(seed, before)]
    for v in seen:
        assert min(np.abs(np.array(v) - p).max() for p in possible) < 1e-12
    assert len({tuple(v) for v in seen}) > 10  # of the 16 that ±z leaves
    assert after(1) == after(1)


def test_the_estimate_is_unbiased():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4, 4))
    A = A + A.T
    x = leaf(np.zeros(4))
    optimizer = optim.AdaHessian([x], lr=0.0)
    estimates = []
    gather = optimizer._gather

    def spy(*arguments):
        estimates.append(optimizer._diagonals[x].copy())
        gather(*arguments)

    optimizer._gather = spy
    for _ in range(800):
        optimizer.step(lambda: (x * mg.matmul(A, x)).sum() / 2)
    mean, error = np.mean(estimates, axis=0), np.std(estimates, axis=0) / np.sqrt(800)
    assert (np.abs(mean - np.diag(A)) < 4 * error).all()


def test_a_diagonal_quadratic_is_seen_as_it_is():
    """With β2 = 0, k = 1 and no ε the first step is Newton's, scaled by lr: to the minimum where lr is 1."""
    curvature = np.array([100.0, 1.0, 0.01])
    x = leaf([1.0, -2.0, 3.0])
    optimizer = optim.AdaHessian([x], lr=1.0, betas=(0.0, 0.0), eps=0.0)
    optimizer.step(lambda: (curvature * x * x).sum() / 2)
    np.testing.assert_allclose(x.numpy(), 0, atol=1e-15)


@pytest.mark.parametrize("k", [0.0, 0.5, 1.0])
def test_the_power_of_the_curvature(k):
    curvature = np.array([16.0, 1.0, 0.25])
    x = leaf(np.ones(3))
    optim.AdaHessian([x], lr=0.1, eps=0.0, hessian_power=k).step(lambda: (curvature * x * x).sum() / 2)
    np.testing.assert_allclose(x.numpy(), 1 - 0.1 * curvature ** (1 - k), rtol=1e-14)


def test_gradients_are_kept_and_parameters_without_one_skipped():
    x, unused = leaf([1.0, 2.0]), leaf([3.0])
    unused.grad = np.ones(1)
    optimizer = optim.AdaHessian([x, unused], weight_decay=0.1)
    assert optimizer.step(lambda: (x**2).sum()).item() == 5.0
    assert x.grad.tolist() == [2.0, 4.0]
    assert unused.grad is None
    assert unused.tolist() == [3.0]
    assert unused not in optimizer.state


def test_it_descends():
    x = leaf([-1.2, 1.0])
    optimizer = optim.AdaHessian([x], hessian_power=0.5)
    losses = [float(optimizer.step(lambda: rosenbrock(x))) for _ in range(2000)]
    assert losses[-1] < 1e-3


def test_groups_have_settings_of_their_own():
    x, y = leaf([1.0]), leaf([1.0])
    optimizer = optim.AdaHessian([{"params": [x], "lr": 0.0}, {"params": [y], "maximize": True}], lr=0.1, eps=0.0)
    optimizer.step(lambda: (x**2 + y**2).sum())
    assert x.tolist() == [1.0]
    np.testing.assert_allclose(y.numpy(), [1.1])


@pytest.mark.parametrize("at", ["gradient", "curvature"])
def test_a_step_with_what_is_not_finite_is_skipped_where_asked_for(at):
    x = leaf([0.0, 1.0])
    optimizer = optim.AdaHessian([x], skip_nonfinite=True)
    power = {"gradient": 0.5, "curvature": 1.5}[at]
    with np.errstate(all="ignore"):
        optimizer.step(lambda: (x**power + x).sum())
    assert x.tolist() == [0.0, 1.0]
    assert optimizer.skipped == 1
    assert not optimizer.state


@pytest.mark.parametrize("name", ["eager", "blocked", "numba"])
def test_all_executions_give_the_same_bits(name):
    paths = []
    for execution in ("eager", name):
        rng = np.random.default_rng(0)
        x, y = leaf(rng.standard_normal((4, 3))), leaf(rng.standard_normal((3, 4)).T)
        optimizer = optim.AdaHessian([x, y], lr=0.1, weight_decay=0.1, hessian_power=0.7)
        with optim.execution(execution):
            for _ in range(5):
                optimizer.step(lambda x=x, y=y: (mg.tanh(x * y) ** 2).sum() + (x**4).sum())
        paths.append([x.numpy(), y.numpy()])
    np.testing.assert_array_equal(paths[0], paths[1])
