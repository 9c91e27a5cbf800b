"""What schedulers refuse, in which words, and that nothing has changed then."""

import math

import numpy as np
import pytest

import minigrad as mg
import optim
from optim import lr_scheduler
from optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    Lambda,
    LambdaLR,
    Linear,
    LRScheduler,
    Multiplicative,
    MultiplicativeLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    SettingScheduler,
    Step,
    StepLR,
)

from .table import EXAMPLES, LRS, UNCLOSED, build, lrs_of, make_optimizer, settings_of, take


class Short(LRScheduler):
    def get_lr(self):
        return [0.1]


class Wordy(LRScheduler):
    def get_lr(self):
        return [0.1, 0.2, None]


class Infinite(LRScheduler):
    def get_lr(self):
        return [0.1, math.inf, math.nan]


def sequence(o, count=2, milestones=(3,)):
    return SequentialLR(o, [StepLR(o, 3) for _ in range(count)], list(milestones))


def plateau_in(cls, o):
    return cls(o, [ReduceLROnPlateau(o)], []) if cls is SequentialLR else cls([ReduceLROnPlateau(o)])


MADE = [
    (lambda o: StepLR("adam", 3), TypeError, ": optimizer must be an Optimizer, got a str"),
    (lambda o: CyclicLR(None, 0.1, 0.2), TypeError, ": optimizer must be an Optimizer, got a NoneType"),
    (lambda o: OneCycleLR(None, 0.1, 20), TypeError, ": optimizer must be an Optimizer, got a NoneType"),
    (lambda o: LambdaLR(None, abs), TypeError, ": optimizer must be an Optimizer, got a NoneType"),
    (lambda o: ReduceLROnPlateau(3), TypeError, ": optimizer must be an Optimizer, got a int"),
    (lambda o: StepLR(o, 3, last_epoch=-2), ValueError, "StepLR: last_epoch must be a whole number from -1, got -2"),
    (lambda o: StepLR(o, 3, last_epoch=0.5), ValueError, "StepLR: last_epoch must be a whole number from -1, got 0.5"),
    (lambda o: StepLR(o, 3, last_epoch=4), ValueError, "StepLR: last_epoch=4 continues a schedule, .* no 'initial_lr'"),
    (lambda o: StepLR(o, 0), ValueError, "StepLR: step_size must be a whole number from 1, got 0"),
    (lambda o: CosineAnnealingLR(o, 0), ValueError, "CosineAnnealingLR: T_max must be in"),
    (lambda o: LRScheduler(o), NotImplementedError, r"LRScheduler has no get_lr\(\)"),
    (lambda o: Short(o), ValueError, "Short: got 1 values for 3 parameter groups"),
    (lambda o: Wordy(o), TypeError, "Wordy: lr at step 0 of group 2 must be a number, got None"),
    (lambda o: LambdaLR(o, [abs, abs]), ValueError, "LambdaLR: lr_lambda must have one value for each parameter group"),
    (lambda o: LambdaLR(o, [abs, abs, 3]), TypeError, "LambdaLR: lr_lambda must be a function, got 3"),
    (lambda o: LambdaLR(o, lambda t: "0.5"), TypeError, r"LambdaLR: lr_lambda\(0\) of group 0 must be .*, got '0.5'"),
    (lambda o: LambdaLR(o, [abs, abs, print]), TypeError, r"LambdaLR: lr_lambda\(0\) of group 2 must be .*, got None"),
    (lambda o: CyclicLR(o, 0.1, 0.2, scale_fn=lambda x: None), TypeError, r"CyclicLR: scale_fn\(1\) must be a number"),
    (lambda o: CyclicLR(o, 0.1, 0.2, scale_fn=lambda x: math.inf), ValueError, r"CyclicLR: scale_fn\(1\) must be in"),
    (lambda o: Infinite(o), ValueError, r"Infinite: lr at step 0 of group 1 must be in \(-inf, inf\), got inf"),
    (lambda o: LambdaLR(o, lambda t: 1 / t), ZeroDivisionError, "division by zero"),
    (lambda o: MultiplicativeLR(o, 0.9), TypeError, "MultiplicativeLR: lr_lambda must be a function, got 0.9"),
    (lambda o: CyclicLR(o, [0.1], 0.2), ValueError, "CyclicLR: base_lr must have one value .*: got 1 for 3"),
    (lambda o: CyclicLR(o, 0.1, [0.2]), ValueError, "CyclicLR: max_lr must have one value .*: got 1 for 3"),
    (lambda o: CyclicLR(o, 0.1, "x"), TypeError, "CyclicLR: max_lr must be a number, got 'x'"),
    (lambda o: CyclicLR(o, -0.1, 0.2), ValueError, "CyclicLR: base_lr must be in"),
    (lambda o: CyclicLR(o, 0.1, 0.2, max_momentum=1.5), ValueError, "CyclicLR: max_momentum must be in"),
    (lambda o: OneCycleLR(o, -0.1, 20), ValueError, "OneCycleLR: max_lr must be in"),
    (lambda o: CyclicLR(o, 0.1, 0.2, base_momentum=[0.1]), ValueError, "CyclicLR: base_momentum must have one value"),
    (lambda o: CyclicLR(o, 0.1, 0.2, scale_fn=lambda x: 1 / 0), ZeroDivisionError, "division by zero"),
    (lambda o: CyclicLR(o, 0.1, 0.2, cycle_momentum=3), TypeError, "CyclicLR: cycle_momentum must be True or False"),
    (lambda o: OneCycleLR(o, [0.1], 20), ValueError, "OneCycleLR: max_lr must have one value .*: got 1 for 3"),
    (lambda o: OneCycleLR(o, 0.1), ValueError, "OneCycleLR: expected total_steps, or epochs and steps_per_epoch"),
    (lambda o: OneCycleLR(o, 0.1, epochs=3), ValueError, "OneCycleLR: expected total_steps"),
    (lambda o: OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=0), ValueError, "OneCycleLR: steps_per_epoch must be"),
    (lambda o: OneCycleLR(o, 0.1, 20, pct_start=2), ValueError, "OneCycleLR: pct_start must be in"),
    (lambda o: OneCycleLR(o, 0.1, 20, div_factor=0), ValueError, "OneCycleLR: div_factor must be in"),
    (lambda o: OneCycleLR(o, 0.1, 20, max_momentum=[1]), ValueError, "OneCycleLR: max_momentum must have one value"),
    (lambda o: OneCycleLR(o, 0.1, 20, last_epoch=21), ValueError, "OneCycleLR: step 22 of a schedule of 20 steps"),
    (lambda o: ReduceLROnPlateau(o, "least"), ValueError, "ReduceLROnPlateau: mode must be one of 'min', 'max'"),
    (lambda o: ReduceLROnPlateau(o, factor=1), ValueError, r"ReduceLROnPlateau: factor must be in \[0.0, 1.0\)"),
    (lambda o: ReduceLROnPlateau(o, patience=-1), ValueError, "ReduceLROnPlateau: patience must be a whole number"),
    (lambda o: ReduceLROnPlateau(o, threshold=-1), ValueError, "ReduceLROnPlateau: threshold must be in"),
    (lambda o: ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "ReduceLROnPlateau: threshold_mode must be one"),
    (lambda o: ReduceLROnPlateau(o, cooldown=1.5), ValueError, "ReduceLROnPlateau: cooldown must be a whole number"),
    (lambda o: ReduceLROnPlateau(o, min_lr=[0.1]), ValueError, "ReduceLROnPlateau: min_lr must have one value"),
    (lambda o: ReduceLROnPlateau(o, min_lr=-1), ValueError, r"ReduceLROnPlateau: min_lrs\[0\] must be in"),
    (lambda o: ReduceLROnPlateau(o, eps=math.nan), ValueError, "ReduceLROnPlateau: eps must be in"),
    (lambda o: SequentialLR(o, [], []), ValueError, "SequentialLR: expected at least one scheduler, got none"),
    (lambda o: ChainedScheduler([]), ValueError, "ChainedScheduler: expected at least one scheduler, got none"),
    (lambda o: SequentialLR(o, None, []), TypeError, "SequentialLR: schedulers must be a list of .*, got a NoneType"),
    (lambda o: SequentialLR(o, [], 3), ValueError, "SequentialLR: expected at least one scheduler, got none"),
    (lambda o: ChainedScheduler([Step(3)]), TypeError, r"schedulers\[0\] must be a scheduler, got a Step"),
    (lambda o: plateau_in(SequentialLR, o), ValueError, r"SequentialLR: schedulers\[0\] is a ReduceLROnPlateau"),
    (lambda o: plateau_in(ChainedScheduler, o), ValueError, r"ChainedScheduler: .* a ReduceLROnPlateau"),
    (lambda o: SettingScheduler(o, "lr", 0.1), TypeError, "SettingScheduler: schedule must be a Schedule, got a float"),
    (lambda o: SettingScheduler(o, 3, Step(3)), TypeError, "SettingScheduler: setting must be a name, or a name and"),
    (lambda o: SettingScheduler(o, "beta", Step(3)), ValueError, "SettingScheduler: a parameter group has no 'beta'"),
    (lambda o: SettingScheduler(o, "nesterov", Step(3)), TypeError, "SettingScheduler: nesterov must be a number"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), MADE)
def test_what_is_not_made_changes_nothing(make, error, message):
    optimizer = make_optimizer()
    before = settings_of(optimizer)
    with pytest.raises(error, match=message):
        make(optimizer)
    assert settings_of(optimizer) == before


def test_composites_of_what_does_not_belong_together():
    one, other = make_optimizer(), make_optimizer()
    mine, its = StepLR(one, 3), StepLR(other, 3)
    before = settings_of(one), mine.state_dict()
    for make in (
        lambda: SequentialLR(one, [mine, its], [3]),
        lambda: SequentialLR(other, [its, mine], [3]),
        lambda: ChainedScheduler([mine, its]),
        lambda: ChainedScheduler([its, mine], optimizer=other),
    ):
        with pytest.raises(ValueError, match=r"schedulers\[1\] belongs to another optimizer"):
            make()
    with pytest.raises(ValueError, match=r"SequentialLR: expected one milestone less than schedulers, got 0 .* 2"):
        SequentialLR(one, [mine, StepLR(one, 4)], [])
    for milestones in ([5, 5], [5, 3]):
        with pytest.raises(ValueError, match="SequentialLR: milestones must increase, got"):
            SequentialLR(one, [mine, StepLR(one, 4), StepLR(one, 4)], milestones)
    with pytest.raises(TypeError, match="SequentialLR: milestones must be a list of steps, got 3"):
        SequentialLR(one, [mine], 3)
    with pytest.raises(TypeError, match="ChainedScheduler: schedulers must be a list of schedulers, got a StepLR"):
        ChainedScheduler(mine)
    with pytest.raises(ValueError, match="SequentialLR: milestones must be a whole number from 0, got -1"):
        SequentialLR(one, [mine, StepLR(one, 4)], [-1])
    with pytest.raises(ValueError, match="SequentialLR: last_epoch must be a whole number from -1"):
        SequentialLR(one, [mine], [], last_epoch=-7)
    with pytest.raises(ValueError, match="last_epoch cannot continue within a ChainedScheduler; use load_state_dict"):
        SequentialLR(one, [ChainedScheduler([mine])], [], last_epoch=7)
    assert (settings_of(one), mine.state_dict()) == before


def test_an_optimizer_without_momentum():
    optimizer = make_optimizer(cls=optim.Adagrad, eps=1e-10)
    before = settings_of(optimizer)
    for cls, arguments in ((CyclicLR, (0.1, 0.2)), (OneCycleLR, (0.1, 20))):
        with pytest.raises(
            ValueError, match=f"{cls.__name__}: cycle_momentum=True needs a momentum or betas, .* Adagrad"
        ):
            cls(optimizer, *arguments)
        assert settings_of(optimizer) == before
        cls(optimizer, *arguments, cycle_momentum=False)
        optimizer = make_optimizer(cls=optim.Adagrad, eps=1e-10)


def test_places_in_a_tuple():
    optimizer = make_optimizer(cls=optim.Adam)
    before = settings_of(optimizer)
    with pytest.raises(ValueError, match=r"SettingScheduler: 'betas' is \(0.9, 0.999\), which has no place 2"):
        SettingScheduler(optimizer, ("betas", 2), Linear())
    with pytest.raises(ValueError, match=r"SettingScheduler: 'lr' is 0.1, which has no place 0"):
        SettingScheduler(optimizer, ("lr", 0), Linear())
    with pytest.raises(TypeError, match=r"SettingScheduler: betas must be a number, got \(0.9, 0.999\)"):
        SettingScheduler(optimizer, "betas", Linear())
    assert settings_of(optimizer) == before


def test_a_place_in_a_list():
    optimizer = make_optimizer(cls=optim.Adam)
    optimizer.param_groups[0]["betas"] = [0.5, 0.75]
    scheduler = SettingScheduler(optimizer, ("betas", 0), Linear(start_factor=0.5))
    assert (optimizer.param_groups[0]["betas"], scheduler.base_lrs[0]) == ((0.25, 0.75), 0.5)


@pytest.mark.parametrize("epoch", [-1, math.nan, math.inf])
@pytest.mark.parametrize("cls", [StepLR, CosineAnnealingWarmRestarts])
def test_no_epochs_before_the_first(cls, epoch):
    optimizer = make_optimizer()
    scheduler = cls(optimizer, 3)
    take(scheduler, optimizer, 4)
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match=f"{cls.__name__}.step: epoch must be in"):
        scheduler.step(epoch)
    assert scheduler.state_dict() == before


@pytest.mark.parametrize("metrics", [0.5, np.float32(0.5), np.array([0.5]), mg.tensor([[0.5]]), mg.tensor(0.5)])
def test_metrics_of_one_element(metrics):
    scheduler = ReduceLROnPlateau(make_optimizer())
    scheduler.step(metrics)
    assert scheduler.best == 0.5
    assert type(scheduler.best) is float


@pytest.mark.parametrize("metrics", [None, "0.5", [0.5], np.array([0.5, 0.6])])
def test_metrics_are_a_number(metrics):
    scheduler = ReduceLROnPlateau(make_optimizer())
    before = scheduler.state_dict()
    with pytest.raises(TypeError, match=r"ReduceLROnPlateau.step: metrics must be a number, got"):
        scheduler.step(metrics)
    assert scheduler.state_dict() == before


def fails_at(t, calls=1):
    """A function that fails at step t, so many times."""
    left = [calls]

    def function(now):
        if now == t and left[0]:
            left[0] -= 1
            raise RuntimeError("no value here")
        return 0.9

    return function


@pytest.mark.parametrize(
    "make",
    [
        lambda o, f: LambdaLR(o, f),
        lambda o, f: MultiplicativeLR(o, [abs, abs, f]),
        lambda o, f: ChainedScheduler([ExponentialLR(o, 0.5), LambdaLR(o, f)]),
        lambda o, f: SequentialLR(o, [ExponentialLR(o, 0.5), LambdaLR(o, lambda t: f(t + 4))], [4]),
        lambda o, f: ChainedScheduler([ExponentialLR(o, 0.5), ChainedScheduler([StepLR(o, 2), LambdaLR(o, f)])]),
        lambda o, f: CyclicLR(o, 0.1, 0.5, 3, scale_fn=f, scale_mode="iterations"),
    ],
)
def test_a_step_that_fails_changes_nothing_and_can_be_taken_again(make):
    optimizer, straight = make_optimizer(), make_optimizer()
    scheduler, other = make(optimizer, fails_at(5)), make(straight, fails_at(99))
    take(scheduler, optimizer, 4)
    before = settings_of(optimizer), scheduler.state_dict()
    with pytest.raises(RuntimeError, match="no value here"):
        scheduler.step()
    assert (settings_of(optimizer), scheduler.state_dict()) == before
    take(scheduler, optimizer)
    take(other, straight, 5)
    assert settings_of(optimizer) == settings_of(straight)


NO_FACTORS = [
    (math.nan, ValueError, r"must be in \[0.0, inf\), got nan"),
    (math.inf, ValueError, r"must be in \[0.0, inf\), got inf"),
    (-0.5, ValueError, r"must be in \[0.0, inf\), got -0.5"),
    (np.float64(math.nan), ValueError, r"must be in \[0.0, inf\), got np.float64\(nan\)"),
    (None, TypeError, "must be a number, got None"),
    ("0.5", TypeError, "must be a number, got '0.5'"),
    ([0.5], TypeError, r"must be a number, got \[0.5\]"),
    (0.5j, TypeError, "must be a number, got 0.5j"),
]


@pytest.mark.parametrize(("value", "error", "message"), NO_FACTORS)
@pytest.mark.parametrize("cls", [LambdaLR, MultiplicativeLR])
@pytest.mark.parametrize(
    "within", [lambda scheduler, o: scheduler, lambda scheduler, o: SequentialLR(o, [scheduler], [])]
)
def test_a_function_that_returns_no_factor(value, error, message, cls, within):
    optimizer = make_optimizer()
    scheduler = within(cls(optimizer, [abs, lambda t: value if t == 3 else 0.5, abs]), optimizer)
    take(scheduler, optimizer, 2)
    before = settings_of(optimizer), scheduler.state_dict()
    with pytest.raises(error, match=rf"{cls.__name__}: lr_lambda\(3\) of group 1 {message}"):
        scheduler.step()
    assert (settings_of(optimizer), scheduler.state_dict()) == before


@pytest.mark.parametrize("cls", [Lambda, Multiplicative])
def test_the_function_of_a_schedule(cls):
    for value, error in ((None, TypeError), (math.nan, ValueError)):
        schedule = cls(lambda t, value=value: value if t == 2 else -0.5)
        assert schedule.at(1) == -0.5
        with pytest.raises(error, match=rf"{cls.__name__}: lr_lambda\(2\) must be .*, got {value}"):
            schedule.at(range(4))
        optimizer = make_optimizer()
        scheduler = SettingScheduler(optimizer, "momentum", 0.9 + schedule)
        take(scheduler, optimizer, 1)
        before = settings_of(optimizer), scheduler.state_dict()
        with pytest.raises(error, match=rf"{cls.__name__}: lr_lambda\(2\) must be"):
            scheduler.step()
        assert (settings_of(optimizer), scheduler.state_dict()) == before


def test_an_lr_that_overflows_and_one_below_zero():
    optimizer = make_optimizer()
    scheduler = LambdaLR(optimizer, lambda t: 1e308 if t == 1 else 1.0)
    optimizer.steps_taken += 1  # in place of a step
    before = settings_of(optimizer), scheduler.state_dict()
    with pytest.raises(ValueError, match=r"LambdaLR: lr at step 1 of group 2 must be in \(-inf, inf\), got inf"):
        scheduler.step()
    assert (settings_of(optimizer), scheduler.state_dict()) == before

    optimizer = make_optimizer()
    scheduler = CyclicLR(optimizer, 0.1, 0.2, 2, scale_fn=lambda x: -9.0)
    optimizer.steps_taken += 1  # in place of a step
    before = settings_of(optimizer), scheduler.state_dict()
    with pytest.raises(ValueError, match=r"CyclicLR: lr at step 1 of group 0 must be in \[0.0, inf\), got -0.35"):
        scheduler.step()
    assert (settings_of(optimizer), scheduler.state_dict()) == before


# --- loading

PLANS = [*EXAMPLES, *UNCLOSED]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_state_that_lacks_something(plan):
    optimizer = make_optimizer()
    scheduler = build(lr_scheduler, optimizer, plan)
    take(scheduler, optimizer, 3)
    before, groups = scheduler.state_dict(), settings_of(optimizer)
    for key in before:
        if key in ("_step_count", "_is_initial", "_get_lr_called_within_step", "_last_lr"):
            continue
        state = {k: v for k, v in before.items() if k != key}
        with pytest.raises(ValueError, match=rf"{plan[0]}.load_state_dict: the state has no {key}; it has"):
            scheduler.load_state_dict(state)
        assert (scheduler.state_dict(), settings_of(optimizer)) == (before, groups)


def loaded(plan, **changes):
    """A scheduler, and an attempt to load its own state with changes."""
    optimizer = make_optimizer()
    scheduler = build(lr_scheduler, optimizer, plan)
    return scheduler, {**scheduler.state_dict(), **changes}


REMEMBERING = ["LambdaLR", {"lr_lambda": ["inverse", "wave", "remembering"]}]
CHAIN = ["ChainedScheduler", {"schedulers": [["StepLR", {"step_size": 3}], ["ExponentialLR", {"gamma": 0.9}]]}]
CYCLE = ["CyclicLR", {"base_lr": 0.1, "max_lr": 0.2}]
SETTING = ["SettingScheduler", {"setting": "momentum", "schedule": ["Linear", {}]}]


@pytest.mark.parametrize(
    ("plan", "changes", "error", "message"),
    [
        (["StepLR", {"step_size": 3}], {"gamma": -1}, ValueError, "StepLR: gamma must be in"),
        (["StepLR", {"step_size": 3}], {"last_epoch": "x"}, TypeError, "load_state_dict: last_epoch must be a number"),
        (
            ["StepLR", {"step_size": 3}],
            {"base_lrs": 0.1},
            TypeError,
            "load_state_dict: base_lrs must be a list, got 0.1",
        ),
        (
            ["StepLR", {"step_size": 3}],
            {"base_lrs": [0.1] * 4},
            ValueError,
            "base_lrs has 4 values for 3 parameter groups",
        ),
        (
            ["StepLR", {"step_size": 3}],
            {"_last_lr": [0.1] * 4},
            ValueError,
            "_last_lr has 4 values for 3 parameter groups",
        ),
        (
            ["MultiStepLR", {"milestones": [3]}],
            {"milestones": {"3": 1}},
            TypeError,
            "milestones must be a number, got '3'",
        ),
        (
            ["MultiStepLR", {"milestones": [3]}],
            {"milestones": [[1]]},
            TypeError,
            r"milestones must be a number, got \[1\]",
        ),
        (
            ["StepLR", {"step_size": 3}],
            {"last_epoch": np.nan},
            ValueError,
            "StepLR.load_state_dict: last_epoch must be in",
        ),
        (["StepLR", {"step_size": 3}], {"_last_lr": [np.inf]}, ValueError, r"_last_lr\[0\] must be in .*, got inf"),
        (["StepLR", {"step_size": 3}], {"_is_initial": "a"}, TypeError, "_is_initial must be True or False, got 'a'"),
        (CYCLE, {"max_lrs": 3}, TypeError, "CyclicLR: max_lrs must be a list, got 3"),
        (CYCLE, {"base_momentums": [2] * 3}, ValueError, r"CyclicLR: base_momentums\[0\] must be in .* got 2"),
        (CYCLE, {"scale_mode": "a"}, ValueError, "CyclicLR: scale_mode must be one of 'cycle', 'iterations', got 'a'"),
        (
            ["OneCycleLR", {"max_lr": 1, "total_steps": 9}],
            {"total_steps": "a"},
            TypeError,
            "total_steps must be a number",
        ),
        (
            ["CosineAnnealingWarmRestarts", {"T_0": 3}],
            {"T_cur": -1},
            ValueError,
            r"T_cur must be in \[0.0, inf\), got -1",
        ),
        (["ReduceLROnPlateau", {}], {"best": "a"}, TypeError, "ReduceLROnPlateau: best must be a number, got 'a'"),
        (["ReduceLROnPlateau", {}], {"mode": "least"}, ValueError, "ReduceLROnPlateau: mode must be one of"),
        (REMEMBERING, {"lr_lambdas": [None]}, ValueError, r"lr_lambdas must be a list of 3, got \[None\]"),
        (
            REMEMBERING,
            {"lr_lambdas": [None] * 3},
            ValueError,
            r"lr_lambdas\[2\]: here it is a callable object, .* None",
        ),
        (
            REMEMBERING,
            {"lr_lambdas": [{"a": 1}, None, {}]},
            ValueError,
            r"lr_lambdas\[0\]: here it is a function, which",
        ),
        (CHAIN, {"_schedulers": []}, ValueError, r"_schedulers must be a list of 2, got \[\]"),
        (CHAIN, {"_schedulers": [{}, {}]}, ValueError, "StepLR.load_state_dict: the state has no step_size"),
        (SETTING, {"_setting": "lr"}, ValueError, "SettingScheduler.load_state_dict: a state of 'lr' for 'momentum'"),
        (
            SETTING,
            {"schedule": {"gamma": 1}},
            ValueError,
            "schedule: a schedule with start_factor, .*the state has gamma",
        ),
        (SETTING, {"schedule": None}, ValueError, "schedule: here it is a callable object, saved by its attributes"),
    ],
)
def test_states_that_do_not_fit(plan, changes, error, message):
    scheduler, state = loaded(plan, **changes)
    before, groups = scheduler.state_dict(), settings_of(scheduler.optimizer)
    with pytest.raises(error, match=message):
        scheduler.load_state_dict(state)
    assert (scheduler.state_dict(), settings_of(scheduler.optimizer)) == (before, groups)


def test_the_first_of_two_is_put_back_when_the_second_does_not_fit():
    optimizer = make_optimizer()
    chain = build(lr_scheduler, optimizer, CHAIN)
    state = chain.state_dict()
    state["_schedulers"][0]["last_epoch"] = 7
    del state["_schedulers"][1]["gamma"]
    with pytest.raises(ValueError, match=r"ExponentialLR.load_state_dict: the state has no gamma"):
        chain.load_state_dict(state)
    assert chain._schedulers[0].last_epoch == 0


def test_what_is_no_state():
    for scheduler in (StepLR(make_optimizer(), 3), SettingScheduler(make_optimizer(), "lr", Step(3))):
        with pytest.raises(TypeError, match="load_state_dict: expected a dictionary, got a list"):
            scheduler.load_state_dict([1, 2])


def test_a_loaded_state_writes_no_lr():
    optimizer = make_optimizer()
    scheduler = ExponentialLR(optimizer, 0.5)
    state = scheduler.state_dict()
    take(scheduler, optimizer, 3)
    scheduler.load_state_dict(state)
    assert lrs_of(optimizer) == [lr / 8 for lr in LRS]
