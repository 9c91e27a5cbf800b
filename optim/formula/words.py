"""A formula in LaTeX, from the same trace that runs.

    print(optim.formula.latex(optim.Adam, amsgrad=True))

gives the steps that have a name, in order, as one aligned list: `=` where a step gets its name, an arrow where a name
that stood for something gets another value. Steps without a name stand where they are used.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

from optim.formula.plan import Plan
from optim.formula.text import plan_of
from optim.formula.vocabulary import ATOM, CONDITION, POWER, PRODUCT, SUM, VOCABULARY

Term = str | tuple[Any, ...]
"""LaTeX of a name or number, or (word, argument, ...)."""

SYMBOLS = {
    "p": r"\theta", "ax": r"\bar\theta", "lr": r"\gamma", "gamma": r"\gamma_t", "lr_max": r"\gamma^{\max}",
    "eps": r"\epsilon", "weight_decay": r"\lambda", "lambd": r"\lambda_\eta", "momentum": r"\mu", "dampening": r"\tau",
    "momentum_decay": r"\psi", "mu_product": r"\Pi_\mu", "eta1": r"\eta^-", "eta2": r"\eta^+",
    "step_size1": r"s^{\min}", "step_size2": r"s^{\max}", "delta": r"\Delta", "difference": r"\Delta",
    "beta2_decay": r"\tau", "eps1_squared": r"\epsilon_1^2", "weight": "w", "weight_sum": "W", "h_k": "h^k",
}  # fmt: skip
GREEK = {"alpha", "beta", "eta", "gamma", "kappa", "mu", "rho"}
SUFFIXES = {"hat": r"\hat {0}", "avg": r"\bar {0}", "prev": "{0}_{{t-1}}", "next": "{0}_{{t+1}}", "t": "{0}_t"}
SUFFIXES |= {"max": r"{0}^{{\max}}", "inf": r"{0}_\infty"}

_OPERATORS = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power"}
_OPERATORS |= {ast.FloorDiv: "floor_divide", ast.Mod: "remainder"}
_CALLS = {"sqrt": "sqrt", "abs": "absolute", "maximum": "maximum", "minimum": "minimum", "sign": "sign"}
_SHOWN: dict[str, tuple[str, tuple[int, ...]]] = {word: (row.latex, row.binds) for word, row in VOCABULARY.items()} | {
    "floor_divide": (r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor", (ATOM, SUM, SUM)),
    "remainder": (r"{0} \bmod {1}", (CONDITION, PRODUCT, POWER)),
}
"""The LaTeX of each operation of arrays or of numbers, and how strongly it and its arguments hold together."""


def latex(algorithm: Plan | type[Any], /, **settings: Any) -> str:
    """The steps of an optimizer with these settings, as an `aligned` environment of LaTeX.

    algorithm: a class of optimizers that has a formula, or a Plan; of stages, one after the other. A last line says
        what is computed beside the formulas.
    settings: of the class; also what its formula takes beside them: `t`, the number of the step (default 1000, when
        what changes after the first steps has changed), `first`, and the numbers it keeps.

    Raises TypeError for a class without a formula, and whatever the class raises for its settings.
    """
    if isinstance(algorithm, Plan):
        plan, beside = algorithm, ""
    else:
        plan, beside = plan_of(algorithm, **settings)[0], algorithm.between_latex
    lines = [" ".join(equation) for one in plan.plans for equation in _Writer(one).equations()]
    lines += [rf"&\text{{with }} {beside}"] * bool(beside)
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n"


def symbol(name: str) -> str:
    """How a name of a formula is written: `beta1` as \\beta_1, `v_hat` as \\hat v, longer words in italics."""
    if name in SYMBOLS:
        return SYMBOLS[name]
    base, _, suffix = name.partition("_")
    if suffix in SUFFIXES:
        return SUFFIXES[suffix].format(symbol(base))
    numbered = re.fullmatch(r"([a-z]+)(\d)", name)
    if numbered:
        return f"{symbol(numbered[1])}_{numbered[2]}"
    if name in GREEK:
        return f"\\{name}"
    return name if len(name) == 1 else r"\mathit{" + name.replace("_", r"\_") + "}"


class _Writer:
    """Writes a plan's assignments down in order, knowing which value each symbol stands for so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps = {step.out: step for step in plan.steps}
        self.arguments = {a for step in plan.steps for a in step.arguments} | set(plan.outputs.values())
        self.expressions = {c: ast.parse(e, mode="eval").body for c, e in plan.expressions.items()}
        self.numbers = {name: ast.parse(text, mode="eval").body for name, text in plan.numbers.items()}
        self.symbols: dict[str, str] = {}  # step or expression -> its name
        self.values: dict[str, str] = {}  # name -> what it stands for, once that is not its first value

    def equations(self) -> Iterable[tuple[str, str, str]]:
        """Left side, sign and right side of each assignment."""
        used = {c: e for c, e in self.expressions.items() if c in self.arguments}
        trees = [node for tree in [*used.values(), *self.numbers.values()] for node in ast.walk(tree)]
        hosts = {ast.unparse(node): node for node in trees if isinstance(node, ast.expr)}
        inputs = {*self.plan.arrays, *self.plan.outputs, *self.numbers, *hosts}
        for name, value in self.plan.notes:
            if value not in self.steps:
                value = value if value.isidentifier() else ast.unparse(ast.parse(value, mode="eval"))
            known = value in self.symbols or (value.isidentifier() and value not in self.steps)
            if known or not (value in self.steps or value in hosts):
                continue
            term = self.array(value) if value in self.steps else self.host(hosts[value])
            yield symbol(name), r"&\leftarrow" if name in inputs or name in self.values else "&=", _text(term)
            self.symbols[value], self.values[name] = name, value
        for name, value in self.plan.outputs.items():
            if self.values.get(name, name) != value:
                yield symbol(name), r"&\leftarrow", _text(self.array(value))
        for name, tree in self.numbers.items():
            if self.values.get(name, name) != ast.unparse(tree):
                yield symbol(name), r"&\leftarrow", _text(self.host(tree))

    def named(self, value: str) -> str | None:
        """The symbol that stands for a value now; an input that was overwritten is the one of the last step."""
        if value.isidentifier() and value not in self.steps:
            return symbol(value) if self.values.get(value, value) == value else symbol(value) + "_{t-1}"
        name = self.symbols.get(value)
        return symbol(name) if name is not None and self.values[name] == value else None

    def array(self, value: str) -> Term:
        """The term of an array's value."""
        if value in self.expressions:
            return self.host(self.expressions[value])
        name = self.named(value)
        if name is not None:
            return name
        step = self.steps[value]
        return (step.word, *map(self.array, step.arguments))

    def host(self, node: ast.expr) -> Term:
        """The term of an expression of hyperparameters."""
        name = None if isinstance(node, ast.Constant) else self.named(ast.unparse(node))
        if name is not None:
            return name
        match node:
            case ast.Constant(value=int() | float() as value):
                return _number(value)
            case ast.BinOp(left=left, op=operator, right=right):
                return (_OPERATORS[type(operator)], self.host(left), self.host(right))
            case ast.UnaryOp(ast.USub(), operand):
                return ("negative", self.host(operand))
            case ast.Call(ast.Name(function), arguments):
                return (_CALLS[function], *map(self.host, arguments))
        raise TypeError(f"latex: no symbol for {ast.unparse(node)!r} in formula {self.plan.name}")


def _number(value: float) -> str:
    mantissa, _, exponent = repr(value).removesuffix(".0").partition("e")
    return f"{mantissa} \\cdot 10^{{{int(exponent)}}}".removeprefix("1 \\cdot ") if exponent else mantissa


def _binds(term: Term) -> int:
    if isinstance(term, str):
        return POWER if "^" in term else ATOM
    return POWER if term[0] == "power" else _SHOWN[term[0]][1][0]


def _text(term: Term, least: int = CONDITION) -> str:
    """A term as text, in brackets if it holds together less than it has to."""
    if isinstance(term, str):
        text = term
    elif term[0] in ("multiply", "divide"):
        text = _product(term)
    elif term[0] == "power":
        exponent = _text(term[2])
        text = f"{_text(term[1], ATOM)}^" + (exponent if len(exponent) == 1 else f"{{{exponent}}}")
    elif term[0] == "where":
        text = _cases(term)
    else:
        form, (_, *binds) = _SHOWN[term[0]]
        text = form.format(*(_text(a, b) for a, b in zip(term[1:], binds, strict=True)))
    return text if _binds(term) >= least else f"({text})" if "\\frac" not in text else f"\\left({text}\\right)"


def _cases(term: Term) -> str:
    word, rows = VOCABULARY["where"], []
    while not isinstance(term, str) and term[0] == "where":
        rows.append(word.latex.format(*(_text(a, b) for a, b in zip(term[1:3], word.binds[1:], strict=False))))
        term = term[3]
    rows.append(rf"{_text(term)} & \text{{otherwise}}")
    return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}"


def _product(term: Term) -> str:
    """A chain of products and quotients as factors and fractions side by side."""
    fractions: list[tuple[list[Term], list[Term]]] = [([], [])]
    for divides, factor in _factors(term):
        above, below = fractions[-1]
        if divides:
            below.extend(f for _, f in _factors(factor)) if not _has_quotient(factor) else below.append(factor)
        elif below and above:
            fractions.append(([factor], []))
        elif factor != "1":
            above.append(factor)
    texts = []
    for above, below in fractions:
        if below:
            texts.append(VOCABULARY["divide"].latex.format(_row(above), _row(below)))
        else:
            texts += _powers(above)
    return _joined(texts)


def _factors(term: Term) -> list[tuple[bool, Term]]:
    """The factors of a product, each with whether it divides."""
    if isinstance(term, str) or term[0] not in ("multiply", "divide"):
        return [(False, term)]
    if term[0] == "divide":
        return [*_factors(term[1]), (True, term[2])]
    right = [(False, term[2])] if _has_quotient(term[2]) else _factors(term[2])
    return [*_factors(term[1]), *right]


def _has_quotient(term: Term) -> bool:
    return any(divides for divides, _ in _factors(term))


def _row(factors: list[Term]) -> str:
    return _text(factors[0], SUM) if len(factors) == 1 else _joined(_powers(factors)) if factors else "1"


def _powers(factors: list[Term]) -> list[str]:
    """The factors, equal neighbours as squares."""
    merged: list[Term] = []
    for factor in factors:
        if merged and merged[-1] == factor:
            merged[-1] = ("square", factor)
        else:
            merged.append(factor)
    return [_text(factor, PRODUCT) for factor in merged]


def _joined(factors: list[str]) -> str:
    text = factors[0] if factors else "1"
    for factor in factors[1:]:
        tight = text.endswith(")") or factor.startswith("(")
        text += f" {factor}" if tight else rf" \cdot {factor}" if factor[0].isdigit() else rf" \, {factor}"
    return text
