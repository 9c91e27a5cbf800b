"""The plan as NumPy calls on blocks of elements: the default where only NumPy is installed.

Every call writes into scratch that is used again, so a step allocates nothing, and a block is small enough that what
one call writes is still in the cache for the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backend import namespace
from optim.formula.plan import Plan
from optim.formula.vocabulary import VOCABULARY

BLOCK = 32_768


def source(plan: Plan) -> tuple[str, int, int]:
    """The text of the function, and how many blocks of scratch of the array's type and of bool it takes."""
    last = {a: i for i, step in enumerate(plan.steps) for a in step.arguments}
    last |= {value: len(plan.steps) for value in plan.outputs.values()}
    place = {a: f"{a}_" for a in plan.arrays}  # where each value stands: a block of an array, or of scratch
    homes = {value: array for array, value in plan.outputs.items()}
    scratch = {"_real": _Scratch("_real"), "_flag": _Scratch("_flag")}
    body = []
    for i, step in enumerate(plan.steps):
        word = VOCABULARY[step.word]
        done = [place[a] for a in dict.fromkeys(step.arguments) if last[a] == i and place.get(a, "").startswith("_")]
        if word.in_place:
            _give_back(scratch, done)
        home = homes.get(step.out)
        if home is not None and _is_free(home, i, last, plan, () if word.in_place else step.arguments):
            place[step.out] = f"{home}_"
        else:
            place[step.out] = scratch["_flag" if word.boolean else "_real"].take()
        mask = scratch["_flag"].take() if any("{mask}" in line for line in word.blocked) else ""
        arguments = [place.get(a, a) for a in step.arguments]
        body += [line.format(*arguments, out=place[step.out], mask=mask) for line in word.blocked]
        _give_back(scratch, [mask] * bool(mask) + ([] if word.in_place else done))
    body += [f"copyto({a}_, {place.get(v, v)})" for a, v in plan.outputs.items() if place.get(v) != f"{a}_"]
    lines = [f"def {plan.name}({', '.join(plan.arrays)}, _constants, _reals, _flags):"]
    lines += [f"    {c} = _constants[{i}:{i + 1}].reshape(())" for i, c in enumerate(plan.expressions)]
    lines += [f"    _size = {plan.arrays[0]}.size", f"    for _start in range(0, _size, {BLOCK}):"]
    lines += [f"        _stop = min(_start + {BLOCK}, _size)"]
    lines += [f"        {a}_ = {a}" + ("" if a in plan.scalars else "[_start:_stop]") for a in plan.arrays]
    for kind, registers in scratch.items():
        lines += [f"        {kind}{i} = {kind}s[{i}, : _stop - _start]" for i in range(registers.count)]
    lines += [f"        {line}" for line in body]
    return "\n".join(lines) + "\n", scratch["_real"].count, scratch["_flag"].count


class _Scratch:
    """Blocks of scratch of one kind, handed out and taken back."""

    def __init__(self, kind: str) -> None:
        self.kind, self.count = kind, 0
        self.free: list[str] = []

    def take(self) -> str:
        if self.free:
            return self.free.pop()
        self.count += 1
        return f"{self.kind}{self.count - 1}"


def _give_back(scratch: dict[str, _Scratch], registers: list[str]) -> None:
    for register in registers:
        scratch[register.rstrip("0123456789")].free.append(register)


def _is_free(home: str, step: int, last: dict[str, int], plan: Plan, kept: tuple[str, ...]) -> bool:
    # The array's own memory can take its new value once nothing reads the old one any more.
    if home in kept or last.get(home, -1) > step:
        return False
    return sum(value == plan.outputs[home] for value in plan.outputs.values()) == 1


def compile_plan(plan: Plan, dtype: Any) -> Callable[..., None]:
    """A function of the plan's arrays (flat, of one type) and its constants in float64."""
    text, reals, flags = source(plan)
    functions = ("add", "subtract", "multiply", "true_divide", "negative", "square", "sqrt", "absolute", "copyto")
    comparisons = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
    scope: dict[str, Any] = {name: getattr(np, name) for name in functions + comparisons}
    exec(text, scope)
    run = scope[plan.name]
    store = threading.local()  # threads that step at once each have their own scratch

    def kernel(*arguments: Any) -> None:
        *arrays, constants = arguments
        size = min(arrays[0].size, BLOCK)
        if getattr(store, "size", -1) < size or type(store.reals) is not type(arrays[0]):
            store.reals = np.empty_like(arrays[0], shape=(reals, size))
            store.flags = np.empty_like(arrays[0], shape=(flags, size), dtype=bool)
            store.size = size
        with np.errstate(all="ignore"):
            rounded = constants.astype(dtype)
            if not isinstance(arrays[0], np.ndarray):
                rounded = namespace(arrays[0]).asarray(rounded)
            run(*arrays, rounded, store.reals, store.flags)

    return kernel
