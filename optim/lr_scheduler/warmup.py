"""Schedules that warm up, to a cosine, a plateau with a decay at its end, an inverse square root. Not in torch."""

from __future__ import annotations

import math
from collections.abc import Callable

from minigrad.checks import UNIT, count, from_one, one_of
from optim.lr_scheduler.base import Chainable, LRScheduler
from optim.lr_scheduler.schedule import Factor, half_cosine
from optim.optimizer import Optimizer


def _ramp(t: float, steps: int, start: float) -> float:
    """A line from `start` at step 0 to 1 at step `steps`."""
    return start + (1 - start) * t / steps


class WarmupCosine(Factor):
    """f(t) rises on a line to 1 at step w, then falls along half a cosine to b at step n, and stays there.

    f(t) = a + (1 - a)·t/w for t < w, then b + (1 - b)·(1 + cos(πx))/2 with x = min(1, (t - w)/(n - w)).

    warmup_steps: w, a whole number from 0.
    total_steps: n, a whole number above w.
    start_factor: a, in [0, 1]. Default 0: the first step then changes no parameter.
    end_factor: b, in [0, 1]. Default 0.

    Raises ValueError for settings out of range.

    Source: the cosine of Loshchilov and Hutter, "SGDR" (2017), with the warm-up of Goyal et al., "Accurate, Large
    Minibatch SGD" (2017), section 2.2.

    >>> WarmupCosine(warmup_steps=2, total_steps=6, end_factor=0.1).at(range(8)).round(3).tolist()
    [0.0, 0.5, 1.0, 0.868, 0.55, 0.232, 0.1, 0.1]
    """

    _ranges = {"warmup_steps": count, "total_steps": from_one, "start_factor": UNIT, "end_factor": UNIT}

    def __init__(self, warmup_steps: int, total_steps: int, start_factor: float = 0.0, end_factor: float = 0.0) -> None:
        self.warmup_steps, self.total_steps = warmup_steps, total_steps
        self.start_factor, self.end_factor = start_factor, end_factor
        if self.total_steps <= self.warmup_steps:
            raise ValueError(
                f"{type(self).__name__}: total_steps must be above warmup_steps, got {total_steps} and {warmup_steps}"
            )

    def f(self, t: float) -> float:
        if t < self.warmup_steps:
            return _ramp(t, self.warmup_steps, self.start_factor)
        x = min(1.0, (t - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return self.end_factor + (1 - self.end_factor) * half_cosine(x)


class WarmupCosineLR(WarmupCosine, Chainable):
    """lr = base_lr·f(t): f rises on a line to 1, then falls along half a cosine; see WarmupCosine and LRScheduler."""

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        start_factor: float = 0.0,
        end_factor: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        WarmupCosine.__init__(self, warmup_steps, total_steps, start_factor, end_factor)
        LRScheduler.__init__(self, optimizer, last_epoch)


class WarmupStableDecay(Factor):
    """f(t) rises on a line to 1 at step w, stays there, and falls to b in the last d of n steps (WSD).

    f(t) = a + (1 - a)·t/w for t < w, 1 until n - d, then b + (1 - b)·g(x) with x = min(1, (t - (n - d))/d), and
    g(x) = 1 - x (linear), 1 - √x (sqrt) or (1 + cos(πx))/2 (cos).

    Since all before the decay is the same for every n, training can go on from there, and decay when it is to end.

    warmup_steps: w, a whole number from 0.
    decay_steps: d, a whole number from 0.
    total_steps: n, a whole number from w + d.
    start_factor: a, in [0, 1]. Default 0: the first step then changes no parameter.
    end_factor: b, in [0, 1]. Default 0.
    decay: g: "linear", "sqrt" or "cos". Default "linear".

    Raises ValueError for settings out of range.

    Source: Hu et al., "MiniCPM" (2024), equation 1; the forms of the decay: Hägele et al., "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations" (2024), equation 1 and section 4.

    >>> WarmupStableDecay(warmup_steps=2, decay_steps=4, total_steps=8).at(range(10)).tolist()
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    _ranges = {
        "warmup_steps": count,
        "decay_steps": count,
        "total_steps": from_one,
        "start_factor": UNIT,
        "end_factor": UNIT,
        "decay": one_of("linear", "sqrt", "cos"),
    }

    def __init__(
        self,
        warmup_steps: int,
        decay_steps: int,
        total_steps: int,
        start_factor: float = 0.0,
        end_factor: float = 0.0,
        decay: str = "linear",
    ) -> None:
        self.warmup_steps, self.decay_steps, self.total_steps = warmup_steps, decay_steps, total_steps
        self.start_factor, self.end_factor, self.decay = start_factor, end_factor, decay
        if self.warmup_steps + self.decay_steps > self.total_steps:
            raise ValueError(
                f"{type(self).__name__}: total_steps must be at least warmup_steps + decay_steps, "
                f"got {total_steps} for {warmup_steps} + {decay_steps}"
            )

    def f(self, t: float) -> float:
        if t < self.warmup_steps:
            return _ramp(t, self.warmup_steps, self.start_factor)
        into_decay = t - (self.total_steps - self.decay_steps)
        if into_decay < 0:
            return 1.0
        x = into_decay / self.decay_steps if into_decay < self.decay_steps else 1.0
        return self.end_factor + (1 - self.end_factor) * DECAYS[self.decay](x)


DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: 1 - x,
    "sqrt": lambda x: 1 - math.sqrt(x),
    "cos": half_cosine,
}


class WarmupStableDecayLR(WarmupStableDecay, Chainable):
    """lr = base_lr·f(t): f rises on a line to 1, stays, falls at the end; see WarmupStableDecay and LRScheduler."""

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        decay_steps: int,
        total_steps: int,
        start_factor: float = 0.0,
        end_factor: float = 0.0,
        decay: str = "linear",
        last_epoch: int = -1,
    ) -> None:
        WarmupStableDecay.__init__(self, warmup_steps, decay_steps, total_steps, start_factor, end_factor, decay)
        LRScheduler.__init__(self, optimizer, last_epoch)


class InverseSquareRoot(Factor):
    """f(t) = min(s/w, √(w/s)) with s = t + 1: rises on a line to 1 at the w-th step, then falls as 1/√s.

    warmup_steps: w, a whole number from 1.

    The paper's lr is 1/√(d·w) times f, where d is the width of its model; here the base lr is the highest.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Vaswani et al., "Attention Is All You Need" (2017), equation 3; known as Noam.

    >>> InverseSquareRoot(warmup_steps=4).at([0, 1, 2, 3, 15]).tolist()
    [0.25, 0.5, 0.75, 1.0, 0.5]
    """

    _ranges = {"warmup_steps": from_one}

    def __init__(self, warmup_steps: int) -> None:
        self.warmup_steps = warmup_steps

    def f(self, t: float) -> float:
        s, w = t + 1, self.warmup_steps
        return min(s / w, math.sqrt(w / s))


class InverseSquareRootLR(InverseSquareRoot, Chainable):
    """lr = base_lr·min(s/w, √(w/s)) with s = t + 1 (Noam); see InverseSquareRoot and LRScheduler."""

    def __init__(self, optimizer: Optimizer, warmup_steps: int, last_epoch: int = -1) -> None:
        InverseSquareRoot.__init__(self, warmup_steps)
        LRScheduler.__init__(self, optimizer, last_epoch)
