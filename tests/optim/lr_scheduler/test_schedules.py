"""Schedules as functions of the step: values, arrays of steps, composition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optim import lr_scheduler
from optim.lr_scheduler import (
    Constant,
    CosineAnnealing,
    Cyclic,
    Exponential,
    Lambda,
    Linear,
    Multiplicative,
    OneCycle,
    Polynomial,
    Schedule,
    Step,
    WarmRestarts,
    WarmupCosine,
    WarmupStableDecay,
)

from .table import FUNCTIONS, LEAVES, closed_form, resolved

ALONE = {"CosineAnnealingWarmRestarts": "WarmRestarts"}
"""The schedules whose scheduler is not called the same with LR at the end."""
OF_SCHEDULER = {"cycle_momentum", "base_momentum", "max_momentum"}
PURE = [plan for plan in LEAVES if plan[0] != "SettingScheduler" and "epochs" not in plan[1]]


def pure(plan):
    """The schedule of a plan, without an optimizer."""
    name, settings = plan
    cls = getattr(lr_scheduler, ALONE.get(name, name.removesuffix("LR")))
    return cls(**{k: resolved(lr_scheduler, None, k, v) for k, v in settings.items() if k not in OF_SCHEDULER})


every_schedule = pytest.mark.parametrize("plan", PURE, ids=str)


@every_schedule
def test_is_its_closed_form(plan):
    for base in (1.0, 0.3):
        expected = [closed_form(plan, t, base) for t in range(100)]
        np.testing.assert_allclose(pure(plan).at(range(100), base), expected, rtol=1e-12, atol=1e-14)


@every_schedule
def test_many_steps_are_each_step(plan):
    schedule = pure(plan)
    steps = np.arange(12).reshape(3, 4)
    values = schedule.at(steps)
    assert values.shape == (3, 4)
    assert values.dtype == np.float64
    assert values.tolist() == [[schedule.at(t) for t in row] for row in steps.tolist()]
    assert schedule.at(steps[::2, ::-1]).tolist() == values[::2, ::-1].tolist()
    assert schedule.at(np.int64(3)) == schedule.at(3) == schedule(3) == values[0, 3]
    assert type(schedule.at(np.int64(3))) is float
    assert schedule.at([]).shape == (0,)


@every_schedule
def test_no_steps_before_the_first(plan):
    for t in (-1, math.nan, math.inf, [0, -1]):
        with pytest.raises(ValueError, match=r"at: t must be in \[0"):
            pure(plan).at(t)
    with pytest.raises(TypeError, match="at: t must be a number"):
        pure(plan).at("3")


def test_all_schedules_are_tried():
    schedules = {
        name
        for name in lr_scheduler.__all__
        if issubclass(cls := getattr(lr_scheduler, name), Schedule) and not issubclass(cls, lr_scheduler.LRScheduler)
    }
    assert {type(pure(plan)).__name__ for plan in PURE} == schedules - {"Schedule", "Factor"}


# --- composition

a_schedule = st.sampled_from([plan for plan in PURE if plan[0] != "OneCycleLR"]).map(pure)
steps = st.integers(0, 60)
bases = st.floats(0.01, 10)


@given(a_schedule, a_schedule, steps, steps, bases)
def test_one_after_the_other(a, b, at, t, base):
    assert a.then(b, at=at).at(t, base) == (a.at(t, base) if t < at else b.at(t - at, base))


@given(a_schedule, a_schedule, steps, bases)
def test_sum_and_product(a, b, t, base):
    assert (a + b).at(t, base) == a.at(t, base) + b.at(t, base)
    assert (a * b).at(t, base) == a.at(t, base) * b.at(t)


@given(a_schedule, steps, bases, st.floats(-2, 2))
def test_numbers(a, t, base, x):
    assert (a * x).at(t, base) == (x * a).at(t, base) == (np.float64(x) * a).at(t, base) == a.at(t, base) * x
    assert (a + x).at(t, base) == (x + a).at(t, base) == (np.float64(x) + a).at(t, base) == a.at(t, base) + x
    assert a.then(x, at=5).at(t, base) == (a.at(t, base) if t < 5 else x)


def test_composites_are_schedules():
    schedule = (Linear(0.1, total_iters=4).then(CosineAnnealing(10), at=4) * Step(5) + 0.5).then(0.0, at=12)
    values = schedule.at(range(14))
    assert values[[0, 4, 5, 12]] == pytest.approx([0.6, 1.5, 0.5 + 0.1 * CosineAnnealing(10).at(1), 0.0])
    assert values[13] == 0


@given(st.integers(0, 30), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1), st.integers(0, 120))
def test_warmup_cosine_is_a_line_and_a_cosine(warmup, rest, low, end, t):
    line = Linear(low, 1.0, total_iters=warmup)
    cosine = end + (1 - end) * CosineAnnealing(rest).then(0.0, at=rest)
    assert WarmupCosine(warmup, warmup + rest, low, end).at(t) == pytest.approx(line.then(cosine, at=warmup).at(t))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.floats(0, 1), st.integers(0, 120))
def test_warmup_stable_decay_is_two_lines(warmup, stable, decay, end, t):
    lines = Linear(0.0, 1.0, warmup).then(Linear(1.0, end, decay), at=warmup + stable)
    wsd = WarmupStableDecay(warmup, decay, warmup + stable + decay, end_factor=end)
    assert wsd.at(t) == pytest.approx(lines.at(t))


@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 200))
def test_identities(n, x, t):
    assert WarmRestarts(n).at(t) == CosineAnnealing(n).at(t % n)
    assert Polynomial(n).at(t) == pytest.approx(Linear(1.0, 0.0, n).at(t))
    assert Constant(x, n).at(t) == Lambda(lambda t: x).then(Lambda(lambda t: 1), at=n).at(t)
    assert Step(1, x).at(t) == Exponential(x).at(t) == pytest.approx(Multiplicative(lambda t: x).at(t), 1e-12, 1e-300)
    assert Cyclic(0, 1, n, 2 * n).at(t) == pytest.approx(
        Linear(0.0, 1.0, n).then(Linear(1.0, 0.0, 2 * n), n).at(t % (3 * n))
    )


@given(st.integers(2, 100), st.floats(0.05, 0.5), st.sampled_from(["cos", "linear"]), st.booleans())
def test_one_cycle_stays_between_its_bounds(n, pct_start, anneal_strategy, three_phase):
    values = OneCycle(0.5, n, pct_start, anneal_strategy, three_phase=three_phase).at(range(n + 20))
    assert values.max() <= 0.5
    assert values.min() >= 0.5 / 25 / 1e4
    assert values[-21] == values[-1] == pytest.approx(0.5 / 25 / 1e4)


@given(st.integers(1, 60), st.floats(0, 1), bases)
def test_the_ends_of_a_cosine_are_exact(n, eta_min, base):
    assert CosineAnnealing(n, eta_min).at([0, n, 3 * n], base).tolist() == [base, eta_min, eta_min]


def test_a_function_in_the_place_of_a_mode():
    doubled = Cyclic(0, 1, 4, scale_fn=FUNCTIONS["inverse"]())
    assert doubled.at([4, 12, 20]).tolist() == [1 / 2, 1 / 3, 1 / 4]


def test_words():
    assert repr(Step(30)) == "Step(step_size=30, gamma=0.1)"
    schedule = Step(30).then(0.5, at=3) * 2
    assert repr(schedule) == (
        "Product(a=Then(first=Step(step_size=30, gamma=0.1), second=Fixed(number=0.5), start=3), b=Fixed(number=2))"
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Step(0), ValueError, "Step: step_size must be a whole number from 1, got 0"),
        (lambda: Step(2.5), ValueError, "Step: step_size must be a whole number from 1, got 2.5"),
        (lambda: Step(math.inf), ValueError, "Step: step_size must be a whole number from 1, got inf"),
        (lambda: Step(3, -0.1), ValueError, r"Step: gamma must be in \[0.0, inf\), got -0.1"),
        (lambda: Step(3, "0.1"), TypeError, "Step: gamma must be a number, got '0.1'"),
        (lambda: lr_scheduler.MultiStep([3, -1]), ValueError, "MultiStep: milestones must be a whole number from 0"),
        (
            lambda: lr_scheduler.MultiStep({3: 0}),
            ValueError,
            "MultiStep: milestones: how often 3 must be a whole number",
        ),
        (lambda: Constant(1.5), ValueError, r"Constant: factor must be in \[0.0, 1.0\], got 1.5"),
        (lambda: Constant(0.5, -1), ValueError, "Constant: total_iters must be a whole number from 0, got -1"),
        (lambda: Linear(-0.1), ValueError, r"Linear: start_factor must be in \[0.0, 1.0\]"),
        (lambda: Linear(0.1, 1.1), ValueError, r"Linear: end_factor must be in \[0.0, 1.0\]"),
        (lambda: Exponential(math.nan), ValueError, "Exponential: gamma must be in"),
        (lambda: Polynomial(3, -1), ValueError, "Polynomial: power must be in"),
        (lambda: CosineAnnealing(0), ValueError, "CosineAnnealing: T_max must be in"),
        (lambda: CosineAnnealing(3, math.inf), ValueError, "CosineAnnealing: eta_min must be in"),
        (lambda: WarmRestarts(0), ValueError, "WarmRestarts: T_0 must be a whole number from 1"),
        (lambda: WarmRestarts(3, 1.5), ValueError, "WarmRestarts: T_mult must be a whole number from 1"),
        (lambda: Cyclic(0.1, 1, 0), ValueError, "Cyclic: step_size_up must be in"),
        (lambda: Cyclic(0.1, 1, 5, -1), ValueError, "Cyclic: step_size_down must be in"),
        (lambda: Cyclic(0.1, 1, mode="square"), ValueError, "Cyclic: mode must be one of 'triangular'.*, got 'square'"),
        (lambda: Cyclic(0.1, 1, scale_mode="x"), ValueError, "Cyclic: scale_mode must be one of 'cycle', 'iterations'"),
        (lambda: Cyclic(0.1, 1, scale_fn=3), TypeError, "Cyclic: _scale_fn_custom must be a function, got 3"),
        (lambda: OneCycle(0.1, 0), ValueError, "OneCycle: total_steps must be a whole number from 1"),
        (lambda: OneCycle(0.1, 9, 1.5), ValueError, "OneCycle: pct_start must be in"),
        (lambda: OneCycle(0.1, 9, anneal_strategy="x"), ValueError, "OneCycle: anneal_strategy must be one of 'cos'"),
        (lambda: OneCycle(0.1, 9, div_factor=0), ValueError, "OneCycle: div_factor must be in"),
        (lambda: OneCycle(0.1, 9, final_div_factor=-1), ValueError, "OneCycle: final_div_factor must be in"),
        (lambda: OneCycle(0.1, 9, three_phase="yes"), TypeError, "OneCycle: three_phase must be True or False"),
        (lambda: Lambda(3), TypeError, "Lambda: lr_lambda must be a function, got 3"),
        (lambda: Multiplicative(None), TypeError, "Multiplicative: lr_lambda must be a function, got None"),
        (lambda: WarmupCosine(5, 5), ValueError, "WarmupCosine: total_steps must be above warmup_steps, got 5 and 5"),
        (lambda: WarmupCosine(5, 9, 2.0), ValueError, "WarmupCosine: start_factor must be in"),
        (lambda: WarmupStableDecay(5, 5, 9), ValueError, r"total_steps must be at least .*, got 9 for 5 \+ 5"),
        (lambda: WarmupStableDecay(1, 1, 9, decay="x"), ValueError, "decay must be one of 'linear', 'sqrt', 'cos'"),
        (lambda: lr_scheduler.InverseSquareRoot(0), ValueError, "InverseSquareRoot: warmup_steps must be a whole"),
        (lambda: Step(3).then(Step(3), at=-1), ValueError, "Then: start must be in"),
        (lambda: Step(3) + "1", TypeError, "Fixed: number must be a number, got '1'"),
        (lambda: Step(3) * math.nan, ValueError, "Fixed: number must be in"),
        (lambda: Schedule().at(3), NotImplementedError, r"Schedule has no value\(\)"),
        (lambda: lr_scheduler.Factor().at(3), NotImplementedError, r"Factor has no f\(\)"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
