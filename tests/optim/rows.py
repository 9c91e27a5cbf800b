"""What settings and shapes are drawn from."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]

VECTORS_AND_MATRICES = st.sampled_from([(), (1,), (5,), (12,), (3, 4), (1, 5), (2, 3, 2)])


def decades(low: float, high: float) -> Strategy:
    """A positive number, evenly over decades: 10^low to 10^high."""
    return st.floats(low, high).map(lambda exponent: 10.0**exponent)


def or_zero(numbers: Strategy) -> Strategy:
    """Such a number, or exactly 0."""
    return st.one_of(numbers, numbers, numbers, st.just(0.0))


def fraction() -> Strategy:
    """What a running mean keeps: in [0, 1)."""
    return st.sampled_from([0.0, 0.5, 0.9, 0.999]) | st.floats(0.01, 0.9999)


def betas(count: int) -> Strategy:
    return st.tuples(*[fraction()] * count)


def flags(*names: str) -> dict[str, Strategy]:
    return {name: st.booleans() for name in names}
