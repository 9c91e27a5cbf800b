"""The contract of the algorithms that call the model again: `step(closure)`, as often as they need.

A closure clears the gradients, computes the loss from the parameters as they are, calls backward, and returns the loss:

    def closure():
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        return loss

All that depends on the parameters must be computed inside it, the prediction too. It should give the same loss for the
same parameters: dropout, or another mini-batch at each call, would make a line search compare different functions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minigrad import Tensor, backend
from minigrad.checks import list_of, number
from minigrad.vectors import largest
from optim.flat import Flat
from optim.interrupt import uninterrupted
from optim.optimizer import Closure, Optimizer


@dataclass(frozen=True)
class Report:
    """What a step did.

    stopped: why it ended, in words.
    iterations: how many it took.
    evaluations: how often the closure was called.
    step_length: t of the last move, x + t·d; 0 where there was none.
    wolfe: whether the point of the last line search satisfies the strong Wolfe conditions; None without a search.
    """

    stopped: str
    iterations: int
    evaluations: int
    step_length: float
    wolfe: bool | None


GRADIENT = "gradient below tolerance_grad"
SMALL_CHANGE = "change below tolerance_change"
MAX_ITER = "max_iter reached"
MAX_EVAL = "max_eval reached"
NO_LOWER_POINT = "no lower point found"
NOT_FINITE = "loss or gradient not finite"


class Objective:
    """The closure as a function f of the parameters as one vector; -f where it is to climb.

    In a `with` block an error or an interrupt puts the parameters back to `x`, the point that was accepted last.

    evaluations: how often the closure was called.
    x, value, gradient: of the point that was accepted last.
    """

    def __init__(self, optimizer: Optimizer, closure: Closure, maximize: bool = False) -> None:
        if not callable(closure):
            raise TypeError(
                f"{type(optimizer).__name__}.step: expected a closure, which clears the gradients, computes the loss, "
                f"calls backward and returns the loss; got {closure!r}"
            )
        self._optimizer, self._closure, self._maximize = optimizer, closure, maximize
        self.flat = Flat(p for group in optimizer.param_groups for p in group["params"])
        self.evaluations = 0
        self.x = self._at = self.flat.values()
        self.value: float = math.nan
        self.gradient: Any = None

    def __enter__(self) -> Objective:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is not None:
            self.flat.assign(self.x)

    def back(self) -> None:
        """Put the parameters back to the accepted point."""
        self.flat.assign(self.x)
        self._at = self.x

    def start(self) -> Any:
        """What the closure returns where the parameters are, which becomes the accepted point."""
        loss, self.value, self.gradient = self._evaluate()
        return loss

    def __call__(self, x: Any) -> tuple[float, Any]:
        """f(x) and ∇f(x). The parameters stay there until the next call, or until a point is accepted."""
        self.flat.assign(x)
        self._at = x
        _, value, gradient = self._evaluate()
        if value == self.value and math.isfinite(value) and self._ignores(x, gradient):
            raise RuntimeError(
                f"{self._name}: the closure returned the same loss, {value!r}, and the same gradient for other "
                "parameters; compute all that depends on them inside the closure, the prediction too"
            )
        return value, gradient

    def accept(self, point: Any, state: dict[str, Any], **changes: Any) -> None:
        """Move to a point (x, value, gradient) and write the changes into the state; Ctrl-C waits until all is done."""
        uninterrupted(self._accept, point, state, changes)

    def _accept(self, point: Any, state: dict[str, Any], changes: dict[str, Any]) -> None:
        if self._at is not point.x:
            self.flat.assign(point.x)
        self.x = self._at = point.x
        self.value, self.gradient = point.value, point.gradient
        state.update(changes)

    @property
    def _name(self) -> str:
        return f"{type(self._optimizer).__name__}.step"

    def _evaluate(self) -> tuple[Any, float, Any]:
        """What the closure returns, f and ∇f where the parameters are."""
        for p in self.flat.params:
            p.grad = None  # what is there afterwards is of this call
        try:
            loss = self._optimizer._evaluate(self._closure)
        except RuntimeError as error:
            again = self.evaluations or self._optimizer.steps_taken
            if again and str(error).startswith("backward:"):
                raise RuntimeError(
                    f"{self._name}: the closure's backward failed when it was called again, with other parameters; "
                    f"compute all that depends on them inside the closure, the prediction too ({error})"
                ) from error
            raise
        self.evaluations += 1
        value = self._number(loss)
        if all(p.grad is None for p in self.flat.params):
            raise RuntimeError(
                f"{self._name}: no parameter has a gradient after the closure; it must call backward() on a loss that "
                "depends on them"
            )
        gradient = self.flat.gradients()
        if self._maximize:
            return loss, -value, np.negative(gradient, out=gradient)
        return loss, value, gradient

    def _number(self, loss: Any) -> float:
        try:
            return float(loss)
        except (TypeError, ValueError):
            got = f"a tensor of shape {loss.shape}" if isinstance(loss, Tensor) else repr(loss)
            raise TypeError(
                f"{self._name}: expected the closure to return the loss, a number or a tensor with one element, "
                f"got {got}"
            ) from None

    def _ignores(self, x: Any, gradient: Any) -> bool:
        """Whether f, of the same value here, should have changed by its gradient, which is the same here too."""
        if not np.array_equal(gradient, self.gradient):
            return False
        expected = abs(float(np.dot(gradient, x - self.x)))
        return expected > 1000 * float(np.finfo(self.flat.dtype).eps) * abs(self.value)


def at_rest(objective: Objective, settings: dict[str, Any]) -> str:
    """Why no move from the accepted point makes sense, or nothing."""
    steepest = largest(objective.gradient)
    if not (math.isfinite(objective.value) and math.isfinite(steepest)):
        return NOT_FINITE
    return GRADIENT if steepest <= settings["tolerance_grad"] else ""


def settled(objective: Objective, length: float, change: float, settings: dict[str, Any]) -> str:
    """Why a step ends at the accepted point, or nothing: the last move had this max |t·dᵢ| and changed f so much."""
    limit = MAX_EVAL if objective.evaluations >= settings["max_eval"] else ""
    least = settings["tolerance_change"]
    return at_rest(objective, settings) or (SMALL_CHANGE if length <= least or change < least else limit)


class ClosureOptimizer(Optimizer):
    """Base class: one vector of all parameters, one set of settings, state on the first parameter.

    A subclass gives `minimize`, and what its state holds:

    vectors: keys of vectors as long as all parameters together.
    lists: keys of lists of such vectors.
    matrices: keys of other arrays, which the subclass places.
    report: what the last step did; None before the first.
    """

    vectors: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    matrices: tuple[str, ...] = ()
    report: Report | None = None

    def minimize(self, objective: Objective, state: dict[str, Any], settings: dict[str, Any]) -> Report:
        """Descend from the accepted point, whose value and gradient are known and finite, and keep `state`."""
        raise NotImplementedError(f"{type(self).__name__} has no minimize()")

    def step(self, closure: Closure | None = None) -> Any:
        """Descend until a limit or a tolerance is reached. Returns what the closure returned first.

        closure: required; it clears the gradients, computes the loss, calls backward and returns the loss. It is
            called several times, at other parameters each time.

        Where loss or gradient are not finite from the start, nothing changes.

        Raises TypeError for a closure that is none or returns no loss, RuntimeError for one after which no parameter
        has a gradient, or that takes no notice of the parameters, ValueError for settings that were changed to
        something out of range, and what the closure raises. Then, and at Ctrl-C, the parameters are where they were
        before the trial, and the state fits them.
        """
        settings = self._settings()
        with Objective(self, closure, settings["maximize"]) as objective:  # type: ignore[arg-type]
            state = self._state(objective.flat)
            loss = objective.start()
            state |= {"func_evals": 0, "n_iter": 0} | state
            evaluations = state["func_evals"]
            try:
                self.report = self.minimize(objective, state, settings)
            finally:
                state["func_evals"] = evaluations + objective.evaluations
            self.skipped += self.skip_nonfinite and self.report.stopped == NOT_FINITE
        return loss

    # --- groups

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters. The algorithm starts anew, as what it remembers is of fewer."""
        super().add_param_group(param_group)
        self.state.clear()

    def _prepared_group(self, given: Any, others: list[dict[str, Any]]) -> dict[str, Any]:
        group = super()._prepared_group(given, others)
        self._check_equal([*others, group])
        return group

    def _settings(self) -> dict[str, Any]:
        """The settings, checked."""
        groups = [dict(group) for group in self.param_groups]
        for group in groups:
            self.validate(group)
        self._check_equal(groups)
        return groups[0]

    def _check_equal(self, groups: list[dict[str, Any]]) -> None:
        for group in groups:
            for key in self.ranges:
                if group[key] != groups[0][key]:
                    raise ValueError(
                        f"{type(self).__name__}: {key} is {groups[0][key]!r} in one group and {group[key]!r} in "
                        "another; all parameters are one vector and share the settings"
                    )

    # --- state

    def _state(self, flat: Flat) -> dict[str, Any]:
        """What the algorithm remembers, which must fit the parameters."""
        state: dict[str, Any] = self.state[flat.params[0]]
        for key in self.vectors:
            if key in state and (state[key].shape != (flat.size,) or state[key].dtype != flat.dtype):
                raise ValueError(
                    f"{type(self).__name__}.step: state {key!r} of shape {state[key].shape} {state[key].dtype} for "
                    f"parameters of {flat.size} numbers of {flat.dtype}"
                )
        return state

    def _loaded(self, saved: Mapping[str, Any]) -> tuple[list[dict[str, Any]], defaultdict[Any, Any]]:
        groups, states = super()._loaded(saved)
        name = type(self).__name__
        self._check_equal(groups)
        params = [p for group in groups for p in group["params"]]
        for own, loaded in zip(groups, saved["param_groups"], strict=True):
            if own.get("param_names") != loaded.get("param_names", own.get("param_names")):
                raise ValueError(
                    f"{name}.load_state_dict: the state is a vector of the parameters {loaded['param_names']} in that "
                    f"order, here they are {own['param_names']}"
                )
        if any(p is not params[0] for p in states):
            raise ValueError(f"{name}.load_state_dict: expected state of the first parameter alone")
        for state in states.values():
            self._check_loaded(state, Flat(params))
        return groups, states

    def _check_loaded(self, state: dict[str, Any], flat: Flat) -> None:
        """Bring vectors to the parameters' type and place, and check numbers; nothing may be missing after a move."""
        where = f"{type(self).__name__}.load_state_dict"
        missing = [key for key in (*self.vectors, *self.lists, *self.numbers) if key not in state]
        if missing and state.get("n_iter"):
            raise ValueError(f"{where}: the state has no {', '.join(missing)}, only {', '.join(state)}")
        vector = partial(self._placed, flat=flat, shape=(flat.size,), dtype=flat.dtype)
        for keys, check in ((self.numbers, number), (self.vectors, vector), (self.lists, list_of(vector))):
            for key in keys:
                if key in state:
                    state[key] = check(f"{where}: {key}", state[key])

    def _placed(self, name: str, array: Any, flat: Flat, shape: tuple[int, ...], dtype: Any) -> Any:
        """A copy of a loaded array of this type, where the parameters are."""
        array = array if backend.is_array(array) else np.asarray(array)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must be an array of real numbers, got {array.dtype}")
        if array.shape != shape:
            raise ValueError(f"{name} has shape {tuple(array.shape)}, expected {shape}")
        placed = backend.empty(shape, flat.params[0].data, dtype)
        backend.copy_into(placed, array)
        return placed

    def _loaded_value(self, p: Tensor, name: str, value: Any) -> Any:
        if name in (*self.vectors, *self.lists, *self.matrices):
            return value  # is copied when it is brought to the type of all parameters
        return super()._loaded_value(p, name, value)
