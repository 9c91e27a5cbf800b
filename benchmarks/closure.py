"""One step of LBFGS on the digits, full batch: ours, torch's and SciPy's, and what each takes beyond the closure.

    python benchmarks/closure.py [--quick] [--out FILE]

An MLP in float32 on all 1 797 images. Each optimizer's history is full before it is timed, and steps are of `max_iter`
4. A contestant's time beyond the closure is what its step takes less its calls of the closure, both timed in the same
step. All are timed in turn, in an order drawn anew in each round. SciPy's L-BFGS-B, in float64, has no state: its step
begins with an empty history.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from common import Others, figure, print_table, report, write_json
from sklearn.datasets import load_digits

import minigrad as mg
import nn
import optim

SIZES = {"9 thousand": (64, 128, 10), "1 million": (64, 900, 1000, 40, 10)}
HISTORIES = (10, 100)
ITERATIONS = 4

Closure = Callable[..., Any]
"""Computes loss and gradients, of all images or of the first few."""
Contestant = Callable[[], float]
"""Takes a step; returns the seconds beyond the closure."""


class Clock:
    """A closure that adds up the time spent in it."""

    def __init__(self, closure: Closure) -> None:
        self.closure, self.spent = closure, 0.0

    def __call__(self) -> Any:
        start = time.perf_counter()
        answer = self.closure()
        self.spent += time.perf_counter() - start
        return answer

    def beyond(self, step: Callable[[Closure], Any]) -> float:
        """Seconds that a step takes beyond the closure."""
        self.spent, start = 0.0, time.perf_counter()
        step(self)
        return time.perf_counter() - start - self.spent


def data() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32), labels


FEW = 64
"""Images that the history is filled with, to save time: its length alone matters."""


def ours(sizes: tuple[int, ...]) -> tuple[list[Any], Closure]:
    """The parameters and the closure of a network here."""
    mg.manual_seed(0)
    layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())][:-1]
    model, criterion = nn.Sequential(*layers), nn.CrossEntropyLoss()
    images, labels = map(mg.tensor, data())

    def closure(count: int | None = None) -> Any:
        for p in params:
            p.grad = None
        loss = criterion(model(images[:count]), labels[:count])
        loss.backward()
        return loss

    params = list(model.parameters())
    return params, closure


def torchs(sizes: tuple[int, ...]) -> tuple[list[Any], Closure]:
    """The parameters and the closure of the same network in torch."""
    import torch

    layers = [layer for i, o in pairwise(sizes) for layer in (torch.nn.Linear(i, o), torch.nn.ReLU())][:-1]
    model, criterion = torch.nn.Sequential(*layers), torch.nn.CrossEntropyLoss()
    params = list(model.parameters())
    with torch.no_grad():
        for p, q in zip(params, ours(sizes)[0], strict=True):
            p.copy_(torch.from_numpy(q.numpy()))
    images, labels = map(torch.from_numpy, data())

    def closure(count: int | None = None) -> Any:
        for p in params:
            p.grad = None
        loss = criterion(model(images[:count]), labels[:count])
        loss.backward()
        return loss

    return params, closure


def lbfgs(make: Any, history: int, params: list[Any], closure: Closure) -> Contestant:
    """Steps of LBFGS with a full history. A small lr keeps it from the minimum, where there would be nothing to do."""
    clock = Clock(closure)
    settings = {"lr": 0.02, "max_iter": ITERATIONS, "tolerance_grad": 0, "tolerance_change": 0}
    optimizer = make(params, history_size=history, **settings)
    state = optimizer.state[params[0]]
    while len(state.get("old_dirs") or []) < history:
        optimizer.step(lambda: closure(FEW))
        if state["n_iter"] > 4 * history:
            raise RuntimeError(f"only {len(state['old_dirs'])} pairs after {state['n_iter']} iterations")
    return lambda: clock.beyond(optimizer.step)


def scipys(history: int, params: list[Any], closure: Closure) -> Contestant:
    """Steps of SciPy's L-BFGS-B through ScipyMinimize."""
    clock = Clock(closure)
    options = {"maxiter": ITERATIONS, "maxcor": history, "ftol": 0, "gtol": 0}
    optimizer = optim.ScipyMinimize(params, options=options)
    return lambda: clock.beyond(optimizer.step)


def measured(name: str, history: int, rounds: int) -> dict[str, Any]:
    """Median milliseconds beyond the closure, per iteration, of each contestant."""
    sizes = SIZES[name]
    contestants = {"ours": lbfgs(optim.LBFGS, history, *ours(sizes)), "scipy": scipys(history, *ours(sizes))}
    if importlib.util.find_spec("torch"):
        import torch

        contestants["torch"] = lbfgs(torch.optim.LBFGS, history, *torchs(sizes))
    times: dict[str, list[float]] = {contestant: [] for contestant in contestants}
    order, draw = list(contestants), random.Random(0)
    for _ in range(rounds):
        draw.shuffle(order)
        for contestant in order:
            contestants[contestant]()  # its caches and threads are its own when it is timed
            times[contestant].append(1e6 * contestants[contestant]() / ITERATIONS)
    summary = {
        contestant: {
            "median": round(statistics.median(values), 1),
            "quartiles": [round(q, 1) for q in statistics.quantiles(values, n=4, method="inclusive")[::2]],
            "rounds": rounds,
        }
        for contestant, values in times.items()
    }
    return {"parameters": name, "history": history, "microseconds": summary}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--out", type=Path, help="where the results go")
    options = parser.parse_args()
    others = Others()
    rounds = 5 if options.quick else 20
    results = [measured(name, history, rounds) for name in SIZES for history in HISTORIES]
    columns = list(results[0]["microseconds"])
    rows = [["parameters, history", *columns]]
    for result in results:
        times = [figure(result["microseconds"][column]["median"]) for column in columns]
        rows.append([f"{result['parameters']}, {result['history']}", *times])
    print("µs beyond the closure, per iteration\n")
    print_table(rows)
    settings = {"max_iter": ITERATIONS, "dtype": "float32", "images": 1797, "layers": SIZES}
    content = report("closure", settings, results, ["SciPy in float64, from an empty history at each step"], others)
    write_json("closure", content, parser, options)


if __name__ == "__main__":
    main()
