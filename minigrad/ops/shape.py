"""Operations that move elements and change none: NumPy's names and arguments."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.ops import loops
from minigrad.ops.elementwise import NUMBER
from minigrad.ops.index import along, getitem, positions, put, take
from minigrad.ops.sequence import MANY, batched, on_sequence
from minigrad.tape import differentiable, explaining, fitted

__all__ = [
    "broadcast_to", "concatenate", "expand_dims", "flip", "pad", "ravel", "repeat", "reshape", "roll", "split",
    "squeeze", "stack", "swapaxes", "transpose",
]  # fmt: skip


@differentiable(lambda g, a_shape: g.reshape(a_shape))
def reshape(a, shape):
    """The elements of `a`, in order, in another shape; one length may be -1."""
    return a.reshape(shape)


@differentiable(lambda g, a_shape: g.reshape(a_shape))
def ravel(a):
    """The elements of `a`, in order, along one axis."""
    return a.ravel()


def _inverse(axes, ndim):
    order = [axis % ndim for axis in axes]
    return tuple(order.index(i) for i in range(ndim))


@differentiable(lambda g, axes: g.T if axes is None else transpose(g, _inverse(axes, g.ndim)))
def transpose(a, axes=None):
    """Axes in another order; reversed by default."""
    return a.transpose(axes)


@differentiable(lambda g, axis1, axis2: g.swapaxes(axis1, axis2))
def swapaxes(a, axis1, axis2):
    """Two axes exchanged."""
    return a.swapaxes(axis1, axis2)


@differentiable(lambda g, a_shape: g.reshape(a_shape))
def squeeze(a, axis=None):
    """Axes of length 1 removed."""
    return a.squeeze(axis)


@differentiable(lambda g, a_shape: g.reshape(a_shape))
def expand_dims(a, axis):
    """Axes of length 1 put in at `axis`."""
    if isinstance(axis, int) and -a.ndim - 1 <= axis <= a.ndim:
        front = axis % (a.ndim + 1)
        return a.reshape(*a.shape[:front], 1, *a.shape[front:])
    return np.expand_dims(a, axis)


@differentiable(lambda g, array_shape: fitted(g, array_shape, g.dtype))
def broadcast_to(array, shape):
    """`array` repeated to `shape`, by NumPy's rules of broadcasting. A view: nothing is copied."""
    return np.broadcast_to(array, shape)


@lru_cache(maxsize=256)
def _parts(shapes, axis):
    """The keys of arrays of these shapes in what they give one after the other."""
    ends = [0]
    for shape in shapes:
        if not -len(shape) <= axis < len(shape):
            raise IndexError(f"concatenate: axis {axis} is out of range for an array of shape {shape}")
        ends.append(ends[-1] + shape[axis])
    return [along(axis, len(shape), slice(*pair)) for shape, pair in zip(shapes, pairwise(ends), strict=True)]


@on_sequence(lambda i, names: lambda g, axis, parts: g[parts[i]])
def _concatenate(arrays, axis, parts):
    return np.concatenate(arrays, axis)


@explaining
def concatenate(arrays, axis=0) -> Any:
    """Arrays one after the other along `axis`; all elements in order along one axis where it is None."""
    if axis is None:
        arrays, axis = [ravel(a) for a in arrays], 0
    if len(arrays) > MANY:
        arrays = [concatenate(part, axis) for part in batched(arrays)]
        return concatenate(arrays, axis)
    return _concatenate(arrays, axis, _parts(tuple([a.shape for a in arrays]), axis))


@on_sequence(lambda i, names: lambda g, axis: g[along(axis, g.ndim, i)])
def _stack(arrays, axis):
    return np.stack(arrays, axis)


@explaining
def stack(arrays, axis=0) -> Any:
    """Arrays of one shape side by side along a new axis."""
    if len(arrays) > MANY:
        return concatenate([_stack(part, axis) for part in batched(arrays)], axis)
    return _stack(arrays, axis)


@lru_cache(maxsize=256)
def _sections(shape, indices_or_sections, axis):
    """The keys of the parts of an array of that shape."""
    if not -len(shape) <= axis < len(shape):
        raise IndexError(f"split: axis {axis} is out of range for an array of shape {shape}")
    n = shape[axis]
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1 or n % indices_or_sections:
            raise ValueError(f"split: {indices_or_sections} equal parts of axis {axis} of shape {shape}")
        cuts = range(0, n + 1, n // indices_or_sections) if n else [0] * (indices_or_sections + 1)
    else:
        cuts = [0, *indices_or_sections, n]
    return [along(axis, len(shape), slice(*pair)) for pair in pairwise(cuts)]


@explaining
def split(ary, indices_or_sections, axis=0) -> Any:
    """A list of parts along `axis`: so many of equal length, or cut at each of the given indices."""
    cuts = indices_or_sections if isinstance(indices_or_sections, int) else tuple(indices_or_sections)
    return [getitem(ary, key) for key in _sections(ary.shape, cuts, axis)]


def flipped(m, axis) -> Any:
    """`flip` of a raw array, or recorded as whatever is called here: rules use it, which costs them less."""
    if isinstance(axis, int) and -m.ndim <= axis < m.ndim:
        return m[along(axis, m.ndim, slice(None, None, -1))]
    return np.flip(m, axis)


@differentiable(lambda g, axis: flipped(g, axis))
def flip(m, axis=None):
    """Elements in reverse order along `axis` (an int, a tuple, or None for all). A view: nothing is copied."""
    return flipped(m, axis)


def _opposite(shift):
    return tuple(-n for n in shift) if isinstance(shift, tuple | list) else -shift


@differentiable(lambda g, shift, axis: roll(g, _opposite(shift), axis))
def roll(a, shift, axis=None):
    """Elements moved by `shift` along `axis`, those that leave at one end coming back at the other."""
    return np.roll(a, shift, axis)


@lru_cache(maxsize=256)
def _copies(shape, repeats, axis):
    """The shape in which the copies of an element lie along an axis of their own, and that axis."""
    if axis is None:
        return (math.prod(shape), repeats), 1
    axis %= len(shape)
    return (*shape[: axis + 1], repeats, *shape[axis + 1 :]), axis + 1


def _sum_of_copies(g, a_shape, repeats, axis):
    if isinstance(repeats, int):
        copies, along_them = _copies(a_shape, repeats, axis)
        total = g.reshape(copies).sum(axis=along_them)
        return total if axis is not None else total.reshape(a_shape)
    shape = (math.prod(a_shape),) if axis is None else a_shape
    axis = 0 if axis is None else axis % len(shape)
    origin = positions(shape[axis], g).repeat(repeats)
    return reshape(put(g, shape, along(axis, len(shape), origin)), a_shape)


@differentiable(_sum_of_copies)
def repeat(a, repeats, axis=None):
    """Each element `repeats` times (an int, or one for each element along `axis`); of all in order by default."""
    return a.repeat(repeats, axis)


@lru_cache(maxsize=256)
def _framed(shape, pad_width):
    """The shape of a padded array, and the key of the array within."""
    sides = [(before, n, after) for n, (before, after) in zip(shape, pad_width, strict=True)]
    return tuple(map(sum, sides)), tuple(slice(before, before + n) for before, n, _ in sides)


@differentiable(lambda g, a_shape, pad_width: g[_framed(a_shape, pad_width)[1]])
def _pad(a, pad_width, constant_values):
    large = a.size >= loops.MANY and a.__class__ is np.ndarray  # np.pad writes no element twice, but takes many calls
    if large or not isinstance(constant_values, NUMBER):
        return np.pad(a, pad_width, constant_values=constant_values) if pad_width else a.copy()
    shape, inner = _framed(a.shape, pad_width)
    out = backend.zeros(shape, a)
    if constant_values or isinstance(constant_values, float):  # which may be -0.0
        out[...] = constant_values
    out[inner] = a
    return out


@explaining
def pad(array, pad_width, mode="constant", constant_values=0) -> Any:
    """`array` with elements put before and after it along each axis.

    pad_width: (before, after) for each axis, for all, or one number for both and all.
    mode: "constant" (`constant_values`), or copies of elements of the array: "edge", "reflect", "symmetric", "wrap".
    """
    if isinstance(pad_width, int):
        widths = ((pad_width, pad_width),) * array.ndim
    else:
        widths = tuple(map(tuple, np.broadcast_to(pad_width, (array.ndim, 2)).tolist()))
    if mode == "constant" or not array.ndim:
        return _pad(array, widths, constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f'pad: mode must be "constant", "edge", "reflect", "symmetric" or "wrap", got {mode!r}')
    for axis, width in enumerate(widths):
        if any(width):
            array = take(array, np.pad(positions(array.shape[axis], array), width, mode), axis)
    return array
