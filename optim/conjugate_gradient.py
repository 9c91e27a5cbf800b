"""The nonlinear conjugate gradient method."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from minigrad.checks import NONNEGATIVE, count, flag, one_of, within
from minigrad.vectors import dot, largest
from optim.closure import (
    MAX_ITER,
    NO_LOWER_POINT,
    SMALL_CHANGE,
    ClosureOptimizer,
    Objective,
    Report,
    at_rest,
    settled,
)
from optim.line_search import Line, StrongWolfe, first_step, steepest, unit
from optim.optimizer import Options

# β of d ← -g + β·d, from the gradient g, the one before, their difference y, and the d before


def fletcher_reeves(g: Any, before: Any, y: Any, d: Any) -> float:
    """(5.41a)."""
    return dot(g, g) / dot(before, before)


def polak_ribiere(g: Any, before: Any, y: Any, d: Any) -> float:
    """(5.44), and (5.45): never negative."""
    return max(dot(g, y) / dot(before, before), 0.0)


def hestenes_stiefel(g: Any, before: Any, y: Any, d: Any) -> float:
    """(5.46)."""
    return dot(g, y) / dot(y, d)


def dai_yuan(g: Any, before: Any, y: Any, d: Any) -> float:
    """(5.49)."""
    return dot(g, g) / dot(y, d)


def hager_zhang(g: Any, before: Any, y: Any, d: Any) -> float:
    """(5.50), bounded below as Hager and Zhang (2005) do."""
    beta = (dot(g, y) - 2 * dot(y, y) / dot(y, d) * dot(g, d)) / dot(y, d)
    return max(beta, -1 / (math.sqrt(dot(d, d)) * min(0.01, math.sqrt(dot(before, before)))))


FORMULAS: dict[str, Callable[..., float]] = {
    f.__name__: f for f in (fletcher_reeves, polak_ribiere, hestenes_stiefel, dai_yuan, hager_zhang)
}
SEARCHES = ("strong_wolfe", "exact")


@dataclass(frozen=True)
class ConjugateGradientReport(Report):
    """What a step of ConjugateGradient did.

    restarts: how often it took the steepest descent anew, the very first time left out.
    """

    restarts: int


class ConjugateGradient(ClosureOptimizer):
    """Nonlinear conjugate gradients: x ← x + t·d, d ← -∇f(x) + β·d, with t from a line search.

    It remembers two vectors, where LBFGS has two hundred. A `step(closure)` takes up to `max_iter` iterations and calls
    the closure about twice as often. d begins anew as -∇f where it would not descend, where a search along it finds no
    lower point, and where two gradients in turn are far from orthogonal: |∇f(x)ᵀ∇f(x′)| ≥ ν·‖∇f(x)‖² (5.52).

    The first t that a search tries is 1.01 times that by which f would fall as it did the time before,
    2·(f - f′)/dᵀ∇f (3.60), at most 1 or the t of that time. What is not finite is too long a step. All groups are one
    vector and share the settings.

    Settings:
        lr: the very first t is lr·min(1, 1/‖∇f‖₁), but lr/‖∇f‖₁ where f would else not change beyond rounding, ≥ 0.
            Default 1.
        max_iter: iterations in a step, a whole number from 0. Default 20.
        max_eval: calls of the closure in a step after which it ends, a whole number from 0; a line search may overshoot
            them by one. None is three times max_iter. Default None.
        tolerance_grad: ≥ 0; a step ends where no |∂f/∂xᵢ| is larger. Default 1e-7.
        tolerance_change: ≥ 0; a step ends where f changed by less or no |t·dᵢ| is larger. Default 1e-9.
        formula: that of β: "fletcher_reeves", "polak_ribiere" (never negative), "hestenes_stiefel", "dai_yuan" or
            "hager_zhang". Default "hestenes_stiefel".
        line_search_fn: "strong_wolfe", or "exact" for quadratic functions, where two gradients tell the minimum along
            d; then n iterations solve a problem of n parameters. Default "strong_wolfe".
        c2: how flat the slope must be for the strong Wolfe conditions, in (1e-4, 1). Default 0.4.
        restart: ν > 0 or inf, which never restarts for it. Default 0.2.
        maximize: climb instead of descend. Default False.

    State, of the first parameter, with vectors of all parameters:
        func_evals, n_iter: calls of the closure, iterations, over all steps.
        d, t: the last move was t·d.
        prev_flat_grad, prev_loss, slope: gradient, value and dᵀ∇f where it began.

    report: a ConjugateGradientReport of the last step: why it stopped, how many evaluations, whether the Wolfe
        conditions hold.

    Raises ValueError for settings out of range or different between groups; `step` says what it raises.

    Source: Nocedal and Wright, "Numerical Optimization" (2nd edition, 2006), algorithm 5.4 and the equations named
    above; Hager and Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line search"
    (2005). Not in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([4.0, -3.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.ConjugateGradient([p], max_iter=2, line_search_fn="exact")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (p[0] - 1) ** 2 + 10 * (p[0] + p[1]) ** 2
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> p.numpy().round(6).tolist()
    [1.0, -1.0]
    """

    ranges = {
        "lr": NONNEGATIVE,
        "max_iter": count,
        "max_eval": count,
        "tolerance_grad": NONNEGATIVE,
        "tolerance_change": NONNEGATIVE,
        "formula": one_of(*FORMULAS),
        "line_search_fn": one_of(*SEARCHES),
        "c2": within(1e-4, 1.0, open_low=True, open_high=True),
        "restart": within(0.0, math.inf, open_low=True),
        "maximize": flag,
    }
    vectors = ("d", "prev_flat_grad")
    numbers = ("t", "prev_loss", "slope", "func_evals", "n_iter")
    report: ConjugateGradientReport | None = None

    def __init__(
        self,
        params: Any,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        formula: str = "hestenes_stiefel",
        line_search_fn: str = "strong_wolfe",
        c2: float = 0.4,
        restart: float = 0.2,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        if max_eval is None:
            max_eval = 3 * count("ConjugateGradient: max_iter", max_iter)
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "formula": formula,
                "line_search_fn": line_search_fn,
                "c2": c2,
                "restart": restart,
                "maximize": maximize,
            },
            **options,
        )

    def minimize(
        self, objective: Objective, state: dict[str, Any], settings: dict[str, Any]
    ) -> ConjugateGradientReport:
        """Algorithm 5.4, with the chosen β, search and restarts."""
        iterations = restarts = 0
        t, wolfe = 0.0, None
        stopped = at_rest(objective, settings)
        while not stopped and iterations < settings["max_iter"]:
            d = _conjugate(objective.gradient, state, settings)
            line = Line(objective, steepest(objective.gradient) if d is None else d)
            if not line.start.slope < 0:
                stopped = SMALL_CHANGE
                break
            restarts += d is None and "d" in state
            search = StrongWolfe(
                line, line.start, c2=settings["c2"], evaluations=settings["max_eval"] - objective.evaluations
            )
            find = search.search if settings["line_search_fn"] == "strong_wolfe" else search.exact
            trial = find(_first(line, state, settings["lr"]))
            iterations += 1
            t, wolfe, before = trial.t, search.satisfied(trial), objective.value
            objective.accept(
                trial,
                state,
                d=line.d,
                t=t,
                prev_flat_grad=line.start.gradient,
                prev_loss=before,
                slope=line.start.slope,
                n_iter=state["n_iter"] + 1,
            )
            if t:
                stopped = settled(objective, t * largest(line.d), abs(trial.value - before), settings)
            elif d is None or search.exhausted:
                stopped = NO_LOWER_POINT
        return ConjugateGradientReport(stopped or MAX_ITER, iterations, objective.evaluations, t, wolfe, restarts)


@np.errstate(all="ignore")
def _conjugate(g: Any, state: dict[str, Any], settings: dict[str, Any]) -> Any:
    """-∇f + β·d; None where d is to be -∇f alone."""
    if not state.get("t"):
        return None
    before, d, scale = state["prev_flat_grad"], state["d"], unit(g)
    if scale != unit(before):
        return None
    g, before = g / scale, before / scale
    if abs(dot(g, before)) >= settings["restart"] * dot(g, g):  # (5.52)
        return None
    try:
        beta = FORMULAS[settings["formula"]](g, before, g - before, d)
    except ZeroDivisionError:
        return None
    d = beta * d - g
    return d if dot(g, d) < 0 else None


def _first(line: Line, state: dict[str, Any], lr: float) -> float:
    """The t that a search tries first."""
    start, t = line.start, state.get("t")
    if not t:
        return lr * first_step(start, line.d)
    gained = state["prev_loss"] - start.value
    return float(min(max(1.0, t), 1.01 * 2 * gained / -start.slope) if gained > 0 else t)  # (3.60)
