"""Whatever is public has what a reader, a user and a doubter expect of a scheduler."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from optim import lr_scheduler
from optim.lr_scheduler import LRScheduler, Schedule

from .table import EXAMPLES, ROWS
from .test_golden import NAMES as GOLDEN
from .test_schedules import PURE

ROOT = Path(__file__).parents[3]
PUBLIC = {name: getattr(lr_scheduler, name) for name in lr_scheduler.__all__}
SCHEDULERS = [name for name, cls in PUBLIC.items() if issubclass(cls, LRScheduler) and cls is not LRScheduler]
SCHEDULES = [name for name, cls in PUBLIC.items() if issubclass(cls, Schedule) and name not in SCHEDULERS]
COMPLETE = [name for name in SCHEDULES if name not in ("Schedule", "Factor")]
MODULES = [f"optim.lr_scheduler.{module.name}" for module in pkgutil.iter_modules(lr_scheduler.__path__)]
every_scheduler = pytest.mark.parametrize("name", SCHEDULERS)


def arguments(name):
    return [p for p in inspect.signature(PUBLIC[name]).parameters if p not in ("optimizer", "last_epoch")]


def test_what_is_public_is_listed_once():
    assert len(set(lr_scheduler.__all__)) == len(lr_scheduler.__all__)
    modules = [vars(importlib.import_module(name)).values() for name in MODULES]
    classes = {c.__name__ for module in modules for c in module if inspect.isclass(c) and issubclass(c, LRScheduler)}
    assert {name for name in classes if name[0] != "_"} - {"Chainable"} == {*SCHEDULERS, "LRScheduler"}


@every_scheduler
def test_has_a_closed_form_and_is_compared_with_it(name):
    assert name in ROWS, "no row in tests/optim/lr_scheduler/table.py: nothing of it is tested"
    assert any(plan[0] == name for plan in EXAMPLES)
    known = set(inspect.signature(ROWS[name].closed).parameters)
    if "more" not in known and "_" not in known and "settings" not in known:
        assert set(arguments(name)) <= known


@every_scheduler
def test_has_a_golden_trace_where_torch_has_it(name):
    assert (name in GOLDEN) == ROWS[name].torch


@every_scheduler
def test_is_compared_with_torch(name):
    parity = (ROOT / "tests" / "parity" / "test_lr_scheduler.py").read_text()
    assert "OF_TORCH = [name for name, row in ROWS.items() if row.torch]" in parity
    beyond = {"WarmupCosineLR", "WarmupStableDecayLR", "InverseSquareRootLR", "SettingScheduler"}
    assert ROWS[name].torch == (name not in beyond)


@every_scheduler
def test_documents_its_formula(name):
    text = inspect.getdoc(PUBLIC[name])
    assert re.search(r"\b(lr|group\[setting\]) (=|←) \S", text), f"{name}: no formula"
    assert "in torch" in text or "Not in torch" in inspect.getdoc(sys.modules[PUBLIC[name].__module__])


@pytest.mark.parametrize("name", COMPLETE)
def test_documents_its_schedule(name):
    text = inspect.getdoc(PUBLIC[name])
    for argument in arguments(name):
        assert re.search(rf"^(\w+, )*{argument}(, \w+)*: ", text, re.MULTILINE), f"{name}: {argument} is not described"
    assert ">>> " in text
    assert any(settings for plan, settings in PURE if name in (plan.removesuffix("LR"), "WarmRestarts"))


def test_every_schedule_has_its_scheduler():
    assert {name + "LR" for name in COMPLETE if name != "WarmRestarts"} <= set(SCHEDULERS)


@pytest.mark.parametrize("module", MODULES)
def test_doctests(module):
    failed, _ = doctest.testmod(importlib.import_module(module))
    assert not failed


def test_needs_numpy_alone():
    program = "import sys, optim.lr_scheduler; print([m for m in ('scipy', 'matplotlib', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
