"""Whole runs on the GPU: examples, schedulers, averages, checkpoints that move between devices."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import nn
import optim

EXAMPLES = Path(__file__).parents[2] / "examples"
OPTIONS = {
    "digits": ["--epochs", "2"],
    "regression": ["--steps", "20"],
    "lbfgs": ["--seconds", "0.5"],
    "hypergradient": ["--iterations", "2"],
    "maml": ["--steps", "5"],
    "own_optimizer": ["--steps", "20"],
}
WITH_DEVICE = [path.stem for path in sorted(EXAMPLES.glob("*.py")) if "--device" in path.read_text(encoding="utf-8")]


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", WITH_DEVICE)
def test_examples(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded(name).main(["--device", "cuda", *OPTIONS[name]])
    assert capsys.readouterr().out


def run(device, steps, path=None, start=None):
    """A run with everything that has a state, from a checkpoint or from the beginning; returns it after so many."""
    mg.manual_seed(0)
    first = nn.Linear(4, 8, bias=False)  # whose gradient batch norm would leave as rounding errors, another each time
    model = nn.Sequential(first, nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)).to(device)
    optimizer = optim.AdamW(model.parameters(), lr=0.05)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(30, 4)), rng.integers(0, 2, 30)
    loader = nn.data.DataLoader(data, batch_size=5, shuffle=True)
    parts = {
        "model": model,
        "optimizer": optimizer,
        "scheduler": optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20),
        "averaged": optim.swa_utils.AveragedModel(model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.9)),
        "loader": loader,
        "random": mg.default_generator(),
    }
    done = mg.load(start, **parts)["step"] if start else 0
    while done < steps:
        for x, y in loader:
            optimizer.zero_grad()
            x = mg.tensor(x.data, dtype=np.float32, device=device)
            loss = nn.functional.cross_entropy(model(x), y.to(device))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            parts["scheduler"].step()
            parts["averaged"].update_parameters(model)
            done += 1
            if done == steps:
                break
    if path:
        mg.save(path, step=done, **parts)
    return parts


def weights(parts):
    return [*parts["model"].state_dict().values(), *parts["averaged"].state_dict().values()]


def test_a_run_resumed_on_the_gpu_has_the_bits_of_a_straight_one(tmp_path):
    path = tmp_path / "run.safetensors"
    straight = run("cuda", 9)
    run("cuda", 4, path)
    for ours, theirs in zip(weights(run("cuda", 9, start=path)), weights(straight), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("first", "second"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_checkpoint_goes_from_one_device_to_the_other(tmp_path, first, second):
    path = tmp_path / "run.safetensors"
    run(first, 4, path)
    resumed = run(second, 9, start=path)
    assert {p.device for p in resumed["model"].parameters()} == {"cuda:0" if second == "cuda" else "cpu"}
    for ours, theirs in zip(weights(resumed), weights(run(first, 9)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


CLOSURES = {
    "LBFGS": lambda params: optim.LBFGS(params, line_search_fn="strong_wolfe"),
    "ConjugateGradient": optim.ConjugateGradient,
}


@pytest.mark.parametrize("name", CLOSURES)
def test_algorithms_with_closures(name):
    found = []
    for device in ("cuda", "cpu"):
        p = mg.tensor([-1.2, 1.0], dtype=np.float64, device=device, requires_grad=True)
        optimizer = CLOSURES[name]([p])

        def closure(p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2
            loss.backward()
            return loss

        optimizer.step(closure)
        found.append(p.numpy())
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize("name", ["GaussNewton", "LevenbergMarquardt"])
def test_least_squares(name):
    found = []
    for device in ("cuda", "cpu"):
        p = mg.tensor([-1.2, 1.0], dtype=np.float64, device=device, requires_grad=True)
        optimizer = getattr(optim, name)([p])
        for _ in range(4):
            optimizer.step(lambda p=p: mg.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]]))
        found.append(p.numpy())
    np.testing.assert_allclose(*found, rtol=1e-6)


@pytest.mark.parametrize("name", ["NewtonCG", "AdaHessian"])
def test_algorithms_that_differentiate(name):
    found = []
    for device in ("cuda", "cpu"):
        p = mg.tensor([-1.2, 1.0], dtype=np.float64, device=device, requires_grad=True)
        optimizer = getattr(optim, name)([p])
        for _ in range(3):
            optimizer.step(lambda p=p: 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2)
        found.append(p.numpy())
    np.testing.assert_allclose(*found, rtol=1e-6)
