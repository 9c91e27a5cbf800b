"""Devices: one word changed moves a program, mixed devices and missing GPUs are told clearly, memory is accounted."""

import builtins
import sys
import types

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from minigrad import backend


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_one_word(device):
    assert mg.tensor([1.0], device=device).device == "cuda:0"
    assert mg.tensor([1.0]).to(device).device == "cuda:0"
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to(device)
    assert {p.device for p in [*model.parameters(), *model.buffers()]} == {"cuda:0"}
    assert nn.Linear(2, 3, device=device).weight.device == "cuda:0"
    assert {p.device for p in model.to("cpu").parameters()} == {"cpu"}


def test_a_parameter_stays_itself_and_its_gradient_goes_with_it():
    layer = nn.Linear(2, 3)
    weight = layer.weight
    layer(mg.tensor(np.ones((1, 2), np.float32))).sum().backward()
    layer.to("cuda")
    assert layer.weight is weight
    assert weight.grad.device == "cuda:0"


def test_the_same_seed_gives_the_same_weights():
    weights = []
    for device in ("cpu", "cuda"):
        mg.manual_seed(1)
        weights.append(nn.Linear(5, 4, device=device).weight.numpy())
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize("call", [lambda a, b: a + b, lambda a, b: a @ b, lambda a, b: mg.concatenate([a, b])])
def test_mixed_devices(call):
    a, b = mg.tensor(np.ones((2, 2)), device="cuda", requires_grad=True), mg.tensor(np.ones((2, 2)))
    for pair in ((a, b), (b, a)):
        with pytest.raises(
            (TypeError, ValueError), match=r"(add|matmul|concatenate): expected arrays on one .*cpu and cuda:0"
        ):
            call(*pair)


def test_a_model_and_a_batch_on_two_devices():
    model = nn.Sequential(nn.Linear(2, 3, device="cuda"))
    with pytest.raises((TypeError, ValueError), match=r"linear: expected arrays on one device, not on cpu and cuda:0"):
        model(mg.tensor(np.ones((1, 2), np.float32)))


def test_a_gpu_that_is_not_there():
    with pytest.raises(RuntimeError, match=r"device 'cuda:99': this machine has \d+ GPU"):
        mg.tensor([1.0], device="cuda:99")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "", None, 0])
def test_a_name_that_is_no_device(device):
    with pytest.raises((ValueError, TypeError), match="device must be"):
        backend.checked_device(device)


def without_cupy(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    ordinary = builtins.__import__

    def importing(name, *args, **options):
        if name == "cupy":
            raise ModuleNotFoundError("No module named 'cupy'")
        return ordinary(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", importing)


@pytest.fixture
def fresh_probe():
    """The GPU is looked for anew."""
    backend._working_cupy.cache_clear()
    yield
    backend._working_cupy.cache_clear()


def test_cupy_is_missing(monkeypatch, fresh_probe):
    without_cupy(monkeypatch)
    with pytest.raises(RuntimeError, match=r"device 'cuda:0' needs CuPy.*pip install '\.\[cuda12\]'.*'\.\[cuda13\]'"):
        mg.tensor([1.0], device="cuda")


def fake(monkeypatch, **parts):
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "13.0"
    cupy.ndarray = type("ndarray", (), {})
    device = type("Device", (), {"__init__": lambda s, i: None, "__enter__": lambda s: s, "__exit__": lambda *a: None})
    runtime = types.SimpleNamespace(getDeviceCount=parts.pop("count", lambda: 1))
    cupy.cuda = types.SimpleNamespace(runtime=runtime, Device=device)
    for name, value in parts.items():
        setattr(cupy, name, value)
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def raising(error):
    def function(*_):
        raise error

    return function


def test_no_driver(monkeypatch, fresh_probe):
    fake(monkeypatch, count=raising(RuntimeError("cudaErrorInsufficientDriver: insufficient")))
    with pytest.raises(RuntimeError, match=r"finds no usable GPU \(cudaErrorInsufficientDriver.*nvidia-smi"):
        mg.tensor([1.0], device="cuda")


def test_a_package_for_another_version_of_cuda(monkeypatch, fresh_probe):
    fake(monkeypatch, arange=raising(RuntimeError("CUDA_ERROR_UNSUPPORTED_PTX_VERSION")))
    with pytest.raises(RuntimeError, match=r"ran no kernel \(CUDA_ERROR.*cupy-cuda12x.*cupy-cuda13x"):
        mg.tensor([1.0], device="cuda")


def test_a_probe_that_failed_is_made_again(monkeypatch, fresh_probe, gpu):
    with monkeypatch.context() as patch:
        fake(patch, count=raising(RuntimeError("not yet")))
        with pytest.raises(RuntimeError, match="not yet"):
            backend.checked_device("cuda")
    assert backend.checked_device("cuda") == "cuda:0"


# --- memory


def test_a_summary_of_the_memory():
    lines = mg.memory_summary().splitlines()
    assert lines[0].split() == ["in", "use", "free", "in", "pool", "free", "of", "all", "MiB"]
    name, *sizes = lines[1].split()
    assert name == "cuda:0"
    assert len(sizes) == 4
    assert all(float(size) >= 0 for size in sizes)


def test_without_a_gpu_there_is_none_in_use(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    assert "no memory of a GPU is in use" in mg.memory_summary()


def test_freed_memory_is_not_in_use(real):
    import cupy

    used = cupy.get_default_memory_pool().used_bytes
    before = used()
    big = mg.tensor(np.zeros(10_000_000, np.float32), device="cuda")
    assert used() - before >= 40_000_000
    shown = float(mg.memory_summary().splitlines()[1].split()[1])
    assert shown >= 38
    del big
    assert used() == before
    assert float(mg.memory_summary().splitlines()[1].split()[1]) <= shown - 38


# --- training


def test_a_network_learns_as_on_the_cpu():
    losses = []
    for device in ("cuda", "cpu"):
        mg.manual_seed(0)
        rng = np.random.default_rng(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 3)).to(device)
        optimizer = optim.AdamW(model.parameters(), lr=0.05)
        path = []
        for _ in range(20):
            x = mg.tensor(rng.normal(size=(16, 4)).astype(np.float32), device=device)
            y = mg.tensor(rng.integers(0, 3, 16), device=device)
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss()(model(x), y)
            loss.backward()
            optimizer.step()
            path.append(loss.item())
        losses.append(path)
    np.testing.assert_allclose(*losses, rtol=1e-3)
