"""Every algorithm against its reference, which knows nothing of it: random settings, shapes, gradients and gaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import optim

from .paths import compare, examples, reference_walk, walk, walks
from .table import ROWS, TESTED

every_algorithm = pytest.mark.parametrize("name", TESTED)


@every_algorithm
@examples(150)
@given(data=st.data())
def test_follows_the_reference(name, data):
    given_walk = data.draw(walks(name))
    with optim.execution("blocked"):  # needs no compilation; that all executions agree is test_bits' to say
        compare(name, given_walk, walk(name, given_walk), reference_walk(name, given_walk))


@every_algorithm
@examples(25)
@given(data=st.data())
def test_follows_the_reference_in_float32(name, data):
    given_walk = data.draw(walks(name, most_steps=50, **ROWS[name].in_float32))
    with optim.execution("blocked"):
        ours = walk(name, given_walk, "float32")
    compare(name, given_walk, ours, reference_walk(name, given_walk), tolerance=1e-4, ulp=2.0**-23)
