"""RowSparse: a gradient that is 0 but for some rows, and the embedding whose backward makes one."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backend
from minigrad.backend import Array
from minigrad.ops import layers
from minigrad.tape import Variable, differentiable, raw


class RowSparse:
    """A gradient of which some rows are given and the others are 0: what `nn.Embedding(..., sparse=True)` gets.

    dense[rows[i]] = values[i], summed where a row comes more than once.

    rows: (n,) integers, each in 0..shape[0] - 1, kept as int64; a list, an array or a tensor.
    values: (n, *shape[1:]), an array or a tensor, whose memory is shared; to be scaled in place where that is wanted.
    shape: of the whole gradient, which has at least one axis.

    RowSparse + RowSparse is a RowSparse; RowSparse + array (or Tensor) is an array (or Tensor). Times or over a number
    it keeps its rows and its type. What the tape makes is `coalesced`: no row comes twice, so the norm of `values` is
    that of the gradient. It is not on the tape itself.

    Raises TypeError for rows that are not integers, ValueError for shapes that don't fit each other, IndexError (on
    the CPU) for a row out of range.

    >>> g = RowSparse([2, 0, 2], np.array([[1.0, 1.0], [2.0, 3.0], [4.0, 4.0]]), (4, 2))
    >>> g.coalesced()
    RowSparse(rows=[0, 2], values=[[2. 3.] [5. 5.]], shape=(4, 2), dtype=float64)
    >>> g.numpy().tolist()
    [[2.0, 3.0], [0.0, 0.0], [5.0, 5.0], [0.0, 0.0]]
    """

    __slots__ = ("rows", "shape", "values")
    __array_ufunc__ = None  # an array's operators leave it to those below

    def __init__(self, rows: Any, values: Any, shape: tuple[int, ...]) -> None:
        self.values = values = raw(values)
        if not backend.is_array(values) or not isinstance(shape, tuple | list):
            raise TypeError(
                f"RowSparse: expected values as an array or a Tensor and a shape as a tuple, got a "
                f"{type(values).__name__} and {shape!r}"
            )
        self.shape = shape = tuple(shape)
        rows = raw(rows)
        if not backend.is_array(rows):
            rows = backend.namespace(values).asarray(np.array(rows, None if np.size(rows) else np.int64))
        if rows.dtype.kind not in "iu":
            raise TypeError(f"RowSparse: rows must be integers, got {rows.dtype}")
        if not shape or rows.ndim != 1 or values.shape != (*rows.shape, *shape[1:]):
            raise ValueError(
                f"RowSparse: expected rows (n,) and values (n, *shape[1:]), got rows {rows.shape} and values "
                f"{values.shape} for shape {shape}"
            )
        # on a device this check would wait for it
        if isinstance(rows, np.ndarray) and rows.size and not 0 <= rows.min() <= rows.max() < shape[0]:
            raise IndexError(f"RowSparse: rows must be in 0..{shape[0] - 1}, got {rows.min()} to {rows.max()}")
        self.rows = rows.astype(np.int64, copy=False)

    # --- what it is

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        """Type of the values."""
        return self.values.dtype

    @property
    def device(self) -> str:
        """Where rows and values live."""
        return backend.device_of(self.values)

    @property
    def data(self) -> RowSparse:
        """Itself: there is no array of the whole."""
        return self

    def __repr__(self) -> str:
        rows = backend.to_numpy(self.rows).tolist()
        values = " ".join(np.array2string(backend.to_numpy(self.values), threshold=20).split())
        return f"RowSparse(rows={rows}, values={values}, shape={self.shape}, dtype={self.dtype})"

    # --- other forms

    def coalesced(self) -> RowSparse:
        """The same gradient in new arrays: each row once, in ascending order, with the sum of its values."""
        backend.activate(self.rows)
        if bool((self.rows[1:] > self.rows[:-1]).all()):
            return self.copy()
        rows, places = np.unique(self.rows, return_inverse=True)
        values = backend.zeros((len(rows), *self.shape[1:]), self.values)
        backend.add_at(values, places, self.values)
        return RowSparse(rows, values, self.shape)

    def to_dense(self) -> Any:
        """All of it, as a Tensor."""
        return Variable.Answer(self._dense())

    def numpy(self) -> np.ndarray[Any, Any]:
        """All of it, as a NumPy array."""
        return backend.to_numpy(self._dense())

    def _dense(self) -> Array:
        dense = backend.zeros(self.shape, self.values)
        backend.add_at(dense, self.rows, self.values)
        return dense

    def copy(self) -> RowSparse:
        """The same in new arrays."""
        return RowSparse(self.rows.copy(), self.values.copy(), self.shape)

    def __deepcopy__(self, memo: dict[int, Any]) -> RowSparse:
        memo[id(self)] = copied = self.copy()
        return copied

    def zeros(self) -> RowSparse:
        """One of this shape and type without rows."""
        return RowSparse(self.rows[:0], self.values[:0], self.shape)

    def detach(self) -> RowSparse:
        """Itself: it is never on the tape."""
        return self

    def astype(self, dtype: Any) -> RowSparse:
        """The same in another type."""
        return RowSparse(self.rows, self.values.astype(dtype), self.shape)

    def to(self, device: str | None = None, dtype: Any = None) -> RowSparse:
        """The same on another device or in another type; itself where nothing changes."""
        moved = self if dtype is None or self.dtype == dtype else self.astype(dtype)
        if device is None or device == self.device:
            return moved
        return RowSparse(backend.to_device(moved.rows, device), backend.to_device(moved.values, device), self.shape)

    # --- arithmetic

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Variable):
            return self.to_dense() + other
        if not isinstance(other, RowSparse) and not backend.is_array(other):
            return NotImplemented
        if other.shape != self.shape:
            raise ValueError(f"RowSparse: a gradient of shape {other.shape} can't be added to one of {self.shape}")
        if isinstance(other, RowSparse):
            rows, values = ((self.rows, other.rows), (self.values, other.values))
            return RowSparse(np.concatenate(rows), np.concatenate(values), self.shape).coalesced()
        total = other.astype(np.result_type(other.dtype, self.dtype))
        backend.add_at(total, self.rows, self.values)
        return total

    __radd__ = __add__

    def __mul__(self, factor: Any) -> RowSparse:
        return RowSparse(self.rows, (self.values * _number(factor)).astype(self.dtype, copy=False), self.shape)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> RowSparse:
        return RowSparse(self.rows, (self.values / _number(divisor)).astype(self.dtype, copy=False), self.shape)

    def __neg__(self) -> RowSparse:
        return RowSparse(self.rows, -self.values, self.shape)


def _number(value: Any) -> Any:
    number = raw(value)
    if getattr(number, "shape", ()) or not (backend.is_array(number) or isinstance(number, int | float | np.generic)):
        raise TypeError(f"RowSparse: it can be scaled by a number, got {value!r}")
    return number


def _touched_rows(g: Any, weight_shape: Any, indices: Array, padding_idx: int | None) -> RowSparse:
    if isinstance(g, Variable):
        raise RuntimeError(
            "embedding: the gradient of a sparse embedding can't be differentiated again; use sparse=False "
            "where create_graph=True, as second derivatives need it"
        )
    rows, values = indices.reshape(-1), g.reshape(indices.size, *weight_shape[1:])
    if padding_idx is not None:
        kept = rows != padding_idx
        rows, values = rows[kept], values[kept]
    return RowSparse(rows, values, weight_shape).coalesced()


@differentiable(_touched_rows)
def sparse_embedding(weight: Any, indices: Array, padding_idx: int | None = None) -> Any:
    """weight[indices], and a RowSparse as the weight's gradient."""
    return layers.embedding.operation.forward(weight, indices, padding_idx)  # type: ignore[attr-defined]


def embedding(weight: Any, indices: Array, padding_idx: int | None = None) -> Any:
    """weight[indices]: rows of a matrix, whose gradient is a RowSparse. The row `padding_idx` gets none.

    A weight that was computed gets an array: what it was computed from takes no rows.
    """
    computed = isinstance(weight, Variable) and weight.node is not None
    return (layers.embedding if computed else sparse_embedding)(weight, indices, padding_idx)
