"""`@formula`: a function of arrays and hyperparameters that is the one definition of an algorithm.

`help(optim.formula)` has the rules that it keeps.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from optim.formula import grammar
from optim.formula.names import check_names
from optim.formula.plan import Plan
from optim.formula.trace import Host, Symbol, Trace, text_of


class Scalar:
    """Marks a formula's array that has one element."""


class Formula:
    """A formula: call it to run it as it is written; `plan` gives what the generated executions run.

    formulas: those that a step consists of: itself, or of `Stages` several.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__
        self.formulas: tuple[Formula, ...] = (self,)
        parameters = inspect.signature(function).parameters.values()
        self.arrays = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.scalars = tuple(p.name for p in parameters if p.annotation in ("Scalar", Scalar))
        self.hyperparameters = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.counted, self.sees_first = "t" in self.hyperparameters, "first" in self.hyperparameters
        check_names(self.name, self.arrays, self.hyperparameters)
        self._plans: dict[tuple[Any, ...], list[Plan]] = {}

    @functools.cached_property
    def _text(self) -> grammar.Text:
        # at first use: reading the source of every formula would be half of the time that importing `optim` takes
        return grammar.read(self.function, self.arrays, self.hyperparameters)

    @property
    def returns(self) -> tuple[str, ...]:
        """The names it returns. Raises TypeError where its text breaks a rule: see help(optim.formula)."""
        return self._text.returns

    def __call__(self, *arrays: Any, **hyperparameters: Any) -> tuple[Any, ...]:
        """The formula as written, on arrays or on Tensors; always a tuple, in the order of `returns`."""
        answer = self.function(*arrays, **hyperparameters)
        return answer if isinstance(answer, tuple) else (answer,)

    def __repr__(self) -> str:
        return f"formula {self.name}({', '.join(self.arrays)})"

    def results(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What it returns, by name, for arrays and hyperparameters by name, among which may stand others."""
        answers = self(*map(given.get, self.arrays), **{name: given[name] for name in self.hyperparameters})
        return dict(zip(self.returns, answers, strict=True))

    def plan(self, values: tuple[Any, ...]) -> tuple[Plan, tuple[float, ...]]:
        """The plan that holds for these hyperparameters (in their order), and what its `constants` gives for them.

        All arithmetic of hyperparameters is done here, in float64: whatever it raises is raised before an array
        is touched.
        """
        settings = tuple(v if v is None or isinstance(v, bool) else 0 for v in values)
        plans = self._plans.setdefault(settings, [])
        for plan in plans:
            constants = plan.constants(*values)
            if constants is not None:
                return plan, constants
        plan = self.trace(values)
        plans.append(plan)
        constants = plan.constants(*values)
        if constants is None:
            raise RuntimeError(f"formula {self.name}: a plan traced for {values} does not hold for them")
        return plan, constants

    def trace(self, values: tuple[Any, ...]) -> Plan:
        """Run the formula once on stand-ins."""
        trace = Trace(self.name)
        hosts = {
            name: v if v is None or isinstance(v, bool) else Host(trace, v, name)
            for name, v in zip(self.hyperparameters, values, strict=True)
        }

        def note(name: str, value: Any) -> Any:
            if isinstance(value, Symbol):
                trace.notes.append((name, value.name))
            elif isinstance(value, Host):
                trace.notes.append((name, value.text))
            return value

        answer = self._text.traced(*(Symbol(trace, name) for name in self.arrays), __note__=note, **hosts)
        answers = answer if isinstance(answer, tuple) else (answer,)
        results, numbers = {}, {}
        for name, value in zip(self.returns, answers, strict=True):
            if name in self.hyperparameters:
                numbers[name] = value.text if isinstance(value, Host) else text_of(value)
            elif isinstance(value, Symbol) and value.condition:
                raise TypeError(f"formula {self.name}: {name} would become a condition, not numbers")
            else:
                results[name] = value.name if isinstance(value, Symbol) else trace.constant(value)
        return Plan(self.name, self.arrays, self.scalars, self.hyperparameters, trace, results, numbers)


def formula(function: Callable[..., Any]) -> Formula:
    """Make a function the definition of an algorithm. help(optim.formula) says what it may contain."""
    return Formula(function)
