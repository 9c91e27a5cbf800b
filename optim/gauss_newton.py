"""The Gauss–Newton method for sums of squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

from minigrad.vectors import norm
from optim.closure import NO_LOWER_POINT, NOT_FINITE
from optim.least_squares import Residuals, column_norms, half_square, solved
from optim.optimizer import Options
from optim.second_order import STATIONARY, SecondOrderOptimizer

ETA = 1e-4
"""η: a trial point is accepted where F falls by more than this part of what the linear model promises."""


@dataclass(frozen=True)
class GaussNewtonReport:
    """What a step of GaussNewton did.

    stopped: why it ended, in words.
    evaluations: how often the closure was called.
    loss: F, where the parameters are now.
    gradient_norm: ‖Jᵀ·r‖, where the step started.
    step_norm: ‖α·p‖, 0 where no point was accepted.
    step_length: α, 0 where no point was accepted.
    """

    stopped: str
    evaluations: int
    loss: float
    gradient_norm: float
    step_norm: float
    step_length: float


class GaussNewton(SecondOrderOptimizer):
    """Gauss–Newton: p minimizes ½‖r + J·p‖², and x ← x + α·p with the first α of 1, ½, ¼, ... that lowers F = ½‖r‖².

    r are the residuals and J is their Jacobian. Where r is linear, the first step is the solution. Where it is 0 at the
    solution, and J has full rank there, convergence is quadratic. Where J has not, p is the shortest of the minimizers,
    in units of J's columns; far from a solution Levenberg–Marquardt is the surer way.

    The closure computes the residuals and returns them, a Tensor or a list of Tensors, and calls no backward
    (`optim.second_order`). J is built: residuals times parameters must fit into memory. All groups are one vector.

    Settings:
        (none)

    State, of the first parameter:
        n_iter, func_evals: points accepted and calls of the closure, over all steps.

    report: a GaussNewtonReport of the last step.

    Raises TypeError and ValueError for parameters as every optimizer does; `step` says what it raises.

    Source: Nocedal and Wright, "Numerical Optimization" (2nd edition, 2006), section 10.3, equation 10.23. Not in
    torch.

    >>> import minigrad as mg, optim
    >>> x = mg.tensor([0.0, 0.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.GaussNewton([x])
    >>> optimizer.step(lambda: mg.stack([x[0] + x[1] - 3, x[0] - x[1] - 1])).item()
    5.0
    >>> x.numpy().round(12).tolist()
    [2.0, 1.0]
    """

    ranges = {}
    objective = Residuals
    report: GaussNewtonReport | None = None

    def __init__(self, params: Any, **options: Unpack[Options]) -> None:
        super().__init__(params, {}, **options)

    def descend(self, objective: Residuals, state: dict[str, Any], settings: dict[str, Any]) -> GaussNewtonReport:
        """Backtrack along the Gauss–Newton direction."""
        x, J, g_norm = objective.x, objective.J, objective.gradient_norm

        def report(stopped: str, step_norm: float = 0.0, step_length: float = 0.0) -> GaussNewtonReport:
            return GaussNewtonReport(stopped, objective.evaluations, objective.loss, g_norm, step_norm, step_length)

        if not objective.finite:
            return report(NOT_FINITE)
        if not objective.gradient.any():
            return report(STATIONARY)
        p = solved(J, objective.r, column_norms(J))
        fall = half_square(J @ p, objective.unit)  # of the model at α = 1, as J·p is orthogonal to what is left of r
        alpha = 1.0
        while alpha > objective.eps:
            trial = objective.at(x + alpha * p)
            if objective.gain(trial, alpha * (2 - alpha) * fall) > ETA:
                return report(objective.accept(x + alpha * p, trial, state), alpha * norm(p), alpha)
            alpha /= 2
        objective.back()
        return report(NO_LOWER_POINT)
