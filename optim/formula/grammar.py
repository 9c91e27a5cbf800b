"""What the text of a formula may say; read at its first use, to learn the names of its steps and what it returns."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np


class Text(NamedTuple):
    """What a formula's text says: the names it returns, and the function that notes the name of every assignment."""

    returns: tuple[str, ...]
    traced: Callable[..., Any]


def read(function: Any, arrays: tuple[str, ...], hyperparameters: tuple[str, ...]) -> Text:
    """Read the text of a formula that takes these. Raises TypeError where it breaks a rule."""
    name = function.__name__
    definition = _definition(name, function)
    _refuse_values_from_around(name, function, definition)
    definition.args.kwonlyargs.append(ast.arg("__note__"))
    definition.args.kw_defaults.append(None)
    rewriter = _Rewriter(name)
    rewriter.visit(definition)
    returns = rewriter.returns
    unknown = {*returns} - {*arrays, *hyperparameters}
    if unknown:
        raise TypeError(f"formula {name}: returns {sorted(unknown)}, which it was not given")
    for i, array in enumerate(arrays):
        if i != 1 and array in rewriter.assigned and array not in returns:  # g is the formula's own to change
            wanted = ", ".join((*returns, array))
            raise TypeError(
                f"formula {name}: {array} is assigned and kept in the state, but not returned; write `return {wanted}`"
            )
    ast.increment_lineno(definition, function.__code__.co_firstlineno - 1)
    scope: dict[str, Any] = {}
    tree = ast.fix_missing_locations(ast.Module([definition], []))
    code = compile(tree, function.__code__.co_filename, "exec")
    around = inspect.getclosurevars(function).nonlocals if function.__closure__ else {}
    exec(code, {**function.__globals__, **around} if around else function.__globals__, scope)
    return Text(returns, scope[name])


def _definition(name: str, function: Any) -> ast.FunctionDef:
    """The text of a formula, or of a function that it calls, without decorators."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, SyntaxError):
        raise TypeError(
            f"formula {name}: the source text of {function.__name__} is not to be had; write it in a file"
        ) from None
    if not isinstance(definition, ast.FunctionDef) or definition.name != function.__name__:
        raise TypeError(f"formula {name}: {function.__name__} is not a function written with def")
    definition.decorator_list = []
    return definition


def _refuse_values_from_around(
    name: str, function: Any, definition: ast.FunctionDef, seen: tuple[Any, ...] = ()
) -> None:
    """Raise TypeError where a formula, or a function that it calls, reads a value that could change behind a plan."""
    for node, value in _from_around(function, definition):
        called = inspect.unwrap(value) if callable(value) else value
        if not callable(called) and not isinstance(called, ModuleType):
            raise TypeError(
                f"formula {name}: {ast.unparse(node)} comes from around it, and a later value would not reach what was "
                "traced; write the number out, or let it be a hyperparameter"
            )
        own = isinstance(called, FunctionType) and called.__module__.partition(".")[0] not in ("minigrad", "optim")
        if own and called not in (function, *seen):
            _refuse_values_from_around(name, called, _definition(name, called), (*seen, function))


def _from_around(function: Any, definition: ast.FunctionDef) -> Iterator[tuple[ast.AST, Any]]:
    """Each name, `a` or `a.b`, that a function reads from outside, and its value; not the constants of math."""
    own = {*function.__code__.co_varnames, *function.__code__.co_cellvars}
    scope = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    missing = object()

    def value_of(node: ast.AST) -> Any:
        match node:
            case ast.Name(name) if name not in own:
                return scope.get(name, missing)
            case ast.Attribute(of, name) if value_of(of) is not missing:
                return getattr(value_of(of), name, missing)
        return missing

    for node in ast.walk(ast.Module(definition.body, [])):
        value = value_of(node)
        constant = isinstance(node, ast.Attribute) and any(value_of(node.value) is module for module in (math, np))
        if value is not missing and not constant:
            yield node, value


class _Rewriter(ast.NodeTransformer):
    def __init__(self, name: str) -> None:
        self.name = name
        self.found: tuple[str, ...] | None = None
        self.assigned: set[str] = set()

    @property
    def returns(self) -> tuple[str, ...]:
        if self.found is None:
            raise TypeError(f"formula {self.name}: it must return the arrays it changes")
        return self.found

    def _refuse(self, node: ast.AST, what: str) -> TypeError:
        return TypeError(f"formula {self.name}, line {getattr(node, 'lineno', '?')} of its source: {what}")

    def visit_Assign(self, node: ast.Assign) -> Any:
        if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            raise self._refuse(node, "assign to one name at a time, so that each step has one")
        name = node.targets[0].id
        self.assigned.add(name)
        value = self.visit(node.value)
        node.value = ast.Call(ast.Name("__note__", ast.Load()), [ast.Constant(name), value], [])
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        raise self._refuse(node, "an assignment takes no annotation")

    def visit_NamedExpr(self, node: ast.NamedExpr) -> Any:
        raise self._refuse(node, "`:=` hides a step; give it a line of its own")

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        raise self._refuse(node, "`+=` and the like change an array in place; write x = x + ...")

    def visit_Expr(self, node: ast.Expr) -> Any:
        match node.value:
            case ast.Constant(str()) | ast.Call(ast.Name("breakpoint" | "print")):  # not while it is traced
                return ast.copy_location(ast.Pass(), node)
        raise self._refuse(node, "a statement that assigns to no name has no effect; only print and breakpoint may")

    def visit_Return(self, node: ast.Return) -> Any:
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        names = tuple(v.id for v in values if isinstance(v, ast.Name))
        if len(names) != len(values):
            raise self._refuse(node, "return names, not expressions")
        if self.found not in (None, names):
            raise self._refuse(node, f"returns {names} here and {self.found} elsewhere")
        self.found = names
        return node
