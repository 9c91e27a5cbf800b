"""Whatever optim makes public has all that a reader, a user and a doubter expect of an algorithm."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import optim
from optim.elementwise import ElementwiseOptimizer
from tests import mutations
from tests.golden import NAMES as GOLDEN
from tests.references import REFERENCES

from .table import ALGORITHMS, CLOSURES, PUBLIC, ROWS
from .variants import ALGORITHMS as BITS

ROOT = Path(__file__).parents[2]
every_algorithm = pytest.mark.parametrize("name", PUBLIC)
every_algorithm_of_any_kind = pytest.mark.parametrize("name", ALGORITHMS)


def arguments(name):
    """Name -> default of the settings."""
    parameters = list(inspect.signature(getattr(optim, name)).parameters.values())
    return {p.name: p.default for p in parameters if p.name != "params" and p.kind is not p.VAR_KEYWORD}


def documented(name):
    """Name -> text of what the docstring lists under Settings."""
    text = inspect.getdoc(getattr(optim, name)).partition("Settings:\n")[2].partition("\n\n")[0]
    found = {}
    for names, description in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", text, re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), description)
    return found


def benchmarked():
    """The algorithms that the benchmark has a row for."""
    return set(re.findall(r'Algorithm\("(\w+)"', (ROOT / "benchmarks" / "optim_step.py").read_text()))


def modules():
    """optim and all that is in it."""
    return ["optim", *(m.name for m in pkgutil.walk_packages(optim.__path__, "optim."))]


def test_what_is_public_is_listed_once():
    assert len(set(optim.__all__)) == len(optim.__all__)
    hidden = {
        name
        for name, value in vars(optim).items()
        if inspect.isclass(value) and issubclass(value, optim.Optimizer) and name not in optim.__all__
    }
    assert not hidden


@every_algorithm
def test_has_a_reference(name):
    assert name in REFERENCES
    assert REFERENCES[name].defaults == arguments(name), "another setting or default than the reference's"


@every_algorithm
def test_has_a_row_with_every_setting(name):
    assert name in ROWS, "no row in tests/optim/table.py: neither its reference nor its identities are tested"
    assert ROWS[name].settings.keys() == arguments(name).keys()


@every_algorithm
def test_has_a_golden_trace_where_torch_has_it(name):
    assert (name in GOLDEN) == ROWS[name].torch


@every_algorithm
def test_has_a_bit_test(name):
    assert name in BITS or not issubclass(getattr(optim, name), ElementwiseOptimizer)


@every_algorithm
def test_has_mutations(name):
    kinds = {mutant.kind for mutant in mutations.mutants(name)}
    assert len(kinds) >= 4
    assert not mutations.stale(name), "excused errors that are in no formula any more"


@every_algorithm_of_any_kind
def test_has_every_section_of_a_docstring(name):
    text = inspect.getdoc(getattr(optim, name))
    for section in ("\nSettings:\n", "\nState", "\nRaises ", "\nSource: ", "\n>>> "):
        assert section in text, f"{name} has no {section.strip()}"
    assert not re.match(r"\w+\.?$", text.splitlines()[0]), "a summary says what it does"
    assert documented(name).keys() == arguments(name).keys()


@every_algorithm_of_any_kind
def test_documents_its_defaults(name):
    for setting, description in documented(name).items():
        stated = re.search(r"Default (.*)", re.sub(r"\s+", " ", description))
        assert stated, f"{name}: the description of {setting} has no default"
        if " and " not in stated[1]:  # of two settings at once
            value = re.match(r"\([^)]*\)|[^\s,;]+", stated[1])[0].rstrip(".")
            assert eval(value, {"inf": float("inf")}) == arguments(name)[setting], f"{name}: {setting}"


@every_algorithm
def test_has_a_benchmark(name):
    # what a row-sparse step costs depends on how many rows have a gradient; others' is mostly their closure
    if ROWS[name].gradients == "dense" and not (ROWS[name].closure or ROWS[name].loss):
        assert name in benchmarked()


@pytest.mark.parametrize("name", CLOSURES)
def test_has_tests_of_its_own_where_it_calls_the_closure_again(name):
    module = getattr(optim, name).__module__.removeprefix("optim.")
    tests = re.findall(r"^def test_(\w+)", (ROOT / "tests" / "optim" / f"test_{module}.py").read_text(), re.MULTILINE)
    for kind in ("resume", "raises", "reference"):
        assert any(kind in test for test in tests), f"{name} has no test with {kind!r} in its name"


def test_every_row_is_of_a_reference():
    assert ROWS.keys() <= REFERENCES.keys()


@pytest.mark.parametrize("module", modules())
def test_doctests(module):
    failed, _ = doctest.testmod(importlib.import_module(module))
    assert not failed
