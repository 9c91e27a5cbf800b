"""What a formula and the class of its optimizer owe each other: names that fit, and settings that are numbers.

Checked where the class is defined and where an optimizer is made, so that a mistake does not wait for a step.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from minigrad.checks import FINITE
from optim.formula.definition import Formula


def settings_of(cls: Any) -> tuple[str, ...]:
    """The hyperparameters that are settings of the group, in the order of the formula."""
    own = ("first", *cls.numbers, "t")
    return tuple(name for name in cls.formula.hyperparameters if name not in own)


def reading(name: str) -> str:
    """The text that reads a hyperparameter from a group: `beta2` is the second of its `betas`."""
    several, i = _place(name)
    member = "" if several == name else f" if {name!r} in group else group[{several!r}][{i}]"
    return f"group[{name!r}]{member}, "


def _place(name: str) -> tuple[str, int]:
    """The setting that may have a hyperparameter as a member, and where; else itself."""
    member = re.fullmatch(r"(beta|eta|step_size)(\d)", name)
    return (name, 0) if member is None else (f"{member[1]}s", int(member[2]) - 1)


def check_class(cls: Any) -> None:
    """Raise TypeError where a class and its formula name different arrays, or hyperparameters stand out of order."""
    formula = cls.formula
    if not isinstance(formula, Formula):
        raise TypeError(f"{cls.__name__}: formula must be a function under @formula, got {formula!r}")
    if formula.arrays[:2] != ("p", "g"):
        raise TypeError(f"formula {formula.name}: expected p and g before `*`, got {', '.join(formula.arrays)}")
    kept, state = {**cls.state_keys, **dict.fromkeys(cls.scratch)}, formula.arrays[2:]
    for name in state:
        if name not in kept:
            raise TypeError(
                f"formula {formula.name}: {name} has no key in state_keys of {cls.__name__}; "
                "a hyperparameter stands after `*`"
            )
    for name in kept:
        if name not in state:
            raise TypeError(f"formula {formula.name}: has no array {name}, which {cls.__name__} keeps")
    first, last = ("first",) * formula.sees_first, ("t",) * formula.counted
    wanted = (*settings_of(cls), *first, *cls.numbers, *last)
    if formula.hyperparameters != wanted:
        raise TypeError(
            f"formula {formula.name}: expected its hyperparameters in the order {', '.join(wanted)}: settings, first, "
            f"numbers of {cls.__name__}, t; got {', '.join(formula.hyperparameters)}"
        )


def check_returns(cls: Any) -> None:
    """Raise TypeError where a formula returns no parameter, or other numbers than its class keeps."""
    if not hasattr(cls, "formula"):
        raise TypeError(f"{cls.__name__}: a class of optimizers needs a formula")
    formula = cls.formula
    if "p" not in formula.returns:
        raise TypeError(f"formula {formula.name}: p is not returned, so no step would change a parameter")
    returned = [name for name in formula.returns if name in formula.hyperparameters]
    for name in cls.numbers:
        if name not in returned:
            raise TypeError(f"formula {formula.name}: {name} is kept in the state, but not returned")
    for name in returned:
        if name not in cls.numbers:
            raise TypeError(f"formula {formula.name}: returns {name}, which is not in numbers of {cls.__name__}")


def check_settings(cls: Any, group: dict[str, Any]) -> None:
    """Bring the settings that the formula takes, and `ranges` does not list, to Python numbers in place.

    Raises TypeError where a hyperparameter is no setting, TypeError or ValueError for what is no finite number, True,
    False or None.
    """
    for name in settings_of(cls):
        key, i = (name, 0) if name in group else _place(name)
        if key in group and key not in cls.ranges:
            group[key] = _plain(f"{cls.__name__}: {key}", group[key])
        if key not in group or (key != name and i >= len(group[key])):
            known = ", ".join(key for key in group if key not in ("params", "param_names"))
            raise TypeError(f"formula {cls.formula.name}: {name} is no setting of {cls.__name__}, which has {known}")


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | np.bool_):
        return value if value is None else bool(value)
    if isinstance(value, tuple | list):
        return tuple(_plain(f"{name}[{i}]", member) for i, member in enumerate(value))
    return FINITE(name, value)
