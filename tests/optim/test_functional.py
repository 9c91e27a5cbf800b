"""The pure form of an optimizer against its in-place form, and its derivatives against differences of that."""

import gc
import inspect
import math
import weakref

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
import optim
from optim.elementwise import ElementwiseOptimizer
from optim.formula import Scalar, formula
from optim.functional import State, pure
from tests.strict_array import DEVICE, StrictArray

from .table import drawn_settings
from .variants import ALGORITHMS

REFUSED = {"SparseAdam": "takes row-sparse gradients"}
REFUSED |= dict.fromkeys(("AdaHessian", "Adafactor", "Muon"), r"has an update\(\) of its own")
PURE = tuple(name for name in ALGORITHMS if name not in REFUSED)
every = pytest.mark.parametrize("name", PURE)


def tensors(arrays, requires_grad=True):
    return [mg.tensor(array, requires_grad=requires_grad) for array in arrays]


def stepped_in_place(optimizer, params, grads_at):
    """One step with gradients that are a function of the point, where the algorithm looks."""

    def closure():
        for p, g in zip(params, grads_at(params), strict=True):
            p.grad = None if g is None else mg.Tensor(g)

    if isinstance(optimizer, optim.Nesterov):
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


# --- the same bits


def same(a, b):
    """Whether numbers or arrays have the same type and bits; a NaN is like another."""
    a, b = (x.numpy() if isinstance(x, mg.Tensor) else np.asarray(x) for x in (a, b))
    numbers = ~np.isnan(a)
    bits = a.dtype == b.dtype and a.shape == b.shape and a[numbers].tobytes() == b[numbers].tobytes()
    return bits and np.isnan(b[~numbers]).all()


@every
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_bits_of_the_in_place_form(name, data):
    chosen = data.draw(drawn_settings(name))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shapes = [(), (3, 4), (0,), (5,)]
    start = [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    start[1][0] = 0
    recorded = data.draw(st.booleans()) and (name, dtype) != ("Prodigy", "float32")  # whose d is then a Tensor
    inputs, ours = tensors(start), tensors(start, recorded)
    algorithm = getattr(optim, name)
    optimizer, functions = algorithm(inputs, **chosen), pure(algorithm, **chosen)
    state = functions.init(ours)
    for step in range(4):
        grads = [np.asarray(10.0 ** rng.uniform(-3, 3) * rng.standard_normal(shape), dtype) for shape in shapes]
        grads[1][1:] *= step % 2
        grads[3] = None if step == data.draw(st.integers(0, 3), label="skipped") else grads[3]
        with optim.execution("eager"):
            stepped_in_place(optimizer, inputs, lambda _, grads=grads: grads)
        before = [p.numpy().copy() for p in ours]
        fresh, state = functions.update(ours, [g if g is None else mg.Tensor(g) for g in grads], state)
        assert all(np.array_equal(a, p.numpy(), equal_nan=True) for a, p in zip(before, ours, strict=True))
        ours = fresh
        for i, (p, q) in enumerate(zip(inputs, ours, strict=True)):
            assert same(p, q), (step, i)
            kept = optimizer.state.get(p, {})
            if name == "Adagrad" and not state.each[i]:  # whose class starts it before the first gradient
                assert kept["step"] == 0
                continue
            assert kept.keys() == state.each[i].keys()
            for key, value in kept.items():
                assert same(value, state.each[i][key]), (step, i, key)
        for key, value in state.shared.items():
            assert same(optimizer.param_groups[0][key], value.item() if isinstance(value, mg.Tensor) else value)


# --- derivatives

SETTINGS = {
    "lr": 0.05, "eps": 0.01, "weight_decay": 0.1, "momentum": 0.8, "dampening": 0.3, "lr_decay": 0.1,
    "initial_accumulator_value": 0.2, "momentum_decay": 0.1, "lambd": 0.1, "alpha": 0.7, "t0": 2.5, "rho": 0.8,
    "warmup_steps": 4, "r": 0.5, "weight_lr_power": 1.5, "d0": 0.02, "d_coef": 1.3, "growth_rate": 1.4, "beta3": 0.85,
    "trust_coefficient": 0.3, "etas": (0.6, 1.3), "step_sizes": (0.02, 0.11), "betas": (0.8, 0.9, 0.95),
}  # fmt: skip
"""A value for every number that an algorithm takes, at which it matters."""

OF_ONE = {"Prodigy": {"lr": 1.0}}  # a factor of the step size that it finds
APART = {("SGD", "nesterov"): "dampening"}  # which refuse each other


def chosen_for(name, flags):
    """Settings for an algorithm: all its numbers, and its flags all off or all on."""
    chosen = {}
    for key, parameter in inspect.signature(getattr(optim, name)).parameters.items():
        if key in ("params", "options"):
            continue
        if isinstance(parameter.default, bool):
            chosen[key] = flags and key != "maximize"
            if chosen[key]:
                chosen.pop(APART.get((name, key)), None)
        else:
            value = OF_ONE.get(name, {}).get(key, SETTINGS[key])
            chosen[key] = value[: len(parameter.default)] if key == "betas" else value
    return chosen


rng = np.random.default_rng(8)
START = [rng.standard_normal(3), rng.standard_normal((2, 2))]
STEEPNESS = [rng.uniform(0.5, 2.0, 3), rng.uniform(0.5, 2.0, (2, 2))]
CENTER = [rng.standard_normal(3), rng.standard_normal((2, 2))]


def training_loss(params):
    parts = [(c * (x - a) ** 2 + mg.sin(2 * x)).sum() for x, c, a in zip(params, STEEPNESS, CENTER, strict=True)]
    return parts[0] + parts[1] + 0.3 * parts[0] * parts[1]


def final_loss(params):
    return sum((mg.cos(p) + 0.3 * p * p).sum() for p in params)


def slopes(params):
    return [g.numpy() for g in mg.grad(training_loss(params), params)]


def reached_in_place(name, chosen, start, steps):
    params = tensors(start)
    optimizer = getattr(optim, name)(params, **chosen)
    for _ in range(steps):
        stepped_in_place(optimizer, params, slopes)
    averages = [s["ax"] for s in optimizer.state.values() if "ax" in s]
    return final_loss([*params, *tensors(averages)]).item()


def reached(functions, chosen, params, steps, create_graph=True):
    state = functions.init(params)
    for _ in range(steps):
        points = params
        if functions.algorithm is optim.Nesterov and state.each[0]:
            points = [p + chosen["momentum"] * s["velocity"] for p, s in zip(params, state.each, strict=True)]
        grads = mg.grad(training_loss(points), points, create_graph=create_graph)
        params, state = functions.update(params, grads, state, **chosen)
    return final_loss([*params, *(s["ax"] for s in state.each if "ax" in s)])


def traced(chosen):
    """Every number but counts as a Tensor that wants a gradient; and how to put another number in the place of each."""

    def tensor(value):
        return mg.tensor(float(value), dtype="float64", requires_grad=True)

    wanted, places = {}, {}
    for key, value in chosen.items():
        if isinstance(value, tuple):
            wanted[key] = tuple(map(tensor, value))
            places |= {(key, i): member for i, member in enumerate(wanted[key])}
        elif not isinstance(value, int):
            wanted[key] = places[key, None] = tensor(value)
    return {**chosen, **wanted}, places


def moved(chosen, place, change):
    key, i = place
    value = chosen[key]
    if i is None:
        return {**chosen, key: value + change}
    return {**chosen, key: tuple(v + change * (j == i) for j, v in enumerate(value))}


@pytest.mark.parametrize(
    ("name", "flags"), [(n, f) for n in PURE for f in (False, True) if not f or True in chosen_for(n, f).values()]
)
@pytest.mark.parametrize("steps", [1, 10])
def test_derivatives_by_every_setting_and_the_start(name, flags, steps):
    chosen = chosen_for(name, flags)
    with_tensors, places = traced(chosen)
    params = tensors(START)
    loss = reached(pure(getattr(optim, name)), with_tensors, params, steps)
    assert loss.item() == pytest.approx(reached_in_place(name, chosen, START, steps), rel=1e-12)
    gradients = mg.grad(loss, [*places.values(), *params], allow_unused=True)

    def difference(one, other, h):
        return (reached_in_place(name, *one, steps) - reached_in_place(name, *other, steps)) / (2 * h)

    for place, gradient in zip(places, gradients, strict=False):
        h = 1e-6
        expected = difference((moved(chosen, place, h), START), (moved(chosen, place, -h), START), h)
        mine = 0.0 if gradient is None else gradient.item()
        assert mine == pytest.approx(expected, rel=1e-5, abs=2e-8), place
    for k, gradient in enumerate(gradients[len(places) :]):
        for index in np.ndindex(START[k].shape):
            h = 1e-6
            ends = [[array.copy() for array in START] for _ in range(2)]
            ends[0][k][index] += h
            ends[1][k][index] -= h
            expected = difference((chosen, ends[0]), (chosen, ends[1]), h)
            assert gradient.numpy()[index] == pytest.approx(expected, rel=1e-5, abs=2e-8), (k, index)


def test_every_number_that_an_algorithm_takes_has_a_derivative_somewhere():
    """That the differences above are not all 0."""
    flat = {"Lion": {("betas", 0), ("betas", 1)}, "Rprop": {("step_sizes", 0)}, "ScheduleFreeSGD": set()}
    for name in PURE:
        found = set()
        for flags in (False, True):
            chosen, places = traced(chosen_for(name, flags))
            loss = reached(pure(getattr(optim, name)), chosen, tensors(START), 10)
            gradients = mg.grad(loss, list(places.values()), allow_unused=True)
            found |= {p for p, g in zip(places, gradients, strict=True) if g is not None and abs(g.item()) > 1e-9}
        assert set(places) - found <= flat.get(name, set()), name


def test_gradients_that_are_not_recorded_are_constants():
    """Of a step of SGD: d loss / d start is (I - lr·H)·∇ with them, ∇ without; and so for more steps."""
    lr = 0.1
    for create_graph in (True, False):
        params = tensors(START)
        loss = reached(pure(optim.SGD), {"lr": lr}, params, 1, create_graph)
        got = mg.grad(loss, params)
        points = [mg.tensor(p - lr * g, requires_grad=True) for p, g in zip(START, slopes(params), strict=True)]
        after = mg.grad(final_loss(points), points)
        if create_graph:
            _, product = mg.hvp(lambda *x: training_loss(x), tuple(params), tuple(after))
            after = [a - lr * h for a, h in zip(after, product, strict=True)]
        for a, b in zip(got, after, strict=True):
            assert a.numpy() == pytest.approx(b.numpy(), rel=1e-12)
    params, ends = tensors(START), START
    for _ in range(3):
        ends = [p - lr * g for p, g in zip(ends, slopes(tensors(ends)), strict=True)]
    for a, b in zip(mg.grad(reached(pure(optim.SGD), {"lr": lr}, params, 3, False), params), ends, strict=True):
        assert a.numpy() == pytest.approx(0.6 * b - np.sin(b), rel=1e-12)


@every
def test_second_derivatives(name):
    """The gradient by lr and the start is itself recorded."""
    chosen = chosen_for(name, False)
    functions = pure(getattr(optim, name))

    def loss(lr, a, b):
        return reached(functions, {**chosen, "lr": lr}, [a, b], 2)

    lr = mg.tensor(chosen["lr"], dtype="float64", requires_grad=True)
    assert mg.gradcheck(loss, [lr, *tensors(START)], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "key"),
    [(n, k) for n in PURE for k in ("weight_decay", "momentum", "lambd", "lr_decay") if k in chosen_for(n, False)],
)
def test_a_setting_that_is_differentiated_is_on_at_0(name, key):
    chosen = chosen_for(name, False)
    chosen.pop("dampening", None)  # which the first step with momentum leaves out, and those without
    value = mg.tensor(0.0, dtype="float64", requires_grad=True)
    loss = reached(pure(getattr(optim, name)), {**chosen, key: value}, tensors(START), 3)
    start = reached_in_place(name, {**chosen, key: 0.0}, START, 3)
    assert loss.item() == pytest.approx(start, rel=1e-12)
    h = 1e-5
    expected = (-reached_in_place(name, {**chosen, key: 2 * h}, START, 3)
                + 4 * reached_in_place(name, {**chosen, key: h}, START, 3) - 3 * start) / (2 * h)  # fmt: skip
    assert mg.grad(loss, value).item() == pytest.approx(expected, rel=1e-4, abs=1e-8)
    assert abs(expected) > 1e-6


def test_a_tensor_that_wants_no_gradient_is_a_number():
    functions = pure(optim.Adam, betas=[mg.tensor(0.9, dtype="float64"), 0.999])
    params = [mg.tensor([1.0, 2.0], requires_grad=True)]
    grads = [mg.tensor([0.5, -3.0])]
    lr = mg.tensor(0.1, dtype="float64", requires_grad=True)
    with mg.no_grad():
        (given,), _ = functions.update(params, grads, functions.init(params), lr=lr)
    (plain,), _ = pure(optim.Adam).update(params, grads, functions.init(params), lr=0.1)
    assert given.numpy().tobytes() == plain.numpy().tobytes()
    assert not given.requires_grad


@every
def test_dtypes_stay_where_a_setting_has_another(name):
    functions = pure(getattr(optim, name))
    chosen, _ = traced(chosen_for(name, False))
    params = [mg.tensor(array, dtype="float32", requires_grad=True) for array in START]
    state = functions.init(params)
    for _ in range(3):
        grads = mg.grad((params[0] ** 2).sum() + (params[1] ** 2).sum(), params, create_graph=True)
        params, state = functions.update(params, grads, state, **chosen)
    arrays = [x for entry in state.each for x in entry.values() if isinstance(x, mg.Tensor) and x.ndim]
    assert {x.dtype for x in [*params, *arrays]} == {np.dtype("float32")}
    expected = tensors([array.astype("float32") for array in START])
    optimizer = getattr(optim, name)(expected, **chosen_for(name, False))
    for _ in range(3):
        stepped_in_place(optimizer, expected, lambda ps: [2 * p.numpy() for p in ps])
    if name != "Nesterov":  # whose gradients are taken elsewhere
        for p, q in zip(params, expected, strict=True):
            assert p.numpy() == pytest.approx(q.numpy(), rel=2e-5)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop", "NAdam", "Adagrad"])
def test_the_root_at_0_has_no_derivative(name):
    x = mg.tensor([0.0, 1.0], dtype="float64", requires_grad=True)
    functions = pure(getattr(optim, name))
    (moved_x,), _ = functions.update([x], [2 * x], functions.init([x]), lr=0.1)
    assert np.isfinite(moved_x.numpy()).all()
    with np.errstate(all="ignore"):
        assert np.isnan(mg.grad(moved_x.sum(), x).numpy()).tolist() == [True, False]


@pytest.mark.parametrize("name", ["LAMB", "LARS"])
def test_a_ratio_that_is_1_because_a_norm_is_0_is_constant(name):
    x = mg.tensor(np.zeros(2), requires_grad=True)
    g = mg.tensor([1.0, 2.0], dtype="float64")
    functions = pure(getattr(optim, name))
    (moved_x,), _ = functions.update([x], [g + x], functions.init([x]))
    assert np.isfinite(mg.grad(moved_x.sum(), x).numpy()).all()


# --- form


def test_dictionaries_and_functional_call():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    params = {name: mg.tensor(p, requires_grad=True) for name, p in model.named_parameters()}
    inputs, targets = mg.tensor([[0.0, 1.0], [1.0, 0.5]]), mg.tensor([[1.0], [-1.0]])

    def loss(values):
        return nn.functional.mse_loss(nn.functional_call(model, values, inputs), targets)

    adam = pure(optim.Adam, lr=0.01)
    state = adam.init(params)
    assert state == State({name: {} for name in params}, {})
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    current = params
    for _ in range(3):
        grads = dict(zip(current, mg.grad(loss(current), list(current.values()), create_graph=True), strict=True))
        current, state = adam.update(current, grads, state)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    assert list(current) == list(params)
    assert state.each["0.weight"].keys() == {"exp_avg", "exp_avg_sq", "step"}
    for name, p in model.named_parameters():
        assert p.numpy().tobytes() == current[name].numpy().tobytes()
    assert all(np.isfinite(g.numpy()).all() for g in mg.grad(loss(current), list(params.values())))


def test_the_form_of_params_stays():
    sgd = pure(optim.SGD)
    x, g = mg.tensor([1.0]), mg.tensor([2.0])
    for params, grads in (([x], (g,)), ((x,), [g]), ({"x": x}, {"x": g}), ([], []), ({}, {})):
        answer, state = sgd.update(params, grads, sgd.init(params), lr=0.5)
        assert type(answer) is type(state.each) is type(params)
        assert [p.tolist() for p in (answer.values() if isinstance(answer, dict) else answer)] in ([[0.0]], [])


def test_a_parameter_without_a_gradient_stays_as_it_is():
    adam = pure(optim.Adam)
    x, y = tensors([np.ones(2), np.ones(2)])
    (x1, y1), state = adam.update([x, y], [mg.tensor(np.ones(2)), None], adam.init([x, y]))
    assert y1 is y and state.each[1] == {}
    (_, y2), state = adam.update([x1, y1], [None, mg.tensor(np.ones(2))], state)
    assert (state.each[0]["step"], state.each[1]["step"]) == (1, 1)
    assert y2.tolist() == x1.tolist()


def test_settings_of_update_stand_in_the_place_of_the_first():
    x, g = mg.tensor([1.0]), mg.tensor([1.0])
    sgd = pure(optim.SGD, lr=0.5, momentum=0.5)
    (first,), state = sgd.update([x], [g], sgd.init([x]), lr=0.25)
    assert first.item() == 0.75
    assert sgd.update([x], [g], state)[0][0].item() == 1 - 0.5 * 1.5


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        ("SGD", "momentum", [0.0, 0.9, 0.0, 0.9]),
        ("Adam", "amsgrad", [False, True, False, True]),
        ("RMSprop", "centered", [True, False, True, True]),
        ("Rprop", "lr", [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_settings_that_change_between_updates(name, key, values):
    functions = pure(getattr(optim, name), **({"dampening": 0.5} if name == "SGD" else {}))
    inputs, ours = tensors(START), tensors(START)
    optimizer = getattr(optim, name)(inputs, **functions.settings)
    state = functions.init(ours)
    for value in values:
        optimizer.param_groups[0][key] = value
        stepped_in_place(optimizer, inputs, slopes)
        ours, state = functions.update(ours, tensors(slopes(ours)), state, **{key: value})
        for p, q, entry in zip(inputs, ours, state.each, strict=True):
            assert same(p, q)
            assert optimizer.state.get(p, {}).keys() == entry.keys()


def test_state_is_not_changed_by_an_update():
    x = mg.tensor(np.ones(2), requires_grad=True)
    for name in PURE:
        functions = pure(getattr(optim, name))
        params, first = functions.update([x], [2 * x], functions.init([x]))
        copies = {k: v.numpy().copy() if isinstance(v, mg.Tensor) else v for k, v in first.each[0].items()}
        shared = dict(first.shared)
        functions.update(params, [2 * x], first)
        assert first.shared == shared
        assert first.each[0].keys() == copies.keys()
        for key, value in copies.items():
            now = first.each[0][key]
            assert np.array_equal(now.numpy() if isinstance(now, mg.Tensor) else now, value)


@every
def test_arrays_of_another_kind(name):
    functions = pure(getattr(optim, name))
    params = [mg.Tensor(StrictArray(array.copy(), DEVICE), requires_grad=True) for array in START]
    state = functions.init(params)
    for _ in range(2):
        grads = mg.grad(sum((p * p).sum() for p in params), params, create_graph=True)
        params, state = functions.update(params, grads, state)
    assert all(p.device == DEVICE for p in params)
    assert all(g.device == DEVICE for g in mg.grad(sum((p * p).sum() for p in params), params))


# --- memory


def test_what_led_to_a_loss_is_freed_with_it():
    gc.collect()
    gc.disable()
    try:
        for name in PURE:
            lr = mg.tensor(0.1, dtype="float64", requires_grad=True)
            functions = pure(getattr(optim, name), lr=lr)
            params = tensors(START)
            state, kept = functions.init(params), []
            for _ in range(3):
                grads = mg.grad(training_loss(params), params, create_graph=True)
                params, state = functions.update(params, grads, state)
                kept += [weakref.ref(p) for p in params]
                kept += [weakref.ref(v) for entry in state.each for v in entry.values() if isinstance(v, mg.Tensor)]
            mg.grad(final_loss(params), lr)
            del params, state, grads
            assert all(reference() is None for reference in kept), name
    finally:
        gc.enable()


def test_a_backward_frees_the_graph():
    lr = mg.tensor(0.1, dtype="float64", requires_grad=True)
    loss = reached(pure(optim.Adam), {"lr": lr}, tensors(START), 2)
    mg.grad(loss, lr)
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        mg.grad(loss, lr)


# --- errors


def test_errors():
    x, g = mg.tensor([1.0, 2.0]), mg.tensor([1.0, 1.0])
    for algorithm in (optim.Optimizer, "Adam", optim.Adam([x])):
        with pytest.raises(TypeError, match="pure: expected a class of optimizers whose step is a formula, got"):
            pure(algorithm)
    for name, reason in REFUSED.items():
        with pytest.raises(TypeError, match=f"pure: {name} {reason}, which"):
            pure(getattr(optim, name))
    with pytest.raises(TypeError, match="Adam: unknown argument beta"):
        pure(optim.Adam, beta=0.9)
    with pytest.raises(TypeError, match="Adam: skip_nonfinite is for optimizers that step in place"):
        pure(optim.Adam, skip_nonfinite=True)
    with pytest.raises(ValueError, match=r"Adam: lr must be in \[0.0, inf\), got -1"):
        pure(optim.Adam, lr=-1)
    adam = pure(optim.Adam)
    state = adam.init([x])
    with pytest.raises(ValueError, match=r"Adam: betas\[1\] must be in \[0.0, 1.0\), got 1.0"):
        adam.update([x], [g], state, betas=(0.9, mg.tensor(1.0, requires_grad=True)))
    with pytest.raises(ValueError, match=r"Adam: lr must be in \[0.0, inf\), got nan"):
        adam.update([x], [g], state, lr=mg.tensor(math.nan))
    with pytest.raises(ValueError, match=r"Adam: lr: expected a Tensor of shape \(\), got one of shape \(1,\)"):
        adam.update([x], [g], state, lr=mg.tensor([0.1]))
    with pytest.raises(TypeError, match="Adam: unknown argument lrate"):
        adam.update([x], [g], state, lrate=0.1)
    with pytest.raises(ValueError, match="SGD: nesterov needs momentum > 0 and dampening = 0"):
        pure(optim.SGD, nesterov=True)
    for wrong in (x, iter([x]), {x}):
        with pytest.raises(TypeError, match="Adam: params: expected a list, tuple or dictionary, got a"):
            adam.init(wrong)
    with pytest.raises(
        TypeError, match=r"Adam: params\[0\]: expected a Tensor of floating-point numbers, got one of i"
    ):
        adam.init([mg.tensor([1, 2])])
    with pytest.raises(TypeError, match=r"Adam: params\['w'\]: expected a Tensor of floating-point numbers, got a nda"):
        adam.init({"w": np.ones(2)})
    with pytest.raises(ValueError, match=r"Adam.update: params and grads differ in \[0\]"):
        adam.update([x], [], state)
    with pytest.raises(ValueError, match=r"Adam.update: params and grads differ in \['u', 'w'\]"):
        adam.update({"w": x}, {"u": g}, adam.init({"w": x}))
    with pytest.raises(ValueError, match=r"Adam.update: params and state differ in \[1\]"):
        adam.update([x, x], [g, g], state)
    with pytest.raises(TypeError, match=r"Adam.update: expected a state that init or update gave, got \[\]"):
        adam.update([x], [g], [])
    with pytest.raises(TypeError, match=r"Adam: grads: expected a list, tuple or dictionary, got a Tensor"):
        adam.update([x], g, state)
    with pytest.raises(TypeError, match=r"Adam.update: grads\[0\]: expected a Tensor, got a ndarray"):
        adam.update([x], [np.ones(2)], state)
    rows = mg.RowSparse([0], np.ones((1, 2), np.float32), (3, 2))
    with pytest.raises(TypeError, match=r"grads\[0\]: expected a Tensor, got a RowSparse; to_dense\(\) makes one"):
        adam.update([mg.tensor(np.ones((3, 2), np.float32))], [rows], state)
    with pytest.raises(
        ValueError, match=r"grads\[0\] of shape \(1,\) float32 on cpu for a parameter of shape \(2,\) f"
    ):
        adam.update([x], [mg.tensor([1.0])], state)
    with pytest.raises(
        ValueError, match=r"grads\[0\] of shape \(2,\) float64 on cpu for a parameter of shape \(2,\) f"
    ):
        adam.update([x], [mg.tensor(np.ones(2))], state)
    _, state = adam.update([x], [g], state)
    with pytest.raises(ValueError, match=r"Adam.update: state 'exp_avg' of shape \(2,\) float32 on cpu for a param"):
        adam.update([mg.tensor([1.0])], [mg.tensor([1.0])], state)


def test_arrays_of_ones_own_may_have_any_name():
    """Those that LARS, LAMB and Prodigy compute beside their formulas mean nothing for another class."""

    @formula
    def named(p, g, kappa, d, travelled, u, s, *, lr):
        kappa = kappa + g
        d = d + kappa
        travelled = 2 * d
        p = p - lr * travelled
        return p, kappa, d, travelled

    class Named(ElementwiseOptimizer):
        formula = named
        state_keys = {name: name for name in ("kappa", "d", "travelled", "u", "s")}

        def __init__(self, params, lr=0.5):
            super().__init__(params, {"lr": lr})

    p = nn.Parameter(np.array([1.0, 2.0]))
    optimizer, functions = Named([p]), pure(Named)
    x, g = mg.tensor(p.numpy().copy(), requires_grad=True), mg.tensor(np.array([0.5, -1.0]))
    params, state = [x], functions.init([x])
    for _ in range(3):
        p.grad = g
        optimizer.step()
        params, state = functions.update(params, [g], state)
    assert params[0].numpy().tolist() == p.numpy().tolist() and state.shared == {}
    assert {key: a.numpy().tolist() for key, a in state.each[0].items() if key in optimizer.state[p]} == {
        key: a.tolist() for key, a in optimizer.state[p].items()
    }


def test_a_step_of_ones_own_between_formulas():
    """What `between` and `shared` give makes a class with an `update` differentiable."""

    @formula
    def scaled(p, g, size: Scalar, *, lr):
        p = p - lr * size * g
        return p

    class Scaled(ElementwiseOptimizer):
        formula = scaled
        scratch = ("size",)
        reduces = True

        def __init__(self, params, lr=0.5):
            super().__init__(params, {"lr": lr})

        def between(self, formula, given, group):
            return {"size": group["count"] * given["g"].sum()}

        def shared(self, group):
            return {"count": 1}

        def shared_next(self, group, stepped):
            return {"count": group["count"] + len(stepped)}

    functions = pure(Scaled)
    x = mg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    params, state = functions.update([x, x], [x, None], functions.init([x, x]))
    assert (params[0].tolist(), state.shared) == ([1 - 0.5 * 3, 2 - 0.5 * 3 * 2], {"count": 2})
    params, state = functions.update([x, x], [x, x], state)
    assert (params[0].tolist(), state.shared) == ([1 - 0.5 * 2 * 3, 2 - 0.5 * 2 * 3 * 2], {"count": 4})
    assert mg.grad(params[0].sum(), x).tolist() == [1 - 2 * 3, 1 - 2 * 3]  # of Σx - (Σx)²


def test_a_class_of_ones_own():
    @formula
    def plain(p, g, *, lr):
        p = p - lr * g
        return p

    class Plain(ElementwiseOptimizer):
        formula = plain
        state_keys = {}
        ranges = {"lr": optim.SGD.ranges["lr"]}

        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

    class Reducing(Plain):
        reduces = True

    functions = pure(Plain)
    x = mg.tensor([1.0], requires_grad=True)
    (y,), state = functions.update([x], [x], functions.init([x]), lr=0.25)
    assert (y.item(), state) == (0.75, State([{}], {}))
    with pytest.raises(TypeError, match=r"pure: Reducing has an update\(\) of its own, which is not written for Tens"):
        pure(Reducing)
