"""Reading and writing parts of an array."""

from __future__ import annotations

import math
from functools import lru_cache
from types import EllipsisType, NoneType
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.tape import differentiable, explaining, fitted, raw

__all__ = ["diagonal", "getitem", "one_hot", "take", "take_along_axis", "trace"]


@differentiable(lambda g, a_shape, key: put(g, a_shape, key))
def getitem(a, key):
    """a[key], by NumPy's rules of basic and advanced indexing."""
    return a[key]


@differentiable(lambda g, key: getitem(g, key))
def put(a, shape, key):
    """Zeros of `shape` with `a` added at `key`: an index that comes twice is added twice."""
    out = backend.zeros(shape, a)
    if is_basic(key):
        out[key] = a
    else:
        backend.add_at(out, key, a)
    return out


BASIC = (slice, int, NoneType, EllipsisType, np.integer)  # a tuple: `slice | int` would be made anew at each use


def is_basic(key) -> Any:
    """Whether a key is of integers, slices, None and Ellipsis alone, which no element is read by twice."""
    for part in key if isinstance(key, tuple) else (key,):  # noqa: SIM110 (`all` of a generator takes longer)
        if not isinstance(part, BASIC):
            return False
    return True


def raw_key(key) -> Any:
    """`key` with the tensors in it replaced by their arrays."""
    if isinstance(key, (tuple, list)):
        return type(key)([raw_key(part) for part in key])
    return raw(key)


def along(axis, ndim, part) -> Any:
    """The key that takes `part` along one axis, and all of the others."""
    return (slice(None),) * (axis % ndim) + (part,)


def positions(n, like) -> Any:
    """0, 1, ... n - 1, where `like` is."""
    return backend.namespace(raw(like)).arange(n)


@differentiable(lambda g, a_shape, indices, axis: _untaken(g, a_shape, indices, axis))
def take(a, indices, axis=None):
    """Elements of `a` at `indices` along `axis`; of all elements in order by default."""
    return a.take(indices, axis)


def _untaken(g, a_shape, indices, axis):
    if axis is None:
        return put(g, (math.prod(a_shape),), indices).reshape(a_shape)
    return put(g, a_shape, along(axis, len(a_shape), indices))


@explaining
def take_along_axis(arr, indices, axis=-1) -> Any:
    """Elements of `arr` at `indices` along `axis`: `indices` has the rank of `arr`, and an index for each element."""
    raw = raw_key(indices)
    if axis is None:
        arr, axis = arr.reshape(-1), 0
    shape = arr.shape
    if raw.ndim != len(shape):
        raise ValueError(f"take_along_axis: indices of shape {raw.shape} for an array of shape {shape}")
    axis %= len(shape)
    grid = _numpy_grid(shape) if raw.__class__ is np.ndarray else _grid(shape, arr)
    return getitem(arr, (*grid[:axis], raw, *grid[axis + 1 :]))


def _grid(shape, like):
    """The index of each element along each of the axes, for arrays that are broadcast against each other."""
    return [positions(n, like).reshape(-1, *(1,) * (len(shape) - 1 - i)) for i, n in enumerate(shape)]


@lru_cache(maxsize=16)
def _numpy_grid(shape):
    return _grid(shape, np.empty(0))


@differentiable(lambda g, a_shape, offset, axis1, axis2: on_diagonal(g, a_shape, offset, axis1, axis2))
def diagonal(a, offset=0, axis1=0, axis2=1):
    """Elements whose index along `axis2` is `offset` above that along `axis1`, as the last axis. A view."""
    return a.diagonal(offset, axis1, axis2)


@differentiable(lambda g, a_shape, offset, axis1, axis2: fitted(diagonal(g, offset, axis1, axis2), a_shape, g.dtype))
def on_diagonal(a, shape, offset=0, axis1=0, axis2=1):
    out = backend.zeros(shape, a)
    view = out.diagonal(offset, axis1, axis2)
    if view.__class__ is np.ndarray:
        view.flags.writeable = True  # NumPy marks it read-only, as it once was a copy
    view[...] = a
    return out


@differentiable(lambda g, a_shape, offset, axis1, axis2: on_diagonal(g[..., None], a_shape, offset, axis1, axis2))
def trace(a, offset=0, axis1=0, axis2=1):
    """Sum along a diagonal: see `diagonal`."""
    return a.trace(offset, axis1, axis2)


@differentiable()
def one_hot(indices, num_classes, dtype=None):
    """1 at each index along a new last axis of length `num_classes`, 0 elsewhere; in the default type.

    Raises TypeError for indices that are not integers, IndexError (on the CPU) for one outside 0..num_classes - 1.
    """
    if indices.dtype.kind not in "iu":
        raise TypeError("expected integer indices")
    # on a device this check would wait for it
    if isinstance(indices, np.ndarray) and indices.size and not 0 <= indices.min() <= indices.max() < num_classes:
        raise IndexError(f"indices must be in 0..{num_classes - 1}, got {indices.min()} to {indices.max()}")
    hit = indices[..., None] == positions(num_classes, indices)
    return hit.astype(backend.get_default_dtype() if dtype is None else dtype)
