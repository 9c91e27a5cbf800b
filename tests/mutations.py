"""Plants one error at a time in each algorithm's source, and counts how many the tests catch.

    python -m tests.mutations [--algorithms NAME ...] [--list]

Errors are of the kinds that happen in optimizers: a wrong sign, a moved ε, a dropped bias correction, swapped βs, decay
on the wrong side, a step count off by one, a state that is not updated, ... Every place of a formula where a kind fits
gives a mutant. Each is imported from a copy of its file, put in the place of the algorithm, and goes through the golden
traces and the random comparisons with its reference until one fails. What survives is printed, and the exit status is
then 1; EQUIVALENT lists what cannot be caught, with the reason.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import Phase, settings

import optim


class Mutant(NamedTuple):
    """An error: what is written in the place of the text from `start` to `end` of a file."""

    kind: str
    source: str
    start: int
    end: int
    text: str

    @property
    def mutated(self) -> str:
        return self.source[: self.start] + self.text + self.source[self.end :]

    @property
    def lines(self) -> tuple[str, str]:
        """The line as it is and as it becomes."""
        first = self.source.rfind("\n", 0, self.start) + 1
        last = self.source.find("\n", self.end)
        after = self.source[first : self.start] + self.text + self.source[self.end : last]
        return self.source[first:last].strip(), after.strip()


NOT_MOVED = "while lr has always been 0, z and x are where they started"
SAME_PRODUCT = "the same product of matrices, and test_stages.py has large ones"
NEVER_COUPLED = "the decay of AdamW is always decoupled"
EQUIVALENT: dict[str, dict[str, str]] = {
    "AdaHessian": {
        'if settings["hessian_power"] != 1: -> if settings["hessian_power"] != 2:': "the power of 1 changes nothing"
    },
    "AdamW": {"elif weight_decay:": NEVER_COUPLED, "g = g + weight_decay * p": NEVER_COUPLED},
    "ASGD": {
        "if mu == 1: -> if mu == 2:": "ax + 1·(p - ax) is p, up to rounding",
        'start: float = {"eta": group["lr"], "mu": 1.0}.get(name, 0.0) -> '
        'start: float = {"eta": group["lr"], "mu": 1.0}.get(name, 1.0)': "the first step replaces ax",
    },
    "Muon": {
        "tall, large = x.shape[0] > x.shape[1], len(gram) >= LARGE -> "
        "tall, large = x.shape[0] > x.shape[1], len(gram) < LARGE": SAME_PRODUCT,
        "turned = x.T if large else out.T -> turned = x.T if not (large) else out.T": SAME_PRODUCT,
        "matmul(gram, gram.T if large else gram, out=square) -> "
        "matmul(gram, gram.T if not (large) else gram, out=square)": SAME_PRODUCT,
    },
    "Nesterov": {"Write.of(data).now() -> pass": "what the tape is told, which is no part of the path"},
    "LARS": {
        "binding.flats[-1][...] = local_rate(norm(binding.flat), norm(g), **settings) -> "
        "binding.flats[1][...] = local_rate(norm(binding.flat), norm(g), **settings)": "the last of two",
        "return a / b if defined else ops.ones_like(a.detach())": "of Tensors, for optim.functional's tests",
        "x = x.astype(np.float32) if x.dtype == np.float16 else x -> x = x": "of float16, for test_arrays.py",
    },
    "Prodigy": {
        'number = float if len(devices) > 1 or devices == {"cpu"} else _in_double': "of several devices, for tests/gpu",
        "backend.activate(part) -> pass": "of several devices, for tests/gpu",
        "d_hat = d_coef * r / _choose(known, size, 1.0) -> "
        "d_hat = d_coef * r / _choose(known, size, 2.0)": "where the size is 0, d stays",
    },
    "ScheduleFreeSGD": {"c = 0.0 -> c = 1.0": NOT_MOVED},
    "ScheduleFreeAdamW": {"c = 0.0 -> c = 1.0": NOT_MOVED},
}
"""Algorithm -> a line of its source, or "line -> what it becomes" -> why no test can tell."""


# --- where an algorithm is written


def home(name: str) -> Any:
    """The module with an algorithm's formula or functions: its own, or the one of a class that it extends."""
    for cls in getattr(optim, name).__mro__:
        module = inspect.getmodule(cls)
        if any(functions(ast.parse(inspect.getsource(module)))):
            return module
    raise ValueError(f"mutations: {name} has no formula")


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """What is mutated: formulas and other functions, but for checks of settings, and the methods that compute."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and [a.arg for a in node.args.args] != ["name", "value"]:
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name in METHODS)


METHODS = ("initial", "settled", "update")
OTHER = {
    "maximum": "minimum", "minimum": "maximum", "max": "min", "min": "max",
    "np.maximum": "np.minimum", "np.minimum": "np.maximum", "np.fmax": "np.fmin",
    "np.add": "np.subtract", "np.subtract": "np.add", "np.multiply": "np.divide", "np.divide": "np.multiply",
    "np.sqrt": "np.positive", "np.square": "np.positive",
}  # fmt: skip
"""A function -> another that is easily taken for it."""


# --- kinds of errors


class Finder:
    """Finds the places of a function where an error can be planted."""

    def __init__(self, source: str, function: ast.FunctionDef) -> None:
        self.source, self.function = source, function
        lines = source.encode().splitlines(keepends=True)
        self.offsets = [0]
        for line in lines:
            self.offsets.append(self.offsets[-1] + len(line))
        self.given = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}

    def span(self, node: Any) -> tuple[int, int]:
        """Where a node stands, in characters."""
        encoded = self.source.encode()
        start = self.offsets[node.lineno - 1] + node.col_offset
        end = self.offsets[node.end_lineno - 1] + node.end_col_offset
        return len(encoded[:start].decode()), len(encoded[:end].decode())

    def text(self, node: Any) -> str:
        start, end = self.span(node)
        return self.source[start:end]

    def replaced(self, kind: str, node: Any, text: str) -> Mutant:
        return Mutant(kind, self.source, *self.span(node), text)

    def operator(self, kind: str, node: ast.BinOp, old: str, new: str) -> Mutant:
        start, end = self.span(node.left)[1], self.span(node.right)[0]
        place = start + self.source[start:end].index(old)
        return Mutant(kind, self.source, place, place + len(old), new)

    def mutants(self) -> Iterator[Mutant]:
        body = [node for node in self.function.body if not _docstring(node)]
        for node in (inner for statement in body for inner in ast.walk(statement)):
            find = getattr(self, f"in_{type(node).__name__.lower()}", None)
            if find is not None:
                yield from find(node)

    def in_binop(self, node: ast.BinOp) -> Iterator[Mutant]:
        left, right = self.text(node.left), self.text(node.right)
        match node.op:
            case ast.Add():
                yield self.operator("wrong sign", node, "+", "-")
            case ast.Sub():
                yield self.operator("wrong sign", node, "-", "+")
            case ast.Mult():
                yield self.operator("a quotient for a product", node, "*", "/")
            case ast.Div():
                yield self.operator("a product for a quotient", node, "/", "*")
        if isinstance(node.op, ast.Add) and right == "eps":
            yield self.replaced("dropped ε", node, left)
            if isinstance(node.left, ast.Call) and len(node.left.args) == 1:
                inner = self.text(node.left.args[0])
                yield self.replaced("moved ε", node, f"{self.text(node.left.func)}({inner} + eps)")
        if isinstance(node.op, ast.Sub) and left == "1" and "**t" in right:
            yield self.replaced("dropped bias correction", node, "1.0")

    def in_call(self, node: ast.Call) -> Iterator[Mutant]:
        name = self.text(node.func)
        inner = node.args[0] if node.args else None
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add) and self.text(inner.right) == "eps":
            yield self.replaced("moved ε", node, f"({name}({self.text(inner.left)}) + eps)")
        if name in ("sqrt", "sign", "absolute"):
            yield self.replaced(f"dropped {name}", node, f"({self.text(inner)})")
        if name in OTHER:
            yield self.replaced("another function", node.func, OTHER[name])

    def in_unaryop(self, node: ast.UnaryOp) -> Iterator[Mutant]:
        if isinstance(node.op, ast.USub):
            yield self.replaced("wrong sign", node, self.text(node.operand))

    def in_name(self, node: ast.Name) -> Iterator[Mutant]:
        if isinstance(node.ctx, ast.Store):
            return
        if node.id == "t":
            yield self.replaced("t off by one", node, "(t + 1)")
        other = {"beta1": "beta2", "beta2": "beta1", "eta1": "eta2", "eta2": "eta1"}.get(node.id)
        if other in self.given:
            yield self.replaced("swapped βs", node, str(other))

    def in_constant(self, node: ast.Constant) -> Iterator[Mutant]:
        if isinstance(node.value, int | float) and not isinstance(node.value, bool):
            yield self.replaced("wrong constant", node, repr(node.value + 1))

    def in_compare(self, node: ast.Compare) -> Iterator[Mutant]:
        other = {ast.Gt: "<", ast.Lt: ">", ast.GtE: "<", ast.LtE: ">", ast.Eq: "!=", ast.NotEq: "=="}
        if len(node.ops) == 1 and type(node.ops[0]) in other:
            parts = self.text(node.left), other[type(node.ops[0])], self.text(node.comparators[0])
            yield self.replaced("the other comparison", node, " ".join(parts))

    def in_if(self, node: ast.If) -> Iterator[Mutant]:
        if isinstance(node.test, ast.Name | ast.BoolOp | ast.Subscript):
            yield self.replaced("the other branch", node.test, f"not ({self.text(node.test)})")

    in_ifexp = in_if

    def in_expr(self, node: ast.Expr) -> Iterator[Mutant]:
        yield self.replaced("dropped update", node, "pass")

    def in_assign(self, node: ast.Assign) -> Iterator[Mutant]:
        target = self.text(node.targets[0])
        value = self.text(node.value)
        if target in self.given:
            yield self.replaced("dropped update", node, f"{target} = {target}")
        if target == "g" and "weight_decay * p" in value:
            yield self.replaced("decay on the wrong side", node, "p = (1 - lr * weight_decay) * p")
        if target == "p" and value == "(1 - lr * weight_decay) * p":
            yield self.replaced("decay on the wrong side", node, "g = g + weight_decay * p")


def _docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def mutants(name: str) -> list[Mutant]:
    """The errors planted in an algorithm, without those that EQUIVALENT excuses."""
    source = inspect.getsource(home(name))
    excused = EQUIVALENT.get(name, {})
    found = [m for function in functions(ast.parse(source)) for m in Finder(source, function).mutants()]
    kept = [m for m in found if m.lines[0] not in excused and " -> ".join(m.lines) not in excused]
    return list({m.mutated: m for m in kept}.values())


def stale(name: str) -> list[str]:
    """Lines that EQUIVALENT excuses and that no mutant of the algorithm has."""
    source = inspect.getsource(home(name))
    found = [m.lines for function in functions(ast.parse(source)) for m in Finder(source, function).mutants()]
    return sorted(EQUIVALENT.get(name, {}).keys() - {lines[0] for lines in found} - {" -> ".join(x) for x in found})


# --- running the tests on a mutant


def planted(name: str, mutant: Mutant, folder: str, number: int) -> type:
    """The algorithm with the error, imported from a file of its own."""
    path = Path(folder) / f"mutant_{number}.py"
    path.write_text(mutant.mutated)
    spec = importlib.util.spec_from_file_location(f"mutant_{name}_{number}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    original = getattr(optim, name)
    if hasattr(module, name):
        return getattr(module, name)
    return type(name, (original,), {"formula": getattr(module, original.formula.name)})


def caught(name: str, mutant: Mutant, folder: str, number: int) -> bool:
    """Whether a test fails when the error is in the algorithm's place."""
    from tests.optim import test_algorithms, test_golden

    original = getattr(optim, name)
    try:
        setattr(optim, name, planted(name, mutant, folder, number))
        with optim.execution("blocked"):
            for case in test_golden.NUMBERED:
                if case[0] == name:
                    test_golden.test_follows_the_golden_trace(*case)
        test_algorithms.test_follows_the_reference(name=name)
    except Exception:  # a mutant may raise anything
        return True
    finally:
        setattr(optim, name, original)
    return False


def survivors(name: str) -> tuple[str, int, list[Mutant]]:
    """How many errors were planted in an algorithm, and which of them no test caught."""
    planted_errors = mutants(name)
    unchanged = Mutant("none", inspect.getsource(home(name)), 0, 0, "")
    with tempfile.TemporaryDirectory() as folder:
        if caught(name, unchanged, folder, len(planted_errors)):
            raise RuntimeError(f"mutations: the tests of {name} fail without an error planted in it")
        left = [m for i, m in enumerate(planted_errors) if not caught(name, m, folder, i)]
    return name, len(planted_errors), left


def quietly() -> None:
    """A failure is all that is asked for: no smaller one, and no warnings."""
    warnings.simplefilter("ignore")
    settings.register_profile("mutations", phases=[Phase.generate])
    settings.load_profile("mutations")


def main(arguments: Iterable[str] | None = None) -> int:
    """Run what the command line asks for; 1 where an error survived."""
    from tests.optim.table import TESTED

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algorithms", nargs="+", choices=TESTED, default=TESTED, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the errors, and plant none")
    options = parser.parse_args(arguments)
    if options.list:
        for name in options.algorithms:
            print(name, *(f"  {m.kind}: {' -> '.join(m.lines)}" for m in mutants(name)), sep="\n")
        return 0
    start, missed, total = time.perf_counter(), 0, 0
    with ProcessPoolExecutor(initializer=quietly) as pool:
        for name, count, left in pool.map(survivors, options.algorithms):
            print(f"{name}: {count - len(left)} of {count} caught", flush=True)
            for mutant in left:
                print(f"  not caught: {mutant.kind}: {' -> '.join(mutant.lines)}", flush=True)
            missed, total = missed + len(left), total + count
    print(f"{total - missed} of {total} errors caught in {time.perf_counter() - start:.0f} s")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
