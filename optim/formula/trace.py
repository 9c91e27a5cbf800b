"""Running a formula once on stand-ins, to learn its steps.

`Symbol` stands for an array: what is done to it becomes a step. `Host` stands for a hyperparameter: it has a value,
and remembers the expression that gave it. Where a host value meets an array it becomes a constant of the plan;
where it decides a branch, the decision becomes a guard: the plan holds only while it comes out the same way.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from typing import Any

from optim.formula.vocabulary import VOCABULARY

Number = int | float
FUNCTIONS = ("absolute", "lerp", "maximum", "minimum", "sign", "sqrt", "where")
"""What a formula calls, beside operators."""


@dataclass(frozen=True)
class Step:
    """One operation on arrays. Arguments are names: of an input, an earlier step (`_s0`) or a constant (`_c0`)."""

    out: str
    word: str
    arguments: tuple[str, ...]


@dataclass
class Trace:
    """What a formula did: its steps, constants and guards, in order."""

    formula: str  # its name
    steps: list[Step] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # of the host's part: guards and constants, as Python text
    constants: dict[str, str] = field(default_factory=dict)  # expression -> name
    notes: list[tuple[str, str]] = field(default_factory=list)  # assignments in order: name, and value or expression

    def apply(self, word: str, *arguments: Any) -> Symbol:
        """Add a step; conditions may only stand first in `where`."""
        for i, argument in enumerate(arguments):
            expected = word == "where" and i == 0
            if (isinstance(argument, Symbol) and argument.condition) is not expected:
                what = "a condition, such as x > 0," if expected else "numbers, not a condition,"
                raise TypeError(f"formula {self.formula}: {word} takes {what} as argument {i}")
        names = tuple(a.name if isinstance(a, Symbol) else self.constant(a) for a in arguments)
        out = f"_s{len(self.steps)}"
        self.steps.append(Step(out, word, names))
        return Symbol(self, out, VOCABULARY[word].boolean)

    def constant(self, value: Any) -> str:
        """The name of a host value that meets an array."""
        if not isinstance(value, Host) and (isinstance(value, bool) or not isinstance(value, Number)):
            kind = type(value).__name__
            raise TypeError(f"formula {self.formula}: expected arrays and numbers, got a {kind} ({value!r})")
        text = text_of(value)
        if text not in self.constants:
            self.constants[text] = f"_c{len(self.constants)}"
            self.lines.append(f"{self.constants[text]} = {text}")
        return self.constants[text]

    def guard(self, host: Host) -> bool:
        """Note that the plan depends on how a condition comes out."""
        outcome = bool(host.value)
        line = f"if bool({host.text}) is not {outcome}: return None"
        if line not in self.lines:
            self.lines.append(line)
        return outcome


class StandIn:
    """What a symbol and a host value have in common: NumPy's functions can't be recorded."""

    __slots__ = ("trace",)
    trace: Trace

    def refused(self, what: str) -> TypeError:
        """The error that says what the formula may not do."""
        return TypeError(f"formula {self.trace.formula}: {what}")

    def __array_ufunc__(self, function: Any, *_: Any, **__: Any) -> Any:
        name = function.__name__
        instead = f"{name} of optim.formula" if name in FUNCTIONS else f"operators, and {', '.join(FUNCTIONS)}"
        raise self.refused(f"numpy's {name} can't be recorded; use {instead}")

    __array_function__ = __array_ufunc__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # NumPy and copy ask for protocols
            raise AttributeError(name)
        raise self.refused(f"works element by element, with operators and functions; nothing in it has a .{name}")


class Symbol(StandIn):
    """Stands for an array while a formula is traced."""

    __slots__ = ("condition", "name")

    def __init__(self, trace: Trace, name: str, condition: bool = False) -> None:
        self.trace, self.name, self.condition = trace, name, condition

    def __pow__(self, other: Any) -> Symbol:
        if other != 2:
            raise self.refused(f"arrays are raised to the power 2 only (other powers round differently), got {other}")
        return self.trace.apply("square", self)

    def __neg__(self) -> Symbol:
        return self.trace.apply("negative", self)

    def __abs__(self) -> Symbol:
        return self.trace.apply("absolute", self)

    def __bool__(self) -> bool:
        raise self.refused("can't branch on the values of an array; choose with where(condition, a, b)")

    def __float__(self) -> float:
        raise self.refused("can't take one number out of an array; for functions of arrays, see help(optim.formula)")

    __hash__ = None  # type: ignore[assignment]


class Host(StandIn):
    """Stands for a hyperparameter, or an expression of hyperparameters, while a formula is traced."""

    __slots__ = ("text", "value")

    def __init__(self, trace: Trace, value: Any, text: str) -> None:
        self.trace, self.value, self.text = trace, value, text

    def __bool__(self) -> bool:
        return self.trace.guard(self)

    def __float__(self) -> float:
        raise self.refused(f"float({self.text}) would freeze the value it has now; use the number as it is")

    __int__ = __index__ = __float__
    __hash__ = None  # type: ignore[assignment]

    def __neg__(self) -> Host:
        return Host(self.trace, -self.value, f"(-{self.text})")

    def __abs__(self) -> Host:
        return Host(self.trace, abs(self.value), f"abs({self.text})")


def text_of(value: Any) -> str:
    """A host value or a number as Python text that gives it again."""
    if isinstance(value, Host):
        return value.text
    text = repr(float(value)) if isinstance(value, float) else repr(value)
    return f"({text})" if text.startswith("-") else text


HOST_NAMES: dict[str, Any] = {
    "abs": abs,
    "bool": bool,
    "inf": math.inf,
    "maximum": lambda a, b: a if a > b or a != a else b,
    "minimum": lambda a, b: a if a < b or a != a else b,
    "nan": math.nan,
    "sign": lambda x: (x > 0) - (x < 0),
    "sqrt": math.sqrt,
}
"""What the text of a plan's host part may name beside the hyperparameters."""


def host_call(name: str, *arguments: Any) -> Any:
    """One of these functions of host values: evaluated now, and remembered as text."""
    hosts = [a for a in arguments if isinstance(a, Host)]
    value = HOST_NAMES[name](*(a.value if isinstance(a, Host) else a for a in arguments))
    if not hosts:
        return value
    texts = ", ".join(map(text_of, arguments))
    return Host(hosts[0].trace, value, f"{name}({texts})")


_OPERATORS = {
    "add": (operator.add, "+"),
    "sub": (operator.sub, "-"),
    "mul": (operator.mul, "*"),
    "truediv": (operator.truediv, "/"),
    "floordiv": (operator.floordiv, "//"),
    "mod": (operator.mod, "%"),
    "pow": (operator.pow, "**"),
    "lt": (operator.lt, "<"),
    "le": (operator.le, "<="),
    "gt": (operator.gt, ">"),
    "ge": (operator.ge, ">="),
    "eq": (operator.eq, "=="),
    "ne": (operator.ne, "!="),
}
_WORDS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide",
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip
_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


def _define(name: str) -> None:
    function, sign = _OPERATORS[name]

    def combine(left: Any, right: Any, host: Host) -> Host:
        value = function(*(v.value if isinstance(v, Host) else v for v in (left, right)))
        texts = [text_of(v) for v in (left, right)]
        return Host(host.trace, value, f"({texts[0]} {sign} {texts[1]})")

    def forward(self: Host, other: Any) -> Any:
        return combine(self, other, self) if taken(self, other) else NotImplemented

    def reflected(self: Host, other: Any) -> Any:
        return combine(other, self, self) if taken(self, other) else NotImplemented

    def taken(self: Host, other: Any) -> bool:
        if not isinstance(other, Host | Symbol | Number) and name not in ("eq", "ne"):
            raise self.refused(f"`{sign}` takes arrays and numbers, got a {type(other).__name__} ({other!r})")
        return isinstance(other, Host | Number)

    setattr(Host, f"__{name}__", forward)
    if name not in _COMPARISONS:
        setattr(Host, f"__r{name}__", reflected)
    if name in _WORDS:
        word = _WORDS[name]
        setattr(Symbol, f"__{name}__", lambda self, other: self.trace.apply(word, self, other))
        if name not in _COMPARISONS:
            setattr(Symbol, f"__r{name}__", lambda self, other: self.trace.apply(word, other, self))


for _name in _OPERATORS:
    _define(_name)

_WORDS_OF_ARRAYS = f"arrays have + - * /, x**2, comparisons for where, and {', '.join(FUNCTIONS)}"
_WORDS_OF_NUMBERS = "hyperparameters have + - * / // % **, abs, maximum, minimum, sign, sqrt, and conditions for `if`"
_REFUSED: list[tuple[type[StandIn], str, str]] = [
    (Symbol, "@", "matmul rmatmul"),
    (Symbol, "//", "floordiv rfloordiv divmod rdivmod"),
    (Symbol, "%", "mod rmod"),
    (Symbol, "a power with an array as the exponent", "rpow"),
    (Symbol, "round()", "round trunc floor ceil"),
    (Symbol, "a shift", "lshift rlshift rshift rrshift"),
    (Host, "@", "matmul rmatmul"),
    (Host, "round()", "round trunc floor ceil divmod rdivmod"),
    (Host, "& | ^ ~", "and rand or ror xor rxor invert lshift rlshift rshift rrshift"),
    (Host, "taking a part", "getitem iter len contains"),
]


def _refuse(kind: type[StandIn], names: str, what: str) -> None:
    def refused(self: StandIn, *_: Any) -> Any:
        raise self.refused(what)

    for name in names.split():
        setattr(kind, f"__{name}__", refused)


for _kind, _what, _names in _REFUSED:
    _refuse(_kind, _names, f"can't record {_what}; {_WORDS_OF_ARRAYS if _kind is Symbol else _WORDS_OF_NUMBERS}")
_refuse(
    Symbol,
    "and rand or ror xor rxor invert",
    "conditions on elements are not combined by & | ^ ~; nest them: where(a, where(b, x, y), y)",
)
_refuse(
    Symbol,
    "getitem iter len contains",
    "works element by element; where a step needs a sum, a norm or a part of an array, several formulas make it, with "
    "array code between them: see optim.formula.Stages",
)
