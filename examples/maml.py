"""MAML: a start from which a few points and one gradient step are enough.

    python examples/maml.py

Each task is a sine wave of its own amplitude and phase, seen at ten points. The start is trained so that the loss
after a step of gradient descent is small, by differentiating through that step: Finn, Abbeel and Levine,
"Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks" (2017), section 5.1. Beside it: a start trained on
all waves together, and a random one. Prints the losses on new waves and draws one of them. Needs the `examples` extra.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
import optim

SIZES = (1, 40, 40, 1)
POINTS = 10  # that a task is learned from
TASKS = 25  # a step of the start
STEPS = 10  # of adaptation, when tested
RATES = (0.003, 0.01, 0.03, 0.1)  # of adaptation: each start is tested with the one that suits it best
Params = list[mg.Tensor]
Waves = tuple[np.ndarray, np.ndarray]  # amplitudes and phases, of shape (tasks, 1, 1)


def random_start(random: np.random.Generator, device: str) -> Params:
    """Weights and biases of an MLP, layer by layer."""
    params = []
    for ins, outs in pairwise(SIZES):
        weight = random.standard_normal((ins, outs)) * np.sqrt(2 / ins)
        params += [mg.tensor(a, "float32", device, requires_grad=True) for a in (weight, np.zeros((1, outs)))]
    return params


def predicted(params: Params, x: mg.Tensor) -> mg.Tensor:
    """What the MLP makes of points (tasks, points, 1). Its arrays may have a first axis too: an MLP for each task."""
    for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
        x = mg.relu(x @ weight + bias)
    return x @ params[-2] + params[-1]


def losses(params: Params, points: tuple[mg.Tensor, mg.Tensor]) -> mg.Tensor:
    """The mean squared error of each task."""
    x, y = points
    return ((predicted(params, x) - y) ** 2).mean(axis=(1, 2))


def random_waves(random: np.random.Generator, tasks: int) -> Waves:
    return random.uniform(0.1, 5, (tasks, 1, 1)), random.uniform(0, np.pi, (tasks, 1, 1))


def on_waves(waves: Waves, x: np.ndarray, device: str) -> tuple[mg.Tensor, mg.Tensor]:
    amplitude, phase = waves
    return mg.tensor(x, "float32", device), mg.tensor(amplitude * np.sin(x - phase), "float32", device)


def some_points(waves: Waves, random: np.random.Generator, device: str) -> tuple[mg.Tensor, mg.Tensor]:
    return on_waves(waves, random.uniform(-5, 5, (len(waves[0]), POINTS, 1)), device)


def adapted(start: Params, points: tuple[mg.Tensor, mg.Tensor], lr: float, steps: int) -> list[Params]:
    """The start, and what it is after each step of gradient descent, for each task by itself; differentiable."""
    sgd = optim.functional.pure(optim.SGD, lr=lr)
    tasks = len(points[0])
    params = [mg.broadcast_to(p, (tasks, *p.shape)) for p in start]
    state = sgd.init(params)
    way = [params]
    for _ in range(steps):
        grads = mg.grad(losses(params, points).sum(), params, create_graph=True)
        params, state = sgd.update(params, grads, state)
        way.append(params)
    return way


def trained(start: Params, steps: int, random: np.random.Generator, adapts: bool) -> Params:
    """The start after training: for the loss after a step of adaptation, or else for the loss as it is."""
    optimizer, device = optim.Adam(start, lr=0.01), start[0].device
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / steps)
        waves = random_waves(random, TASKS)
        params = adapted(start, some_points(waves, random, device), 0.01, 1)[-1] if adapts else start
        loss = losses(params, some_points(waves, random, device)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % max(1, steps // 5) == 0:
            print(f"  {step + 1} steps, loss {loss.item():.2f}", flush=True)
    return start


def tested(start: Params, waves: Waves, lr: float, random: np.random.Generator) -> list[float]:
    """The mean loss over whole waves, before adaptation and after each step."""
    device = start[0].device
    x = np.broadcast_to(np.linspace(-5, 5, 100)[None, :, None], (len(waves[0]), 100, 1))
    everywhere = on_waves(waves, x, device)
    way = adapted(start, some_points(waves, random, device), lr, STEPS)
    with mg.no_grad():
        return [losses(params, everywhere).mean().item() for params in way]


def draw(starts: dict[str, Params], rates: dict[str, float], curves: dict[str, list[float]], seed: int) -> Figure:
    """One new wave from two starts, and the mean loss by step from all."""
    random = np.random.default_rng(seed + 2)
    wave = (np.full((1, 1, 1), 3.5), np.full((1, 1, 1), 0.8))
    device = starts["MAML"][0].device
    points = some_points(wave, random, device)
    x, y = on_waves(wave, np.linspace(-5, 5, 200)[None, :, None], device)
    figure = Figure(figsize=(13, 4.3), dpi=110, layout="constrained")
    *pictures, right = figure.subplots(1, 3)
    for axes, name in zip(pictures, ("MAML", "joint"), strict=True):
        way = adapted(starts[name], points, rates[name], STEPS)
        axes.plot(x.numpy().ravel(), y.numpy().ravel(), color="#222222", linestyle="--", linewidth=1.2, label="truth")
        for steps, color in ((0, "#b8c0cc"), (1, "#f0b27a"), (STEPS, "#d9822b")):
            label = "before" if steps == 0 else f"after {steps} step{'s' * (steps > 1)}"
            with mg.no_grad():
                fitted = predicted(way[steps], x).numpy().ravel()
            axes.plot(x.numpy().ravel(), fitted, color=color, linewidth=2, label=label)
        axes.scatter(
            *(a.numpy().ravel() for a in points), color="#2b6cb0", zorder=3, s=28, label=f"the {POINTS} points"
        )
        axes.set_title("the start by MAML" if name == "MAML" else "the start by all waves together (joint)")
        axes.set_ylim(-6.5, 4.5)
        axes.set_xlabel("x")
        axes.set_ylabel("y")
        axes.legend(frameon=False, loc="lower left", ncols=2, fontsize=8.5)
    for (name, curve), color in zip(curves.items(), ("#d9822b", "#2b6cb0", "#8c96a3"), strict=True):
        right.plot(curve, color=color, marker="o", markersize=3.5, label=f"{name}, lr {rates[name]:g}")
    right.set_yscale("log")
    right.set_xlabel("steps of adaptation")
    right.set_ylabel("mean squared error")
    right.set_title("on new waves")
    right.legend(frameon=False)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=6000, help="of training a start, default: 6000")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--device", default="cpu", help='"cpu", "cuda" or "cuda:1", default: cpu')
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture, default: out")
    options = parser.parse_args(arguments)
    if options.steps < 1 or options.seed < 0:
        parser.error(f"expected --steps from 1 and --seed from 0, got {options.steps} and {options.seed}")
    try:
        mg.tensor([], device=options.device)
    except (ValueError, RuntimeError) as error:
        parser.error(f"argument --device: {error}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --out: {error}")

    starts = {}
    for name in ("MAML", "joint", "random"):
        random = np.random.default_rng(options.seed)
        start = random_start(random, options.device)
        if name != "random":
            print(f"{name} start:")
            start = trained(start, options.steps, random, adapts=name == "MAML")
        starts[name] = start
    rates, curves = {}, {}
    for name, start in starts.items():
        waves = random_waves(np.random.default_rng(options.seed + 3), 200)  # to choose the rate by
        with np.errstate(all="ignore"):  # some rates are too large
            ends = {lr: tested(start, waves, lr, np.random.default_rng(options.seed + 4))[-1] for lr in RATES}
        rates[name] = min(ends, key=lambda lr: ends[lr] if np.isfinite(ends[lr]) else np.inf)
        random = np.random.default_rng(options.seed + 5)
        curves[name] = tested(start, random_waves(random, 500), rates[name], random)
    picture = options.out / "maml.png"
    draw(starts, rates, curves, options.seed).savefig(picture)
    print(f"picture: {picture}")
    print("mean squared error on 500 new waves:")
    print(f"start   lr     before   1 step   {STEPS} steps")
    for name, curve in curves.items():
        print(f"{name:7s} {rates[name]:<5g} {curve[0]:7.3f}  {curve[1]:7.3f}   {curve[-1]:7.3f}")


if __name__ == "__main__":
    main()
