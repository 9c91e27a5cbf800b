"""The operations that a formula may use on arrays: one row each, and how every execution writes it.

All are exact or correctly rounded (IEEE 754), so that every execution gives the same bits. Functions that differ
between libraries in cases that matter are defined by comparison: `maximum` is `a > b or a != a ? a : b`, which takes
NaN from either side, and its choice between +0 and -0 is fixed.
"""

from __future__ import annotations

from typing import NamedTuple

CONDITION, SUM, PRODUCT, POWER, ATOM = range(5)
"""How strongly an expression in LaTeX holds together; where one stands that is too loose, it gets brackets."""


class Word(NamedTuple):
    """One operation.

    python: an expression of scalars {0}, {1}, ... for the generated loop that Numba compiles.
    c: the same for C and CUDA, where T is the type of the elements, and SQRT and ABS are its functions.
    blocked: statements on arrays that write to {out}; {mask} is scratch of bool. The names are NumPy's.
    latex: how a formula shows it; for `where`, one row of a list of cases.
    binds: how strongly its LaTeX holds together, and how strongly each argument has to.
    in_place: whether `blocked` may write its answer over one of its arguments.
    boolean: whether the answer is a condition, for `where` only.
    """

    python: str
    c: str
    blocked: tuple[str, ...]
    latex: str
    binds: tuple[int, ...]
    in_place: bool = True
    boolean: bool = False


def _ufunc(name: str, python: str, latex: str, binds: tuple[int, ...], c: str = "", boolean: bool = False) -> Word:
    arguments = ", ".join(f"{{{i}}}" for i in range(len(binds) - 1))
    return Word(python, c or python, (f"{name}({arguments}, {{out}})",), latex, binds, boolean=boolean)


_select = ("copyto({out}, {2})", "copyto({out}, {1}, 'same_kind', {0})")
_take = "copyto({out}, {0}, 'same_kind', {mask})"
_take_first = (_take, "not_equal({0}, {0}, {mask})", _take)
_compares = (CONDITION, SUM, SUM)
_calls = (ATOM, CONDITION, CONDITION)

VOCABULARY: dict[str, Word] = {
    "add": _ufunc("add", "{0} + {1}", "{0} + {1}", (SUM, SUM, SUM)),
    "subtract": _ufunc("subtract", "{0} - {1}", "{0} - {1}", (SUM, SUM, PRODUCT)),
    "multiply": _ufunc("multiply", "{0} * {1}", r"{0} \, {1}", (PRODUCT, PRODUCT, PRODUCT)),
    "divide": _ufunc("true_divide", "{0} / {1}", r"\frac{{{0}}}{{{1}}}", (PRODUCT, SUM, SUM)),
    "negative": _ufunc("negative", "-{0}", "-{0}", (SUM, PRODUCT)),
    "square": _ufunc("square", "{0} * {0}", "{0}^2", (POWER, ATOM)),
    "sqrt": _ufunc("sqrt", "sqrt({0})", r"\sqrt{{{0}}}", (ATOM, SUM), "SQRT({0})"),
    "absolute": _ufunc("absolute", "abs({0})", r"\left|{0}\right|", (ATOM, SUM), "ABS({0})"),
    "less": _ufunc("less", "{0} < {1}", "{0} < {1}", _compares, boolean=True),
    "less_equal": _ufunc("less_equal", "{0} <= {1}", r"{0} \le {1}", _compares, boolean=True),
    "greater": _ufunc("greater", "{0} > {1}", "{0} > {1}", _compares, boolean=True),
    "greater_equal": _ufunc("greater_equal", "{0} >= {1}", r"{0} \ge {1}", _compares, boolean=True),
    "equal": _ufunc("equal", "{0} == {1}", "{0} = {1}", _compares, boolean=True),
    "not_equal": _ufunc("not_equal", "{0} != {1}", r"{0} \ne {1}", _compares, boolean=True),
    "where": Word(
        "({1} if {0} else {2})",
        "({0} ? {1} : {2})",
        _select,
        r"{1} & \text{{if }} {0}",
        (CONDITION, CONDITION, SUM, SUM),
        in_place=False,
    ),
    "sign": Word(
        "(one if {0} > zero else -one if {0} < zero else zero)",
        "({0} > 0 ? (T)1 : {0} < 0 ? (T)-1 : (T)0)",
        ("greater({0}, 0, {mask})", "copyto({out}, {mask})", "less({0}, 0, {mask})", "subtract({out}, {mask}, {out})"),
        r"\operatorname{{sign}}({0})",
        (ATOM, CONDITION),
        in_place=False,
    ),
    "maximum": Word(
        "({0} if ({0} > {1} or {0} != {0}) else {1})",
        "({0} > {1} || {0} != {0} ? {0} : {1})",
        ("greater({0}, {1}, {mask})", "copyto({out}, {1})", *_take_first),
        r"\max({0}, {1})",
        _calls,
        in_place=False,
    ),
    "minimum": Word(
        "({0} if ({0} < {1} or {0} != {0}) else {1})",
        "({0} < {1} || {0} != {0} ? {0} : {1})",
        ("less({0}, {1}, {mask})", "copyto({out}, {1})", *_take_first),
        r"\min({0}, {1})",
        _calls,
        in_place=False,
    ),
}
