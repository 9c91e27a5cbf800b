"""The step of every algorithm that is one formula: gather, settle the hyperparameters, then run.

First every parameter's arrays are gathered and checked, and everything that depends on hyperparameters alone is
computed, for all groups: whatever can raise, raises here, with nothing changed. Then the formula runs on each
parameter, and an interrupt waits until it has run on all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minigrad import Tensor
from optim.formula import Formula
from optim.formula.execution import Prepare, Run, chosen_execution, executor
from optim.formula.plan import Plan
from optim.hyperparameters import Check
from optim.interrupt import uninterrupted
from optim.optimizer import Closure, Optimizer

PER_PARAMETER = ("first", "t")
"""Hyperparameters of a formula that belong to a parameter, not to its group; they stand last."""


class Binding(NamedTuple):
    """A parameter's arrays as a plan takes them, kept from step to step while they are the same arrays."""

    plan: Plan
    choice: str | None
    run: Run
    prepare: Prepare
    data: Any
    shape: tuple[int, ...]
    dtype: Any
    flat: Any  # the parameter
    state: tuple[tuple[str, Any], ...]  # key and array, as they stand in the parameter's state
    flats: tuple[Any, ...]  # of the state
    copies: tuple[tuple[Any, Any], ...]  # (array, flat) where the flat one is a copy: not contiguous


class ElementwiseOptimizer(Optimizer):
    """An optimizer whose update is a formula. A subclass names it, and where its arrays are kept.

    formula: takes p, g and state arrays. Its hyperparameters are settings of the group by name; `beta1`, `beta2`,
        ... are those of its `betas`. Last may come `first`, whether the parameter has no state yet, and `t`, the
        number of this step for this parameter, from 1.
    state_keys: array of the formula -> its key in the parameter's state. Only what the settings use is allocated.
    ranges: setting -> what it must be.
    """

    formula: ClassVar[Formula]
    state_keys: ClassVar[dict[str, str]]
    ranges: ClassVar[dict[str, Check]]
    _settings: ClassVar[Callable[[dict[str, Any]], tuple[Any, ...]]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "formula" in vars(cls):
            names = [name for name in cls.formula.hyperparameters if name not in PER_PARAMETER]
            cls._settings = staticmethod(eval(f"lambda group: ({''.join(map(_setting, names))})"))

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._bindings: dict[Tensor, Binding] = {}
        self._settled: dict[int, tuple[Any, ...]] = {}
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._bindings, self._settled = {}, {}

    def validate(self, group: dict[str, Any]) -> None:
        """Check each setting that `ranges` lists."""
        group.update({name: check(f"{type(self).__name__}: {name}", group[name]) for name, check in self.ranges.items()})

    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that has a gradient, once.

        closure: if given, it clears the gradients, computes the loss, calls backward and returns the loss, which
            this returns.

        Raises ValueError for settings that were changed to something out of range, and whatever their arithmetic
        raises; ValueError for a gradient that does not fit its parameter. When it raises, nothing has changed.
        """
        loss = self._evaluate(closure)
        work: list[tuple[Any, ...]] = []
        for number, group in enumerate(self.param_groups):
            self._gather(number, group, work)

        def run() -> None:
            states = self.state
            for binding, g, constants, p, state, new in work:
                binding.run(binding.flat, g, *binding.flats, constants)
                for array, flat in binding.copies:
                    array[...] = flat.reshape(array.shape)
                state.update(new)
                states[p] = state
                p.mark_written()

        uninterrupted(run)
        return loss

    def _group_settings(self, number: int, group: dict[str, Any]) -> tuple[Any, ...]:
        """The group's settings for the formula; checked when they have changed."""
        settings = self._settings(group)
        settled = self._settled.get(number)
        if settled is None or settled != settings:
            checked = dict(group)
            self.validate(checked)
            settled = self._settled[number] = self._settings(checked)
        return settled

    def _gather(self, number: int, group: dict[str, Any], work: list[tuple[Any, ...]]) -> None:
        """Add to `work` what each parameter's update needs; change nothing."""
        settings = self._group_settings(number, group)
        formula, keys, states, bindings = self.formula, self.state_keys, self.state, self._bindings
        counted, sees_first = (name in formula.hyperparameters for name in ("t", "first"))
        choice = chosen_execution()
        plans: dict[Any, Any] = {}
        for p in group["params"]:
            grad = p.grad
            if grad is None:
                continue
            state = states[p] if p in states else {}
            t = state.get("step", 0) + 1 if counted else None
            first = state.keys().isdisjoint(keys.values()) if sees_first else None
            key = first, t
            planned = plans.get(key)
            if planned is None:
                plan, numbers = formula.plan(settings + tuple(v for v in key if v is not None))
                planned = plans[key] = plan, numbers, {}
            plan, numbers, typed = planned
            binding = bindings.get(p)
            new: dict[str, Any] = {"step": t} if counted else {}
            if binding is None or binding.choice != choice or not _holds(binding, plan, p, state):
                binding = self._bind(plan, choice, p, state, new)
            g = grad.data
            if g.shape != binding.shape or g.dtype != binding.dtype:
                raise ValueError(
                    f"{type(self).__name__}.step: a gradient of shape {g.shape} {g.dtype} for a parameter of shape "
                    f"{binding.shape} {binding.dtype}"
                )
            constants = typed.get(binding.dtype)
            if constants is None:
                values = settings + tuple(v for v in key if v is not None)
                constants = typed[binding.dtype] = binding.prepare(values, numbers)
            g = g.ravel()
            work.append((binding, g if g.flags.writeable else g.copy(), constants, p, state, new))

    def _bind(self, plan: Plan, choice: str | None, p: Tensor, state: dict[str, Any], new: dict[str, Any]) -> Binding:
        """Look up or allocate the arrays that the plan takes of a parameter; `new` gets those that are new."""
        data = p.data
        arrays = []
        for name in plan.arrays[2:]:
            key = self.state_keys[name]
            array = state.get(key)
            if array is None:
                array = new[key] = np.zeros_like(data)
            elif array.shape != data.shape or array.dtype != data.dtype:
                raise ValueError(
                    f"{type(self).__name__}.step: state {key!r} of shape {array.shape} {array.dtype} for a parameter "
                    f"of shape {data.shape} {data.dtype}"
                )
            arrays.append((key, array))
        every = (data, *(array for _, array in arrays))
        flats = tuple(array.reshape(-1) for array in every)
        copies = tuple((a, flat) for a, flat in zip(every, flats, strict=True) if not a.flags.c_contiguous)
        binding = Binding(
            plan,
            choice,
            *executor(self.formula, plan, data),
            data,
            data.shape,
            data.dtype,
            flats[0],
            tuple(arrays),
            flats[1:],
            copies,
        )
        self._bindings[p] = binding
        return binding


def _setting(name: str) -> str:
    """The text that reads a hyperparameter from a group."""
    beta = re.fullmatch(r"beta(\d)", name)
    return f"group['betas'][{int(beta[1]) - 1}], " if beta else f"group[{name!r}], "


def _holds(binding: Binding, plan: Plan, p: Tensor, state: dict[str, Any]) -> bool:
    """Whether a binding is still right: the same plan, and nobody has replaced an array."""
    if binding.plan is not plan or binding.data is not p.data or binding.copies:
        return False
    for key, array in binding.state:  # noqa: SIM110 (a generator costs more than the loop)
        if state.get(key) is not array:
            return False
    return True
