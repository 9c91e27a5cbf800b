"""What runs, as text: the formula itself, or the code that is generated from it."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from minigrad import tensor
from optim.formula import blocked, compiled, cuda
from optim.formula.definition import Formula
from optim.formula.plan import Plan


def source(algorithm: type[Any], /, execution: str = "numba", **settings: Any) -> str:
    """The text of the code that runs in an execution, for an optimizer with these settings.

    algorithm: a class of optimizers that has a formula.
    execution: "eager", the formula as it is written; "blocked", its calls of NumPy on one block; "numba", the loop
        that Numba compiles; "cuda", the kernel, for float32. The text is to be had without Numba and without a GPU.
    settings: as `latex` takes them.

    Of stages it is the text of one after the other. Raises ValueError for another execution, TypeError for a class
    without a formula, and whatever the class raises for its settings.

    >>> import optim
    >>> print(optim.formula.source(optim.SGD, "blocked", weight_decay=0.1))
    def sgd(p, g, _constants, _scratch):
        (_c0, _c1, *_,) = _constants
        (_real0, ) = _scratch
        multiply(_c0, p, _real0)
        add(g, _real0, _real0)
        multiply(_c1, _real0, _real0)
        subtract(p, _real0, p)
    <BLANKLINE>
    """
    plan, _ = plan_of(algorithm, **settings)
    parts = zip(algorithm.formula.formulas, plan.plans, strict=True)
    return "\n".join(_source(formula, part, execution) for formula, part in parts)


def _source(formula: Formula, plan: Plan, execution: str) -> str:
    match execution:
        case "eager":
            return inspect.getsource(formula.function)
        case "blocked":
            return blocked.source(plan)[0]
        case "numba":
            return compiled.source(plan)
        case "cuda":
            return cuda.source(plan, np.float32)
    raise ValueError(f"source: expected one of eager, blocked, numba, cuda, got {execution!r}")


def plan_of(optimizer: Any, **settings: Any) -> tuple[Plan, tuple[Any, ...]]:
    """The plan of a class of optimizers with these settings (see `latex`), and the hyperparameters it was made for."""
    formula = getattr(optimizer, "formula", None)
    if formula is None:
        raise TypeError(f"expected a class of optimizers with a formula, got {optimizer!r}")
    own: dict[str, Any] = {"t": 1000, "first": False} | dict.fromkeys(optimizer.numbers)
    given = {name: settings.pop(name) for name in own if name in settings}
    p = tensor([[0.0]], requires_grad=True)
    made = optimizer([p], **settings)
    group = made.param_groups[0]
    own |= {name: made.initial(name, group, p) for name in optimizer.numbers} | given
    own |= made.numbers_before(group, own["t"]) | given
    values = optimizer._settings(group) + tuple(own[name] for name in formula.hyperparameters if name in own)
    return formula.plan(values)[0], values
