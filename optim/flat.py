"""All parameters as one vector, for algorithms that see a function of ℝⁿ and no layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from minigrad import RowSparse, Tensor, backend
from minigrad.tape import Write
from optim.interrupt import uninterrupted


class Flat:
    """Parameters as one vector, in their order; a complex one gives its real and imaginary parts in turn.

    The vector has the type that the parameters' types promote to, and is where they are. A parameter that stands twice
    is taken once. Make it anew for each step: it costs little, and parameters may move to another device.

    size: how many real numbers they are.

    Raises ValueError where there are no parameters, where they are on several devices, and for a read-only one.
    """

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.params = list(dict.fromkeys(params))
        devices = sorted({p.device for p in self.params})
        if len(devices) != 1:
            raise ValueError(f"expected parameters on one device, got {len(self.params)} on {devices}")
        for p in self.params:
            if isinstance(p.data, np.generic):  # what `p.data = 2 * p.data` leaves of a 0-d array
                p.data = np.asarray(p.data)
            if backend.read_only(p.data):
                raise ValueError(f"a parameter of shape {p.shape} is read-only")
        self.dtype = np.result_type(*(_reals(p.data)[0].dtype for p in self.params))
        self._ends = [0, *accumulate(len(_reals(p.data)) * math.prod(p.shape) for p in self.params)]
        self.size = self._ends[-1]

    def values(self) -> Any:
        """The parameters as a new vector."""
        return self.joined([p.data for p in self.params])

    def gradients(self) -> Any:
        """Their gradients as a new vector, 0 where there is none."""
        return self.joined([_dense(p.grad) for p in self.params])

    def assign(self, vector: Any) -> None:
        """Write the vector into the parameters, in place; an interrupt waits until all are written."""
        uninterrupted(self._write, vector)

    def split(self, vector: Any) -> list[Any]:
        """The vector as arrays of the parameters' shapes: views of it, but copies where they are complex."""
        return [parts[0] if len(parts) == 1 else _complex(*parts) for parts in self._parts(vector)]

    def joined(self, arrays: list[Any]) -> Any:
        """Arrays of the parameters' shapes as a new vector, 0 for None."""
        vector = backend.empty(self.size, self.params[0].data, self.dtype)
        for array, parts in zip(arrays, self._parts(vector), strict=True):
            for part, real in zip(parts, (0.0,) * len(parts) if array is None else _reals(array), strict=True):
                part[...] = real
        return vector

    def _write(self, vector: Any) -> None:
        for p, parts in zip(self.params, self._parts(vector), strict=True):
            for real, part in zip(_reals(p.data), parts, strict=True):
                real[...] = part
            Write.of(p.data).now()

    def _parts(self, vector: Any) -> Iterator[tuple[Any, ...]]:
        """For each parameter, the views of the vector that hold its real numbers, or real and imaginary parts."""
        for p, (start, end) in zip(self.params, pairwise(self._ends), strict=True):
            apart = len(_reals(p.data))
            yield tuple(vector[start + i : end : apart].reshape(p.shape) for i in range(apart))


def _dense(grad: Any) -> Any:
    """A gradient's array, or None."""
    if isinstance(grad, RowSparse):
        grad = grad.to_dense()
    return None if grad is None else grad.data


def _complex(real: Any, imag: Any) -> Any:
    """An array with these parts; `real + 1j * imag` would make NaN of an infinity."""
    array = np.empty_like(real, dtype=np.result_type(real.dtype, np.complex64))
    array.real[...], array.imag[...] = real, imag
    return array


def _reals(array: Any) -> tuple[Any, ...]:
    """The array, or its real and its imaginary part."""
    return (array.real, array.imag) if array.dtype.kind == "c" else (array,)
