"""Runs of the optimizers of this package on the Moré–Garbow–Hillstrom problems, and SciPy's answers to them."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import least_squares

import minigrad as mg
from optim.study.problems import PROBLEMS

RESIDUALS = {name: problem for name, problem in PROBLEMS.items() if problem.residuals is not None}
ENOUGH = 400
"""Steps, for the slowest of them."""


def scipys(problem):
    """½‖r‖² where SciPy's least_squares ends, by MINPACK where it can."""
    answer = least_squares(
        problem.residuals,
        problem.start,
        lambda x: mg.jacobian(problem.residuals, mg.tensor(x)).numpy(),
        method="lm" if problem.residuals(problem.start).size >= problem.n else "trf",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        max_nfev=10_000,
    )
    return answer.cost


def ours(cls, closure, start, steps=ENOUGH, **settings):
    """Where an optimizer ends from there: the point, and what each of its steps reported."""
    x = mg.tensor(start, requires_grad=True)
    optimizer = cls([x], **settings)
    reports = []
    for _ in range(steps):
        optimizer.step(lambda: closure(x))
        reports.append(optimizer.report)
        if reports[-1].stopped != "point accepted":
            break
    return np.array(x.numpy()), reports


def check_no_step_leads_up(reports, sign=1.0, eps=2.0**-52):
    """But for rounding."""
    losses = [sign * report.loss for report in reports]
    for before, after in itertools.pairwise(losses):
        assert after <= before + 10 * eps * abs(before)
