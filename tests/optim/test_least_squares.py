"""What Gauss–Newton and Levenberg–Marquardt have in common: units, reports, and closures without residuals."""

import numpy as np
import pytest

import minigrad as mg
import optim
from optim.closure import NO_LOWER_POINT
from optim.second_order import ACCEPTED, ROUNDING, STATIONARY

both = pytest.mark.parametrize("cls", [optim.GaussNewton, optim.LevenbergMarquardt])


@pytest.mark.parametrize(
    ("dtype", "of_residuals", "of_parameters"),
    [("float32", r, 1) for r in (1e-30, 1e-15, 1e15, 1e30)]
    + [("float32", 1, p) for p in (1e-25, 1e25)]
    + [("float64", r, 1) for r in (1e-290, 1e-165, 1e-150, 1e150, 1e165, 1e290)],
)
@both
def test_units_whose_squares_leave_the_type(cls, dtype, of_residuals, of_parameters):
    x = mg.tensor(np.array([-1.2 * of_parameters, 1.0], dtype), requires_grad=True)
    residuals = lambda a, b: mg.stack([10 * (b - a**2), 1 - a])
    optimizer = cls([x])
    for _ in range(20):
        optimizer.step(lambda: of_residuals * residuals(x[0] / of_parameters, x[1]))
        assert optimizer.report.stopped in (ACCEPTED, ROUNDING, STATIONARY, NO_LOWER_POINT)
    np.testing.assert_allclose(x.numpy() / [of_parameters, 1], 1, rtol=1e-5)


@both
def test_the_loss_and_the_gradient_are_reported_in_their_units(cls):
    for scale in (1.0, 1e-100, 1e100):
        x = mg.tensor(np.array([-1.2, 1.0]), requires_grad=True)
        optimizer = cls([x])
        loss = optimizer.step(lambda x=x, scale=scale: scale * mg.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]]))
        assert loss.item() == pytest.approx(12.1 * scale**2)
        residuals = np.array([10 * (x.numpy()[1] - x.numpy()[0] ** 2), 1 - x.numpy()[0]])
        assert optimizer.report.loss == pytest.approx(residuals @ residuals / 2 * scale**2)
        assert optimizer.report.gradient_norm == pytest.approx(np.hypot(-107.8, -44.0) * scale**2)


@both
def test_no_residuals(cls):
    x = mg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    with pytest.raises(
        ValueError, match=rf"{cls.__name__}\.step: the closure must return at least one residual, got shape \(0,\)"
    ):
        cls([x]).step(lambda: x[:0] * 2.0)
    np.testing.assert_array_equal(x.numpy(), [1, 2])
