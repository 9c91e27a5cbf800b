"""Tensor: an array, its gradient, and the operations as methods. Every operation lives in `minigrad.ops`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minigrad import autograd, backend, ops
from minigrad.sparse import RowSparse
from minigrad.tape import RemovableHandle, Variable, grad_mode, raw


def tensor(data: Any, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor from numbers, nested lists, an array or a tensor; the data are copied.

    dtype: an array keeps its own type by default, Python floats take `get_default_dtype()`, Python ints int64.
    device: "cpu", "cuda" or "cuda:1"; where the array is by default, the CPU for numbers.
    requires_grad: whether gradients are wanted; only floating-point tensors can have one.

    Raises TypeError for data that are not numbers and for integers with `requires_grad`, ValueError for ragged
    lists and unknown devices.
    """
    try:
        array = backend.asarray(raw(data), dtype, device)
    except (TypeError, ValueError) as error:
        raise type(error)(f"tensor: {error}") from error
    made = Tensor(array)
    made.requires_grad = requires_grad
    return made


def as_array(data: Any) -> Any:
    """The array of a tensor, an array itself, or a new array from numbers: shared where there is one already."""
    array = raw(data)
    if array.__class__ is np.ndarray:
        return array
    if not backend.is_array(array):
        return tensor(array).data
    backend.activate(array)
    return array


class Tensor(Variable):
    """An array that remembers how it was computed. Make one with `minigrad.tensor`.

    data: the array itself, NumPy's or CuPy's; operations share it, so write to it only where no gradient needs the
        old value (writes through the tensor, `t[...] = x` or `t += x`, are checked for that).
    grad: None, or a Tensor of the same shape (a RowSparse for a sparse embedding): filled by `backward`.
    requires_grad: whether gradients are wanted for this tensor, or for something that it was computed from.

    Shapes, dtypes, broadcasting, indexing and `axis` are NumPy's. Comparisons are elementwise; tensors hash by
    identity, so they can be keys of a dictionary.
    """

    __slots__ = ()

    # --- the array

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""
        return self.data.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.data.size  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """Type of the elements."""
        return self.data.dtype

    @property
    def device(self) -> str:
        """Where the array lives: "cpu" or "cuda:0"."""
        return backend.device_of(self.data)

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a NumPy array: the array itself on the CPU (not a copy), a copy from a GPU."""
        return backend.to_numpy(self.data)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> Any:
        """The one element as a Python number."""
        if self.size != 1:
            raise ValueError(f"item: a tensor of shape {self.shape} has {self.size} elements, expected 1")
        return self.data.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.data.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth value of a tensor of shape {self.shape} is not one: use all() or any() of its elements"
            )
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len: a tensor of shape () has no length")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), prefix="tensor(", separator=", ")
        notes = [f"dtype={self.dtype}"] if self.dtype != backend.get_default_dtype() else []
        notes += [f"device={self.device!r}"] if self.device != "cpu" else []
        notes += ["requires_grad=True"] if self._requires_grad else []
        return f"tensor({', '.join([values, *notes])})"

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.size == 1 else str(self), spec)

    def __reduce__(self) -> Any:
        if self.node is not None:
            raise RuntimeError("a tensor that was computed on the tape can't be copied or pickled; detach() it first")
        return _rebuild, (type(self), self.data, self.grad, self._requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        function, (cls, data, grad, requires_grad) = self.__reduce__()
        copied = function(cls, data.copy(), None if grad is None else grad.__deepcopy__(memo), requires_grad)
        memo[id(self)] = copied
        return copied

    # --- gradients

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are wanted."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self.node is not None and not wanted:
            raise RuntimeError("requires_grad: this tensor was computed on the tape; use detach() to cut it off")
        if wanted and self.dtype.kind not in "fc":
            raise TypeError(f"requires_grad: only floating-point tensors can have gradients, this one is {self.dtype}")
        self._requires_grad = bool(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made, not computed on the tape."""
        return self.node is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` has gathered, or None."""
        if self._grad.__class__ is np.ndarray:
            self._grad = Tensor(self._grad)
        return self._grad  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, grad: Any) -> None:
        if grad is not None:
            if backend.is_array(grad) or isinstance(grad, np.generic):
                grad = Tensor(np.asarray(grad) if isinstance(grad, np.generic) else grad)
            if not hasattr(grad, "shape"):
                raise TypeError(f"grad: expected a Tensor, an array, a RowSparse or None, got {type(grad).__name__}")
            if grad.shape != self.shape or grad.dtype != self.dtype:
                raise ValueError(
                    f"grad: shape {grad.shape} {grad.dtype} does not fit a tensor of shape {self.shape} {self.dtype}"
                )
            if grad.device != self.device:
                raise ValueError(f"grad: a gradient on {grad.device} for a tensor on {self.device}")
        self._grad = grad

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradient; with `set_to_none=False`, write zeros into it."""
        if set_to_none or self._grad is None:
            self._grad = None
        elif isinstance(self._grad, RowSparse):
            self._grad = self._grad.zeros()
        else:
            grad: Any = self.grad
            self._grad = Tensor(np.asarray(grad.data)) if isinstance(grad.data, np.generic) else grad.detach()
            self._grad.data[...] = 0
            self._grad.mark_written()

    backward = autograd.backward

    def register_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        """Call `hook` with this tensor's gradient in each backward; what it returns, if not None, replaces it."""
        if not self._requires_grad:
            raise RuntimeError("register_hook: this tensor does not require a gradient, so the hook would never run")
        owner = self.node or self
        if owner.hooks is None:
            owner.hooks = {}
        return RemovableHandle(owner.hooks, hook)

    def retain_grad(self) -> None:
        """Have `backward` fill `.grad` of this tensor too, though it was computed."""
        if self.node is not None:
            self.node.retained = weakref.ref(self)

    def detach(self) -> Tensor:
        """A tensor with the same array that the tape does not follow."""
        return Tensor(self.data)

    def to(self, device: str | None = None, dtype: DTypeLike | None = None) -> Tensor:
        """This tensor on another device or in another type; itself where nothing changes."""
        moved = self if dtype is None or self.dtype == dtype else ops.astype(self, dtype)
        return moved if device is None or device == self.device else ops.to_device(moved, device)

    # --- writing

    def _write(self, key: Any, value: Any) -> None:
        data = raw(value)
        if self._requires_grad and grad_mode.enabled:
            raise RuntimeError("a tensor that requires a gradient can be written in place only inside no_grad()")
        if isinstance(value, Variable) and value._requires_grad and grad_mode.enabled:
            raise RuntimeError(
                "a value that requires a gradient can't be written into a tensor: no gradient would pass"
            )
        try:
            self.data[key] = data
        except (ValueError, TypeError, IndexError) as error:
            raise type(error)(f"setting items of a tensor of shape {self.shape}: {error}") from error
        self.mark_written()

    def __setitem__(self, key: Any, value: Any) -> None:
        self._write(ops.raw_key(key), value)

    def _in_place(self, other: Any, operation: Callable[[Any, Any], Tensor]) -> Tensor:
        # Where gradients flow, `t += x` makes a new tensor: the old one may be needed on the way back.
        recorded = self._requires_grad or (isinstance(other, Variable) and other._requires_grad)
        if recorded and grad_mode.enabled:
            if self._requires_grad and self.node is None:
                raise RuntimeError("a leaf that requires a gradient can be written in place only inside no_grad()")
            return operation(self, other)
        answer = operation(self, other)
        _check_fits("in-place arithmetic", answer.data, self.data)
        self._write(..., answer)
        return self

    def __iadd__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.add)

    def __isub__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.subtract)

    def __imul__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.multiply)

    def __itruediv__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.divide)

    def __ifloordiv__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.floor_divide)

    def __imod__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.remainder)

    def __ipow__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.power)

    def __imatmul__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.matmul)

    def __iand__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.bitwise_and)

    def __ior__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.bitwise_or)

    def __ixor__(self, other: Any) -> Tensor:  # type: ignore[misc]
        return self._in_place(other, ops.bitwise_xor)

    # --- operations

    __add__ = __radd__ = ops.add
    __sub__ = ops.subtract
    __mul__ = __rmul__ = ops.multiply
    __truediv__ = ops.divide
    __floordiv__ = ops.floor_divide
    __mod__ = ops.remainder
    __pow__ = ops.power
    __matmul__ = ops.matmul
    __neg__ = ops.negative
    __pos__ = ops.positive
    __abs__ = ops.absolute
    __eq__ = ops.equal
    __ne__ = ops.not_equal
    __lt__ = ops.less
    __le__ = ops.less_equal
    __gt__ = ops.greater
    __ge__ = ops.greater_equal
    __and__ = __rand__ = ops.bitwise_and
    __or__ = __ror__ = ops.bitwise_or
    __xor__ = __rxor__ = ops.bitwise_xor
    __invert__ = ops.invert
    __hash__ = object.__hash__

    def __rsub__(self, other: Any) -> Any:
        return ops.subtract(other, self)

    def __rtruediv__(self, other: Any) -> Any:
        return ops.divide(other, self)

    def __rfloordiv__(self, other: Any) -> Any:
        return ops.floor_divide(other, self)

    def __rmod__(self, other: Any) -> Any:
        return ops.remainder(other, self)

    def __rpow__(self, other: Any) -> Any:
        return ops.power(other, self)

    def __rmatmul__(self, other: Any) -> Any:
        return ops.matmul(other, self)

    def __getitem__(self, key: Any) -> Any:
        return ops.getitem(self, ops.raw_key(key))

    def reshape(self, *shape: Any) -> Any:
        """The elements in another shape: `t.reshape(2, -1)` or `t.reshape((2, -1))`."""
        return ops.reshape(self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def transpose(self, *axes: Any) -> Any:
        """Axes in another order, reversed by default: `t.transpose(1, 0)` or `t.transpose((1, 0))`."""
        return ops.transpose(self, (axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes) or None)

    def flatten(self) -> Any:
        """The elements, in order, along one axis."""
        return ops.ravel(self)

    T = property(ops.transpose, doc="Axes reversed.")
    abs = ops.absolute
    all = ops.all
    any = ops.any
    argmax = ops.argmax
    argmin = ops.argmin
    astype = ops.astype
    clip = ops.clip
    cumsum = ops.cumsum
    diagonal = ops.diagonal
    dot = ops.dot
    exp = ops.exp
    log = ops.log
    max = ops.max
    mean = ops.mean
    min = ops.min
    norm = ops.norm
    prod = ops.prod
    ravel = ops.ravel
    repeat = ops.repeat
    sqrt = ops.sqrt
    squeeze = ops.squeeze
    std = ops.std
    sum = ops.sum
    swapaxes = ops.swapaxes
    take = ops.take
    trace = ops.trace
    var = ops.var

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        """`np.exp(t)` and `array * t` are recorded like `mg.exp(t)` and `t * array`."""
        operation = _OPERATIONS.get(ufunc)
        plain = method == "__call__" and not options
        if plain and operation is None and out is None and ufunc.nout == 1 and not _wants_gradient(*inputs):
            return Tensor(_whole(ufunc(*map(raw, inputs))))
        if not plain or operation is None:
            name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise _not_recorded(name, options)
        answer = operation(*inputs)
        if out is None:
            return answer
        if isinstance(out[0], Variable) or answer.requires_grad:
            raise RuntimeError(f"np.{ufunc.__name__}: `out` can't be a Tensor, nor take a result that is on the tape")
        _check_fits(f"np.{ufunc.__name__}: `out`", answer.data, out[0])
        out[0][...] = answer.data
        return out[0]

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """`np.mean(t, axis=0)` is recorded like `mg.mean(t, axis=0)`; `np.shape(t)` is that of the array."""
        if function in _OF_VALUES:
            return function(*map(raw, args), **{name: raw(value) for name, value in options.items()})
        operation = _OPERATIONS.get(function)
        if operation is None or (operation is _round and _wants_gradient(*args)):
            raise _not_recorded(function.__name__, {})
        try:
            return operation(*args, **options)
        except TypeError as error:  # an option of NumPy's that the operation has not
            raise TypeError(f"np.{function.__name__} on a Tensor: {error}") from error


def _wants_gradient(*values: Any) -> bool:
    return grad_mode.enabled and any(isinstance(value, Variable) and value._requires_grad for value in values)


def _whole(value: Any) -> Any:
    """An array, also of what NumPy gives for a single element."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def _check_fits(what: str, answer: Any, place: Any) -> None:
    """Raise where NumPy would not write `answer` into `place` either, as it would lose or repeat something."""
    if not np.can_cast(answer.dtype, place.dtype, "same_kind"):
        raise TypeError(f"{what}: a result of type {answer.dtype} can't be written into one of {place.dtype}")
    if answer.shape != place.shape:
        raise ValueError(f"{what}: a result of shape {answer.shape} can't be written into one of shape {place.shape}")


def _round(a: Any, decimals: int = 0) -> Tensor:
    return Tensor(_whole(np.round(raw(a), decimals)))


def _hstack(tup: Any) -> Any:
    arrays = [a if a.ndim else ops.reshape(a, 1) for a in _operands(tup)]
    return ops.concatenate(arrays, 0 if arrays[0].ndim == 1 else 1)


def _vstack(tup: Any) -> Any:
    return ops.concatenate([a if a.ndim > 1 else ops.reshape(a, (1, -1)) for a in _operands(tup)])


def _operands(values: Any) -> list[Any]:
    return [value if hasattr(value, "ndim") else np.asarray(value) for value in values]


_OPERATIONS = {getattr(np, name): getattr(ops, name) for name in ops.__all__ if hasattr(np, name)}
_OPERATIONS |= {np.amax: ops.max, np.amin: ops.min, np.linalg.norm: ops.norm}
_OPERATIONS |= {np.round: _round, np.around: _round, np.hstack: _hstack, np.vstack: _vstack}
"""NumPy's functions, and the operations that stand for them where an argument is a Tensor."""

_OF_VALUES = {
    np.allclose, np.argsort, np.array_equal, np.count_nonzero, np.isclose, np.ndim, np.shape, np.size
}  # fmt: skip
"""NumPy's functions whose answers have no gradient: they get the arrays."""


def _not_recorded(name: str, options: dict[str, Any]) -> TypeError:
    given = f" with {', '.join(options)}" if options else ""
    return TypeError(
        f"np.{name}{given} is not an operation on Tensors: no gradient would pass. Use minigrad's operations, "
        "or take the array with .detach().numpy()"
    )


def _rebuild(cls: type[Tensor], data: Any, grad: Any, requires_grad: bool) -> Tensor:
    made = cls.__new__(cls)  # a subclass may take other arguments
    Variable.__init__(made, data, None, requires_grad)
    made._grad = grad
    return made


Variable.Answer = Tensor
