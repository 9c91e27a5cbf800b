"""A module to stand in CuPy's place on a machine without a GPU, so that what is written for CuPy can be run there.

Its arrays are as strict as CuPy's (see strict_array.py). Raw kernels are compiled as C++ and run on the CPU, block
after block, their threads in turn from barrier to barrier. A stream that is capturing computes nothing: it
records, and a graph replays the records on the arrays of the time of capture, with the host's values of that time, as
CUDA does.
Each reading of a value by the host is counted in `synchronisations`, and refused while a stream captures.

What it cannot show: whether CUDA compiles the kernels (test_cuda.py does), whether CuPy itself agrees, and any time.
"""

import atexit
import ctypes
import functools
import hashlib
import math
import shutil
import subprocess
import sys
import tempfile
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import backend
from minigrad.ops import kernels
from tests.strict_array import CREATORS, StrictArray

LIBRARY = "cupy_backends.cuda.libs.cublas"
AVAILABLE = shutil.which("c++") is not None

SHIM = r"""
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>
#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static
struct Position { int x = 0, y = 0, z = 0; };
static Position threadIdx;
static Position blockIdx, blockDim, gridDim;
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
"""

MEETING = r"""
#include <csetjmp>
#include <ucontext.h>
struct Fiber { ucontext_t context; jmp_buf at; bool begun, done; char stack[16384]; };
static Fiber _fibers[1024];
static jmp_buf _scheduler;
static int _running;
static double _exchange[1024];
static void _meet() {
    if (!_setjmp(_fibers[_running].at)) _longjmp(_scheduler, 1);
}
static inline void __syncthreads() { _meet(); }
static inline void __syncwarp() { _meet(); }
template <class V> static V __shfl_xor_sync(unsigned, V value, int mask) {
    int i = _running;
    std::memcpy(&_exchange[i], &value, sizeof(V));
    _meet();
    V other;
    std::memcpy(&other, &_exchange[i ^ mask], sizeof(V));
    _meet();
    return other;
}
"""

RUN_IN_TURN = r"""
template <class F> static void _run_block(F body) {
    for (threadIdx.y = 0; threadIdx.y < blockDim.y; threadIdx.y++)
        for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++) body();
}
"""

RUN_TOGETHER = r"""
// Each thread of the block is a fiber that runs to its next barrier, where the next one takes over: all have come
// to a barrier before any goes on behind it.
template <class F> static void _enter(int low, int high) {
    (*(F *)(((unsigned long long)(unsigned)high << 32) | (unsigned)low))();
    _fibers[_running].done = true;
    _longjmp(_scheduler, 1);
}
template <class F> static void _run_block(F body) {
    int count = blockDim.x * blockDim.y;
    unsigned long long address = (unsigned long long)&body;
    for (int i = 0; i < count; i++) {
        Fiber &fiber = _fibers[i];
        fiber.begun = fiber.done = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack;
        fiber.context.uc_stack.ss_size = sizeof(fiber.stack);
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, (void (*)())&_enter<F>, 2, (int)address, (int)(address >> 32));
    }
    for (volatile bool some = true; some;) {
        some = false;
        for (volatile int i = 0; i < count; i++) {
            Fiber &fiber = _fibers[i];
            if (fiber.done) continue;
            some = true;
            _running = i;
            threadIdx.x = i % blockDim.x;
            threadIdx.y = i / blockDim.x;
            if (_setjmp(_scheduler)) continue;
            if (fiber.begun) _longjmp(fiber.at, 1);
            fiber.begun = true;
            setcontext(&fiber.context);
        }
    }
}
"""

LAUNCHER = r"""
template <class... A, std::size_t... I>
static void _call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*(std::remove_const_t<A> *)arguments[I]...);
}
template <class... A> static void _launch(void (*kernel)(A...), void **arguments) {
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
            _run_block([&] { _call(kernel, arguments, std::index_sequence_for<A...>{}); });
}
extern "C" void _entry(void **arguments, const int *grid, const int *block) {
    gridDim.x = grid[0]; gridDim.y = grid[1];
    blockDim.x = block[0]; blockDim.y = block[1];
    _launch(NAME, arguments);
}
"""


class CUDARuntimeError(RuntimeError):
    """What CuPy raises for an error of CUDA's."""


CUDARuntimeError.__module__ = "cupy_backends.cuda.api.runtime"


class Machine:
    """The pretended device and what it has seen."""

    def __init__(self):
        self.synchronisations = 0
        self.launches = []  # name, grid and block of each raw kernel
        self.records = None  # what a capturing stream has recorded
        self.allocated = 0
        self.device = 0  # the current one

    def reads(self):
        """The host reads a value."""
        if self.records is not None:
            raise RuntimeError("the current stream is capturing, so synchronous API calls are disallowed")
        self.synchronisations += 1


MACHINE = Machine()
DEVICES = 2


class Device:
    """A device, and a context in which it is the current one."""

    def __init__(self, index=None):
        if index not in (None, *range(DEVICES)):
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = MACHINE.device if index is None else index
        self.before = []

    mem_info = (3 << 30, 4 << 30)
    cublas_handle = 7
    compute_capability = "90"

    def __enter__(self):
        self.before.append(MACHINE.device)
        self.use()
        return self

    def __exit__(self, *_):
        MACHINE.device = self.before.pop()

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def use(self):
        MACHINE.device = self.id

    def synchronize(self):
        MACHINE.reads()


def _arrays(value):
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, tuple | list):
        return [array for part in value for array in _arrays(part)]
    return []


class MemoryPointer:
    """Where an array's memory begins."""

    def __init__(self, array):
        self.array, self.ptr = array, array._array.ctypes.data

    def copy_from_device_async(self, source, size):
        to, values = (ctypes.c_char * size).from_address(self.ptr), source.array._array
        self.array._computed(lambda: ctypes.memmove(to, values.ctypes.data, size), writes=True)


class ndarray(StrictArray):  # noqa: N801
    """CuPy's array."""

    def __init__(self, array, device=None, base=None):
        super().__init__(array, Device() if device is None else device, base)

    @property
    def data(self):
        return MemoryPointer(self)

    def __array_function__(self, function, types, args, options):
        if function in (np.concatenate, np.stack) and len(args[0]) > 8:
            _brings_from_the_host()  # a table of addresses
        if function in (np.dot, np.einsum, np.inner, np.tensordot, np.vdot):
            _without_cublas(*args[function is np.einsum :][:2])
        _refuse(function.__name__, options, {"device", "initial"})  # `np.eye(..., like=...)` passes on a device
        return super().__array_function__(function, types, args, options)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if ufunc is np.matmul:
            _without_cublas(*inputs)
        _refuse(ufunc.__name__, options, {"order", "subok"})
        return super().__array_ufunc__(ufunc, method, *inputs, **options)

    def _add_at(self, key, values):
        if not isinstance(values, ndarray):
            _brings_from_the_host()
        super()._add_at(key, values)

    def dot(self, other, out=None):
        _without_cublas(self, other)
        return super().dot(other, out=out)

    def get(self):
        MACHINE.reads()
        return super().get()

    def item(self, *index):
        MACHINE.reads()
        return super().item(*index)

    def tolist(self):
        MACHINE.reads()
        return super().tolist()

    def __bool__(self):
        MACHINE.reads()
        return super().__bool__()

    def __float__(self):
        MACHINE.reads()
        return super().__float__()

    def __int__(self):
        MACHINE.reads()
        return super().__int__()

    __index__ = __int__

    def set(self, array):
        _brings_from_the_host()
        self._array[...] = array

    def _computed(self, compute, writes=False):
        if writes:
            self._check_current()
        if MACHINE.records is None:
            return self._wrap(compute())
        if writes:
            MACHINE.records.append(compute)
            return None
        with np.errstate(all="ignore"):  # of memory that nothing has been written to yet
            value = compute()
        owner = self._array if self.base is None else self.base._array
        made = [array for array in _arrays(value) if not np.may_share_memory(array, owner)]
        if isinstance(value, np.generic):
            value = np.asarray(value)
            made = [value]
        if made:

            def again():
                answer = compute()
                for old, new in zip(_arrays(value), _arrays(answer) or [answer], strict=True):
                    old[...] = new

            MACHINE.records.append(again)
        return self._wrap(value)

    def _wrap(self, value):
        if isinstance(value, tuple | list):
            return type(value)(self._wrap(v) for v in value)
        if not isinstance(value, np.generic | np.ndarray):
            return value
        value = np.asarray(value)
        owner = self if self.base is None else self.base
        if np.may_share_memory(value, owner._array):
            return ndarray(value, self.device, owner)
        self._check_current()
        return ndarray(value, self.device)

    def _check_current(self):
        """Raise where CuPy would compute on another device than this array's, and leave the answer there."""
        if self.device.id != MACHINE.device:
            raise RuntimeError(f"an array on device {self.device.id} is used while {MACHINE.device} is the current one")


def _brings_from_the_host():
    if MACHINE.records is not None:
        raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")


def _without_cublas(*operands):
    """Raise as CuPy does where it would call cuBLAS while a stream captures: not for inner products and integers."""
    if all(x.dtype.kind in "biu" for x in operands):
        return
    sizes = {x.size for x in operands}
    inner = sizes == {max(x.shape[-1] if x.ndim else 1 for x in operands)}
    if MACHINE.records is not None and not inner and 0 not in sizes:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def _refuse(name, options, unknown):
    """Raise for keywords that NumPy's function has and CuPy's of the same name has not."""
    if options.keys() & unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument {options.keys() & unknown}")


def _strict_method(name):
    def method(self, *args, **options):
        _refuse(name, options, {"initial", "mode", "where"})
        return getattr(StrictArray, name)(self, *args, **options)

    return method


for _name in ("max", "mean", "min", "prod", "sum", "take"):
    setattr(ndarray, _name, _strict_method(_name))


def compile_using_nvrtc(source, options=(), *, cache_in_memory=False):
    assert options == backend.EXACT
    return source.encode(), None


class Module:
    """Kernels, once they are compiled."""

    def load(self, binary):
        self.code = binary.decode()

    def get_function(self, name):
        return Function(self.code, name)


class Function:
    """A kernel of CUDA C++, compiled as C++ for the CPU."""

    _built = {}

    def __init__(self, code, name):
        self.code, self.name = code, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        if math.prod(block) > 1024:
            raise CUDARuntimeError("cudaErrorInvalidConfiguration: more than 1024 threads in a block")
        size = sum(8 if a is None or isinstance(a, ndarray) else a.nbytes for a in args)
        if size > 4096:
            raise CUDARuntimeError("CUDA_ERROR_INVALID_VALUE: more than 4096 bytes of arguments")
        MACHINE.launches.append((self.name, grid, block))
        entry = self._entry()
        values = [self._value(a) for a in args]
        pointers = (ctypes.c_void_p * len(values))(*(v.ctypes.data for v in values))
        sizes = [(ctypes.c_int * 2)(*(*shape, 1)[:2]) for shape in (grid, block)]

        def launch(keep=(values, args)):
            entry(pointers, *sizes)

        if MACHINE.records is None:
            launch()
        else:
            MACHINE.records.append(launch)

    @staticmethod
    def _value(argument):
        """The bytes that travel with the launch."""
        if argument is None:
            return np.zeros(1, np.uint64)
        if isinstance(argument, ndarray):
            argument._check_current()
            return np.array([argument.data.ptr], np.uint64)
        if isinstance(argument, np.ndarray) and argument.size != 1:
            raise TypeError("an array of the host as an argument")
        if isinstance(argument, int | float) and not isinstance(argument, np.generic):
            raise TypeError("a Python number has no C type of its own; pass NumPy's")
        return np.array(argument).reshape(1).copy()

    def _entry(self):
        key = hashlib.sha256(f"{self.name} {self.code}".encode()).hexdigest()[:16]
        if key not in self._built:
            meets = "__sync" in self.code or "__shfl" in self.code
            text = SHIM + (MEETING + RUN_TOGETHER if meets else RUN_IN_TURN)
            text += self.code + LAUNCHER.replace("NAME", self.name)
            library = Path(tempfile.mkdtemp(prefix="simulated_cupy")) / "kernel.so"
            flags = ["-std=c++20", "-O1", "-ffp-contract=off", "-w", "-U_FORTIFY_SOURCE"]
            command = ["c++", *flags, "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
            built = subprocess.run(command, input=text, text=True, capture_output=True)
            if built.returncode:
                raise CUDARuntimeError(f"{self.name}: {built.stderr}")
            self._built[key] = ctypes.CDLL(str(library))
            shutil.rmtree(library.parent)
        return self._built[key]._entry


CUBLAS = r"""
#define POINTER unsigned long long
typedef int (*Hook)(int, const long long *);
static Hook hook;
extern "C" void use(Hook given) { hook = given; }
extern "C" int cublasSetStream_v2(POINTER h, POINTER s) { long long a[] = {s}; return hook(0, a); }
extern "C" int cublasSetWorkspace_v2(POINTER h, POINTER w, POINTER n) { long long a[] = {w, n}; return hook(1, a); }
extern "C" int cublasGemmEx(
    POINTER h, int ta, int tb, int m, int n, int k, POINTER alpha, POINTER A, int typeA, int lda, POINTER B, int typeB,
    int ldb, POINTER beta, POINTER C, int typeC, int ldc, int compute, int algo) {
    long long a[] = {ta, tb, m, n, k, alpha, A, typeA, lda, 0, B, typeB, ldb, 0, beta, C, typeC, ldc, 0, 1, compute};
    return hook(2, a);
}
extern "C" int cublasGemmStridedBatchedEx(
    POINTER h, int ta, int tb, int m, int n, int k, POINTER alpha, POINTER A, int typeA, int lda, long long nextA,
    POINTER B, int typeB, int ldb, long long nextB, POINTER beta, POINTER C, int typeC, int ldc, long long nextC,
    int count, int compute, int algo) {
    long long a[] = {ta, tb, m, n, k, alpha, A, typeA, lda, nextA, B, typeB, ldb, nextB, beta, C, typeC, ldc, nextC,
                     count, compute};
    return hook(2, a);
}
"""


@functools.cache
def cublas():
    """A library with the functions of cuBLAS that captured steps call, which record what NumPy is to compute."""
    path = Path(tempfile.mkdtemp(prefix="simulated_cublas")) / "cublas.so"
    command = ["c++", "-shared", "-fPIC", "-w", "-x", "c++", "-", "-o", str(path)]
    subprocess.run(command, input=CUBLAS, text=True, check=True)
    atexit.register(shutil.rmtree, path.parent)
    _hook.library = ctypes.CDLL(str(path))
    _hook.library.use(_hook)
    return path


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_longlong))
def _hook(call, given):
    if MACHINE.records is None:
        return 1
    if call == 0:
        return 0 if given[0] == Stream.current[-1].ptr else 2
    if call == 1:
        return 0 if given[0] and given[1] >= 4 << 20 else 7
    MACHINE.launches.append(("gemm", (given[2], given[3], given[4]), ()))
    MACHINE.records.append(_product(given[:21]))
    return 0


def _product(given):
    """C ← op(A) · op(B) of matrices that lie by columns, one or several."""
    ta, tb, m, n, k, *pointers, count, how = given
    alpha, a, kind, lda, next_a, b, kind_b, ldb, next_b, beta, c, kind_c, ldc, next_c = pointers
    dtype = np.dtype({0: "f", 1: "d", 2: "e"}[kind])
    wide = np.dtype("d" if kind == 1 else "f")
    assert kind == kind_b == kind_c
    assert how == {"f": 68, "d": 70}[wide.char]
    factors = [_memory(pointer, (1,), (wide.itemsize,), wide)[0] for pointer in (alpha, beta)]
    assert factors == [1, 0]
    assert lda >= (k if ta else m)
    assert ldb >= (n if tb else k)
    assert ldc >= m

    def matrices(pointer, turned, rows, columns, lead, step):  # op(matrix), transposed: by rows
        strides = (step, 1, lead) if turned else (step, lead, 1)
        return _memory(pointer, (count, columns, rows), tuple(dtype.itemsize * s for s in strides), dtype)

    first, second, product = (
        matrices(b, tb, k, n, ldb, next_b), matrices(a, ta, m, k, lda, next_a), matrices(c, 0, m, n, ldc, next_c)
    )  # fmt: skip

    def multiply():
        for x, y, z in zip(first, second, product, strict=True):
            z[...] = x.dot(y[:, 0])[:, None] if m == 1 else x.dot(y)  # as NumPy's own product with a vector

    return multiply


def _memory(pointer, shape, strides, dtype):
    """An array over memory that is there."""
    size = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + dtype.itemsize
    return np.ndarray(shape, dtype, (ctypes.c_char * size).from_address(pointer), strides=strides)


class Graph:
    """What a stream has captured."""

    def __init__(self, records):
        self.records = records

    def launch(self, stream=None):
        if MACHINE.records is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a graph in a capture")
        with np.errstate(all="ignore"):
            for record in self.records:
                record()

    def upload(self, stream=None):
        pass


class Event:
    """A point in a stream."""

    def __init__(self, **_):
        pass

    def record(self, stream=None):
        pass

    def synchronize(self):
        MACHINE.reads()


class Stream:
    """A stream; all of them run at once, in the order of the calls."""

    null = None
    current = []

    def __init__(self, null=False, non_blocking=False):
        self.ptr = 0 if null else id(self)

    def __enter__(self):
        Stream.current.append(self)
        return self

    def __exit__(self, *_):
        Stream.current.pop()

    def record(self, event=None):
        return event or Event()

    def wait_event(self, event):
        pass

    def synchronize(self):
        MACHINE.reads()

    def is_capturing(self):
        return MACHINE.records is not None

    def begin_capture(self, mode=None):
        if not self.ptr:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        MACHINE.records = []

    def end_capture(self):
        records, MACHINE.records = MACHINE.records, None
        return Graph(records)


Stream.null = Stream(null=True)


class MemoryPool:
    """Memory: the bytes of the arrays that were made and still live are not counted, only told."""

    def malloc(self, size):
        return types.SimpleNamespace(size=size)

    def used_bytes(self):
        return 3 << 20

    def free_bytes(self):
        return 1 << 20

    def total_bytes(self):
        return 4 << 20

    def n_free_blocks(self):
        return 2

    def free_all_blocks(self):
        pass


POOL = MemoryPool()


@contextmanager
def _using_allocator(allocator):
    yield


def _creator(name):
    function = getattr(np, name)

    def create(*args, **options):
        value = function(*args, **options)
        if MACHINE.records is not None and name != "empty":
            initial = value.copy()
            MACHINE.records.append(lambda: np.copyto(value, initial))
        return ndarray(value)

    return create


def asarray(data, dtype=None):
    if isinstance(data, ndarray) and data.device.id == MACHINE.device:
        return data if dtype is None or data.dtype == dtype else data.astype(dtype)
    if isinstance(data, ndarray):
        return ndarray(np.array(data._array, dtype))
    _brings_from_the_host()
    return ndarray(np.array(data, dtype))


def module():
    """The module `cupy`."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "simulated"
    cupy.__path__ = []
    cupy.ndarray = ndarray
    cupy.asarray = cupy.array = asarray
    cupy.add = types.SimpleNamespace(at=ndarray._add_at)
    for name in CREATORS:
        setattr(cupy, name, _creator(name))
    cupy.get_default_memory_pool = cupy.get_default_pinned_memory_pool = lambda: POOL
    cupy.__getattr__ = lambda name: getattr(np, name)
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: DEVICES,
        getDevice=lambda: MACHINE.device,
        getDeviceProperties=lambda index: {"name": b"simulated"},
        CUDARuntimeError=CUDARuntimeError,
        streamCaptureModeThreadLocal=1,
        streamCaptureModeRelaxed=2,
        runtimeGetVersion=lambda: 12040,
        driverGetVersion=lambda: 12040,
    )
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Stream=Stream,
        Event=Event,
        Graph=Graph,
        Module=Module,
        compiler=types.SimpleNamespace(compile_using_nvrtc=compile_using_nvrtc),
        MemoryPool=MemoryPool,
        runtime=runtime,
        using_allocator=_using_allocator,
        get_current_stream=lambda: Stream.current[-1] if Stream.current else Stream.null,
    )
    return cupy


def forget():
    """Drop what was kept of a module `cupy`."""
    backend._working_cupy.cache_clear()
    backend._device_ones.clear()
    mg.cuda._store._functions.clear()
    mg.cublas._library.cache_clear()
    for raw in mg.many.KERNELS.values():
        raw._functions.clear()
    for kernel in vars(kernels).values():
        if isinstance(kernel, kernels.Kernel):
            kernel._made.clear()


@contextmanager
def simulated():
    """`import cupy` gives the simulated module inside; yields the machine, afresh."""
    library = types.ModuleType(LIBRARY)
    library.__file__ = str(cublas())
    MACHINE.__init__()
    forget()
    pretended = {"cupy": module(), LIBRARY: library}
    before = {name: sys.modules.get(name) for name in pretended}
    sys.modules.update(pretended)
    try:
        yield MACHINE
    finally:
        forget()
        for name, real in before.items():
            if real is None:
                del sys.modules[name]
            else:
                sys.modules[name] = real
