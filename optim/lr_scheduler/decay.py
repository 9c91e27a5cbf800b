"""Schedules that scale the lr: by steps, on a line, exponentially, by a polynomial, along a cosine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from minigrad.checks import FINITE, NONNEGATIVE, POSITIVE, UNIT, count, from_one
from optim.lr_scheduler.base import Chainable, LRScheduler
from optim.lr_scheduler.schedule import Factor, half_cosine
from optim.optimizer import Optimizer


class Step(Factor):
    """f(t) = γ^⌊t/s⌋: a factor every s steps.

    step_size: s, a whole number from 1.
    gamma: γ ≥ 0. Default 0.1.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    >>> Step(step_size=30).at([0, 29, 30, 60]).round(3).tolist()
    [1.0, 1.0, 0.1, 0.01]
    """

    _ranges = {"step_size": from_one, "gamma": NONNEGATIVE}

    def __init__(self, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = step_size, gamma

    def f(self, t: float) -> float:
        return float(self.gamma ** (t // self.step_size))


class StepLR(Step, Chainable):
    """lr = base_lr·γ^⌊t/s⌋, as in torch; see Step and LRScheduler.

    Unlike torch's, one that is made with last_epoch does not apply γ a second time where the next epoch is a multiple
    of s.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        Step.__init__(self, step_size, gamma)
        LRScheduler.__init__(self, optimizer, last_epoch)


def milestones(name: str, value: Any) -> Counter[int]:
    """A check of steps: whole numbers from 0, counted, as torch keeps them."""
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of steps, got {value!r}")
    steps = value if isinstance(value, Mapping) else Counter(count(name, step) for step in value)
    return Counter({count(name, step): from_one(f"{name}: how often {step}", n) for step, n in steps.items()})


class MultiStep(Factor):
    """f(t) = γ^n, where n of the milestones are ≤ t.

    milestones: whole numbers from 0; one that stands twice counts twice.
    gamma: γ ≥ 0. Default 0.1.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    >>> MultiStep(milestones=[30, 80]).at([0, 30, 79, 80]).round(3).tolist()
    [1.0, 0.1, 0.1, 0.01]
    """

    _ranges = {"milestones": milestones, "gamma": NONNEGATIVE}

    def __init__(self, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.milestones: Counter[int] = milestones  # type: ignore[assignment]  # as the check makes it
        self.gamma = gamma

    def f(self, t: float) -> float:
        return float(self.gamma ** sum(n for milestone, n in self.milestones.items() if milestone <= t))


class MultiStepLR(MultiStep, Chainable):
    """lr = base_lr·γ^n, where n of the milestones are ≤ t, as in torch; see MultiStep and LRScheduler.

    Unlike torch's, one that is made with last_epoch does not apply γ a second time where the next epoch is a milestone.
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        MultiStep.__init__(self, milestones, gamma)
        LRScheduler.__init__(self, optimizer, last_epoch)


class Constant(Factor):
    """f(t) = factor for t < total_iters, then 1.

    factor: in [0, 1]. Default 1/3.
    total_iters: a whole number from 0. Default 5.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    >>> Constant(factor=0.5, total_iters=2).at([0, 1, 2]).tolist()
    [0.5, 0.5, 1.0]
    """

    _ranges = {"factor": UNIT, "total_iters": count}

    def __init__(self, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor, self.total_iters = factor, total_iters

    def f(self, t: float) -> float:
        return self.factor if t < self.total_iters else 1.0


class ConstantLR(Constant, Chainable):
    """lr = base_lr·factor for t < total_iters, then base_lr, as in torch; see Constant and LRScheduler.

    Unlike torch's: total_iters=0 does not scale at all (torch never stops), factor=0 ends at base_lr (torch divides by
    zero), last_epoch does not scale again where the next epoch is 0 or total_iters.
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        Constant.__init__(self, factor, total_iters)
        LRScheduler.__init__(self, optimizer, last_epoch)


class Linear(Factor):
    """f(t) = a + (b - a)·min(t, n)/n: from a to b in n steps, a line.

    start_factor: a, in [0, 1]. Default 1/3.
    end_factor: b, in [0, 1]. Default 1.
    total_iters: n, a whole number from 0; 0 is b at once. Default 5.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    >>> Linear(start_factor=0.5, total_iters=4).at(range(6)).tolist()
    [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]
    """

    _ranges = {"start_factor": UNIT, "end_factor": UNIT, "total_iters": count}

    def __init__(self, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters

    def f(self, t: float) -> float:
        if t >= self.total_iters:
            return self.end_factor
        return self.start_factor + (self.end_factor - self.start_factor) * t / self.total_iters


class LinearLR(Linear, Chainable):
    """lr = base_lr·(a + (b - a)·min(t, n)/n), as in torch; see Linear and LRScheduler.

    Unlike torch's: total_iters=0 gives end_factor (torch stays at start_factor), and start_factor may be 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        Linear.__init__(self, start_factor, end_factor, total_iters)
        LRScheduler.__init__(self, optimizer, last_epoch)


class Exponential(Factor):
    """f(t) = γᵗ.

    gamma: γ ≥ 0.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    >>> Exponential(gamma=0.5).at(range(4)).tolist()
    [1.0, 0.5, 0.25, 0.125]
    """

    _ranges = {"gamma": NONNEGATIVE}

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def f(self, t: float) -> float:
        return float(self.gamma**t)


class ExponentialLR(Exponential, Chainable):
    """lr = base_lr·γᵗ, as in torch; see Exponential and LRScheduler."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        Exponential.__init__(self, gamma)
        LRScheduler.__init__(self, optimizer, last_epoch)


class Polynomial(Factor):
    """f(t) = (1 - min(t, n)/n)^p: from 1 to 0 in n steps.

    total_iters: n, a whole number from 0; 0 is the end at once. Default 5.
    power: p ≥ 0. Default 1.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    >>> Polynomial(total_iters=4, power=2).at(range(6)).tolist()
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    _ranges = {"total_iters": count, "power": NONNEGATIVE}

    def __init__(self, total_iters: int = 5, power: float = 1.0) -> None:
        self.total_iters, self.power = total_iters, power

    def f(self, t: float) -> float:
        left = 1 - t / self.total_iters if t < self.total_iters else 0.0
        return float(left**self.power)


class PolynomialLR(Polynomial, Chainable):
    """lr = base_lr·(1 - min(t, n)/n)^p, as in torch; see Polynomial and LRScheduler.

    Unlike torch's: total_iters=0 gives 0 (torch does nothing).
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        Polynomial.__init__(self, total_iters, power)
        LRScheduler.__init__(self, optimizer, last_epoch)


class CosineAnnealing(Factor):
    """f(t) = (1 + cos(πt/T))/2 of the way from base to η_min.

    After T it rises again, with the period 2T: it is not held at η_min. WarmupCosine is.

    T_max: T > 0, steps from base to η_min.
    eta_min: η_min, any number. Default 0.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5, without
    restarts.

    >>> CosineAnnealing(T_max=4).at(range(6)).round(3).tolist()
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.146]
    """

    _ranges = {"T_max": POSITIVE, "eta_min": FINITE}

    def __init__(self, T_max: float, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = T_max, eta_min

    def f(self, t: float) -> float:
        return half_cosine(t / self.T_max)


class CosineAnnealingLR(CosineAnnealing, Chainable):
    """lr = η_min + (base_lr - η_min)·(1 + cos(πt/T))/2, as in torch; see CosineAnnealing and LRScheduler."""

    def __init__(self, optimizer: Optimizer, T_max: float, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        CosineAnnealing.__init__(self, T_max, eta_min)
        LRScheduler.__init__(self, optimizer, last_epoch)
