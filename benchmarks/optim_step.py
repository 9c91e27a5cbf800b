"""One optimizer step, alone and inside a training step: ours in each execution, torch's default, foreach and fused.

    python benchmarks/optim_step.py [--quick] [--algorithms Adam SGD ...] [--sets 784,256,128,10 ...] [--out FILE]

All are timed in turn in one run, float32, with the same gradients. Large sets of tensors are also compared with a
measured copy that moves as many bytes as the step must: gradient, parameter and state read, the latter two written.
At the end stands which targets were reached. What `optim` or torch does not have is skipped, and so is Muon on the
largest matrix: a step of its products takes half a minute. Takes some half an hour.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import Burst, Others, cores, figure, interleaved, print_table, repeated, report, write_json

import minigrad as mg
import nn
import optim
from minigrad import backend
from optim.elementwise import ElementwiseOptimizer


class Algorithm(NamedTuple):
    """An optimizer of ours by its name, torch's name for it (None where torch has none), and settings of both."""

    name: str
    torch_name: str | None
    settings: dict[str, Any] = {}
    matrices_only: bool = False

    def __str__(self) -> str:
        return " ".join([self.name, *(k if v is True else f"{k}={v}" for k, v in self.settings.items())])


ALGORITHMS = [
    Algorithm("SGD", "SGD"),
    Algorithm("SGD", "SGD", {"momentum": 0.9}),
    Algorithm("SGD", "SGD", {"momentum": 0.9, "nesterov": True}),
    Algorithm("Adam", "Adam"),
    Algorithm("Adam", "Adam", {"amsgrad": True}),
    Algorithm("AdamEpsilonHat", None),
    Algorithm("AdamW", "AdamW"),
    Algorithm("Adamax", "Adamax"),
    Algorithm("NAdam", "NAdam"),
    Algorithm("RAdam", "RAdam"),
    Algorithm("Adagrad", "Adagrad"),
    Algorithm("Adadelta", "Adadelta"),
    Algorithm("RMSprop", "RMSprop"),
    Algorithm("RMSprop", "RMSprop", {"centered": True, "momentum": 0.9}),
    Algorithm("Rprop", "Rprop"),
    Algorithm("ASGD", "ASGD"),
    Algorithm("Adafactor", "Adafactor"),
    Algorithm("Muon", "Muon", matrices_only=True),
    Algorithm("Lion", None),
    Algorithm("AdaBelief", None),
    Algorithm("Yogi", None),
    Algorithm("LAMB", None),
    Algorithm("LARS", None, {"momentum": 0.9}),
    Algorithm("Adan", None),
    Algorithm("ScheduleFreeSGD", None),
    Algorithm("ScheduleFreeAdamW", None),
    Algorithm("Prodigy", None),
]
"""SparseAdam is not among them: what it does depends on how many rows have a gradient."""


def layers(*sizes: int) -> list[tuple[int, ...]]:
    """The shapes of an MLP's parameters."""
    return [shape for i, o in pairwise(sizes) for shape in ((o, i), (o,))]


SETS: dict[str, list[tuple[int, ...]]] = {
    "64,128,128,10": layers(64, 128, 128, 10),
    "784,256,128,10": layers(784, 256, 128, 10),
    "8x(1024x1024+1024)": [(1024, 1024), (1024,)] * 8,
    "4096x4096": [(4096, 4096)],
    "500x1000": [(1000,)] * 500,
}
INSIDE = ("64,128,128,10", "784,256,128,10")
"""Those of an MLP that a step is timed in."""
LARGE = 4_000_000
"""Elements from which a set is compared with a copy: its arrays are in no cache."""
LR = 1e-3
EXECUTIONS = ("numba", "numba-threads", "blocked", "eager")
"""numba-threads: Numba with as many threads as there are cores; timed on large sets alone, elsewhere it is the same."""
TORCH = {"torch": {}, "torch-foreach": {"foreach": True}, "torch-fused": {"fused": True}}


def chosen(execution: str) -> AbstractContextManager[None]:
    """The execution, with all cores where its name says threads."""
    name, _, threaded = execution.partition("-")
    return optim.execution(name, threads=cores() if threaded else 1)


def ours(
    algorithm: Algorithm, execution: str, values: list[np.ndarray], gradients: list[np.ndarray]
) -> tuple[Burst, Any]:
    """A burst of our steps in one execution, and the optimizer."""
    params = [mg.tensor(value.copy(), requires_grad=True) for value in values]
    for p, g in zip(params, gradients, strict=True):
        p.grad = mg.tensor(g)
    optimizer = getattr(optim, algorithm.name)(params, **{"lr": LR, **algorithm.settings})

    def burst(steps: int) -> None:
        with chosen(execution):
            for _ in range(steps):
                optimizer.step()

    return burst, optimizer


def torchs(algorithm: Algorithm, values: list[np.ndarray], gradients: list[np.ndarray]) -> Iterator[tuple[str, Burst]]:
    """Bursts of torch's steps, in each of its implementations that exists for this algorithm."""
    import torch

    optimizer_class = getattr(torch.optim, algorithm.torch_name or "", None)
    if optimizer_class is None:
        return
    for name, how in TORCH.items():
        params = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in values]
        for p, g in zip(params, gradients, strict=True):
            p.grad = torch.from_numpy(g)
        try:
            step = optimizer_class(params, **{"lr": LR, **algorithm.settings, **how}).step
            step()
        except (TypeError, RuntimeError):  # of an unknown argument, or of a device it isn't made for
            continue
        yield name, repeated(step)


def least_bytes(optimizer: Any) -> int:
    """What a step cannot avoid to move: it reads parameter, gradient and state, and writes parameter and state."""
    total = 0
    for group in optimizer.param_groups:
        for p in group["params"]:
            state = [value for value in optimizer.state.get(p, {}).values() if backend.is_array(value)]
            total += 3 * p.data.nbytes + 2 * sum(array.nbytes for array in state)
    return total


def copying(amount: int) -> Burst:
    """A burst of copies that move `amount` bytes each: half of them read, half written."""
    source = np.ones(amount // 8, np.float32)
    target = np.empty_like(source)
    target[:] = 0  # touched before it is timed
    return repeated(lambda: np.copyto(target, source))


def measured(algorithm: Algorithm, name: str, executions: list[str], rounds: int, budget: float) -> dict[str, Any]:
    """The results of an algorithm on one set of tensors."""
    shapes = [shape for shape in SETS[name] if len(shape) == 2 or not algorithm.matrices_only]
    stream = np.random.default_rng(0)
    values, gradients = ([stream.standard_normal(shape, np.float32) for shape in shapes] for _ in range(2))
    bursts = {}
    large = sum(value.size for value in values) >= LARGE
    for execution in executions:
        if execution == "numba-threads" and not large:
            continue
        bursts[execution], optimizer = ours(algorithm, execution, values, gradients)
    if importlib.util.find_spec("torch"):
        bursts |= dict(torchs(algorithm, values, gradients))
    result: dict[str, Any] = {"algorithm": str(algorithm), "tensors": name}
    if large:
        bursts[execution](1)  # gives the optimizer its state
        result["bytes"] = least_bytes(optimizer)
        bursts["copy"] = copying(result["bytes"])
    return result | {"microseconds": interleaved(bursts, rounds, budget)}


BATCH = 64


def inside(name: str, executions: list[str], rounds: int) -> dict[str, Any]:
    """The median of Adam's step after the forward and backward of an MLP, whose caches and threads it finds."""
    sizes = [int(size) for size in name.split(",")]
    stream = np.random.default_rng(0)
    images = stream.standard_normal((BATCH, sizes[0]), np.float32)
    labels = stream.integers(0, sizes[-1], BATCH)
    executions = [e for e in executions if e != "numba-threads"]
    trainings = {execution: _our_training(sizes, images, labels, execution) for execution in executions}
    if importlib.util.find_spec("torch"):
        trainings |= {column: _torch_training(sizes, images, labels, how) for column, how in TORCH.items()}
    times: dict[str, list[float]] = {column: [] for column in trainings}
    for _ in range(rounds):
        for column, training in trainings.items():
            times[column] += [training() for _ in range(40)][10:]
    microseconds = {column: {"median": round(1e6 * float(np.median(values)), 3)} for column, values in times.items()}
    return {"algorithm": "Adam", "layers": name, "batch": BATCH, "microseconds": microseconds}


def _our_training(sizes: list[int], images: np.ndarray, labels: np.ndarray, execution: str) -> Callable[[], float]:
    layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())][:-1]
    model, x, y = nn.Sequential(*layers), mg.tensor(images), mg.tensor(labels)
    optimizer = optim.Adam(model.parameters(), lr=LR)

    def training() -> float:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        with chosen(execution):
            start = time.perf_counter()
            optimizer.step()
            return time.perf_counter() - start

    return training


def _torch_training(
    sizes: list[int], images: np.ndarray, labels: np.ndarray, how: dict[str, Any]
) -> Callable[[], float]:
    import torch

    layers = [layer for i, o in pairwise(sizes) for layer in (torch.nn.Linear(i, o), torch.nn.ReLU())][:-1]
    model, x, y = torch.nn.Sequential(*layers), torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, **how)

    def training() -> float:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        start = time.perf_counter()
        optimizer.step()
        return time.perf_counter() - start

    return training


def targets(results: list[dict[str, Any]], compiling: list[dict[str, Any]]) -> list[list[str]]:
    """A row for each target that these results tell of: what was asked, what was found, and whether that is reached."""
    times = {
        (result["algorithm"], result["tensors"]): {c: entry["median"] for c, entry in result["microseconds"].items()}
        for result in results
    }
    elementwise = {str(a) for a in ALGORITHMS if issubclass(getattr(optim, a.name, object), ElementwiseOptimizer)}
    first, second, *large = list(SETS)[:4]
    rows = [["target", "found", "reached"]]

    def ask(text: str, of: Iterable[tuple[str, str]], ours: str, torch: tuple[str, ...], most: float) -> None:
        """Of all of these, our time as a multiple of torch's fastest is to be at most so much; the worst is shown."""
        found = []
        for key in of:
            theirs = [times[key][column] for column in torch if column in times.get(key, {})]
            if theirs and ours in times[key]:
                found.append((times[key][ours] / min(theirs), key[0]))
        if found:
            worst, algorithm = max(found)
            rows.append([text, f"{worst:.2f} ({algorithm})", "yes" if worst <= most else "no"])

    for name, most in ((first, 1 / 3), (second, 1 / 1.3), *((name, 1.05) for name in large)):
        ask(f"Adam, {name}: of torch fused <= {most:.2f}", [("Adam", name)], "numba", ("torch-fused",), most)
    for name in large:
        text = f"Adam, threads, {name}: of torch fused <= 1.05"
        ask(text, [("Adam", name)], "numba-threads", ("torch-fused",), 1.05)
    for name in (first, second):
        every = [(algorithm, name) for algorithm in elementwise]
        ask(f"every elementwise, {name}: of torch's fastest <= 1", every, "numba", tuple(TORCH), 1.0)
    for name, most in ((first, 1.0), *((name, 1.4) for name in large)):
        ask(f"Adam blocked, {name}: of torch default <= {most}", [("Adam", name)], "blocked", ("torch",), most)
    if compiling:
        slowest = max(compiling, key=lambda row: row["first step, seconds"])
        found = slowest["first step, seconds"]
        rows.append(["first step <= 0.3 s", f"{found} ({slowest['algorithm']})", "yes" if found <= 0.3 else "no"])
    return rows


def first_step(algorithm: Algorithm) -> float:
    """Seconds of the first step with Numba: it traces the formula and compiles the loop."""
    matrix = [np.ones((4, 4), np.float32)]
    burst, _ = ours(algorithm, "numba", matrix, matrix)
    start = time.perf_counter()
    burst(1)
    return time.perf_counter() - start


def compile_times(algorithms: list[Algorithm]) -> list[dict[str, Any]]:
    """Of each algorithm; Numba's own start, which comes with the first thing it compiles, left out."""
    import numba

    numba.njit([numba.void(numba.float32[::1])])(lambda x: None)
    return [
        {"algorithm": str(algorithm), "first step, seconds": round(first_step(algorithm), 4)}
        for algorithm in algorithms
    ]


def rows_of(results: list[dict[str, Any]], name: str) -> list[list[str]]:
    """A table for one set of tensors: our microseconds, and torch's as multiples of our fastest."""
    results = [result for result in results if result["tensors"] == name]
    present = {column for result in results for column in result["microseconds"]}
    own = [column for column in EXECUTIONS if column in present]
    torch = [column for column in TORCH if column in present]
    head = [
        name,
        *own,
        *(f"{column} ×" for column in torch),
        *(["copy", "ours/copy", "GB/s"] if "copy" in present else []),
    ]
    rows = [head]
    for result in results:
        times = {column: entry["median"] for column, entry in result["microseconds"].items()}
        best = min(times[column] for column in own if column in times)
        row = [result["algorithm"], *(figure(times[column]) if column in times else "-" for column in own)]
        row += [f"{times[column] / best:.2f}" if column in times else "-" for column in torch]
        if "copy" in times:
            row += [figure(times["copy"]), f"{best / times['copy']:.2f}", f"{result['bytes'] / best / 1e3:.1f}"]
        rows.append(row)
    return rows


def main() -> None:
    """Run what the command line asks for."""
    names = list(dict.fromkeys(algorithm.name for algorithm in ALGORITHMS))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 rounds in place of 15, and at most 2 seconds a row")
    parser.add_argument("--algorithms", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help=", ".join(SETS))
    parser.add_argument("--out", type=Path, help="where the results go")
    options = parser.parse_args()
    notes = [f"{name} left out: optim has none" for name in options.algorithms if not hasattr(optim, name)]
    algorithms = [a for a in ALGORITHMS if a.name in options.algorithms and hasattr(optim, a.name)]
    rounds, budget = (5, 2.0) if options.quick else (15, 5.0)
    others = Others()
    executions = list(EXECUTIONS)
    if importlib.util.find_spec("numba") is None:
        executions = [e for e in executions if not e.startswith("numba")]
        notes.append("numba left out: not installed")
    if importlib.util.find_spec("torch") is None:
        notes.append("torch left out: not installed")
    if notes:
        print(*notes, sep="\n", end="\n\n")
    compiling = compile_times(algorithms) if "numba" in executions else []
    if compiling:
        print_table([["first step with Numba", "seconds"], *([str(v) for v in row.values()] for row in compiling)])
    results = []
    for name in options.sets:
        products = name != "4096x4096" and any(len(shape) == 2 for shape in SETS[name])
        here = [a for a in algorithms if products or not a.matrices_only]
        results += [measured(algorithm, name, executions, rounds, budget) for algorithm in here]
        print("\nmicroseconds, and torch's as multiples of our fastest")
        print_table(rows_of(results, name))
    trained = [inside(name, executions, rounds) for name in INSIDE if name in options.sets]
    for result in trained:
        print(f"\nAdam's step inside a training step of {result['layers']}, microseconds")
        medians = {column: figure(entry["median"]) for column, entry in result["microseconds"].items()}
        print_table([list(medians), list(medians.values())])
    reached = targets(results, compiling)
    if (others.share() or 0) > 0.05:  # torch's threads, which wait for each other, suffer most
        reached = [reached[0], *([*row[:-1], "the machine was busy"] for row in reached[1:])]
    print()
    print_table(reached)
    more = {"inside a training step": trained, "compile": compiling}
    more["targets"] = [dict(zip(reached[0], row, strict=True)) for row in reached[1:]]
    settings = {"dtype": "float32", "rounds": rounds, "seconds a row at most": budget, "lr": LR}
    write_json("optim_step", report("optim_step", settings, results, notes, others) | more, parser, options)


if __name__ == "__main__":
    main()
