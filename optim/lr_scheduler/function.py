"""Schedules from a function: LambdaLR and MultiplicativeLR."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from minigrad.checks import NONNEGATIVE, function
from optim.lr_scheduler.base import LRScheduler, checked_optimizer, for_each_group, shared
from optim.lr_scheduler.schedule import Factor, returned
from optim.optimizer import Optimizer

Function = Callable[[int], float]


class Lambda(Factor):
    """f(t) = lr_lambda(t).

    lr_lambda: a function of the step.

    Raises TypeError for what is no function, and at a step where it returns no number; ValueError where that is not
    finite.

    >>> Lambda(lambda t: 1 / (1 + t)).at([0, 1, 3]).tolist()
    [1.0, 0.5, 0.25]
    """

    _ranges = {"lr_lambda": function}

    def __init__(self, lr_lambda: Callable[[float], float]) -> None:
        self.lr_lambda = lr_lambda

    def f(self, t: float) -> float:
        return returned(f"{type(self).__name__}: lr_lambda({t})", self.lr_lambda(t))


class Multiplicative(Factor):
    """f(t) = λ(1)·λ(2)·…·λ(t).

    lr_lambda: λ, a function of the step.

    Raises TypeError for what is no function, and at a step where it returns no number; ValueError where that is not
    finite.

    >>> Multiplicative(lambda t: t / (t + 1)).at([0, 1, 3]).tolist()
    [1.0, 0.5, 0.25]
    """

    _ranges = {"lr_lambda": function}

    def __init__(self, lr_lambda: Function) -> None:
        self.lr_lambda = lr_lambda

    def f(self, t: float) -> float:
        name = type(self).__name__
        return math.prod(returned(f"{name}: lr_lambda({i})", self.lr_lambda(i)) for i in range(1, int(t) + 1))


class _FunctionLR(LRScheduler):
    """A function for each group, or one for all; functions are not saved, callable objects are, by their attributes."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Function | Sequence[Function], last_epoch: int = -1) -> None:
        name = f"{type(self).__name__}: lr_lambda"
        given = for_each_group(name, checked_optimizer(type(self).__name__, optimizer), lr_lambda)
        self.lr_lambdas: list[Function] = [function(name, one) for one in given]
        super().__init__(optimizer, last_epoch)

    def _admit(self, group: dict[str, Any]) -> None:
        super()._admit(group)
        if len(self.lr_lambdas) < len(self.base_lrs):
            self.lr_lambdas = [*self.lr_lambdas, shared(f"{type(self).__name__}: lr_lambda", self.lr_lambdas)]

    def _factors(self) -> list[float]:
        """What the functions return for this epoch."""
        what = f"{type(self).__name__}: lr_lambda({self.last_epoch})"
        values = [lr_lambda(self.last_epoch) for lr_lambda in self.lr_lambdas]
        return [returned(f"{what} of group {i}", value, NONNEGATIVE) for i, value in enumerate(values)]


class LambdaLR(_FunctionLR):
    """lr = base_lr·lr_lambda(t), as in torch; see Lambda and LRScheduler.

    lr_lambda: a function of the epoch, or a list of one for each group. Schedules are such functions; all numbers in
        them are factors of the lr then: of `CosineAnnealing(T_max=10, eta_min=0.1)` the last is a tenth of it, where
        SettingScheduler and CosineAnnealingLR end at an lr of 0.1.

    lr is set anew at every step: what was edited from outside is dropped. Functions are not saved; a callable object
    is, by its attributes. Unlike torch's, a built-in function does not make `state_dict` fail.

    Raises TypeError for what is no function, ValueError for a list of another length than there are groups. A step
    raises TypeError where a function returns no number, and ValueError where the number is negative or not finite
    (torch sets such an lr); nothing has changed then.
    """

    def get_lr(self) -> list[float]:
        return [base * factor for base, factor in zip(self.base_lrs, self._factors(), strict=True)]


class MultiplicativeLR(_FunctionLR):
    """lr ← lr·lr_lambda(t) at every step but the first, as in torch: lr = base_lr·∏ lr_lambda(i), i = 1 … t.

    lr_lambda: a function of the epoch, or a list of one for each group.

    As in torch it knows no other way than to multiply the lr that it finds: with last_epoch the groups' lrs are taken
    for those of the next epoch; `step(epoch)`, and SequentialLR at a milestone, multiply too. Saving is as in LambdaLR.
    See Multiplicative and LRScheduler.

    Raises as LambdaLR does.
    """

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        lrs = [self._get(group, "lr") for group in self.optimizer.param_groups]
        if self._is_initial:
            return lrs
        return [lr * factor for lr, factor in zip(lrs, self._factors(), strict=True)]
