"""A step of several formulas, with array code between them: sums, norms, products of matrices.

    formula = Stages(("b",), muon_direction, muon)

    def update(self, binding, g, constants, settings):
        ...
        binding.run(muon_direction, constants, b, g, d)
        ...  # array code: o, from d
        binding.run(muon, constants, p, o, kappa)

Each formula is traced, compiled and run for itself. To the rest of `optim` they are one: `Stages` is its formula, with
the hyperparameters of all; `StagesPlan` is its plan, which computes the constants of all before any array is touched;
`StagesRun` is what `update` finds as `binding.run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from optim.formula.definition import Formula
from optim.formula.plan import Plan


class Stages(Formula):
    """Formulas in the order in which they run, in the place of a class's one formula.

    arrays: names of what is kept for each parameter: in the class's `state_keys`, or its `scratch`.
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

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Raises TypeError: what stands between the formulas is in the class's `update`."""
        names = " and ".join(formula.name for formula in self.formulas)
        raise TypeError(
            f"formula {self.name}: a step is {names} with array code between them, which update() of its class has; "
            "call one of them"
        )

    def values(self, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """What each formula takes of these hyperparameters."""
        given = dict(zip(self.hyperparameters, values, strict=True))
        return [tuple([given[name] for name in formula.hyperparameters]) for formula in self.formulas]

    def trace(self, values: tuple[Any, ...]) -> Any:
        """The plans of all formulas, as one."""
        parts = zip(self.formulas, self.values(values), strict=True)
        return StagesPlan(self, [formula.plan(part)[0] for formula, part in parts])


class StagesPlan:
    """The plan of each formula. Its constants are those of all, one plan after another."""

    def __init__(self, stages: Stages, plans: list[Plan]) -> None:
        self.stages, self.plans = stages, plans
        self.arrays, self.scalars, self.numbers = stages.arrays, stages.scalars, ()
        self.kernels: dict[Any, Any] = {}
        for plan in plans:
            if plan.numbers:
                raise TypeError(f"formula {plan.name}: returns {', '.join(plan.numbers)}, which stages can't keep")

    def constants(self, *values: Any) -> tuple[float, ...] | None:
        """The constants of all plans; None where one does not hold."""
        constants: tuple[float, ...] = ()
        for plan, part in zip(self.plans, self.stages.values(values), strict=True):
            found = plan.constants(*part)
            if found is None:
                return None
            constants += found
        return constants


class StagesRun:
    """The plan of each formula, ready for arrays of one type. `constants` are what `update` was given: those of all."""

    def __init__(self, plan: StagesPlan, runs: Sequence[Any]) -> None:
        ends = accumulate((len(part.expressions) for part in plan.plans), initial=0)
        self.stages = {
            formula: (run, slice(*part))
            for formula, run, part in zip(plan.stages.formulas, runs, pairwise(ends), strict=True)
        }

    def __call__(self, formula: Formula, constants: Any, *arrays: Any) -> None:
        """Run one of the formulas on the arrays that it names, flat."""
        run, part = self.stages[formula]
        run(*arrays, constants if isinstance(constants, dict) else constants[part])  # "eager" takes names as they are

    def together(self, formula: Formula, constants: Any, rows: Sequence[Sequence[Any]]) -> None:
        """The same on a GPU, for many parameters at once: for each its arrays."""
        kernel, part = self.stages[formula]
        kernel.run(rows, constants[part])
