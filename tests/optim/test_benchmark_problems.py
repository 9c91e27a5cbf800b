"""Evaluations until a minimum, counted on the problems of Moré, Garbow and Hillstrom beside SciPy's methods."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("scipy.optimize")
PATH = Path(__file__).parents[2] / "benchmarks" / "evaluations.py"
SPEC = importlib.util.spec_from_file_location("evaluations", PATH)
evaluations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(evaluations)

LONG = {"Meyer", "Osborne 1"}
"""SciPy's CG does not solve them in 4000 evaluations."""


@pytest.fixture(scope="module")
def results():
    """Problem -> contestant -> evaluations or None."""
    problems = [p for p in evaluations.MGH if p.name not in LONG]
    return {
        p.name: {name: evaluations.measured(p, run, limit=1000).evaluations for name, run in evaluations.RUNS.items()}
        for p in problems
    }


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # SciPy's
def test_within_one_and_a_half_times_scipy_on_each_and_fewer_in_total(results):
    assert len(results) >= 20
    for theirs, mine in evaluations.PAIRS:
        counted = {name: (row[theirs], row[mine]) for name, row in results.items()}
        assert all(after is not None for _, after in counted.values()), "ours solves all"
        solved = {name: pair for name, pair in counted.items() if pair[0] is not None}
        slower = {name: pair for name, pair in solved.items() if pair[1] > 1.5 * pair[0]}
        assert not slower
        before, after = (sum(column) for column in zip(*solved.values(), strict=True))
        assert after < before


def test_the_table():
    names = ("Beale", "Linear, rank 1")
    rows = evaluations.compared([p for p in evaluations.MGH if p.name in names])
    text = evaluations.markdown(rows)
    assert text.startswith("| problem | n | SciPy L-BFGS-B | LBFGS | SciPy CG | ConjugateGradient |\n|---|---:|")
    assert "on the 2 that both solve; at worst" in text
