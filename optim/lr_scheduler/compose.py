"""Schedulers of schedulers: one after the other, and several at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from minigrad.checks import count, list_of
from optim.lr_scheduler.base import LRScheduler, checked_epoch, checked_optimizer
from optim.lr_scheduler.plateau import ReduceLROnPlateau
from optim.optimizer import Optimizer


class _Composite(LRScheduler):
    """A scheduler that has others do the work, all of one optimizer."""

    _schedulers: list[LRScheduler]

    def _take(self, schedulers: Any, optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if not isinstance(schedulers, Iterable):
            raise TypeError(f"{name}: schedulers must be a list of schedulers, got a {type(schedulers).__name__}")
        schedulers = list(schedulers)
        if not schedulers:
            raise ValueError(f"{name}: expected at least one scheduler, got none")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name}: schedulers[{i}] must be a scheduler, got a {type(scheduler).__name__}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"{name}: schedulers[{i}] is a ReduceLROnPlateau, whose step needs metrics")
        self.optimizer = checked_optimizer(name, schedulers[0].optimizer if optimizer is None else optimizer)
        for i, scheduler in enumerate(schedulers):
            if scheduler.optimizer is not self.optimizer:
                raise ValueError(f"{name}: schedulers[{i}] belongs to another optimizer")
        self._schedulers = schedulers

    def _memories(self) -> list[dict[str, Any]]:
        return [vars(self), *(memory for scheduler in self._schedulers for memory in scheduler._memories())]

    def _update_lr(self, epoch: float | None = None) -> None:
        self._initial_step(int(epoch or 0))

    def _reset(self) -> None:
        for scheduler in self._schedulers:
            scheduler._reset()


class SequentialLR(_Composite):
    """One scheduler after the other: lr = lrₖ(t - mₖ) for mₖ ≤ t < mₖ₊₁, as in torch.

    schedulers: of this optimizer, as many as there are milestones and one; ReduceLROnPlateau cannot be among them.
    milestones: m₁, m₂, …, increasing whole numbers from 0; m₀ = 0.
    last_epoch: as in LRScheduler.

    At a milestone lr jumps to the next scheduler's closed form at its step 0, and what was edited from outside is
    dropped; MultiplicativeLR, which has none, multiplies what is there. To compose before there is an optimizer, see
    Schedule.then.

    Unlike torch's: SequentialLR and ChainedScheduler may be among the schedulers (torch starts the first one a step too
    late, and fails at others), the first scheduler starts from its own base_lrs (torch: from what the last one that was
    made has left), and last_epoch finds the scheduler whose turn it is (torch takes the first one).

    Raises ValueError for no schedulers, those of another optimizer, another number of milestones, milestones that do
    not increase; TypeError for what is no scheduler.
    """

    _ranges = {"_milestones": list_of(count)}

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._take(schedulers, checked_optimizer("SequentialLR", optimizer))
        if not isinstance(milestones, Iterable):
            raise TypeError(f"SequentialLR: milestones must be a list of steps, got {milestones!r}")
        milestones = [count("SequentialLR: milestones", milestone) for milestone in milestones]
        if len(milestones) != len(self._schedulers) - 1:
            raise ValueError(
                f"SequentialLR: expected one milestone less than schedulers, got {len(milestones)} milestones for "
                f"{len(self._schedulers)} schedulers"
            )
        if any(a >= b for a, b in pairwise(milestones)):
            raise ValueError(f"SequentialLR: milestones must increase, got {milestones}")
        self._milestones = milestones
        last_epoch = checked_epoch("SequentialLR: last_epoch", last_epoch)
        with self._all_or_nothing():
            self._initial_step(last_epoch + 1)

    def _turn(self) -> tuple[LRScheduler, int]:
        """The scheduler whose turn it is, and the step where its turn began."""
        i = bisect_right(self._milestones, self.last_epoch)
        return self._schedulers[i], self._milestones[i - 1] if i else 0

    def _initial_step(self, epoch: int = 0) -> None:
        self.last_epoch = epoch
        scheduler, start = self._turn()
        scheduler._reset()
        scheduler._initial_step(epoch - start)
        self._last_lr = scheduler.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Go to the next epoch."""
        with self._all_or_nothing():
            self.last_epoch += 1
            scheduler, start = self._turn()
            if self.last_epoch == start:
                scheduler._update_lr(0)
            else:
                scheduler.step()
            self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composite):
    """Several schedulers at once: each `step` takes a step of all, in their order; lr = base_lr·f₁(t)·f₂(t)⋯ of those
    that scale the lr that they find, as in torch.

    schedulers: of one optimizer; ReduceLROnPlateau cannot be among them. One that sets lr anew drops what those before
        it did.
    optimizer: theirs. Default None.

    To multiply schedules before there is an optimizer, see Schedule.

    Raises ValueError for no schedulers and those of another optimizer, TypeError for what is no scheduler.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._take(schedulers, optimizer)
        self._last_lr = self._lrs()

    def _lrs(self) -> list[float]:
        return [self._get(group, "lr") for group in self.optimizer.param_groups]

    def _initial_step(self, epoch: int = 0) -> None:
        if epoch > 0:
            raise ValueError("SequentialLR: last_epoch cannot continue within a ChainedScheduler; use load_state_dict")
        self._reset()
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._last_lr = self._lrs()

    def step(self) -> None:  # type: ignore[override]
        """Take a step of each scheduler."""
        with self._all_or_nothing():
            for scheduler in self._schedulers:
                scheduler.step()
            self._last_lr = self._lrs()
