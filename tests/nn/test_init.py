"""Initial values: statistics, seeds, types."""

import math

import numpy as np
import pytest

import minigrad as mg
import nn
from nn import init

ERF = np.vectorize(math.erf)


def normal_cdf(x):
    return (1 + ERF(x / math.sqrt(2))) / 2


def filled(function, *arguments, shape=(100, 200), dtype=np.float64, seed=0):
    return function(mg.tensor(np.empty(shape, dtype)), *arguments, generator=np.random.default_rng(seed)).numpy()


def check_distribution(values, cdf):
    """The largest gap between the empirical and the wanted distribution (Kolmogorov and Smirnov)."""
    x = np.sort(values.ravel())
    n = len(x)
    assert np.abs(cdf(x) - (np.arange(n) + 0.5) / n).max() < 1.63 / math.sqrt(n)  # exceeded once in a hundred


def uniform_cdf(bound):
    return lambda x: (x + bound) / (2 * bound)


SCALES = [
    (init.xavier_normal_, (2.0,), 2 * math.sqrt(2 / 300)),
    (init.kaiming_normal_, (), math.sqrt(2 / 200)),
    (init.kaiming_normal_, (0.5, "fan_out"), math.sqrt(2 / 1.25 / 100)),
    (init.kaiming_normal_, (0, "fan_in", "tanh"), 5 / 3 / math.sqrt(200)),
    (init.normal_, (0.0, 3.0), 3.0),
]
BOUNDS = [
    (init.xavier_uniform_, (), math.sqrt(6 / 300)),
    (init.kaiming_uniform_, (math.sqrt(5),), 1 / math.sqrt(200)),
    (init.kaiming_uniform_, (0, "fan_out", "relu"), math.sqrt(6 / 100)),
    (init.uniform_, (-0.5, 0.5), 0.5),
]


@pytest.mark.parametrize(("function", "arguments", "std"), SCALES)
def test_normal(function, arguments, std):
    check_distribution(filled(function, *arguments), lambda x: normal_cdf(x / std))


@pytest.mark.parametrize(("function", "arguments", "bound"), BOUNDS)
def test_uniform(function, arguments, bound):
    values = filled(function, *arguments)
    assert np.abs(values).max() <= bound
    check_distribution(values, uniform_cdf(bound))


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [(0, 1, -2, 2), (1, 2, -1, 1.5), (0, 1, 4, 5), (0, 1, -9, -6), (3, 1, -1, 0), (0, 1, 0, 50)],
)
def test_truncated_normal(mean, std, a, b):
    values = filled(init.trunc_normal_, mean, std, a, b)
    assert a <= values.min() and values.max() <= b
    flip = -1 if b <= mean else 1  # the tail where the distribution function has its digits
    low, high = sorted((flip * (a - mean) / std, flip * (b - mean) / std))
    tail = lambda x: np.vectorize(math.erfc)(x / math.sqrt(2))
    cdf = lambda x: (tail(low) - tail(x)) / (tail(low) - tail(high))
    check_distribution(flip * (values - mean) / std, cdf)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (3, 2, 4)])
def test_orthogonal(shape):
    flat = filled(init.orthogonal_, 2.0, shape=shape).reshape(shape[0], -1)
    product = flat @ flat.T if shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_constants():
    x = mg.tensor(np.empty((2, 3)))
    assert init.ones_(x) is x
    assert (x.numpy() == 1).all()
    assert (init.constant_(x, 2.5).numpy() == 2.5).all()
    assert (init.zeros_(x).numpy() == 0).all()
    np.testing.assert_array_equal(init.eye_(x).numpy(), np.eye(2, 3))


def test_every_type_starts_from_the_same_numbers():
    for function in (init.uniform_, init.normal_, init.trunc_normal_, init.orthogonal_, init.xavier_uniform_):
        wide = filled(function, dtype=np.float64)
        np.testing.assert_array_equal(filled(function, dtype=np.float32), wide.astype(np.float32))


def test_seeds():
    models = []
    for seed in (1, 1, 2):
        mg.manual_seed(seed)
        models.append(nn.Sequential(nn.Linear(3, 4), nn.Embedding(5, 2)).state_dict())
    for name, value in models[0].items():
        np.testing.assert_array_equal(value, models[1][name])
        assert (value != models[2][name]).any()


def test_a_written_parameter_is_noticed():
    p = nn.Parameter(np.ones(3))
    loss = (p * p).sum()
    init.zeros_(p)
    with pytest.raises(RuntimeError, match="written in place"):
        loss.backward()


def test_a_parameter_keeps_what_it_is():
    p = nn.Parameter(np.ones((2, 2)))
    data = p.data
    assert init.normal_(p) is p
    assert p.data is data
    assert p.requires_grad
