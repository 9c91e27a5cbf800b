"""L-BFGS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from optim.closure import (
    MAX_ITER,
    NO_LOWER_POINT,
    NOT_FINITE,
    SMALL_CHANGE,
    ClosureOptimizer,
    Objective,
    Report,
    at_rest,
    first_step,
    largest,
    settled,
)
from optim.hyperparameters import NONNEGATIVE, count, flag, from_one, one_of
from optim.interrupt import uninterrupted
from optim.line_search import Line, StrongWolfe, Trial, dot, halved, moved
from optim.optimizer import Options


@dataclass(frozen=True)
class LBFGSReport(Report):
    """What a step of LBFGS did.

    pairs_kept: the curvature pairs (s, y) that were taken into the history.
    pairs_refused: those that were not, as their yᵀs is not above `tolerance_curvature`.
    """

    pairs_kept: int
    pairs_refused: int


class LBFGS(ClosureOptimizer):
    """L-BFGS: x ← x + t·d, d = -H·∇f(x), with H an approximation of the inverse Hessian.

    H is the BFGS matrix of the last m pairs of moves s = t·d and changes y of the gradient, begun from (sᵀy/yᵀy)·I, and
    never formed: two loops over the pairs give its product with the gradient. A `step(closure)` takes up to `max_iter`
    iterations and calls the closure about as often. It suits full batches: s and y of different mini-batches measure
    the difference of the batches.

    Where loss or gradient are not finite the step was too long: it is shortened, and at worst a step ends at the best
    point that it has found. All groups are one vector and share the settings.

    Settings:
        lr: t of each move, or the first that a line search tries, ≥ 0; the very first is lr·min(1, 1/‖∇f‖₁). Default 1.
        max_iter: iterations in a step. Default 20.
        max_eval: calls of the closure in a step after which it ends; a line search may overshoot them by one. None is
            max_iter·5/4, rounded down. Default None.
        tolerance_grad: a step ends where no |∂f/∂xᵢ| is larger. Default 1e-7.
        tolerance_change: a step ends where f changed by less, no |t·dᵢ| is larger, or -dᵀ∇f is less. Default 1e-9.
        history_size: m ≥ 1. Default 100.
        line_search_fn: None, or "strong_wolfe", which makes the steps safe. Default None.
        maximize: climb instead of descend. Default False.
        tolerance_curvature: a pair is kept where yᵀs is above it, ≥ 0. Where f itself is as small as that no pair is
            kept, and 0 is better. Default 1e-10.

    State, of the first parameter, with vectors of all parameters:
        func_evals, n_iter: calls of the closure, iterations, over all steps.
        d, t: the last move was t·d.
        old_dirs, old_stps: the pairs' y and s, lists, the oldest first.
        ro: their 1/yᵀs. al: the α of the last two loops, which nothing reads.
        H_diag: sᵀy/yᵀy of the last pair.
        prev_flat_grad, prev_loss: gradient and value where the last move began.

    report: an LBFGSReport of the last step: why it stopped, how many evaluations, whether the Wolfe conditions hold.

    Raises ValueError for settings out of range or different between groups; `step` says what it raises.

    Source: Nocedal and Wright, "Numerical Optimization" (2nd edition, 2006), algorithms 7.4 and 7.5. As in torch, which
    follows Schmidt's minFunc, t is not found by a search unless `line_search_fn` says so. Unlike torch's it takes
    several groups and `maximize`, does not walk into what is not finite, and begins anew with the steepest descent
    where rounding makes d no descent direction or a search finds no lower point.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([-1.2, 1.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.LBFGS([p], max_iter=50, line_search_fn="strong_wolfe", tolerance_change=0)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> p.numpy().round(6).tolist(), optimizer.report.stopped
    ([1.0, 1.0], 'gradient below tolerance_grad')
    """

    ranges = {
        "lr": NONNEGATIVE,
        "max_iter": count,
        "max_eval": count,
        "tolerance_grad": NONNEGATIVE,
        "tolerance_change": NONNEGATIVE,
        "history_size": from_one,
        "line_search_fn": one_of(None, "strong_wolfe"),
        "maximize": flag,
        "tolerance_curvature": NONNEGATIVE,
    }
    vectors = ("d", "prev_flat_grad")
    lists = ("old_dirs", "old_stps")
    numbers = ("t", "H_diag", "prev_loss", "func_evals", "n_iter")
    report: LBFGSReport | None = None

    def __init__(
        self,
        params: Any,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
        *,
        maximize: bool = False,
        tolerance_curvature: float = 1e-10,
        **options: Unpack[Options],
    ) -> None:
        if max_eval is None:
            max_eval = count("LBFGS: max_iter", max_iter) * 5 // 4
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
                "maximize": maximize,
                "tolerance_curvature": tolerance_curvature,
            },
            **options,
        )

    def minimize(self, objective: Objective, state: dict[str, Any], settings: dict[str, Any]) -> LBFGSReport:
        """Algorithm 7.5."""
        iterations, t, wolfe = 0, 0.0, None
        pairs = {True: 0, False: 0, None: 0}
        stopped = at_rest(objective, settings)
        if stopped == NOT_FINITE:
            self._retreat(objective, state, settings)
            stopped = at_rest(objective, settings)
        while not stopped and iterations < settings["max_iter"]:
            fresh = not (state.get("t") or state.get("old_dirs"))  # it has not moved since it (re)started
            pairs[_remember(state, objective.gradient, settings)] += 1
            line = Line(objective, _direction(objective.gradient, state, settings["history_size"]))
            if not line.start.slope < 0:  # by rounding, or an overflow
                uninterrupted(_forget, state)
                fresh, line = True, Line(objective, -objective.gradient)
            if line.start.slope > -settings["tolerance_change"]:
                stopped = SMALL_CHANGE
                state.update(d=line.d, prev_loss=objective.value, n_iter=state["n_iter"] + 1)
                break
            first = settings["lr"] * (first_step(objective.gradient) if fresh else 1.0)
            iterations += 1
            trial, search = self._move(line, first, objective, settings, last=iterations == settings["max_iter"])
            t, before = trial.t, objective.value
            wolfe = None if search is None else search.satisfied(trial)
            objective.accept(trial, state, d=line.d, t=t, prev_loss=before, n_iter=state["n_iter"] + 1)
            if t and trial.gradient is not None:
                stopped = settled(objective, t * largest(line.d), abs(trial.value - before), settings)
            elif not t:
                stopped = NO_LOWER_POINT
                if not (search and search.exhausted):  # along d there is none
                    uninterrupted(_forget, state)
        return LBFGSReport(stopped or MAX_ITER, iterations, objective.evaluations, t, wolfe, pairs[True], pairs[False])

    def _move(
        self, line: Line, t: float, objective: Objective, settings: dict[str, Any], last: bool
    ) -> tuple[Trial, StrongWolfe | None]:
        """The trial to move to, and the search that found it, if any."""
        left = settings["max_eval"] - objective.evaluations
        if settings["line_search_fn"] is None:
            if last:  # as in torch, what no later iteration needs is not evaluated
                return Trial(t, moved(objective.x, t, line.d), math.nan, None, math.nan), None
            return halved(line, line.start, t, max(1, left)), None
        search = StrongWolfe(line, line.start, evaluations=left, width=1e-9 / largest(line.d))
        trial = search.search(t)
        return trial, search

    def _retreat(self, objective: Objective, state: dict[str, Any], settings: dict[str, Any]) -> None:
        """Halve the last move of the step before, which was not evaluated, if what is not finite came by it."""
        if settings["line_search_fn"] is not None or self.skip_nonfinite or not state.get("t"):
            return
        t, line = state["t"], Line(objective, state["d"])
        before = line(-t)
        if not before.finite:  # not by the move, then
            objective.back()
            return
        trial = halved(lambda less: line(less - t), before, t / 2, settings["max_eval"] - objective.evaluations)
        objective.accept(trial, state, t=t + trial.t)


@np.errstate(all="ignore")
def _remember(state: dict[str, Any], gradient: Any, settings: dict[str, Any]) -> bool | None:
    """Take the pair of the last move into the history; whether its curvature allowed that, None without a move."""
    if not state.get("t"):
        uninterrupted(_keep, state, gradient, None, 0)
        return None
    s, y = state["d"] * state["t"], gradient - state["prev_flat_grad"]
    sy, yy = dot(s, y), dot(y, y)
    kept = settings["tolerance_curvature"] < sy < math.inf and yy > 0
    uninterrupted(_keep, state, gradient, (s, y, 1 / sy, sy / yy) if kept else None, settings["history_size"])
    return kept


def _keep(state: dict[str, Any], gradient: Any, pair: tuple[Any, ...] | None, size: int) -> None:
    """Put a pair (s, y, 1/sᵀy, sᵀy/yᵀy) into the history, and note that no move is to be remembered any more."""
    history = [state.setdefault(key, []) for key in ("old_stps", "old_dirs", "ro")]
    state.setdefault("H_diag", 1.0)
    if pair:
        for kept, new in zip(history, pair[:3], strict=True):
            del kept[: max(0, len(kept) - size + 1)]
            kept.append(new)
        state["H_diag"] = pair[3]  # (7.20)
    state.update(prev_flat_grad=gradient, t=0.0)


def _forget(state: dict[str, Any]) -> None:
    state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0, t=0.0)


@np.errstate(all="ignore")
def _direction(gradient: Any, state: dict[str, Any], size: int) -> Any:
    """-H·∇f, by Algorithm 7.4."""
    ss, ys, rho = state["old_stps"], state["old_dirs"], state["ro"]
    alpha: list[Any] = [None] * size
    q = np.negative(gradient)
    scratch = np.empty_like(q)
    for i in reversed(range(len(ss))):
        alpha[i] = rho[i] * np.dot(ss[i], q)
        q -= np.multiply(ys[i], alpha[i], out=scratch)
    r = np.multiply(q, state["H_diag"], out=q)
    for i in range(len(ss)):
        beta = rho[i] * np.dot(ys[i], r)
        r += np.multiply(ss[i], alpha[i] - beta, out=scratch)
    if ss:
        state["al"] = alpha
    return r
