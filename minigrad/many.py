"""Many arrays of a GPU at once: their norms or sums in two launches, products with a number in one; nothing waits.

For a sum each block adds up some chunks of elements, then a block for each array adds up its chunks. Chunks, threads
and the order of all sums are fixed, so the same arrays give the same bits in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigrad import backend

PARAMETERS = 4096  # bytes: what a launch takes on every device
CHUNK = 4096  # elements
THREADS = 256
BLOCKS = 4096  # fills any device; a block takes the next chunk after its first
ARRAYS = (PARAMETERS - 32) // 20
"""How many one launch takes: of each a pointer, a size and its first chunk."""

_GROUP = np.dtype(
    [
        ("arrays", np.uint64, ARRAYS),
        ("sizes", np.int64, ARRAYS),
        ("sums", np.uint64),
        ("numbers", np.uint64),
        ("firsts", np.int32, ARRAYS + 1),
    ],
    align=True,
)

_SOURCE = f"""
struct Group {{
    T *arrays[{ARRAYS}];
    long long sizes[{ARRAYS}];
    T *sums;  // of each chunk
    T *numbers;  // the answer for each array, or the factor of all
    int firsts[{ARRAYS + 1}];  // each array's first chunk; from behind the last array on, how many there are
}};
struct Chunk {{ T *x; int count; }};
__device__ Chunk chunk_of(const Group &group, int number) {{
    int i = 0;
    for (int jump = {1 << (ARRAYS.bit_length() - 1)}; jump; jump /= 2)
        if (i + jump < {ARRAYS} && group.firsts[i + jump] <= number) i += jump;
    const long long start = (long long)(number - group.firsts[i]) * {CHUNK}, rest = group.sizes[i] - start;
    return {{group.arrays[i] + start, rest < {CHUNK} ? (int)rest : {CHUNK}}};
}}
__device__ T block_sum(T x) {{
    __shared__ T of_warps[{THREADS // 32}];
    for (int step = 16; step; step /= 2) x += __shfl_xor_sync(0xffffffff, x, step);
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
    for (int i = 0; i < {THREADS // 32}; i++) x += of_warps[i];
    __syncthreads();
    return x;
}}
extern "C" __global__ void __launch_bounds__({THREADS}) sums_of_chunks(const Group group) {{
    for (int number = blockIdx.x; number < group.firsts[{ARRAYS}]; number += gridDim.x) {{
        const Chunk chunk = chunk_of(group, number);
        T sum = 0;
        for (int i = threadIdx.x; i < chunk.count; i += {THREADS}) sum += TERM(chunk.x[i]);
        sum = block_sum(sum);
        if (threadIdx.x == 0) group.sums[number] = sum;
    }}
}}
extern "C" __global__ void __launch_bounds__({THREADS}) multiplied(const Group group) {{
    const T factor = *group.numbers;
    for (int number = blockIdx.x; number < group.firsts[{ARRAYS}]; number += gridDim.x) {{
        const Chunk chunk = chunk_of(group, number);
        for (int i = threadIdx.x; i < chunk.count; i += {THREADS}) chunk.x[i] *= factor;
    }}
}}
extern "C" __global__ void __launch_bounds__({THREADS}) sums_of_arrays(const Group group) {{
    const int i = blockIdx.x;
    T sum = 0;
    for (int chunk = group.firsts[i] + threadIdx.x; chunk < group.firsts[i + 1]; chunk += {THREADS})
        sum += group.sums[chunk];
    sum = block_sum(sum);
    if (threadIdx.x == 0) group.numbers[i] = WHOLE(sum);
}}
"""

KINDS = {"norm": ("(x) * (x)", "sqrt(x)"), "sum": ("(x)", "(x)"), "absolute": ("fabs(x)", "(x)")}
"""What is added up, and what is made of the sum."""


def _kernel(name: str, kind: str, char: str) -> backend.RawKernel:
    type_, (term, whole) = {"f": "float", "d": "double"}[char], KINDS[kind]
    return backend.RawKernel(f"#define T {type_}\n#define TERM(x) {term}\n#define WHOLE(x) {whole}\n{_SOURCE}", name)


SUMS = "sums_of_chunks", "sums_of_arrays"
KERNELS = {key: _kernel(*key) for char in "fd" for kind in KINDS for key in [(name, kind, char) for name in SUMS]}
KERNELS |= {key: _kernel(*key) for key in [("multiplied", "sum", char) for char in "fd"]}


def together(arrays: Sequence[Any]) -> bool:
    """Whether these are arrays in order on one GPU, of one type, float32 or float64."""
    first = arrays[0]
    if not backend.is_cupy(first) or first.dtype.char not in "fd":
        return False
    kind, dtype, device = type(first), first.dtype, first.device
    for a in arrays:
        if type(a) is not kind or a.dtype != dtype or a.device != device or not a.flags.c_contiguous:
            return False
    return True


def norms(arrays: Sequence[Any]) -> Any:
    """√Σx² over the elements of each array, one or more that lie `together`, as one array of their type and device."""
    return _reduced("norm", arrays)


def sums(arrays: Sequence[Any]) -> Any:
    """Σx over the elements of each array, as `norms` has it."""
    return _reduced("sum", arrays)


def absolute_sums(arrays: Sequence[Any]) -> Any:
    """Σ|x| over the elements of each array, as `norms` has it."""
    return _reduced("absolute", arrays)


def _reduced(kind: str, arrays: Sequence[Any]) -> Any:
    answer = backend.empty(len(arrays), arrays[0])
    of_chunks, of_arrays = (KERNELS[name, kind, answer.dtype.char] for name in SUMS)
    for group, chunks, count in _groups(arrays, answer):
        scratch = backend.empty(chunks, answer)
        group["sums"] = scratch.data.ptr
        argument = (backend.struct(group),)
        of_chunks((min(chunks, BLOCKS),), (THREADS,), argument)
        of_arrays((count,), (THREADS,), argument)
    return answer


def multiply(arrays: Sequence[Any], factor: Any) -> None:
    """x ← factor · x for each array; the factor is an array of one element, and lies `together` with them."""
    kernel = KERNELS["multiplied", "sum", factor.dtype.char]
    backend.activate(factor)
    for group, chunks, _ in _groups(arrays, factor, step=0):
        kernel((min(chunks, BLOCKS),), (THREADS,), (backend.struct(group),))


def _groups(arrays: Sequence[Any], numbers: Any, step: int = 1) -> Iterator[tuple[Any, int, int]]:
    """What launches take for these arrays, as many as each can, beside how many chunks and how many arrays.

    step: how many of `numbers` belong to an array.
    """
    for start in range(0, len(arrays), ARRAYS):
        part = arrays[start : start + ARRAYS]
        sizes = np.array([a.size for a in part], np.int64)
        ends = np.cumsum((sizes + CHUNK - 1) // CHUNK)
        group = np.zeros(1, _GROUP)
        group["arrays"][0, : len(part)] = [a.data.ptr for a in part]
        group["sizes"][0, : len(part)] = sizes
        group["numbers"] = numbers.data.ptr + step * start * numbers.itemsize
        group["firsts"][0, 1:] = ends[-1]
        group["firsts"][0, 1 : len(part) + 1] = ends
        yield group, int(ends[-1]), len(part)
