"""torch.optim.lr_scheduler and optim.lr_scheduler side by side: names, values over 200 steps, edits, states, faults."""

import copy
import inspect
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import optim
from optim import lr_scheduler
from tests.optim.lr_scheduler.table import LRS, PLAIN, ROWS, build, lrs_of, make_optimizer, metric_of

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.step|.*epoch parameter:UserWarning"),
]
theirs = torch.optim.lr_scheduler
OF_TORCH = [name for name, row in ROWS.items() if row.torch]
STEPS = 200


def torch_optimizer(lrs=LRS, cls=None, **more):
    more = more or ({} if cls else {"momentum": 0.7})
    return (cls or torch.optim.SGD)([{"params": [torch.zeros(1, dtype=torch.float64)], "lr": lr} for lr in lrs], **more)


def both(plan, cls="SGD", **more):
    """(optimizer, scheduler) here and in torch."""
    ours, its = make_optimizer(cls=getattr(optim, cls), **more), torch_optimizer(cls=getattr(torch.optim, cls), **more)
    return (ours, build(lr_scheduler, ours, plan)), (its, build(theirs, its, plan))


def momentums_of(optimizer):
    return [group["betas"][0] if "betas" in group else group["momentum"] for group in optimizer.param_groups]


def step(ours, its):
    """A step of both; a metric for ReduceLROnPlateau."""
    metrics = metric_of(ours[1])
    ours[0].steps_taken += 1
    ours[1].step(*metrics)
    its[0]._opt_called = True
    its[1].step(*metrics)


RELATIVE, ABSOLUTE = 1e-9, 1e-12  # two cosines in a chain lose four digits where torch's recursion passes the lowest lr


def close(ours, its):
    pairs = zip(ours, its, strict=True)
    return len(ours) == len(its) and all(abs(a - b) <= ABSOLUTE + RELATIVE * abs(b) for a, b in pairs)


def equal(ours, its, where=""):
    assert close(lrs_of(ours[0]), lrs_of(its[0])), where
    assert close(ours[1].get_last_lr(), its[1].get_last_lr()), where
    assert close(momentums_of(ours[0]), momentums_of(its[0])), where


def alike(ours, its):
    """Whether two states have the same keys and values; only numbers may differ, by rounding."""
    if isinstance(its, dict):
        assert ours.keys() == its.keys()
        for key in its.keys() - {"_step_count"}:  # CosineAnnealingWarmRestarts does not count in torch
            alike(ours[key], its[key])
    elif isinstance(its, list | tuple):
        assert len(ours) == len(its)
        for a, b in zip(ours, its, strict=True):
            alike(a, b)
    elif isinstance(its, float):
        assert ours == pytest.approx(its, rel=RELATIVE, abs=ABSOLUTE)
    else:
        assert ours == its


# --- names


def test_every_name_is_here():
    assert set(theirs.__all__) <= set(lr_scheduler.__all__)
    assert set(OF_TORCH) == set(theirs.__all__) - {"LRScheduler"}


@pytest.mark.parametrize("name", theirs.__all__)
def test_names_and_defaults_of_arguments(name):
    ours, its = (
        [(p.name, p.default) for p in inspect.signature(getattr(module, name)).parameters.values()]
        for module in (lr_scheduler, theirs)
    )
    assert ours == its


# --- values

edits = st.dictionaries(st.integers(1, STEPS - 1), st.tuples(st.integers(0, 2), st.floats(0.2, 3)), max_size=3)


def follow(plan, changes=None, cls="SGD", **more):
    ours, its = both(plan, cls, **more)
    for t in range(STEPS):
        equal(ours, its, f"{plan} at {t}")
        if changes and t in changes:
            group, factor = changes[t]
            for optimizer in (ours[0], its[0]):
                optimizer.param_groups[group]["lr"] *= factor
        step(ours, its)
    alike(ours[1].state_dict(), its[1].state_dict())


@pytest.mark.parametrize("name", OF_TORCH)
def test_values_with_edits_from_outside(name):
    @settings(max_examples=25)
    @given(ROWS[name].drawn, edits)
    def check(drawn, changes):
        follow([name, drawn], changes)

    check()


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_values_with_beta1(name):
    @settings(max_examples=15)
    @given(ROWS[name].drawn)
    def check(drawn):
        follow([name, drawn], cls="Adam", betas=(0.8, 0.99))

    check()


@given(st.data())
@settings(max_examples=10)
def test_values_with_one_setting_for_each_group(data):
    three = [data.draw(st.lists(st.floats(low, low + 0.4), min_size=3, max_size=3)) for low in (0.05, 0.5, 0.1, 0.5)]
    names = dict(zip(("base_lr", "max_lr", "base_momentum", "max_momentum"), three, strict=True))
    follow(["CyclicLR", {**names, "step_size_up": data.draw(st.integers(1, 60))}])
    del names["base_lr"]
    follow(["OneCycleLR", {**names, "total_steps": 201}])
    lambdas = data.draw(st.lists(st.sampled_from(PLAIN), min_size=3, max_size=3))
    follow(["LambdaLR", {"lr_lambda": lambdas}])
    follow(["MultiplicativeLR", {"lr_lambda": [{"inverse": "wave"}.get(name, name) for name in lambdas]}])


ALONE = {"CyclicLR", "OneCycleLR", "ReduceLROnPlateau", "SequentialLR", "ChainedScheduler"}
"""CyclicLR and OneCycleLR set the base of those made after them, which is where torch's SequentialLR then starts."""
leaves = st.one_of([st.tuples(st.just(name), ROWS[name].drawn).map(list) for name in OF_TORCH if name not in ALONE])


@st.composite
def sequences(draw, children=leaves):
    schedulers = draw(st.lists(children, min_size=1, max_size=4))
    count = len(schedulers) - 1
    milestones = draw(st.lists(st.integers(1, STEPS), min_size=count, max_size=count, unique=True).map(sorted))
    return ["SequentialLR", {"schedulers": schedulers, "milestones": milestones}]


def chains(children):
    return st.lists(children, min_size=1, max_size=4).map(lambda plans: ["ChainedScheduler", {"schedulers": plans}])


@settings(max_examples=60)
@given(sequences(), edits)
def test_sequences(plan, changes):
    follow(plan, changes)


@settings(max_examples=60)
@given(chains(leaves), edits)
def test_chains(plan, changes):
    follow(plan, changes)


@settings(max_examples=60)
@given(chains(leaves | sequences() | chains(leaves)), edits)
def test_chains_of_sequences_and_chains(plan, changes):
    follow(plan, changes)


def test_thresholds_and_cooldowns():
    @settings(max_examples=100)
    @given(
        st.sampled_from(["min", "max"]),
        st.sampled_from(["rel", "abs"]),
        st.floats(0, 0.5),
        st.integers(0, 3),
        st.integers(0, 3),
        st.lists(st.floats(0, 5) | st.sampled_from([math.nan, math.inf, 0.0, 1.0]), max_size=60),
    )
    def check(mode, threshold_mode, threshold, patience, cooldown, metrics):
        more = {"mode": mode, "threshold_mode": threshold_mode, "threshold": threshold, "patience": patience}
        ours, its = both(["ReduceLROnPlateau", {**more, "cooldown": cooldown, "factor": 0.5, "min_lr": 0.001}])
        for metric in metrics:
            ours[1].step(metric)
            its[1].step(metric)
            equal(ours, its)
            alike(ours[1].state_dict(), its[1].state_dict())

    check()


def test_fractions_of_epochs():
    @settings(max_examples=50)
    @given(
        st.integers(1, 20),
        st.sampled_from([1, 2]),
        st.lists(st.none() | st.integers(0, 8 * 100).map(lambda eighths: eighths / 8), max_size=30),
    )
    def check(T_0, T_mult, epochs):
        ours, its = both(["CosineAnnealingWarmRestarts", {"T_0": T_0, "T_mult": T_mult}])
        for epoch in epochs:
            ours[1].step(epoch)
            its[1].step(epoch)
            # torch leaves T_i where it was after a jump back into the first period with T_mult=1, which is T_0 anyway
            assert (ours[1].T_cur, ours[1].T_i, ours[1].last_epoch) == (its[1].T_cur, its[1].T_i, its[1].last_epoch)
            equal(ours, its)

    check()


@pytest.mark.parametrize("name", [name for name in OF_TORCH if name not in ALONE])
def test_jumps(name):
    @settings(max_examples=20)
    @given(ROWS[name].drawn, st.lists(st.integers(0, 150), min_size=1, max_size=6))
    def check(drawn, epochs):
        ours, its = both([name, drawn])
        for epoch in epochs:
            step(ours, its)
            ours[1].step(epoch)
            its[1].step(epoch)
            equal(ours, its, f"{drawn} {epochs} at {epoch}")

    check()


# --- states


@pytest.mark.parametrize("name", [*OF_TORCH, "chain of sequences"])
@pytest.mark.parametrize("there", [True, False])
def test_states_go_from_one_to_the_other(name, there):
    drawn = chains(leaves | sequences()) if " " in name else ROWS[name].drawn.map(lambda more: [name, more])

    @settings(max_examples=15)
    @given(drawn, st.integers(0, 60))
    def check(plan, at):
        ours, its = both(plan)
        for _ in range(at):
            step(ours, its)
        mine, other = both(plan)
        if there:
            its = other
            its[1].load_state_dict(ours[1].state_dict())
        else:
            ours = mine
            ours[1].load_state_dict(copy.deepcopy(its[1].state_dict()))
        source, target = (ours[0], its[0]) if there else (its[0], ours[0])
        for old, new in zip(source.param_groups, target.param_groups, strict=True):
            new.update({key: value for key, value in old.items() if key != "params" and key in new})
        for _ in range(30):
            equal(ours, its)
            step(ours, its)

    check()


# --- last_epoch


@pytest.mark.parametrize("name", [name for name in OF_TORCH if name not in ALONE])
def test_last_epoch_where_torch_is_right(name):
    # the groups have the lr of the next epoch, which is no milestone, and warm restarts are in their first period
    plan = [name, {**ROWS[name].examples[0], **({"T_0": 50} if "Restarts" in name else {})}]
    ours, its = both(plan)
    for _ in range(7):
        step(ours, its)
    ours, its = (
        (pair[0], build(module, pair[0], plan, last_epoch=6)) for pair, module in ((ours, lr_scheduler), (its, theirs))
    )
    for _ in range(30):
        equal(ours, its)
        assert ours[1].last_epoch == its[1].last_epoch
        step(ours, its)


# --- a scheduler that a user wrote for torch


def users(module):
    class Halving(module.LRScheduler):
        def __init__(self, optimizer, every, last_epoch=-1):
            self.every = every
            super().__init__(optimizer, last_epoch)

        def get_lr(self):
            if self.last_epoch == 0 or self.last_epoch % self.every:
                return [group["lr"] for group in self.optimizer.param_groups]
            return [group["lr"] * 0.5 for group in self.optimizer.param_groups]

    class Seesaw(module.LRScheduler):
        def get_lr(self):
            return [base_lr * (1 + self.last_epoch % 2) for base_lr in self.base_lrs]

    return Halving, Seesaw


def test_user_written_schedulers():
    ours, its = make_optimizer(), torch_optimizer()
    made = []
    for module, optimizer in ((lr_scheduler, ours), (theirs, its)):
        Halving, Seesaw = users(module)
        first = module.SequentialLR(optimizer, [Seesaw(optimizer), Halving(optimizer, 3)], [10])
        made.append((optimizer, module.ChainedScheduler([first, module.ExponentialLR(optimizer, 0.99)])))
    for _ in range(60):
        equal(*made)
        step(*made)
    alike(made[0][1].state_dict(), made[1][1].state_dict())


# --- what is mended: torch does otherwise, still


def path(scheduler, optimizer, steps):
    lrs = []
    for _ in range(steps):
        lrs.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    return lrs


def one():
    return torch_optimizer((1.0,))


def constant_of_no_steps():
    optimizer = one()
    return path(theirs.ConstantLR(optimizer, 0.5, total_iters=0), optimizer, 5)[-1] == 0.5


def line_of_no_steps():
    optimizer = one()
    return path(theirs.LinearLR(optimizer, 0.5, total_iters=0), optimizer, 5)[-1] == 0.5


def polynomial_of_no_steps():
    optimizer = one()
    return path(theirs.PolynomialLR(optimizer, total_iters=0), optimizer, 5)[-1] == 1.0


def constant_zero():
    optimizer = one()
    with pytest.raises(ZeroDivisionError):
        path(theirs.ConstantLR(optimizer, 0.0), optimizer, 9)
    return True


def step_lr_scaled_twice():
    optimizer = torch_optimizer((0.1,))
    optimizer.param_groups[0]["initial_lr"] = 1.0
    return theirs.StepLR(optimizer, 5, last_epoch=4).get_last_lr() == pytest.approx([0.01])


def exponential_keeps_what_it_finds():
    optimizer = one()
    optimizer.param_groups[0]["initial_lr"] = 1.0
    return theirs.ExponentialLR(optimizer, 0.5, last_epoch=4).get_last_lr() == [1.0]


def restarts_by_last_epoch():
    optimizer = one()
    optimizer.param_groups[0]["initial_lr"] = 1.0
    scheduler = theirs.CosineAnnealingWarmRestarts(optimizer, 10, 2, last_epoch=34)
    return scheduler.T_i == 20


def restarts_by_logarithm():
    scheduler = theirs.CosineAnnealingWarmRestarts(one(), 1, 3)
    scheduler.step(121)
    return (scheduler.T_cur, scheduler.T_i) == (81.0, 81)


def one_cycle_past_its_end():
    rising, optimizer = theirs.OneCycleLR(optimizer := one(), 1.0, 20), optimizer
    cos = path(rising, optimizer, 20)
    falling, other = theirs.OneCycleLR(other := one(), 1.0, 20, anneal_strategy="linear"), other
    path(falling, other, 20)
    return optimizer.param_groups[0]["lr"] > cos[-1] and other.param_groups[0]["lr"] < 0


def one_cycle_of_no_way_up():
    with pytest.raises(ZeroDivisionError):
        theirs.OneCycleLR(one(), 1.0, 10, pct_start=0.1)
    return True


def cycle_from_another_base():
    optimizer = one()
    theirs.StepLR(optimizer, 3)
    return theirs.CyclicLR(optimizer, 0.01, 0.05).get_last_lr() == [1.0]


def sequence_from_another_base():
    optimizer = one()
    schedulers = [theirs.LinearLR(optimizer, 0.5), theirs.OneCycleLR(optimizer, 7.0, 10)]
    return theirs.SequentialLR(optimizer, schedulers, [4]).get_last_lr() == [0.5 * 7.0 / 25]


def composite_first():
    optimizer = one()
    inner = theirs.SequentialLR(optimizer, [theirs.ConstantLR(optimizer, 0.5), theirs.StepLR(optimizer, 9)], [3])
    return path(theirs.SequentialLR(optimizer, [inner], []), optimizer, 4) == [0.5, 0.5, 1.0, 1.0]


def chain_first():
    optimizer = one()
    chain = theirs.ChainedScheduler([theirs.ExponentialLR(optimizer, 0.5)])
    return path(theirs.SequentialLR(optimizer, [chain], []), optimizer, 1) == [0.5]


def composite_later():
    optimizer = one()
    chain = theirs.ChainedScheduler([theirs.ExponentialLR(optimizer, 0.5)])
    with pytest.raises(NotImplementedError):
        path(theirs.SequentialLR(optimizer, [theirs.ConstantLR(optimizer), chain], [2]), optimizer, 4)
    return True


def sequence_by_last_epoch():
    optimizer = one()
    schedulers = [theirs.ConstantLR(optimizer, 0.5), theirs.StepLR(optimizer, 9)]
    return theirs.SequentialLR(optimizer, schedulers, [3], last_epoch=7).get_last_lr() == [0.5]


def negative_metrics():
    scheduler = theirs.ReduceLROnPlateau(one(), patience=0)
    for _ in range(9):
        scheduler.step(-100.0)
    return scheduler.num_bad_epochs == 0 and scheduler.get_last_lr() == [1.0]


def built_in_lambdas():
    with pytest.raises(AttributeError):
        theirs.LambdaLR(one(), abs).state_dict()
    return True


def groups_that_were_added():
    optimizer = one()
    scheduler = theirs.ConstantLR(optimizer, 1 / 3, total_iters=2)
    optimizer.add_param_group({"params": [torch.zeros(1)], "lr": 1.0})
    for _ in range(3):
        scheduler.step()
    return optimizer.param_groups[1]["lr"] == pytest.approx(3.0)


def functions_of_anything():
    for value in (-1.0, math.nan, math.inf):
        optimizer = one()
        theirs.LambdaLR(optimizer, lambda t, value=value: value)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(value, nan_ok=True)
    return True


FAULTS = [
    constant_of_no_steps,
    line_of_no_steps,
    polynomial_of_no_steps,
    constant_zero,
    step_lr_scaled_twice,
    exponential_keeps_what_it_finds,
    restarts_by_last_epoch,
    restarts_by_logarithm,
    one_cycle_past_its_end,
    one_cycle_of_no_way_up,
    cycle_from_another_base,
    sequence_from_another_base,
    composite_first,
    chain_first,
    composite_later,
    sequence_by_last_epoch,
    negative_metrics,
    built_in_lambdas,
    functions_of_anything,
    groups_that_were_added,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_torch_still_does_otherwise(fault):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fault()


def test_functions_of_the_kinds_of_numbers_that_torch_takes():
    for value in (True, 2, np.float32(0.5), np.array(0.5), np.True_):
        lrs = []
        for module, make in ((lr_scheduler, make_optimizer), (theirs, torch_optimizer)):
            optimizer = make((1.0,))
            scheduler = module.LambdaLR(optimizer, lambda t, value=value: value)
            module.MultiplicativeLR(optimizer, lambda t, value=value: value).step()
            lrs.append([scheduler.get_last_lr(), optimizer.param_groups[0]["lr"]])
        assert lrs[0] == lrs[1]


def test_torch_too_moves_the_momentum_of_a_plain_sgd():
    for module, make in ((lr_scheduler, make_optimizer), (theirs, torch_optimizer)):
        cls = optim.SGD if module is lr_scheduler else torch.optim.SGD
        optimizer = make((1.0,), cls, momentum=0)
        module.OneCycleLR(optimizer, 1.0, 20)
        assert optimizer.param_groups[0]["momentum"] == 0.95


def test_a_torch_checkpoint_of_both():
    """The optimizer's and the scheduler's states of torch, loaded here, and a step taken by both."""
    q = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    p = mg.tensor([1.0], dtype="float64", requires_grad=True)
    its, ours = torch.optim.Adam([q], lr=0.1), optim.Adam([p], lr=0.1)
    pair = theirs.CosineAnnealingLR(its, 10), lr_scheduler.CosineAnnealingLR(ours, 10)
    for _ in range(4):
        q.grad = torch.ones_like(q)
        its.step()
        pair[0].step()
    ours.load_state_dict(its.state_dict())
    pair[1].load_state_dict(pair[0].state_dict())
    p.data[...] = q.detach().numpy()
    for _ in range(5):
        q.grad, p.grad = torch.ones_like(q), mg.tensor([1.0], dtype="float64")
        for optimizer, scheduler in zip((its, ours), pair, strict=True):
            optimizer.step()
            scheduler.step()
    assert p.item() == pytest.approx(q.item(), rel=1e-6)
    assert ours.param_groups[0]["lr"] == pytest.approx(its.param_groups[0]["lr"], rel=1e-12)
