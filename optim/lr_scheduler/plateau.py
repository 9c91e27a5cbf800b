"""ReduceLROnPlateau: the scheduler that looks at how training goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.checks import FRACTION, NONNEGATIVE, count, list_of, number, one_of, optional
from optim.lr_scheduler.base import LRScheduler, checked_optimizer, for_each_group
from optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """lr ← max(lr·factor, min_lr) once a metric has not improved for more than `patience` epochs, as in torch.

    A metric m improves on the best so far, b, where m < b·(1 - threshold) (mode "min", threshold_mode "rel"),
    m > b·(1 + threshold) ("max", "rel"), m < b - threshold ("min", "abs") or m > b + threshold ("max", "abs").

    mode: "min" where the metric is to fall, "max" where it is to rise. Default "min".
    factor: in [0, 1). Default 0.1.
    patience: epochs without improvement that are let pass, a whole number from 0. Default 10.
    threshold: ≥ 0. Default 1e-4.
    threshold_mode: "rel" or "abs". Default "rel".
    cooldown: epochs after a reduction in which none counts as bad, a whole number from 0. Default 0.
    min_lr: ≥ 0, a number or a list of one for each group. Default 0.
    eps: a reduction by no more than this is left out, ≥ 0. Default 1e-8.

    best, num_bad_epochs, cooldown_counter: the best metric so far, epochs without improvement since, epochs of cooldown
    left. A NaN is no improvement. A group that is added later is reduced with the others.

    Unlike torch's: with threshold_mode "rel" a negative b is multiplied by 1 + threshold in mode "min", by
    1 - threshold in mode "max", so that better means better (torch takes any metric a little worse than a negative b,
    and b itself, for an improvement). With factor=0 lr becomes min_lr.

    Raises ValueError for settings out of range and a list of another length than there are groups.
    """

    _ranges = {
        "mode": one_of("min", "max"),
        "factor": FRACTION,
        "patience": count,
        "threshold": NONNEGATIVE,
        "threshold_mode": one_of("rel", "abs"),
        "cooldown": count,
        "min_lrs": list_of(NONNEGATIVE),
        "eps": NONNEGATIVE,
        "best": number,
        "num_bad_epochs": count,
        "cooldown_counter": count,
        "default_min_lr": optional(NONNEGATIVE),
        "mode_worse": number,
    }

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.optimizer = checked_optimizer(type(self).__name__, optimizer)
        self.mode, self.factor, self.patience, self.cooldown, self.eps = mode, factor, patience, cooldown, eps
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.min_lrs = for_each_group("ReduceLROnPlateau: min_lr", optimizer, min_lr)
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.best, self.num_bad_epochs, self.cooldown_counter = self.mode_worse, 0, 0
        self.last_epoch = 0
        self._last_lr = self._lrs()

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Look at this epoch's metric, and reduce the groups' lrs where it is time.

        metrics: a number, or an array or a Tensor with one element.
        epoch: what last_epoch becomes. Default None: one more.

        Raises TypeError for what is no number, ValueError where a group was added and min_lr was given as a list.
        """
        metric = metrics.reshape(()) if getattr(metrics, "size", 0) == 1 else metrics
        current = number("ReduceLROnPlateau.step: metrics", metric)
        with self._all_or_nothing():
            self.last_epoch = self.last_epoch + 1 if epoch is None else count("ReduceLROnPlateau.step: epoch", epoch)
            if self._is_better(current):
                self.best, self.num_bad_epochs = current, 0
            else:
                self.num_bad_epochs += 1
            if self.in_cooldown:
                self.cooldown_counter -= 1
                self.num_bad_epochs = 0
            if self.num_bad_epochs > self.patience:
                self._reduce()
                self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            self._last_lr = self._lrs()

    @property
    def in_cooldown(self) -> bool:
        """Whether it still waits after the last reduction."""
        return self.cooldown_counter > 0

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if math.isinf(self.best):  # none so far
            bar = self.best
        elif self.threshold_mode == "abs":
            bar = self.best - sign * self.threshold
        else:
            bar = self.best * (1 - sign * math.copysign(self.threshold, self.best))
        return sign * current < sign * bar

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(self.min_lrs) < len(groups) and self.default_min_lr is not None:
            self.min_lrs = [self.default_min_lr] * len(groups)
        if len(self.min_lrs) != len(groups):
            raise ValueError(
                f"ReduceLROnPlateau: min_lr was given for each group, and a parameter group was added: append its "
                f"value to min_lrs, which has {len(self.min_lrs)} for {len(groups)} groups"
            )
        for group, low in zip(groups, self.min_lrs, strict=True):
            lr = self._get(group, "lr")
            lower = max(lr * self.factor, low)
            if lr - lower > self.eps:
                group["lr"] = lower

    def _lrs(self) -> list[float]:
        return [self._get(group, "lr") for group in self.optimizer.param_groups]
