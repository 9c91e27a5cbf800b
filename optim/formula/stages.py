"""Several formulas that make one step together, with array code between them: sums, norms, products of matrices.

Each is traced and runs for itself, on arrays that the class's `update` hands it; their hyperparameters are settled at
once, before any array is touched.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from optim.formula.definition import Formula
from optim.formula.plan import Plan


class Stages(Formula):
    """Formulas in the order in which they run, in the place of a class's one formula.

    arrays: names of the state arrays, for the class's `state_keys`.
    formulas: they name their own arrays, and take the class's settings, and `t`, by name.
    """

    def __init__(self, arrays: tuple[str, ...], *formulas: Formula) -> None:
        self.formulas = formulas
        self.name = formulas[-1].name
        self.arrays, self.scalars = ("p", "g", *arrays), ()
        names = dict.fromkeys(name for formula in formulas for name in formula.hyperparameters)
        self.counted, self.sees_first = "t" in names, False
        self.hyperparameters = (*(name for name in names if name != "t"), *("t",) * self.counted)
        self._plans = {}

    @property
    def returns(self) -> tuple[str, ...]:
        """The names that the formulas return."""
        return tuple(name for formula in self.formulas for name in formula.returns)

    def values(self, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """What each formula takes of these hyperparameters."""
        given = dict(zip(self.hyperparameters, values, strict=True))
        return [tuple(given[name] for name in formula.hyperparameters) for formula in self.formulas]

    def trace(self, values: tuple[Any, ...]) -> Any:
        """The plans of all formulas, as one."""
        parts = zip(self.formulas, self.values(values), strict=True)
        return StagesPlan(self, [formula.plan(part)[0] for formula, part in parts])


class StagesPlan:
    """The plans of stages: to a step, one plan, whose constants are those of all."""

    def __init__(self, stages: Stages, plans: list[Plan]) -> None:
        self.stages, self.plans = stages, plans
        self.arrays, self.scalars, self.numbers = stages.arrays, stages.scalars, ()
        self.kernels: dict[Any, Any] = {}
        for plan in plans:
            if plan.numbers:
                raise TypeError(f"formula {plan.name}: returns {', '.join(plan.numbers)}, which stages can't keep")

    def constants(self, *values: Any) -> tuple[float, ...] | None:
        """The constants of one plan after another; None where a plan does not hold."""
        constants: tuple[float, ...] = ()
        for plan, part in zip(self.plans, self.stages.values(values), strict=True):
            found = plan.constants(*part)
            if found is None:
                return None
            constants += found
        return constants


class Chain:
    """The plans of stages, ready to run on arrays of one type: `chain(formula, constants, *arrays)`."""

    def __init__(self, plan: StagesPlan, runs: tuple[Any, ...], prepares: tuple[Any, ...]) -> None:
        self.stages, self.runs, self.prepares = plan.stages, runs, prepares
        ends = accumulate((len(p.expressions) for p in plan.plans), initial=0)
        self.parts = [slice(*part) for part in pairwise(ends)]
        self.places = {formula: i for i, formula in enumerate(plan.stages.formulas)}

    def prepare(self, values: tuple[Any, ...], constants: tuple[float, ...]) -> Any:
        """What all take: one array of words, as a launch does, or else a list of what each takes."""
        stages = zip(self.prepares, self.stages.values(values), self.parts, strict=True)
        prepared = [prepare(value, constants[part]) for prepare, value, part in stages]
        return np.concatenate(prepared) if isinstance(prepared[0], np.ndarray) else prepared

    def __call__(self, formula: Formula, constants: Any, *arrays: Any) -> None:
        """Run one of the formulas on the arrays that it names, flat."""
        i = self.places[formula]
        self.runs[i](*arrays, constants[i if isinstance(constants, list) else self.parts[i]])
