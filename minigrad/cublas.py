"""Matrix products in a captured step: cuBLAS, called directly.

cuBLAS can be captured in a graph, but CuPy refuses each of its own calls of it while a stream captures. So the two
functions that products take are called here, out of the library that CuPy has loaded, with CuPy's handle and with work
space of the recording: else cuBLAS would put an allocation into the graph for each product.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import math
from typing import Any

import numpy as np

from minigrad import backend

WORK_SPACE = 32 * 2**20
"""Bytes: what cuBLAS takes by itself on the largest devices."""
TYPES = {"e": 2, "f": 0, "d": 1}  # cudaDataType of a type's character
COMPUTED = {"e": 68, "f": 68, "d": 70}  # CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F
PLAIN, TRANSPOSED = 0, 1  # CUBLAS_OP_N, CUBLAS_OP_T
DEFAULT, TENSOR_CORES = -1, 99  # CUBLAS_GEMM_DEFAULT, CUBLAS_GEMM_DEFAULT_TENSOR_OP

_ADDRESS, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
_SIGNATURES = {
    "cublasSetStream_v2": [_ADDRESS, _ADDRESS],
    "cublasSetWorkspace_v2": [_ADDRESS, _ADDRESS, ctypes.c_size_t],
    "cublasGemmEx": [
        _ADDRESS, _INT, _INT, _INT, _INT, _INT, _ADDRESS, _ADDRESS, _INT, _INT, _ADDRESS, _INT, _INT, _ADDRESS,
        _ADDRESS, _INT, _INT, _INT, _INT,
    ],
    "cublasGemmStridedBatchedEx": [
        _ADDRESS, _INT, _INT, _INT, _INT, _INT, _ADDRESS, _ADDRESS, _INT, _INT, _LONG, _ADDRESS, _INT, _INT, _LONG,
        _ADDRESS, _ADDRESS, _INT, _INT, _LONG, _INT, _INT, _INT,
    ],
}  # fmt: skip


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """np.matmul(a, b), also of CuPy arrays in a captured step.

    out: where the product is written, in order of memory and no part of a or b; a new array by default.

    Raises RuntimeError for types of arrays that a captured step can't multiply.
    """
    recording = backend.thread.recording
    if recording is None or not backend.is_cupy(a) or _without_cublas(a, b):
        return np.matmul(a, b, out=out)
    if a.dtype != b.dtype or a.dtype.char not in TYPES:
        raise RuntimeError(f"capture: a product of {a.dtype} and {b.dtype} can't be part of a captured step")
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    if out is None:
        rows, columns = a.shape[:-1][-1:], b.shape[1:][-1:]  # of a vector none
        out = backend.empty((*lead, *rows, *columns), a)
    if right.ndim == 2:
        _multiply(recording, left.reshape(-1, left.shape[-1]), right, out.reshape(-1, right.shape[1]))
    else:
        _multiply_each(recording, _broadcast(left, lead), _broadcast(right, lead), out)
    return out


def _without_cublas(a: Any, b: Any) -> bool:
    """Whether CuPy multiplies these by kernels of its own."""
    inner = max(a.ndim, b.ndim) <= 2 and a.shape[-1] == a.size == b.size  # of two vectors
    return not a.size or not b.size or inner or (a.dtype.kind in "biu" and b.dtype.kind in "biu")


def _broadcast(matrices: Any, lead: tuple[int, ...]) -> Any:
    matrices = np.broadcast_to(matrices, (*lead, *matrices.shape[-2:]))
    return matrices if matrices.flags.c_contiguous else matrices.copy()


def _multiply(recording: Any, a: Any, b: Any, product: Any) -> None:
    (a, turned_a, lead_a), (b, turned_b, lead_b) = _operand(a), _operand(b)
    (rows, inner), columns, kind = a.shape, b.shape[1], a.dtype.char
    one, zero = _coefficients(kind)
    # by columns: productᵀ = bᵀ · aᵀ
    _call(
        recording, "cublasGemmEx", turned_b, turned_a, columns, rows, inner, one.ctypes.data,
        b.data.ptr, TYPES[kind], lead_b, a.data.ptr, TYPES[kind], lead_a, zero.ctypes.data,
        product.data.ptr, TYPES[kind], columns, COMPUTED[kind], _algorithm(recording, kind),
    )  # fmt: skip


def _multiply_each(recording: Any, a: Any, b: Any, product: Any) -> None:
    rows, inner = a.shape[-2:]
    columns, kind = b.shape[-1], a.dtype.char
    one, zero = _coefficients(kind)
    _call(
        recording, "cublasGemmStridedBatchedEx", PLAIN, PLAIN, columns, rows, inner, one.ctypes.data,
        b.data.ptr, TYPES[kind], columns, inner * columns, a.data.ptr, TYPES[kind], inner, rows * inner,
        zero.ctypes.data, product.data.ptr, TYPES[kind], columns, rows * columns, math.prod(a.shape[:-2]),
        COMPUTED[kind], _algorithm(recording, kind),
    )  # fmt: skip


def _operand(matrix: Any) -> tuple[Any, int, int]:
    """A matrix in order, whether cuBLAS, which counts by columns, takes it transposed, and its leading dimension."""
    if matrix.flags.c_contiguous or not matrix.flags.f_contiguous:
        return matrix if matrix.flags.c_contiguous else matrix.copy(), PLAIN, matrix.shape[1]
    return matrix, TRANSPOSED, matrix.shape[0]


def _algorithm(recording: Any, kind: str) -> int:
    """The one that CuPy asks for, so that a recorded step has the bits of one that is not."""
    generation = int(recording.cupy.cuda.Device().compute_capability)
    return TENSOR_CORES if generation >= (70 if kind == "e" else 80) else DEFAULT


def _coefficients(kind: str) -> tuple[Any, Any]:
    """1 and 0 in the type in which cuBLAS adds up."""
    dtype = np.float64 if kind == "d" else np.float32
    return np.ones((), dtype), np.zeros((), dtype)


def _call(recording: Any, name: str, *arguments: Any) -> None:
    cuda, library = recording.cupy.cuda, _library()
    handle, space = cuda.Device().cublas_handle, recording.work_space
    calls = [
        ("cublasSetStream_v2", cuda.get_current_stream().ptr),
        ("cublasSetWorkspace_v2", space.data.ptr, space.nbytes),
        (name, *arguments),
    ]
    for function, *given in calls:
        status = getattr(library, function)(handle, *given)
        if status:
            raise RuntimeError(f"capture: {function} of cuBLAS failed with status {status}")


@functools.cache
def _library() -> Any:
    """cuBLAS, found as what CuPy's own module is linked with."""
    module: Any = importlib.import_module("cupy_backends.cuda.libs.cublas")
    library = ctypes.CDLL(module.__file__)
    for name, types in _SIGNATURES.items():
        getattr(library, name).argtypes = types
    return library
