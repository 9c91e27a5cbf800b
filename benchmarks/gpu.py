"""On a GPU: an optimizer's step alone, and a training step, beside PyTorch's.

    python benchmarks/gpu.py [--quick] [--parts optim train] [--algorithms Adam SGD ...] [--out FILE]

optim: one step of every algorithm, 10^4 to 10^8 parameters in 1 and in 200 tensors, ours beside torch foreach and
fused, and beside a copy on the device that moves as many bytes as the step must.
train: zero_grad, forward, backward, Adam at the sizes of `make bench`, ours as it is and captured as a CUDA graph,
beside torch eager, torch.compile, torch in a CUDA graph of its own, and ours on the CPU.

All contestants of a row are timed in turn in one run, float32. A burst ends when the device has finished it.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, Burst, Others, figure, interleaved, print_table, report, write_json
from optim_step import ALGORITHMS, LR, Algorithm, least_bytes
from train_step import CHECK_LR, CHECK_STEPS, TIMED_LR, TOLERANCE, Problem, Step, minigrad_step, shown

import minigrad as mg
import nn
import optim
from minigrad import backend

COUNTS = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
TENSORS = (1, 200)
BATCHES = (64, 512, 8192)
LAYERS = ((2, 16, 16, 2), (64, 128, 10), (64, 128, 128, 10), (784, 256, 128, 10), (784, 1024, 1024, 10))
COMPARED = ("foreach", "fused")


def finished(step: Callable[[], Any], wait: Callable[[], Any]) -> Burst:
    """A burst of steps, and the wait until the device has done them."""

    def burst(steps: int) -> None:
        for _ in range(steps):
            step()
        wait()

    return burst


def our_wait() -> None:
    """Wait for the device."""
    backend.cupy_for("cuda").cuda.Device().synchronize()


def has_torch() -> bool:
    """Whether torch is there and can use the device."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def torch_wait() -> None:
    """Wait for the device."""
    import torch

    torch.cuda.synchronize()


# --- an optimizer's step


def shapes_of(count: int, tensors: int, algorithm: Algorithm) -> list[tuple[int, ...]]:
    """`count` parameters in so many tensors: vectors, or squares for what takes matrices alone."""
    each = count // tensors
    side = int(each**0.5)
    return [(side, side) if algorithm.matrices_only else (each,)] * tensors


def our_step(algorithm: Algorithm, shapes: list[tuple[int, ...]]) -> tuple[Burst, Any]:
    """A burst of our steps, and the optimizer, which has its state."""
    params = [mg.tensor(np.ones(shape, np.float32), device="cuda", requires_grad=True) for shape in shapes]
    for p in params:
        p.grad = mg.Tensor(1e-3 * p.data)
    optimizer = getattr(optim, algorithm.name)(params, **{"lr": LR, **algorithm.settings})
    optimizer.step()
    return finished(optimizer.step, our_wait), optimizer


def torch_steps(algorithm: Algorithm, shapes: list[tuple[int, ...]]) -> Iterator[tuple[str, Burst]]:
    """Bursts of torch's steps, in those of its implementations that exist for this algorithm."""
    import torch

    made = getattr(torch.optim, algorithm.torch_name or "", None)
    if made is None:
        return
    for name in COMPARED:
        params = [torch.nn.Parameter(torch.ones(shape, device="cuda")) for shape in shapes]
        for p in params:
            p.grad = 1e-3 * p.detach()
        try:
            optimizer = made(params, **{"lr": LR, **algorithm.settings, name: True})
            optimizer.step()
        except (TypeError, RuntimeError):  # of an implementation that does not exist
            continue
        yield f"torch-{name}", finished(optimizer.step, torch_wait)


def copying(amount: int) -> Burst:
    """A burst of copies that move `amount` bytes each: half of them read, half written."""
    source = mg.tensor(np.ones(max(1, amount // 8), np.float32), device="cuda").data
    target = source.copy()

    def copy() -> None:
        target[...] = source

    return finished(copy, our_wait)


def measured_optimizer(algorithm: Algorithm, count: int, tensors: int, rounds: int) -> dict[str, Any]:
    """The results of one algorithm at one size."""
    shapes = shapes_of(count, tensors, algorithm)
    ours, optimizer = our_step(algorithm, shapes)
    bursts = {"minigrad": ours, "copy": copying(least_bytes(optimizer))}
    if has_torch():
        bursts |= dict(torch_steps(algorithm, shapes))
    row = {"algorithm": str(algorithm), "parameters": count, "tensors": tensors, "bytes": least_bytes(optimizer)}
    return row | {"microseconds": interleaved(bursts, rounds)}


def optimizer_rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """A table: our microseconds, torch's as multiples, and the share of the copy's bandwidth."""
    rows = [["algorithm", "parameters", "tensors", "minigrad", *(f"torch {n} ×" for n in COMPARED), "of copy", "GB/s"]]
    for result in results:
        times = {name: entry["median"] for name, entry in result["microseconds"].items()}
        ours = times["minigrad"]
        row = [result["algorithm"], f"{result['parameters']:.0e}", str(result["tensors"]), figure(ours)]
        row += [f"{times[f'torch-{n}'] / ours:.2f}" if f"torch-{n}" in times else "-" for n in COMPARED]
        rows.append([*row, f"{times['copy'] / ours:.0%}", f"{result['bytes'] / ours / 1e3:.0f}"])
    return rows


# --- a training step


def our_training(problem: Problem, captured: bool) -> Step:
    """Ours on the device; captured, each step is one CUDA graph."""
    modules: list[Any] = []
    for W, b in problem.layers:
        linear = nn.Linear(*W.shape[::-1], device="cuda")
        linear.load_state_dict({"weight": W, "bias": b})
        modules += [linear, nn.ReLU()]
    model = nn.Sequential(*modules[:-1])
    optimizer = optim.Adam(model.parameters(), lr=problem.lr)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = mg.tensor(problem.x, device="cuda"), mg.tensor(problem.y, device="cuda")
    run = mg.cuda.capture(step) if captured else step
    return lambda: run(x, y)


def torch_training(problem: Problem, how: str) -> Step:
    """PyTorch on the device with its fused Adam: eager, compiled, or the whole step in a CUDA graph."""
    import torch

    modules: list[Any] = []
    for W, b in problem.layers:
        linear = torch.nn.Linear(*W.shape[::-1])
        linear.load_state_dict({"weight": torch.from_numpy(W.copy()), "bias": torch.from_numpy(b.copy())})
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1]).cuda()
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=problem.lr, fused=True, capturable=how == "graph")
    x, y = torch.from_numpy(problem.x).cuda(), torch.from_numpy(problem.y).cuda()

    def loss_of(x: Any, y: Any) -> Any:
        return criterion(model(x), y)

    if how == "compile":
        torch.compiler.reset()
        loss_of = torch.compile(loss_of)

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    if how != "graph":
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    before = [p.detach().clone() for p in model.parameters()]
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    with torch.no_grad():  # the steps of the warm-up undone, so that all contestants have the same losses
        for p, old in zip(model.parameters(), before, strict=True):
            p.copy_(old)
        for state in optimizer.state.values():
            for value in state.values():
                value.zero_()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay() -> Any:
        graph.replay()
        return loss.clone()

    return replay


TRAINERS: dict[str, Callable[[Problem], Step]] = {
    "minigrad": lambda problem: our_training(problem, False),
    "minigrad-captured": lambda problem: our_training(problem, True),
    "minigrad-cpu": minigrad_step,
    "torch": lambda problem: torch_training(problem, "eager"),
    "torch-compile": lambda problem: torch_training(problem, "compile"),
    "torch-graph": lambda problem: torch_training(problem, "graph"),
}


def checked(sizes: tuple[int, ...], batch: int, notes: list[str]) -> list[str]:
    """The contestants that run here; all must have the same losses.

    Raises RuntimeError where one has others than ours on the CPU: it would be timed doing something else.
    """
    problem = Problem.draw(sizes, batch, CHECK_LR)
    names = [name for name in TRAINERS if has_torch() or not name.startswith("torch")]
    losses = {}
    for name in names:
        try:
            step = TRAINERS[name](problem)
            losses[name] = [float(step()) for _ in range(CHECK_STEPS)]
        except Exception as error:  # of many kinds: a compiler may be missing, or fail
            if name.startswith("minigrad"):
                raise
            notes.append(f"{name} left out at {shown(sizes, batch)}: {type(error).__name__}: {str(error)[:200]}")
            print(notes[-1])
    for name, path in losses.items():
        if not np.allclose(path, losses["minigrad-cpu"], rtol=TOLERANCE):
            raise RuntimeError(f"{name} at {shown(sizes, batch)} has the losses {path}, not {losses['minigrad-cpu']}")
    return list(losses)


def measured_training(sizes: tuple[int, ...], batch: int, rounds: int, notes: list[str]) -> dict[str, Any]:
    """The results of one network and batch."""
    names = checked(sizes, batch, notes)
    problem = Problem.draw(sizes, batch, TIMED_LR)
    waits = {"torch": torch_wait, "minigrad": our_wait}
    bursts = {name: finished(TRAINERS[name](problem), waits[name.partition("-")[0]]) for name in names}
    return {"sizes": list(sizes), "batch": batch, "microseconds": interleaved(bursts, rounds, budget=30.0)}


def training_rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """A table of medians."""
    rows = [["layers@batch", *TRAINERS]]
    for result in results:
        times = {name: entry["median"] for name, entry in result["microseconds"].items()}
        row = [shown(tuple(result["sizes"]), result["batch"])]
        rows.append(row + [figure(times[name]) if name in times else "-" for name in TRAINERS])
    return rows


def device_name() -> str:
    """The GPU, and the versions of CUDA and of CuPy."""
    cupy = backend.cupy_for("cuda")
    runtime = cupy.cuda.runtime
    name = runtime.getDeviceProperties(0)["name"].decode()
    return f"{name}, CUDA {runtime.runtimeGetVersion()}, driver {runtime.driverGetVersion()}, CuPy {cupy.__version__}"


def main() -> None:
    """Run what the command line asks for."""
    names = list(dict.fromkeys(algorithm.name for algorithm in ALGORITHMS))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 rounds in place of 20, fewer sizes")
    parser.add_argument("--parts", nargs="+", choices=("optim", "train"), default=("optim", "train"))
    parser.add_argument("--algorithms", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    options = parser.parse_args()
    device = device_name()
    notes: list[str] = []
    if not has_torch():
        notes.append("torch left out: not installed, or without CUDA")
    print(device, *notes, sep="\n", end="\n\n")
    others = Others()
    rounds, counts = (5, COUNTS[::2]) if options.quick else (20, COUNTS)
    steps, training = [], []
    if "optim" in options.parts:
        for algorithm in ALGORITHMS:
            if algorithm.name in options.algorithms:
                steps += [measured_optimizer(algorithm, n, k, rounds) for n in counts for k in TENSORS]
        print_table(optimizer_rows(steps))
    if "train" in options.parts:
        for sizes in LAYERS:
            training += [measured_training(sizes, batch, rounds, notes) for batch in BATCHES]
        print_table(training_rows(training))
    settings = {"dtype": "float32", "rounds": rounds, "lr": LR, "device": device}
    write_json(options.out, report("gpu", settings, steps + training, notes, others))


if __name__ == "__main__":
    main()
