"""How often the function is evaluated until a minimum is found: LBFGS and ConjugateGradient beside SciPy's.

    python benchmarks/evaluations.py [--problems Beale "Helical valley" ...]

The problems of Moré, Garbow and Hillstrom from their standard starts. Counted are evaluations of value and gradient
until f - f* ≤ 1e-8·(f0 - f*), where f* is the least value, or that of the local minimum that the run ends at. Prints a
table in Markdown. Tolerances are off on both sides, otherwise all settings are the defaults, with LBFGS's
`line_search_fn="strong_wolfe"` and `tolerance_curvature=0`.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

import minigrad as mg
import optim
from optim.study.problems import PROBLEMS, Problem

Function = Callable[[Any], tuple[float, Any]]
LIMIT = 4000
"""Evaluations after which a run is given up."""
MGH = [p for p in PROBLEMS.values() if p.reference.startswith("MGH") and p.minimum is not None]
ENDLESS = {"max_iter": 10**6, "max_eval": 10**6, "tolerance_grad": 0, "tolerance_change": 0}


class Result(NamedTuple):
    """How many evaluations a run took, None where it did not arrive, and the value that it ended at."""

    evaluations: int | None
    minimum: float


class _Arrived(Exception):  # noqa: N818 (it is no error)
    """Ends a run."""


def scipys(method: str, **options: Any) -> Callable[[Function, Any], None]:
    """A run of SciPy's method."""
    return lambda f, x0: scipy.optimize.minimize(f, x0, jac=True, method=method, options=options)


def ours(make: Callable[..., optim.Optimizer]) -> Callable[[Function, Any], None]:
    """A run of ours, until a step does not move any more."""

    def run(f: Function, x0: Any) -> None:
        p = mg.tensor(x0, requires_grad=True)
        optimizer: Any = make([p])

        def closure() -> float:
            value, p.grad = f(p.numpy().copy())
            return value

        before = None
        while before is None or (p.numpy() != before).any():
            before = p.numpy().copy()
            optimizer.step(closure)

    return run


RUNS = {
    "SciPy L-BFGS-B": scipys("L-BFGS-B", ftol=0, gtol=0, maxfun=10**6, maxiter=10**6),
    "LBFGS": ours(lambda p: optim.LBFGS(p, line_search_fn="strong_wolfe", tolerance_curvature=0, **ENDLESS)),
    "SciPy CG": scipys("CG", gtol=0, maxiter=10**6),
    "ConjugateGradient": ours(lambda p: optim.ConjugateGradient(p, **ENDLESS)),
}
PAIRS = [("SciPy L-BFGS-B", "LBFGS"), ("SciPy CG", "ConjugateGradient")]


def measured(problem: Problem, run: Callable[[Function, Any], None], limit: int = LIMIT) -> Result:
    """The evaluations that a run takes on a problem."""
    values: list[float] = []

    def arrived(value: float, minimum: float) -> bool:
        return value - minimum <= 1e-8 * (values[0] - minimum)

    def f(x: Any) -> tuple[float, Any]:
        point = mg.tensor(x, requires_grad=True)
        with np.errstate(all="ignore"):
            loss = problem(point)
            loss.backward()
        values.append(loss.item())
        if len(values) >= limit or arrived(values[-1], problem.minimum):
            raise _Arrived
        return values[-1], point.grad.numpy()

    with contextlib.suppress(_Arrived):
        run(f, problem.start)
    best = min(value for value in values if np.isfinite(value))
    for minimum in (problem.minimum, *problem.local_minima):
        if arrived(best, minimum) and best > minimum - 1e-6 * (1 + abs(minimum)):
            return Result(1 + next(i for i, value in enumerate(values) if arrived(value, minimum)), minimum)
    return Result(None, best)


def compared(problems: list[Problem]) -> dict[str, dict[str, Result]]:
    """Problem -> contestant -> result."""
    return {p.name: {name: measured(p, run) for name, run in RUNS.items()} for p in problems}


def totals(results: dict[str, dict[str, Result]]) -> list[tuple[int, int, int, float]]:
    """For each pair: on how many problems both arrive, SciPy's evaluations there, ours, and our worst ratio."""
    answer = []
    for theirs, mine in PAIRS:
        both = [(r[theirs].evaluations, r[mine].evaluations) for r in results.values()]
        counted = [(a, b) for a, b in both if a is not None and b is not None]
        sums = [sum(column) for column in zip(*counted, strict=True)]
        answer.append((len(counted), sums[0], sums[1], max(b / a for a, b in counted)))
    return answer


def markdown(results: dict[str, dict[str, Result]]) -> str:
    """The table, with the totals below."""
    sizes = {p.name: p.n for p in MGH}
    lines = ["| problem | n | " + " | ".join(RUNS) + " |", "|---|---:|" + "---:|" * len(RUNS)]
    for name, row in results.items():
        cells = ["–" if r.evaluations is None else str(r.evaluations) for r in row.values()]
        lines.append(f"| {name} | {sizes[name]} | " + " | ".join(cells) + " |")
    for (theirs, mine), (count, before, after, worst) in zip(PAIRS, totals(results), strict=True):
        lines.append(f"\n{mine} {after}, {theirs} {before} on the {count} that both solve; at worst {worst:.2f} times.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", nargs="+", choices=[p.name for p in MGH], metavar="NAME", help="only these")
    names = parser.parse_args().problems
    print(markdown(compared([p for p in MGH if names is None or p.name in names])))


if __name__ == "__main__":
    main()
