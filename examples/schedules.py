"""Schedules: every schedule of optim.lr_scheduler on one page, drawn from its formula before there is an optimizer.

    python examples/schedules.py

Draws the lr over 100 steps; base lr 1, where a schedule doesn't set its own. Needs the `examples` extra.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import minigrad as mg
import optim
from optim.lr_scheduler import (
    Constant,
    CosineAnnealing,
    Cyclic,
    Exponential,
    InverseSquareRoot,
    Lambda,
    Linear,
    Multiplicative,
    MultiStep,
    OneCycle,
    OneCycleLR,
    Polynomial,
    ReduceLROnPlateau,
    Schedule,
    Step,
    WarmRestarts,
    WarmupCosine,
    WarmupStableDecay,
)

STEPS = 100
BLUE, ORANGE, GREY = "#3b6fb6", "#d9822b", "#8c96a3"

Curves = dict[str, Schedule]

# panel -> label -> schedule
PANELS: dict[str, Curves] = {
    "Step": {"γ = 0.5 every 20": Step(20, 0.5)},
    "MultiStep": {"γ = 0.4 at 30, 70, 80": MultiStep([30, 70, 80], 0.4)},
    "Constant": {"1/3 for 40 steps": Constant(1 / 3, 40)},
    "Linear": {"0.1 → 1 in 40": Linear(0.1, 1.0, 40), "1 → 0.2 in 80": Linear(1.0, 0.2, 80)},
    "Exponential": {"γ = 0.97": Exponential(0.97), "γ = 0.9": Exponential(0.9)},
    "Polynomial": {"power 2": Polynomial(80, 2.0), "power 0.5": Polynomial(80, 0.5)},
    "Lambda": {"1/(1 + t/10)": Lambda(lambda t: 1 / (1 + t / 10))},
    "Multiplicative": {"λ = 0.99, then 0.93": Multiplicative(lambda t: 0.99 if t < 50 else 0.93)},
    "CosineAnnealing": {"T = 60": CosineAnnealing(60), "T = 100, η_min = 0.3": CosineAnnealing(100, 0.3)},
    "WarmRestarts": {"T_0 = 14, T_mult = 2": WarmRestarts(14, 2)},
    "Cyclic": {
        "triangular2": Cyclic(0.1, 1.0, 16, mode="triangular2"),
        "exp_range": Cyclic(0.1, 1.0, 6, 10, mode="exp_range", gamma=0.98),
    },
    "OneCycle": {
        "two phases": OneCycle(1.0, STEPS, div_factor=10),
        "three": OneCycle(1.0, STEPS, anneal_strategy="linear", div_factor=10, three_phase=True),
    },
    "WarmupCosine": {"10 up, 80 down": WarmupCosine(10, 90), "30, 60": WarmupCosine(30, 90, end_factor=0.2)},
    "WarmupStableDecay": {
        "linear": WarmupStableDecay(10, 30, 95),
        "1 - √x": WarmupStableDecay(10, 30, 95, decay="sqrt"),
    },
    "InverseSquareRoot": {"w = 10": InverseSquareRoot(10), "w = 40": InverseSquareRoot(40)},
    "a.then(b, at=30)": {"line, then cosine": Linear(0.1, 1.0, 30).then(CosineAnnealing(70), at=30)},
    "a * b": {"cosine × steps": CosineAnnealing(12) * Step(25, 0.6), "steps": Step(25, 0.6)},
    "0.2 + 0.8 * a": {"raised": 0.2 + 0.8 * Exponential(0.93), "a": Exponential(0.93)},
}
COLUMNS = 5


def draw() -> Figure:
    """A panel for each schedule, and two for schedulers that need an optimizer."""
    rows = -(-(len(PANELS) + 2) // COLUMNS)
    figure = Figure(figsize=(2.7 * COLUMNS, 2.35 * rows), dpi=110, layout="constrained")
    figure.suptitle(f"The schedules of optim.lr_scheduler over {STEPS} steps", fontsize=15, x=0.01, ha="left")
    figure.get_layout_engine().set(hspace=0.06, wspace=0.04)
    grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True)
    panels = iter(grid.ravel())
    for title, curves in PANELS.items():
        draw_schedules(next(panels), title, curves)
    draw_plateau(next(panels))
    draw_momentum(next(panels))
    for axes in panels:
        axes.axis("off")
    for axes in grid[-1]:
        axes.set_xlabel("step")
    for axes in grid[:, 0]:
        axes.set_ylabel("lr")
    return figure


def draw_schedules(axes: Axes, title: str, curves: Curves) -> None:
    """What the schedules are worth at each step."""
    steps = np.arange(STEPS)
    for color, (label, schedule) in zip((BLUE, ORANGE), curves.items(), strict=False):
        draw_values(axes, schedule.at(steps), color, label)
    finish(axes, title)


def draw_plateau(axes: Axes) -> None:
    """ReduceLROnPlateau, and the made-up loss that it looks at."""
    random = np.random.default_rng(0)
    losses = 0.1 + 0.8 * np.exp(-np.arange(STEPS) / 10) + 0.01 * random.standard_normal(STEPS)
    optimizer = new_optimizer()
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=8)
    lrs = []
    for loss in losses:
        lrs.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    draw_values(axes, lrs, BLUE, "lr")
    draw_values(axes, losses, GREY, "loss")
    finish(axes, "ReduceLROnPlateau")


def draw_momentum(axes: Axes) -> None:
    """OneCycleLR moves the momentum against the lr."""
    optimizer = new_optimizer()
    scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=STEPS, base_momentum=0.6)
    values = []
    for _ in range(STEPS):
        group = optimizer.param_groups[0]
        values.append((group["lr"], group["momentum"]))
        optimizer.step()
        scheduler.step()
    lrs, momentums = np.transpose(values)
    draw_values(axes, lrs, BLUE, "lr")
    draw_values(axes, momentums, GREY, "momentum")
    finish(axes, "OneCycleLR and momentum")


def new_optimizer() -> optim.Optimizer:
    """One to be scheduled, with a gradient of zero."""
    p = mg.tensor([0.0], requires_grad=True)
    p.grad = mg.tensor([0.0])
    return optim.SGD([p], lr=1.0, momentum=0.9)


def draw_values(axes: Axes, values: Sequence[float] | np.ndarray, color: str, label: str) -> None:
    """One curve, a stair a step."""
    axes.step(range(len(values)), values, where="post", color=color, linewidth=1.6, label=label)


def finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10.5, loc="left")
    axes.set(xlim=(0, STEPS), ylim=(0, 1.42), xticks=range(0, STEPS + 1, 25), yticks=(0, 0.5, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=7.5, loc="upper right", ncols=2, handlelength=1.2, columnspacing=1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture, default: out")
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --out: {error}")
    picture = options.out / "schedules.png"
    draw().savefig(picture)
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
