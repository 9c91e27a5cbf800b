"""Every scheduler: settings to try, how settings are drawn, and its lr at step t, written without the schedulers' code.

A plan is [name, settings], as JSON has it: functions stand under a name in FUNCTIONS, and a composite's settings have
plans in them. `build` makes it, of this package or of torch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import minigrad as mg
import optim
from optim import lr_scheduler

LRS = (0.1, 0.02, 3.0)
"""The groups' lrs: different ones, and with different last bits."""


class Remembering:
    """A function of the step that also knows how often it was called: a callable object with a state."""

    def __init__(self):
        self.calls = 0

    def __call__(self, t):
        self.calls += 1
        return 1.0 / (1 + 0.1 * self.calls)


FUNCTIONS: dict[str, Callable[[], Any]] = {
    "inverse": lambda: lambda t: 1 / (1 + t),
    "wave": lambda: lambda t: 1 + 0.5 * math.sin(t),
    "steps": lambda: lambda t: 0.5 if t % 7 == 3 else 1.0,
    "remembering": Remembering,
    "built-in": lambda: math.exp2,
}
PLAIN = ["inverse", "wave", "steps"]


# --- making them


def make_optimizer(lrs=LRS, cls=None, **settings):
    groups = [{"params": [mg.tensor([1.0], dtype="float64", requires_grad=True)], "lr": lr} for lr in lrs]
    settings = settings or ({} if cls else {"momentum": 0.7})
    return (cls or optim.SGD)(groups, lr=1.0, **settings)


def resolved(module, optimizer, key, value):
    if key == "schedulers":
        return [build(module, optimizer, plan) for plan in value]
    if key == "schedule":
        return getattr(module, value[0])(**value[1])
    if key in ("lr_lambda", "scale_fn"):
        return [FUNCTIONS[name]() for name in value] if isinstance(value, list) else FUNCTIONS[value]()
    if key == "setting" and isinstance(value, list):
        return tuple(value)
    return value


def build(module, optimizer, plan, **more):
    """The scheduler of a plan, from `lr_scheduler` here or torch's."""
    name, settings = plan
    arguments = {key: resolved(module, optimizer, key, value) for key, value in settings.items()}
    if name == "ChainedScheduler":
        return module.ChainedScheduler(**arguments, **more)
    return getattr(module, name)(optimizer, **arguments, **more)


def take(scheduler, optimizer, times=1):
    """Steps in their order; no gradients are needed to count one."""
    for _ in range(times):
        optimizer.steps_taken += 1
        scheduler.step(*metric_of(scheduler))


def metric_of(scheduler):
    """What ReduceLROnPlateau is shown: falling at first, then on a plateau with noise and a NaN."""
    if not isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        return ()
    return (metric(scheduler.last_epoch),)


def metric(t):
    return math.nan if t == 11 else 1 / (1 + min(t, 8)) + 0.01 * math.sin(5 * t)


def settings_of(optimizer):
    """All that a scheduler may have changed in the groups."""
    return [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]


def lrs_of(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


# --- closed forms: lr at step t of a group that starts from `base`


def scaled_by(factor):
    """The lr of a scheduler that multiplies the base by a factor."""
    return lambda t, base, **settings: base * factor(t, **settings)


def step_factor(t, step_size, gamma=0.1):
    return math.prod(gamma for k in range(1, t + 1) if k % step_size == 0)


def multi_step_factor(t, milestones, gamma=0.1):
    return math.prod(gamma for milestone in milestones if milestone <= t)


def constant_factor(t, factor=1 / 3, total_iters=5):
    return factor if t < total_iters else 1.0


def linear_factor(t, start_factor=1 / 3, end_factor=1.0, total_iters=5):
    return float(np.interp(t, [0, total_iters], [start_factor, end_factor])) if total_iters else end_factor


def polynomial_factor(t, total_iters=5, power=1.0):
    return ((total_iters - t) / total_iters) ** power if t < total_iters else 0.0**power


def cosine(t, base, T_max, eta_min=0.0):
    return eta_min + (base - eta_min) * math.cos(math.pi * t / (2 * T_max)) ** 2


def warm_restarts(t, base, T_0, T_mult=1, eta_min=0.0):
    start, period = 0, T_0
    while start + period <= t:
        start, period = start + period, period * T_mult
    return cosine(t - start, base, period, eta_min)


def triangle(t, up, down):
    return float(np.interp(t % (up + down), [0, up, up + down], [0, 1, 0]))


def cyclic(
    t, base, base_lr, max_lr, step_size_up=2000, step_size_down=None, mode="triangular", gamma=1.0, scale_fn=None,
    scale_mode="cycle", **_
):  # fmt: skip
    down = step_size_up if step_size_down is None else step_size_down
    cycle = t // (step_size_up + down)
    scale = {"triangular": 1, "triangular2": 2.0**-cycle, "exp_range": gamma**t}[mode]
    if scale_fn:
        scale = FUNCTIONS[scale_fn]()(cycle + 1 if scale_mode == "cycle" else t)
    return base_lr + (max_lr - base_lr) * triangle(t, step_size_up, down) * scale


def one_cycle(
    t, base, max_lr, total_steps, pct_start=0.3, anneal_strategy="cos", div_factor=25.0, final_div_factor=1e4,
    three_phase=False, **_
):  # fmt: skip
    low, last = max_lr / div_factor, max_lr / div_factor / final_div_factor
    peak, end = pct_start * total_steps - 1, total_steps - 1
    corners = [(0, low), (peak, max_lr), (end, last)]
    if three_phase:
        corners = [(0, low), (peak, max_lr), (2 * peak, low), (end, last)]
    for (t0, lr0), (t1, lr1) in pairwise(corners):
        if t <= t1:
            x = (t - t0) / (t1 - t0) if t1 > t0 else 1.0
            return lr0 + (lr1 - lr0) * (math.sin(math.pi * x / 2) ** 2 if anneal_strategy == "cos" else x)
    return last


def multiplied(t, base, lr_lambda):
    function = FUNCTIONS[lr_lambda]()
    for k in range(1, t + 1):
        base *= function(k)
    return base


def warmup_cosine(t, base, warmup_steps, total_steps, start_factor=0.0, end_factor=0.0):
    if t < warmup_steps:
        return base * linear_factor(t, start_factor, 1.0, warmup_steps)
    return cosine(min(t, total_steps) - warmup_steps, base, total_steps - warmup_steps, base * end_factor)


def warmup_stable_decay(
    t, base, warmup_steps, decay_steps, total_steps, start_factor=0.0, end_factor=0.0, decay="linear"
):  # fmt: skip
    left = np.clip((total_steps - t) / decay_steps, 0, 1) if decay_steps else float(t < total_steps)
    shape = {"linear": left, "sqrt": 1 - math.sqrt(1 - left), "cos": math.sin(math.pi / 2 * left) ** 2}[decay]
    ramp = linear_factor(t, start_factor, 1.0, warmup_steps)
    return base * min(ramp, end_factor + (1 - end_factor) * shape)


def inverse_square_root(t, base, warmup_steps):
    return base * math.sqrt(warmup_steps) * min((t + 1) ** -0.5, (t + 1) * warmup_steps**-1.5)


def plateau(t, base, mode="min", factor=0.1, patience=10, threshold=1e-4, cooldown=0, min_lr=0.0, **_):
    """Its lr after t looks at `metric`, for threshold_mode "rel" and metrics above zero."""
    best, bad, cool, lr = math.inf, 0, 0, base
    for k in range(t):
        better = metric(k) < best * (1 - threshold) if mode == "min" else metric(k) > best * (1 + threshold)
        if better or (mode == "max" and k == 0):
            best, bad = metric(k), 0
        else:
            bad += 1
        if cool:
            cool, bad = cool - 1, 0
        if bad > patience:
            lower, cool, bad = max(lr * factor, min_lr), cooldown, 0
            lr = lower if lr - lower > 1e-8 else lr
    return lr


def sequential(t, base, schedulers, milestones):
    passed = [milestone for milestone in milestones if milestone <= t]
    return closed_form(schedulers[len(passed)], t - max(passed, default=0), base)


def chained(t, base, schedulers):
    return base * math.prod(closed_form(plan, t, base) / base for plan in schedulers)


def setting(t, base, setting, schedule):
    name, settings = schedule
    return closed_form([f"{name}LR", settings], t, base)


def closed_form(plan, t, base):
    """The lr of a plan at step t. Of a chain: where its schedulers scale, to zero."""
    name, settings = plan
    return ROWS[name].closed(t, base, **settings)


# --- how settings are drawn


def settings(required=None, **optional):
    return st.fixed_dictionaries(required or {}, optional=optional)


whole = st.integers(1, 60)
gammas = st.floats(0.5, 1.02)
units = st.floats(0, 1)
lows = st.floats(0, 0.05)


@st.composite
def warmups(draw):
    drawn = {"warmup_steps": draw(st.integers(0, 60)), "total_steps": draw(st.integers(61, 250))}
    return drawn | draw(settings(start_factor=units, end_factor=units))


@st.composite
def stable_decays(draw):
    drawn = {"warmup_steps": draw(st.integers(0, 60)), "decay_steps": draw(st.integers(0, 60))}
    drawn["total_steps"] = draw(st.integers(max(1, sum(drawn.values())), 250))
    return drawn | draw(
        settings(start_factor=units, end_factor=units, decay=st.sampled_from(["linear", "sqrt", "cos"]))
    )


momentums = {"cycle_momentum": st.booleans(), "base_momentum": st.floats(0, 0.9), "max_momentum": st.floats(0, 0.99)}


class Row(NamedTuple):
    """One scheduler: settings that golden traces and the tests of resuming go through, drawn ones, its closed form."""

    examples: list[dict[str, Any]]
    drawn: st.SearchStrategy
    closed: Callable[..., float]
    torch: bool = True


STEP = ["StepLR", {"step_size": 7, "gamma": 0.5}]
COSINE = ["CosineAnnealingLR", {"T_max": 13}]
EXPONENTIAL = ["ExponentialLR", {"gamma": 0.97}]
WARMUP = ["LinearLR", {"start_factor": 0.1, "total_iters": 6}]
RESTARTS = ["CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2}]
MOMENTUM = ["SettingScheduler", {"setting": "momentum", "schedule": ["Linear", {}]}]
POLYNOMIAL = ["PolynomialLR", {"total_iters": 25, "power": 2.0}]
CHAIN = ["ChainedScheduler", {"schedulers": [WARMUP, STEP, EXPONENTIAL]}]
SEQUENCE = ["SequentialLR", {"schedulers": [WARMUP, COSINE, POLYNOMIAL], "milestones": [6, 19]}]

ROWS: dict[str, Row] = {
    "LambdaLR": Row(
        [{"lr_lambda": "inverse"}, {"lr_lambda": "wave"}],
        settings({"lr_lambda": st.sampled_from(PLAIN)}),
        lambda t, base, lr_lambda: base * FUNCTIONS[lr_lambda]()(t),
    ),
    "MultiplicativeLR": Row(
        [{"lr_lambda": "wave"}, {"lr_lambda": "steps"}], settings({"lr_lambda": st.sampled_from(PLAIN[1:])}), multiplied
    ),
    "StepLR": Row(
        [{"step_size": 5}, {"step_size": 1, "gamma": 0.9}, {"step_size": 12, "gamma": 1.5}],
        settings({"step_size": whole}, gamma=gammas),
        scaled_by(step_factor),
    ),
    "MultiStepLR": Row(
        [{"milestones": [4, 9, 30]}, {"milestones": [0, 6, 6, 20], "gamma": 0.5}],
        settings({"milestones": st.lists(st.integers(0, 200), max_size=5).map(sorted)}, gamma=gammas),
        scaled_by(multi_step_factor),
    ),
    "ConstantLR": Row(
        [{}, {"factor": 0.5, "total_iters": 20}, {"factor": 1.0}],
        settings(factor=st.floats(0.01, 1), total_iters=whole),
        scaled_by(constant_factor),
    ),
    "LinearLR": Row(
        [{}, {"start_factor": 0.01, "end_factor": 0.7, "total_iters": 20}, {"start_factor": 1.0, "end_factor": 0.0}],
        settings(start_factor=st.floats(0.01, 1), end_factor=units, total_iters=whole),
        scaled_by(linear_factor),
    ),
    "ExponentialLR": Row(
        [{"gamma": 0.9}, {"gamma": 1.02}],
        settings({"gamma": gammas}),
        scaled_by(lambda t, gamma: math.exp(t * math.log(gamma))),
    ),
    "PolynomialLR": Row(
        [{}, {"total_iters": 25, "power": 0.9}, {"total_iters": 25, "power": 3}],
        settings(total_iters=whole, power=st.floats(0.1, 4)),
        scaled_by(polynomial_factor),
    ),
    "CosineAnnealingLR": Row(
        [{"T_max": 10}, {"T_max": 1}, {"T_max": 25, "eta_min": 0.01}],
        settings({"T_max": st.integers(1, 250)}, eta_min=lows),
        cosine,
    ),
    "CosineAnnealingWarmRestarts": Row(
        [{"T_0": 8}, {"T_0": 3, "T_mult": 2, "eta_min": 0.01}, {"T_0": 1, "T_mult": 3}],
        settings({"T_0": whole}, T_mult=st.integers(1, 4), eta_min=lows),
        warm_restarts,
    ),
    "CyclicLR": Row(
        [
            {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4},
            {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "step_size_down": 7, "mode": "triangular2"},
            {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 6, "mode": "exp_range", "gamma": 0.98},
            {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 6, "scale_fn": "inverse", "scale_mode": "iterations"},
            {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 6, "scale_fn": "inverse", "cycle_momentum": False},
        ],
        settings(
            {"base_lr": lows, "max_lr": st.floats(0.05, 1), "step_size_up": whole},
            step_size_down=whole,
            mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
            gamma=st.floats(0.9, 1.01),
            scale_fn=st.sampled_from(PLAIN),
            scale_mode=st.sampled_from(["cycle", "iterations"]),
            **momentums,
        ),
        cyclic,
    ),
    "OneCycleLR": Row(
        [
            {"max_lr": 0.1, "total_steps": 60},
            {"max_lr": 0.1, "epochs": 6, "steps_per_epoch": 10, "anneal_strategy": "linear", "pct_start": 0.5},
            {"max_lr": 1.0, "total_steps": 55, "three_phase": True, "div_factor": 10.0, "cycle_momentum": False},
            {"max_lr": 1.0, "total_steps": 55, "three_phase": True, "final_div_factor": 10.0},
        ],
        settings(
            {"max_lr": st.floats(0.05, 1), "total_steps": st.integers(201, 300)},
            pct_start=st.floats(0.01, 0.49),
            anneal_strategy=st.sampled_from(["cos", "linear"]),
            div_factor=st.floats(1, 50),
            final_div_factor=st.floats(1, 1e5),
            three_phase=st.booleans(),
            **momentums,
        ),
        lambda t, base, epochs=1, steps_per_epoch=1, total_steps=0, **more: one_cycle(
            t, base, total_steps=total_steps or epochs * steps_per_epoch, **more
        ),
    ),
    "ReduceLROnPlateau": Row(
        [
            {"patience": 2},
            {"mode": "max", "patience": 3, "factor": 0.5, "cooldown": 2, "min_lr": 0.01},
            {"patience": 0, "factor": 0.9, "threshold": 0.01, "cooldown": 3},
        ],
        settings(
            mode=st.sampled_from(["min", "max"]),
            factor=st.floats(0.1, 0.99),
            patience=st.integers(0, 5),
            threshold=st.floats(0, 0.1),
            cooldown=st.integers(0, 5),
            min_lr=lows,
        ),
        plateau,
    ),
    "SequentialLR": Row(
        [
            SEQUENCE[1],
            {"schedulers": [["ConstantLR", {}], STEP], "milestones": [9]},
            {"schedulers": [COSINE], "milestones": []},
        ],
        st.just(SEQUENCE[1]),
        sequential,
    ),
    "ChainedScheduler": Row(
        [CHAIN[1], {"schedulers": [COSINE, EXPONENTIAL]}],
        st.just(CHAIN[1]),
        chained,
    ),
    "WarmupCosineLR": Row(
        [{"warmup_steps": 6, "total_steps": 50}, {"warmup_steps": 0, "total_steps": 9, "end_factor": 0.1}],
        warmups(),
        warmup_cosine,
        torch=False,
    ),
    "WarmupStableDecayLR": Row(
        [
            {"warmup_steps": 6, "decay_steps": 20, "total_steps": 50},
            {"warmup_steps": 0, "decay_steps": 20, "total_steps": 30, "decay": "sqrt", "end_factor": 0.1},
            {"warmup_steps": 6, "decay_steps": 20, "total_steps": 26, "decay": "cos", "start_factor": 0.5},
            {"warmup_steps": 6, "decay_steps": 0, "total_steps": 26},
        ],
        stable_decays(),
        warmup_stable_decay,
        torch=False,
    ),
    "InverseSquareRootLR": Row(
        [{"warmup_steps": 10}, {"warmup_steps": 1}], settings({"warmup_steps": whole}), inverse_square_root, torch=False
    ),
    "SettingScheduler": Row(
        [{"setting": "lr", "schedule": ["WarmupCosine", {"warmup_steps": 6, "total_steps": 50}]}],
        warmups().map(lambda drawn: {"setting": "lr", "schedule": ["WarmupCosine", drawn]}),
        setting,
        torch=False,
    ),
}  # fmt: skip

EXAMPLES = [[name, example] for name, row in ROWS.items() for example in row.examples]
LEAVES = [plan for plan in EXAMPLES if plan[0] not in ("SequentialLR", "ChainedScheduler", "ReduceLROnPlateau")]
NESTED = [
    ["ChainedScheduler", {"schedulers": [CHAIN, COSINE]}],
    ["SequentialLR", {"schedulers": [CHAIN, SEQUENCE, CHAIN], "milestones": [10, 40]}],
    ["SequentialLR", {"schedulers": [SEQUENCE, CHAIN], "milestones": [25]}],
]
"""Composites within composites."""
UNCLOSED = [
    ["LambdaLR", {"lr_lambda": "remembering"}],
    ["LambdaLR", {"lr_lambda": "built-in"}],
    ["LambdaLR", {"lr_lambda": ["inverse", "wave", "remembering"]}],
    ["MultiplicativeLR", {"lr_lambda": "remembering"}],
    ["CyclicLR", {"base_lr": [0.1, 0.2, 0.3], "max_lr": [0.5, 1.0, 2.0], "step_size_up": 6}],
    ["OneCycleLR", {"max_lr": [0.5, 1.0, 2.0], "total_steps": 60, "max_momentum": [0.9, 0.95, 0.99]}],
    ["ReduceLROnPlateau", {"patience": 2, "min_lr": [0.01, 0.0, 1.0]}],
    MOMENTUM,
    ["SequentialLR", {"schedulers": [WARMUP, ["MultiplicativeLR", {"lr_lambda": "wave"}]], "milestones": [9]}],
    ["SequentialLR", {"schedulers": [RESTARTS, STEP], "milestones": [9]}],
    ["ChainedScheduler", {"schedulers": [SEQUENCE, EXPONENTIAL]}],
]  # fmt: skip
"""Plans that no closed form is written for: memories, lists for the groups, other settings, jumps within a chain."""
NOT_TORCHS = [
    ["CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 6, "scale_fn": "remembering"}],
    ["ChainedScheduler", {"schedulers": [STEP, MOMENTUM]}],
    ["SequentialLR", {"schedulers": [WARMUP, ["OneCycleLR", {"max_lr": 0.1, "total_steps": 60}]], "milestones": [5]}],
    ["ChainedScheduler", {"schedulers": [["SequentialLR", {"schedulers": [CHAIN, STEP], "milestones": [5]}], COSINE]}],
]  # fmt: skip
"""Plans that torch does not have, does not treat right, or for which it calls a function more often."""
UNCLOSED += NOT_TORCHS
