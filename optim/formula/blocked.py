"""The plan as NumPy calls on blocks of elements: the default where only NumPy is installed.

Every call writes into scratch that is used again, so a step allocates nothing, and a block is small enough that what
one call writes is still in the cache for the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.backend import namespace
from optim.formula.plan import Plan
from optim.formula.vocabulary import VOCABULARY

BLOCK = 32_768


def source(plan: Plan) -> tuple[str, list[int]]:
    """The text of the function of one block, and how much scratch it takes.

    That is how many blocks of the array's type, how many of bool, how many single elements.
    """
    last = {a: i for i, step in enumerate(plan.steps) for a in step.arguments}
    last |= {value: len(plan.steps) for value in plan.outputs.values()}
    place = {a: a for a in plan.arrays}  # where each value stands: in an array, or in scratch
    homes = {value: array for array, value in plan.outputs.items()}
    spare = _spare(plan)
    registers = {kind: _Registers(kind) for kind in ("_real", "_flag", "_one")}
    ones = {*plan.scalars, *plan.expressions}  # values of one element
    body = []
    for i, step in enumerate(plan.steps):
        word = VOCABULARY[step.word]
        masked = any("{mask}" in line for line in word.blocked)
        done = [place[a] for a in dict.fromkeys(step.arguments) if last[a] == i and place.get(a, "").startswith("_")]
        if word.in_place:
            _give_back(registers, done)
        home = homes.get(step.out)
        dying = [a for a in step.arguments if last[a] == i and a in place] if word.in_place and not word.boolean else []
        over = [place[a] for a in dying if last[step.out] <= spare.get(place[a], -1)]
        if home is not None and _is_free(home, i, last, plan, () if word.in_place else step.arguments):
            place[step.out] = home
        elif over:
            place[step.out] = over[0]
        else:
            kind = "_flag" if word.boolean else "_real" if masked or not ones.issuperset(step.arguments) else "_one"
            ones |= {step.out} if kind == "_one" else set()
            place[step.out] = registers[kind].take()
        mask = registers["_flag"].take() if masked else ""
        arguments = [place.get(a, a) for a in step.arguments]
        body += [line.format(*arguments, out=place[step.out], mask=mask) for line in word.blocked]
        _give_back(registers, [mask] * bool(mask) + ([] if word.in_place else done))
    body += [f"copyto({a}, {place.get(v, v)})" for a, v in plan.outputs.items() if place.get(v) != a]
    names = [f"{kind}{i}, " for kind, several in registers.items() for i in range(several.count)]
    lines = [f"def {plan.name}({', '.join(plan.arrays)}, _constants, _scratch):"]
    lines += [f"    ({''.join(f'{c}, ' for c in plan.expressions)}*_,) = _constants"]
    lines += [f"    ({''.join(names)}) = _scratch"]
    lines += [f"    {line}" for line in body]
    return "\n".join(lines) + "\n", [several.count for several in registers.values()]


def _spare(plan: Plan) -> dict[str, int]:
    """Array that gets a new value -> the last step that may read another in its place: until then it is scratch."""
    written = {step.out: i if VOCABULARY[step.word].in_place else i - 1 for i, step in enumerate(plan.steps)}
    arrays = plan.outputs.keys() - set(plan.scalars)
    return {array: written.get(plan.outputs[array], len(plan.steps)) for array in arrays}


class _Registers:
    """Names of scratch of one kind, handed out and taken back."""

    def __init__(self, kind: str) -> None:
        self.kind, self.count = kind, 0
        self.free: list[str] = []

    def take(self) -> str:
        if self.free:
            return self.free.pop()
        self.count += 1
        return f"{self.kind}{self.count - 1}"


def _give_back(registers: dict[str, _Registers], names: list[str]) -> None:
    for name in names:
        registers[name.rstrip("0123456789")].free.append(name)


def _is_free(home: str, step: int, last: dict[str, int], plan: Plan, kept: tuple[str, ...]) -> bool:
    # The array's own memory can take its new value once nothing reads the old one any more.
    if home in kept or last.get(home, -1) > step:
        return False
    return sum(value == plan.outputs[home] for value in plan.outputs.values()) == 1


class _Scratch(threading.local):
    """The blocks of scratch of a function; threads that step at once each have their own."""

    def __init__(self, reals: int, flags: int, ones: int) -> None:
        self.reals, self.flags, self.ones = reals, flags, ones
        self.blocks: list[Any] = []
        self.size = -1
        self.parts: dict[int, list[Any]] = {}

    def of(self, size: int, like: Any) -> list[Any]:
        """The first `size` elements of every block, then arrays of shape ()."""
        parts = self.parts.get(size)
        if parts is None:
            if self.size < size:
                self.blocks = [backend.empty(size, like) for _ in range(self.reals)]
                self.blocks += [backend.empty(size, like, bool) for _ in range(self.flags)]
                self.size, self.parts = size, {}
            ones = [backend.empty((), like) for _ in range(self.ones)]
            parts = self.parts[size] = [block[:size] for block in self.blocks] + ones
        return parts


def compile_plan(plan: Plan, dtype: Any) -> Callable[..., None]:
    """A function of the plan's arrays (flat, of one type) and its constants, as `prepared` gives them."""
    text, counts = source(plan)
    functions = ("add", "subtract", "multiply", "true_divide", "negative", "square", "sqrt", "absolute", "copyto")
    comparisons = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
    scope: dict[str, Any] = {name: getattr(np, name) for name in functions + comparisons}
    made: dict[str, Any] = {}
    exec(text, scope, made)  # apart from the scope, where a formula's name may stand for something else
    run, scratch = made[plan.name], _Scratch(*counts)
    single = [a in plan.scalars for a in plan.arrays]

    @np.errstate(all="ignore")
    def kernel(*arguments: Any) -> None:
        first = arguments[0]
        if plan.scalars:  # NumPy takes arrays of shape () faster than those of one element
            arrays = [a.reshape(()) if one else a for a, one in zip(arguments, single, strict=False)]
            arguments = (*arrays, arguments[-1])
        if first.size <= BLOCK:
            run(*arguments, scratch.of(first.size, first))
            return
        *arrays, constants = arguments
        for start in range(0, first.size, BLOCK):
            parts = [a if one else a[start : start + BLOCK] for a, one in zip(arrays, single, strict=True)]
            run(*parts, constants, scratch.of(parts[0].size, first))

    return kernel


def prepared(constants: tuple[float, ...], like: Any) -> list[Any]:
    """Constants rounded to the type of `like`, as arrays of shape (): NumPy takes them faster than numbers."""
    rounded = np.array(constants, np.float64).astype(like.dtype)
    if not isinstance(like, np.ndarray):
        rounded = namespace(like).asarray(rounded)
    return [rounded[i : i + 1].reshape(()) for i in range(len(constants))]
