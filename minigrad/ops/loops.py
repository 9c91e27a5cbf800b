"""Loops that Numba compiles where it is installed, for operations that cost NumPy several calls or passes.

Each computes what the NumPy code at its place of use in another file of this folder does, and is only taken for
C-contiguous NumPy arrays of one of two types; without Numba, that NumPy code runs. `exp`, `log`, `erf` and products of
many factors may differ between the two in the last bits.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np

FEW = 4096
"""The most logits for which the cross entropy takes its loop: on more, NumPy's vectorized exp outweighs its calls."""
MANY = 8192
"""From so many elements on, passes over memory cost more than calls do."""
INSTALLED = importlib.util.find_spec("numba") is not None


class Loop(dict[Any, Callable[..., Any] | None]):
    """dtype -> the function compiled for arrays of it, or None where NumPy must do.

    signature: one letter for each argument: "v" a vector, "m" a matrix, "s" a number, "i" a vector of int64.
    """

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        super().__init__()
        self.function, self.signature = function, signature

    def __missing__(self, dtype: Any) -> Callable[..., Any] | None:
        compiled = None
        if INSTALLED and dtype in (np.float32, np.float64):
            import numba

            real = numba.from_dtype(np.dtype(dtype))
            types = {"v": numba.types.Array(real, 1, "C"), "m": numba.types.Array(real, 2, "C"), "s": real}
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


def _where_inside(g, a, low, high, out):
    for i in range(g.size):
        out[i] = g[i] if (a[i] >= low and a[i] <= high) else g.dtype.type(0)


def _sigmoid(x, e):
    one = x.dtype.type(1)
    for i in range(x.size):
        e[i] = (one if x[i] >= 0 else e[i]) / (one + e[i])


def _share_extremum(g, ans, a, out):
    for i in range(a.shape[0]):
        ties = 0
        for j in range(a.shape[1]):
            ties += a[i, j] == ans[i] or a[i, j] != a[i, j]
        share = g[i] / g.dtype.type(ties)
        for j in range(a.shape[1]):
            out[i, j] = share if (a[i, j] == ans[i] or a[i, j] != a[i, j]) else g.dtype.type(0)


def _scale_distance(share, center, a, out):
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = (a[i, j] - center[i]) * share[i]


def _product(a, out):
    for row in range(0, a.shape[0], 4):  # four at a time, as each product waits for the one before
        i = min(row, a.shape[0] - 4)
        p = q = r = s = a.dtype.type(1)
        for j in range(a.shape[1]):
            p *= a[i, j]
            q *= a[i + 1, j]
            r *= a[i + 2, j]
            s *= a[i + 3, j]
        out[i], out[i + 1], out[i + 2], out[i + 3] = p, q, r, s


def _times_others(g, a, out):
    n = a.shape[1]
    for i in range(a.shape[0]):
        before, after = g[i], a.dtype.type(1)  # g times all factors before j, and all behind k
        out[i, n // 2] = 1
        for j in range(n // 2):
            k = n - 1 - j
            out[i, j], out[i, k] = before, after
            before *= a[i, j]
            after *= a[i, k]
        for j in range(n // 2, n):
            k = n - 1 - j
            out[i, j] *= before
            out[i, k] *= after
            before *= a[i, j]
            after *= a[i, k]


def _sum_of_earlier(a, out):
    for i in range(a.shape[0]):
        total = a.dtype.type(-0.0)  # to which -0.0 can be added
        for j in range(a.shape[1]):
            total += a[i, j]
            out[i, j] = total


def _sum_of_later(g, out):
    n = g.shape[1]
    for i in range(g.shape[0]):
        total = g.dtype.type(-0.0)
        for j in range(1, n + 1):
            total += g[i, n - j]
            out[i, n - j] = total


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
where_inside = Loop(_where_inside, "vvssv")
sigmoid = Loop(_sigmoid, "vv")
share_extremum = Loop(_share_extremum, "vvmm")
scale_distance = Loop(_scale_distance, "vvmm")
product = Loop(_product, "mv")
times_others = Loop(_times_others, "vmm")
sum_of_earlier = Loop(_sum_of_earlier, "mm")
sum_of_later = Loop(_sum_of_later, "mm")
add_to_rows = Loop(_add_to_rows, "mv")
cross_entropy = Loop(_cross_entropy, "mim")
