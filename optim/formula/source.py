"""`@formula`: a function of arrays and hyperparameters that is the one definition of an algorithm.

    @formula
    def sgd(p, g, *, lr):
        p = p - lr * g
        return p

Positional parameters are arrays: p, g, then state. One annotated `Scalar` has a single element, in the memory of the
same device: what a reduction between two formulas left there. Keyword parameters are hyperparameters: numbers, or True,
False and None, which are settings of the algorithm. It returns, by name, the arrays it changes, and numbers that it
changes for the next step. A branch may depend on hyperparameters; one that depends on elements is `where`. Every
assignment names a step; `+=` would hide one.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from optim.formula.plan import Plan
from optim.formula.trace import Host, Symbol, Trace, text_of


class Scalar:
    """Marks a formula's array that has one element."""


class Formula:
    """A formula: call it to run it as it is written; `plan` gives what the generated executions run."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__
        parameters = inspect.signature(function).parameters.values()
        self.arrays = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.scalars = tuple(p.name for p in parameters if p.annotation in ("Scalar", Scalar))
        self.hyperparameters = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.counted, self.sees_first = "t" in self.hyperparameters, "first" in self.hyperparameters
        self._plans: dict[tuple[Any, ...], list[Plan]] = {}

    @functools.cached_property
    def _named(self) -> tuple[tuple[str, ...], Callable[..., Any]]:
        # at first use: reading the source of every formula would be half of the time that importing `optim` takes
        returns, traced = _named(self.function)
        unknown = set(returns) - {*self.arrays, *self.hyperparameters}
        if unknown:
            raise TypeError(f"formula {self.name}: returns {sorted(unknown)}, which it was not given")
        return returns, traced

    @property
    def returns(self) -> tuple[str, ...]:
        """The names it returns. Raises TypeError where the formula is not one: see this module's text."""
        return self._named[0]

    def __call__(self, *arrays: Any, **hyperparameters: Any) -> tuple[Any, ...]:
        """The formula as written, on arrays or on Tensors; always a tuple, in the order of `returns`."""
        answer = self.function(*arrays, **hyperparameters)
        return answer if isinstance(answer, tuple) else (answer,)

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
        trace = Trace()
        hosts = {
            name: v if v is None or isinstance(v, bool) else Host(trace, v, name)
            for name, v in zip(self.hyperparameters, values, strict=True)
        }

        def note(name: str, value: Any) -> Any:
            if isinstance(value, Symbol):
                trace.names[value.name] = name
                trace.notes.append((name, value.name))
            elif isinstance(value, Host):
                trace.notes.append((name, value.text))
            return value

        answer = self._named[1](*(Symbol(trace, name) for name in self.arrays), __note__=note, **hosts)
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
    """Make a function the definition of an algorithm: see this module's text for what it may contain."""
    return Formula(function)


def _named(function: Callable[..., Any]) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """The names that a formula returns, and the formula with a note of the name after every assignment."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except OSError:
        raise TypeError(f"formula {function.__name__}: its source text is not to be had; write it in a file") from None
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise TypeError(f"formula: {function.__name__} is not a plain function")
    definition.decorator_list = []
    definition.args.kwonlyargs.append(ast.arg("__note__"))
    definition.args.kw_defaults.append(None)
    rewriter = _Rewriter(function.__name__)
    rewriter.visit(definition)
    if rewriter.returns is None:
        raise TypeError(f"formula {function.__name__}: it must return the arrays it changes")
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    scope: dict[str, Any] = {}
    code = compile(ast.fix_missing_locations(tree), function.__code__.co_filename, "exec")
    around = inspect.getclosurevars(function).nonlocals if function.__closure__ else {}
    exec(code, {**function.__globals__, **around} if around else function.__globals__, scope)
    return rewriter.returns, scope[function.__name__]


class _Rewriter(ast.NodeTransformer):
    def __init__(self, name: str) -> None:
        self.name = name
        self.returns: tuple[str, ...] | None = None

    def _refuse(self, node: ast.AST, what: str) -> TypeError:
        return TypeError(f"formula {self.name}, line {getattr(node, 'lineno', '?')} of its source: {what}")

    def visit_Assign(self, node: ast.Assign) -> Any:
        if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            raise self._refuse(node, "assign to one name at a time, so that each step has one")
        name = node.targets[0].id
        node.value = ast.Call(ast.Name("__note__", ast.Load()), [ast.Constant(name), node.value], [])
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        raise self._refuse(node, "`+=` and the like change an array in place; write x = x + ...")

    def visit_Return(self, node: ast.Return) -> Any:
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        names = tuple(v.id for v in values if isinstance(v, ast.Name))
        if len(names) != len(values):
            raise self._refuse(node, "return names, not expressions")
        if self.returns not in (None, names):
            raise self._refuse(node, f"returns {names} here and {self.returns} elsewhere")
        self.returns = names
        return node
