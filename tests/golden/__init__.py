"""Golden traces: what torch.optim 2.13 did, as data. See README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAMES = (
    "SGD",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "Adagrad",
    "Adadelta",
    "RMSprop",
    "Rprop",
    "ASGD",
    "SparseAdam",
    "Adafactor",
    "Muon",
)


def load(name: str) -> list[dict[str, Any]]:
    """The cases of an algorithm, each a dictionary; tensors are flat lists in row-major order.

    settings: the keyword arguments.
    shape, p0: the parameter before the first step.
    lrs: the lr set before each step, or None.
    grads: for each step the gradient, None where it is missing, or {rows, values} where it is row-sparse.
    trajectory: the parameter after each step.
    bound: how far from the trajectory an element may be.
    state: the parameter's state after the last step, by torch's keys.
    """
    cases = json.loads(Path(__file__).with_name(f"{name.lower()}.json").read_text())["cases"]
    for case in cases:
        case["shape"] = tuple(case["shape"])
        case["settings"] = {k: tuple(v) if isinstance(v, list) else v for k, v in case["settings"].items()}
    return cases
