"""LRScheduler: the base class, with the contract of torch.optim.lr_scheduler."""

from __future__ import annotations

import copy
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from minigrad import backend
from minigrad.checks import FINITE, NONNEGATIVE, Checked, count, flag, list_of, number, within
from optim.lr_scheduler.schedule import Factor, Schedule
from optim.optimizer import Optimizer

STATE = {
    "base_lrs": list_of(FINITE),
    "_last_lr": list_of(FINITE),
    "last_epoch": within(-1),
    "_step_count": count,
    "_is_initial": flag,
    "_get_lr_called_within_step": flag,
}
"""What the keys of every state must have; a scheduler's `_ranges` say it of its own."""
BOOKKEEPING = {"_step_count", "_is_initial", "_get_lr_called_within_step", "_last_lr"}
"""State keys that not every version of PyTorch has."""


class LRScheduler(Checked):
    """Base class of all schedulers: it sets each group's lr, once when it is made and then at every `step`.

    Subclass it and give it `get_lr`, as in torch: it returns the groups' lrs for `self.last_epoch` and may read
    `self.base_lrs` and `self.optimizer.param_groups`. A subclass that also has `_get_closed_form_lr` can jump.

    optimizer: whose groups are scheduled.
    last_epoch: -1, the default, starts. N ≥ 0 continues after epoch N without a saved scheduler: the next is N + 1, and
        lr becomes the schedule's value there. Groups must have their "initial_lr", as a loaded optimizer's do.
        `load_state_dict` is the better way: it knows of lrs that were edited, and of chains.

    last_epoch, later: the epoch, or step, that the current lr belongs to.
    base_lrs: the groups' initial lrs: what they have under "initial_lr", set from "lr" where absent. A second scheduler
        of the same optimizer so starts from the first one's.

    A group that is added to the optimizer later joins at the next `step`: its lr at that moment is its initial lr, and
    it goes where it would be, had it been there from the start. What was given for each group separately, as a list,
    is needed for the new one too; one value for all holds for it.

    The order is `optimizer.step()`, then `scheduler.step()`; the first `step` warns where the optimizer's count of
    steps says otherwise. When a scheduler raises, as it is made, in a step or on loading, it and the groups are as
    before.

    Unlike torch's: with last_epoch every scheduler is at N + 1 (some of torch's keep the lr that they find, some scale
    it once more), groups that are added join (torch's raise, or scale them by whatever is due), states are copies,
    `step(epoch)` does not warn, and nothing is patched.

    Raises TypeError for what is no optimizer, ValueError for a last_epoch below -1 and for a group without "initial_lr"
    where last_epoch ≥ 0.
    """

    last_epoch: int
    base_lrs: list[float]
    _is_initial = False
    _get_lr_called_within_step = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked_optimizer(type(self).__name__, optimizer)
        last_epoch = checked_epoch(f"{type(self).__name__}: last_epoch", last_epoch)
        self._steps_before = optimizer.steps_taken
        self.base_lrs = []
        self._last_lr: list[float] = []
        with self._all_or_nothing():
            self._initial_step(last_epoch + 1)

    # --- what a subclass gives

    def get_lr(self) -> list[float]:
        """The groups' lrs at `self.last_epoch`. `step` calls it; to read what was set, call `get_last_lr`."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    # --- steps

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or to `epoch`, and set the groups' lrs.

        epoch: jumps there by the closed form, which drops what was edited from outside; ≥ 0.

        Raises ValueError for a negative epoch, for an lr that is not finite, and where a group was added that lacks
        what others were given, TypeError for an lr that is no number.
        """
        backend.refuse("a scheduler's step, which belongs between two steps,")
        if self._step_count == 1 and self.optimizer.steps_taken == self._steps_before:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(): call them in the opposite order, or the first "
                "value of the schedule is skipped",
                stacklevel=2,
            )
        if epoch is not None:
            epoch = NONNEGATIVE(f"{type(self).__name__}.step: epoch", epoch)
        with self._all_or_nothing():
            self._step_count += 1
            self._update_lr(epoch)

    def _initial_step(self, epoch: int = 0) -> None:
        """The step that a new scheduler takes, or one that starts within a composite."""
        self.last_epoch, self._step_count = epoch - 1, 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def _update_lr(self, epoch: float | None = None) -> None:
        self._admit_all(self.optimizer.param_groups)
        resumes = self._is_initial and self.last_epoch >= 0
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch  # type: ignore[assignment]
        closed = getattr(self, "_get_closed_form_lr", None)
        self._get_lr_called_within_step = True
        values = closed() if closed and (resumes or epoch is not None) else self.get_lr()
        self._get_lr_called_within_step = False
        self._write(values)

    def _admit_all(self, groups: list[dict[str, Any]]) -> None:
        """Take groups into the schedule: all of them at first, later those that were added."""
        for group in groups[len(self.base_lrs) :]:
            self._admit(group)

    def _admit(self, group: dict[str, Any]) -> None:
        initial = f"initial_{self._setting}"
        if initial not in group:
            if self._is_initial and self.last_epoch >= 0:
                raise ValueError(
                    f"{type(self).__name__}: last_epoch={self.last_epoch} continues a schedule, and a parameter group "
                    f"has no {initial!r}; load the optimizer's state first, or start with last_epoch=-1"
                )
            self._get(group, self._setting)
            group[initial] = group[self._setting]
        self.base_lrs = [*self.base_lrs, self._get(group, initial)]

    def _write(self, values: Sequence[float]) -> None:
        groups = self.optimizer.param_groups
        if len(values) != len(groups):
            raise ValueError(f"{type(self).__name__}: got {len(values)} values for {len(groups)} parameter groups")
        what = f"{type(self).__name__}: {self._setting} at step {self.last_epoch}"
        self._last_lr = [FINITE(f"{what} of group {i}", value) for i, value in enumerate(values)]
        for group, value in zip(groups, self._last_lr, strict=True):
            self._set(group, value)

    def _reset(self) -> None:
        """Undo what schedulers have done to the groups."""
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=False):
            self._set(group, base)

    def get_last_lr(self) -> list[float]:
        """The groups' lrs as this scheduler last set them."""
        return list(self._last_lr)

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn("get_lr() computes the next lr; to read the last one, call get_last_lr()", stacklevel=3)

    # --- the setting that is scheduled

    _setting = "lr"

    def _get(self, group: dict[str, Any], setting: str) -> float:
        if setting not in group:
            raise ValueError(f"{type(self).__name__}: a parameter group has no {setting!r}, it has {', '.join(group)}")
        return number(f"{type(self).__name__}: {setting}", group[setting])

    def _set(self, group: dict[str, Any], value: float) -> None:
        group[self._setting] = value

    # --- saving

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that the scheduler knows but the optimizer, under torch's names, in plain Python.

        Functions are not saved. Of a callable object its attributes are, and of a scheduler within this one its state.
        """
        return {key: _saved(value) for key, value in vars(self).items() if key not in ("optimizer", "_steps_before")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a copy of a state, of this class here or in torch; load the optimizer's too, which has the lrs.

        Raises ValueError for a state that lacks something, of more groups than the optimizer has, or with values out of
        range, TypeError for what is no dictionary; nothing has changed then.
        """
        where = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"{where}: expected a dictionary, got a {type(state_dict).__name__}")
        missing = [key for key in self.state_dict() if key not in {*state_dict, *BOOKKEEPING}]
        if missing:
            raise ValueError(
                f"{where}: the state has no {', '.join(missing)}; it has {', '.join(map(str, state_dict))}"
            )
        state = {key: STATE[key](f"{where}: {key}", v) if key in STATE else v for key, v in state_dict.items()}
        groups = self.optimizer.param_groups
        for key in ("base_lrs", "_last_lr"):
            if len(state.get(key, [])) > len(groups):
                raise ValueError(f"{where}: {key} has {len(state[key])} values for {len(groups)} parameter groups")
        with all_or_nothing(*groups, *_memories(self)):
            if "base_lrs" in state:
                self._admit_all(groups[: len(state["base_lrs"])])
            for key, value in state.items():
                setattr(self, key, _restored(f"{where}: {key}", vars(self).get(key), value))

    def _all_or_nothing(self) -> AbstractContextManager[None]:
        return all_or_nothing(*self.optimizer.param_groups, *self._memories())

    def _memories(self) -> list[dict[str, Any]]:
        """The dictionaries that a step changes, but for the groups."""
        return [vars(self)]


@contextmanager
def all_or_nothing(*memories: dict[str, Any]) -> Iterator[None]:
    """Whatever is raised inside, these dictionaries then hold what they held before."""
    before = [(memory, dict(memory)) for memory in memories]
    try:
        yield
    except BaseException:
        for memory, content in before:
            memory.clear()
            memory.update(content)
        raise


class Chainable(LRScheduler, Factor):
    """A scheduler that scales the lr that it finds, so that several can act on it, and edits from outside are kept.

    lr ← η_min + (lr - η_min)·f(t)/f(t - 1), as in torch; that is the closed form η_min + (base_lr - η_min)·f(t) while
    nobody else writes lr, and then the closed form's own bits are set. Where f(t - 1) = 0 nothing is left to scale: the
    closed form's change (base_lr - η_min)·f(t) is added.
    """

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        before, now = 1.0 if self._is_initial else self.f(self.last_epoch - 1), self.f(self.last_epoch)
        lrs = []
        for i, (group, base) in enumerate(zip(self.optimizer.param_groups, self.base_lrs, strict=True)):
            joins = i >= len(self._last_lr)
            lrs.append(self._scaled_on(self._get(group, "lr"), base, 1.0 if joins else before, now))
        return lrs

    def _scaled_on(self, lr: float, base: float, before: float, now: float) -> float:
        if lr == self.scaled(base, before):
            return self.scaled(base, now)
        if before == 0:
            return lr + self.scaled(base, now) - self.eta_min
        return self.scaled(lr, now / before)

    def _get_closed_form_lr(self) -> list[float]:
        return [self.value(self.last_epoch, base) for base in self.base_lrs]


# --- checks


def checked_optimizer(name: str, optimizer: Any) -> Optimizer:
    """`optimizer`; raises TypeError where it is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{name}: optimizer must be an Optimizer, got a {type(optimizer).__name__}")
    return optimizer


def checked_epoch(name: str, value: Any) -> int:
    """A whole number from -1 on."""
    value = number(name, value)
    if not -1 <= value < float("inf") or value != int(value):
        raise ValueError(f"{name} must be a whole number from -1, got {value!r}")
    return int(value)


def for_each_group(name: str, optimizer: Optimizer, given: Any) -> list[Any]:
    """A list of one value for each group, from such a list or from the one for all."""
    groups = len(optimizer.param_groups)
    if not isinstance(given, list | tuple):
        return [given] * groups
    if len(given) != groups:
        raise ValueError(f"{name} must have one value for each parameter group: got {len(given)} for {groups}")
    return list(given)


def shared(name: str, values: Sequence[Any]) -> Any:
    """The value that all groups have, and so one that was added."""
    if any(value != values[0] for value in values):
        raise ValueError(f"{name} was given for each group, and a parameter group was added: append its value")
    return values[0]


# --- what is saved


def _memory(value: Any) -> dict[str, Any] | None:
    """The attributes of a callable object, a schedule or a scheduler; None of a function and of other things."""
    functions = types.FunctionType | types.BuiltinFunctionType | types.MethodType | type
    if isinstance(value, functions) or not (callable(value) or isinstance(value, LRScheduler)):
        return None
    return getattr(value, "__dict__", None)


def _memories(value: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary that a scheduler may change: its own, and those of callable objects and schedulers in it."""
    if isinstance(value, list):
        for one in value:
            yield from _memories(one)
    elif (memory := _memory(value)) is not None:
        yield memory
        if isinstance(value, LRScheduler | Schedule):
            for part in memory.values():
                yield from _memories(part)


def _saved(value: Any) -> Any:
    if isinstance(value, LRScheduler):
        return value.state_dict()
    if isinstance(value, list):
        return [_saved(one) for one in value]
    if isinstance(value, Schedule):
        return {name: _saved(part) for name, part in vars(value).items()}
    return copy.deepcopy(_memory(value)) if callable(value) else copy.deepcopy(value)


def _restored(where: str, own: Any, saved: Any) -> Any:
    """What stands in the place of `own` when `saved` is loaded."""
    if isinstance(own, LRScheduler):
        own.load_state_dict(saved)
        return own
    if isinstance(own, list) and any(isinstance(one, LRScheduler) or callable(one) for one in own):
        if not isinstance(saved, list | tuple) or len(saved) != len(own):
            raise ValueError(f"{where} must be a list of {len(own)}, got {saved!r}")
        return [_restored(f"{where}[{i}]", one, part) for i, (one, part) in enumerate(zip(own, saved, strict=True))]
    if not callable(own):
        return copy.deepcopy(saved)
    memory = _memory(own)
    if memory is None and saved is None:
        return own
    if memory is None or not isinstance(saved, Mapping):
        kind = "a function, which is not saved" if memory is None else "a callable object, saved by its attributes"
        raise ValueError(f"{where}: here it is {kind}, and the state has {saved!r}")
    if isinstance(own, Schedule):
        if memory.keys() != saved.keys():
            raise ValueError(f"{where}: a schedule with {', '.join(memory)}, and the state has {', '.join(saved)}")
        for name, part in saved.items():
            setattr(own, name, _restored(f"{where}.{name}", memory[name], part))
    else:
        memory.update(copy.deepcopy(dict(saved)))
    return own
