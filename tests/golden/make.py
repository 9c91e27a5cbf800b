"""Writes the golden traces of torch.optim beside this file: `python -m tests.golden.make`.

float64 throughout (torch keeps step counts and ASGD's eta in the default dtype), one tensor at a time (foreach=False).
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import torch

from .settings import SETTINGS

STEPS = 12
SHAPES = {"SparseAdam": [(5, 3)], "Adafactor": [(4, 3), (7,), (2, 3, 2)], "Muon": [(4, 3), (3, 4)]}
SPARSE = {"SGD": [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}], "Adagrad": [{"lr": 0.1}, {"lr": 0.1, "maximize": True}]}


def gradient(stream: random.Random, size: int) -> list[float]:
    """Normal numbers over six decades, some of them exactly zero."""
    return [stream.choice([0.0] + 9 * [1.0]) * stream.gauss(0, 1) * 10 ** stream.uniform(-4, 2) for _ in range(size)]


def sparse_gradient(stream: random.Random, shape: tuple[int, ...]) -> dict[str, list[Any]]:
    """Up to five rows, in any order and with repetitions, or none."""
    rows = [stream.randrange(shape[0]) for _ in range(stream.randrange(6))]
    return {"rows": rows, "values": gradient(stream, len(rows) * math.prod(shape[1:]))}


def as_tensor(grad: Any, shape: tuple[int, ...]) -> torch.Tensor | None:
    if grad is None:
        return None
    if isinstance(grad, dict):
        values = torch.tensor(grad["values"]).reshape(len(grad["rows"]), *shape[1:])
        rows = torch.tensor([grad["rows"]], dtype=torch.long)
        return torch.sparse_coo_tensor(rows, values, shape, check_invariants=True)
    return torch.tensor(grad).reshape(shape)


def plain(value: Any) -> Any:
    """A state entry as a float or a flat list."""
    value = torch.as_tensor(value)
    value = value.to_dense() if value.is_sparse else value
    return value.item() if value.dim() == 0 else value.flatten().tolist()


def build(name: str, p: torch.Tensor, settings: dict[str, Any]) -> torch.optim.Optimizer:
    foreach = {} if name in ("SparseAdam", "Muon") else {"foreach": False}
    return getattr(torch.optim, name)([p], **settings, **foreach)


def trace(name: str, settings: dict[str, Any], shape: tuple[int, ...], p0: Any, grads: Any, lrs: Any) -> dict[str, Any]:
    """One case: what torch makes of p0 with these gradients."""
    p = torch.tensor(p0).reshape(shape).requires_grad_()
    optimizer = build(name, p, settings)
    trajectory = []
    for i, grad in enumerate(grads):
        if lrs is not None:
            optimizer.param_groups[0]["lr"] = lrs[i]
        p.grad = as_tensor(grad, shape)
        optimizer.step()
        trajectory.append(p.detach().flatten().tolist())
    state = {key: plain(value) for key, value in optimizer.state[p].items() if value is not None}
    return {
        "settings": settings,
        "shape": shape,
        "p0": p0,
        "lrs": lrs,
        "grads": grads,
        "trajectory": trajectory,
        "bound": bound(name, p0, trajectory),
        "state": state,
    }


def bound(name: str, p0: list[float], trajectory: list[list[float]]) -> float:
    """How far from the trajectory still is parity: 1e-12 of the largest |p|; for bfloat16 2 % of the longest way."""
    if name == "Muon":
        return 0.02 * max(abs(x - x0) for p in trajectory for x, x0 in zip(p, p0, strict=True))
    return 1e-12 * max(abs(x) for p in trajectory for x in p)


def draw(name: str, number: int, settings: dict[str, Any], shape: tuple[int, ...], *, sparse=False, uneven=False):
    """A case with drawn numbers; uneven: with missing gradients and an lr that falls."""
    stream = random.Random(f"{name} {number}")
    p0 = [stream.gauss(0, 1) for _ in range(math.prod(shape))]
    grads = [sparse_gradient(stream, shape) if sparse else gradient(stream, len(p0)) for _ in range(STEPS)]
    lrs = None
    if uneven:
        grads[3] = grads[7] = None
        lrs = [0.1 * 0.8**i for i in range(STEPS)]
    return trace(name, settings, shape, p0, grads, lrs)


def cases(name: str) -> list[dict[str, Any]]:
    shapes = SHAPES.get(name, [(7,)])
    drawn: list[dict[str, Any]] = []
    for settings in SETTINGS[name]:
        shape = shapes[len(drawn) % len(shapes)]
        drawn.append(draw(name, len(drawn), settings, shape, sparse=name == "SparseAdam"))
    drawn.append(draw(name, len(drawn), {}, shapes[0], sparse=name == "SparseAdam", uneven=True))
    for settings in SPARSE.get(name, []):
        drawn.append(draw(name, len(drawn), settings, (5, 3), sparse=True))
    return drawn


def main() -> None:
    torch.set_default_dtype(torch.float64)
    for name in SETTINGS:
        head = f'{{"torch": "{torch.__version__}", "cases": [\n'
        lines = ",\n".join(json.dumps(case, allow_nan=False) for case in cases(name))
        Path(__file__).with_name(f"{name.lower()}.json").write_text(f"{head}{lines}\n]}}\n")


if __name__ == "__main__":
    main()
