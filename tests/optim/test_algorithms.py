"""Every algorithm against its reference, which knows nothing of it: random settings, shapes, gradients and gaps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optim

from .paths import Walk, compare, examples, reference_walk, walk, walks
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


BAD = [[math.nan], [math.inf], [-math.inf], [math.nan, math.inf, -math.inf, 0.0], [1e300]]


@every_algorithm
@pytest.mark.parametrize("bad", BAD, ids=str)
@pytest.mark.parametrize("at", [0, 2])
def test_what_is_not_finite_spreads_as_in_the_reference(name, bad, at):
    """To the same elements of the same arrays, and all others go on as if nothing were; tests/parity asks torch."""
    stream = np.random.default_rng(0)
    grads = list(stream.standard_normal((8, 3, 2)))
    grads[at].reshape(-1)[: len(bad)] = bad
    if ROWS[name].gradients == "rows":
        grads = [{"rows": np.array([2, 0]), "values": g[:2]} for g in grads]
    drawn = Walk([({}, 1)], [stream.standard_normal((3, 2))], [grads], [None])
    with optim.execution("blocked"), np.errstate(all="ignore"):  # a loss of what is not finite
        (ours,) = walk(name, drawn)
    (wanted,) = reference_walk(name, drawn)
    for t, (a, b) in enumerate(zip(ours, wanted, strict=True)):
        np.testing.assert_allclose(a["p"], b["p"], rtol=1e-9, atol=1e-12, err_msg=f"p after step {t + 1}")
        for key in b:  # an infinite mean may be NaN instead, as torch's lerp makes it, which p does not see
            np.testing.assert_array_equal(np.isfinite(a[key]), np.isfinite(b[key]), f"{key} after step {t + 1}")
