"""Regression: an MLP finds a curve again in noisy points.

    python examples/regression.py

Prints the loss and draws the points, the true curve and the fit. Needs the `examples` extra.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
import nn
import optim

NOISE = 0.15


def curve(x: np.ndarray) -> np.ndarray:
    """What is to be found."""
    return np.sin(2 * x) + 0.3 * x


def noisy_points(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 1) on the curve, and their heights with normal noise."""
    random = np.random.default_rng(seed)
    x = random.uniform(-3, 3, (count, 1)).astype(np.float32)
    y = curve(x) + NOISE * random.standard_normal(x.shape)
    return x, y.astype(np.float32)


def fit(x: mg.Tensor, y: mg.Tensor, steps: int, seed: int) -> tuple[nn.Module, float]:
    """A trained model and its loss on the points."""
    mg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)).to(x.device)
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    with mg.no_grad():
        return model, criterion(model(x), y).item()


def draw(model: nn.Module, x: np.ndarray, y: np.ndarray, loss: float) -> Figure:
    """Points, truth and fit in one picture."""
    along = np.linspace(-3, 3, 400, dtype=np.float32)[:, None]
    with mg.no_grad():
        fitted = model.to("cpu")(mg.tensor(along)).numpy()
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.scatter(x, y, s=14, color="#8c96a3", alpha=0.7, linewidth=0, label=f"data, noise {NOISE:g}")
    axes.plot(along, curve(along), color="#222222", linewidth=1.4, linestyle="--", label="truth, sin 2x + 0.3 x")
    axes.plot(along, fitted, color="#d9822b", linewidth=2.2, label=f"fit, mean squared error {loss:.4f}")
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=500, help="default: 500")
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

    x, y = noisy_points(200, options.seed)
    points = (mg.tensor(part, device=options.device) for part in (x, y))
    model, loss = fit(*points, options.steps, options.seed)
    picture = options.out / "regression.png"
    draw(model, x, y, loss).savefig(picture)
    print(f"picture: {picture}")
    print(f"loss: {loss:.4f}")


if __name__ == "__main__":
    main()
