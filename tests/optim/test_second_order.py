"""The second protocol: what every algorithm whose closure only computes makes of good closures and of bad ones."""

import copy
import pickle
import signal
import threading

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from tests.strict_array import StrictArray, strict

RESIDUALS = [optim.GaussNewton, optim.LevenbergMarquardt]
ALL = [optim.NewtonCG, *RESIDUALS, optim.AdaHessian]
every = pytest.mark.parametrize("cls", ALL)
every_searching = pytest.mark.parametrize("cls", ALL[:3])
A = np.random.default_rng(0).standard_normal((6, 4))
B = np.random.default_rng(1).standard_normal(6)


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def answer(cls, r):
    """What a closure of the class returns for these residuals."""
    return r if cls in RESIDUALS else (r * r).sum() / 2


def pair():
    """Two parameters of a curved problem in four numbers."""
    return [leaf([0.5, -1.0, 2.0]), leaf(0.3)]


def residuals(params):
    x, y = params
    z = mg.concatenate([x, y.reshape(1)])
    return mg.tanh(mg.matmul(A, z)) + 0.1 * mg.matmul(A, z) - B


def closure_of(cls, params):
    return lambda: answer(cls, residuals(params))


def values(params):
    return np.concatenate([p.numpy().ravel() for p in params])


def run(cls, params, steps=4, optimizer=None):
    optimizer = optimizer or cls(params)
    losses = [float(optimizer.step(closure_of(cls, params))) for _ in range(steps)]
    return optimizer, losses


# --- good closures


@every
def test_the_loss_of_the_start_is_returned_and_falls(cls):
    params = pair()
    start = (residuals(params).numpy() ** 2).sum() / 2
    _, losses = run(cls, params, 10)
    assert losses[0] == pytest.approx(start, rel=1e-14)
    assert losses[-1] < start


@every
def test_the_loss_is_detached_and_needs_no_gradient_beforehand(cls):
    params = pair()
    optimizer = cls(params)
    with mg.no_grad():
        loss = optimizer.step(closure_of(cls, params))
    assert isinstance(loss, mg.Tensor)
    assert not loss.requires_grad
    assert optimizer.steps_taken == 1


@every_searching
def test_gradients_are_left_alone(cls):
    params = pair()
    params[0].grad = np.ones(3)
    run(cls, params)
    assert params[0].grad.tolist() == [1.0, 1.0, 1.0]
    assert params[1].grad is None


@every
def test_groups_are_one_problem(cls):
    together, apart = pair(), pair()
    run(cls, together)
    run(cls, apart, optimizer=cls([{"params": [apart[0]]}, {"params": [apart[1]]}]))
    if cls is not optim.AdaHessian:  # whose groups have settings of their own
        np.testing.assert_array_equal(values(together), values(apart))
    assert not np.array_equal(values(apart), values(pair()))


@every
def test_a_parameter_that_is_frozen_or_unused_stays(cls):
    params = pair()
    frozen, unused = leaf([1.0, 2.0]), leaf([3.0])
    frozen.requires_grad = False
    optimizer = cls([frozen, *params, unused])
    reference = pair()
    for _ in range(3):
        optimizer.step(lambda: answer(cls, residuals(params) + 0 * frozen.sum()))
        assert frozen.tolist() == [1.0, 2.0]
        assert unused.tolist() == [3.0]
    run(cls, reference, 3)
    if cls is not optim.AdaHessian:  # other numbers of parameters give it other signs
        np.testing.assert_allclose(values(params), values(reference), rtol=1e-6)


@every
def test_a_model_is_fitted(cls):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1))
    x = np.linspace(-2, 2, 15)[:, None].astype(np.float32)
    target = np.sin(2 * x)
    optimizer = cls(model.parameters())
    for _ in range(60):
        loss = optimizer.step(lambda: answer(cls, (model(mg.tensor(x)) - target).reshape(-1)))
    assert loss.dtype == np.float32
    # 19 parameters for 15 points: J has not full rank, and AdaHessian takes 60 gradients for what they are
    assert float(loss) < (2.7 if cls in (optim.AdaHessian, optim.GaussNewton) else 0.02)
    assert all(p.dtype == np.float32 for p in model.parameters())


@every
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_keeps_types_and_memory(cls, dtype):
    base = np.zeros((3, 2), dtype)
    p = mg.Tensor(base[:, 0])
    p.requires_grad = True
    q = mg.Tensor(np.ones((2, 3), dtype).T)
    q.requires_grad = True
    optimizer = cls([p, q])
    optimizer.step(lambda: answer(cls, mg.concatenate([p - 1.0, (q * q).reshape(-1) - 3.0])))
    assert p.data.base is base
    assert base[:, 0].all()
    assert p.dtype == q.dtype == dtype


@every
def test_on_arrays_elsewhere(cls, monkeypatch):
    monkeypatch.setattr(
        "minigrad.backend.to_device", lambda array, device: strict(array) if device.startswith("strict") else array
    )
    host, elsewhere = leaf([0.5, -1.0]), mg.Tensor(strict([0.5, -1.0]))
    elsewhere.requires_grad = True
    for p in (host, elsewhere):
        optimizer = cls([p])
        with optim.execution("blocked"):
            for _ in range(3):
                optimizer.step(lambda p=p: answer(cls, mg.concatenate([p * p - 2.0, p - 1.0])))
    assert isinstance(elsewhere.data, StrictArray)
    np.testing.assert_allclose(elsewhere.data.get(), host.numpy(), rtol=1e-12)


@every
def test_threads_do_not_meet(cls):
    def work(number, found):
        params = pair()
        params[1].data[...] = number / 7
        run(cls, params)
        found[number] = values(params).tolist()

    alone, together = {}, {}
    for number in range(8):
        work(number, alone)
    threads = [threading.Thread(target=work, args=(number, together)) for number in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert together == alone


@every
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_copies_go_the_same_way(cls, copied):
    params = pair()
    optimizer, _ = run(cls, params)
    other = copied(optimizer)
    mine = [p for group in other.param_groups for p in group["params"]]
    run(cls, params, 3, optimizer)
    run(cls, mine, 3, other)
    np.testing.assert_array_equal(values(mine), values(params))


@every
@pytest.mark.parametrize("named", [False, True])
def test_a_run_that_is_resumed_is_the_run_that_was_not_stopped(cls, named):
    def made(params):
        return cls(list(zip("xy", params, strict=True)) if named else params)

    straight = pair()
    run(cls, straight, 8, made(straight))
    params = pair()
    optimizer = made(params)
    for _ in range(8):
        run(cls, params, 1, optimizer)
        state = pickle.loads(pickle.dumps(optimizer.state_dict()))
        params = [mg.tensor(p.numpy(), requires_grad=True) for p in params]
        optimizer = made(params)
        optimizer.load_state_dict(state)
    np.testing.assert_array_equal(values(params), values(straight))


# --- bad closures


def called_backward(cls, params):
    loss = (residuals(params) ** 2).sum()
    loss.backward()
    return loss


def predicted_outside(cls, params):
    r = residuals(params)
    return lambda: answer(cls, r * 1.0)


BAD = {
    "no closure": (lambda cls, params: None, TypeError, r"expected a closure that computes the (loss|residuals)"),
    "a float": (lambda cls, params: lambda: 3.0, TypeError, r"must return the .* it returned a float"),
    "nothing": (lambda cls, params: lambda: None, TypeError, r"it returned a NoneType"),
    "an empty list": (
        lambda cls, params: list,
        ValueError,
        r"returned an empty list; expected the (loss|residuals), as",
    ),
    "integers": (lambda cls, params: lambda: mg.tensor([1, 2]), TypeError, r"it returned a Tensor of int64"),
    "item": (
        lambda cls, params: lambda: float((residuals(params) ** 2).sum()),
        TypeError,
        r"as the Tensor that it was computed as, to be differentiated; it returned a float",
    ),
    "backward": (lambda cls, params: lambda: called_backward(cls, params), RuntimeError, "closure has called backward"),
    "detached": (
        lambda cls, params: lambda: answer(cls, residuals([p.detach() for p in params])),
        RuntimeError,
        "does not depend on any parameter of the optimizer",
    ),
    "no_grad": (
        lambda cls, params: mg.no_grad()(lambda: answer(cls, residuals(params))),
        RuntimeError,
        "does not depend on any parameter of the optimizer",
    ),
    "others": (
        lambda cls, params: lambda: answer(cls, residuals(pair())),
        RuntimeError,
        "does not depend on any parameter of the optimizer",
    ),
    "outside": (
        lambda cls, params: predicted_outside(cls, params),
        RuntimeError,
        r"computed from the parameters before the closure was called; .* the prediction too",
    ),
}


@every
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_closure_is_explained_and_changes_nothing(cls, bad):
    make, error, message = BAD[bad]
    params = pair()
    optimizer, _ = run(cls, params)
    before, state = values(params), copy.deepcopy(optimizer.state_dict())
    closure = make(cls, params)
    with pytest.raises(error, match=rf"{cls.__name__}\.step: .*{message}"):
        optimizer.step(closure)
    np.testing.assert_array_equal(values(params), before)
    np.testing.assert_equal(optimizer.state_dict(), state)


@pytest.mark.parametrize("cls", [optim.NewtonCG, optim.AdaHessian])
@pytest.mark.parametrize("closure", [residuals, lambda params: [params[1], params[1]]])
def test_a_loss_has_one_element(cls, closure):
    params = pair()
    with pytest.raises(ValueError, match=rf"{cls.__name__}\.step: the closure must return a loss of one element, got"):
        cls(params).step(lambda: closure(params))


@every
def test_complex_parameters_are_refused(cls):
    p = mg.tensor(np.array([1j, 2.0]), requires_grad=True)
    with pytest.raises(TypeError, match=rf"{cls.__name__}\.step: complex parameters are not supported"):
        cls([p]).step(lambda: mg.tensor([1.0]))


@every
def test_row_sparse_gradients_are_refused(cls):
    embedding = nn.Embedding(4, 3, sparse=True)
    optimizer = cls(embedding.parameters())
    with pytest.raises(RuntimeError, match="sparse embedding can't be differentiated again"):
        optimizer.step(lambda: answer(cls, embedding(np.array([1, 2])).reshape(-1)))


@every
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_closure_that_raises_leaves_everything_where_it_was(cls, error, call):
    params = pair()
    optimizer, _ = run(cls, params)
    before, state, calls = values(params), copy.deepcopy(optimizer.state_dict()), []

    def closure():
        calls.append(1)
        if len(calls) == call:
            raise error
        r = residuals(params)
        return answer(cls, r if len(calls) == 1 else r * np.nan)  # which makes it ask again

    if cls is optim.AdaHessian and call > 1:
        optimizer.step(closure)
        assert len(calls) == 1
        return
    with pytest.raises(error):
        optimizer.step(closure)
    np.testing.assert_array_equal(values(params), before)
    np.testing.assert_equal(optimizer.state_dict(), state)


@every_searching
def test_ctrl_c_while_a_trial_point_is_written(cls, monkeypatch):
    params = pair()
    optimizer, _ = run(cls, params)
    before = values(params)
    write = optim.flat.Flat._write
    writes = []

    def interrupted(self, vector):
        writes.append(1)
        if len(writes) == 1:
            signal.raise_signal(signal.SIGINT)
        write(self, vector)

    monkeypatch.setattr(optim.flat.Flat, "_write", interrupted)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            optimizer.step(closure_of(cls, params))
    finally:
        signal.signal(signal.SIGINT, handler)
    np.testing.assert_array_equal(values(params), before)
    assert len(writes) == 2


# --- what is not finite


@every_searching
def test_a_trial_point_that_is_not_finite_is_too_far(cls):
    """√ has no value left of 0, where the first trial points are, and no residual is finite there."""
    p = leaf([1e-3])
    optimizer = cls([p])
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(40):
            optimizer.step(lambda: answer(cls, mg.concatenate([mg.sqrt(p) - 1e-2, 3 * mg.log(p / 1e-4)])))
    np.testing.assert_allclose(p.numpy(), [1e-4], rtol=1e-6)


@every_searching
@pytest.mark.parametrize("skip", [False, True])
def test_a_start_that_is_not_finite_is_left(cls, skip):
    p = leaf([-1.0, 2.0])
    optimizer = cls([p], skip_nonfinite=skip)
    with np.errstate(invalid="ignore"):
        loss = optimizer.step(lambda: answer(cls, mg.sqrt(p)))
    assert np.isnan(float(loss))
    assert p.tolist() == [-1.0, 2.0]
    assert optimizer.report.stopped == "loss or gradient not finite"
    assert optimizer.skipped == skip


@every_searching
def test_where_the_gradient_is_zero_it_stays(cls):
    p = leaf([0.0, 0.0])
    optimizer = cls([p])
    optimizer.step(lambda: answer(cls, mg.cos(p)))
    assert p.tolist() == [0.0, 0.0]
    assert optimizer.report.stopped == "gradient is zero"


# --- settings and states


def test_groups_must_agree():
    x, y = pair()
    for cls, key, one, other in ((optim.NewtonCG, "radius", 1.0, 2.0), (optim.LevenbergMarquardt, "damping", 1.0, 2.0)):
        with pytest.raises(ValueError, match=rf"{cls.__name__}: {key} is 1.0 in one group and 2.0 in another"):
            cls([{"params": [x], key: one}, {"params": [y], key: other}])


BAD_SETTINGS = [
    (optim.NewtonCG, {"radius": 0.0}, r"NewtonCG: radius must be in"),
    (optim.NewtonCG, {"max_radius": -1.0}, r"NewtonCG: max_radius must be in"),
    (optim.NewtonCG, {"forcing": 1.0}, r"NewtonCG: forcing must be in"),
    (optim.NewtonCG, {"max_cg": 0}, "NewtonCG: max_cg must be a whole number from 1, got 0"),
    (optim.NewtonCG, {"max_cg": 1.5}, r"NewtonCG: max_cg must be a whole number"),
    (optim.LevenbergMarquardt, {"damping": 0.0}, r"LevenbergMarquardt: damping must be in"),
    (optim.LevenbergMarquardt, {"damping": float("nan")}, r"LevenbergMarquardt: damping must be in"),
    (optim.AdaHessian, {"lr": -0.1}, r"AdaHessian: lr must be in"),
    (optim.AdaHessian, {"betas": (0.9, 1.0)}, r"AdaHessian: betas\[1\] must be in"),
    (optim.AdaHessian, {"eps": -1e-8}, r"AdaHessian: eps must be in"),
    (optim.AdaHessian, {"weight_decay": -1.0}, r"AdaHessian: weight_decay must be in"),
    (optim.AdaHessian, {"hessian_power": 1.5}, r"AdaHessian: hessian_power must be in"),
    (optim.AdaHessian, {"seed": -1}, r"AdaHessian: seed must be a whole number"),
]


@pytest.mark.parametrize(("cls", "settings", "message"), BAD_SETTINGS)
def test_settings_out_of_range_are_refused_at_every_door(cls, settings, message):
    x, y = pair()
    with pytest.raises(ValueError, match=message):
        cls([x], **settings)
    with pytest.raises(ValueError, match=message):
        cls([{"params": [x], **settings}])
    optimizer = cls([x])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [y], **settings})
    saved = optimizer.state_dict()
    saved["param_groups"][0].update(settings)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    optimizer.param_groups[0].update(settings)
    with pytest.raises(ValueError, match=message):
        optimizer.step(lambda: answer(cls, x))


@pytest.mark.parametrize(
    ("cls", "key", "value", "message"),
    [
        (optim.NewtonCG, "radius", -1.0, "NewtonCG.load_state_dict: radius must be in"),
        (optim.NewtonCG, "func_evals", 1.5, "NewtonCG.load_state_dict: func_evals must be a whole number"),
        (optim.LevenbergMarquardt, "growth", float("nan"), "LevenbergMarquardt.load_state_dict: growth must be in"),
        (optim.LevenbergMarquardt, "scale", np.ones(3), "LevenbergMarquardt.load_state_dict: scale has shape"),
    ],
)
def test_a_state_that_makes_no_sense_is_refused(cls, key, value, message):
    params = pair()
    optimizer, _ = run(cls, params)
    before = copy.deepcopy(optimizer.state_dict())
    saved = optimizer.state_dict()
    saved["state"][0][key] = value
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    del saved["state"][0][key]
    with pytest.raises(ValueError, match=rf"has no .*{key}"):
        optimizer.load_state_dict(saved)
    np.testing.assert_equal(optimizer.state_dict(), before)
