"""One row for each public algorithm: what its tests draw from. A new algorithm needs its row here and no other test."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

import optim
from optim.closure import ClosureOptimizer

from .rows import VECTORS_AND_MATRICES, betas, decades, flags, fraction, or_zero

Strategy = st.SearchStrategy[Any]


def unchanged(settings: dict[str, Any]) -> dict[str, Any]:
    return settings


def nesterov_with_momentum(settings: dict[str, Any]) -> dict[str, Any]:
    """SGD refuses nesterov without momentum, and with dampening."""
    if not settings.get("nesterov"):
        return settings
    return settings | {"momentum": settings.get("momentum") or 0.9, "dampening": 0.0}


def centered_with_a_mean(settings: dict[str, Any]) -> dict[str, Any]:
    """With α = 0, v - ḡ² is 0 but for rounding, and g/√(v - ḡ²) anything."""
    return settings | {"alpha": settings.get("alpha") or 0.9} if settings.get("centered") else settings


class Row(NamedTuple):
    """An algorithm.

    settings: each setting -> what it is drawn from; one that is not drawn keeps its default.
    shapes: of the parameters.
    torch: whether torch.optim has it, with the same settings and state.
    gradients: "dense", or "rows" where the class takes nothing but row-sparse ones.
    closure: whether a step asks for the gradient by itself.
    loss: whether its closure only computes the loss, which the step differentiates.
    shared: whether the parameters of a group share something, so that the reference is of one parameter a group.
    in_float32: settings that the type asks for, where the reference's default is another, or float32 is too coarse.
    adjust: makes settings that make no sense together into some that do.
    """

    settings: dict[str, Strategy]
    shapes: Strategy = VECTORS_AND_MATRICES
    torch: bool = False
    gradients: str = "dense"
    closure: bool = False
    loss: bool = False
    shared: bool = False
    in_float32: dict[str, Any] = {}
    adjust: Callable[[dict[str, Any]], dict[str, Any]] = unchanged


LR = {"lr": or_zero(decades(-4, 0))}
DECAY = {"weight_decay": or_zero(decades(-3, 0))}
EPS = {"eps": st.sampled_from([0.0, 1e-8]) | decades(-16, 0)}
MAXIMIZE = flags("maximize")
ADAM = LR | {"betas": betas(2)} | EPS | DECAY | MAXIMIZE
MATRICES = st.tuples(st.integers(1, 4), st.integers(1, 4))

ROWS: dict[str, Row] = {
    "SGD": Row(
        LR | {"momentum": or_zero(fraction()), "dampening": or_zero(fraction())} | DECAY | MAXIMIZE | flags("nesterov"),
        torch=True,
        adjust=nesterov_with_momentum,
    ),
    "Nesterov": Row(LR | {"momentum": or_zero(fraction())} | DECAY | MAXIMIZE, closure=True),
    "Adam": Row(ADAM | flags("amsgrad", "decoupled_weight_decay"), torch=True),
    "AdamW": Row(ADAM | flags("amsgrad"), torch=True),
    "AdamEpsilonHat": Row(ADAM | flags("amsgrad", "decoupled_weight_decay")),
    "Adamax": Row(ADAM, torch=True),
    "NAdam": Row(ADAM | {"momentum_decay": or_zero(decades(-3, 0))} | flags("decoupled_weight_decay"), torch=True),
    "RAdam": Row(ADAM | flags("decoupled_weight_decay"), torch=True),
    "Adagrad": Row(
        LR
        | EPS
        | DECAY
        | MAXIMIZE
        | {"lr_decay": or_zero(decades(-3, 0)), "initial_accumulator_value": or_zero(decades(-3, 1))},
        torch=True,
    ),
    "Adadelta": Row(LR | EPS | DECAY | MAXIMIZE | {"rho": fraction() | st.just(1.0)}, torch=True),
    "RMSprop": Row(
        LR | EPS | DECAY | MAXIMIZE | {"alpha": fraction(), "momentum": or_zero(fraction())} | flags("centered"),
        torch=True,
        in_float32={"centered": False},  # v - ḡ² cancels
        adjust=centered_with_a_mean,
    ),
    "Rprop": Row(
        LR
        | MAXIMIZE
        | {"etas": st.tuples(st.floats(0.1, 0.9), st.floats(1.01, 3.0))}
        | {"step_sizes": st.tuples(decades(-6, -2), decades(-1, 2))},
        torch=True,
    ),
    "ASGD": Row(
        LR
        | DECAY
        | MAXIMIZE
        | {"lambd": or_zero(decades(-4, 0)), "alpha": st.floats(0.0, 2.0)}
        | {"t0": st.sampled_from([0.0, 1.0, 4.5, 1e6]) | st.floats(0.0, 100.0)},
        torch=True,
    ),
    "SparseAdam": Row(  # as in torch, v + (1 - β)·(g² - v): small βs cancel what v keeps
        {"lr": decades(-4, 0), "betas": st.tuples(st.floats(0.5, 0.999), st.floats(0.5, 0.999)), "eps": decades(-16, 0)}
        | MAXIMIZE,
        shapes=MATRICES,
        torch=True,
        gradients="rows",
    ),
    "Adafactor": Row(
        LR
        | DECAY
        | MAXIMIZE
        | {"beta2_decay": st.floats(-1.0, 0.0), "d": decades(0, 1)}
        | {"eps": st.tuples(st.none() | decades(-30, 0), decades(-4, 0))},
        torch=True,
        in_float32={"eps": (2.0**-23, 1e-3)},
    ),
    "Muon": Row(
        LR
        | DECAY
        | {"momentum": or_zero(fraction()), "eps": decades(-8, 1), "ns_steps": st.integers(0, 5)}
        | {"adjust_lr_fn": st.sampled_from([None, "original", "match_rms_adamw"])}
        | {"ns_coefficients": st.sampled_from([(3.4445, -4.775, 2.0315), (2.0, -1.5, 0.5)])}
        | flags("nesterov"),
        shapes=MATRICES,
        torch=True,
    ),
    "Lion": Row(LR | {"betas": betas(2)} | DECAY | MAXIMIZE),
    "AdaBelief": Row(ADAM | flags("amsgrad", "decoupled_weight_decay")),
    "Yogi": Row(ADAM | {"initial_accumulator_value": or_zero(decades(-6, 0))} | flags("bias_correction")),
    "LAMB": Row(ADAM),
    "LARS": Row(
        LR
        | {"momentum": or_zero(fraction()), "trust_coefficient": decades(-3, 0), "eps": or_zero(decades(-9, 0))}
        | DECAY
        | MAXIMIZE
    ),
    "Adan": Row(ADAM | {"betas": betas(3)} | flags("no_prox")),
    "ScheduleFreeSGD": Row(
        LR
        | {"momentum": fraction(), "warmup_steps": st.integers(0, 20)}
        | {"r": or_zero(st.floats(0.5, 2.0)), "weight_lr_power": or_zero(st.floats(0.5, 3.0))}
        | DECAY
        | MAXIMIZE
    ),
    "ScheduleFreeAdamW": Row(
        ADAM
        | {"warmup_steps": st.integers(0, 20)}
        | {"r": or_zero(st.floats(0.5, 2.0)), "weight_lr_power": or_zero(st.floats(0.5, 3.0))}
    ),
    "Prodigy": Row(
        ADAM
        | {"beta3": st.none() | fraction(), "d0": decades(-6, -1), "d_coef": decades(-1, 1)}
        | {"growth_rate": st.sampled_from([float("inf"), 1.02, 2.0])}
        | flags("decoupled_weight_decay", "use_bias_correction", "safeguard_warmup"),
        shared=True,
    ),
    "AdaHessian": Row(  # where ε and the curvature are 0, what follows has no gradient any more
        ADAM | {"eps": decades(-16, 0), "hessian_power": st.floats(0.0, 1.0), "seed": st.integers(0, 9)}, loss=True
    ),
}

ALGORITHMS = tuple(
    name
    for name in optim.__all__
    if inspect.isclass(getattr(optim, name))
    and issubclass(getattr(optim, name), optim.Optimizer)
    and getattr(optim, name) is not optim.Optimizer
)
"""All that `optim` has."""

CLOSURES = tuple(name for name in ALGORITHMS if issubclass(getattr(optim, name), ClosureOptimizer))
"""Those that call the closure as often as they need. No list of gradients tells their path: each has its own tests."""

PUBLIC = tuple(name for name in ALGORITHMS if name not in CLOSURES)
"""Those that take one gradient a step."""

TESTED = tuple(name for name in ROWS if name in PUBLIC)
"""Those of them that have a row: all, says test_registry."""


def drawn_settings(name: str) -> Strategy:
    """A setting is drawn or left at its default."""
    return st.fixed_dictionaries({}, optional=ROWS[name].settings).map(ROWS[name].adjust)
