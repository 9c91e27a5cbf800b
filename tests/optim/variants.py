"""Every plan that the formulas make: settings switched on in all combinations, once per distinct text."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import optim
from optim.elementwise import ElementwiseOptimizer
from optim.formula import Formula
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
FIRST_STEPS = [
    {"lr_max": 0.0, "weight_sum": 0.0, "lr": lr, "warmup_steps": warmup} for lr in (0.0, 0.1) for warmup in (0, 5000)
]
"""Of schedule-free methods, by what they keep before it."""
MORE: dict[str, list[dict[str, Any]]] = {
    "Muon": [{"momentum": 0.3}],
    "Prodigy": [{"beta3": 0.9}],
    "RAdam": [{"betas": (0.3, 0.9)}],
    "ScheduleFreeSGD": FIRST_STEPS,
    "ScheduleFreeAdamW": FIRST_STEPS,
}
"""What else an algorithm's formula is asked to do."""


class Variant(NamedTuple):
    """A plan, and what it was made for."""

    name: str
    formula: Formula
    plan: Plan
    values: tuple[Any, ...]


def formulas() -> dict[str, Formula]:
    """All that stand beside what `optim` makes public, by name."""
    modules = {inspect.getmodule(getattr(optim, name)) for name in optim.__all__}
    return {f.name: f for module in modules for f in vars(module).values() if isinstance(f, Formula)}


def variants() -> list[Variant]:
    """All distinct plans, in arithmetic on elements or on hyperparameters."""
    found: dict[tuple[str, str], Variant] = {}
    for variant in _all():
        found.setdefault((c_source(variant.plan, np.float32), variant.plan.source), variant)
    return list(found.values())


def _all() -> Iterator[Variant]:
    """Maximize is not combined with the rest, but for everything at once."""
    for name, algorithm in ALGORITHMS.items():
        defaults = {k: p.default for k, p in inspect.signature(algorithm.__init__).parameters.items()}
        options = {k: ON.get(k, True) for k, v in defaults.items() if k in ON or isinstance(v, bool)}
        climbs = [{"maximize": options.pop("maximize")}] if "maximize" in options else []
        off = {k: False for k in options if defaults[k] is True}
        options |= {k: OWN[k] for k in algorithm.numbers if k in OWN}
        combined = [dict(c) for n in range(len(options) + 1) for c in itertools.combinations(options.items(), n)]
        combined += [{k: v, **{o: ON[o] for o in ON if o in options}} for k, v in off.items()]
        combined += [*climbs, *({**options, **more} for more in climbs), *MORE.get(name, [])]
        own = [{"t": 1000}, {"t": 1}] + [{"first": True, "t": 1}] * algorithm.formula.sees_first
        for chosen, more in itertools.product(combined, own):
            try:
                plan, values = plan_of(algorithm, **{"lr": 0.1, **chosen, **more})
            except ValueError:  # Nesterov's momentum without momentum, or with dampening
                continue
            label = ", ".join(f"{k}={v}" for k, v in (chosen | more).items())
            given = dict(zip(algorithm.formula.hyperparameters, values, strict=True))
            for formula, part in zip(algorithm.formula.formulas, plan.plans, strict=True):
                yield Variant(f"{name}({label})", formula, part, tuple(given[h] for h in formula.hyperparameters))
