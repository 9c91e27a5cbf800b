"""Reading and writing parts of an array."""

from __future__ import annotations

import numpy as np

from minigrad.tape import Variable, differentiable


@differentiable(lambda g, a_shape, key: put(g, a_shape, key))
def getitem(a, key):
    """a[key], by NumPy's rules of basic and advanced indexing."""
    return a[key]


@differentiable(lambda g, key: getitem(g, key))
def put(a, shape, key):
    """Zeros of `shape` with `a` added at `key`: an index that comes twice is added twice."""
    out = np.zeros_like(a, shape=shape)
    if is_basic(key):
        out[key] = a
    else:
        np.add.at(out, key, a)
    return out


def is_basic(key):
    """Whether a key is of integers, slices, None and Ellipsis alone, which no element is read by twice."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice | np.integer) for part in parts)


def raw_key(key):
    """`key` with the tensors in it replaced by their arrays."""
    if isinstance(key, tuple):
        return tuple(raw_key(part) for part in key)
    return key.data if isinstance(key, Variable) else key
