"""ScipyMinimize: SciPy's own answers through a closure, bounds, types, and what it says of wrong settings."""

import math
import sys

import numpy as np
import pytest

import minigrad as mg
import optim
from optim.scipy_minimize import BOUNDED, METHODS
from tests.strict_array import strict

from .closures import closure_of, network, parameter, rosenbrock

scipy_optimize = pytest.importorskip("scipy.optimize")
START = [-1.2, 1.0, 0.5]


def value_and_gradient(x):
    p = mg.tensor(x, requires_grad=True)
    loss = rosenbrock(p)
    loss.backward()
    return loss.item(), p.grad.numpy()


@pytest.mark.parametrize("method", METHODS)
def test_it_ends_where_the_reference_ends(method):
    x = parameter(START)
    optimizer = optim.ScipyMinimize([x], method=method, tol=1e-8)
    loss = optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    straight = scipy_optimize.minimize(value_and_gradient, np.array(START), jac=True, method=method, tol=1e-8)
    np.testing.assert_array_equal(x.numpy(), straight.x)
    assert rosenbrock(x).item() < 1e-2
    assert loss.item() == value_and_gradient(np.array(START))[0]
    assert optimizer.result.nfev == straight.nfev
    assert optimizer.report.stopped == straight.message
    assert optimizer.report.iterations == straight.nit
    assert optimizer.state[x] == {"func_evals": optimizer.report.evaluations, "n_iter": straight.nit}


@pytest.mark.parametrize("method", BOUNDED)
def test_global_bounds(method):
    x = parameter([-1.2, 0.4])
    optimizer = optim.ScipyMinimize([x], method=method, bounds=(None, 0.5), tol=1e-9)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    np.testing.assert_allclose(x.numpy(), [0.5, 0.25], atol=1e-3)
    assert x.numpy().max() <= 0.5


def test_bounds_of_each_parameter_and_group():
    a, b, c = parameter([[3.0, 3.0], [3.0, 3.0]]), parameter(3.0), parameter([3.0])
    groups = [{"params": [a, b], "bounds": [(np.array([1.0, 2.0]), None), None]}, {"params": [c], "bounds": (-9, 9)}]
    optimizer = optim.ScipyMinimize(groups)
    optimizer.step(closure_of(optimizer, lambda: (a * a).sum() + (b + 1) ** 2 + ((c - 20) ** 2).sum()))
    np.testing.assert_allclose(a.numpy(), [[1, 2], [1, 2]], atol=1e-6)
    np.testing.assert_allclose([b.item(), c.item()], [-1, 9], atol=1e-5)


def test_float32_parameters_keep_their_type():
    model, loss_of, _ = network(dtype=np.float32)
    optimizer = optim.ScipyMinimize(model.parameters(), options={"maxiter": 60})
    before = optimizer.step(closure_of(optimizer, loss_of)).item()
    assert loss_of().item() < 0.1 * before
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert optimizer.result.x.dtype == np.float64


def test_options_maximize_and_further_steps():
    x = parameter(START)
    optimizer = optim.ScipyMinimize([x], method="BFGS", options={"maxiter": 4}, maximize=True)
    losses = [optimizer.step(closure_of(optimizer, lambda: -rosenbrock(x))).item() for _ in range(3)]
    assert losses == sorted(losses)
    assert optimizer.result.nit == 4
    assert optimizer.state[x]["n_iter"] == 12


def test_complex_parameters():
    z = mg.tensor(np.array([1 - 2j, 0.5j]), requires_grad=True)
    optimizer = optim.ScipyMinimize([z])

    def closure():
        z.grad = 2 * (z.numpy() - (3 + 1j))
        return float((abs(z.numpy() - (3 + 1j)) ** 2).sum())

    optimizer.step(closure)
    np.testing.assert_allclose(z.numpy(), 3 + 1j, atol=1e-6)
    with pytest.raises(ValueError, match=r"a complex parameter of shape \(2,\) can't have bounds"):
        optim.ScipyMinimize([z], bounds=(0, 1))


def test_resumes_with_its_settings():
    x = parameter(START)
    optimizer = optim.ScipyMinimize([x], method="TNC", bounds=(-2, 2), tol=1e-3, options={"maxfun": 30})
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    other = optim.ScipyMinimize([x])
    other.load_state_dict(optimizer.state_dict())
    keys = ("method", "bounds", "tol", "options")
    assert [other.param_groups[0][key] for key in keys] == ["TNC", (-2, 2), 1e-3, {"maxfun": 30}]
    assert other.state[x] == optimizer.state[x]


def test_an_error_puts_the_parameters_back():
    x = parameter(START)
    optimizer = optim.ScipyMinimize([x])
    count = 0

    def loss_of():
        nonlocal count
        count += 1
        return rosenbrock(x) if count < 4 else 1 / 0

    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure_of(optimizer, loss_of))
    np.testing.assert_array_equal(x.numpy(), START)


def test_an_end_that_is_not_finite_changes_nothing():
    x = parameter(START)
    optimizer = optim.ScipyMinimize([x], method="CG")
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x) * math.nan))
    np.testing.assert_array_equal(x.numpy(), START)
    assert optimizer.report.stopped == "loss or gradient not finite"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"method": "Nelder-Mead"}, ValueError, "method must be one of 'L-BFGS-B', .* got 'Nelder-Mead'"),
        ({"bounds": (0, 1), "method": "CG"}, ValueError, "bounds are for L-BFGS-B, TNC, SLSQP, trust-constr, got CG"),
        ({"bounds": [(0, 1), None]}, ValueError, "bounds of 2 parameters for a group of 1"),
        ({"bounds": 3.0}, ValueError, r"bounds must be a tuple \(low, high\), or a list of one each, got 3.0"),
        ({"bounds": (np.zeros(2), None)}, ValueError, r"bounds .* for a parameter of shape \(3,\): "),
        ({"bounds": ("low", None)}, ValueError, r"bounds .* for a parameter of shape \(3,\): "),
        ({"bounds": (1, 0)}, ValueError, r"a lower bound is above the upper one in \(1, 0\)"),
        ({"bounds": (math.nan, 0)}, ValueError, "a lower bound is above the upper one"),
        ({"tol": -1}, ValueError, "tol must be in"),
        ({"options": 3}, TypeError, "options must be a dictionary or None, got 3"),
    ],
)
def test_raises_for_settings_that_make_no_sense(settings, error, message):
    with pytest.raises(error, match=message):
        optim.ScipyMinimize([parameter(START)], **settings)


def test_raises_without_scipy(monkeypatch):
    x = parameter(START)
    optimizer = optim.ScipyMinimize([x])
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(RuntimeError, match=r"SciPy is not installed; in a checkout, pip install '\.\[scipy\]'"):
        optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))


def test_raises_where_the_closure_is_wrong():
    x = parameter(START)
    optimizer = optim.ScipyMinimize([x])
    with pytest.raises(RuntimeError, match=r"ScipyMinimize\.step: no parameter has a gradient after the closure"):
        optimizer.step(lambda: rosenbrock(x))
    with pytest.raises(TypeError, match=r"ScipyMinimize\.step: expected a closure"):
        optimizer.step()


def test_it_copies_from_and_to_another_device(monkeypatch):
    """SciPy sees NumPy arrays, the closure its own."""
    x = mg.Tensor(strict(np.array(START))).requires_grad_()
    monkeypatch.setattr(
        "optim.scipy_minimize.backend.to_device", lambda a, device: strict(a) if device == "strict:0" else a
    )
    optimizer = optim.ScipyMinimize([x], bounds=(-2, None))
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(x)))
    np.testing.assert_allclose(x.numpy(), 1, atol=1e-3)
