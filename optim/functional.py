"""Optimizers as pure functions that the tape records: a loss after K steps has gradients by all that led to it.

    adam = optim.functional.pure(optim.Adam, betas=(0.9, 0.99))
    state = adam.init(params)
    params, state = adam.update(params, grads, state, lr=lr)

The formula runs as it is written, on Tensors. What stands around it in a step is the class's own: settings, their
defaults and ranges, where state starts, what is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad import RowSparse, Tensor, ops
from optim.elementwise import ElementwiseOptimizer
from optim.sparse_adam import SparseAdam

Params = Any  # a list or tuple of Tensors, or a dictionary of them; gradients and states have the same form


class State(NamedTuple):
    """What an optimizer remembers between two updates. An update makes a new one and leaves the old as it was.

    each: for each parameter a dictionary, with the keys that the class documents under State; empty before the
        parameter's first gradient.
    shared: what the parameters have in common: Prodigy's d, d_max and d_numerator.
    """

    each: Any
    shared: dict[str, Any]


class pure:  # noqa: N801 (used like a function)
    """An optimizer as two functions: `init(params) -> state`, `update(params, grads, state) -> params, state`.

    algorithm: a class of `optim` whose step is a formula of parameter, gradient and state; so not Adafactor, Muon,
        SparseAdam, whose row-sparse gradients are not recorded, and those that compute more than a gradient. For
        Nesterov, whose step asks for the gradient at p + momentum·velocity, the caller computes `grads` there.
    settings: those of its constructor, with its defaults; each a number, or a Tensor of a single element, shape (),
        which gets a gradient where it requires one (`betas` may mix both). Any can be given to `update` instead.

    With numbers as settings the result has the bits of the optimizer that steps in place; but for Prodigy in float32,
    whose d, where it is recorded, is a float64 Tensor.

    A setting that requires a gradient counts as switched on at 0 too: weight_decay = 0 as a number leaves decay out,
    as a Tensor it has a derivative. A parameter keeps its dtype where a setting has another; β close to 1 asks for
    float64, since 1 - β in float32 has lost digits.

    Where a derivative is infinite it is so here, as in torch: that of √v at v = 0, which Adam meets in every element
    whose gradients were all 0, gives NaN. Then leave such elements out, or choose an algorithm without that root.
    Prodigy's maxima, Rprop's and Lion's signs and other choices have the derivative of the branch taken.

    Raises TypeError for a class that has no such form and for unknown settings, ValueError for settings out of range.

    >>> import minigrad as mg, optim
    >>> sgd = optim.functional.pure(optim.SGD)
    >>> lr = mg.tensor(0.1, dtype="float64", requires_grad=True)
    >>> params = [mg.tensor([3.0], dtype="float64", requires_grad=True)]
    >>> state = sgd.init(params)
    >>> for _ in range(2):  # of x², whose steps multiply x by 1 - 2·lr
    ...     loss = (params[0] ** 2).sum()
    ...     grads = mg.grad(loss, params, create_graph=True)
    ...     params, state = sgd.update(params, grads, state, lr=lr)
    >>> round(params[0].item(), 6), round(mg.grad(params[0].sum(), lr).item(), 6)  # (1 - 2·lr)²·3, -4·(1 - 2·lr)·3
    (1.92, -9.6)
    """

    def __init__(self, algorithm: type[ElementwiseOptimizer], **settings: Any) -> None:
        if not (isinstance(algorithm, type) and issubclass(algorithm, ElementwiseOptimizer)):
            raise TypeError(f"pure: expected a class of optimizers whose step is a formula, got {algorithm!r}")
        self.algorithm, self.name, self.settings = algorithm, algorithm.__name__, settings
        if issubclass(algorithm, SparseAdam):
            raise TypeError(f"pure: {self.name} takes row-sparse gradients, which the tape does not record")
        if algorithm.reduces and algorithm.between is ElementwiseOptimizer.between:
            raise TypeError(f"pure: {self.name} has an update() of its own, which is not written for Tensors")
        self._settled({})

    def init(self, params: Params) -> State:
        """The state before the first update.

        Raises TypeError for what is no list, tuple or dictionary of floating-point Tensors.
        """
        return State(_like(params, [{} for _ in self._checked(params)]), {})

    def update(self, params: Params, grads: Params, state: State, **settings: Any) -> tuple[Params, State]:
        """Parameters and state after one step, in new Tensors.

        grads: of the form and the shapes of `params`. A parameter whose gradient is None stays as it is, and its state
            too. What `mg.grad` computes with create_graph=True is differentiated as well; without it, gradients count
            as constants, and a derivative through several steps lacks a part.
        settings: they stand in the place of those given to `pure`.

        Raises TypeError and ValueError for what does not fit, in form, shape, dtype or device, and for settings as
        `pure` does.
        """
        keys = self._checked(params)
        if not isinstance(state, State):
            raise TypeError(f"{self.name}.update: expected a state that init or update gave, got {state!r}")
        for what, values in (("grads", grads), ("state", state.each)):
            differ = set(keys) ^ set(self._keys(what, values))
            if differ:
                raise ValueError(
                    f"{self.name}.update: params and {what} differ in {sorted(differ, key=str)}; expected both as "
                    "lists, or as dictionaries of the same keys"
                )
        optimizer, group = self._settled(settings)
        group.update(state.shared or optimizer.shared(group))
        results: dict[Any, Any] = {}
        each = {key: state.each[key] for key in keys}
        for key in keys:
            if grads[key] is not None:
                self._check_fit(f"grads[{key!r}]", grads[key], params[key])
                results[key], each[key] = self._stepped(optimizer, params[key], grads[key], each[key], group)
        stepped = [results[key] | each[key] for key in results]
        shared = optimizer.shared_next(group, stepped) if stepped else state.shared
        moved = [results[key]["p"] if key in results else params[key] for key in keys]
        return _like(params, moved), State(_like(params, list(each.values())), shared)

    def _stepped(
        self, optimizer: ElementwiseOptimizer, p: Tensor, g: Tensor, entry: dict[str, Any], group: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the formula returns, by its names, and the parameter's new state."""
        formula, keys, numbers = optimizer.formula, optimizer.state_keys, optimizer.numbers
        arrays: dict[str, Any] = dict.fromkeys(formula.arrays)
        arrays |= {"p": p, "g": g}
        for name, key in keys.items():
            arrays[name] = entry[key] if key in entry else _started(optimizer, name, group, p)
            self._check_fit(f"state {key!r}", arrays[name], p)
        t = entry.get("step", 0) + 1
        values = list(optimizer._settings(group))
        values += [entry.keys().isdisjoint(keys.values())] * formula.sees_first
        values += [entry[n] if entry else optimizer.initial(n, group, p) for n in numbers]
        values += [t] * formula.counted
        given = arrays | dict(zip(formula.hyperparameters, values, strict=True))
        results: dict[str, Any] = {}
        with np.errstate(all="ignore"):
            for one in formula.formulas:
                given |= optimizer.between(one, given, group)
                results |= one.results(given)
                given |= results
        new = entry | {n: results[n] for n in numbers} | ({"step": t} if formula.counted else {})
        for name, key in keys.items():
            value = results.get(name, arrays[name])
            if name not in results or value is not arrays[name]:  # what the settings don't use is returned as it came
                new[key] = _as(p.dtype, value)
        return results | {"p": _as(p.dtype, results["p"])}, new

    def _settled(self, settings: dict[str, Any]) -> tuple[ElementwiseOptimizer, dict[str, Any]]:
        """An optimizer with these settings, for its checks and rules, and its group with Tensors where they matter."""
        settings = self.settings | settings
        numbers = {name: self._number(name, value) for name, value in settings.items()}
        optimizer = self.algorithm([Tensor(np.zeros(()))], **numbers)
        group = optimizer.param_groups[0]
        options = settings.keys() - group.keys()
        if options:
            raise TypeError(f"{self.name}: {', '.join(sorted(options))} is for optimizers that step in place")
        return optimizer, group | {name: _recorded(value, group[name]) for name, value in settings.items()}

    def _number(self, name: str, value: Any) -> Any:
        if isinstance(value, tuple | list):
            return tuple(self._number(f"{name}[{i}]", member) for i, member in enumerate(value))
        if isinstance(value, Tensor) and value.shape:
            raise ValueError(f"{self.name}: {name}: expected a Tensor of shape (), got one of shape {value.shape}")
        return value.item() if isinstance(value, Tensor) else value

    def _keys(self, what: str, values: Any) -> Sequence[Any]:
        """The names of a dictionary, the numbers of a list."""
        if isinstance(values, Mapping):
            return list(values)
        if isinstance(values, list | tuple):
            return range(len(values))
        raise TypeError(f"{self.name}: {what}: expected a list, tuple or dictionary, got a {type(values).__name__}")

    def _checked(self, params: Params) -> Sequence[Any]:
        keys = self._keys("params", params)
        for key in keys:
            p = params[key]
            if not isinstance(p, Tensor) or p.dtype.kind != "f":
                got = f"one of {p.dtype}" if isinstance(p, Tensor) else f"a {type(p).__name__}"
                raise TypeError(f"{self.name}: params[{key!r}]: expected a Tensor of floating-point numbers, got {got}")
        return keys

    def _check_fit(self, what: str, x: Any, p: Tensor) -> None:
        if not isinstance(x, Tensor):
            hint = "; to_dense() makes one" if isinstance(x, RowSparse) else ""
            raise TypeError(f"{self.name}.update: {what}: expected a Tensor, got a {type(x).__name__}{hint}")
        if (x.shape, x.dtype, x.device) != (p.shape, p.dtype, p.device):
            raise ValueError(
                f"{self.name}.update: {what} of shape {x.shape} {x.dtype} on {x.device} for a parameter of shape "
                f"{p.shape} {p.dtype} on {p.device}"
            )


class _Setting(Tensor):
    """A setting that is differentiated: switched on, whatever its value, since its derivative is not 0 at 0."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


def _recorded(value: Any, number: Any) -> Any:
    """A setting as the formula takes it: the checked number, or the Tensor where one is being differentiated."""
    if isinstance(value, tuple | list):
        return tuple(_recorded(*pair) for pair in zip(value, number, strict=True))
    copy = +value if isinstance(value, Tensor) else None
    return number if copy is None or copy.node is None else _Setting(copy.data, copy.node, True)


def _started(optimizer: ElementwiseOptimizer, name: str, group: dict[str, Any], p: Tensor) -> Tensor:
    """An array of the state before the first step; the parameter itself where it is a copy of that."""
    initial = optimizer.initial(name, group, p)
    return p if initial is p.data else _as(p.dtype, ops.zeros_like(p) + initial)


def _as(dtype: Any, x: Tensor) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)


def _like(params: Params, values: list[Any]) -> Params:
    if isinstance(params, Mapping):
        return dict(zip(params, values, strict=True))
    return tuple(values) if isinstance(params, tuple) else values
