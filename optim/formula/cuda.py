"""The plan as one CUDA kernel: one launch for all tensors that take the same step.

The kernel takes a struct by value: pointers, sizes and constants travel with the launch, so that nothing is copied to
the device and nothing waits for it. Each block takes chunks of elements; which tensor a chunk belongs to, it finds in
a list of every tensor's first chunk. Without contraction into fused multiply-adds, and with division and roots rounded
correctly, the bits are those of the other executions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.backend import RawKernel, struct
from optim.formula.plan import Plan
from optim.formula.vocabulary import VOCABULARY

PARAMETERS = 4096  # bytes: what a launch takes on every device
CHUNK = 4096  # elements
THREADS = 256
BLOCKS = 4096  # fills any device; a block takes the next chunk after its first
TOGETHER = 4
"""Elements that a thread loads before it stores any: only what is asked for meanwhile hides how late memory answers."""


def layout(plan: Plan) -> np.dtype[Any]:
    """The kernel's parameter, as NumPy lays it out, for as many tensors as fit into one launch."""
    each = 8 * len(plan.arrays) + 8 + 4  # pointers, size, first chunk
    tensors = (PARAMETERS - 8 * len(plan.expressions) - 16) // each
    fields: list[Any] = [("arrays", np.uint64, (len(plan.arrays), tensors)), ("sizes", np.int64, tensors)]
    fields += [("constants", np.float64, max(1, len(plan.expressions))), ("live", np.uint64)]
    fields += [("firsts", np.int32, tensors + 1)]
    return np.dtype(fields, align=True)


def name_of(plan: Plan) -> str:
    """The kernel's name: a formula may be called `exp`, which CUDA has."""
    return f"{plan.name}_kernel"


def source(plan: Plan, dtype: Any) -> str:
    """The text of the kernel."""
    sizes = layout(plan)
    tensors = sizes["sizes"].shape[0]
    offsets = ("" if a in plan.scalars else " + _start" for a in plan.arrays)
    pointers = [
        f"T *const {a} = _group.arrays[{i}][_tensor]{offset};"
        for i, (a, offset) in enumerate(zip(plan.arrays, offsets, strict=True))
    ]
    loaded = [a for a in _read(plan) if a not in plan.scalars]
    return f"""{_head(dtype)}
struct Group {{
    T *arrays[{len(plan.arrays)}][{tensors}];
    long long sizes[{tensors}];
    double constants[{sizes["constants"].shape[0]}];
    const double *live;  // where not null, constants are read here: a graph is launched again with others
    int firsts[{tensors + 1}];  // each tensor's first chunk; from behind the last tensor on, how many there are
}};

extern "C" __global__ void __launch_bounds__({THREADS}) {name_of(plan)}(const Group _group) {{
    const double *const _constants = _group.live ? _group.live : _group.constants;
{_constants(plan, "_constants")}
    for (int _chunk = blockIdx.x; _chunk < _group.firsts[{tensors}]; _chunk += gridDim.x) {{
        int _tensor = 0;
        for (int _jump = {1 << (tensors.bit_length() - 1)}; _jump; _jump /= 2)
            if (_tensor + _jump < {tensors} && _group.firsts[_tensor + _jump] <= _chunk) _tensor += _jump;
        const long long _start = (long long)(_chunk - _group.firsts[_tensor]) * {CHUNK};
        const long long _rest = _group.sizes[_tensor] - _start;
        const int _count = _rest < {CHUNK} ? (int)_rest : {CHUNK};
{_lines(pointers, 8)}
        for (int _first = threadIdx.x; _first < _count; _first += {THREADS * TOGETHER}) {{
{_lines([f"T {a}_of[{TOGETHER}];" for a in loaded], 12)}
            #pragma unroll
            for (int _k = 0; _k < {TOGETHER}; _k++) {{
                const int _i = _first + _k * {THREADS};
                if (_i < _count) {{
{_lines([f"{a}_of[_k] = {a}[_i];" for a in loaded], 20)}
                }}
            }}
            #pragma unroll
            for (int _k = 0; _k < {TOGETHER}; _k++) {{
                const int _i = _first + _k * {THREADS};
                if (_i < _count) {{
{_lines(_body(plan, "{}_of[_k]"), 20)}
                }}
            }}
        }}
    }}
}}
"""


def c_source(plan: Plan, dtype: Any, name: str | None = None) -> str:
    """The same body as a plain loop in C, to be run where there is no GPU: (size, arrays..., constants)."""
    arrays = "".join(f"T *{a}, " for a in plan.arrays)
    return f"""#include <math.h>
#include <stdbool.h>
{_head(dtype)}
void {name or name_of(plan)}(long long _size, {arrays}const double *_constants) {{
{_constants(plan, "_constants")}
    for (long long _i = 0; _i < _size; _i++) {{
{_lines(_body(plan), 8)}
    }}
}}
"""


def _head(dtype: Any) -> str:
    names = {"f": ("float", "sqrtf", "fabsf"), "d": ("double", "sqrt", "fabs")}.get(np.dtype(dtype).char)
    if names is None:
        raise TypeError(f"cuda: a formula's kernel takes float32 or float64, got {np.dtype(dtype)}")
    return "".join(f"#define {a} {b}\n" for a, b in zip(("T", "SQRT", "ABS"), names, strict=True))


def _constants(plan: Plan, array: str) -> str:
    return _lines([f"const T {c} = (T){array}[{i}];" for i, c in enumerate(plan.expressions)], 4)


def _read(plan: Plan) -> list[str]:
    """The arrays that the steps read."""
    read = {a for step in plan.steps for a in step.arguments} | set(plan.outputs.values())
    return [a for a in plan.arrays if a in read]


def _body(plan: Plan, element: str = "{}[_i]") -> list[str]:
    """What happens to one element: load, compute, store. `element`: where that of an array is loaded from."""
    values = {a: f"{a}_" for a in plan.arrays}
    lines = [f"const T {a}_ = {f'{a}[0]' if a in plan.scalars else element.format(a)};" for a in _read(plan)]
    for step in plan.steps:
        word = VOCABULARY[step.word]
        expression = word.c.format(*(values.get(a, a) for a in step.arguments))
        lines.append(f"const {'bool' if word.boolean else 'T'} {step.out} = {expression};")
    return lines + [f"{array}[_i] = {values.get(value, value)};" for array, value in plan.outputs.items()]


def _lines(lines: Sequence[str], indent: int) -> str:
    return "\n".join(" " * indent + line for line in lines)


class Kernel:
    """A plan's kernel for CuPy arrays of one type, flat and contiguous."""

    def __init__(self, plan: Plan, dtype: Any) -> None:
        self.layout, self.constants = layout(plan), len(plan.expressions)
        self.launch: Callable[..., None] = RawKernel(source(plan, dtype), name_of(plan))

    def __call__(self, *arguments: Any) -> None:
        """Run on one tensor: the plan's arrays, then its constants, as `run` takes them."""
        *arrays, constants = arguments
        self.run([arrays], constants)

    def run(self, rows: Sequence[Sequence[Any]], constants: Any) -> None:
        """Run on many tensors of one device: for each the plan's arrays; constants as `Batch.run` takes them."""
        Batch(self, rows).run(constants)


class Batch:
    """Tensors of one device, laid out for the launches that run a kernel on all of them; gradients may be exchanged."""

    def __init__(self, kernel: Kernel, rows: Sequence[Sequence[Any]]) -> None:
        self.kernel = kernel
        self.device: Any = rows[0][0].device if rows else None
        self.width = kernel.layout["sizes"].shape[0]
        self.groups = [self._group(rows[start : start + self.width]) for start in range(0, len(rows), self.width)]

    def _group(self, rows: Sequence[Sequence[Any]]) -> Any:
        group = np.zeros(1, self.kernel.layout)
        sizes = np.array([row[0].size for row in rows], np.int64)
        chunks = np.cumsum((sizes + CHUNK - 1) // CHUNK)
        group["arrays"][0, :, : len(rows)] = np.array([[a.data.ptr for a in row] for row in rows], np.uint64).T
        group["sizes"][0, : len(rows)] = sizes
        group["firsts"][0, 1:] = chunks[-1]
        group["firsts"][0, 1 : len(rows)] = chunks[:-1]
        return group

    def take(self, gradients: Sequence[Any]) -> None:
        """Let these be the gradients, in the order of the tensors."""
        for i, group in enumerate(self.groups):
            pointers = [g.data.ptr for g in gradients[i * self.width : (i + 1) * self.width]]
            group["arrays"][0, 1, : len(pointers)] = pointers

    def run(self, constants: Any) -> None:
        """Launch; the launches stand in the current stream when it returns, and it waits for nothing.

        constants: in float64: an array of the host, or one on the device that holds them by the time the kernel runs.
        """
        count = self.kernel.constants
        for group in self.groups:
            chunks = int(group["firsts"][0, -1])
            if not chunks:
                continue
            if isinstance(constants, np.ndarray):
                group["constants"][0, :count] = constants[:count]
            else:
                group["live"] = constants.data.ptr
            self.device.use()
            self.kernel.launch((min(chunks, BLOCKS),), (THREADS,), (struct(group),))
