"""On a GPU: the bits of an optimizer's step, its time alone, and that of a training step, beside PyTorch's.

    python benchmarks/gpu.py [--quick] [--minutes 8] [--parts bits train optim] [--algorithms Adam SGD ...] [--out FILE]

bits: how many bits of parameters and state differ from the CPU's after three steps of every elementwise algorithm.
train: zero_grad, forward, backward, Adam at the sizes of `make bench`, ours as it is and captured as a CUDA graph,
beside torch eager, torch.compile, torch in a CUDA graph of its own, and ours on the CPU.
optim: one step of every algorithm, 10^4 to 10^8 parameters in 1 and in 200 tensors, ours beside torch foreach and
fused, and beside a copy on the device that moves as many bytes as the step must.

All contestants of a row are timed in turn in one run, float32. A burst ends when the device has finished it. What the
targets ask for comes first; rows that would begin after so many minutes are left out, and the notes say how many. At
the end stands which targets were reached.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import Burst, Others, figure, interleaved, print_table, report, write_json
from optim_step import ALGORITHMS, LR, Algorithm, least_bytes
from train_step import CHECK_LR, TIMED_LR, TOLERANCE, Problem, Step, minigrad_step, shown

import minigrad as mg
import nn
import optim
from minigrad import backend
from optim.elementwise import ElementwiseOptimizer

SIZES = (
    (100_000_000, 1), (1_000_000, 200), (10_000, 1), (10_000, 200), (1_000_000, 1), (100_000_000, 200), (100_000, 1),
    (100_000, 200), (10_000_000, 1), (10_000_000, 200),
)  # fmt: skip
"""Parameters and tensors, the most telling first."""
PRODUCTS = 10_000_000
"""Parameters up to which algorithms of matrix products are timed: beyond, a step takes most of a second."""
BATCHES = (64, 512, 8192)
LAYERS = ((784, 256, 128, 10), (2, 16, 16, 2), (64, 128, 10), (64, 128, 128, 10), (784, 1024, 1024, 10))
COMPILED = LAYERS[:1]
"""Networks that torch.compile is timed on: it takes long to compile each."""
CHECKED = 5
"""Steps whose losses must agree; ours is recorded at the third."""
COMPARED = ("foreach", "fused")
TORCH_DEVICE = "cuda"


class Clock:
    """What is left of the time for all."""

    def __init__(self, minutes: float) -> None:
        self.start, self.end = time.perf_counter(), time.perf_counter() + 60 * minutes
        self.skipped = 0

    def allows(self, what: str) -> bool:
        """Whether a row may begin; tells that it does."""
        if time.perf_counter() > self.end:
            self.skipped += 1
            return False
        print(f"{time.perf_counter() - self.start:5.0f} s  {what}", file=sys.stderr, flush=True)
        return True


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


def free() -> None:
    """Give memory that nothing uses back to the device."""
    gc.collect()
    backend.cupy_for("cuda").get_default_memory_pool().free_all_blocks()
    if has_torch():
        import torch

        torch.cuda.empty_cache()


# --- bits


def is_exact(algorithm: Algorithm) -> bool:
    """Whether a step is one formula, which promises its bits."""
    cls = getattr(optim, algorithm.name)
    return issubclass(cls, ElementwiseOptimizer) and not cls.reduces and not cls.numbers


def awkward(stream: np.random.Generator, size: int, dtype: Any) -> np.ndarray:
    """Numbers of all magnitudes, subnormal ones and zeros of both signs among them."""
    limits = np.finfo(dtype)
    low, high = math.log10(limits.smallest_subnormal), math.log10(limits.max) / 4
    array = (stream.choice([-1.0, 1.0], size) * 10 ** stream.uniform(low, high, size)).astype(dtype)
    array[::97] = 0.0
    array[1::97] = -0.0
    return array


def differing_bits(algorithm: Algorithm, size: int, steps: int = 3) -> dict[str, Any]:
    """How many elements of parameters and state have other bits on the GPU than on the CPU; a NaN is a NaN."""
    different = elements = 0
    for dtype in (np.float32, np.float64):
        found = []
        for device in ("cpu", "cuda"):
            stream = np.random.default_rng(0)
            p = mg.tensor(awkward(stream, size, dtype), device=device, requires_grad=True)
            optimizer = getattr(optim, algorithm.name)([p], **{"lr": LR, **algorithm.settings})
            with optim.execution("blocked" if device == "cpu" else "cuda"):
                for _ in range(steps):
                    p.grad = mg.tensor(awkward(stream, size, dtype), device=device)
                    optimizer.step()
            state = [value for value in optimizer.state[p].values() if backend.is_array(value)]
            found.append([backend.to_numpy(array) for array in (p.data, *state)])
        for ours, theirs in zip(*found, strict=True):
            bits = f"u{ours.itemsize}"
            same = (ours.view(bits) == theirs.view(bits)) | (np.isnan(ours) & np.isnan(theirs))
            different += int((~same).sum())
            elements += ours.size
    return {"algorithm": str(algorithm), "elements": elements, "differing": different}


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
        params = [torch.nn.Parameter(torch.ones(shape, device=TORCH_DEVICE)) for shape in shapes]
        for p in params:
            p.grad = 1e-3 * p.detach()
        try:
            optimizer = made(params, **{"lr": LR, **algorithm.settings, name: True})
            optimizer.step()
        except (TypeError, RuntimeError, ValueError):  # of an implementation that does not exist
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
    model = torch.nn.Sequential(*modules[:-1]).to(TORCH_DEVICE)
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=problem.lr, fused=True, capturable=how == "graph")
    x, y = torch.from_numpy(problem.x).to(TORCH_DEVICE), torch.from_numpy(problem.y).to(TORCH_DEVICE)

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
    names = [name for name in names if name != "torch-compile" or sizes in COMPILED]
    losses = {}
    for name in names:
        try:
            step = TRAINERS[name](problem)
            losses[name] = [float(step()) for _ in range(CHECKED)]
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
    """The results of one network and batch; the CPU is timed by itself, where a step may take as long as a row."""
    names = checked(sizes, batch, notes)
    problem = Problem.draw(sizes, batch, TIMED_LR)
    waits = {"torch": torch_wait, "minigrad": our_wait}
    bursts = {name: finished(TRAINERS[name](problem), waits[name.partition("-")[0]]) for name in names}
    host = {"minigrad-cpu": bursts.pop("minigrad-cpu")}
    times = interleaved(bursts, rounds, budget=10.0) | interleaved(host, rounds, budget=2.0)
    return {"sizes": list(sizes), "batch": batch, "microseconds": times}


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


# --- targets


def medians(results: Sequence[dict[str, Any]], **wanted: Any) -> dict[str, float]:
    """The times of the row with these entries; none where it was not measured."""
    for result in results:
        if all(result.get(key) == value for key, value in wanted.items()):
            return {name: entry["median"] for name, entry in result["microseconds"].items()}
    return {}


def targets(bits: list[dict[str, Any]], steps: list[dict[str, Any]], training: list[dict[str, Any]]) -> list[list[str]]:
    """A row for each target: what was asked, what was found, and whether that is reached."""
    rows = [["target", "found", "reached"]]

    def ask(text: str, found: float | None, reached: Callable[[float], bool], form: str = ".2f") -> None:
        rows.append([text, "-", "not measured"] if found is None else
                    [text, format(found, form), "yes" if reached(found) else "no"])  # fmt: skip

    def ratio(times: dict[str, float], above: str, below: str) -> float | None:
        return times[above] / times[below] if times.keys() >= {above, below} else None

    large = medians(steps, algorithm="Adam", parameters=100_000_000, tensors=1)
    many = medians(steps, algorithm="Adam", parameters=1_000_000, tensors=200)
    step = medians(training, sizes=[784, 256, 128, 10], batch=64)
    different = sum(row["differing"] for row in bits) if bits else None
    ask("elements that differ between CPU and GPU, every elementwise formula = 0", different, lambda n: n == 0, "d")
    ask("Adam, 10^8: share of the copy's bandwidth >= 0.85", ratio(large, "copy", "minigrad"), lambda x: x >= 0.85)
    ask("Adam, 10^8: of torch fused <= 1", ratio(large, "minigrad", "torch-fused"), lambda x: x <= 1)
    ask("Adam, 200 x 5000: torch fused, times ours >= 2", ratio(many, "torch-fused", "minigrad"), lambda x: x >= 2)
    name = "captured step, 784,256,128,10@64"
    ask(f"{name}: torch eager, times ours >= 5", ratio(step, "torch", "minigrad-captured"), lambda x: x >= 5)
    ask(f"{name}: of torch's graph <= 1", ratio(step, "minigrad-captured", "torch-graph"), lambda x: x <= 1)
    return rows


PARTS = ("bits", "train", "optim")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    names = list(dict.fromkeys(algorithm.name for algorithm in ALGORITHMS))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 rounds in place of 10")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no more rows are begun; default 8")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--algorithms", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--out", type=Path, help="where the results go")
    options = parser.parse_args(arguments)
    try:
        device = device_name()
    except RuntimeError as error:  # of CuPy or a GPU that is missing
        sys.exit(f"benchmarks/gpu.py: {error}")
    notes: list[str] = []
    if not has_torch():
        notes.append("torch left out: not installed, or without CUDA")
    print(device, *notes, sep="\n", end="\n\n", flush=True)
    others, clock = Others(), Clock(options.minutes)
    rounds = 5 if options.quick else 10
    bits: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    training: list[dict[str, Any]] = []
    algorithms = [a for a in ALGORITHMS if a.name in options.algorithms and hasattr(optim, a.name)]
    algorithms.sort(key=lambda algorithm: str(algorithm) != "Adam")

    def attempt(what: str, measure: Callable[[], dict[str, Any]], results: list[dict[str, Any]]) -> None:
        """Add a row, if there is time; an error, of missing memory say, ends this row and no other."""
        if not clock.allows(what):
            return
        try:
            results.append(measure())
        except Exception as error:
            notes.append(f"{what} failed: {type(error).__name__}: {str(error)[:500]}")
            print(notes[-1])
        free()

    every = [(a, n, k) for n, k in SIZES for a in algorithms if n <= PRODUCTS or not a.matrices_only]
    first = [row for row in every if str(row[0]) == "Adam" and row[1:] in SIZES[:2]]

    def optimizers(rows: Sequence[tuple[Algorithm, int, int]]) -> None:
        for row in rows:
            attempt("{}: {:,} in {}".format(*row), lambda row=row: measured_optimizer(*row, rounds), steps)

    if "bits" in options.parts:
        for algorithm in filter(is_exact, algorithms):
            attempt(f"bits of {algorithm}", lambda algorithm=algorithm: differing_bits(algorithm, 100_003), bits)
        wrong = [f"{row['algorithm']} {row['differing']}" for row in bits if row["differing"]]
        print("elements that differ from the CPU's:", ", ".join(wrong) or "none", f"({len(bits)} algorithms)\n")
    if "optim" in options.parts:
        optimizers(first)
    if "train" in options.parts:
        for sizes in LAYERS:
            for batch in BATCHES:
                case = sizes, batch, rounds, notes
                attempt(shown(sizes, batch), lambda case=case: measured_training(*case), training)
        print("microseconds of a training step")
        print_table(training_rows(training))
    if "optim" in options.parts:
        optimizers([row for row in every if row not in first])
        print("\nmicroseconds of an optimizer's step")
        print_table(optimizer_rows(steps))
    if clock.skipped:
        notes.append(f"{clock.skipped} rows left out after {options.minutes:g} minutes: --minutes 30 takes more")
        print(notes[-1])
    reached = targets(bits, steps, training)
    print()
    print_table(reached)
    more = {"bits": bits, "targets": [dict(zip(reached[0], row, strict=True)) for row in reached[1:]]}
    settings = {"dtype": "float32", "rounds": rounds, "lr": LR, "device": device}
    write_json("gpu", report("gpu", settings, steps + training, notes, others) | more, parser, options)


if __name__ == "__main__":
    main()
