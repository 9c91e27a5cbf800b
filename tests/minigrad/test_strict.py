"""Everything on an array that refuses what CuPy refuses, beside the same on NumPy's."""

import contextlib
import copy

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from minigrad import backend, ops
from optim.formula import execution
from tests.strict_array import StrictArray, strict


def numpys(data, dtype=None):
    return np.array(data, dtype)


@pytest.fixture(autouse=True)
def strict_devices(monkeypatch):
    """Let tensors move to the pretended device, as they do to "cuda:0"."""
    elsewhere = backend.to_device

    def to_device(array, device):
        if not device.startswith("strict"):
            return elsewhere(array, device)
        return array if backend.device_of(array) == device else strict(backend.to_numpy(array), device=device)

    monkeypatch.setattr(backend, "to_device", to_device)


# Each: shapes of the tensors, and a call on them; `a` makes a constant array of the same kind.
VECTOR, MATRIX, CUBE = (4,), (3, 4), (2, 3, 4)
UNARY = [
    "absolute", "arctan", "cos", "cosh", "exp", "expm1", "negative", "positive", "sign", "sin", "sinh", "square", "tan",
    "tanh", "reciprocal", "erf", "relu", "leaky_relu", "elu", "sigmoid", "silu", "softplus", "gelu", "ravel", "flip",
    "transpose", "cumsum", "softmax", "log_softmax", "squeeze", "diagonal", "trace",
]  # fmt: skip
BINARY = ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum"]
LOSSES = ["logistic_loss", "mean_squared_error"]
COMPARISONS = [
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or"
]  # fmt: skip
CONSTANT = ["isnan", "isinf", "isfinite", "logical_not", "zeros_like", "ones_like"]
REDUCTIONS = ["sum", "mean", "max", "min", "prod", "any", "all", "var", "std", "logsumexp", "norm", "argmax", "argmin"]


def each(names, shapes, form):
    """A call of each operation; `form` takes the operation and the tensors."""
    return [(name, shapes, lambda a, *xs, f=f: form(f, *xs)) for name in names for f in [getattr(ops, name)]]


CALLS = [
    *each(UNARY + CONSTANT + REDUCTIONS, [MATRIX], lambda f, x: f(x)),
    *each(["log", "log1p", "log2", "sqrt"], [MATRIX], lambda f, x: f(x * x + 0.1)),
    *each(["arcsin", "arccos"], [MATRIX], lambda f, x: f(x * 0.1)),
    *each(BINARY + COMPARISONS + LOSSES, [MATRIX, MATRIX], lambda f, x, y: f(x * x + 0.5, y)),
    *each(BINARY, [MATRIX, VECTOR], lambda f, x, y: f(x * x + 0.5, y)),
    *each(BINARY + COMPARISONS, [MATRIX], lambda f, x: f(x * x + 0.5, 2)),
    *each(BINARY + COMPARISONS, [MATRIX], lambda f, x: f(2.0, x * x + 0.5)),
    *each([*REDUCTIONS, "cumsum", "softmax"], [CUBE], lambda f, x: f(x, axis=1)),
    *each(REDUCTIONS, [CUBE], lambda f, x: f(x, axis=-1, keepdims=True)),
    *each(REDUCTIONS[:9], [CUBE], lambda f, x: f(x, axis=(0, 2))),
    ("floor_divide", [MATRIX], lambda a, x: ops.floor_divide(x, 0.3)),
    ("remainder", [MATRIX, MATRIX], lambda a, x, y: ops.remainder(x, y * y + 0.3)),
    ("where", [MATRIX, VECTOR], lambda a, x, y: ops.where(x > 0, x, y)),
    ("where", [MATRIX], lambda a, x: ops.where(a([True, False, True, False]), x, 0.0)),
    ("clip", [MATRIX], lambda a, x: ops.clip(x, -0.5, 0.5)),
    ("clip", [MATRIX, VECTOR], lambda a, x, y: ops.clip(x, y, None)),
    ("astype", [MATRIX], lambda a, x: ops.astype(x, np.float32)),
    ("to_device", [MATRIX], lambda a, x: ops.to_device(x, "cpu")),
    ("bitwise_and", [MATRIX], lambda a, x: (x > 0) & (x < 1)),
    ("bitwise_or", [MATRIX], lambda a, x: (x > 0) | (x < -1)),
    ("bitwise_xor", [MATRIX], lambda a, x: (x > 0) ^ (x < 1)),
    ("invert", [MATRIX], lambda a, x: ~(x > 0)),
    ("getitem", [MATRIX], lambda a, x: x[1:, ::-1]),
    ("getitem", [MATRIX], lambda a, x: x[0, 1]),
    ("getitem", [MATRIX], lambda a, x: x[[0, 2, 2]]),
    ("getitem", [MATRIX], lambda a, x: x[a([0, 2, 2])]),
    ("getitem", [MATRIX], lambda a, x: x[mg.Tensor(a([0, 2, 2])), mg.Tensor(a([1, 1, 1]))]),
    ("getitem", [MATRIX], lambda a, x: x[x > 0]),
    ("one_hot", [MATRIX], lambda a, x: ops.one_hot(mg.Tensor(a([0, 2, 1])), 3)),
    ("take", [MATRIX], lambda a, x: ops.take(x, [0, 2, 2], 0)),
    ("take", [MATRIX], lambda a, x: ops.take(x, a([0, 2, 2]))),
    ("take_along_axis", [MATRIX], lambda a, x: ops.take_along_axis(x, a([[0], [1], [0]]), 1)),
    ("take_along_axis", [MATRIX], lambda a, x: ops.take_along_axis(x, ops.argmax(x, 1, keepdims=True), 1)),
    ("diagonal", [CUBE], lambda a, x: ops.diagonal(x, 1, 2, 0)),
    ("dot", [MATRIX, VECTOR], lambda a, x, y: ops.dot(x, y)),
    ("dot", [CUBE, (4, 2)], lambda a, x, y: ops.dot(x, y)),
    ("matmul", [MATRIX, (4, 2)], lambda a, x, y: x @ y),
    ("matmul", [CUBE, VECTOR], lambda a, x, y: x @ y),
    ("matmul", [VECTOR, (2, 4, 3)], lambda a, x, y: x @ y),
    ("outer", [VECTOR, VECTOR], lambda a, x, y: ops.outer(x, y)),
    ("einsum", [MATRIX, (4, 2)], lambda a, x, y: ops.einsum("ij,jk->ki", x, y)),
    ("einsum", [(3, 3)], lambda a, x: ops.einsum("ii->i", x)),
    ("einsum", [CUBE, VECTOR], lambda a, x, y: ops.einsum("...i,i->...", x, y)),
    ("linear", [MATRIX, (2, 4), (2,)], lambda a, x, w, b: ops.linear(x, w, b)),
    ("linear", [CUBE, (2, 4), (2,)], lambda a, x, w, b: ops.linear(x, w, b)),
    ("linear", [MATRIX, (2, 4)], lambda a, x, w: ops.linear(x, w)),
    ("gelu", [MATRIX], lambda a, x: ops.gelu(x, "tanh")),
    ("softmax_cross_entropy", [MATRIX], lambda a, x: ops.softmax_cross_entropy(x, a([0, 3, 1]))),
    ("norm", [MATRIX], lambda a, x: ops.norm(x, 1, axis=0)),
    ("norm", [MATRIX], lambda a, x: ops.norm(x, 3, axis=0)),
    ("broadcast_to", [VECTOR], lambda a, x: ops.broadcast_to(x, (3, 4))),
    ("concatenate", [MATRIX, (1, 4)], lambda a, x, y: ops.concatenate([x, y, x])),
    ("stack", [MATRIX, MATRIX], lambda a, x, y: ops.stack([x, y], 1)),
    ("split", [MATRIX], lambda a, x: ops.split(x, 2, 1)[1]),
    ("expand_dims", [MATRIX], lambda a, x: ops.expand_dims(x, (0, -1))),
    ("pad", [MATRIX], lambda a, x: ops.pad(x, ((1, 0), (2, 1)))),
    ("pad", [MATRIX], lambda a, x: ops.pad(x, 1, "reflect")),
    ("repeat", [MATRIX], lambda a, x: ops.repeat(x, 2, 1)),
    ("repeat", [MATRIX], lambda a, x: ops.repeat(x, [1, 0, 2], 0)),
    ("reshape", [MATRIX], lambda a, x: ops.reshape(x, (2, -1))),
    ("roll", [MATRIX], lambda a, x: ops.roll(x, (1, 2), (0, 1))),
    ("squeeze", [(1, 4, 1)], lambda a, x: ops.squeeze(x, 0)),
    ("swapaxes", [CUBE], lambda a, x: ops.swapaxes(x, 0, 2)),
    ("transpose", [CUBE], lambda a, x: ops.transpose(x, (1, 2, 0))),
    ("flip", [CUBE], lambda a, x: ops.flip(x, (0, 2))),
    ("an update", [VECTOR, VECTOR], lambda a, x, y: 1 - x / (2 + y * y) ** 0.5 - (-y)),
    ("numpy's functions", [VECTOR, VECTOR], lambda a, x, y: np.exp(x) + a([1.0, 2.0, 3.0, 4.0]) * np.sum(y)),
]  # fmt: skip
OUT = {"to_device"}  # its answer is on the CPU


def test_every_operation_is_here():
    assert {name for name, *_ in CALLS} >= set(ops.__all__)


def computed(make, shapes, call):
    """Value, gradients and second derivatives of a call on tensors that hold `make`'s arrays."""
    rng = np.random.default_rng(0)
    xs = [mg.Tensor(make(rng.normal(size=shape))) for shape in shapes]
    for x in xs:
        x.requires_grad = True
    value = call(make, *xs)
    if not value.requires_grad:
        return [value]
    seed = mg.tensor(rng.normal(size=value.shape), dtype=value.dtype)
    if isinstance(value.data, StrictArray):
        seed = mg.Tensor(make(seed.data))
    value.backward(seed, retain_graph=True)
    gradients = [x.grad for x in xs]
    again = mg.grad(value, xs, seed, create_graph=True, allow_unused=True)
    for x in xs:
        x.grad = None
    second = []
    recorded = [g for g in again if g is not None and g.requires_grad]
    if recorded:
        total = sum((g * g).sum() for g in recorded)
        second = mg.grad(total, xs, allow_unused=True)
    return [value, *gradients, *again, *second]


@pytest.mark.parametrize(("name", "shapes", "call"), CALLS, ids=[f"{i}-{call[0]}" for i, call in enumerate(CALLS)])
def test_operations_and_their_derivatives(name, shapes, call):
    wanted, found = computed(numpys, shapes, call), computed(strict, shapes, call)
    assert len(found) == len(wanted)
    for i, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        if theirs is None:
            assert ours is None
            continue
        assert ours.dtype == theirs.dtype
        assert isinstance(ours.data, np.ndarray if name in OUT and i == 0 else StrictArray)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-14)


def test_a_tensor_says_where_it_is_and_shows_its_values():
    x = mg.tensor(strict([1.0, 2.0]))
    assert x.device == "strict:0"
    assert repr(x) == "tensor([1., 2.], dtype=float64, device='strict:0')"
    assert x.tolist() == [1.0, 2.0]
    assert x[0].item() == 1.0
    assert x.to("cpu").device == "cpu"
    x[0] = 5.0
    x[1:] = mg.tensor(strict([7.0]))
    x += 1
    np.testing.assert_array_equal(x.numpy(), [6.0, 8.0])


def test_a_copy_stays_where_it_is():
    x = mg.tensor(strict([1.0]), requires_grad=True)
    (x * 2.0).backward()
    y = copy.deepcopy(x)
    assert isinstance(y.data, StrictArray)
    assert isinstance(y.grad.data, StrictArray)


@pytest.mark.parametrize("other", [np.ones(2), mg.tensor([1.0, 2.0]), mg.tensor(strict([1.0, 2.0], device="strict:1"))])
@pytest.mark.parametrize("call", [mg.add, mg.multiply, mg.dot, mg.maximum, lambda a, b: mg.concatenate([a, b])])
def test_devices_do_not_mix(call, other):
    x = mg.tensor(strict([1.0, 2.0]), requires_grad=True)
    with pytest.raises(
        (TypeError, ValueError), match=r"(add|multiply|dot|maximum|concatenate): .*strict:0.*(cpu|strict:1)"
    ):
        call(x, other)


def test_a_gradient_on_another_device_is_refused():
    x = mg.tensor(strict([1.0, 2.0]), requires_grad=True)
    with pytest.raises((TypeError, ValueError), match=r"grad: .*(cpu|strict)"):
        x.grad = np.ones(2)
    with pytest.raises((TypeError, ValueError), match=r"backward: .*(cpu|strict)"):
        (x * 2.0).backward(np.ones(2))


def test_writes_are_noticed():
    x = mg.tensor(strict([1.0, 2.0]), requires_grad=True)
    out = (x.reshape(2, 1) * x.reshape(2, 1)).sum()
    with mg.no_grad():
        x[0] = 5.0
    with pytest.raises(RuntimeError, match="written in place"):
        out.backward()


def test_leaves_own_their_gradients():
    x, y = (mg.tensor(strict(np.ones((2, 3))), requires_grad=True) for _ in range(2))
    (x + y + x.T.reshape(2, 3)).sum().backward()
    for p in (x, y):
        assert p.grad.data.base is None
        p.grad.data[...] = 7.0
    assert not np.may_share_memory(x.grad.data._array, y.grad.data._array)


# --- training

OPTIMIZERS = {
    "SGD": lambda params: optim.SGD(params, lr=0.1),
    "SGD with everything": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "Adam": lambda params: optim.Adam(params, lr=0.1),
    "AMSGrad": lambda params: optim.Adam(params, lr=0.1, amsgrad=True, weight_decay=0.01),
}


def network(make, dtype=np.float64):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    for p in model.parameters():
        p.data = make(rng.normal(size=p.shape), dtype)
    return model


def trained(make, make_optimizer, name):
    """Losses and parameters of a few steps."""
    rng = np.random.default_rng(1)
    model = network(make)
    optimizer = make_optimizer(model.parameters())
    losses = []
    with execution(name) if name else contextlib.nullcontext():
        for _ in range(4):
            x, labels = make(rng.normal(size=(5, 4))), make(rng.integers(0, 3, 5))
            loss = nn.CrossEntropyLoss()(model(mg.Tensor(x)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, model, optimizer


@pytest.mark.parametrize("name", [None, "eager", "blocked"])
@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_network_is_trained(make_optimizer, name):
    wanted, numpy_model, _ = trained(numpys, make_optimizer, name)
    found, model, optimizer = trained(strict, make_optimizer, name)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    for p, q in zip(model.parameters(), numpy_model.parameters(), strict=True):
        assert isinstance(p.data, StrictArray)
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-10)
        for value in optimizer.state[p].values():
            assert isinstance(value, StrictArray | int)


def test_numba_says_that_it_cannot():
    p = nn.Parameter(strict([1.0]))
    p.grad = strict([1.0])
    with execution("numba"), pytest.raises((TypeError, RuntimeError), match=r"numba.*(strict|NumPy)"):
        optim.SGD([p], lr=0.5).step()
    assert p.item() == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", [lambda a: a, lambda a: a.T, lambda a: a[::-1], lambda a: a[:, ::2]])
def test_parameters_and_gradients_in_any_layout(layout, dtype):
    p, q = nn.Parameter(layout(strict(np.ones((4, 4)), dtype))), nn.Parameter(layout(np.ones((4, 4), dtype)))
    p.grad, q.grad = layout(strict(np.ones((4, 4)), dtype)), layout(np.ones((4, 4), dtype))
    for parameter in (p, q):
        optimizer = optim.Adam([parameter], lr=0.1)
        for _ in range(3):
            optimizer.step()
    np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_state_is_saved_as_numpys_arrays_and_loaded_where_the_parameter_is():
    _, model, optimizer = trained(strict, OPTIMIZERS["AMSGrad"], "eager")
    saved, weights = optimizer.state_dict(), model.state_dict()
    assert all(isinstance(v, np.ndarray | int) for entry in saved["state"].values() for v in entry.values())
    assert all(isinstance(v, np.ndarray) for v in weights.values())
    other = network(strict)
    other.load_state_dict(weights)
    again = OPTIMIZERS["AMSGrad"](other.parameters())
    again.load_state_dict(saved)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert isinstance(q.data, StrictArray)
        p.grad = q.grad = strict(np.ones(p.shape))
        for value in again.state[q].values():
            assert isinstance(value, StrictArray | int)
    with execution("eager"):
        optimizer.step()
        again.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize(
    "loss", [nn.MSELoss(), nn.BCEWithLogitsLoss(), nn.MSELoss(reduction="sum"), nn.CrossEntropyLoss(reduction="sum")]
)
def test_losses(loss):
    results = []
    for make in (numpys, strict):
        x = mg.tensor(make(np.linspace(-1, 1, 6).reshape(2, 3)), requires_grad=True)
        target = make([0, 2]) if isinstance(loss, nn.CrossEntropyLoss) else make(np.linspace(0, 1, 6).reshape(2, 3))
        out = loss(x, target)
        out.backward()
        results.append((out.numpy(), x.grad.numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
