"""docs/how_a_formula_runs.md shows what is generated."""

import re
from pathlib import Path

import pytest

import optim
from optim.formula import source
from optim.formula.text import plan_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how_a_formula_runs.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- ([^\n]*) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.parametrize("call", BLOCKS)
def test_shows_what_is_generated(call):
    generated = eval(call, {"optim": optim, "source": source, "plan": plan_of(optim.Adam)[0]})
    left = generated.rstrip("\n") + "\n"
    for part in re.split(r" *\.\.\.\n", BLOCKS[call]):
        assert re.search(rf"^{re.escape(part)}", left, re.MULTILINE), (
            f"not generated (any more), or out of order:\n{part}"
        )
        left = left.partition(part)[2]


def test_shows_every_execution():
    assert [*BLOCKS] == ["repr(plan)", *(f'source(optim.Adam, "{name}")' for name in ("blocked", "numba", "cuda"))]
    assert PAGE.count("```") == 2 * len(BLOCKS)


def test_names_every_file_to_read():
    _, _, end = PAGE.partition("**In what order to read**")
    files = {path.name for path in (ROOT / "optim" / "formula").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py)`", end)) == files
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
