"""The plan as NumPy calls on blocks of elements: the default where only NumPy is installed.

Every call writes into scratch that is used again, so a step allocates nothing, and a block is small enough that what
one call writes is still in the cache for the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optim.formula.plan import Plan
from optim.formula.vocabulary import VOCABULARY

BLOCK = 32_768


def source(plan: Plan) -> tuple[str, int, int]:
    """The text of the function, and how many blocks of scratch of the array's type and of bool it takes."""
    last = {a: i for i, step in enumerate(plan.steps) for a in step.arguments}
    last |= {value: len(plan.steps) for value in plan.outputs.values()}
    place = {a: f"{a}_" for a in plan.arrays}
    free: dict[str, list[str]] = {"t": [], "b": []}
    count = {"t": 0, "b": 0}
    homes = {value: array for array, value in plan.outputs.items()}

    def scratch(kind: str) -> str:
        if free[kind]:
            return free[kind].pop()
        count[kind] += 1
        return f"{kind}{count[kind] - 1}"

    body = []
    for i, step in enumerate(plan.steps):
        word = VOCABULARY[step.word]
        arguments = [place.get(a, a) for a in step.arguments]
        done = {place[a] for a in step.arguments if last[a] == i and a in place and place[a][0] in "tb" and a not in plan.arrays}
        home = homes.get(step.out)
        if home is not None and _is_free(home, i, last, plan, step.arguments if not word.in_place else ()):
            out = f"{home}_"
        else:
            if word.in_place:
                for register in sorted(done):
                    free[register[0]].append(register)
                done = set()
            out = scratch("b" if word.boolean else "t")
        place[step.out] = out
        mask = scratch("b") if any("{mask}" in line for line in word.blocked) else ""
        body += [line.format(*arguments, out=out, mask=mask) for line in word.blocked]
        for register in sorted(done | ({mask} if mask else set())):
            free[register[0]].append(register)
    body += [f"copyto({a}_, {place.get(v, v)})" for a, v in plan.outputs.items() if place.get(v) != f"{a}_"]
    registers = {kind: [f"{kind}{i}" for i in range(count[kind])] for kind in "tb"}
    lines = [f"def {plan.name}({', '.join(plan.arrays)}, constants, reals, flags):"]
    lines += [f"    {c} = constants[{i}:{i + 1}].reshape(())" for i, c in enumerate(plan.expressions)]
    lines += [f"    n = {plan.arrays[0]}.size", f"    for start in range(0, n, {BLOCK}):"]
    lines += [f"        stop = min(start + {BLOCK}, n)"]
    lines += [f"        {a}_ = {a}[start:stop]" for a in plan.arrays]
    for kind, store in (("t", "reals"), ("b", "flags")):
        lines += [f"        {r} = {store}[{i}, : stop - start]" for i, r in enumerate(registers[kind])]
    lines += [f"        {line}" for line in body]
    return "\n".join(lines) + "\n", count["t"], count["b"]


def _is_free(home: str, step: int, last: dict[str, int], plan: Plan, kept: tuple[str, ...]) -> bool:
    # The array's own memory can take its new value once nothing reads the old one any more.
    if home in kept or last.get(home, -1) > step:
        return False
    return sum(value == plan.outputs[home] for value in plan.outputs.values()) == 1


def compile_plan(plan: Plan, dtype: Any) -> Callable[..., None]:
    """A function of the plan's arrays (flat, of one type) and its constants in float64."""
    text, reals, flags = source(plan)
    functions = ("add", "subtract", "multiply", "true_divide", "negative", "square", "sqrt", "absolute", "copyto")
    comparisons = ("less", "less_equal", "greater", "greater_equal", "not_equal")
    scope: dict[str, Any] = {name: getattr(np, name) for name in functions + comparisons}
    exec(text, scope)
    run = scope[plan.name]
    store: list[Any] = []

    def kernel(*arguments: Any) -> None:
        size = min(arguments[0].size, BLOCK)
        if not store or store[0].shape[1] < size:
            store[:] = np.empty((reals, size), dtype), np.empty((flags, size), bool)
        with np.errstate(all="ignore"):
            *arrays, constants = arguments
            run(*arrays, constants.astype(dtype), *store)

    return kernel
