"""The operations that a formula may use on arrays: one row each, and how every execution writes it.

All are exact or correctly rounded (IEEE 754), so that every execution gives the same bits. Functions that differ
between libraries in cases that matter are defined by comparison: `maximum` is `a > b or a != a ? a : b`, which takes
NaN from either side, and its choice between +0 and -0 is fixed.
"""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """One operation.

    python: an expression of scalars {0}, {1}, ... for the generated loop that Numba compiles.
    blocked: statements on arrays that write to {out}; {mask} is scratch of bool. The names are NumPy's.
    latex: how a formula shows it.
    in_place: whether `blocked` may write its answer over one of its arguments.
    boolean: whether the answer is a condition, for `where` only.
    """

    python: str
    blocked: tuple[str, ...]
    latex: str
    in_place: bool = True
    boolean: bool = False


def _ufunc(name: str, python: str, latex: str, count: int = 2, boolean: bool = False) -> Word:
    arguments = ", ".join(f"{{{i}}}" for i in range(count))
    return Word(python, (f"{name}({arguments}, {{out}})",), latex, boolean=boolean)


_select = ("copyto({out}, {2})", "copyto({out}, {1}, 'same_kind', {0})")

VOCABULARY: dict[str, Word] = {
    "add": _ufunc("add", "{0} + {1}", "{0} + {1}"),
    "subtract": _ufunc("subtract", "{0} - {1}", "{0} - {1}"),
    "multiply": _ufunc("multiply", "{0} * {1}", r"{0} \, {1}"),
    "divide": _ufunc("true_divide", "{0} / {1}", r"\frac{{{0}}}{{{1}}}"),
    "negative": _ufunc("negative", "-{0}", "-{0}", count=1),
    "square": _ufunc("square", "{0} * {0}", "{0}^2", count=1),
    "sqrt": _ufunc("sqrt", "sqrt({0})", r"\sqrt{{{0}}}", count=1),
    "absolute": _ufunc("absolute", "abs({0})", r"\left|{0}\right|", count=1),
    "less": _ufunc("less", "{0} < {1}", "{0} < {1}", boolean=True),
    "less_equal": _ufunc("less_equal", "{0} <= {1}", r"{0} \le {1}", boolean=True),
    "greater": _ufunc("greater", "{0} > {1}", "{0} > {1}", boolean=True),
    "greater_equal": _ufunc("greater_equal", "{0} >= {1}", r"{0} \ge {1}", boolean=True),
    "where": Word("({1} if {0} else {2})", _select, r"({0} \;?\; {1} : {2})", in_place=False),
    "sign": Word(
        "(one if {0} > zero else -one if {0} < zero else zero)",
        ("greater({0}, 0, {mask})", "copyto({out}, {mask})", "less({0}, 0, {mask})", "subtract({out}, {mask}, {out})"),
        r"\operatorname{{sign}}({0})",
        in_place=False,
    ),
    "maximum": Word(
        "({0} if ({0} > {1} or {0} != {0}) else {1})",
        ("greater({0}, {1}, {mask})", "copyto({out}, {1})", "copyto({out}, {0}, 'same_kind', {mask})")
        + ("not_equal({0}, {0}, {mask})", "copyto({out}, {0}, 'same_kind', {mask})"),
        r"\max({0}, {1})",
        in_place=False,
    ),
    "minimum": Word(
        "({0} if ({0} < {1} or {0} != {0}) else {1})",
        ("less({0}, {1}, {mask})", "copyto({out}, {1})", "copyto({out}, {0}, 'same_kind', {mask})")
        + ("not_equal({0}, {0}, {mask})", "copyto({out}, {0}, 'same_kind', {mask})"),
        r"\min({0}, {1})",
        in_place=False,
    ),
}
