"""What a setting can't be is refused by every algorithm, by name and value, at every door, and nothing has changed."""

import inspect
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from optim.second_order import SecondOrderOptimizer

from .table import ALGORITHMS

# --- what is no setting: (value, the part of it that the message must show)

NOT_A_NUMBER = [
    None, "0.1", b"1", True, False, 1j, [0.1], (0.1,), {"a": 0.1}, {0.1}, math.sqrt, np.True_, np.complex128(0.1),
    np.array("0.1"), np.array(0.1j), np.array(True), np.ones(1), np.ones(2), np.empty(0), mg.tensor([0.1]),
    mg.tensor([True]),
]  # fmt: skip


def numbers(*values):
    """All that is no number, NaN, and these."""
    return [(value, value) for value in (*values, math.nan, np.float32(math.nan), np.array(math.nan), *NOT_A_NUMBER)]


def but(value, cases):
    """The cases without this one."""
    return [case for case in cases if case[0] is not value]


def each(values):
    return [(value, value) for value in values]


def members(good, *cases):
    """Of a tuple whose default is `good`: what has another length or type, and each of the cases in its place."""
    wrong = [None, 0.9, "ab", True, 1j, {*good}, dict.fromkeys(good), np.array(good, float), (), good[:-1], 2 * good]
    return each(wrong) + [
        ((*good[:i], value, *good[i + 1 :]), shown) for i, bad in enumerate(cases) for value, shown in bad
    ]


NONNEGATIVE = numbers(-1e-300, -1.0, -math.inf, math.inf, -1, np.float64(-1.0), np.array(-1.0), mg.tensor(-1.0))
POSITIVE = [*each((0, 0.0, -0.0)), *NONNEGATIVE]
FINITE = numbers(-math.inf, math.inf)
FRACTION = numbers(-1e-300, -1.0, 1, 1.0, 1.5, -math.inf, math.inf)
UNIT = numbers(-1e-300, 1 + 2.0**-52, -math.inf, math.inf)
WHOLE = numbers(-1, 0.5, 1.5, -math.inf, math.inf)
FROM_ONE = [*each((0, 0.0)), *WHOLE]
FLAG = each([None, "yes", "", 2, -1, 0.0, 1.0, math.nan, 1j, (), [True], np.ones(1), np.array(True), mg.tensor([True])])
NAME = each(["no name", "", b"original", 0, 1.5, True, math.nan, (), ["original"], np.ones(2), np.array(["original"])])
BETAS = members((0.9, 0.999), FRACTION, FRACTION)

CASES = {
    "lr": NONNEGATIVE, "weight_decay": NONNEGATIVE, "eps": NONNEGATIVE, "momentum": NONNEGATIVE, "betas": BETAS,
    ("SparseAdam", "eps"): POSITIVE,
    ("Adafactor", "eps"): members((1e-30, 1e-3), but(None, NONNEGATIVE), NONNEGATIVE),
    ("ScheduleFreeSGD", "momentum"): FRACTION,
    ("Adan", "betas"): members((0.98, 0.92, 0.99), FRACTION, FRACTION, FRACTION),
    # of one algorithm or of few
    ("ASGD", "alpha"): FINITE, ("RMSprop", "alpha"): UNIT, "beta2_decay": numbers(1e-300, 1, -math.inf, math.inf),
    "beta3": but(None, FRACTION), "d": numbers(0.5, 0, -1, math.inf), "d0": POSITIVE, "d_coef": POSITIVE,
    "dampening": FINITE, "etas": members((0.5, 1.2), [*each((0.0, 1.0)), *FRACTION], numbers(1.0, 0.5, math.inf)),
    "growth_rate": numbers(0.5, -1, -math.inf), "hessian_power": UNIT, "initial_accumulator_value": NONNEGATIVE,
    "lambd": NONNEGATIVE, "lr_decay": NONNEGATIVE, "momentum_decay": NONNEGATIVE,
    "ns_coefficients": members((3.4445, -4.775, 2.0315), FINITE, FINITE, FINITE), "ns_steps": [(100, 100), *WHOLE],
    "r": NONNEGATIVE, "rho": UNIT, "seed": WHOLE, "step_sizes": members((1e-6, 50.0), POSITIVE, POSITIVE),
    "t0": FINITE, "trust_coefficient": NONNEGATIVE, "warmup_steps": WHOLE, "weight_lr_power": NONNEGATIVE,
    # of those that call the closure again
    "c2": numbers(1e-4, 1.0, -1.0, math.inf), "damping": POSITIVE, "forcing": [(0.0, 0.0), *FRACTION],
    "history_size": FROM_ONE, "max_cg": but(None, FROM_ONE), "max_eval": but(None, WHOLE), "max_iter": WHOLE,
    "max_radius": POSITIVE, "radius": POSITIVE, "restart": numbers(0.0, -1.0, -math.inf), "tol": but(None, NONNEGATIVE),
    "tolerance_change": NONNEGATIVE, "tolerance_curvature": NONNEGATIVE, "tolerance_grad": NONNEGATIVE,
    # names and switches
    "adjust_lr_fn": NAME, "formula": [(None, None), *NAME], "line_search_fn": NAME, "method": [(None, None), *NAME],
    "amsgrad": FLAG, "bias_correction": FLAG, "centered": FLAG, "decoupled_weight_decay": FLAG, "maximize": FLAG,
    "nesterov": FLAG, "no_prox": FLAG, "safeguard_warmup": FLAG, "use_bias_correction": FLAG,
    # neither
    "bounds": each([3.0, "ab", (0.0,), (0.0, 1.0, 2.0)]), "options": each([3.0, "ab", ["maxiter"]]),
}  # fmt: skip
"""Setting -> what it can't be; of (algorithm, setting) where algorithms differ."""

TOGETHER = {
    "SGD": [{"nesterov": True}, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}],
}
"""Settings that exclude each other."""


def settings_of(name):
    """Name -> default."""
    parameters = inspect.signature(getattr(optim, name)).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "params" and p.kind is not p.VAR_KEYWORD}


every_setting = pytest.mark.parametrize(
    ("name", "setting"), [(name, setting) for name in ALGORITHMS for setting in settings_of(name)]
)


# --- an optimizer, a step of it, and all that it could change


def parameter():
    return nn.Parameter(np.array([[1.0, -2.0], [0.5, 3.0]]))


def built(name, steps=1):
    """An optimizer of two groups, so that what is wrong in the second could come too late for the first."""
    optimizer = getattr(optim, name)([{"params": [parameter()]}, {"params": [parameter()]}])
    for _ in range(steps):
        step(optimizer)
    return optimizer


def step(optimizer):
    """A step on the sum of squares."""
    name, params = type(optimizer).__name__, parameters(optimizer)

    def closure():
        for p in params:
            g = 2 * p.numpy()
            p.grad = mg.RowSparse([0, 1], g, p.shape) if name == "SparseAdam" else g
        return float(sum((p.numpy() ** 2).sum() for p in params))

    def computed():
        return [p * 1.0 for p in params] if name == "LevenbergMarquardt" else sum((p * p).sum() for p in params)

    with optim.execution("blocked"):  # needs no compilation
        optimizer.step(computed if isinstance(optimizer, SecondOrderOptimizer | optim.AdaHessian) else closure)


def parameters(optimizer):
    return [p for group in optimizer.param_groups for p in group["params"]]


def everything(optimizer):
    """Groups, parameters and state, as text: NaN is not itself, and an array's equality is an array."""
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    params = [(id(p), contents(p.data)) for p in parameters(optimizer)]
    states = [(id(p), {k: contents(v) for k, v in state.items()}) for p, state in optimizer.state.items()]
    return repr((groups, params, states, optimizer.steps_taken))


def contents(value):
    return value.tobytes() if isinstance(value, np.ndarray) else value


# --- the doors


def at_construction(optimizer, settings):
    type(optimizer)([parameter()], **settings)


def in_a_group(optimizer, settings):
    type(optimizer)([{"params": [parameter()]}, {"params": [parameter()], **settings}])


def in_an_added_group(optimizer, settings):
    optimizer.add_param_group({"params": [parameter()], **settings})


def in_a_loaded_state(optimizer, settings):
    saved = optimizer.state_dict()
    saved["param_groups"][1].update(settings)
    optimizer.load_state_dict(saved)


def by_an_edit_before_a_step(optimizer, settings):
    _, group = optimizer.param_groups
    before = {setting: group[setting] for setting in settings}
    group.update(settings)
    try:
        step(optimizer)
    finally:
        group.update(before)


DOORS = (at_construction, in_a_group, in_an_added_group, in_a_loaded_state, by_an_edit_before_a_step)


def equal(a, b):
    """Whether a step sees no difference: True is 1, and an array of one element its number."""
    try:
        return bool(a == b)
    except ValueError:
        return False


def assert_refused(optimizer, door, settings, shown):
    given, before = dict(settings), everything(optimizer)
    with pytest.raises((ValueError, TypeError)) as refusal:
        door(optimizer, settings)
        pytest.fail(f"{settings} was taken {door.__name__}")
    message = str(refusal.value)
    assert f"{type(optimizer).__name__}: " in message
    for part in (*settings, *shown):
        assert part in message, f"{door.__name__}: no {part} in {message!r}"
    assert everything(optimizer) == before, f"{settings} {door.__name__} was refused, and something has changed"
    assert settings.keys() == given.keys()
    assert all(settings[key] is given[key] for key in given), "the caller's dictionary was changed"


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@every_setting
def test_is_refused(name, setting, door):
    cases = CASES[name, setting] if (name, setting) in CASES else CASES[setting]
    for steps in (0, 2) if door is by_an_edit_before_a_step else (1,):
        optimizer = built(name, steps)
        present = optimizer.param_groups[1][setting]
        for value, shown in cases:
            if door is by_an_edit_before_a_step and equal(value, present):
                continue
            if door is at_construction and value is None and settings_of(name)[setting] is None:
                continue  # max_eval: the constructor counts it from max_iter
            assert_refused(optimizer, door, {setting: value}, [repr(shown)])
        step(optimizer)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@pytest.mark.parametrize(("name", "settings"), [(name, settings) for name in TOGETHER for settings in TOGETHER[name]])
def test_are_refused_together(name, settings, door):
    assert_refused(
        built(name), door, settings, [f"{key} {value!r}" for key, value in settings.items() if key != "nesterov"]
    )


def test_every_algorithm_that_has_settings_is_here():
    settings = {setting for name in ALGORITHMS for setting in settings_of(name)}
    assert settings >= {key for key in CASES if isinstance(key, str)}, "cases of what is no setting any more"
    assert all(setting in settings_of(name) for name, setting in (key for key in CASES if isinstance(key, tuple)))


# --- and what it can be


@pytest.mark.parametrize(
    "number",
    [2, 2.0, np.float32(2), np.int64(2), np.longdouble(2), np.array(2), mg.tensor(2.0), Fraction(2), Decimal(2)],
    ids=repr,
)
def test_a_number_of_any_kind_becomes_pythons(number):
    (group,) = optim.Adam([parameter()], lr=number, betas=[0, 0.5]).param_groups
    assert group["lr"] == 2
    assert type(group["lr"]) in (int, float)
    assert group["betas"] == (0, 0.5)


@pytest.mark.parametrize("switch", [True, 1, np.True_], ids=repr)
def test_a_switch_of_any_kind_becomes_pythons(switch):
    assert optim.Adam([parameter()], maximize=switch).param_groups[0]["maximize"] is True


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if "lr" in settings_of(name)])
def test_a_run_whose_schedule_has_reached_0_is_saved_and_goes_on(name, tmp_path):
    """A cosine's lr is 0 at T_max, and rises again."""

    def started():
        p = parameter()
        optimizer = getattr(optim, name)([p], lr=0.1)
        return p, optimizer, optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3)

    def epochs(optimizer, scheduler, count):
        for _ in range(count):
            step(optimizer)
            scheduler.step()

    p, optimizer, scheduler = started()
    epochs(optimizer, scheduler, 3)
    assert optimizer.param_groups[0]["lr"] == 0.0
    mg.save(tmp_path / "run.safetensors", p=p, optimizer=optimizer, scheduler=scheduler)
    q, resumed, its_scheduler = started()
    q.data[...] = mg.load(tmp_path / "run.safetensors", optimizer=resumed, scheduler=its_scheduler)["p"]
    for _ in range(2):  # with an lr of 0, then with another
        epochs(optimizer, scheduler, 1)
        epochs(resumed, its_scheduler, 1)
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        np.testing.assert_equal(resumed.state_dict(), optimizer.state_dict())
    assert optimizer.param_groups[0]["lr"] > 0
