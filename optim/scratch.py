"""Work space of a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minigrad import Tensor, backend

Shape = tuple[int, ...]


class Scratch:
    """Work space that all parameters share: as much as the largest of them needs, kept from step to step."""

    def __init__(self) -> None:
        self._flat: dict[Any, Any] = {}

    def take(self, p: Tensor, shapes: Callable[[Shape], list[Shape]], params: Iterable[Tensor]) -> list[Any]:
        """Arrays of p's type, on its device, of the shapes that p's gives, with whatever is in them.

        params: all that will ask for some.
        """
        wanted = shapes(p.shape)
        sizes = [math.prod(shape) for shape in wanted]
        key = type(p.data), p.dtype, p.device
        flat = self._flat.get(key)
        if flat is None or flat.size < sum(sizes):
            most = max(sum(math.prod(shape) for shape in shapes(q.shape)) for q in params)
            flat = self._flat[key] = backend.empty(most, p.data)
        ends = np.cumsum(sizes).tolist()
        return [flat[end - size : end].reshape(shape) for shape, size, end in zip(wanted, sizes, ends, strict=True)]
