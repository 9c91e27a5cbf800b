"""Operations that move elements and change none: NumPy's names and arguments."""

from __future__ import annotations

import numpy as np

from minigrad.tape import differentiable, fitted


@differentiable(lambda g, a_shape: reshape(g, a_shape))
def reshape(a, shape):
    """The elements of `a`, in order, in another shape; one length may be -1."""
    return a.reshape(shape)


def _inverse(axes, ndim):
    if axes is None:
        return None
    order = [axis % ndim for axis in axes]
    return tuple(order.index(i) for i in range(ndim))


@differentiable(lambda g, axes: transpose(g, _inverse(axes, g.ndim)))
def transpose(a, axes=None):
    """Axes in another order; reversed by default."""
    return a.transpose(axes)


@differentiable(lambda g, axis1, axis2: swapaxes(g, axis1, axis2))
def swapaxes(a, axis1, axis2):
    """Two axes exchanged."""
    return a.swapaxes(axis1, axis2)


@differentiable(lambda g, a_shape: reshape(g, a_shape))
def squeeze(a, axis=None):
    """Axes of length 1 removed."""
    return a.squeeze(axis)


@differentiable(lambda g, a_shape: reshape(g, a_shape))
def expand_dims(a, axis):
    """Axes of length 1 put in at `axis`."""
    return np.expand_dims(a, axis)


@differentiable(lambda g, array_shape: fitted(g, array_shape, g.dtype))
def broadcast_to(array, shape):
    """`array` repeated to `shape`, by NumPy's rules of broadcasting. A view: nothing is copied."""
    return np.broadcast_to(array, shape)
