"""Loops that Numba compiles where it is installed, for operations that cost NumPy several calls or passes.

Each computes what the NumPy code at its place of use in `elementwise.py`, `neural.py` and `linalg.py` does, and is
only taken for C-contiguous NumPy arrays of one of two types; without Numba, that NumPy code runs. `exp`, `log` and
`erf` may differ between the two in the last bits.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np

FEW = 4096
"""The most logits for which the cross entropy takes its loop: on more, NumPy's vectorized exp outweighs its calls."""
INSTALLED = importlib.util.find_spec("numba") is not None


class Loop(dict[Any, Callable[..., Any] | None]):
    """dtype -> the function compiled for arrays of it, or None where NumPy must do.

    signature: one letter for each argument: "v" a vector, "m" a matrix, "i" a vector of int64.
    """

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        super().__init__()
        self.function, self.signature = function, signature

    def __missing__(self, dtype: Any) -> Callable[..., Any] | None:
        compiled = None
        if INSTALLED and dtype in (np.float32, np.float64):
            import numba

            real = numba.from_dtype(np.dtype(dtype))
            types = {"v": numba.types.Array(real, 1, "C"), "m": numba.types.Array(real, 2, "C")}
            types["i"] = numba.types.Array(numba.int64, 1, "C")
            arguments = tuple(types[letter] for letter in self.signature)
            compiled = numba.njit([arguments], error_model="numpy", nogil=True)(self.function)
        self[dtype] = compiled
        return compiled


def compiled(loop: Loop, *arrays: Any) -> Callable[..., Any] | None:
    """The loop compiled for arrays like these, or None where NumPy must do."""
    first = arrays[0]
    dtype = first.dtype
    for array in arrays:
        if array.__class__ is not np.ndarray or not array.flags.carray or (array is not first and array.dtype != dtype):
            return None
    return loop[dtype]


def _relu(x, out):
    for i in range(x.size):
        out[i] = x[i] if (x[i] > 0 or x[i] != x[i]) else x.dtype.type(0)


def _erf(x, out):
    for i in range(x.size):
        out[i] = math.erf(x[i])


def _where_positive(g, a, out):
    for i in range(g.size):
        out[i] = g[i] if a[i] > 0 else g.dtype.type(0)


def _where_larger(g, a, b, out):
    for i in range(g.size):
        out[i] = g.dtype.type(0) if a[i] < b[i] else g[i] / g.dtype.type(2) if a[i] == b[i] else g[i]


def _add_to_rows(x, b):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] += b[j]


def _cross_entropy(x, target, difference):
    rows, classes = x.shape
    loss = 0.0
    for i in range(rows):
        t = target[i]
        if t < 0 or t >= classes:
            return -1.0
        top = x[i, 0]
        for j in range(1, classes):
            if x[i, j] > top or x[i, j] != x[i, j]:
                top = x[i, j]
        total = x.dtype.type(0)
        for j in range(classes):
            difference[i, j] = np.exp(x[i, j] - top)
            total += difference[i, j]
        loss += np.log(total) - (x[i, t] - top)
        for j in range(classes):
            difference[i, j] /= total
        difference[i, t] -= 1
    return loss / rows


erf = Loop(_erf, "vv")
relu = Loop(_relu, "vv")
where_larger = Loop(_where_larger, "vvvv")
where_positive = Loop(_where_positive, "vvv")
add_to_rows = Loop(_add_to_rows, "mv")
cross_entropy = Loop(_cross_entropy, "mim")
