"""Schedules: pure functions of the step, to plot, compose and hand to a scheduler."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.checks import FINITE, NONNEGATIVE, Check, Checked, function


def half_cosine(x: float) -> float:
    """From 1 at x = 0 to 0 at x = 1 along half a cosine."""
    return (1 + math.cos(math.pi * x)) / 2


def returned(name: str, value: Any, check: Check = FINITE) -> float:
    """A check of what a user's function has returned: a finite number; True and False are 1 and 0."""
    checked: float = check(name, int(value) if isinstance(value, bool | np.bool_) else value)
    return checked


class Schedule(Checked):
    """A value for each step t = 0, 1, 2, …; it knows no optimizer.

    Subclass it and give it `value`. Schedules are composed: `a.then(b, at=10)`, `a + b`, `a * b`, each also with a
    number. A schedule is a function, `schedule(t)` is `schedule.at(t)`, so `LambdaLR(optimizer, schedule)` works too.

    >>> from optim.lr_scheduler import CosineAnnealing, Linear
    >>> warmup, cosine = Linear(start_factor=0.1, total_iters=4), CosineAnnealing(T_max=4)
    >>> warmup.then(cosine, at=4).at(range(9)).round(3).tolist()
    [0.1, 0.325, 0.55, 0.775, 1.0, 0.854, 0.5, 0.146, 0.0]
    """

    __array_ufunc__ = None  # np.float64(2) * schedule is a schedule

    def value(self, t: float, base: float) -> float:
        """The value at one step."""
        raise NotImplementedError(f"{type(self).__name__} has no value()")

    def at(self, t: Any, base: float = 1.0) -> Any:
        """The value at step t: a float, or for several steps a NumPy array of their shape.

        t: one step or many, ≥ 0; whole or not, where the formula allows.
        base: what is scheduled, as an initial lr; the default 1 gives the factor that it is multiplied by.

        Raises ValueError for a negative or infinite step.
        """
        if np.ndim(t) == 0:
            return float(self.value(NONNEGATIVE("at: t", t), base))
        t = np.asarray(t)
        return np.array([self.at(step, base) for step in t.ravel().tolist()], dtype=np.float64).reshape(t.shape)

    __call__ = at

    def then(self, other: Schedule | float, at: float) -> Schedule:
        """This schedule before step `at`; from there on `other`, which counts its steps from `at`.

        A number as `other`, as in + and *, and an `eta_min`, are values on the scale of `base`: of the setting itself
        in SettingScheduler, whose base is what the group had (an lr of 0.5); factors of it in LambdaLR, whose base is 1
        (half of the lr).

        >>> from optim.lr_scheduler import Constant
        >>> schedule = Constant(1.0, total_iters=0).then(0.5, at=2)
        >>> schedule.at(range(4), base=0.1).tolist(), schedule.at(range(4)).tolist()
        ([0.1, 0.1, 0.5, 0.5], [1.0, 1.0, 0.5, 0.5])
        """
        return Then(self, as_schedule(other), at)

    def __add__(self, other: Schedule | float) -> Schedule:
        return Sum(self, as_schedule(other))

    def __mul__(self, other: Schedule | float) -> Schedule:
        return Product(self, as_schedule(other))

    __radd__, __rmul__ = __add__, __mul__

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={vars(self)[name]!r}" for name in self._ranges if name in vars(self))
        return f"{type(self).__name__}({settings})"


class Factor(Schedule):
    """A schedule that scales: its value is η_min + (base - η_min)·f(t). Subclass it and give it f."""

    eta_min: float = 0.0

    def f(self, t: float) -> float:
        """How much is left of the way from base down to eta_min."""
        raise NotImplementedError(f"{type(self).__name__} has no f()")

    def scaled(self, base: float, factor: float) -> float:
        """η_min + (base - η_min)·factor, written so that factors 1 and 0 give base and η_min exactly."""
        return base * factor + self.eta_min * (1 - factor)

    def value(self, t: float, base: float) -> float:
        return self.scaled(base, self.f(t))


class Fixed(Schedule):
    """The same number at every step: what a number becomes in a composition."""

    _ranges = {"number": FINITE}

    def __init__(self, number: float) -> None:
        self.number = number

    def value(self, t: float, base: float) -> float:
        return self.number


def as_schedule(given: Schedule | float) -> Schedule:
    """A number as the schedule that has it at every step."""
    return given if isinstance(given, Schedule) else Fixed(given)


class Then(Schedule):
    """first(t) for t < start, second(t - start) from there on: `first.then(second, at=start)`."""

    _ranges = {"first": function, "second": function, "start": NONNEGATIVE}

    def __init__(self, first: Schedule, second: Schedule, start: float) -> None:
        self.first, self.second, self.start = first, second, start

    def value(self, t: float, base: float) -> float:
        return self.first.value(t, base) if t < self.start else self.second.value(t - self.start, base)


class Sum(Schedule):
    """a(t) + b(t), both from the same base: `a + b`. A number is added as it is."""

    _ranges = {"a": function, "b": function}

    def __init__(self, a: Schedule, b: Schedule) -> None:
        self.a, self.b = a, b

    def value(self, t: float, base: float) -> float:
        return self.a.value(t, base) + self.b.value(t, base)


class Product(Schedule):
    """a(t)·b(t), where b, from base 1, is the factor that a is multiplied by: `a * b`."""

    _ranges = {"a": function, "b": function}

    def __init__(self, a: Schedule, b: Schedule) -> None:
        self.a, self.b = a, b

    def value(self, t: float, base: float) -> float:
        return self.a.value(t, base) * self.b.value(t, 1.0)
