"""L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from minigrad import backend
from minigrad.checks import NONNEGATIVE, count, flag, from_one, list_of, number, one_of
from minigrad.vectors import dot, largest, norm
from optim.closure import (
    MAX_ITER,
    NO_LOWER_POINT,
    NOT_FINITE,
    SMALL_CHANGE,
    ClosureOptimizer,
    Objective,
    Report,
    at_rest,
    settled,
)
from optim.flat import Flat
from optim.interrupt import uninterrupted
from optim.line_search import Line, StrongWolfe, Trial, first_step, halved, moved, steepest
from optim.optimizer import Options

SMALL = 1e-290
"""Numbers below have lost digits."""
CACHED = 2**22
"""Bytes of the pairs that are read twice in a row: they stay in the cache."""
LOST = 2**-12
"""How much of sᵢᵀyⱼ, relative to the pairs' own curvatures, a difference may lose to rounding."""
ALL = slice(None)


@dataclass(frozen=True)
class LBFGSReport(Report):
    """What a step of LBFGS did.

    stopped, iterations, evaluations, step_length, wolfe: as in `optim.closure.Report`.
    pairs_kept: the curvature pairs (s, y) that were taken into the history.
    pairs_refused: those that were not, as their yᵀs is not above `tolerance_curvature`.
    """

    pairs_kept: int
    pairs_refused: int


class LBFGS(ClosureOptimizer):
    """L-BFGS: x ← x + t·d, d = -H·∇f(x), with H an approximation of the inverse Hessian.

    H is the BFGS matrix of the last m pairs of moves s = t·d and changes y of the gradient, begun from (sᵀy/yᵀy)·I, and
    never formed: two loops over the pairs give its product with the gradient, here as two triangular systems. A
    `step(closure)` takes up to `max_iter` iterations and calls the closure about as often. It suits full batches: s and
    y of different mini-batches measure the difference of the batches.

    Where loss or gradient are not finite the step was too long: it is shortened, and at worst a step ends at the best
    point that it has found. All groups are one vector and share the settings.

    Settings:
        lr: t of each move, or the first that a line search tries, ≥ 0; the very first is lr·min(1, 1/‖∇f‖₁), but in a
            line search lr/‖∇f‖₁ where f would else not change beyond rounding. Default 1.
        max_iter: iterations in a step, a whole number from 0. Default 20.
        max_eval: calls of the closure in a step after which it ends, a whole number from 0; a line search may overshoot
            them by one. None is max_iter·5/4, rounded down. Default None.
        tolerance_grad: ≥ 0; a step ends where no |∂f/∂xᵢ| is larger. Default 1e-7.
        tolerance_change: ≥ 0; a step ends where f changed by less, no |t·dᵢ| is larger, or -dᵀ∇f is less. Default 1e-9.
        history_size: m ≥ 1. Default 100.
        line_search_fn: None, or "strong_wolfe", which makes the steps safe. Default None.
        maximize: climb instead of descend. Default False.
        tolerance_curvature: a pair is kept where yᵀs is above it, ≥ 0. Where f itself is as small as that no pair is
            kept, and 0 is better. Default 1e-10.

    State, of the first parameter, with vectors of all parameters:
        func_evals, n_iter: calls of the closure, iterations, over all steps.
        d, t: the last move was t·d; d is 0 where its pair was refused.
        old_dirs, old_stps: the pairs' y and s, lists, the oldest first; in memory for 2·(m + 1) vectors.
        ro: their 1/yᵀs.
        sy: sᵢᵀyⱼ for i ≤ j. Where it is missing, or does not fit `ro`, as in torch's state, it is computed.
        sg: sᵢᵀprev_flat_grad; computed of a loaded state.
        row: where in memory the next pair goes, so that a resumed run has the same bits.
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
    matrices = ("sy", "sg")
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
        pairs_kept = pairs_refused = 0
        stopped = at_rest(objective, settings)
        if stopped == NOT_FINITE:
            self._retreat(objective, state, settings)
            stopped = at_rest(objective, settings)
        while not stopped and iterations < settings["max_iter"]:
            fresh = not (state.get("t") or state.get("old_dirs"))  # it has not moved since it (re)started
            kept = _remember(state, objective.gradient, settings)
            pairs_kept += kept is True
            pairs_refused += kept is False
            line = Line(objective, _direction(objective.gradient, state))
            if not -math.inf < line.start.slope < 0:  # by rounding, or an overflow
                uninterrupted(_forget, state)
                fresh, line = True, Line(objective, steepest(objective.gradient))
            if line.start.slope > -settings["tolerance_change"]:
                stopped = SMALL_CHANGE
                state.update(d=line.d, t=0.0, prev_loss=objective.value, n_iter=state["n_iter"] + 1)
                break
            searches = settings["line_search_fn"] is not None
            first = settings["lr"] * (first_step(line.start, line.d, searches) if fresh else 1.0)
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
        counts = objective.evaluations, t, wolfe, pairs_kept, pairs_refused
        return LBFGSReport(stopped or MAX_ITER, iterations, *counts)

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

    def _check_loaded(self, state: dict[str, Any], flat: Flat) -> None:
        super()._check_loaded(state, flat)
        for key in ("sg", "al"):  # of the point where it was saved, and torch's own
            state.pop(key, None)
        where = "LBFGS.load_state_dict"
        for key, check in (("ro", list_of(number)), ("row", count)):
            if key in state:
                state[key] = check(f"{where}: {key}", state[key])
        lengths = {key: len(state[key]) for key in ("old_stps", "old_dirs", "ro") if key in state}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{where}: expected as many of one as of the other, got {lengths}")
        if "sy" in state:
            m = len(state.get("ro", ()))
            if np.shape(state["sy"]) == (m, m):
                state["sy"] = self._placed(f"{where}: sy", state["sy"], flat, (m, m), np.float64)
            else:  # of fewer pairs than torch has gone on with
                del state["sy"]


class Rows(list[Any]):
    """Vectors, the oldest first, that are rows of a matrix in turn: the next one will stand where the oldest stands.

    Behind the newest is a spare row, so that the next vector can be written before the oldest is given up. Products and
    sums take it along, as what follows the newest: so they read one block of memory, wherever the turn is.

    matrix: whose rows they are.
    m, row: they are the m rows before this one, which is the spare one; before row 0 stands the last. With all rows but
        the spare one taken, row may be their number, for row 0.
    """

    def __init__(self, matrix: Any, m: int = 0, row: int = 0) -> None:
        super().__init__(matrix[i] for i in range(row - m, row))
        whole = m + 1 == len(matrix)  # else they and the spare one are rows without a break
        self.matrix, self.row, self._oldest = matrix, row, (row + 1) % (m + 1) if whole else 0
        self._read = matrix if whole else matrix[row - m : row + 1]

    @classmethod
    def of(cls, like: Any, vectors: Sequence[Any], rows: int, row: int) -> Rows:
        """Copies of vectors in a new matrix of so many rows, of the length, type and place of `like`."""
        copies = cls(backend.empty((rows, like.shape[-1]), like), len(vectors), row)
        for copy, vector in zip(copies, vectors, strict=True):
            copy[...] = vector
        return copies

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows.of, (self.matrix[:1], [*self], len(self.matrix), self.row)

    def with_room(self, size: int) -> Rows:
        """The newest `size` of the vectors, where one more fits: in turn where they are as many, else from row 0 on."""
        m, rows, most = len(self), len(self.matrix), size + 1
        if m + 1 == rows == most or (m <= self.row and self.row + 1 < rows <= most):
            return self
        newest = self[-size:]
        return Rows.of(self.matrix, newest, min(2 * m + 8, most), len(newest))

    @property
    def spare(self) -> Any:
        """The row of the next vector."""
        return self.matrix[self.row % len(self.matrix)]

    def extended(self, size: int) -> Rows:
        """With the spare row as the last vector; of more than `size` the oldest are left out."""
        return Rows(self.matrix, min(len(self) + 1, size), self.row % len(self.matrix) + 1)

    def blocks(self) -> list[slice]:
        """The columns in blocks that stay in the cache, as reading the rows is what takes the time of a product."""
        n = self.matrix.shape[1]
        on_host = backend.device_of(self.matrix) == "cpu"
        width = max(1, CACHED // (self.matrix.itemsize * len(self._read))) if on_host else n
        return [slice(start, start + width) for start in range(0, n, width)]

    def products(self, vector: Any, columns: slice) -> Any:
        """The product of each, and of the spare row, with a vector, over these columns; in float64."""
        return np.roll(self._read[:, columns] @ vector[columns], -self._oldest).astype(np.float64)

    def __matmul__(self, vector: Any) -> Any:
        """The product of each with a vector: sums of blocks, in float64, which are more exact than one sum."""
        return sum(self.products(vector, columns) for columns in self.blocks())[:-1]

    def combination(self, weights: Any, out: Any, columns: slice = ALL) -> None:
        """Their sum, with weights of each and of the spare row, into these columns of a vector."""
        weights = np.roll(weights, self._oldest).astype(out.dtype)
        np.matmul(weights, self._read[:, columns], out=out[columns])


@np.errstate(all="ignore")
def _remember(state: dict[str, Any], gradient: Any, settings: dict[str, Any]) -> bool | None:
    """Take the pair of the last move into the history.

    Returns whether its curvature allowed that, None without a move.

    sᵢᵀy of the older pairs is the difference of sᵢᵀ∇f here and before, which saves a product, unless it would lose too
    much. Of a convex quadratic, |sᵢᵀyⱼ| is at most √(sᵢᵀyᵢ·sⱼᵀyⱼ).
    """
    size = settings["history_size"]
    ss, ys = _history(state, gradient)
    if not state.get("t"):
        uninterrupted(state.update, {"prev_flat_grad": gradient, "sg": ss @ gradient})
        return None
    more_s, more_y = ss.with_room(size), ys.with_room(size)
    s = np.multiply(state["d"], state["t"], out=more_s.spare)
    y = np.subtract(gradient, state["prev_flat_grad"], out=more_y.spare)
    sy = dot(s, y)
    if not settings["tolerance_curvature"] < sy < math.inf:
        # t stays, as it has moved; d is 0, so that a step that is begun again refuses it again
        still = {"prev_flat_grad": gradient, "sg": ss @ gradient, "d": np.zeros_like(gradient)}
        uninterrupted(state.update, still)
        return False
    yy = dot(y, y)
    gamma = sy / yy if SMALL < yy < math.inf else sy / norm(y) / norm(y)  # (7.20)
    ss, ys = more_s.extended(size), more_y.extended(size)
    Sg, m = ss @ gradient, len(ss)
    R = backend.zeros((m, m), state["sy"])
    R[-1, -1] = sy
    if m > 1:
        R[:-1, :-1], before, after = state["sy"][1 - m :, 1 - m :], state["sg"][1 - m :], Sg[:-1]
        lost = np.finfo(y.dtype).eps * (abs(after) + abs(before)) / np.sqrt(R.diagonal()[:-1] * sy)
        R[:-1, -1] = after - before if lost.max() <= LOST else (ss @ y)[:-1]
    pairs = {"old_stps": ss, "old_dirs": ys, "row": ss.row, "sy": R, "ro": [*state["ro"], 1 / sy][-m:]}
    uninterrupted(state.update, pairs | {"prev_flat_grad": gradient, "t": 0.0, "H_diag": gamma, "sg": Sg})
    return True


def _history(state: dict[str, Any], like: Any) -> tuple[Rows, Rows]:
    """The pairs as Rows. Where they are new, or loaded, `sy` and `sg` are made to fit; none of bad curvature remain."""
    ss, ys = state.get("old_stps", []), state.get("old_dirs", [])
    if not (isinstance(ss, Rows) and isinstance(ys, Rows)):
        m, R = len(ss), state.get("sy")
        where = m + 1, state.get("row", m) % (m + 1)
        ss, ys = Rows.of(like, ss, *where), Rows.of(like, ys, *where)
        if R is None or _inverses(R) != state.get("ro"):
            R = backend.zeros((m, m), like, np.float64)
            for j, y in enumerate(ys):
                R[: j + 1, j] = (ss @ y)[: j + 1]
            if not _inverses(R):
                ss, ys, R = Rows.of(like, [], 1, 0), Rows.of(like, [], 1, 0), R[:0, :0]
        state.setdefault("H_diag", 1.0)
        Sg = ss @ state.get("prev_flat_grad", like)
        state.update(old_stps=ss, old_dirs=ys, sy=R, sg=Sg, ro=_inverses(R))
    return ss, ys


def _inverses(R: Any) -> list[float]:
    """1/sᵢᵀyᵢ; none where one of them is no curvature."""
    diagonal = R.diagonal().tolist()
    return [1 / c for c in diagonal] if all(0 < c < math.inf for c in diagonal) else []


def _forget(state: dict[str, Any]) -> None:
    state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0, t=0.0)
    for key in ("sy", "sg", "row"):
        state.pop(key, None)


@np.errstate(all="ignore")
def _direction(gradient: Any, state: dict[str, Any]) -> Any:
    """-H·∇f, by the two loops of Algorithm 7.4, given the products sᵢᵀ∇f.

    The first, αᵢ = ρᵢ·sᵢᵀ(q - Σ_{j>i} αⱼ·yⱼ), is the system R·α = S·q with Rᵢⱼ = sᵢᵀyⱼ for i ≤ j and the sᵢ as rows of
    S. The second, αᵢ - βᵢ = αᵢ - ρᵢ·yᵢᵀ(r + Σ_{j<i} (αⱼ - βⱼ)·sⱼ), is Rᵀ·(α - β) = D·α - Y·r with R's diagonal D.

    Source: Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices and their use in limited memory
    methods" (1994), whose (3.1) this is.
    """
    S, Y, R, gamma = state["old_stps"], state["old_dirs"], state["sy"], state["H_diag"]
    if not S:
        return np.multiply(gradient, -gamma)
    alpha = np.linalg.solve(R, -state["sg"])
    Y.spare[...] = gradient
    r, Yr, weights = S.spare, backend.zeros(len(Y) + 1, R), np.append(-gamma * alpha, -gamma)
    for columns in Y.blocks():
        Y.combination(weights, r, columns)
        Yr += Y.products(r, columns)
    # with rows and columns reversed Rᵀ too is an upper triangle, where elimination is back substitution
    difference = np.linalg.solve(R.T[::-1, ::-1], (R.diagonal() * alpha - Yr[:-1])[::-1])[::-1]
    d = np.empty_like(gradient)
    S.combination(np.append(difference, 1.0), d)
    return d
