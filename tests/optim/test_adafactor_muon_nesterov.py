"""The algorithms that are no formula of one element alone (Adafactor, Muon) or move before they look (Nesterov)."""

import copy
import gc
import math
import pickle
import re
import signal
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
import optim
from optim.convert import to_torch_state
from tests.optim.paths import Walk, compare, examples, reference_walk, walk
from tests.optim.test_optimizer import GRADIENT_LAYOUTS, LAYOUTS, parameter, read_only, snapshot
from tests.references import REFERENCES
from tests.strict_array import StrictArray, strict

OPTIMIZERS = {"Adafactor": optim.Adafactor, "Muon": optim.Muon, "Nesterov": optim.Nesterov}
STATE = {"Adafactor": "row_var", "Muon": "momentum_buffer", "Nesterov": "velocity"}
every = pytest.mark.parametrize("name", OPTIMIZERS)
wholes = pytest.mark.parametrize("name", ["Adafactor", "Muon"])


def take_step(optimizer, params, grads):
    """One step with these gradients; returns what the step returns."""

    def closure():
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        return 7.0

    return optimizer.step(closure)


def drawn(*shapes, steps=4, seed=0, dtype=np.float64):
    """Starts, and gradients by step, for parameters of these shapes."""
    rng = np.random.default_rng(seed)
    starts = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    return starts, [[rng.normal(size=shape).astype(dtype) for shape in shapes] for _ in range(steps)]


def built(name, starts, **settings):
    params = [nn.Parameter(start.copy()) for start in starts]
    return params, OPTIMIZERS[name](params, **{"lr": 0.1, "weight_decay": 0.1, **settings})


def same(params, others):
    for p, q in zip(params, others, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


# --- Adafactor


@examples(60)
@given(data=st.data())
def test_adafactor_follows_the_reference_in_float32(data):
    """The reference's own ε1 is that of float64."""
    shape = data.draw(st.sampled_from([(5,), (3, 4), (2, 3, 2)]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    (p0,), grads = drawn(shape, steps=20, seed=seed)
    settings = {"lr": 0.1, "eps": (2.0**-23, 1e-3), "weight_decay": data.draw(st.sampled_from([0.0, 0.1]))}
    given_walk = Walk([(settings, 1)], [p0], [[g for (g,) in grads]], [None])
    wanted = reference_walk("Adafactor", given_walk)
    default = given_walk._replace(groups=[(settings | {"eps": (None, 1e-3)}, 1)])
    for ours in (walk("Adafactor", given_walk, "float32"), walk("Adafactor", default, "float32")):
        compare("Adafactor", given_walk, ours, wanted, tolerance=1e-4, ulp=2.0**-23)


def test_adafactors_first_epsilon_is_that_of_the_first_parameter_with_a_gradient():
    (x, y, z), _ = drawn((3,), (3,), (3,))
    g = np.array([1e-9, 1e-10, 0.0])  # below the spacing at 1 of float32, above that of float64

    def stepped(first_has_gradient):
        p, q, r = nn.Parameter(x.astype(np.float32)), nn.Parameter(y), nn.Parameter(z)
        p.grad, q.grad = g.astype(np.float32) if first_has_gradient else None, g
        before = q.numpy().copy()
        optim.Adafactor([p, q, r], d=1.0).step()
        return q.numpy() - before

    assert abs(stepped(True)[1]) < 0.01 * abs(stepped(False)[1])


def test_adafactor_takes_the_size_of_the_parameter_before_its_decay():
    (p,), optimizer = built("Adafactor", [np.array([3.0, 4.0])], lr=0.5, weight_decay=1.0)
    p.grad = np.array([1.0, 1.0])
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), np.array([1.5, 2.0]) - 0.5 * math.sqrt(12.5))


def test_adafactors_state_is_two_vectors_for_a_matrix():
    params, optimizer = built("Adafactor", drawn((4, 3), (2, 4, 3), (5,), ())[0])
    take_step(optimizer, params, [np.ones(p.shape) for p in params])
    shapes = [{k: np.shape(v) for k, v in optimizer.state[p].items()} for p in params]
    assert shapes == [
        {"step": (), "row_var": (4, 1), "col_var": (1, 3)},
        {"step": (), "row_var": (2, 4, 1), "col_var": (2, 1, 3)},
        {"step": (), "variance": (5,)},
        {"step": (), "variance": ()},
    ]
    assert [optimizer.state[p]["step"] for p in params] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "other", "key"),
    [
        ((4, 3), (12,), "row_var"),
        ((4, 3), (), "row_var"),
        ((12,), (4, 3), "variance"),
        ((), (1, 1), "variance"),
        ((4, 3), (3, 4), "row_var"),
        ((4, 3), (4, 2), "col_var"),
        ((2, 4, 3), (4, 3), "row_var"),
        ((4,), (3,), "variance"),
    ],
)
def test_adafactor_refuses_state_of_another_shape_or_rank(shape, other, key):
    params, optimizer = built("Adafactor", [np.ones(5), np.ones(shape)])
    take_step(optimizer, params, [np.ones(5), np.ones(shape)])
    params[1].data = np.ones(other)
    before = snapshot(optimizer)
    with pytest.raises(
        ValueError, match=rf"Adafactor.step: state '{key}' of shape .* of shape {re.escape(str(other))}"
    ):
        take_step(optimizer, params, [np.ones(5), np.ones(other)])
    assert snapshot(optimizer) == before


def test_adafactors_parameters_share_their_work_space():
    starts, grads = drawn((30, 20), (30, 20), (10, 10), (50,), steps=2)
    params, optimizer = built("Adafactor", starts)
    take_step(optimizer, params, grads[0])
    (flat,) = optimizer._scratch._flat.values()
    assert flat.size == 2 * 600 + 30 + 20 + 1 + 2


# --- Muon


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_muon_takes_matrices_only(shape):
    p, q = parameter(np.ones(shape)), parameter(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"Muon.*two axes.*shape"):
        optim.Muon([q, p])
    optimizer = optim.Muon([q])
    with pytest.raises(ValueError, match=r"Muon.*two axes"):
        optimizer.add_param_group({"params": [p]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(("adjust", "factor"), [(None, 2), ("original", 2), ("match_rms_adamw", 0.2 * 4)])
def test_muons_step_is_adjusted_to_the_shape_and_its_decay_is_not(adjust, factor):
    steps = []
    for shape in ((16, 4), (4, 16)):
        p = parameter(np.full(shape, 2.0))
        p.grad = np.eye(*shape)
        optim.Muon([p], lr=0.1, weight_decay=0.5, adjust_lr_fn=adjust, ns_steps=0).step()
        steps.append((2.0 * (1 - 0.05) - p.numpy()) * math.sqrt(4) / 0.1)
    np.testing.assert_allclose(steps[0], factor * np.eye(16, 4), atol=1e-12)
    np.testing.assert_allclose(steps[1], (factor if adjust == "match_rms_adamw" else 1) * np.eye(4, 16), atol=1e-12)


def test_muons_direction_is_nearly_orthogonal():
    p = parameter(np.zeros((6, 9)))
    p.grad = np.random.default_rng(0).normal(size=p.shape)
    optim.Muon([p], lr=1.0, weight_decay=0.0).step()
    assert (abs(np.linalg.svd(p.numpy())[1] - 1) < 0.35).all()


def test_muon_of_the_transpose_is_the_transpose():
    starts, grads = drawn((5, 3))
    tall, first = built("Muon", starts, adjust_lr_fn="match_rms_adamw")
    wide, second = built("Muon", [starts[0].T], adjust_lr_fn="match_rms_adamw")
    for (g,) in grads:
        take_step(first, tall, [g])
        take_step(second, wide, [g.T])
    np.testing.assert_allclose(tall[0].numpy(), wide[0].numpy().T, rtol=1e-12)


# --- Nesterov


def quadratic(p, optimizer):
    matrix = mg.tensor(np.array([[3.0, 1.0], [1.0, 2.0]]))

    def closure():
        optimizer.zero_grad()
        loss = (p * (matrix @ p)).sum() * 0.5 + mg.sin(p).sum()
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_nesterovs_look_ahead_points_are_the_path_of_sgd(momentum, maximize, weight_decay):
    settings = {"lr": 0.05, "momentum": momentum, "maximize": maximize, "weight_decay": weight_decay}
    p, q = parameter([1.0, -2.0]), parameter([1.0, -2.0])
    original, shifted = optim.Nesterov([p], **settings), optim.SGD([q], nesterov=True, **settings)
    closures = quadratic(p, original), quadratic(q, shifted)
    for _ in range(30):
        original.step(closures[0])
        shifted.step(closures[1])
        velocity = original.state[p]["velocity"]
        np.testing.assert_allclose(velocity, -0.05 * shifted.state[q]["momentum_buffer"], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(p.numpy() + momentum * velocity, q.numpy(), rtol=1e-11, atol=1e-13)


def test_nesterovs_closure_sees_the_look_ahead_point():
    p = parameter([1.0, -2.0])
    reference = REFERENCES["Nesterov"]([1.0, -2.0], lr=0.1, weight_decay=0.2)
    optimizer = optim.Nesterov([p], lr=0.1, weight_decay=0.2)
    array = p.data
    for _ in range(20):
        seen = []

        def closure(seen=seen):
            seen.append(p.numpy().copy())
            p.grad = mg.Tensor(p.numpy() ** 3)
            return 1.0

        ahead = reference.look_ahead
        assert optimizer.step(closure) == 1.0
        np.testing.assert_allclose(seen, [ahead], rtol=1e-13)
        reference.step([x**3 for x in ahead])
        np.testing.assert_allclose(p.numpy(), reference.p, rtol=1e-13)
    assert p.data is array


def test_nesterov_records_gradients_in_its_closure():
    p = parameter([1.0, -2.0])
    optimizer = optim.Nesterov([p], lr=0.1)
    with mg.no_grad():
        loss = optimizer.step(quadratic(p, optimizer))
    assert loss.requires_grad
    assert p.numpy()[0] != 1.0


@pytest.mark.parametrize("closure", [None, 3.0, mg.tensor(1.0)], ids=repr)
def test_nesterov_needs_a_closure(closure):
    p = parameter([1.0])
    p.grad = np.ones(1)
    optimizer = optim.Nesterov([p])
    before = snapshot(optimizer)
    with pytest.raises(TypeError, match=r"Nesterov.step: expected a closure"):
        optimizer.step(closure)
    assert snapshot(optimizer) == before


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_closure_that_raises_leaves_the_parameters_where_they_were(error):
    starts, grads = drawn((3,), (2, 2))
    params, optimizer = built("Nesterov", starts)
    for gs in grads:
        take_step(optimizer, params, gs)
    before = snapshot(optimizer)
    seen = []

    def closure():
        seen.extend(p.numpy().copy() for p in params)
        raise error

    with pytest.raises(error):
        optimizer.step(closure)
    assert snapshot(optimizer) == before
    assert all((a != p.numpy()).all() for a, p in zip(seen, params, strict=True))


def test_a_gradient_that_does_not_fit_leaves_nesterovs_parameters_where_they_were():
    starts, grads = drawn((3,), (2, 2))
    params, optimizer = built("Nesterov", starts)
    take_step(optimizer, params, grads[0])
    before = snapshot(optimizer)

    def closure():
        for p, g in zip(params, grads[1], strict=True):
            p.grad = g
        params[1]._grad = mg.Tensor(np.ones(3))

    with pytest.raises(ValueError, match=r"Nesterov.step: a gradient of shape \(3,\)"):
        optimizer.step(closure)
    assert snapshot(optimizer) == before


@pytest.mark.parametrize("at", ["ahead", "closure", "back"])
def test_an_interrupt_anywhere_in_nesterovs_step_leaves_all_parameters_back_or_updated(monkeypatch, at):
    starts, grads = drawn((3,), (3,))
    params, optimizer = built("Nesterov", starts)
    take_step(optimizer, params, grads[0])
    before = snapshot(optimizer)

    def interrupting(function):
        def interrupted(moves):
            function(moves[:1])
            signal.raise_signal(signal.SIGINT)
            function(moves)

        return interrupted

    if at == "closure":
        with pytest.raises(KeyboardInterrupt):
            optimizer.step(lambda: signal.raise_signal(signal.SIGINT))
    else:
        function = f"_{at}"
        monkeypatch.setattr(optim.nesterov, function, interrupting(getattr(optim.nesterov, function)))
        with pytest.raises(KeyboardInterrupt):
            take_step(optimizer, params, grads[1])
    assert snapshot(optimizer) == before


def test_an_interrupt_between_nesterovs_closure_and_the_way_back(monkeypatch):
    starts, grads = drawn((3,))
    params, optimizer = built("Nesterov", starts)
    take_step(optimizer, params, grads[0])
    before = snapshot(optimizer)
    calls = []

    def uninterrupted(work, *arguments):
        calls.append(work)
        if len(calls) == 2:
            raise KeyboardInterrupt
        work(*arguments)

    monkeypatch.setattr(optim.nesterov, "uninterrupted", uninterrupted)
    with pytest.raises(KeyboardInterrupt):
        take_step(optimizer, params, grads[1])
    assert snapshot(optimizer) == before


def test_a_parameter_that_nesterov_has_twice_comes_back():
    p = parameter([1.0])
    with pytest.warns(UserWarning, match="twice"):
        optimizer = optim.Nesterov([p, p], lr=0.1)
    take_step(optimizer, [p], [np.ones(1)])
    before = snapshot(optimizer)
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: 1 / 0)
    assert snapshot(optimizer) == before


def test_a_change_of_nesterovs_momentum_moves_its_look_ahead():
    p = parameter([1.0])
    optimizer = optim.Nesterov([p], lr=0.5)
    take_step(optimizer, [p], [np.ones(1)])
    optimizer.param_groups[0]["momentum"] = 0.0
    seen = []
    optimizer.step(lambda: seen.append(p.item()))
    assert seen == [0.5]


# --- the contract of all three


@every
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradient_layout", GRADIENT_LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_and_gradients_in_any_layout(name, layout, gradient_layout, dtype):
    (start,), grads = drawn((3, 4), dtype=dtype)
    p = nn.Parameter(LAYOUTS[layout](start))
    array, strides = p.data, p.data.strides
    ours = OPTIMIZERS[name]([p], lr=0.1)
    (q,), plain = built(name, [start], weight_decay=ours.defaults["weight_decay"])
    for (g,) in grads:
        g = GRADIENT_LAYOUTS[gradient_layout](g)
        take_step(ours, [p], [g])
        take_step(plain, [q], [g.copy()])
    assert p.data is array and p.data.strides == strides and p.dtype == dtype
    np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5 if dtype is np.float32 else 1e-13)


@every
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (0, 3), (1, 1), (2, 0, 3), (1, 1, 1)])
def test_parameters_of_any_shape(name, shape):
    if name == "Muon" and len(shape) != 2:
        pytest.skip("Muon takes matrices")
    params, optimizer = built(name, [np.ones(shape, np.float32), np.ones((2, 2), np.float32)])
    for _ in range(3):
        take_step(optimizer, params, [np.ones_like(p.data) for p in params])
    assert params[0].shape == shape
    assert (params[0].numpy() < 1).all()
    assert (params[1].numpy() < 1).all()
    assert isinstance(params[0].data, np.ndarray)
    restored = built(name, [p.numpy() for p in params])[1]
    restored.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("name", ["Adafactor", "Nesterov"])
def test_a_numpy_scalar_in_the_place_of_an_array(name):
    (p,), ours = built(name, [np.array(2.0)])
    (q,), plain = built(name, [np.array(2.0)])
    for _ in range(3):
        p.data = p.data * 1.0
        take_step(ours, [p], [np.array(1.0)])
        take_step(plain, [q], [np.array(1.0)])
    same([p], [q])


@every
def test_a_missing_gradient_skips_the_parameter_without_counting(name):
    starts, grads = drawn((3, 2), (3, 2))
    params, optimizer = built(name, starts)
    take_step(optimizer, params, [grads[0][0], None])
    np.testing.assert_array_equal(params[1].numpy(), starts[1])
    assert not optimizer.state.get(params[1])
    take_step(optimizer, params, [None, grads[0][1]])
    assert [optimizer.state[p].get("step") for p in params] in ([1, 1], [None, None])
    alone, single = built(name, starts[1:])
    take_step(single, alone, [grads[0][1]])
    same(params[1:], alone)


@every
def test_a_zero_gradient_is_a_full_step(name):
    params, optimizer = built(name, [np.full((2, 2), 2.0)])
    take_step(optimizer, params, [np.zeros((2, 2))])
    assert (params[0].numpy() < 2).all()
    assert optimizer.state[params[0]].get("step") in (1, None)


@every
def test_the_closure_is_called_once_and_its_loss_returned(name):
    params, optimizer = built(name, [np.ones((2, 2))])
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("pre"))
    optimizer.register_step_post_hook(lambda *_: seen.append("post"))
    assert take_step(optimizer, params, [np.ones((2, 2))]) == 7.0
    assert optimizer.steps_taken == 1
    assert seen == ["pre", "post"]


@wholes
def test_a_step_without_a_closure(name):
    starts, grads = drawn((3, 2))
    (p,), ours = built(name, starts)
    (q,), other = built(name, starts)
    p.grad = grads[0][0]
    assert ours.step() is None
    take_step(other, [q], grads[0])
    same([p], [q])


@every
def test_groups_and_changes_of_settings(name):
    """Two groups, changed between steps, are two optimizers that are changed alike."""
    starts, grads = drawn((3, 2), (2, 4))
    params = [nn.Parameter(start.copy()) for start in starts]
    both = OPTIMIZERS[name]([{"params": params[:1], "lr": 0.3}, {"params": params[1:]}], lr=0.1)
    singles = [built(name, [start], weight_decay=both.defaults["weight_decay"]) for start in starts]
    singles[0][1].param_groups[0]["lr"] = 0.3
    for i, gs in enumerate(grads):
        take_step(both, params, gs)
        for (alone, single), g in zip(singles, gs, strict=True):
            take_step(single, alone, [g])
        for group, (_, single) in zip(both.param_groups, singles, strict=True):
            for settings in (group, single.param_groups[0]):
                settings.update(lr=settings["lr"] * 0.5, weight_decay=0.1 * i)
    same(params, [alone[0] for alone, _ in singles])


@every
def test_a_parameter_that_stands_twice_is_updated_twice_a_step(name):
    p = parameter(np.full((2, 2), 3.0))
    with pytest.warns(UserWarning, match="twice"):
        both = OPTIMIZERS[name]([p, p], lr=0.1, weight_decay=0.0)
    take_step(both, [p], [np.eye(2)])
    (q,), single = built(name, [np.full((2, 2), 3.0)], weight_decay=0.0)
    for _ in range(2):
        take_step(single, [q], [np.eye(2)])
    same([p], [q])
    assert both.state[p].get("step") in (2, None)


@every
def test_a_gradient_that_is_the_parameters_own_array(name):
    starts, _ = drawn((3, 2))
    (p,), ours = built(name, starts)
    (q,), plain = built(name, starts)
    for _ in range(3):
        ours.step(lambda: setattr(p, "grad", p.detach()))
        plain.step(lambda: setattr(q, "grad", mg.Tensor(q.numpy().copy())))
    same([p], [q])


@every
@pytest.mark.parametrize("number", [np.float64, np.float32, np.array, mg.tensor])
def test_numbers_of_any_kind_keep_float32_parameters(name, number):
    starts, grads = drawn((3, 2), dtype=np.float32)
    params, ours = built(name, starts, lr=number(0.5), weight_decay=number(0.25))
    others, plain = built(name, starts, lr=0.5, weight_decay=0.25)
    for gs in grads:
        take_step(ours, params, gs)
        take_step(plain, others, gs)
        ours.param_groups[0]["lr"], plain.param_groups[0]["lr"] = number(1), 1
    assert params[0].dtype == np.float32
    assert {v.dtype for v in ours.state[params[0]].values() if hasattr(v, "dtype")} == {np.dtype(np.float32)}
    same(params, others)


@every
def test_float16_parameters(name):
    starts, grads = drawn((300, 250), dtype=np.float16)
    params, optimizer = built(name, starts)
    for gs in grads:
        take_step(optimizer, params, gs)
    assert params[0].dtype == np.float16
    assert np.isfinite(params[0].numpy()).all()
    assert (params[0].numpy() != starts[0]).mean() > 0.5


@every
def test_arrays_on_another_device(name):
    shapes = [(3, 2), (2, 4)] if name == "Muon" else [(3, 2), (4,), (2, 3, 2), ()]
    starts, grads = drawn(*shapes)
    others, plain = built(name, starts)
    params = [nn.Parameter(strict(start)) for start in starts]
    ours = OPTIMIZERS[name](params, lr=0.1, weight_decay=0.1)
    for gs in grads:
        take_step(ours, params, [mg.Tensor(strict(g)) for g in gs])
        take_step(plain, others, gs)
    assert all(isinstance(p.data, StrictArray) for p in params)
    same(params, others)


@every
def test_saved_state_continues_as_if_never_saved(name):
    starts, grads = drawn((3, 2), (2, 3), steps=8)
    params, straight = built(name, starts)
    for gs in grads[:4]:
        take_step(straight, params, gs)
    saved = straight.state_dict()
    others, loaded = built(name, [p.numpy() for p in params], lr=9.0)
    loaded.load_state_dict(saved)
    pickled, copied = pickle.loads(pickle.dumps((params, straight))), copy.deepcopy((params, straight))
    for gs in grads[4:]:
        for a, b in ((params, straight), (others, loaded), pickled, copied):
            take_step(b, a, gs)
    for a in (others, pickled[0], copied[0]):
        same(params, a)
    key = STATE[name]
    assert not np.array_equal(saved["state"][0][key], straight.state[params[0]][key])


SPOILED = {
    "missing": lambda entry, key: entry.pop(key),
    "wrong shape": lambda entry, key: entry.update({key: np.ones((7, 1))}),
    "a number": lambda entry, key: entry.update({key: 1.0}),
}


@every
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_state_that_does_not_fit_is_refused_on_load(name, spoil):
    params, optimizer = built(name, drawn((3, 2))[0])
    take_step(optimizer, params, [np.ones((3, 2))])
    saved = optimizer.state_dict()
    spoil(saved["state"][0], STATE[name])
    before = snapshot(optimizer)
    if name == "Nesterov" and STATE[name] not in saved["state"][0]:
        saved["state"][0]["step"] = 1  # as an entry of nothing is none
    with pytest.raises(ValueError, match=rf"{name}.load_state_dict: .*{STATE[name]}"):
        optimizer.load_state_dict(saved)
    assert snapshot(optimizer) == before


@pytest.mark.parametrize(("key", "wanted"), [("variance", r"None"), ("row_var", r"\(3, 1\)")])
def test_what_is_wrong_with_a_loaded_shape_is_said(key, wanted):
    """Also of an array that Adafactor keeps for a vector alone."""
    params, optimizer = built("Adafactor", [np.ones((3, 2))])
    take_step(optimizer, params, [np.ones((3, 2))])
    saved = optimizer.state_dict()
    saved["state"][0][key] = np.ones((3, 2))
    with pytest.raises(ValueError, match=rf"{key} has shape \(3, 2\), expected {wanted} for a .* shape \(3, 2\)"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("step", [None, -1, 1.5, "two"])
def test_a_step_that_is_no_count_is_refused_on_load(step):
    params, optimizer = built("Adafactor", [np.ones(3)])
    take_step(optimizer, params, [np.ones(3)])
    saved = optimizer.state_dict()
    saved["state"][0]["step"] = step
    with pytest.raises((TypeError, ValueError), match=r"load_state_dict: .*step"):
        optimizer.load_state_dict(saved)


BAD = {
    "Adafactor": [
        {"lr": -0.1}, {"lr": math.nan}, {"lr": "0.1"}, {"beta2_decay": 0.1}, {"beta2_decay": math.nan},
        {"eps": (-1.0, 1e-3)}, {"eps": (None, None)}, {"eps": 1e-3}, {"eps": (None, math.nan)}, {"d": 0.9},
        {"d": math.nan}, {"weight_decay": -1.0}, {"maximize": "yes"},
    ],
    "Muon": [
        {"lr": -0.1}, {"lr": math.nan}, {"weight_decay": -1.0}, {"momentum": -0.1}, {"momentum": None},
        {"nesterov": 3}, {"ns_coefficients": (1.0, 2.0)}, {"ns_coefficients": (1.0, math.nan, 1.0)}, {"eps": -1.0},
        {"ns_steps": 100}, {"ns_steps": -1}, {"ns_steps": 2.5}, {"ns_steps": math.nan}, {"adjust_lr_fn": "other"},
        {"adjust_lr_fn": 3}, {"adjust_lr_fn": ["original"]},
    ],
    "Nesterov": [
        {"lr": -0.1}, {"lr": math.inf}, {"momentum": -0.1}, {"momentum": math.nan}, {"weight_decay": -1.0},
        {"maximize": None},
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), [(name, s) for name, several in BAD.items() for s in several], ids=str)
def test_bad_settings_are_refused_at_every_door(name, settings):
    refused = lambda: pytest.raises((ValueError, TypeError), match=f"{name}: {next(iter(settings))}")
    p, q = parameter(np.ones((2, 2))), parameter(np.ones((2, 2)))
    with refused():
        OPTIMIZERS[name]([p], **settings)
    with refused():
        OPTIMIZERS[name]([{"params": [p], **settings}])
    optimizer = OPTIMIZERS[name]([{"params": [p]}, {"params": [q]}])
    before = snapshot(optimizer)
    with refused():
        optimizer.add_param_group({"params": [parameter(np.ones((2, 2)))], **settings})
    assert snapshot(optimizer) == before
    for _ in range(2):
        take_step(optimizer, [p, q], [np.eye(2), np.eye(2)])
    saved = optimizer.state_dict()
    saved["param_groups"][1].update(settings)
    before = snapshot(optimizer)
    with refused():
        optimizer.load_state_dict(saved)
    assert snapshot(optimizer) == before
    optimizer.param_groups[1].update(settings)
    before = repr(snapshot(optimizer))
    with refused():
        take_step(optimizer, [p, q], [np.eye(2), np.eye(2)])
    assert repr(snapshot(optimizer)) == before


@every
def test_a_setting_that_was_deleted_is_named(name):
    params, optimizer = built(name, [np.ones((2, 2))])
    del optimizer.param_groups[0]["weight_decay"]
    with pytest.raises(ValueError, match=f"{name}: a group has no setting weight_decay"):
        take_step(optimizer, params, [np.ones((2, 2))])


@wholes
@pytest.mark.parametrize("shape", [(2, 2), (4, 3)])
def test_complex_parameters_are_refused_at_the_step(name, shape):
    p, z = parameter(np.ones(shape)), nn.Parameter(np.ones(shape, complex))
    optimizer = OPTIMIZERS[name]([p, z])
    p.grad = np.ones(shape)
    optimizer.step()
    z.grad = np.ones(shape, complex)
    before = snapshot(optimizer)
    with pytest.raises(RuntimeError, match=f"{name}.step: complex parameters"):
        optimizer.step()
    assert snapshot(optimizer) == before


def test_complex_parameters_of_nesterov_are_two_real_ones():
    z = nn.Parameter(np.array([1 + 2j, -1j]))
    x = nn.Parameter(z.numpy().view(np.float64).copy())
    ours, real = optim.Nesterov([z], lr=0.1), optim.Nesterov([x], lr=0.1)
    for seed in range(4):
        g = np.random.default_rng(seed).normal(size=4)
        take_step(ours, [z], [g.view(np.complex128)])
        take_step(real, [x], [g])
    np.testing.assert_array_equal(z.numpy().view(np.float64), x.numpy())


def state_of_another_shape(name, optimizer, q):
    optimizer.state[q][STATE[name]] = np.ones(3)


def state_of_another_type(name, optimizer, q):
    optimizer.state[q][STATE[name]] = optimizer.state[q][STATE[name]].astype(np.float32)


def read_only_parameter(name, optimizer, q):
    q.data = read_only(q.data)


def read_only_state(name, optimizer, q):
    optimizer.state[q][STATE[name]] = read_only(optimizer.state[q][STATE[name]])


def parameter_of_another_type(name, optimizer, q):
    q.data = q.data.astype(np.float32)


@every
@pytest.mark.parametrize(
    "spoil",
    [state_of_another_shape, state_of_another_type, read_only_parameter, read_only_state, parameter_of_another_type],
    ids=lambda spoil: spoil.__name__,
)
def test_a_step_that_raises_has_changed_nothing(name, spoil):
    params, optimizer = built(name, drawn((3, 2), (3, 2))[0])
    take_step(optimizer, params, [np.ones((3, 2))] * 2)
    spoil(name, optimizer, params[1])
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match=f"{name}.step"):
        take_step(optimizer, params, [np.ones((3, 2)), np.ones((3, 2), params[1].dtype)])
    assert snapshot(optimizer) == before


@wholes
def test_a_gradient_that_does_not_fit_changes_nothing(name):
    params, optimizer = built(name, drawn((3, 2), (3, 2))[0])
    params[0].grad = np.ones((3, 2))
    params[1]._grad = mg.Tensor(np.ones((3, 2), np.float32))
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match=rf"{name}.step: a gradient of shape \(3, 2\) float32"):
        optimizer.step()
    assert snapshot(optimizer) == before


@wholes
def test_row_sparse_gradients_are_refused(name):
    params, optimizer = built(name, drawn((3, 2), (3, 2))[0])
    params[0].grad = np.ones((3, 2))
    params[1].grad = mg.RowSparse(np.array([1]), np.ones((1, 2)), (3, 2))
    before = snapshot(optimizer)
    with pytest.raises(RuntimeError, match=rf"{name}.step: a row-sparse gradient for a parameter of shape \(3, 2\)"):
        optimizer.step()
    assert snapshot(optimizer) == before


@every
def test_a_gradient_that_is_not_finite_can_be_skipped(name):
    starts, grads = drawn((3, 2), (3, 2))
    params, optimizer = built(name, starts)
    optimizer.skip_nonfinite = True
    take_step(optimizer, params, grads[0])
    values = [p.numpy().copy() for p in params]
    state = copy.deepcopy([optimizer.state[p] for p in params])
    assert take_step(optimizer, params, [grads[1][0], np.full((3, 2), math.nan)]) == 7.0
    assert optimizer.skipped == 1
    for p, value, kept in zip(params, values, state, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
        np.testing.assert_equal(optimizer.state[p], kept)


@wholes
@pytest.mark.parametrize("at", [0, 1])
def test_an_interrupt_in_a_step_comes_after_all_parameters_are_written(monkeypatch, name, at):
    starts, grads = drawn((3, 2), (3, 2))
    params, optimizer = built(name, starts)
    others, plain = built(name, starts)
    take_step(plain, others, grads[0])
    update, calls = OPTIMIZERS[name].update, []

    def interrupted(self, *arguments):
        if len(calls) == at:
            signal.raise_signal(signal.SIGINT)
        calls.append(None)
        update(self, *arguments)

    monkeypatch.setattr(OPTIMIZERS[name], "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        take_step(optimizer, params, grads[0])
    same(params, others)


@every
def test_a_step_notes_that_it_wrote(name):
    params, optimizer = built(name, [np.ones((2, 2))])
    loss = (params[0] * params[0]).sum()
    take_step(optimizer, params, [np.ones((2, 2))])
    with pytest.raises(RuntimeError, match="written in place"):
        loss.backward()


def test_nesterovs_moves_are_noted():
    (p,), optimizer = built("Nesterov", [np.ones(2)])
    take_step(optimizer, [p], [np.ones(2)])
    loss = (p * p).sum()

    def closure():
        with pytest.raises(RuntimeError, match="written in place"):
            loss.backward(retain_graph=True)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure)


@every
@pytest.mark.parametrize("shape", [(2000, 300), (300, 2000)])
def test_nothing_of_the_parameters_size_is_allocated_after_the_first_step(name, shape):
    p = parameter(np.random.default_rng(0).normal(size=shape))
    g = mg.Tensor(np.ones(shape))
    optimizer = OPTIMIZERS[name]([p])
    with optim.execution("blocked"):
        for _ in range(2):
            take_step(optimizer, [p], [g])
        gc.collect()
        tracemalloc.start()
        take_step(optimizer, [p], [g])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 0.1 * p.data.nbytes


# --- torch


@pytest.mark.parity
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_muon_follows_torch_up_to_its_bfloat16(dtype):
    torch = pytest.importorskip("torch")
    (start,), grads = drawn((6, 4), steps=12)
    p = nn.Parameter(start.astype(dtype))
    q = torch.tensor(start, dtype=getattr(torch, dtype), requires_grad=True)
    ours, theirs = optim.Muon([p], lr=0.02), torch.optim.Muon([q], lr=0.02)
    apart = []
    for (g,) in grads:
        p.grad, q.grad = mg.Tensor(g.astype(dtype)), torch.tensor(g, dtype=q.dtype)
        ours.step()
        theirs.step()
        apart.append(abs(p.numpy() - q.detach().numpy()).max())
    assert max(apart) <= 0.02 * abs(p.numpy() - start).max()


@pytest.mark.parity
@pytest.mark.parametrize(("name", "settings"), [("Adafactor", {}), ("Muon", {"ns_steps": 0})])
def test_state_goes_to_torch_and_back(name, settings):
    """10 steps there, 10 here and 10 there are 30 there. Muon's direction is rounded to bfloat16 there."""
    torch = pytest.importorskip("torch")
    starts, grads = drawn((4, 3), (2, 5), steps=30)

    def theirs():
        params = [torch.tensor(start, requires_grad=True) for start in starts]
        return params, getattr(torch.optim, name)(params, lr=0.1, **settings)

    def steps(params, optimizer, rows):
        for row in rows:
            for p, g in zip(params, row, strict=True):
                p.grad = torch.tensor(g)
            optimizer.step()

    straight, optimizer = theirs()
    steps(straight, optimizer, grads)
    there, first = theirs()
    steps(there, first, grads[:10])
    here = [nn.Parameter(p.detach().numpy().copy()) for p in there]
    ours = OPTIMIZERS[name](here, **settings)
    ours.load_state_dict(first.state_dict())
    for gs in grads[10:20]:
        take_step(ours, here, gs)
    back, last = theirs()
    for p, q in zip(back, here, strict=True):
        p.data = torch.tensor(q.numpy())
    last.load_state_dict(to_torch_state(ours))
    steps(back, last, grads[20:])
    bound = 1e-12 if name == "Adafactor" else 2e-2
    for p, q in zip(back, straight, strict=True):
        assert abs(p.detach() - q.detach()).max() <= bound
