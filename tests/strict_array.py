"""An array that is as strict as CuPy's: what runs on it will not trip over an implicit copy to the CPU.

It wraps a NumPy array and has what `cupy.ndarray` has: operators, methods, indexing, NumPy's functions by dispatch.
Like CuPy it refuses to become a NumPy array unasked, to meet a NumPy array, an array of another device or a list in
arithmetic, and it knows no flags beyond `c_contiguous`, `f_contiguous` and `owndata`. Reductions give arrays of shape
(), never scalars. `np.add.at` takes no lists, slices or tuples as a key, and for the functions of `..._like` a shape of
() is none given. `get` is the one way out.
"""

from types import SimpleNamespace

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

DEVICE = "strict:0"
SCALARS = (bool, int, float, complex, np.generic)
METHODS = (
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "conj", "copy", "cumprod", "cumsum", "diagonal",
    "dot", "flatten", "max", "mean", "min", "prod", "ravel", "repeat", "reshape", "round", "squeeze", "std", "sum",
    "swapaxes", "take", "trace", "transpose", "var", "view",
)  # fmt: skip
CREATORS = ("arange", "empty", "eye", "full", "linspace", "ones", "zeros")


class StrictArray(NDArrayOperatorsMixin):
    """An array on a pretended device."""

    __array_priority__ = 100

    def __init__(self, array, device=DEVICE, base=None):
        self._array, self.device, self.base = array, device, base

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    itemsize = property(lambda self: self._array.itemsize)
    nbytes = property(lambda self: self._array.nbytes)
    strides = property(lambda self: self._array.strides)
    T = property(lambda self: self.transpose())
    real = property(lambda self: self._wrap(self._array.real))
    imag = property(lambda self: self._wrap(self._array.imag))

    @property
    def flags(self):
        flags = self._array.flags
        names = ("c_contiguous", "f_contiguous", "owndata")
        return SimpleNamespace(**{name: getattr(flags, name) for name in names})

    def get(self):
        """A copy as a NumPy array."""
        return self._array.copy()

    def item(self, *index):
        return self._array.item(*index)

    def tolist(self):
        return self._array.tolist()

    def fill(self, value):
        value = self._raw(value)
        self._computed(lambda: self._array.fill(value), writes=True)

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self._array)

    def __float__(self):
        return float(self._array)

    def __int__(self):
        return int(self._array)

    __index__ = __int__
    __hash__ = None

    def __repr__(self):
        return f"strict({self._array!r})"

    def __deepcopy__(self, memo):
        return self.copy()

    # --- refusing

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion to a NumPy array is not allowed; use get()")

    def _raw(self, value, listed=False):
        """The NumPy array behind an argument that may meet this array; `listed` also lets lists of integers through."""
        if isinstance(value, StrictArray):
            if value.device != self.device:
                raise ValueError(f"arrays on {self.device} and {value.device}")
            return value._array
        if value is None or value is Ellipsis or isinstance(value, (*SCALARS, slice, str, np.dtype, type)):
            return value
        if isinstance(value, tuple | list) and listed:
            return type(value)(self._raw(v, True) for v in value)
        raise TypeError(f"Unsupported type {type(value)}")

    def _computed(self, compute, writes=False):
        """What `compute` answers, wrapped; `writes` says that it writes into an array that is there."""
        return self._wrap(compute())

    def _wrap(self, value):
        """What NumPy answered, as arrays on this device; one that shares memory has this array's owner as its base."""
        if isinstance(value, tuple | list):
            return type(value)(self._wrap(v) for v in value)
        if isinstance(value, np.generic):
            return StrictArray(np.asarray(value), self.device)
        if not isinstance(value, np.ndarray):
            return value
        owner = self if self.base is None else self.base
        return StrictArray(value, self.device, owner if np.may_share_memory(value, owner._array) else None)

    # --- NumPy's ways in

    def __array_namespace__(self, api_version=None):
        return Namespace(self.device)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if any(hasattr(x, "backward") for x in inputs):
            return NotImplemented
        if method not in ("__call__", "at", "reduce", "accumulate", "outer"):
            raise TypeError(f"{ufunc.__name__}.{method} is not supported")
        raw = [self._raw(x) for x in inputs]
        if any(x is None or isinstance(x, slice) or x is Ellipsis for x in raw):
            return NotImplemented
        options = {name: self._raw(value, listed=True) for name, value in options.items()}
        if out is not None:
            options["out"] = tuple(self._raw(x) for x in out)
        writes = out is not None or method == "at"
        answer = self._computed(lambda: getattr(ufunc, method)(*raw, **options), writes)
        return out[0] if out is not None else answer

    def _add_at(self, key, values):
        """What cupy.add.at does, which takes each key that reading takes."""
        key, values = self._raw(key, listed=True), self._raw(values)
        self._computed(lambda: np.add.at(self._array, key, values), writes=True)

    def __array_function__(self, function, types, args, options):
        if any(hasattr(t, "backward") for t in types):
            return NotImplemented
        raw = [self._raw(x, listed=True) for x in args]
        raw_options = {name: self._raw(value, listed=True) for name, value in options.items()}
        if not raw_options.get("shape", True):
            del raw_options["shape"]
        out = options.get("out")
        answer = self._computed(lambda: function(*raw, **raw_options), out is not None or function is np.copyto)
        return answer if out is None else out

    def __getitem__(self, key):
        key = self._raw(key, listed=True)
        return self._computed(lambda: self._array[key])

    def __setitem__(self, key, value):
        key, value = self._raw(key, listed=True), self._raw(value)
        self._computed(lambda: self._array.__setitem__(key, value), writes=True)


def _method(name):
    def method(self, *args, out=None, **options):
        args = [self._raw(x, listed=name != "dot") for x in args]
        options = {key: self._raw(value, listed=True) for key, value in options.items()}
        if out is not None:
            options["out"] = self._raw(out)
        answer = self._computed(lambda: getattr(self._array, name)(*args, **options), out is not None)
        return answer if out is None else out

    method.__name__ = name
    return method


for _name in METHODS:
    setattr(StrictArray, _name, _method(_name))


def _diagonal(self, offset=0, axis1=0, axis2=1):
    """A view that can be written, as CuPy's: it has no read-only arrays."""
    view = self._array.diagonal(offset, axis1, axis2)
    view.flags.writeable = self._array.flags.writeable
    return self._wrap(view)


StrictArray.diagonal = _diagonal


class Namespace:
    """The functions that create arrays on a device, and NumPy's others, as `import cupy` gives them."""

    def __init__(self, device):
        self.device = device
        self.ndarray = StrictArray
        self.add = SimpleNamespace(at=StrictArray._add_at)

    def asarray(self, data, dtype=None):
        if isinstance(data, StrictArray):
            return data if dtype is None else data.astype(dtype)
        return StrictArray(np.array(data, dtype), self.device)

    array = asarray

    def __getattr__(self, name):
        function = getattr(np, name)
        if name not in CREATORS:
            return function
        return lambda *args, **options: StrictArray(function(*args, **options), self.device)


def strict(data, dtype=None, device=DEVICE):
    """A strict array with a copy of these values."""
    return StrictArray(np.array(data, dtype), device)
