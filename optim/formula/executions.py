"""Which execution of a formula runs: the fastest that the arrays and the installed packages allow, unless chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.backend import device_of
from optim.formula import blocked, compiled, cuda
from optim.formula.definition import Formula
from optim.formula.plan import Plan
from optim.formula.stages import StagesPlan, StagesRun

EXECUTIONS = ("eager", "blocked", "numba", "cuda")
Choice = tuple[str, int]
"""An execution, and how many threads."""
_chosen: ContextVar[Choice | None] = ContextVar("execution", default=None)
_numba = compiled.available()


@contextmanager
def execution(name: str, *, threads: int = 1) -> Iterator[None]:
    """Run every optimizer step in the block in one execution.

    "eager": the formula as it is written, on arrays: slow, for reading along in a debugger. `print` and `breakpoint` in
        a formula are called here alone. A breakpoint that a debugger sets is also met before the first step and where
        a branch changes, with stand-ins in place of arrays: so a step learns, in every execution, which state it needs.
    "blocked": generated NumPy calls on blocks, without temporaries.
    "numba": a generated loop, compiled, for float32 and float64; needs Numba. Other types run blocked.
    "cuda": a generated kernel, one launch for all tensors of a group, for CuPy arrays of these types.

    threads: for "numba", how many take a part each of every array of a million elements or more; 1 by default. Several
        help where one processor can't use all of the memory's bandwidth; right after a matrix product they wait for
        the threads of that.

    All give the same bits. Without it, the fastest that is possible runs, in one thread. Raises ValueError for another
    name and for threads below 1 or of another execution, RuntimeError where Numba is not installed.
    """
    if name not in EXECUTIONS:
        raise ValueError(f"execution: expected one of {', '.join(EXECUTIONS)}, got {name!r}")
    if not isinstance(threads, int) or threads < 1 or (threads > 1 and name != "numba"):
        raise ValueError(f'execution: threads must be a whole number from 1, and 1 but for "numba", got {threads!r}')
    if name == "numba" and not _numba:
        raise RuntimeError('execution: "numba" needs Numba, which is not installed: pip install numba')
    token = _chosen.set((name, threads))
    try:
        yield
    finally:
        _chosen.reset(token)


def chosen_execution() -> Choice | None:
    """The execution chosen by `with execution(...)` and its threads, or None."""
    return _chosen.get()


Run = Callable[..., None]
"""Takes a plan's arrays, flat, and prepared constants; writes the plan's outputs."""
Prepare = Callable[[tuple[Any, ...], tuple[float, ...]], Any]
"""Takes hyperparameters and the plan's constants for them, in float64; gives what `Run` takes."""


def executor(formula: Formula, plan: Plan, like: Any) -> tuple[Run, Prepare]:
    """The plan ready to run on arrays of the type of `like`, made once for each execution and type."""
    on_host = isinstance(like, np.ndarray)
    on_device = device_of(like).startswith("cuda")
    name, threads = _chosen.get() or ("cuda" if on_device else "numba" if _numba and on_host else "blocked", 1)
    if (name == "numba" and not on_host) or (name == "cuda" and not on_device):
        taken = "NumPy" if name == "numba" else "CuPy"
        raise RuntimeError(
            f'execution "{name}" takes {taken} arrays, not {type(like).__module__}.{type(like).__name__}'
        )
    if name in ("numba", "cuda") and not (like.dtype.char in "fd" and like.dtype.isnative):
        name = "blocked"
    key = name, threads, like.dtype, type(like), device_of(like)  # where constants and blocks are
    made: tuple[Run, Prepare] | None = plan.kernels.get(key)
    if made is None:
        run: Run
        if isinstance(plan, StagesPlan):
            stages = zip(formula.formulas, plan.plans, strict=True)
            run = StagesRun(plan, [executor(one, part, like)[0] for one, part in stages])
        elif name == "eager":
            run = _eager(formula, plan)
        elif name == "blocked":
            run = blocked.compile_plan(plan, like.dtype)
        elif name == "numba":
            run = compiled.compile_plan(plan, like.dtype, threads)
        else:
            run = cuda.Kernel(plan, like.dtype)
        made = plan.kernels[key] = run, _preparing(name, formula, like)
    return made


def launches(run: Run) -> bool:
    """Whether it launches kernels, which take the arrays of many parameters at once."""
    runs = [one for one, _ in run.stages.values()] if isinstance(run, StagesRun) else [run]
    return all(isinstance(one, cuda.Kernel) for one in runs)


def _preparing(name: str, formula: Formula, like: Any) -> Prepare:
    if name == "eager":
        return lambda values, _: dict(zip(formula.hyperparameters, values, strict=True))
    if name == "blocked":
        empty = backend.empty(0, like)  # of this kind; `like` itself is not to be kept alive
        return lambda _, constants: blocked.prepared(constants, empty)
    return lambda _, constants: np.array(constants, np.float64)


def _eager(formula: Formula, plan: Plan) -> Run:
    def run(*arguments: Any) -> None:
        *arrays, hyperparameters = arguments
        given = dict(zip(plan.arrays, arrays, strict=True))
        with np.errstate(all="ignore"):
            results = formula.results(hyperparameters | given)
        for name, value in results.items():
            if name in plan.outputs:
                given[name][...] = value

    return run
