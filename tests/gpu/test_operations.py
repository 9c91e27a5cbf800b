"""Every operation, layer and loss on the GPU: values and derivatives of two orders beside the CPU's."""

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import ops
from tests.minigrad.test_strict import CALLS, OUT
from tests.nn.module_table import TABLE, Sizes, built

CLOSE = {np.float32: {"rtol": 1e-3, "atol": 5e-4}, np.float64: {"rtol": 1e-10, "atol": 1e-12}}


def array_on(device):
    """Makes arrays there."""
    return lambda data, dtype=None: mg.tensor(np.array(data, dtype), device=device).data


def computed(device, shapes, call, dtype):
    """Value, gradients and second derivatives of a call."""
    rng = np.random.default_rng(0)
    make = array_on(device)
    xs = [mg.tensor(rng.normal(size=shape), dtype=dtype, device=device, requires_grad=True) for shape in shapes]
    value = call(make, *xs)
    if not value.requires_grad:
        return [value]
    seed = mg.tensor(rng.normal(size=value.shape), dtype=value.dtype, device=value.device)
    gradients = mg.grad(value, xs, seed, create_graph=True, allow_unused=True)
    recorded = [g for g in gradients if g is not None and g.requires_grad]
    second = mg.grad(sum((g * g).sum() for g in recorded), xs, allow_unused=True) if recorded else []
    return [value, *gradients, *second]


def same(found, wanted, dtype, on_device=True):
    assert len(found) == len(wanted)
    for i, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        if theirs is None:
            assert ours is None
            continue
        assert ours.dtype == theirs.dtype
        assert ours.device == "cuda:0" or (not on_device and i == 0)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), **CLOSE[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "shapes", "call"), CALLS, ids=[f"{i}-{call[0]}" for i, call in enumerate(CALLS)])
def test_operations(name, shapes, call, dtype):
    found, wanted = (computed(device, shapes, call, dtype) for device in ("cuda", "cpu"))
    same(found, wanted, dtype, on_device=name not in OUT)


def outcome(name, case, dtype, device):
    """Value, gradients and second gradients of a layer or loss, and its buffers."""
    mg.manual_seed(0)
    rng = np.random.default_rng(3)
    inputs = [np.asarray(x) for x in case.inputs(rng, Sizes())]
    module = built(name, case.arguments(rng, Sizes()), dtype).train(case.training).to(device=device)
    floating = [x.dtype.kind == "f" for x in inputs]
    xs = [
        mg.tensor(x, dtype=dtype if real else None, device=device, requires_grad=real)
        for x, real in zip(inputs, floating, strict=True)
    ]
    out = module(*xs)
    leaves = [x for x in [*xs, *module.parameters()] if x.requires_grad]
    gradients = mg.grad((out * out).sum(), leaves, create_graph=True, allow_unused=True) if out.requires_grad else []
    recorded = [g for g in gradients if g is not None and g.requires_grad]
    second = mg.grad(sum((g * g).sum() for g in recorded), leaves, allow_unused=True) if recorded else []
    return [out, *gradients, *second, *module.buffers()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(TABLE))
def test_layers_and_losses(name, dtype):
    for case in TABLE[name]:
        same(*(outcome(name, case, dtype, device) for device in ("cuda", "cpu")), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 10), (64, 10), (5, 33), (7, 1000), (130, 2)])
def test_kernels_at_sizes_beside_a_warp(rows, columns, dtype):
    rng = np.random.default_rng(0)
    logits = 30 * rng.normal(size=(rows, columns))
    logits[0, -1] = 1000.0
    labels = rng.integers(0, columns, rows)
    weight, bias = rng.normal(size=(2, columns))
    results = []
    for device in ("cuda", "cpu"):
        x = mg.tensor(logits, dtype=dtype, device=device, requires_grad=True)
        w, b = (mg.tensor(a, dtype=dtype, device=device, requires_grad=True) for a in (weight, bias))
        loss = nn.functional.cross_entropy(x, mg.tensor(labels, device=device))
        hidden = ops.relu(nn.functional.layer_norm(x, (columns,), w, b))
        results.append([loss, hidden, *mg.grad(loss, x), *mg.grad((hidden * hidden).sum(), [x, w, b])])
    wide = {"rtol": 1e-3, "atol": 1e-3} if dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-9}
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), **wide)


def test_a_nan_among_the_logits_is_not_lost():
    logits = np.zeros((2, 40), np.float32)
    logits[0, 37] = np.nan
    loss = nn.functional.cross_entropy(mg.tensor(logits, device="cuda"), mg.tensor([1, 2], device="cuda"))
    assert np.isnan(loss.item())


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_out_of_range_makes_the_loss_nan(label):
    x = mg.tensor(np.zeros((2, 10), np.float32), device="cuda")
    assert np.isnan(nn.functional.cross_entropy(x, mg.tensor([0, label], device="cuda")).item())


def test_ignored_labels_count_for_nothing():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 5)), np.array([0, 2, -100, 4, 2, -100])
    for ignored in (-100, 2):
        labels = np.where(labels == -100, ignored, labels)
        results = []
        for device in ("cuda", "cpu"):
            x = mg.tensor(logits, device=device, requires_grad=True)
            loss = nn.functional.cross_entropy(x, mg.tensor(labels, device=device), ignore_index=ignored)
            slope = mg.grad(loss, x, create_graph=True)
            results.append([loss, slope, mg.grad((slope * slope).sum(), x)])
        same(*results, np.float64)


def test_logits_that_no_kernel_takes():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(5, 6)), np.array([0, 2, 4, 1, 3, 2])
    results = []
    for device in ("cuda", "cpu"):
        x = mg.tensor(values, device=device, requires_grad=True)
        loss = nn.functional.cross_entropy(x.T, mg.tensor(labels, device=device))
        results.append([loss, mg.grad(loss, x)])
        loss = mg.ops.softmax_cross_entropy(x.T, mg.tensor(labels, device=device).data)
        results[-1] += [loss, mg.grad(loss, x)]
    same(*results, np.float64)


def test_an_average_of_no_loss_is_nan():
    x = mg.tensor(np.zeros((2, 3)), device="cuda", requires_grad=True)
    assert np.isnan(nn.functional.cross_entropy(x, mg.tensor([-100, -100], device="cuda")).item())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_drops_what_it_drops_on_the_cpu(dtype):
    masks = []
    for device in ("cuda", "cpu"):
        mg.manual_seed(7)
        x = mg.tensor(np.ones((5, 7)), dtype=dtype, device=device, requires_grad=True)
        drops = [nn.functional.dropout(x, p) for p in (0.3, 0.5, 0.9)]
        (gradient,) = mg.grad(sum(d.sum() for d in drops), [x])
        masks.append([*(d.numpy() for d in drops), gradient.numpy(), mg.default_generator().random(5)])
    for ours, theirs in zip(*masks, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def launched(simulated, model, x):
    before = len(simulated.launches)
    model(x)
    return [name for name, *_ in simulated.launches[before:]].count("biased_relu")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3), (0, 3)])
def test_a_linear_layer_with_the_relu_behind_it(dtype, shape):
    rng = np.random.default_rng(0)
    weight, bias, x = (rng.normal(size=s).astype(dtype) for s in ((4, 3), (4,), shape))
    if x.size:
        x[..., 0].flat[0] = np.nan
    found = []
    for device in ("cuda", "cpu"):
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).to(device=device, dtype=dtype)
        model.load_state_dict({"0.weight": weight, "0.bias": bias})
        tensor = mg.tensor(x, device=device, requires_grad=True)
        y = model(tensor)
        wanted = [tensor, *model.parameters()]
        gradients = mg.grad(y, wanted, mg.tensor(np.ones(y.shape, dtype), device=device), create_graph=True)
        second = mg.grad(sum((g * g).sum() for g in gradients), wanted, allow_unused=True)
        found.append([y, *gradients, *second])
    close = {"rtol": 2e-2, "atol": 1e-2} if dtype == np.float16 else CLOSE[dtype]
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), **close)


def test_what_is_more_than_a_linear_layer_and_a_relu_is_called(simulated, monkeypatch):
    x = mg.tensor(np.ones((2, 3), np.float32), device="cuda")
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.ReLU(), nn.Linear(4, 4), nn.ReLU()).to("cuda")
    assert launched(simulated, model, x) == 2
    seen = []
    with model[0].register_forward_hook(lambda module, args, answer: seen.append(answer)):
        assert launched(simulated, model, x) == 1
    assert len(seen) == 1
    model[4].forward = lambda x: seen.append(x)
    assert launched(simulated, model, x) == 0
    assert len(seen) == 2

    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    assert launched(simulated, nn.Sequential(Scaled(3, 4), nn.ReLU()).to("cuda"), x) == 0
    assert launched(simulated, nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU()).to("cuda"), x) == 0
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: -x)
    assert launched(simulated, nn.Sequential(nn.Linear(3, 4), nn.ReLU()).to("cuda"), x) == 0
