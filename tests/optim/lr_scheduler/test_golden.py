"""Schedulers against the golden traces of torch, without torch."""

import json
from pathlib import Path

import numpy as np
import pytest

import tests.golden
from optim import lr_scheduler

from .table import build, make_optimizer, take

CASES = json.loads(Path(tests.golden.__file__).with_name("schedules.json").read_text())["cases"]
NAMES = {case["plan"][0] for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['plan']} {case['edits']}")
def test_follows_the_golden_trace(case):
    optimizer = make_optimizer(case["lrs"])
    scheduler = build(lr_scheduler, optimizer, case["plan"])
    for t in range(len(case["path"]["lr"])):
        for setting, values in case["path"].items():
            now = [group[setting] for group in optimizer.param_groups]
            np.testing.assert_allclose(now, values[t], rtol=3e-12, atol=1e-13, err_msg=f"{setting} at {t}")
        for _, group, lr in (edit for edit in case["edits"] if edit[0] == t):
            optimizer.param_groups[group]["lr"] = lr
        take(scheduler, optimizer)
