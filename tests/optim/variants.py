"""Every plan that the elementwise algorithms make: settings switched on in all combinations, once per distinct text."""

from __future__ import annotations

import inspect
import itertools
from typing import Any, NamedTuple

import numpy as np

import optim
from optim.elementwise import ElementwiseOptimizer
from optim.formula.cuda import c_source
from optim.formula.plan import Plan
from optim.formula.words import plan_of

ALGORITHMS = {
    name: value
    for name, value in vars(optim).items()
    if name in optim.__all__ and inspect.isclass(value) and issubclass(value, ElementwiseOptimizer)
}
ON = {"weight_decay": 0.1, "momentum": 0.9, "warmup_steps": 5000, "t0": 0.0, "dampening": 0.3, "lr_decay": 0.01}
OWN = {"mu": 0.5, "lr_max": 10.0, "weight_sum": 20.0, "mu_product": 0.3}
"""A setting, or what a formula keeps, switched on."""


class Variant(NamedTuple):
    """A plan, and what it was made for."""

    name: str
    algorithm: type
    plan: Plan
    values: tuple[Any, ...]


def variants() -> list[Variant]:
    """All distinct plans. Maximize is not combined with the rest, but for everything at once."""
    found: dict[str, Variant] = {}
    for name, algorithm in ALGORITHMS.items():
        defaults = {k: p.default for k, p in inspect.signature(algorithm.__init__).parameters.items()}
        options = {k: ON.get(k, True) for k, v in defaults.items() if k in ON or isinstance(v, bool)}
        options.pop("maximize", None)
        options |= {k: OWN[k] for k in algorithm.numbers if k in OWN}
        combined = [dict(c) for n in range(len(options) + 1) for c in itertools.combinations(options.items(), n)]
        combined = [*combined, {"maximize": True}, {**options, "maximize": True}]
        own = [{"t": 1000}, {"t": 1}] + [{"first": True, "t": 1}] * algorithm.formula.sees_first
        for chosen, more in itertools.product(combined, own):
            try:
                plan, values = plan_of(algorithm, **{"lr": 0.1, **chosen, **more})
            except ValueError:  # Nesterov's momentum without momentum, or with dampening
                continue
            label = ", ".join(f"{k}={v}" for k, v in (chosen | more).items())
            found.setdefault(c_source(plan, np.float32), Variant(f"{name}({label})", algorithm, plan, values))
    return list(found.values())
