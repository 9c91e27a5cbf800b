"""The plan as one loop over elements, compiled by Numba: the default where Numba is installed.

Serial unless asked otherwise, and without fast-math: a parallel loop right after a matrix product waits for the
product's threads to go to sleep, and fast-math would change bits. `range(p.size)` and one array of constants are what
LLVM vectorizes best.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from optim.formula.plan import Plan
from optim.formula.vocabulary import VOCABULARY

LONG = 1_000_000
"""Elements from which threads take a part each, where several were asked for."""


def available() -> bool:
    """Whether Numba is installed."""
    return importlib.util.find_spec("numba") is not None


def source(plan: Plan) -> str:
    """The text of the loop: load, compute, store; one element at a time."""
    values = {a: f"{a}_" for a in plan.arrays}
    lines = [f"def {plan.name}({', '.join(plan.arrays)}, _constants):"]
    lines += [f"    {c} = real(_constants[{i}])" for i, c in enumerate(plan.expressions)]
    lines += [f"    {a}_ = {a}[0]" for a in plan.scalars]
    lines += [f"    for _i in range({plan.arrays[0]}.size):"]
    read = {a for step in plan.steps for a in step.arguments} | set(plan.outputs.values())
    lines += [f"        {a}_ = {a}[_i]" for a in plan.arrays if a in read and a not in plan.scalars]
    for step in plan.steps:
        arguments = [values.get(a, a) for a in step.arguments]
        lines.append(f"        {step.out} = {VOCABULARY[step.word].python.format(*arguments)}")
    lines += [f"        {array}[_i] = {values.get(value, value)}" for array, value in plan.outputs.items()]
    return "\n".join(lines) + "\n"


def compile_plan(plan: Plan, dtype: Any, threads: int = 1) -> Callable[..., None]:
    """A function of the plan's arrays (flat, C-contiguous, of one type) and its constants in float64."""
    kernel = _compiled(plan, np.dtype(dtype))
    return kernel if threads == 1 else _shared(plan, kernel, threads)


def _shared(plan: Plan, kernel: Callable[..., None], threads: int) -> Callable[..., None]:
    """The kernel on parts of long arrays, a thread each; it holds no lock that another would wait for."""

    def run(*arguments: Any) -> None:
        *arrays, constants = arguments
        size = arrays[0].size
        if size < LONG:
            kernel(*arguments)
            return
        ends = [size * i // threads for i in range(threads + 1)]
        parts = [
            [a if name in plan.scalars else a[start:end] for name, a in zip(plan.arrays, arrays, strict=True)]
            for start, end in pairwise(ends)
        ]
        waiting = [_pool(threads).submit(kernel, *part, constants) for part in parts[1:]]
        kernel(*parts[0], constants)
        for part in waiting:
            part.result()

    return run


@cache
def _pool(threads: int) -> Any:
    from concurrent.futures import ThreadPoolExecutor  # takes long to import

    return ThreadPoolExecutor(threads - 1, thread_name_prefix="optim")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of its parent's threads


@cache
def _compiled(plan: Plan, dtype: np.dtype[Any]) -> Callable[..., None]:
    import numba

    real = numba.from_dtype(np.dtype(dtype))
    one, zero = np.dtype(dtype).type(1), np.dtype(dtype).type(0)
    scope: dict[str, Any] = {
        "real": real,
        "one": one,
        "zero": zero,
        "sqrt": np.sqrt if dtype != np.float64 else math.sqrt,
        "abs": abs,
    }
    made: dict[str, Any] = {}
    exec(source(plan), scope, made)  # apart from the scope, where a formula's name may stand for something else
    array = numba.types.Array(real, 1, "C")
    signature = numba.void(*[array] * len(plan.arrays), numba.types.Array(numba.float64, 1, "C"))
    # The loop makes no arrays, so Numba need not count references to them (`_nrt`), and only Python calls it: a call
    # takes a third less time, compiling a sixth.
    options: Any = {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    if hasattr(numba.core.options.DefaultOptions, "_nrt"):  # Numba does not promise it
        options["_nrt"] = False
    kernel: Callable[..., None] = numba.njit([signature], **options)(made[plan.name])
    return kernel
