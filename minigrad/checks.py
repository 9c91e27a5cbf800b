"""Checks of arguments: the ranges of settings, in one place for layers, optimizers and schedulers."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from numbers import Real
from typing import Any, ClassVar

import numpy as np

Check = Callable[[str, Any], Any]
"""Takes a name and a value, returns the value as a Python number (or tuple), or raises."""


def number(name: str, value: Any) -> float | int:
    """`value` as a Python number: an np.float64 would turn float32 parameters into float64."""
    if type(value) is float or type(value) is int:
        return value
    scalar = value.item() if getattr(value, "shape", None) == () else value  # of an array or tensor of any library
    if type(scalar) is int:
        return scalar
    if isinstance(scalar, bool) or not isinstance(scalar, Real | Decimal):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(scalar)


def within(low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False) -> Check:
    """A check that a number lies between bounds, which are allowed unless open. NaN never does."""

    def check(name: str, value: Any) -> float | int:
        if type(value) is not float and getattr(value, "requires_grad", False):
            raise TypeError(f"{name} requires a gradient, but has no derivative here; its detach() is a constant")
        checked = number(name, value)
        above = checked > low if open_low else checked >= low
        below = checked < high if open_high else checked <= high
        if not (above and below):
            interval = f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
            raise ValueError(f"{name} must be in {interval}, got {value!r}")
        return checked

    return check


def tuple_of(*checks: Check) -> Check:
    """A check of a tuple, element by element."""

    def check(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, tuple | list) or len(value) != len(checks):
            raise TypeError(f"{name} must be a tuple of {len(checks)} numbers, got {value!r}")
        return tuple(one(f"{name}[{i}]", v) for i, (one, v) in enumerate(zip(checks, value, strict=True)))

    return check


def optional(check: Check) -> Check:
    """The check, for a setting that may also be None."""
    return lambda name, value: None if value is None else check(name, value)


def one_of(*choices: str | None) -> Check:
    """A check that a setting is one of these names."""

    def check(name: str, value: Any) -> str | None:
        if not (value is None or isinstance(value, str)) or value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
        return value

    return check


def whole(least: float = -math.inf, most: float = math.inf) -> Callable[[str, Any], int]:
    """A check of a whole number within these bounds; a float that is whole is taken, as torch's counts are."""
    interval = (f" from {least}" if least > -math.inf else "") + (f" to {most}" if most < math.inf else "")

    def check(name: str, value: Any) -> int:
        checked = number(name, value)
        if not (least <= checked <= most and abs(checked) < math.inf) or checked != int(checked):
            raise ValueError(f"{name} must be a whole number{interval}, got {value!r}")
        return int(checked)

    return check


integer = whole()
count = whole(0)
from_one = whole(1)


def list_of(one: Check) -> Check:
    """A check of a list, element by element."""

    def check(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{name} must be a list, got {value!r}")
        return [one(f"{name}[{i}]", element) for i, element in enumerate(value)]

    return check


def function(name: str, value: Any) -> Any:
    """A check of what is to be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {value!r}")
    return value


def flag(name: str, value: Any) -> bool:
    """A check that a setting is True or False."""
    if not isinstance(value, bool | int | np.bool_) or value not in (0, 1):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def floating(name: str, dtype: Any) -> np.dtype[Any]:
    """A check of a floating-point type."""
    with suppress(TypeError):  # what is no type at all
        checked: np.dtype[Any] = np.dtype(dtype)
        if checked.kind == "f" and dtype is not None:  # which NumPy takes for float64
            return checked
    raise TypeError(f"{name} must be a floating-point type, got {dtype!r}")


NONNEGATIVE = within(0.0, open_high=True)
POSITIVE = within(0.0, open_low=True, open_high=True)
FRACTION = within(0.0, 1.0, open_high=True)
UNIT = within(0.0, 1.0)
FINITE = within(-math.inf, open_low=True, open_high=True)
BETAS = tuple_of(FRACTION, FRACTION)


class Checked:
    """What checks its attributes whenever they are set, as it is made, later, or on load."""

    _ranges: ClassVar[dict[str, Check]] = {}
    """Attribute -> what it must be."""

    def __setattr__(self, name: str, value: Any) -> None:
        check = type(self)._ranges.get(name)
        if check is not None:
            if getattr(value, "requires_grad", False):
                raise TypeError(f"{type(self).__name__}: {name} requires a gradient, which a setting does not get")
            value = check(f"{type(self).__name__}: {name}", value)
        super().__setattr__(name, value)
