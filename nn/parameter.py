"""Tensors that a module owns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minigrad import Tensor, backend
from minigrad.checks import floating
from minigrad.tensor import as_array


class Parameter(Tensor):
    """A tensor that is trained: as an attribute of a Module it is found by `parameters()`.

    data: numbers, an array or a tensor. An array is taken as it is, not copied.
    requires_grad: False freezes it.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(as_array(data))
        self.requires_grad = requires_grad


class Buffer(Tensor):
    """A tensor that a module keeps and saves but does not train, such as a running mean.

    data: numbers, an array or a tensor. An array is taken as it is, not copied.
    persistent: False leaves it out of `state_dict`.
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Any, *, persistent: bool = True) -> None:
        super().__init__(as_array(data))
        self.persistent = persistent

    def __reduce__(self) -> Any:
        return _rebuilt, (self.data, self.persistent)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        memo[id(self)] = copied = _rebuilt(self.data.copy(), self.persistent)
        return copied


def _rebuilt(data: Any, persistent: bool) -> Buffer:
    return Buffer(data, persistent=persistent)


def filled(value: float, shape: int | tuple[int, ...], device: str | None, dtype: DTypeLike | None) -> Any:
    """A new array of one value, on the CPU and of the default dtype where None is given: where layers begin."""
    dtype = backend.get_default_dtype() if dtype is None else floating("dtype", dtype)
    return backend.to_device(np.full(shape, value, dtype), "cpu" if device is None else device)


def named_array(where: str, value: Any) -> Any:
    """The array of a tensor, an array itself, or a new one from numbers; an error says where the value was given."""
    try:
        return as_array(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from None
