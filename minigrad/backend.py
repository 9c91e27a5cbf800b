"""Arrays and where they live: the file that knows NumPy from CuPy.

Everything else calls NumPy's functions (`np.exp(x)`, `np.where(...)`): a CuPy array answers them itself, through
`__array_ufunc__` and `__array_function__`. What cannot be reached that way stands here: creating arrays on a
device, moving them, asking where they are, random streams, and the default floating-point type.
"""

from __future__ import annotations

import sys
import threading
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minigrad.checks import count, floating

Array = Any  # numpy.ndarray, cupy.ndarray, or an array type that says its namespace itself

_default_dtype: np.dtype[Any] = np.dtype(np.float32)


def is_array(value: object) -> bool:
    """Whether `value` is an array that a Tensor can hold as it is."""
    return isinstance(value, np.ndarray) or is_cupy(value) or hasattr(type(value), "__array_namespace__")


def is_cupy(value: object) -> bool:
    """Whether `value` is an array of CuPy's."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(value, cupy.ndarray)


ON_HOST = (np.ndarray, np.generic)  # a tuple: `np.ndarray | np.generic` would be made anew at each use


def namespace(array: Array) -> ModuleType:
    """The module whose functions create arrays of the same kind as `array`, and where it is: numpy or cupy."""
    if isinstance(array, ON_HOST):
        return np
    if is_cupy(array):
        activate(array)
        return sys.modules["cupy"]
    module: ModuleType = array.__array_namespace__()
    return module


def device_of(array: Array) -> str:
    """Where `array` lives: "cpu" or "cuda:0", "cuda:1", ..."""
    if isinstance(array, ON_HOST):
        return "cpu"
    return f"cuda:{array.device.id}" if is_cupy(array) else str(array.device)


def to_device(array: Array, device: str) -> Array:
    """`array` on `device` ("cpu", "cuda" or "cuda:1"); the same array where it is there already.

    Raises ValueError for a name that is no device, RuntimeError where CuPy or a GPU is missing.
    """
    if device == "cpu":
        return to_numpy(array)
    if device == device_of(array):
        return array
    cupy = cupy_for(device)
    if isinstance(array, np.ndarray):
        refuse("bringing an array from the host")
    with cupy.cuda.Device(_cuda_index(device)):
        return cupy.asarray(array)


def activate(*arrays: Any) -> None:
    """Make the GPU that holds these arrays the current one: CuPy computes there, wherever the operands are.

    Raises ValueError where they are on several. What is no array of CuPy's is passed over.
    """
    device = None
    for array in arrays:
        if is_cupy(array):
            if device is None:
                device = array.device
                device.use()
            elif array.device != device:
                raise ValueError(f"expected arrays on one device, not on cuda:{device.id} and {device_of(array)}")


def checked_device(device: str) -> str:
    """The device's full name, "cpu" or "cuda:0"; raises as `to_device` does where there is no such device."""
    if device == "cpu":
        return device
    index = _cuda_index(device)
    _working_cupy(index)
    return f"cuda:{index}"


def cupy_for(device: str) -> Any:
    """The module `cupy`, which has run a kernel on this GPU.

    Raises ValueError for a name that is no GPU, RuntimeError that says what is missing.
    """
    return _working_cupy(_cuda_index(device))


EXACT = ("--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true")
"""How CUDA kernels are compiled: each + - × ÷ √ rounded by itself, as on the CPU."""


class RawKernel:
    """A CUDA kernel from its source, compiled with `EXACT` at its first launch on a device.

    CuPy's own class of this name appends an option that makes 0 of subnormal numbers.
    """

    def __init__(self, source: str, name: str) -> None:
        self.source, self.name = source, name
        self._functions: dict[int, Any] = {}

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        """Launch it on the current device, in its current stream.

        arguments: CuPy arrays for pointers, None for one that is null, NumPy's numbers and arrays of one element for
            numbers, `struct`s.
        """
        cuda = sys.modules["cupy"].cuda
        device = cuda.runtime.getDevice()
        function = self._functions.get(device)
        if function is None:
            binary, _ = cuda.compiler.compile_using_nvrtc(self.source, EXACT, cache_in_memory=True)
            module = cuda.Module()
            module.load(binary)
            function = self._functions[device] = module.get_function(self.name)
        function(grid, block, arguments)


def struct(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A structured array of one element, seen as a kernel's argument.

    CuPy asks an array for all that NumPy knows of it: to describe its fields takes as long as the rest of a launch.
    """
    return array.view(np.dtype((np.void, array.nbytes)))


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """`array` as a NumPy array: itself on the CPU, a copy of one on a GPU."""
    if isinstance(array, np.ndarray):
        return array
    if isinstance(array, np.generic):
        return np.asarray(array)
    copied: np.ndarray[Any, Any] = array.get()  # CuPy's explicit transfer; implicit ones raise
    return copied


def asarray(data: Any, dtype: DTypeLike | None = None, device: str | None = None) -> Array:
    """A new array from numbers, nested lists or an array.

    An array keeps its own type; Python floats take the default dtype. The answer never shares memory with `data`.
    """
    activate(data)
    array = data.copy() if is_array(data) else np.array(data)
    if dtype is None and not is_array(data) and not isinstance(data, np.generic) and array.dtype == np.float64:
        dtype = _default_dtype
    if array.dtype.kind not in "biufc":
        raise TypeError(f"data of type {type(data).__name__} gives no numeric array (dtype {array.dtype})")
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    return array if device is None else to_device(array, device)


def empty(shape: Any, like: Array, dtype: DTypeLike | None = None) -> Array:
    """An array with nothing written to it yet, where `like` is, and of its type unless told.

    CuPy's `empty_like` and `zeros_like` can't stand for this and `zeros`: they take a shape of () for none given.
    """
    return namespace(like).empty(shape, dtype=dtype or like.dtype)


def zeros(shape: Any, like: Array, dtype: DTypeLike | None = None) -> Array:
    """An array of zeros, where `like` is, and of its type unless told."""
    return namespace(like).zeros(shape, dtype=dtype or like.dtype)


def add_at(array: Array, key: Any, values: Any) -> None:
    """array[key] += values, where an element that `key` has twice is added to twice.

    A CuPy array hands on `np.add.at` only where the key is an array.
    """
    add = np.add if isinstance(array, np.ndarray) else namespace(array).add
    add.at(array, key, values)


@lru_cache(maxsize=64)
def _numpy_ones(n: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return np.ones(n, dtype)


_device_ones: dict[Any, Array] = {}  # the latest of them: to make some is a launch


def ones(n: int, like: Array) -> Array:
    """A vector of n ones of the type and on the device of `like`, to be read only."""
    if isinstance(like, np.ndarray):
        return _numpy_ones(n, like.dtype)
    key = n, like.dtype, type(like), device_of(like)
    made = _device_ones.get(key)
    if made is None:
        made = namespace(like).ones(n, dtype=like.dtype)
        if thread.recording is None:  # else only a replay fills them
            _device_ones[key] = made
            if len(_device_ones) > 64:
                del _device_ones[next(iter(_device_ones))]
    return made


def in_order(array: Array) -> bool:
    """Whether the elements lie one after the other, aligned and writable, as compiled loops take them."""
    flags = array.flags
    return bool(flags.carray if isinstance(array, np.ndarray) else flags.c_contiguous)


def read_only(array: Array) -> bool:
    """Whether writing to the array would raise."""
    return isinstance(array, np.ndarray) and not array.flags.writeable


def copy_into(target: Array, source: Array) -> None:
    """Write the values of `source` (NumPy's or the target's kind of array) into the array `target`."""
    activate(target)
    if is_cupy(target) and _alike(target, source):
        target.data.copy_from_device_async(source.data, target.nbytes)  # a quarter of what an assignment costs
        return
    if isinstance(source, np.ndarray) and not isinstance(target, np.ndarray):
        source = namespace(target).asarray(source)
    elif isinstance(target, np.ndarray):
        source = to_numpy(source)
    target[...] = source


def _alike(target: Array, source: Array) -> bool:
    """Whether the memory of one array could be copied to another's as it is."""
    return (
        target.__class__ is source.__class__
        and target.dtype == source.dtype
        and target.shape == source.shape
        and target.device == source.device
        and bool(target.flags.c_contiguous and source.flags.c_contiguous)
    )


def get_default_dtype() -> np.dtype[Any]:
    """The dtype of tensors made from Python floats, and of new layers: float32 unless set."""
    return _default_dtype


def set_default_dtype(dtype: DTypeLike) -> None:
    """Set the dtype of tensors made from Python floats, and of new layers. It must be a floating-point type."""
    global _default_dtype
    _default_dtype = floating("set_default_dtype: dtype", dtype)


class _Thread(threading.local):
    """What each thread has of its own, so that threads that seed themselves don't disturb each other."""

    generator: np.random.Generator | None = None  # made at first use: numpy.random takes long to import
    recording: Any = None  # the step that is being captured as a CUDA graph


thread = _Thread()


def refuse(what: str) -> None:
    """Raise RuntimeError where a step is being captured that does `what`, which a replay would not do again."""
    if thread.recording is not None:
        raise RuntimeError(f"capture: {what} can't be part of a captured step")


def manual_seed(seed: int) -> np.random.Generator:
    """Restart this thread's random stream (initial weights, dropout) from `seed`, and return it.

    The stream is NumPy's on every device, so a seed gives the same initial weights on a CPU and on a GPU.
    """
    generator = thread.generator = np.random.default_rng(count("manual_seed: seed", seed))
    return generator


def default_generator() -> np.random.Generator:
    """This thread's random stream, seeded by `manual_seed`, from the system's entropy otherwise."""
    refuse("drawing random numbers on the host")
    if thread.generator is None:
        thread.generator = np.random.default_rng()
    return thread.generator


def given_generator(name: str, generator: Any) -> Any:
    """`generator`, or this thread's random stream for None. Raises TypeError for anything else."""
    if generator is None:
        return default_generator()
    if not hasattr(generator, "integers"):  # its method, where a RandomState has others
        raise TypeError(f"{name}: generator must be a numpy.random.Generator, got {generator!r}")
    return generator


def _cuda_index(device: str) -> int:
    kind, _, index = device.partition(":") if isinstance(device, str) else ("", "", "")
    if kind != "cuda" or not (index.isdigit() or device == "cuda"):
        hint = "; a type is given as dtype=" if _is_dtype(device) else ""
        raise ValueError(f'device must be "cpu", "cuda" or "cuda:<index>", got {device!r}{hint}')
    return int(index or 0)


def _is_dtype(value: Any) -> bool:
    try:
        return value is not None and np.dtype(value) is not None
    except TypeError:
        return False


@cache
def _working_cupy(index: int) -> Any:
    """CuPy, once a kernel has run on this GPU: an import alone proves neither driver nor matching version."""
    device = f"cuda:{index}"
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            f"device {device!r} needs CuPy, which is not installed: in a checkout, pip install '.[cuda12]' or "
            "'.[cuda13]', as the CUDA version is that nvidia-smi shows"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise RuntimeError(
            f"device {device!r}: CuPy {cupy.__version__} is installed but finds no usable GPU ({error}); it needs an "
            "NVIDIA driver: nvidia-smi shows whether there is one"
        ) from error
    if index >= count:
        raise RuntimeError(f"device {device!r}: this machine has {count} GPU(s), numbered from 0")
    try:
        with cupy.cuda.Device(index):
            if int(cupy.arange(3).sum()) != 3:
                raise RuntimeError("0 + 1 + 2 was not 3")
    except Exception as error:
        raise RuntimeError(
            f"device {device!r}: CuPy {cupy.__version__} is installed but ran no kernel ({error}). Its package must be "
            "made for the driver's CUDA version, which nvidia-smi shows: cupy-cuda12x (in a checkout, pip install "
            "'.[cuda12]') for 12, cupy-cuda13x ('.[cuda13]') for 13, and only one of them installed"
        ) from error
    return cupy
