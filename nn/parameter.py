"""Tensors that a module owns."""

from __future__ import annotations

from typing import Any

from minigrad import Tensor
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
    """A tensor that a module keeps and saves but does not train, such as a running mean."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(as_array(data))
