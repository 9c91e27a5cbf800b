"""One training step of an MLP (zero_grad, forward, backward, Adam): ours, beside the floor and other libraries.

    python benchmarks/train_step.py [--quick] [--sizes 64,128,10@32 ...] [--contestants floor ...] [--out FILE]

Every contestant starts from the same weights on the same batch and must reach the same loss after some steps; then
all are timed in turn in one run. What isn't installed is skipped, with a note.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import Others, figure, interleaved, print_table, repeated, report, write_json

import minigrad as mg
import nn
import optim
from optim.adam import adam
from optim.formula.executions import executor

SIZES = [
    ((2, 16, 16, 2), 32),
    ((64, 128, 10), 32),
    ((64, 128, 128, 10), 64),
    ((784, 256, 128, 10), 64),
    ((784, 256, 128, 10), 512),
    ((784, 1024, 1024, 10), 256),
]
CHECK_LR, CHECK_STEPS, TOLERANCE = 1e-3, 10, 1e-3
TIMED_LR = 1e-6
"""Small, so that thousands of timed steps change nothing: no unit dies, and no moment decays to a subnormal."""

Step = Callable[[], Any]
"""One training step; returns the loss that it started from, as something `float` takes."""


@dataclass(frozen=True)
class Problem:
    """A batch x (n, in) of float32 with labels y (n,), initial layers [(W (out, in), b (out,)), ...], and Adam's lr."""

    x: np.ndarray
    y: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray]]
    lr: float

    @staticmethod
    def draw(sizes: tuple[int, ...], batch: int, lr: float) -> Problem:
        """Normal inputs, labels that can be learned from them, and weights as `nn.Linear` draws them."""
        stream = np.random.default_rng(0)
        x = stream.normal(size=(batch, sizes[0])).astype(np.float32)
        y = (x @ stream.normal(size=(sizes[0], sizes[-1]))).argmax(axis=1)
        layers = []
        for i, o in pairwise(sizes):
            W, b = (stream.uniform(-1, 1, shape) / np.sqrt(i) for shape in ((o, i), (o,)))
            layers.append((W.astype(np.float32), b.astype(np.float32)))
        return Problem(x, y, layers, lr)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the layers, inputs first."""
        return self.x.shape[1], *(len(b) for _, b in self.layers)


def minigrad_step(problem: Problem) -> Step:
    """Ours, as a user writes it."""
    modules: list[Any] = []
    for W, b in problem.layers:
        linear = nn.Linear(*W.shape[::-1])
        linear.load_state_dict({"weight": W, "bias": b})
        modules += [linear, nn.ReLU()]
    model = nn.Sequential(*modules[:-1])
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=problem.lr)
    x, y = mg.tensor(problem.x), mg.tensor(problem.y)

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


SMALL = 1024
FLOOR_FUNCTIONS = (
    "add", "divide", "exp", "greater", "log", "maximum", "multiply", "sign", "subtract",
)  # fmt: skip


def floor_source(sizes: tuple[int, ...], batch: int) -> str:
    """The floor as text: one straight line of NumPy calls, with no loop over the layers.

    Everything that outlives a step is made before: buffers for all answers, their transposed and flat views, 0-d
    arrays in place of numbers. Where NumPy offers several calls, it is the one measured to be the fastest.
    """
    last = len(sizes) - 2
    # The sign of a relu is its derivative: soonest made for a small array, while a mask is soonest for a large one
    derivative = ["sign(a{i}, d{i})" if batch * n < SMALL else "greater(a{i}, zero, d{i})" for n in sizes[1:]]
    forward, backward = [], []
    for i in range(last + 1):
        forward += [f"{f'a{i - 1}' if i else 'x'}.dot(W{i}_T, a{i})", f"add(a{i}, b{i}, a{i})"]
        forward += [f"maximum(a{i}, zero, out=a{i})"] if i < last else []
    loss = f"""
        add(starts, y, hit)
        a{last}.argmax(1, top)
        add(top, starts, top)
        subtract(a{last}, flat[top].reshape(n, 1), a{last})
        shifted = flat[hit]
        exp(a{last}, g{last})
        g{last}.dot(ones_classes, total)
        loss = (log(total) - shifted).dot(ones_n) / n
        multiply(total, n_array, total)
        divide(g{last}, total_column, g{last})
        flat_residual[hit] -= one_nth""".split("\n")[1:]
    for i in reversed(range(last + 1)):
        backward += [f"g{i}_T.dot({f'a{i - 1}' if i else 'x'}, gW{i})", f"g{i}_T.dot(ones_n, gb{i})"]
        if i:
            j = i - 1
            backward += [f"g{i}.dot(W{i}, g{j})", derivative[j].format(i=j), f"multiply(g{j}, d{j}, g{j})"]
    update = ["t += 1", "constants = prepare(None, adam_constants(lr, 0.9, 0.999, 1e-8, 0.0, False, False, False, t))"]
    for i in range(last + 1):
        update += [f"adam_kernel({k}{i}_flat, g{k}{i}_flat, m{k}{i}, v{k}{i}, constants)" for k in "Wb"]
    body = [line.strip() for line in forward + loss + backward + update]
    return "\n".join(["def step():", "    global t", *(f"    {line}" for line in body), "    return loss", ""])


def floor_step(problem: Problem) -> Step:
    """Hand-written NumPy without a tape, calling the compiled Adam that our optimizer calls, once for each array."""
    n, classes = len(problem.y), problem.sizes[-1]
    scope: dict[str, Any] = {name: getattr(np, name) for name in FLOOR_FUNCTIONS}
    plan, _ = adam.plan((problem.lr, 0.9, 0.999, 1e-8, 0.0, False, False, False, 1))
    kernel, prepare = executor(adam, plan, problem.x)
    scope |= {"adam_kernel": kernel, "adam_constants": plan.constants, "prepare": prepare}
    scope |= {"x": problem.x, "y": problem.y, "lr": problem.lr, "t": 0, "n": n}
    for i, (W, b) in enumerate(problem.layers):
        a, g = (np.empty((n, len(b)), np.float32) for _ in range(2))
        scope |= {f"a{i}": a, f"g{i}": g, f"g{i}_T": g.T}
        scope[f"d{i}"] = np.empty(a.shape, np.float32 if a.size < SMALL else bool)
        for name, value in ((f"W{i}", W.copy()), (f"b{i}", b.copy())):
            gradient = np.empty_like(value)
            scope |= {name: value, f"{name}_flat": value.reshape(-1)}
            scope |= {f"g{name}": gradient, f"g{name}_flat": gradient.reshape(-1)}
            scope |= {f"{moment}{name}": np.zeros(value.size, np.float32) for moment in "mv"}
        scope[f"W{i}_T"] = scope[f"W{i}"].T
    total = np.empty(n, np.float32)
    scope |= {"hit": np.empty(n, np.intp), "top": np.empty(n, np.intp), "starts": np.arange(0, n * classes, classes)}
    scope |= {
        "flat": a.reshape(-1),
        "flat_residual": g.reshape(-1),
        "total": total,
        "total_column": total.reshape(n, 1),
    }
    scope |= {"ones_classes": np.ones(classes, np.float32), "ones_n": np.ones(n, np.float32)}
    scope |= {
        "zero": np.array(0, np.float32),
        "n_array": np.array(n, np.float32),
        "one_nth": np.array(1 / n, np.float32),
    }
    exec(floor_source(problem.sizes, n), scope)
    step: Step = scope["step"]
    return step


def numpy_step(problem: Problem) -> Step:
    """NumPy as most people would write it, Adam included."""
    x, y, n = problem.x, problem.y, len(problem.y)
    weights = [np.ascontiguousarray(W.T) for W, _ in problem.layers]
    biases = [b.copy() for _, b in problem.layers]
    parameters = weights + biases
    m = [np.zeros_like(p) for p in parameters]
    v = [np.zeros_like(p) for p in parameters]
    t = 0

    def step() -> Any:
        nonlocal t
        t += 1
        answers = [x]
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            answers.append(np.maximum(answers[-1] @ W + b, 0))
        logits = answers[-1] @ weights[-1] + biases[-1]
        logits -= logits.max(axis=1, keepdims=True)
        probs = np.exp(logits)
        probs /= probs.sum(axis=1, keepdims=True)
        loss = -np.log(probs[np.arange(n), y]).mean()
        g = probs
        g[np.arange(n), y] -= 1
        g /= n
        weight_grads, bias_grads = [], []
        for W, a in zip(weights[::-1], answers[::-1], strict=True):
            weight_grads.append(a.T @ g)
            bias_grads.append(g.sum(axis=0))
            if a is not x:
                g = g @ W.T * (a > 0)
        for i, (p, grad) in enumerate(zip(parameters, weight_grads[::-1] + bias_grads[::-1], strict=True)):
            m[i] = 0.9 * m[i] + 0.1 * grad
            v[i] = 0.999 * v[i] + 0.001 * grad**2
            m_hat = m[i] / (1 - 0.9**t)
            v_hat = v[i] / (1 - 0.999**t)
            p -= problem.lr * m_hat / (np.sqrt(v_hat) + 1e-8)
        return loss

    return step


def torch_step(problem: Problem, fused: bool | None = None, compiled: bool = False) -> Step:
    """PyTorch, with its default threads."""
    import torch

    modules: list[Any] = []
    for W, b in problem.layers:
        linear = torch.nn.Linear(*W.shape[::-1])
        linear.load_state_dict({"weight": torch.from_numpy(W.copy()), "bias": torch.from_numpy(b.copy())})
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=problem.lr, fused=fused)
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)

    def loss_of(x: Any, y: Any) -> Any:
        return criterion(model(x), y)

    if compiled:
        # Code of the size before, which would make this one count as a change of shape
        torch.compiler.reset()
        loss_of = torch.compile(loss_of)

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def jax_step(problem: Problem) -> Step:
    """JAX: the whole step in one compiled function, with optax's Adam."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp
    import optax

    optimizer = optax.adam(problem.lr)

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        for W, b in parameters[:-1]:
            x = jax.nn.relu(x @ W + b)
        W, b = parameters[-1]
        return optax.softmax_cross_entropy_with_integer_labels(x @ W + b, y).mean()

    def update(parameters: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        updates, state = optimizer.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state, loss

    compiled = jax.jit(update, donate_argnums=(0, 1))
    parameters: Any = [(jnp.array(W.T), jnp.array(b)) for W, b in problem.layers]
    state = optimizer.init(parameters)
    x, y = jnp.array(problem.x), jnp.array(problem.y)

    def step() -> Any:
        nonlocal parameters, state
        parameters, state, loss = compiled(parameters, state, x, y)
        return loss

    return step


class Contestant(NamedTuple):
    """Who takes part: what makes its step, and the packages it needs."""

    make: Callable[[Problem], Step]
    needs: tuple[str, ...] = ()


CONTESTANTS = {
    "minigrad": Contestant(minigrad_step),
    "floor": Contestant(floor_step),
    "numpy": Contestant(numpy_step),
    "torch": Contestant(torch_step, ("torch",)),
    "torch-fused": Contestant(partial(torch_step, fused=True), ("torch",)),
    "torch-compile": Contestant(partial(torch_step, fused=True, compiled=True), ("torch",)),
    "jax": Contestant(jax_step, ("jax", "optax")),
}


def checked(sizes: tuple[int, ...], batch: int, names: list[str], notes: list[str]) -> tuple[list[str], float]:
    """The contestants that run here, and the loss that all of them reach from the same start.

    Raises RuntimeError where one reaches another loss than ours: it would be timed doing something else.
    """
    problem = Problem.draw(sizes, batch, CHECK_LR)
    losses = {}
    for name in names:
        try:
            step = CONTESTANTS[name].make(problem)
            losses[name] = [float(step()) for _ in range(CHECK_STEPS)]
        except Exception as error:  # of many kinds: a compiler may be missing, or fail
            if name in ("minigrad", "floor", "numpy"):
                raise
            reason = str(error).strip().splitlines()
            notes.append(
                f"{name} left out at {shown(sizes, batch)}: {type(error).__name__}: {reason[0] if reason else ''}"
            )
            print(notes[-1])
    ours = losses["minigrad"]
    for name, path in losses.items():
        if not np.allclose(path, ours, rtol=TOLERANCE):
            raise RuntimeError(f"{name} at {shown(sizes, batch)} has the losses {path}, minigrad {ours}")
    return list(losses), ours[-1]


def measured(sizes: tuple[int, ...], batch: int, names: list[str], rounds: int, notes: list[str]) -> dict[str, Any]:
    """The results of one size."""
    names, loss = checked(sizes, batch, names, notes)
    problem = Problem.draw(sizes, batch, TIMED_LR)
    times = interleaved({name: repeated(CONTESTANTS[name].make(problem)) for name in names}, rounds)
    return {"sizes": list(sizes), "batch": batch, f"loss at step {CHECK_STEPS}": round(loss, 6), "microseconds": times}


def shown(sizes: tuple[int, ...], batch: int) -> str:
    """A size as it is written on the command line."""
    return f"{','.join(map(str, sizes))}@{batch}"


def parsed(text: str) -> tuple[tuple[int, ...], int]:
    """A size from the command line: layers, inputs first, then the batch, as in 64,128,10@32."""
    layers, batch = text.split("@")
    return tuple(map(int, layers.split(","))), int(batch)


def installed(names: list[str], notes: list[str]) -> list[str]:
    """Those contestants whose packages are there; a note for the others."""
    present = []
    for name in names:
        missing = [package for package in CONTESTANTS[name].needs if importlib.util.find_spec(package) is None]
        if missing:
            notes.append(f"{name} left out: {' and '.join(missing)} not installed")
            print(notes[-1])
        else:
            present.append(name)
    return present


def rows_of(results: list[dict[str, Any]], names: list[str]) -> list[list[str]]:
    """A table of medians, each with its ratio to ours; last, ours over the floor."""
    rows = [["layers@batch", *names, "ours/floor"]]
    for result in results:
        times = {name: entry["median"] for name, entry in result["microseconds"].items()}
        ours = times["minigrad"]
        row = [shown(tuple(result["sizes"]), result["batch"])]
        row += [f"{figure(times[name])} ({times[name] / ours:.2f})" if name in times else "-" for name in names]
        rows.append([*row, f"{ours / times['floor']:.3f}" if "floor" in times else "-"])
    return rows


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="7 rounds in place of 40")
    parser.add_argument("--sizes", nargs="+", type=parsed, default=SIZES, metavar="LAYERS@BATCH")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="beside ours")
    parser.add_argument("--out", type=Path, help="where the results go")
    options = parser.parse_args()
    notes: list[str] = []
    names = installed([name for name in CONTESTANTS if name in {"minigrad", *options.contestants}], notes)
    others = Others()
    rounds = 7 if options.quick else 40
    results = []
    print(f"One training step, float32: microseconds (ratio to minigrad), medians of {rounds} interleaved rounds\n")
    for sizes, batch in options.sizes:
        results.append(measured(sizes, batch, names, rounds, notes))
        print(*(f"{name} {figure(entry['median'])}" for name, entry in results[-1]["microseconds"].items()), sep="  ")
    print()
    print_table(rows_of(results, names))
    settings = {"dtype": "float32", "rounds": rounds, "lr": TIMED_LR, "check": {"lr": CHECK_LR, "tolerance": TOLERANCE}}
    write_json("train_step", report("train_step", settings, results, notes, others), parser, options)


if __name__ == "__main__":
    main()
