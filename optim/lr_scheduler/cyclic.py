"""Schedules in cycles: warm restarts, triangles, one cycle; the last two with a momentum that runs the other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minigrad.checks import FINITE, NONNEGATIVE, POSITIVE, UNIT, flag, from_one, function, list_of, one_of, optional
from optim.lr_scheduler.base import LRScheduler, all_or_nothing, checked_optimizer, for_each_group, shared
from optim.lr_scheduler.schedule import Factor, Schedule, half_cosine, returned
from optim.optimizer import Optimizer

# --- warm restarts


class WarmRestarts(Factor):
    """f(t) = (1 + cos(π·T_cur/T_i))/2 of the way from base to η_min, where T_cur starts again at 0 after T_i steps.

    The first period is T_i = T_0, each next one T_mult times as long. t need not be whole.

    T_0: a whole number from 1.
    T_mult: a whole number from 1. Default 1.
    eta_min: η_min, any number. Default 0.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5.

    >>> WarmRestarts(T_0=2, T_mult=2).at(range(7)).round(3).tolist()
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    _ranges = {"T_0": from_one, "T_mult": from_one, "eta_min": FINITE}

    def __init__(self, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min

    def period(self, t: float) -> tuple[float, int]:
        """(T_cur, T_i): how far step t is into its period, and how long that is."""
        if self.T_mult == 1:
            return t % self.T_0, self.T_0
        T_i = self.T_0
        while t >= T_i:
            t, T_i = t - T_i, T_i * self.T_mult
        return t, T_i

    def f(self, t: float) -> float:
        T_cur, T_i = self.period(t)
        return half_cosine(T_cur / T_i)


class CosineAnnealingWarmRestarts(WarmRestarts, LRScheduler):
    """lr = η_min + (base_lr - η_min)·(1 + cos(π·T_cur/T_i))/2, as in torch; see WarmRestarts and LRScheduler.

    T_cur and T_i are attributes. lr is set anew at every step: what was edited from outside is dropped.

    Unlike torch's: every restart is met by `step(epoch)` (torch takes a rounded logarithm, and misses 121·T_0 with
    T_mult=3), and one that is made with last_epoch is in the right period.
    """

    _ranges = WarmRestarts._ranges | {"T_cur": NONNEGATIVE, "T_i": from_one}

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        WarmRestarts.__init__(self, T_0, T_mult, eta_min)
        self.T_cur: float = 0
        self.T_i = self.T_0
        LRScheduler.__init__(self, optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Go on by one epoch, or to `epoch`, which need not be whole: `step(epoch + batch / batches)`."""
        super().step(epoch)

    def get_lr(self) -> list[float]:
        left = half_cosine(self.T_cur / self.T_i)
        return [self.scaled(base, left) for base in self.base_lrs]

    def _update_lr(self, epoch: float | None = None) -> None:
        if epoch is None:
            epoch = self.last_epoch + 1 + self.T_cur % 1  # periods are whole: T_cur has the fraction of the epoch
        self.T_cur, self.T_i = self.period(epoch)
        super()._update_lr(math.floor(epoch))


# --- momentum against the lr


class _MomentumCycler(LRScheduler):
    """A scheduler that also moves momentum, or β1, of the groups."""

    cycle_momentum: bool
    use_beta1: bool

    def _for_each_group(self, name: str, optimizer: Optimizer, given: Any) -> list[float]:
        where = f"{type(self).__name__}: {name}"
        check = UNIT if name.endswith("momentum") else NONNEGATIVE
        checked_optimizer(type(self).__name__, optimizer)
        return [check(where, value) for value in for_each_group(where, optimizer, given)]

    def momentums(self) -> Sequence[float]:
        """The groups' momentums at `self.last_epoch`."""
        raise NotImplementedError

    def _find_momentum(self, optimizer: Optimizer) -> None:
        if not any(name in optimizer.defaults for name in ("momentum", "betas")):
            raise ValueError(
                f"{type(self).__name__}: cycle_momentum=True needs a momentum or betas, which "
                f"{type(optimizer).__name__} has not"
            )
        self.use_beta1 = "betas" in optimizer.defaults

    def _write(self, values: Sequence[float]) -> None:
        momentums = self.momentums() if self.cycle_momentum else []
        super()._write(values)
        for group, momentum in zip(self.optimizer.param_groups, momentums, strict=False):
            self._set_momentum(group, momentum)

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


# --- triangles


class _Triangles(Factor):
    """f(t) = scale·height: height rises from 0 to 1 and falls back in every cycle, each on a line."""

    _ranges = {
        "total_size": POSITIVE,
        "step_ratio": UNIT,
        "gamma": NONNEGATIVE,
        "_scale_fn_custom": optional(function),
        "scale_mode": one_of("cycle", "iterations"),
    }

    def __init__(
        self,
        step_size_up: float,
        step_size_down: float | None,
        mode: str,
        gamma: float,
        scale_fn: Callable[[float], float] | None,
        scale_mode: str,
    ) -> None:
        where = type(self).__name__
        up = float(POSITIVE(f"{where}: step_size_up", step_size_up))
        down = up if step_size_down is None else float(NONNEGATIVE(f"{where}: step_size_down", step_size_down))
        self.total_size, self.step_ratio = up + down, up / (up + down)
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            one_of("triangular", "triangular2", "exp_range")(f"{where}: mode", mode)
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"

    def scale_fn(self, x: float) -> float:
        """The scale of cycle x = 1, 2, …, or, where scale_mode is "iterations", of step x."""
        if self._scale_fn_custom is not None:
            return returned(f"{type(self).__name__}: scale_fn({x})", self._scale_fn_custom(x))
        match self.mode:
            case "triangular":
                return 1.0
            case "triangular2":
                return float(0.5 ** (x - 1))
        return float(self.gamma**x)

    def f(self, t: float) -> float:
        x = t % self.total_size / self.total_size
        height = x / self.step_ratio if x <= self.step_ratio else (1 - x) / (1 - self.step_ratio)
        return height * self.scale_fn(1 + int(t // self.total_size) if self.scale_mode == "cycle" else t)


class Cyclic(_Triangles):
    """low + (high - low)·scale·height, where height rises from 0 to 1 and falls back in every cycle, each on a line.

    base_lr, max_lr: low and high.
    step_size_up: steps up, > 0. Default 2000.
    step_size_down: steps down, ≥ 0. Default None: as many as up.
    mode: the scale: "triangular", 1; "triangular2", 1/2ᶜ in cycle c = 0, 1, …; "exp_range", γᵗ. Default "triangular".
    gamma: γ ≥ 0. Default 1.
    scale_fn: a function that gives the scale instead of the mode. Default None.
    scale_mode: what scale_fn is called with: "cycle", 1, 2, …, or "iterations", the step t. Default "cycle".

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), sections 3.1 and 3.2.

    >>> Cyclic(base_lr=0.0, max_lr=1.0, step_size_up=2, mode="triangular2").at(range(8)).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]
    """

    _ranges = {"base_lr": FINITE, "max_lr": FINITE} | _Triangles._ranges

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        step_size_up: float = 2000,
        step_size_down: float | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
    ) -> None:
        self.base_lr, self.max_lr = base_lr, max_lr
        super().__init__(step_size_up, step_size_down, mode, gamma, scale_fn, scale_mode)

    def value(self, t: float, base: float) -> float:
        return self.base_lr + (self.max_lr - self.base_lr) * self.f(t)


class CyclicLR(_Triangles, _MomentumCycler):
    """lr = base_lr + (max_lr - base_lr)·scale·height, as in torch; see Cyclic and LRScheduler.

    base_lr, max_lr: numbers, or lists of one for each group; base_lr becomes the groups' initial lr, where none is set.
    cycle_momentum: also move momentum, or β1, the other way, from max_momentum down to base_momentum and back. Default
        True; an SGD without momentum so gets one.
    base_momentum, max_momentum: numbers, or lists of one for each group. Default 0.8 and 0.9.

    lr is set anew at every step: what was edited from outside is dropped. With scale_mode="iterations" steps count from
    the beginning, as in the paper and in torch, whose text says from the beginning of the cycle.

    Unlike torch's, one that is made after another scheduler begins at base_lr (torch's at the groups' initial lr).

    Raises ValueError for settings out of range, lists of another length than there are groups, and for an optimizer
    without momentum and betas where momentum is to be moved.
    """

    _ranges = _Triangles._ranges | {
        "max_lrs": list_of(NONNEGATIVE),
        "cycle_momentum": flag,
        "use_beta1": flag,
        "base_momentums": list_of(UNIT),
        "max_momentums": list_of(UNIT),
    }

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: float = 2000,
        step_size_down: float | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        base_lrs = self._for_each_group("base_lr", optimizer, base_lr)
        self.max_lrs = self._for_each_group("max_lr", optimizer, max_lr)
        super().__init__(step_size_up, step_size_down, mode, gamma, scale_fn, scale_mode)
        self.cycle_momentum = cycle_momentum
        if self.cycle_momentum:
            self._find_momentum(optimizer)
            self.base_momentums = self._for_each_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = self._for_each_group("max_momentum", optimizer, max_momentum)
        with all_or_nothing(*optimizer.param_groups):
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group.setdefault("initial_lr", lr)  # another scheduler's stays
            LRScheduler.__init__(self, optimizer, last_epoch)
            self.base_lrs = base_lrs
            self._write(self.get_lr())

    def _admit(self, group: dict[str, Any]) -> None:
        i = len(self.base_lrs)
        added = i == len(self.max_lrs)
        if added:
            low = shared("CyclicLR: base_lr", self.base_lrs)
            group.setdefault("initial_lr", low)  # another scheduler's stays
            for name in ["max_lrs"] + self.cycle_momentum * ["base_momentums", "max_momentums"]:
                values = getattr(self, name)
                setattr(self, name, [*values, shared(f"CyclicLR: {name}", values)])
        super()._admit(group)
        if added:
            self.base_lrs[i] = low
        if self.cycle_momentum:
            group.update(max_momentum=self.max_momentums[i], base_momentum=self.base_momentums[i])

    def get_lr(self) -> list[float]:
        f, where = self.f(self.last_epoch), f"CyclicLR: lr at step {self.last_epoch} of group"
        lrs = [low + (high - low) * f for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]
        return [NONNEGATIVE(f"{where} {i}", lr) for i, lr in enumerate(lrs)]

    def momentums(self) -> list[float]:
        f = self.f(self.last_epoch)
        return [high - (high - low) * f for low, high in zip(self.base_momentums, self.max_momentums, strict=True)]


# --- one cycle


class _Phases(Schedule):
    """From bound to bound in phases, each a cosine or a line; the phases are a table, as torch keeps them."""

    def __init__(self, total_steps: int, pct_start: float, anneal_strategy: str, three_phase: bool) -> None:
        where = type(self).__name__
        self.total_steps = n = from_one(f"{where}: total_steps", total_steps)
        pct = UNIT(f"{where}: pct_start", pct_start)
        self._anneal_func_type = one_of("cos", "linear")(f"{where}: anneal_strategy", anneal_strategy)
        if flag(f"{where}: three_phase", three_phase):
            ends = [pct * n - 1, 2 * pct * n - 2, n - 1]
            lrs = ["initial_lr", "max_lr", "initial_lr", "min_lr"]
            momentums = ["max_momentum", "base_momentum", "max_momentum", "max_momentum"]
        else:
            ends = [pct * n - 1, n - 1]
            lrs = ["initial_lr", "max_lr", "min_lr"]
            momentums = ["max_momentum", "base_momentum", "max_momentum"]
        self._schedule_phases = [
            {
                "end_step": end,
                "start_lr": lrs[i],
                "end_lr": lrs[i + 1],
                "start_momentum": momentums[i],
                "end_momentum": momentums[i + 1],
            }
            for i, end in enumerate(ends)
        ]

    def between(self, t: float, quantity: str, bounds: Mapping[str, float]) -> float:
        """The lr or the momentum at step t; past the end its last bound."""
        start = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if t <= end:
                x = (t - start) / (end - start) if end > start else 1.0
                left = half_cosine(x) if self._anneal_func_type == "cos" else 1 - x
                return bounds[phase[f"start_{quantity}"]] * left + bounds[phase[f"end_{quantity}"]] * (1 - left)
            start = end
        return bounds[phase[f"end_{quantity}"]]


def _lr_bounds(max_lr: float, div_factor: float, final_div_factor: float) -> dict[str, float]:
    return {"initial_lr": max_lr / div_factor, "max_lr": max_lr, "min_lr": max_lr / div_factor / final_div_factor}


class OneCycle(_Phases):
    """From max/d up to max, then down to max/(d·D), along cosines or lines; then it stays there.

    max_lr: max.
    total_steps: n, a whole number from 1.
    pct_start: the share of n that goes up, in [0, 1]: the highest is at step pct_start·n - 1. Default 0.3.
    anneal_strategy: "cos" or "linear". Default "cos".
    div_factor: d > 0. Default 25.
    final_div_factor: D > 0. Default 1e4.
    three_phase: down to max/d in as many steps as up, and from there to the end. Default False.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates"
    (2018), section 2, with three phases; with two as in fastai.

    >>> OneCycle(max_lr=1.0, total_steps=5, pct_start=0.6, div_factor=10, final_div_factor=1e2).at(range(6)).tolist()
    [0.1, 0.55, 1.0, 0.5005, 0.001, 0.001]
    """

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        super().__init__(total_steps, pct_start, anneal_strategy, three_phase)
        self.bounds = _lr_bounds(
            FINITE("OneCycle: max_lr", max_lr),
            POSITIVE("OneCycle: div_factor", div_factor),
            POSITIVE("OneCycle: final_div_factor", final_div_factor),
        )

    def value(self, t: float, base: float) -> float:
        return self.between(t, "lr", self.bounds)


class OneCycleLR(_Phases, _MomentumCycler):
    """lr = b + (a - b)·(1 + cos(πx))/2 in phases, as in torch; see OneCycle and LRScheduler.

    x goes from 0 to 1 in each: from a = max_lr/d up to b = max_lr, then from there down to max_lr/(d·D).

    max_lr: a number, or a list of one for each group; the bounds stand in the groups as "initial_lr", "max_lr" and
        "min_lr".
    total_steps: the number of steps; or epochs and steps_per_epoch, whose product it then is.
    cycle_momentum: also move momentum, or β1, the other way, from max_momentum to base_momentum and back. Default True;
        an SGD without momentum so gets one.
    base_momentum, max_momentum: numbers, or lists of one for each group. Default 0.85 and 0.95.

    lr is set anew at every step: what was edited from outside is dropped.

    Unlike torch's: after the last of total_steps steps lr stays at its end (torch goes on, up again or below zero), and
    a first phase of no steps goes to max_lr at once (torch divides by zero).

    Raises ValueError for settings out of range, lists of another length than there are groups, for an optimizer without
    momentum and betas where momentum is to be moved, and, as torch does, for a step beyond total_steps.
    """

    _ranges = {"total_steps": from_one, "cycle_momentum": flag, "use_beta1": flag}

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        max_lrs = self._for_each_group("max_lr", optimizer, max_lr)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch")
            epochs = from_one("OneCycleLR: epochs", epochs)
            total_steps = epochs * from_one("OneCycleLR: steps_per_epoch", steps_per_epoch)
        super().__init__(total_steps, pct_start, anneal_strategy, three_phase)
        div = POSITIVE("OneCycleLR: div_factor", div_factor)
        final_div = POSITIVE("OneCycleLR: final_div_factor", final_div_factor)
        bounds = [_lr_bounds(high, div, final_div) for high in max_lrs]
        self.cycle_momentum = cycle_momentum
        if self.cycle_momentum:
            self._find_momentum(optimizer)
            lows = self._for_each_group("base_momentum", optimizer, base_momentum)
            highs = self._for_each_group("max_momentum", optimizer, max_momentum)
            for of_group, low, high in zip(bounds, lows, highs, strict=True):
                of_group.update(base_momentum=low, max_momentum=high)
        with all_or_nothing(*optimizer.param_groups):
            for group, of_group in zip(optimizer.param_groups, bounds, strict=True):
                group.update(of_group)
            LRScheduler.__init__(self, optimizer, last_epoch)

    def _admit(self, group: dict[str, Any]) -> None:
        others = self.optimizer.param_groups[: len(self.base_lrs)]
        bounds = ["initial_lr", "max_lr", "min_lr"] + self.cycle_momentum * ["base_momentum", "max_momentum"]
        for name in bounds:
            if name not in group:
                group[name] = shared(f"OneCycleLR: {name}", [other[name] for other in others])
        super()._admit(group)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(f"OneCycleLR: step {self.last_epoch} of a schedule of {self.total_steps} steps")
        return [self.between(self.last_epoch, "lr", group) for group in self.optimizer.param_groups]

    def momentums(self) -> list[float]:
        return [self.between(self.last_epoch, "momentum", group) for group in self.optimizer.param_groups]
