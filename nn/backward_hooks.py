"""Full backward hooks: they see, and may replace, the gradients that enter and leave a call of a module.

What goes into the call is first joined to one vector and cut into its parts again, and so is what comes out. Through
the two nodes of these vectors on the tape all gradients of one side of the call pass together: there the hooks stand.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np

from minigrad import Tensor, ops
from minigrad.backend import is_array
from minigrad.tape import Variable, grad_mode

Gradients = tuple[Any, ...]
"""One for each value, None where the value wants none."""


class BackwardHooks:
    """The full backward hooks of a module around one call: `before` takes its inputs, `after` its answer."""

    def __init__(self, module: Any, pre_hooks: dict[int, Any], hooks: dict[int, Any]) -> None:
        self.module, self.pre_hooks, self.hooks = module, tuple(pre_hooks.values()), tuple(hooks.values())
        self.none_wanted: Gradients | None = None  # the gradients of inputs none of which wants one
        self.grad_output: Gradients | None = None  # on its way from the answer to the inputs

    def before(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs that the module is to be called with."""
        joined = _joined(args, self._on_inputs)
        if joined is args:
            self.none_wanted = (None,) * len(args)
        return joined

    def after(self, answer: Any) -> Any:
        """What the call is to return."""
        if isinstance(answer, Variable):
            return _joined((answer,), self._on_answer)[0]
        if isinstance(answer, tuple):
            joined = _joined(answer, self._on_answer)
            return type(answer)(*joined) if hasattr(answer, "_fields") else joined
        warnings.warn(
            f"{type(self.module).__name__}: its full backward hooks won't be called: they need an answer that is a "
            f"Tensor or a tuple, got a {type(answer).__name__}",
            stacklevel=3,
        )
        return answer

    def _on_answer(self, grad_output: Gradients) -> Gradients:
        for hook in self.pre_hooks:
            grad_output = self._replaced(grad_output, hook(self.module, grad_output), "pre-hook")
        self.grad_output = grad_output
        if self.none_wanted is not None:
            self._on_inputs(self.none_wanted)
        return grad_output

    def _on_inputs(self, grad_input: Gradients) -> Gradients:
        grad_output, self.grad_output = self.grad_output, None
        if grad_output is not None:  # else the gradient came by another way than through the answer
            for hook in self.hooks:
                grad_input = self._replaced(grad_input, hook(self.module, grad_input, grad_output), "hook")
        return grad_input

    def _replaced(self, gradients: Gradients, given: Any, kind: str) -> Gradients:
        """The gradients, or those that a hook has returned in their place; None stands for zeros."""
        if given is None:
            return gradients
        where = f"{type(self.module).__name__}: a full backward {kind} returned"
        given = given if isinstance(given, tuple | list) else (given,)
        if len(given) != len(gradients):
            raise ValueError(f"{where} {len(given)} gradients, expected {len(gradients)}")
        pairs = enumerate(zip(gradients, given, strict=True))
        return tuple(_checked(f"{where}, at place {i},", own, new) for i, (own, new) in pairs)


def _checked(where: str, own: Any, new: Any) -> Any:
    """What takes the place of one gradient."""
    if new is None:
        return None if own is None else Tensor(np.zeros_like(own.data))
    if own is None:
        raise ValueError(f"{where} a gradient for what wants none")
    if not isinstance(new, Variable) and not is_array(new):
        raise TypeError(f"{where} a {type(new).__name__}, expected a Tensor, an array or None")
    if new.shape != own.shape:
        raise ValueError(f"{where} shape {new.shape}, expected {own.shape}")
    return new if isinstance(new, Variable) else Tensor(new)


def _joined(values: tuple[Any, ...], hook: Callable[[Gradients], Gradients]) -> tuple[Any, ...]:
    """The same values, whose gradients `hook` will see together; `values` itself where none wants a gradient."""
    wanting = [i for i, value in enumerate(values) if isinstance(value, Variable) and value._requires_grad]
    if not wanting or not grad_mode.enabled:
        return values
    kinds = [(values[i].shape, values[i].dtype) for i in wanting]
    ends = list(accumulate(values[i].size for i in wanting))
    no_gradients = (None,) * len(values)

    def joined(tensors: tuple[Any, ...]) -> Any:
        return ops.concatenate([tensors[i].reshape(-1) for i in wanting])

    def cut(vector: Any, others: tuple[Any, ...]) -> tuple[Any, ...]:
        whole = list(others)
        for i, part, (shape, dtype) in zip(wanting, ops.split(vector, ends[:-1]), kinds, strict=True):
            whole[i] = ops.astype(part.reshape(shape), dtype)
        return tuple(whole)

    def pass_on(g: Any) -> Any:
        gradients = cut(g, no_gradients)
        answered = hook(gradients)
        return None if answered is gradients else joined(answered)

    vector = joined(values)
    vector.register_hook(pass_on)
    return cut(vector, values)
