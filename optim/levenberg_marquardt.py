"""The Levenberg–Marquardt method for sums of squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from minigrad.checks import POSITIVE
from minigrad.vectors import norm
from optim.closure import NO_LOWER_POINT, NOT_FINITE
from optim.least_squares import Residuals, column_norms, half_square, solved
from optim.optimizer import Options
from optim.second_order import STATIONARY, SecondOrderOptimizer


@dataclass(frozen=True)
class LevenbergMarquardtReport:
    """What a step of LevenbergMarquardt did.

    stopped: why it ended, in words.
    evaluations: how often the closure was called.
    loss: F, where the parameters are now.
    gradient_norm: ‖Jᵀ·r‖, where the step started.
    damping: μ, for the next step.
    step_norm: ‖p‖ of the point that was accepted, 0 where none was.
    ratio: ϱ of the last trial point, the actual over the predicted fall of F.
    """

    stopped: str
    evaluations: int
    loss: float
    gradient_norm: float
    damping: float
    step_norm: float
    ratio: float


class LevenbergMarquardt(SecondOrderOptimizer):
    """Levenberg–Marquardt: p minimizes ½‖r + J·p‖² + ½μ‖D·p‖², and x ← x + p where that lowers F = ½‖r‖².

    r are the residuals, J is their Jacobian, and D has the largest length that each of its columns has had: so the
    path does not depend on the units of the parameters. With a small damping μ the step is Gauss–Newton's, with a large
    one it is short and steepest descent's. After an accepted step μ is multiplied by max(1/3, 1 - (2ϱ - 1)³), where ϱ
    is the actual over the predicted decrease of F; after a rejected one by ν = 2, 4, 8, ... A step tries until a
    point is accepted.

    The closure computes the residuals and returns them, a Tensor or a list of Tensors, and calls no backward
    (`optim.second_order`). J is built: residuals times parameters must fit into memory. All groups are one vector and
    share the settings.

    Settings:
        damping: μ of the first step, > 0, without unit. Default 1e-3.

    State, of the first parameter:
        scale: D, a vector of all parameters.
        damping, growth: μ and ν.
        n_iter, func_evals: points accepted and calls of the closure, over all steps.

    report: a LevenbergMarquardtReport of the last step.

    Raises ValueError for settings out of range or different between groups; `step` says what it raises.

    Source: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters" (1963); μ as in Nielsen,
    "Damping parameter in Marquardt's method" (1999), equation 2.21, which is Madsen, Nielsen and Tingleff, "Methods for
    non-linear least squares problems" (2004), algorithm 3.16; D as in Moré, "The Levenberg–Marquardt algorithm:
    implementation and theory" (1978), equation 6.3. Not in torch.

    >>> import minigrad as mg, optim
    >>> x = mg.tensor([-1.2, 1.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.LevenbergMarquardt([x])
    >>> for _ in range(20):
    ...     loss = optimizer.step(lambda: mg.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]]))
    >>> x.numpy().round(6).tolist(), optimizer.report.loss < 1e-20
    ([1.0, 1.0], True)
    """

    ranges = {"damping": POSITIVE}
    remembers = {"damping": POSITIVE, "growth": POSITIVE}
    vectors = ("scale",)
    objective = Residuals
    report: LevenbergMarquardtReport | None = None

    def __init__(self, params: Any, damping: float = 1e-3, **options: Unpack[Options]) -> None:
        super().__init__(params, {"damping": damping}, **options)

    def descend(
        self, objective: Residuals, state: dict[str, Any], settings: dict[str, Any]
    ) -> LevenbergMarquardtReport:
        """Algorithm 3.16, until a point is accepted."""
        x, J, g_norm = objective.x, objective.J, objective.gradient_norm
        mu, nu = state.get("damping", settings["damping"]), state.get("growth", 2.0)
        ratio = math.nan

        def report(stopped: str, step_norm: float = 0.0) -> LevenbergMarquardtReport:
            damping = state.get("damping", settings["damping"])
            return LevenbergMarquardtReport(
                stopped, objective.evaluations, objective.loss, g_norm, damping, step_norm, ratio
            )

        if not objective.finite:
            return report(NOT_FINITE)
        if not objective.gradient.any():
            return report(STATIONARY)
        D = column_norms(J)
        if "scale" in state:
            D = np.maximum(D, state["scale"])
        length = math.inf  # of the last trial step, in units of D
        while length > objective.eps * norm(D * x) and math.isfinite(mu):
            p = solved(J, objective.r, D, mu)
            length = norm(D * p)
            trial = objective.at(x + p)
            ratio = objective.gain(trial, half_square(J @ p, objective.unit) + mu * (length / objective.unit) ** 2)
            if ratio > 0:
                shrunk = mu * max(1 / 3, 1 - (2 * min(ratio, 1.0) - 1) ** 3)
                mu = max(shrunk, objective.eps**2)  # less would be lost in rounding
                stopped = objective.accept(x + p, trial, state, scale=D, damping=mu, growth=2.0)
                return report(stopped, norm(p))
            mu, nu = mu * nu, 2 * nu
        objective.back()
        return report(NO_LOWER_POINT)
