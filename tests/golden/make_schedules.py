"""Writes what torch.optim.lr_scheduler does to the groups beside this file: `python -m tests.golden.make_schedules`.

Each case: a plan (see tests/optim/lr_scheduler/table.py), the groups' lrs, lrs that are set from outside, [step, group,
lr], and the groups' lrs, and momentums where they are moved, at each step.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from tests.optim.lr_scheduler.table import EXAMPLES, LRS, NOT_TORCHS, ROWS, UNCLOSED, build, metric

STEPS = 40
PLANS = [plan for plan in [*EXAMPLES, *UNCLOSED] if ROWS[plan[0]].torch and plan not in NOT_TORCHS]


def trace(plan: list[Any], edits: list[list[Any]]) -> dict[str, Any]:
    """One case: what torch makes of three groups."""
    groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in LRS]
    optimizer = torch.optim.SGD(groups, momentum=0.7)
    scheduler = build(torch.optim.lr_scheduler, optimizer, plan)
    path: dict[str, Any] = {"lr": [], "momentum": []}
    for t in range(STEPS):
        for setting, values in path.items():
            values.append([group[setting] for group in optimizer.param_groups])
        for _, group, lr in (edit for edit in edits if edit[0] == t):
            optimizer.param_groups[group]["lr"] = lr
        optimizer._opt_called = True
        scheduler.step(*([metric(t)] if plan[0] == "ReduceLROnPlateau" else []))
    if path["momentum"][0] == path["momentum"][-1]:
        del path["momentum"]
    return {"plan": plan, "lrs": LRS, "edits": edits, "path": path}


def main() -> None:
    warnings.simplefilter("ignore")
    cases = [trace(plan, edits) for plan in PLANS for edits in ([], [[4, 1, 0.3], [23, 2, 0.05]])]
    lines = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
    head = f'{{"torch": "{torch.__version__}", "cases": [\n'
    Path(__file__).with_name("schedules.json").write_text(f"{head}{lines}\n]}}\n")


if __name__ == "__main__":
    main()
