"""Every optimizer on the GPU: the formulas bit for bit as on the CPU, state that stays there, no waiting, no leak."""

import contextlib
import copy
import warnings

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from minigrad import backend
from optim.elementwise import ElementwiseOptimizer
from optim.formula import execution
from optim.formula.executions import executor
from tests.optim.table import PUBLIC, ROWS
from tests.optim.test_bits import bits, values
from tests.optim.variants import variants

from .conftest import REASON

SIZES = [(3, 4), (5,), (), (1,), (0,), (70, 60)]
SETTINGS = {
    "SGD": [{"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}],
    "Adam": [{"amsgrad": True, "weight_decay": 0.01, "maximize": True}],
    "RMSprop": [{"centered": True, "momentum": 0.9}],
    "LARS": [{"momentum": 0.9, "weight_decay": 0.01}],
}
STEPPED = [name for name in PUBLIC if not ROWS[name].closure and not ROWS[name].loss]
CASES = [(name, chosen) for name in STEPPED for chosen in [{}, *SETTINGS.get(name, [])]]
every_case = pytest.mark.parametrize(("name", "chosen"), CASES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(CASES)])
ALL = variants()
FEW = list({v.formula.name: v for v in ALL}.values())
"""A variant of each formula: what the simulation, which compiles each kernel as C++, has time for."""


def build(name, chosen, params):
    return getattr(optim, name)(params, **{"lr": 0.05, **chosen})


def shapes_for(name):
    return [(3, 4), (6, 2)] if name == "Muon" else [(7, 3)] if ROWS[name].gradients == "rows" else SIZES


def gradient_for(name, rng, shape, dtype):
    """A gradient as NumPy's array, or rows and values."""
    if ROWS[name].gradients == "rows":
        return np.array([4, 1, 4]), rng.normal(size=(3, *shape[1:])).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


def on(device, gradient, shape):
    if isinstance(gradient, tuple):
        rows, parts = (mg.tensor(part, device=device).data for part in gradient)
        return mg.RowSparse(rows, parts, shape)
    return mg.tensor(gradient, device=device)


def path(name, chosen, device, dtype, steps=4):
    """The optimizer and its parameters after some steps, from the same gradients on every device."""
    rng = np.random.default_rng(0)
    shapes = shapes_for(name)
    params = [mg.tensor(rng.normal(size=s), dtype=dtype, device=device, requires_grad=True) for s in shapes]
    optimizer = build(name, chosen, params)
    with execution("blocked") if device == "cpu" else contextlib.nullcontext():
        for step in range(steps):
            for i, p in enumerate(params):
                gradient = gradient_for(name, rng, p.shape, dtype)
                p.grad = None if step == 2 and i == 1 else on(device, gradient, p.shape)
            optimizer.step()
    return optimizer, params


def arrays_of(optimizer, params):
    """Parameters and their state, on the CPU."""
    state = [value for p in params for value in optimizer.state[p].values()]
    return [backend.to_numpy(p.data) for p in params] + [
        backend.to_numpy(value) if backend.is_array(value) else np.asarray(value) for value in state
    ]


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_those_of_the_cpu(name, chosen, dtype):
    found, wanted = (arrays_of(*path(name, chosen, device, dtype)) for device in ("cuda", "cpu"))
    algorithm = getattr(optim, name)
    exact = issubclass(algorithm, ElementwiseOptimizer) and not algorithm.reduces and not algorithm.numbers
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        if exact and ours.dtype == dtype:
            assert not (bits(ours) != bits(theirs)).any()
        else:  # a sum in another order
            np.testing.assert_allclose(ours, theirs, rtol=2e-3 if dtype == np.float32 else 1e-9, atol=1e-6)


@pytest.mark.parametrize("variant", FEW if REASON else ALL, ids=lambda v: v.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_formula_has_the_bits_of_numpy(variant, dtype):
    rng = np.random.default_rng(1)
    size = 3001 if REASON else 300_001
    names = variant.plan.arrays
    wanted = [values(rng, 1 if a in variant.plan.scalars else size, dtype, True) for a in names]
    found = [mg.tensor(a, device="cuda").data for a in wanted]
    for execution_name, arrays in (("blocked", wanted), ("cuda", found)):
        with execution(execution_name):
            run, prepare = executor(variant.formula, variant.plan, arrays[0])
            run(*arrays, prepare(variant.values, variant.plan.constants(*variant.values)))
    for name, ours, theirs in zip(names, found, wanted, strict=True):
        different = int((bits(backend.to_numpy(ours)) != bits(theirs)).sum())
        assert different == 0, (variant.name, name, different)


@every_case
def test_state_is_where_its_parameter_is(name, chosen):
    optimizer, params = path(name, chosen, "cuda", np.float32)
    for p in params:
        held = [value for value in optimizer.state[p].values() if backend.is_array(value)]
        assert all(backend.device_of(value) == p.device == "cuda:0" for value in held)


@every_case
def test_a_saved_state_goes_on_on_the_other_device(name, chosen):
    optimizer, params = path(name, chosen, "cuda", np.float64)
    rng = np.random.default_rng(5)
    gradients = [gradient_for(name, rng, p.shape, np.float64) for p in params]
    others = [mg.tensor(p.numpy(), requires_grad=True) for p in params]
    other = build(name, chosen, others)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for p, q, g in zip(params, others, gradients, strict=True):
        p.grad, q.grad = on("cuda", g, p.shape), on("cpu", g, q.shape)
    optimizer.step()
    other.step()
    back = build(name, chosen, params)
    back.load_state_dict(other.state_dict())
    for ours, theirs in zip(arrays_of(optimizer, params), arrays_of(other, others), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    for p in params:
        assert all(backend.device_of(v) == "cuda:0" for v in back.state[p].values() if backend.is_array(v))


@every_case
def test_a_step_waits_for_nothing(simulated, name, chosen):
    optimizer, params = path(name, chosen, "cuda", np.float32)
    rng = np.random.default_rng(2)
    for p in params:
        p.grad = on("cuda", gradient_for(name, rng, p.shape, np.float32), p.shape)
    before = simulated.synchronisations
    optimizer.step()
    waited = simulated.synchronisations - before
    if ROWS[name].gradients == "rows":
        assert waited <= 1 * len(params)  # how many rows are distinct
    else:
        assert not waited


def test_one_launch_for_all_tensors_of_a_group(simulated):
    params = [mg.tensor(np.ones(n, np.float32), device="cuda", requires_grad=True) for n in (3, 5000, 1)]
    optimizer = optim.Adam(params)
    for _ in range(2):
        for p in params:
            p.grad = mg.Tensor(p.data)
        before = len(simulated.launches)
        optimizer.step()
        assert len(simulated.launches) == before + 1


def test_a_gradient_from_the_cpu_is_refused():
    p = mg.tensor(np.ones(3, np.float32), device="cuda", requires_grad=True)
    with pytest.raises((TypeError, ValueError), match=r"cpu.*cuda:0|cuda:0.*cpu"):
        p.grad = np.ones(3, np.float32)


def test_row_sparse_gradients_of_an_embedding():
    for device in ("cuda", "cpu"):
        mg.manual_seed(0)
        layer = nn.Embedding(10, 3, sparse=True, device=device)
        optimizers = [optim.SparseAdam(layer.parameters(), lr=0.1), optim.SGD(layer.parameters(), lr=0.1)]
        for optimizer in optimizers:
            optimizer.zero_grad()
            (layer(mg.tensor([1, 5, 1], device=device)) ** 2).sum().backward()
            optimizer.step()
        if device == "cuda":
            found = layer.weight.numpy()
    np.testing.assert_allclose(found, layer.weight.numpy(), rtol=1e-5, atol=1e-6)


def test_ten_thousand_steps_leave_the_memory_as_it_was(real):
    import cupy

    pool = cupy.get_default_memory_pool()
    params = [mg.tensor(np.ones((100, 50), np.float32), device="cuda", requires_grad=True) for _ in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizers = [build(name, chosen, params) for name, chosen in CASES if ROWS[name].gradients != "rows"]

    def steps(count):
        for i in range(count):
            for p in params:
                p.grad = mg.Tensor(1e-3 * p.data)
            optimizers[i % len(optimizers)].step()
        return pool.used_bytes()

    assert steps(len(optimizers) * 3) == steps(10_000)
