"""Vectors: products and norms of them that neither overflow nor vanish, and tensors as one vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.tape import Variable


@np.errstate(all="ignore")
def dot(a: Any, b: Any) -> float:
    """aᵀ·b as a Python number, also where products leave the range of the arrays' type."""
    product, limits = float(np.dot(a, b)), np.finfo(a.dtype)
    if limits.smallest_normal / limits.eps <= abs(product) < math.inf:
        return product
    sizes = largest(a), largest(b)
    if not all(0 < size < math.inf for size in sizes):
        return product
    u, v = map(binade, sizes)
    return _small_dot(a / u, b / v) * u * v


def norm(a: Any) -> float:
    """The Euclidean norm, whose squares neither overflow nor vanish."""
    size = largest(a)
    if not 0 < size < math.inf:
        return size
    unit = binade(size)
    a = a / unit
    return unit * math.sqrt(_small_dot(a, a))


@np.errstate(all="ignore")
def _small_dot(a: Any, b: Any) -> float:
    """aᵀ·b of numbers below 2 in size; in float64 where float16 does not hold the sum of so many."""
    product = float(np.dot(a, b))
    return product if math.isfinite(product) else float(np.dot(a.astype(np.float64), b.astype(np.float64)))


def largest(a: Any) -> float:
    """max |aᵢ|: NaN where one is; 0 of an empty array."""
    return float(np.maximum(a.max(), -a.min())) if a.size else 0.0


def binade(x: float) -> float:
    """The largest power of two up to x > 0: a division by it rounds nothing."""
    return math.ldexp(1.0, math.frexp(x)[1] - 1)


def join(arrays: Sequence[Any]) -> Any:
    """Arrays as one vector."""
    return np.concatenate([array.reshape(-1) for array in arrays])


def split(flat: Any, tensors: Sequence[Any]) -> list[Any]:
    """A vector as tensors of the shapes and types of `tensors`."""
    ends = np.cumsum([x.data.size for x in tensors]).tolist()
    return [
        Variable.Answer(flat[end - x.data.size : end].reshape(x.data.shape).astype(x.data.dtype))
        for x, end in zip(tensors, ends, strict=True)
    ]
