"""Schedulers by their closed forms, by torch's recursion, resumed anywhere, wrapped, on groups that are added."""

import copy
import json
import math
import pickle
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import optim
from optim import lr_scheduler
from optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    Linear,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    SettingScheduler,
    Step,
    StepLR,
)
from optim.lr_scheduler.base import Chainable

from .table import (
    COSINE,
    EXAMPLES,
    LEAVES,
    LRS,
    NESTED,
    ROWS,
    SEQUENCE,
    STEP,
    UNCLOSED,
    build,
    closed_form,
    lrs_of,
    make_optimizer,
    settings_of,
    take,
)

every_leaf = pytest.mark.parametrize("plan", LEAVES, ids=str)
CHAINABLE = [plan for plan in LEAVES if issubclass(getattr(lr_scheduler, plan[0]), Chainable)]
STEPS = 200


def limit(name):
    """How many steps to take: OneCycleLR has an end."""
    return 50 if name == "OneCycleLR" else STEPS


def start(plan, **more):
    """An optimizer and the scheduler of a plan."""
    optimizer = make_optimizer()
    return optimizer, build(lr_scheduler, optimizer, plan, **more)


# --- closed forms


def follows_its_closed_form(plan, steps):
    optimizer, scheduler = start(plan)
    for t in range(steps):
        expected = [closed_form(plan, t, base) for base in LRS]
        np.testing.assert_allclose(lrs_of(optimizer), expected, rtol=3e-12, atol=1e-13, err_msg=f"{plan} at {t}")
        if "ChainedScheduler" in str(plan) and min(expected) < 1e-12:
            return  # what was multiplied to zero is forgotten
        assert scheduler.get_last_lr() == lrs_of(optimizer)
        take(scheduler, optimizer)


@pytest.mark.parametrize("plan", [*EXAMPLES, *NESTED], ids=str)
def test_follows_its_closed_form(plan):
    follows_its_closed_form(plan, limit(plan[0]))


@pytest.mark.parametrize("name", ROWS)
def test_follows_its_closed_form_with_drawn_settings(name):
    @settings(max_examples=10)
    @given(ROWS[name].drawn)
    def check(drawn):
        follows_its_closed_form([name, drawn], STEPS)

    check()


@pytest.mark.parametrize("plan", CHAINABLE, ids=str)
def test_sets_the_bits_of_its_schedule(plan):
    optimizer, scheduler = start(plan)
    for t in range(STEPS):
        assert lrs_of(optimizer) == [scheduler.at(t, base) for base in LRS]
        take(scheduler, optimizer)


@pytest.mark.parametrize("plan", CHAINABLE, ids=str)
def test_the_recursion_is_the_closed_form(plan):
    # one last bit away from the closed form, lr goes by the recursion from there on
    optimizer, scheduler = start(plan)
    for group in optimizer.param_groups:
        group["lr"] = math.nextafter(group["lr"], math.inf)
    for t in range(STEPS):
        expected = [closed_form(plan, t, base) for base in LRS]
        np.testing.assert_allclose(lrs_of(optimizer), expected, rtol=3e-12, atol=1e-13)
        take(scheduler, optimizer)


@pytest.mark.parametrize("plan", CHAINABLE, ids=str)
@pytest.mark.parametrize("edited_at", [0, 4])
def test_an_edited_lr_is_scaled(plan, edited_at):
    optimizer, scheduler = start(plan)
    take(scheduler, optimizer, edited_at)
    eta_min, f = scheduler.eta_min, scheduler.f
    edited = [0.5 * lr + 0.3 for lr in lrs_of(optimizer)]
    for group, lr in zip(optimizer.param_groups, edited, strict=True):
        group["lr"] = lr
    for t in range(edited_at + 1, 60):
        take(scheduler, optimizer)
        if f(t - 1) == 0:
            return
        expected = [eta_min + (lr - eta_min) * f(t) / f(edited_at) for lr in edited]
        if f(edited_at):
            np.testing.assert_allclose(lrs_of(optimizer), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    "plan",
    [plan for plan in LEAVES if plan not in CHAINABLE and plan[0] != "MultiplicativeLR"],
    ids=str,
)
def test_what_is_set_anew_drops_an_edit(plan):
    optimizer, scheduler = start(plan)
    untouched, other = start(plan)
    take(scheduler, optimizer, 5)
    take(other, untouched, 5)
    optimizer.param_groups[1]["lr"] = 77.0
    take(scheduler, optimizer)
    take(other, untouched)
    assert lrs_of(optimizer) == lrs_of(untouched)


def test_a_chain_multiplies():
    optimizer = make_optimizer((1.0,))
    chain = ChainedScheduler([ConstantLR(optimizer, 0.1, 20), ExponentialLR(optimizer, 0.9)])
    take(chain, optimizer, 19)
    assert lrs_of(optimizer) == pytest.approx([0.1 * 0.9**19])
    take(chain, optimizer)
    assert lrs_of(optimizer) == pytest.approx([0.9**20])


# --- jumps and last_epoch


@pytest.mark.parametrize("plan", [plan for plan in LEAVES if plan[0] != "MultiplicativeLR"], ids=str)
@pytest.mark.parametrize("epoch", [0, 1, 12, 37])
def test_step_with_an_epoch_jumps(plan, epoch):
    optimizer, scheduler = start(plan)
    take(scheduler, optimizer, 3)
    scheduler.step(epoch)
    assert lrs_of(optimizer) == pytest.approx([closed_form(plan, epoch, base) for base in LRS], rel=1e-12)
    assert scheduler.last_epoch == epoch
    take(scheduler, optimizer)
    assert lrs_of(optimizer) == pytest.approx([closed_form(plan, epoch + 1, base) for base in LRS], rel=1e-12)


@every_leaf
@pytest.mark.parametrize("last_epoch", [0, 3, 11, 34])
def test_last_epoch_continues(plan, last_epoch):
    # 11 and 34: the next epoch is a milestone of some, and torch's CosineAnnealingWarmRestarts gets T_i wrong at 34
    straight, scheduler = start(plan)
    take(scheduler, straight, last_epoch + 1)
    optimizer = make_optimizer()
    optimizer.load_state_dict(straight.state_dict())
    resumed = build(lr_scheduler, optimizer, plan, last_epoch=last_epoch)
    for _ in range(14):
        assert resumed.last_epoch == scheduler.last_epoch
        np.testing.assert_allclose(lrs_of(optimizer), lrs_of(straight), rtol=1e-12)
        assert settings_of(optimizer)[0].keys() == settings_of(straight)[0].keys()
        take(scheduler, straight)
        take(resumed, optimizer)


def test_last_epoch_with_the_initial_lr_alone():
    group = {"params": [mg.tensor([1.0], requires_grad=True)], "initial_lr": 0.1}
    optimizer = optim.SGD([group], lr=0.1)
    ExponentialLR(optimizer, 0.5, last_epoch=2)
    assert lrs_of(optimizer) == [0.0125]


@pytest.mark.parametrize("last_epoch", [0, 3, 5, 12, 18, 30])
def test_last_epoch_finds_the_scheduler_whose_turn_it_is(last_epoch):
    straight, scheduler = start(SEQUENCE)
    take(scheduler, straight, last_epoch + 1)
    optimizer, resumed = start(SEQUENCE, last_epoch=last_epoch)
    for _ in range(25):
        assert (resumed.last_epoch, lrs_of(optimizer)) == (scheduler.last_epoch, pytest.approx(lrs_of(straight)))
        take(scheduler, straight)
        take(resumed, optimizer)


@given(T_0=st.integers(1, 5), T_mult=st.integers(1, 4), n=st.integers(0, 8), i=st.integers(0, 7))
def test_every_restart_is_met(T_0, T_mult, n, i):
    start_of_period = sum(T_0 * T_mult**k for k in range(n))
    optimizer = make_optimizer()
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0, T_mult)
    optimizer.steps_taken += 1
    scheduler.step(start_of_period + i / 8)
    assert (scheduler.T_cur, scheduler.T_i) == (i / 8, T_0 * T_mult**n)
    assert scheduler.last_epoch == start_of_period
    assert lrs_of(optimizer) == pytest.approx([lr * (1 + math.cos(math.pi * i / 8 / scheduler.T_i)) / 2 for lr in LRS])


def test_a_fraction_of_an_epoch_stays():
    optimizer = make_optimizer()
    scheduler = CosineAnnealingWarmRestarts(optimizer, 5)
    optimizer.steps_taken += 1
    scheduler.step(3.5)
    take(scheduler, optimizer)
    assert (scheduler.last_epoch, scheduler.T_cur) == (4, 4.5)
    take(scheduler, optimizer)
    assert (scheduler.last_epoch, scheduler.T_cur) == (5, 0.5)


# --- what differs from torch


def test_a_constant_of_no_steps_scales_nothing():
    optimizer = make_optimizer()
    ConstantLR(optimizer, 0.5, total_iters=0)
    assert lrs_of(optimizer) == list(LRS)


def test_a_constant_zero_ends_at_the_base():
    optimizer = make_optimizer()
    scheduler = ConstantLR(optimizer, 0.0, total_iters=2)
    assert lrs_of(optimizer) == [0.0] * 3
    take(scheduler, optimizer, 2)
    assert lrs_of(optimizer) == list(LRS)


def test_a_line_of_no_steps_is_at_its_end():
    optimizer = make_optimizer()
    LinearLR(optimizer, 0.1, 0.5, total_iters=0)
    assert lrs_of(optimizer) == [0.5 * lr for lr in LRS]


def test_a_polynomial_of_no_steps_is_at_its_end():
    optimizer = make_optimizer()
    PolynomialLR(optimizer, total_iters=0)
    assert lrs_of(optimizer) == [0.0] * 3


@pytest.mark.parametrize("anneal_strategy", ["cos", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle_stays_at_its_end_for_one_step_and_then_raises(anneal_strategy, three_phase):
    optimizer = make_optimizer()
    scheduler = OneCycleLR(optimizer, 0.1, 20, anneal_strategy=anneal_strategy, three_phase=three_phase)
    take(scheduler, optimizer, 20)
    assert lrs_of(optimizer) == [0.1 / 25 / 1e4] * 3
    before = scheduler.state_dict(), settings_of(optimizer)
    with pytest.raises(ValueError, match="OneCycleLR: step 21 of a schedule of 20 steps"):
        scheduler.step()
    assert (scheduler.state_dict(), settings_of(optimizer)) == before


def test_one_cycle_without_a_way_up_is_at_its_top():
    optimizer = make_optimizer()
    OneCycleLR(optimizer, 0.1, 10, pct_start=0.1)
    assert lrs_of(optimizer) == [0.1] * 3


def test_a_cycle_starts_at_its_base_whatever_the_initial_lr():
    optimizer = make_optimizer()
    StepLR(optimizer, 3)
    cycle = CyclicLR(optimizer, 0.01, 0.05)
    assert lrs_of(optimizer) == cycle.base_lrs == [0.01] * 3
    assert ExponentialLR(optimizer, 0.9).base_lrs == list(LRS)  # those of other schedulers stay the groups' own


@pytest.mark.parametrize("turn", [1, -1])
def test_a_group_that_is_added_joins_the_cycle_whoever_steps_first(turn):
    optimizer = make_optimizer((0.1,))
    chain = ChainedScheduler([StepLR(optimizer, 3), CyclicLR(optimizer, 0.01, 0.05, 4)][::turn])
    add_group(optimizer, lr=0.2)
    take(chain, optimizer)
    first, added = lrs_of(optimizer)
    assert first == added == pytest.approx(0.02)


def test_the_first_of_a_sequence_starts_from_its_own_base():
    optimizer = make_optimizer()
    warmup = LinearLR(optimizer, 0.5, total_iters=4)
    SequentialLR(optimizer, [warmup, OneCycleLR(optimizer, 7.0, 10)], [4])
    assert lrs_of(optimizer) == [0.5 * lr for lr in LRS]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("best", [100.0, -100.0, 0.0])
def test_a_plateau_of_any_sign_is_one(mode, best):
    optimizer = make_optimizer()
    scheduler = ReduceLROnPlateau(optimizer, mode, patience=1, threshold=0.1)
    worse = 1 if mode == "min" else -1
    for metric in (best, best, best + worse, best - 9 * worse * bool(best)):
        scheduler.step(metric)
    assert lrs_of(optimizer) == pytest.approx([0.1 * lr for lr in LRS])
    scheduler.step(best - 11 * worse)
    assert scheduler.best == best - 11 * worse


@pytest.mark.parametrize("threshold", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("first", [3.0, -3.0, 0.0])
def test_the_first_metric_is_the_best_so_far(threshold, mode, first):
    scheduler = ReduceLROnPlateau(make_optimizer(), mode, threshold=threshold)
    scheduler.step(first)
    assert (scheduler.best, scheduler.num_bad_epochs) == (first, 0)


def test_a_nan_is_no_improvement():
    scheduler = ReduceLROnPlateau(make_optimizer())
    scheduler.step(math.nan)
    scheduler.step(2.0)
    scheduler.step(math.nan)
    assert (scheduler.best, scheduler.num_bad_epochs) == (2.0, 1)


def test_a_plateau_takes_arrays_and_tensors():
    scheduler = ReduceLROnPlateau(make_optimizer(), threshold_mode="abs", threshold=0.5)
    for metric in (np.float32(3.0), np.array(2.75), mg.tensor(2.0, requires_grad=True), 1):
        scheduler.step(metric)
    assert (scheduler.best, scheduler.num_bad_epochs, scheduler.last_epoch) == (1.0, 0, 4)


def test_a_reduction_below_eps_is_left_out():
    optimizer = make_optimizer((1.0, 1e-9))
    scheduler = ReduceLROnPlateau(optimizer, patience=0)
    scheduler.step(1.0)
    scheduler.step(1.0)
    assert lrs_of(optimizer) == [0.1, 1e-9]


# --- resuming


def plain(value):
    """Whether all of a state is plain Python."""
    if isinstance(value, dict):
        return type(value) in (dict, Counter) and all(type(k) in (str, int) and plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return type(value) in (bool, int, float, str, type(None))


def resumes_exactly(plan, steps, scheduler_first, edit):
    optimizer, scheduler = start(plan)
    states, path = [], []
    for t in range(steps):
        if edit and t == 5:
            optimizer.param_groups[1]["lr"] *= 0.3
        states.append((scheduler.state_dict(), optimizer.state_dict()))
        path.append((settings_of(optimizer), scheduler.get_last_lr()))
        take(scheduler, optimizer)
    end = scheduler.state_dict()
    for k, (of_scheduler, of_optimizer) in enumerate(states):
        assert plain(of_scheduler)
        optimizer, scheduler = start(plan)
        if scheduler_first:
            scheduler.load_state_dict(of_scheduler)
            optimizer.load_state_dict(of_optimizer)
        else:
            optimizer.load_state_dict(of_optimizer)
            scheduler.load_state_dict(of_scheduler)
        for t in range(k, steps):
            if edit and t == 5 > k:
                optimizer.param_groups[1]["lr"] *= 0.3
            assert (settings_of(optimizer), scheduler.get_last_lr()) == path[t], f"{plan}: saved at {k}, at {t}"
            take(scheduler, optimizer)
        assert scheduler.state_dict() == end


@pytest.mark.parametrize("plan", [*EXAMPLES, *NESTED, *UNCLOSED], ids=str)
@pytest.mark.parametrize("edit", [False, True])
def test_saved_and_loaded_at_every_step(plan, edit):
    resumes_exactly(plan, 50, scheduler_first=edit, edit=edit)


def test_a_state_is_a_copy():
    _, scheduler = start(["MultiStepLR", {"milestones": [3, 5]}])
    state = scheduler.state_dict()
    state["base_lrs"][0] = state["milestones"][3] = 99
    assert (scheduler.base_lrs, scheduler.milestones) == ([*LRS], Counter([3, 5]))
    scheduler.load_state_dict(state)
    state["base_lrs"][0] = state["milestones"][3] = 7
    assert (scheduler.base_lrs[0], scheduler.milestones[3]) == (99, 99)
    _, scheduler = start(["OneCycleLR", {"max_lr": 0.1, "total_steps": 60}])
    state = scheduler.state_dict()
    scheduler.load_state_dict(state)
    state["_schedule_phases"][0]["end_step"] = 7
    assert scheduler.state_dict()["_schedule_phases"] != state["_schedule_phases"]


def test_what_a_checkpoint_has_of_a_counter():
    _, scheduler = start(["MultiStepLR", {"milestones": [3, 5, 5]}])
    scheduler.load_state_dict({**scheduler.state_dict(), "milestones": {4: 1, 6: 2}})
    assert scheduler.milestones == Counter([4, 6, 6])
    assert type(scheduler.milestones) is Counter


def test_loaded_settings_replace_ones_own():
    _, scheduler = start(["StepLR", {"step_size": 3}])
    _, other = start(["StepLR", {"step_size": 7, "gamma": 0.5}])
    scheduler.load_state_dict(other.state_dict())
    assert (scheduler.step_size, scheduler.gamma) == (7, 0.5)


def test_json_without_its_strings():
    _, scheduler = start(["OneCycleLR", {"max_lr": 0.1, "total_steps": 60}])
    state = scheduler.state_dict()
    assert json.loads(json.dumps(state)) == state


def test_copies_are_independent():
    optimizer, scheduler = start(["ChainedScheduler", {"schedulers": [STEP, COSINE]}])
    for copied in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
        other, its = copied((optimizer, scheduler))
        assert its.optimizer is other
        take(its, other, 9)
        assert lrs_of(optimizer) == list(LRS)


# --- wrapping


@pytest.mark.parametrize("plan", [*LEAVES, *[p for p in UNCLOSED if p[0] != "ReduceLROnPlateau"], *NESTED], ids=str)
@pytest.mark.parametrize("wraps", ["C", "S", "CS", "SC", "SS", "SCS"])
def test_wrapping_changes_nothing(plan, wraps):
    wrapped = plan
    for wrap in wraps:
        more = {"schedulers": [wrapped]}
        wrapped = ["ChainedScheduler", more] if wrap == "C" else ["SequentialLR", {**more, "milestones": []}]
    if "remembering" in str(plan):  # how often it is called shows
        return
    optimizer, scheduler = start(plan)
    other, outer = start(wrapped)
    for t in range(50):
        assert settings_of(other) == settings_of(optimizer)
        if t in (4, 20):
            for each in (optimizer, other):
                each.param_groups[2]["lr"] *= 1.7
        take(scheduler, optimizer)
        take(outer, other)
    if plan[0] != "SettingScheduler":
        assert outer.get_last_lr() == lrs_of(optimizer)


# --- groups that are added


def add_group(optimizer, **settings):
    optimizer.add_param_group({"params": [mg.tensor([2.0], dtype="float64", requires_grad=True)], **settings})


@pytest.mark.parametrize("plan", [plan for plan in LEAVES if plan[0] != "MultiplicativeLR"], ids=str)
@pytest.mark.parametrize("late", [1, 8])
def test_a_group_that_is_added_joins(plan, late):
    optimizer, scheduler = start(plan)
    take(scheduler, optimizer, late - 1)
    add_group(optimizer, lr=0.7)
    for t in range(late, 40):
        take(scheduler, optimizer)
        expected = [closed_form(plan, t, base) for base in (*LRS, 0.7)]
        np.testing.assert_allclose(lrs_of(optimizer), expected, rtol=1e-12, atol=1e-13)
        assert len({group.get("momentum") for group in optimizer.param_groups}) == 1
    state, saved = scheduler.state_dict(), optimizer.state_dict()
    fresh = make_optimizer()
    again = build(lr_scheduler, fresh, plan)
    add_group(fresh, lr=0.7)
    again.load_state_dict(state)
    fresh.load_state_dict(saved)
    for _ in range(9):
        take(scheduler, optimizer)
        take(again, fresh)
        assert settings_of(fresh) == settings_of(optimizer)


def test_a_group_that_is_added_joins_a_product_of_factors():
    optimizer, scheduler = start(["MultiplicativeLR", {"lr_lambda": "steps"}])
    take(scheduler, optimizer, 9)
    add_group(optimizer, lr=0.7)
    take(scheduler, optimizer)  # to 10, where the factor is 1/2
    assert lrs_of(optimizer)[-1] == 0.35


def test_a_group_that_is_added_joins_a_chain():
    optimizer = make_optimizer((1.0,))
    chain = ChainedScheduler([StepLR(optimizer, 4, 0.5), ExponentialLR(optimizer, 0.9)])
    take(chain, optimizer, 5)
    add_group(optimizer, lr=2.0)
    take(chain, optimizer)
    first, added = lrs_of(optimizer)
    assert added == pytest.approx(2 * first)


def test_a_group_that_is_added_is_reduced_too():
    optimizer = make_optimizer((1.0,))
    scheduler = ReduceLROnPlateau(optimizer, patience=0)
    scheduler.step(1.0)
    add_group(optimizer, lr=2.0)
    scheduler.step(1.0)
    assert lrs_of(optimizer) == [0.1, 0.2]


LISTS = {
    "LambdaLR": {"lr_lambda": ["inverse", "wave", "steps"]},
    "MultiplicativeLR": {"lr_lambda": ["inverse", "wave", "steps"]},
    "CyclicLR": {"base_lr": 0.1, "max_lr": [0.5, 1.0, 2.0]},
    "OneCycleLR": {"max_lr": [0.5, 1.0, 2.0], "total_steps": 60},
    "ReduceLROnPlateau": {"min_lr": [0.5, 1.0, 2.0], "patience": 0},
}


@pytest.mark.parametrize("name", LISTS)
def test_a_group_that_is_added_needs_what_the_others_were_given(name):
    optimizer, scheduler = start([name, LISTS[name]])
    take(scheduler, optimizer, 3)
    add_group(optimizer, lr=0.7)
    before = scheduler.state_dict(), settings_of(optimizer)
    with pytest.raises(ValueError, match=f"{name}: .* was given for each group, and a parameter group was added"):
        take(scheduler, optimizer, 9)  # ReduceLROnPlateau says so when it reduces
    if name != "ReduceLROnPlateau":
        assert (scheduler.state_dict(), settings_of(optimizer)) == before


def test_a_group_that_is_added_brings_its_own():
    optimizer, scheduler = start(["OneCycleLR", LISTS["OneCycleLR"]])
    add_group(optimizer, max_lr=4.0, initial_lr=0.16, min_lr=0.016)
    take(scheduler, optimizer)
    assert lrs_of(optimizer)[-1] == pytest.approx(2 * lrs_of(optimizer)[-2])


# --- other settings


def test_any_setting():
    optimizer = make_optimizer(cls=optim.AdamW, weight_decay=0.1)
    schedulers = [
        SettingScheduler(optimizer, "weight_decay", Linear(1.0, 0.0, total_iters=4)),
        SettingScheduler(optimizer, ("betas", 0), 0.5 + 0.5 * Step(2, 0.5)),
        SettingScheduler(optimizer, ("betas", -1), Step(2, 0.5) * 0.9),
    ]
    chain = ChainedScheduler(schedulers)
    take(chain, optimizer, 2)
    group = optimizer.param_groups[1]
    assert group["weight_decay"] == 0.05
    assert group["betas"] == pytest.approx((0.5 + 0.5 * 0.9 * 0.5, 0.999 * 0.5 * 0.9))
    assert (group["initial_weight_decay"], group["initial_betas"]) == (0.1, (0.9, 0.999))
    assert [s.get_last_lr()[0] for s in schedulers] == [0.05, *group["betas"]]
    assert group["lr"] == LRS[1]


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_momentum_or_beta1_runs_against_the_lr(name):
    arguments = {"CyclicLR": (0.1, 0.5, 5), "OneCycleLR": (0.5, 20)}[name]
    for optimizer in (make_optimizer(), make_optimizer(cls=optim.Adam), make_optimizer(cls=optim.SGD, momentum=0.0)):
        scheduler = getattr(lr_scheduler, name)(optimizer, *arguments, base_momentum=0.6, max_momentum=0.8)
        for _ in range(18):
            take(scheduler, optimizer)
            group = optimizer.param_groups[0]
            momentum = group["betas"][0] if "betas" in group else group["momentum"]
            low = 0.1 if name == "CyclicLR" or scheduler.last_epoch <= 5 else 0.5 / 25 / 1e4
            low = 0.02 if name == "OneCycleLR" and scheduler.last_epoch <= 5 else low
            assert momentum == pytest.approx(0.8 - 0.2 * (group["lr"] - low) / (0.5 - low))
            assert group.get("betas", (0, 0.999))[1] == 0.999
            assert (group["base_momentum"], group["max_momentum"]) == (0.6, 0.8)


# --- torch-style subclasses


class Halving(LRScheduler):
    """As a user writes it for torch: it reads the groups and multiplies."""

    def __init__(self, optimizer, every, last_epoch=-1):
        self.every = every
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch == 0 or self.last_epoch % self.every:
            return [group["lr"] for group in self.optimizer.param_groups]
        return [group["lr"] * 0.5 for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self):
        return [base_lr * 0.5 ** (self.last_epoch // self.every) for base_lr in self.base_lrs]


class Restarting(LRScheduler):
    """As a user writes it who overrides `step`, with a counter of its own."""

    def __init__(self, optimizer, period, last_epoch=-1):
        self.period, self.position = period, -1
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [np.float64(base_lr) / (1 + self.position) for base_lr in self.base_lrs]

    def step(self, epoch=None):
        self.position = (self.position + 1) % self.period
        super().step(epoch)


def test_a_subclass_in_torchs_style():
    optimizer = make_optimizer()
    scheduler = ChainedScheduler([Halving(optimizer, 3), ExponentialLR(optimizer, 0.9)])
    take(scheduler, optimizer, 7)
    assert lrs_of(optimizer) == pytest.approx([lr * 0.25 * 0.9**7 for lr in LRS])
    optimizer = make_optimizer()
    sequence = SequentialLR(optimizer, [Restarting(optimizer, 4), Halving(optimizer, 2)], [5])
    path = []
    for _ in range(9):
        path.append(optimizer.param_groups[0]["lr"] / LRS[0])
        take(sequence, optimizer)
    assert path == pytest.approx([1 / 2, 1 / 3, 1 / 4, 1, 1 / 2, 1, 1, 1 / 2, 1 / 2])
    assert all(type(lr) is float for lr in lrs_of(optimizer))


def test_a_subclass_resumes():
    optimizer = make_optimizer()
    scheduler = Restarting(optimizer, 4)
    take(scheduler, optimizer, 6)
    fresh = make_optimizer()
    again = Restarting(fresh, 4)
    again.load_state_dict(scheduler.state_dict())
    fresh.load_state_dict(optimizer.state_dict())
    take(scheduler, optimizer)
    take(again, fresh)
    assert settings_of(fresh) == settings_of(optimizer)
    assert Halving(optimizer, 3, last_epoch=7).get_last_lr() == [lr * 0.25 for lr in LRS]


# --- the order of calls


def test_a_scheduler_that_steps_first_warns_once():
    _, scheduler = start(["StepLR", {"step_size": 3}])
    with pytest.warns(UserWarning, match="was called before optimizer.step"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()


def test_the_right_order_does_not_warn():
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1)
    step = optimizer.step
    scheduler = StepLR(optimizer, 3)
    assert optimizer.step == step, "nothing is patched"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            p.grad = mg.tensor([1.0])
            optimizer.step()
            scheduler.step()
    with pytest.warns(UserWarning, match="was called before"):
        StepLR(optimizer, 3).step()  # the steps before it was made do not count


def test_reading_get_lr_warns():
    _, scheduler = start(STEP)
    with pytest.warns(UserWarning, match="call get_last_lr"):
        scheduler.get_lr()


def test_the_last_lrs_are_a_copy():
    _, scheduler = start(STEP)
    scheduler.get_last_lr()[0] = 7
    assert scheduler.get_last_lr() == list(LRS)


def test_the_second_scheduler_inherits_the_base():
    optimizer = make_optimizer()
    ConstantLR(optimizer, 0.5)
    assert ExponentialLR(optimizer, 0.9).base_lrs == list(LRS)
    assert lrs_of(optimizer) == [0.5 * lr for lr in LRS]


def test_a_schedule_is_a_function_for_lambda_lr():
    optimizer = make_optimizer()
    scheduler = LambdaLR(optimizer, Linear(0.5, total_iters=4).then(Step(3), at=4))
    take(scheduler, optimizer, 7)
    assert lrs_of(optimizer) == pytest.approx([0.1 * lr for lr in LRS])


def test_settings_may_be_changed_and_are_checked():
    optimizer = make_optimizer()
    scheduler = CosineAnnealingLR(optimizer, 10)
    scheduler.T_max = 20
    take(scheduler, optimizer, 20)
    assert lrs_of(optimizer) == pytest.approx([0.0] * 3, abs=1e-15)
    with pytest.raises(ValueError, match="CosineAnnealingLR: T_max must be in"):
        scheduler.T_max = -1
    assert scheduler.T_max == 20
    assert repr(MultiStepLR(optimizer, [3])) == "MultiStepLR(milestones=Counter({3: 1}), gamma=0.1)"
