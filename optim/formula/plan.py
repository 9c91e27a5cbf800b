"""A plan: what a formula does for some settings, ready to be run on arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optim.formula.trace import HOST_NAMES, Step, Trace


class Plan:
    """The steps of a formula, without those that nothing needs.

    plans: itself, as several formulas have several.
    arrays: p, g, and the state that is read or changed; the rest (a buffer that the settings don't use) need not exist.
    scalars: those among them that have one element.
    outputs: changed array -> the value it gets, a step, another array or a constant.
    numbers: a hyperparameter that the formula returns, changed -> its expression.
    notes: the formula's assignments in order: name, and value or expression of hyperparameters.
    constants: a function of the hyperparameters, in their order, to the constants that meet arrays, followed by the
        new values of `numbers`; None where a guard says that the plan does not hold.
    """

    def __init__(
        self,
        name: str,
        arrays: tuple[str, ...],
        scalars: tuple[str, ...],
        hyperparameters: tuple[str, ...],
        trace: Trace,
        results: dict[str, str],
        numbers: dict[str, str],
    ) -> None:
        self.name = name
        self.plans = [self]
        self.numbers = numbers
        self.outputs = {array: value for array, value in results.items() if array != value}
        moved = {v for v in self.outputs.values() if v in self.outputs}
        if moved:
            raise TypeError(f"formula {name}: {sorted(moved)} would be overwritten before another array gets its value")
        self.steps = _needed(trace.steps, set(self.outputs.values()))
        read = {a for step in self.steps for a in step.arguments} | set(self.outputs.values())
        self.arrays = tuple(a for i, a in enumerate(arrays) if i < 2 or a in read or a in self.outputs)
        self.scalars = tuple(a for a in scalars if a in self.arrays)
        self.notes = trace.notes
        self.expressions = {constant: text for text, constant in trace.constants.items()}
        returned = "".join(f"{value}, " for value in [*trace.constants.values(), *numbers.values()])
        lines = [f"def constants({', '.join(hyperparameters)}):", *trace.lines, f"return ({returned})"]
        self.source = "\n    ".join(lines) + "\n"
        scope: dict[str, Any] = dict(HOST_NAMES)
        exec(self.source, scope)
        self.constants: Callable[..., tuple[float, ...] | None] = scope["constants"]
        self.kernels: dict[Any, Any] = {}  # what `execution` has compiled, by execution and type

    def __repr__(self) -> str:
        _, *host, _ = self.source.splitlines()
        lines = [line.strip() for line in host]
        lines += [f"{step.out} = {step.word}({', '.join(step.arguments)})" for step in self.steps]
        lines += [f"{name} <- {value}" for name, value in (self.outputs | self.numbers).items()]
        return "\n    ".join([f"plan of {self.name}({', '.join(self.arrays)}):", *lines])


def _needed(steps: list[Step], wanted: set[str]) -> list[Step]:
    kept = []
    for step in reversed(steps):
        if step.out in wanted:
            wanted |= set(step.arguments)
            kept.append(step)
    return kept[::-1]
