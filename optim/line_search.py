"""Line searches: how far to go from x along d, with φ(t) = f(x + t·d).

Equations and algorithms are numbered as in Nocedal and Wright, "Numerical Optimization" (2nd edition, 2006).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad.vectors import binade, dot, largest
from optim.closure import Objective

EXPONENTS = 340
"""Gradients are divided by powers of 2 to a multiple of this, so that their squares are below 2³⁵⁰."""


class Trial(NamedTuple):
    """A point of the line: its t, x + t·d, φ(t), the gradient there, and φ'(t)."""

    t: float
    x: Any
    value: float
    gradient: Any
    slope: float

    @property
    def finite(self) -> bool:
        """Whether φ and φ' are; a gradient with a NaN or an infinity makes φ' NaN or infinite."""
        return math.isfinite(self.value) and math.isfinite(self.slope)


Phi = Callable[[float], Trial]


class Line:
    """φ of an objective, from its accepted point along d.

    start: the trial at t = 0.
    """

    def __init__(self, objective: Objective, d: Any) -> None:
        self.objective, self.d = objective, d
        slope = dot(objective.gradient, d)
        self.start = Trial(0.0, objective.x, objective.value, objective.gradient, slope)

    def __call__(self, t: float) -> Trial:
        x = moved(self.start.x, t, self.d)
        value, gradient = self.objective(x)
        return Trial(t, x, value, gradient, dot(gradient, self.d))


@np.errstate(all="ignore")
def moved(x: Any, t: float, d: Any) -> Any:
    """x + t·d."""
    step = np.multiply(d, t)
    return np.add(x, step, out=step)


def unit(gradient: Any) -> float:
    """A power of two by which to divide, so that squares stay in the range of a number: 1 but for extreme gradients."""
    size = largest(gradient)
    return math.ldexp(1.0, EXPONENTS * round(math.frexp(size)[1] / EXPONENTS)) if 0 < size < math.inf else 1.0


def steepest(gradient: Any) -> Any:
    """The direction -∇f, divided by its unit."""
    return np.negative(gradient) / unit(gradient)


@np.errstate(all="ignore")
def first_step(start: Trial, d: Any, rounding: bool = True) -> float:
    """The t of a first move along the steepest descent d: min(1, 1/‖d‖₁), as torch and minFunc have it.

    rounding: whether it is 1/‖d‖₁ where f would else not change beyond rounding, as ∇f is small like f itself.
    """
    t = 1 / float(np.abs(d).sum(dtype=np.float64))
    hidden = rounding and -start.slope <= float(np.finfo(d.dtype).eps) * abs(start.value)
    return t if hidden else min(1.0, t)


def halved(phi: Phi, start: Trial, t: float, evaluations: int) -> Trial:
    """The trial at t, halved until φ is finite; the start where so many evaluations don't suffice."""
    for _ in range(evaluations):
        trial = phi(t)
        if trial.finite:
            return trial
        t /= 2
    return start


class StrongWolfe:
    """Search for a t with a sufficient decrease and a slope that is flat enough: the strong Wolfe conditions.

    φ(t) ≤ φ(0) + c₁·t·φ'(0)   (3.7a)        |φ'(t)| ≤ c₂·|φ'(0)|   (3.7b)

    Algorithms 3.5 and 3.6, with the changes of minFunc, which torch has too: extrapolation by a cubic to between 1.01
    and 10 times the step, of two ends of an interval the lower one is `low` whether (3.7a) holds there or not, and
    trials that would come close to an end twice in a row are moved away from it. A value or slope that is not finite
    is too long a step: φ counts as higher there than anywhere, and the interval is halved.

    phi: φ, called with t > 0.
    start: the trial at t = 0, of a negative slope.
    c1, c2: 0 < c1 < c2 < 1. Default 1e-4 and 0.9.
    evaluations: how many more than the first one are allowed. Default 25.
    width: an interval shorter than this is not divided again. Default 0.
    """

    def __init__(
        self, phi: Phi, start: Trial, c1: float = 1e-4, c2: float = 0.9, evaluations: int = 25, width: float = 0.0
    ) -> None:
        self.phi, self.start, self.c1, self.c2, self.left, self.width = phi, start, c1, c2, evaluations, width

    def decreases(self, trial: Trial) -> bool:
        """Whether it is finite and satisfies (3.7a)."""
        return trial.finite and trial.value <= self.start.value + self.c1 * trial.t * self.start.slope

    def satisfied(self, trial: Trial) -> bool:
        """Whether it satisfies the strong Wolfe conditions."""
        return trial.t > 0 and self.decreases(trial) and abs(trial.slope) <= -self.c2 * self.start.slope

    @property
    def exhausted(self) -> bool:
        """Whether it ended because it had no evaluations left."""
        return self.left <= 0

    def search(self, t: float) -> Trial:
        """Algorithm 3.5, from a first t: the trial that it ends at; `satisfied` says of what quality it is.

        Without a lower point that is the start.
        """
        before, trial = self.start, self.phi(t)
        extrapolated = 0
        while self.left > 0:
            # torch compares with the point before from the third trial on, Algorithm 3.5 from the second
            if not self.decreases(trial) or (extrapolated > 1 and trial.value >= before.value):
                return self.zoom(before, trial)
            if self.satisfied(trial):
                return trial
            if trial.slope >= 0:
                return self.zoom(before, trial)
            low, high = trial.t + 0.01 * (trial.t - before.t), 10 * trial.t
            t = min(max(minimizer(before, trial, otherwise=(low + high) / 2), low), high)
            before, trial = trial, self._next(t)
            extrapolated += 1
        return lower(self.start, trial)

    def exact(self, t: float) -> Trial:
        """The minimum of a quadratic φ: its slope is a line, known from those at 0 and at t.

        t is halved until φ is finite there. Of any other φ it is the lowest of the trials.
        """
        trial = halved(self.phi, self.start, t, max(1, self.left))
        low = lower(self.start, trial)
        if not trial.slope > self.start.slope:
            return low
        return lower(low, self.phi(trial.t * self.start.slope / (self.start.slope - trial.slope)))

    def zoom(self, a: Trial, b: Trial) -> Trial:
        """Algorithm 3.6: divide the interval between two trials."""
        low, high = (a, b) if lower(a, b) is a else (b, a)
        close = False
        while self.left > 0 and abs(high.t - low.t) >= self.width:
            left, right = sorted((low.t, high.t))
            t = min(max(minimizer(low, high, otherwise=(left + right) / 2), left), right)
            t, close = _inside(t, left, right, close)
            trial = self._next(t)
            if not self.decreases(trial) or trial.value >= low.value:
                low, high = (low, trial) if lower(low, trial) is low else (trial, low)
            elif self.satisfied(trial):
                return trial
            else:
                if trial.slope * (high.t - low.t) >= 0:
                    high = low
                low = trial
        return low

    def _next(self, t: float) -> Trial:
        self.left -= 1
        return self.phi(t)


def lower(a: Trial, b: Trial) -> Trial:
    """The one with the lower value; a where they are equal, and where b is not finite."""
    return b if b.finite and not a.value <= b.value else a


def minimizer(a: Trial, b: Trial, otherwise: float) -> float:
    """Where the cubic with the values and slopes of two trials is least (3.59); `otherwise` where it is nowhere."""
    if not (a.finite and b.finite) or a.t == b.t:
        return otherwise
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    unit = binade(max(abs(d1), abs(a.slope), abs(b.slope)))  # so that no square overflows or vanishes
    square = (d1 / unit) ** 2 - (a.slope / unit) * (b.slope / unit)
    if not square >= 0:
        return otherwise
    d2 = math.copysign(unit * math.sqrt(square), b.t - a.t)
    denominator = b.slope - a.slope + 2 * d2
    return b.t - (b.t - a.t) * ((b.slope + d2 - d1) / denominator) if denominator else otherwise


def _inside(t: float, left: float, right: float, close: bool) -> tuple[float, bool]:
    """t, moved off an end of the interval that trials came close to twice; and whether this one came close."""
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if not (close or t >= right or t <= left):
        return t, True
    return (right - margin if right - t < t - left else left + margin), False
