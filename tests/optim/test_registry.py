"""Whatever optim makes public has all that a reader, a user and a doubter expect of an algorithm."""

import doctest
import importlib
import inspect
import math
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import optim
from optim.elementwise import ElementwiseOptimizer
from tests import mutations
from tests.golden import NAMES as GOLDEN
from tests.references import REFERENCES

from .paths import take_step
from .table import ALGORITHMS, CLOSURES, PUBLIC, ROWS
from .variants import ALGORITHMS as BITS

ROOT = Path(__file__).parents[2]
every_algorithm = pytest.mark.parametrize("name", PUBLIC)
every_algorithm_of_any_kind = pytest.mark.parametrize("name", ALGORITHMS)


def arguments(name):
    """Name -> default of the settings."""
    parameters = list(inspect.signature(getattr(optim, name)).parameters.values())
    return {p.name: p.default for p in parameters if p.name != "params" and p.kind is not p.VAR_KEYWORD}


def documented(name, section="Settings"):
    """Name -> text of what the docstring lists in a section, on one line each."""
    header = rf"^{section}.*(?:\n\S.*)*:\n"
    text = re.search(header + r"((?: +.*\n)*)", inspect.getdoc(getattr(optim, name)), re.MULTILINE)[1]
    found = {}
    for names, description in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", text, re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), re.sub(r"\s+", " ", description))
    return found


def paragraph(name, start):
    """The one of the docstring that begins so, on one line."""
    return re.sub(
        r"\s+", " ", re.search(rf"^{start}.*(?:\n.+)*", inspect.getdoc(getattr(optim, name)), re.MULTILINE)[0]
    )


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


@every_algorithm
def test_has_a_formula_errors_a_source_and_numbers(name):
    text, torchs = inspect.getdoc(getattr(optim, name)), ROWS[name].torch
    assert "←" in text.partition("\n\n")[0], "the formula comes first"
    raises, source = paragraph(name, "Raises "), paragraph(name, "Source: ")
    assert "TypeError for settings of a wrong type" in raises
    assert "ValueError for those out of range" in raises
    assert re.search(r"(equations?|Algorithms?|sections?|Table|Lecture) \d", source), "where in the source?"
    assert ("Not in torch" not in source) == torchs
    assert not torchs or "torch" in source, "how does it differ from torch's?"
    assert re.search(rf"^>>> .*optim\.{name}\(", text, re.MULTILINE)
    assert re.search(r"^\[.*\d\.\d.*\]$", text, re.MULTILINE), "a doctest shows numbers"


@every_algorithm_of_any_kind
def test_documents_its_defaults(name):
    for setting, description in documented(name).items():
        stated = re.search(r"Default (\([^)]*\)|[^\s,;]+)", description)
        assert stated, f"{name}: the description of {setting} has no default"
        assert eval(stated[1].rstrip("."), {"inf": math.inf}) == arguments(name)[setting], f"{name}: {setting}"


NUMBER = r"(-?\d[\d.e-]*)"
RANGES = [
    (rf"≥ {NUMBER}", lambda low: [(low, True), (below(low), False), (math.inf, False)]),
    (rf"> {NUMBER}", lambda low: [(low, False), (above(low), True), (math.inf, False)]),
    (rf"≤ {NUMBER}", lambda high: [(high, True), (above(high), False), (-math.inf, False)]),
    (rf"in \({NUMBER}, {NUMBER}\)", lambda a, b: [(a, False), (above(a), True), (below(b), True), (b, False)]),
    (rf"in \[{NUMBER}, {NUMBER}\)", lambda a, b: [(below(a), False), (a, True), (below(b), True), (b, False)]),
    (rf"in \[{NUMBER}, {NUMBER}\]", lambda a, b: [(below(a), False), (a, True), (b, True), (above(b), False)]),
    (rf"≥ {NUMBER} or inf", lambda low: [(low, True), (below(low), False), (math.inf, True)]),
    (rf"> {NUMBER} or inf", lambda low: [(low, False), (above(low), True), (math.inf, True)]),
    (r"any finite number", lambda: [(-1e300, True), (1e300, True), (math.inf, False), (-math.inf, False)]),
    (rf"whole number from {NUMBER}", lambda low: [(low, True), (low - 1, False), (low + 0.5, False), (1e9, True)]),
    (rf"whole number from {NUMBER} to {NUMBER}", lambda a, b: [(a, True), (a - 1, False), (b, True), (b + 1, False)]),
]
"""How a range is written, and which numbers it then permits."""


def below(number):
    return math.nextafter(number, -math.inf)


def above(number):
    return math.nextafter(number, math.inf)


def written_ranges(description):
    """What each range in a text permits: the longest reading at each place."""
    text, found = description.partition("Default")[0], {}
    for pattern, permits in RANGES:
        for match in re.finditer(pattern, text):
            found[match.start()] = permits(*map(float, match.groups()))  # a longer pattern comes after its beginning
    return [found[place] for place in sorted(found)]


def placed(value, i, default):
    """The value, or the default with it in place i where that is a tuple."""
    return (*default[:i], value, *default[i + 1 :]) if isinstance(default, tuple) else value


def permits(check, value):
    try:
        check("setting", value)
    except (ValueError, TypeError):
        return False
    return True


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "ScipyMinimize"])  # whose settings are SciPy's
def test_documents_its_ranges(name):
    """The numbers at the edges of what is written are taken or refused, as written."""
    ranges = getattr(optim, name).ranges
    for setting, description in documented(name).items():
        check, default = ranges[setting], arguments(name)[setting]
        if isinstance(default, bool):
            continue
        none = default is None or permits(check, placed(None, 0, default))
        assert none == ("None" in description), f"{name}: may {setting} be None?"
        choices = re.findall(r'"(\w+)"', description)
        assert all(permits(check, choice) for choice in choices), f"{name}: {setting}"
        written = written_ranges(description)
        assert written or choices, f"{name}: the description of {setting} has no range: {description}"
        for i in range(len(default) if isinstance(default, tuple) else 1):
            for value, permitted in written[0] if len(written) == 1 else written[i] if written else ():
                given = placed(value, i, default)
                assert permits(check, given) == permitted, f"{name}: {setting}: {given}, against: {description}"


ON = {"weight_decay": 0.1, "momentum": 0.9, "lr_decay": 0.1}


def every_state(name, dtype):
    """(parameter, its state, its group) after two steps, with each setting switched on and with all at once."""
    defaults = arguments(name)
    switches = {k: ON.get(k, v is False) for k, v in defaults.items() if k in ON or isinstance(v, bool)}
    for chosen in ({}, *({k: v} for k, v in switches.items()), switches):
        for shape in ((3,), (2, 3), (2, 2, 3)):
            try:
                yield stepped(name, np.ones(shape, dtype), ROWS[name].adjust(chosen))
            except ValueError as error:
                assert "axes" in str(error), "only Muon may refuse a shape"


def stepped(name, array, settings):
    p = mg.tensor(array, requires_grad=True)
    optimizer = getattr(optim, name)([p], **settings)
    g = np.full_like(array, 0.5)
    for _ in range(2):
        take_step(
            name, optimizer, [p], [{"rows": np.arange(len(g)), "values": g} if ROWS[name].gradients == "rows" else g]
        )
    return p, optimizer.state[p], optimizer.param_groups[0]


@every_algorithm
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_documents_its_state(name, dtype):
    """Keys, which of them are always there, shapes and types; and what the group remembers."""
    described = documented(name, "State, of each parameter")
    with optim.execution("blocked"):  # needs no compilation
        states = list(every_state(name, dtype))
    seen = {key for _, state, _ in states for key in state}
    assert seen == described.keys()
    always = {key for key in seen if all(key in state for _, state, _ in states)}
    assert always == {key for key, description in described.items() if "only" not in description}
    for p, state, group in states:
        for key, value in state.items():
            if "number" in described[key]:
                assert type(value) in (int, float), f"{name}: {key} is {value!r}"
                continue
            assert value.dtype == p.dtype, f"{name}: {key}"
            assert value.shape == p.shape or "shape" in described[key], f"{name}: {key}"
        remembered = group.keys() - {"params", "decoupled_weight_decay"} - arguments(name).keys()
        assert remembered == (documented(name, "State, of each group").keys() if remembered else set())


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
