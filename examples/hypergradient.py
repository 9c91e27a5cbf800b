"""Hypergradient: a learning rate is learned by gradient, through the steps that it leads to.

    python examples/hypergradient.py

A small MLP is trained by Adam, 40 steps from the same start each time. The mean of its losses on the way is
differentiated by Adam's learning rate, whose logarithm then descends. Prints each rate and its loss, and draws the way
against the losses of a sweep. Needs the `examples` extra.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
import nn
import optim

STEPS = 40  # of training, each time
SWEEP = np.geomspace(5e-4, 0.5, 40)
Params = dict[str, mg.Tensor]


class Task:
    """Noisy points of a curve, and an MLP to fit them."""

    def __init__(self, seed: int, device: str = "cpu") -> None:
        random = np.random.default_rng(seed)
        x = random.uniform(-3, 3, (60, 1))
        y = np.sin(2 * x) + 0.3 * x + 0.15 * random.standard_normal(x.shape)
        self.device = device
        self.x, self.y = mg.tensor(x, device=device), mg.tensor(y, device=device)
        mg.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))

    def start(self) -> Params:
        named = self.model.named_parameters()
        return {name: mg.tensor(p, "float64", self.device, requires_grad=True) for name, p in named}

    def loss(self, params: Params) -> mg.Tensor:
        return nn.functional.mse_loss(nn.functional_call(self.model, params, self.x), self.y)


def losses_of_training(task: Task, lr: mg.Tensor | float) -> mg.Tensor:
    """The loss before each step, differentiable by lr where that is a Tensor."""
    adam = optim.functional.pure(optim.Adam, lr=lr)
    params = task.start()
    state = adam.init(params)
    losses = []
    for _ in range(STEPS):
        loss = task.loss(params)
        losses.append(loss)
        grads = mg.grad(loss, list(params.values()), create_graph=isinstance(lr, mg.Tensor))
        params, state = adam.update(params, dict(zip(params, grads, strict=True)), state)
    return mg.stack(losses)


def learned(task: Task, lr: float, iterations: int) -> list[tuple[float, float, float]]:
    """The rates on the way: (lr, loss, d loss / d log lr) of each."""
    log_lr = mg.tensor(np.log(lr), device=task.device, requires_grad=True)
    optimizer = optim.SGD([log_lr], lr=4.0)
    way = []
    for iteration in range(iterations):
        optimizer.zero_grad()
        lr_now = mg.exp(log_lr)
        loss = losses_of_training(task, lr_now).mean()
        loss.backward()
        way.append((lr_now.item(), loss.item(), log_lr.grad.item()))
        print(f"{iteration:3d}  lr {lr_now.item():.5f}  mean loss {loss.item():.4f}", flush=True)
        optimizer.step()
    return way


def draw(task: Task, way: list[tuple[float, float, float]], swept: list[float]) -> Figure:
    """Left: the loss by learning rate, and the way. Right: training with the first rate and with the best."""
    first, best = way[0][0], min(way, key=lambda point: point[1])[0]
    rates, losses, _ = (np.array(column) for column in zip(*way, strict=True))
    figure = Figure(figsize=(11, 4.5), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
    left.plot(SWEEP, swept, color="#8c96a3", linewidth=1.6, label=f"{len(SWEEP)} rates tried one by one")
    for rate, loss, slope in way[::4]:  # tangents, in log lr
        ends = np.array([-0.6, 0.6])
        left.plot(rate * np.exp(ends), loss + slope * ends, color="#2b6cb0", linewidth=1.6, zorder=3)
    left.plot([], [], color="#2b6cb0", linewidth=1.6, label="d loss / d log lr, through all steps")
    left.plot(rates, losses, "o", color="#d9822b", markersize=5, zorder=4, label="gradient descent on log lr")
    left.plot(best, losses.min(), "*", color="#d9822b", markersize=16, zorder=5, label=f"lr = {best:.3f}")
    left.set_xscale("log")
    left.set_ylim(0, 1.25 * losses[0])
    left.set_xlabel("learning rate")
    left.set_ylabel(f"mean loss of {STEPS} steps")
    for lr, color in ((first, "#8c96a3"), (best, "#d9822b")):
        right.plot(losses_of_training(task, lr).numpy(), color=color, linewidth=2, label=f"lr = {lr:.2g}")
    right.set_yscale("log")
    right.set_xlabel("step")
    right.set_ylabel("loss")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lr", type=float, default=1e-3, help="the first learning rate, default: 0.001")
    parser.add_argument("--iterations", type=int, default=20, help="steps of the learning rate, default: 20")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--device", default="cpu", help='"cpu", "cuda" or "cuda:1", default: cpu')
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture, default: out")
    options = parser.parse_args(arguments)
    if not 0 < options.lr < 1:
        parser.error(f"argument --lr: expected a number between 0 and 1, got {options.lr}")
    if options.iterations < 1 or options.seed < 0:
        parser.error(f"expected --iterations from 1 and --seed from 0, got {options.iterations} and {options.seed}")
    try:
        mg.tensor([], device=options.device)
    except (ValueError, RuntimeError) as error:
        parser.error(f"argument --device: {error}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --out: {error}")

    task = Task(options.seed, options.device)
    way = learned(task, options.lr, options.iterations)
    swept = [losses_of_training(task, float(lr)).mean().item() for lr in SWEEP]
    picture = options.out / "hypergradient.png"
    draw(task, way, swept).savefig(picture)
    best = min(way, key=lambda point: point[1])
    print(f"picture: {picture}")
    print(f"best of the sweep: lr {SWEEP[np.argmin(swept)]:.5f}, mean loss {min(swept):.4f}")
    print(f"learned: lr {best[0]:.5f}, mean loss {best[1]:.4f}")


if __name__ == "__main__":
    main()
