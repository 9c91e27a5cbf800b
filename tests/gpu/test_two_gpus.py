"""Arrays on a GPU that is not the current one: each is computed with where it is, and left there."""

import sys

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from tests.gpu.test_capture import trained
from tests.gpu.test_operations import array_on, outcome
from tests.gpu.test_optim import build, every_case, gradient_for, on, shapes_for
from tests.minigrad.test_strict import CALLS, OUT
from tests.nn.module_table import TABLE


@pytest.fixture(autouse=True)
def elsewhere(gpu):
    """Makes the first GPU the current one, for computations on the second; it is the current one before each test."""
    mg.tensor([1.0], device="cuda")
    cuda = sys.modules["cupy"].cuda
    if cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two GPUs")
    cuda.Device(0).use()
    yield cuda.Device(0).use
    cuda.Device(0).use()


def on_second(tensors):
    return {t.device for t in tensors if t is not None} <= {"cuda:1"}


@pytest.mark.parametrize(("name", "shapes", "call"), CALLS, ids=[f"{i}-{call[0]}" for i, call in enumerate(CALLS)])
def test_operations(elsewhere, name, shapes, call):
    rng = np.random.default_rng(0)
    make = array_on("cuda:1")
    xs = [mg.tensor(rng.normal(size=s), dtype=np.float32, device="cuda:1", requires_grad=True) for s in shapes]
    elsewhere()
    value = call(make, *xs)
    assert name in OUT or on_second([value])
    if not value.requires_grad:
        return
    seed = mg.tensor(rng.normal(size=value.shape), dtype=value.dtype, device=value.device)
    elsewhere()
    gradients = mg.grad(value, xs, seed, create_graph=True, allow_unused=True)
    recorded = [g for g in gradients if g is not None and g.requires_grad]
    assert on_second(gradients)
    if recorded:
        total = sum((g * g).sum() for g in recorded)
        elsewhere()
        assert on_second(mg.grad(total, xs, allow_unused=True))


@pytest.mark.parametrize("name", sorted(TABLE))
def test_layers_and_losses(name):
    for case in TABLE[name]:
        assert on_second([t for t in outcome(name, case, np.float32, "cuda:1") if isinstance(t, mg.Tensor)])


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_an_optimizer_of_parameters_on_both(elsewhere, name, chosen, dtype):
    rng = np.random.default_rng(0)
    devices = ["cuda:1", "cuda:0", "cuda:1"]
    shapes = [(shapes_for(name) * 3)[i] for i in range(3)]
    params = [
        mg.tensor(rng.normal(size=s), dtype=dtype, device=d, requires_grad=True)
        for s, d in zip(shapes, devices, strict=True)
    ]
    optimizer = build(name, chosen, params)
    for _ in range(3):
        for p in params:
            p.grad = on(p.device, gradient_for(name, rng, p.shape, dtype), p.shape)
        elsewhere()
        optimizer.step()
    for p, device in zip(params, devices, strict=True):
        held = [mg.Tensor(value) for value in optimizer.state[p].values() if hasattr(value, "device")]
        assert {p.device, *(value.device for value in held)} == {device}


def test_a_network_on_each_in_turn():
    mg.manual_seed(0)
    start = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)).state_dict()
    models, optimizers, weights = [], [], []
    for device in ("cuda:0", "cuda:1"):
        model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
        model.load_state_dict(start)
        models.append(model.to(device))
        optimizers.append(optim.AdamW(model.parameters(), lr=0.01, skip_nonfinite=True))
    rng = np.random.default_rng(1)
    for step in range(4):
        x, y = rng.normal(size=(6, 3)).astype(np.float32), rng.integers(0, 2, 6)
        for model, optimizer in zip(models, optimizers, strict=True):
            mg.manual_seed(step)
            optimizer.zero_grad()
            device = model[0].weight.device
            loss = nn.functional.cross_entropy(model(mg.tensor(x, device=device)), mg.tensor(y, device=device))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5, norm_type=1)
            nn.utils.check_grads_finite(model.parameters())
            optimizer.step()
    for model in models:
        weights.append([np.asarray(mg.tensor(t).numpy()) for t in model.state_dict().values()])
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["LBFGS", "ConjugateGradient"])
def test_an_algorithm_with_a_closure(elsewhere, name):
    found = []
    for device in ("cuda:1", "cpu"):
        p = mg.tensor([-1.2, 1.0], dtype=np.float64, device=device, requires_grad=True)
        optimizer = getattr(optim, name)([p])

        def closure(p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2
            loss.backward()
            elsewhere()
            return loss

        for _ in range(2):
            optimizer.step(closure)
        found.append(p.numpy())
    np.testing.assert_allclose(*found, rtol=1e-4)


def test_a_captured_step():
    found = [trained(True, lambda params: optim.Adam(params), device=device) for device in ("cuda:0", "cuda:1")]
    assert found[0][0] == found[1][0]


def test_from_one_to_the_other(elsewhere):
    x = mg.tensor([1.0, 2.0], device="cuda:1", requires_grad=True)
    elsewhere()
    y = (x * 3).to("cuda:0") ** 2
    assert y.device == "cuda:0"
    y.sum().backward()
    assert x.grad.device == "cuda:1"
    assert x.grad.tolist() == [18.0, 36.0]
    with pytest.raises(ValueError, match=r"add: expected arrays on one device, .*cuda:0 and cuda:1"):
        x + y


def test_weights_of_a_checkpoint(elsewhere, tmp_path):
    model = nn.Linear(2, 3).to("cuda:1")
    optimizer = optim.Adam(model.parameters())
    model(mg.tensor(np.ones((1, 2), np.float32), device="cuda:1")).sum().backward()
    optimizer.step()
    elsewhere()
    mg.save(tmp_path / "both.safetensors", model=model, optimizer=optimizer)
    before = [p.numpy() for p in model.parameters()]
    optimizer.step()
    elsewhere()
    mg.load(tmp_path / "both.safetensors", model=model, optimizer=optimizer)
    assert on_second(model.parameters())
    for p, value in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
    optimizer.step()
