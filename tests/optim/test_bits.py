"""All executions of a formula give the same bits."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import nn
import optim
from optim.formula import execution
from optim.formula.blocked import BLOCK

from .paths import take_step
from .table import ROWS, drawn_settings
from .variants import ALGORITHMS

SIZES = [0, 1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 70_001]
STEPS = 4


def specials(dtype):
    """±0, subnormals, the smallest and largest normals, ±inf, NaN."""
    info = np.finfo(dtype)
    tiny, least, most = info.smallest_normal, info.smallest_subnormal, info.max
    return np.array([0.0, -0.0, least, -least, tiny / 2, tiny, most, -most, np.inf, -np.inf, np.nan, 1.0], dtype)


def values(rng, size, dtype, special):
    """Numbers over many decades; every pair of special values meets somewhere in two arrays of these."""
    drawn = (rng.normal(size=size) * 10.0 ** rng.integers(-6, 3, size=size)).astype(dtype)
    if special:
        places = rng.random(size) < 0.3
        drawn[places] = rng.choice(specials(dtype), int(places.sum()))
    return drawn


def path(name, make, size, dtype, special, seed, changes):
    """Parameter and state arrays after each step, in one execution."""
    rng = np.random.default_rng(seed)
    p = nn.Parameter(values(rng, size, dtype, special))
    optimizer = make([p])
    snapshots = []
    with execution(name):
        for i in range(STEPS):
            p.grad = values(rng, size, dtype, special)
            optimizer.param_groups[0].update(changes.get(i, {}))
            optimizer.step()
            arrays = [v for v in optimizer.state[p].values() if isinstance(v, np.ndarray)]
            snapshots.append([a.copy() for a in (p.data, *arrays)])
    return snapshots


def bits(array):
    """The array's bits, with one NaN for all: its payload and sign are the processor's."""
    unsigned = {4: np.uint32, 8: np.uint64}[array.itemsize]
    return np.where(np.isnan(array), array.dtype.type(np.nan), array).view(unsigned)


def check_same_bits(make, size, dtype, special, seed, changes=None):
    wanted = path("eager", make, size, dtype, special, seed, changes or {})
    for name in ("blocked", "numba"):
        found = path(name, make, size, dtype, special, seed, changes or {})
        for step, (ours, eagers) in enumerate(zip(found, wanted, strict=True)):
            assert len(ours) == len(eagers)
            for i, (a, b) in enumerate(zip(ours, eagers, strict=True)):
                assert a.dtype == b.dtype == dtype
                different = np.flatnonzero(bits(a) != bits(b))
                assert not different.size, (name, step, i, different[:3], a[different[:3]], b[different[:3]])


rates = st.one_of(st.sampled_from([0.0, 1e-3, 0.1, 1.0, 1e30]), st.floats(1e-8, 10.0))
decays = st.one_of(st.sampled_from([0.0, 1e-2]), st.floats(0.0, 2.0))
fractions = st.one_of(st.sampled_from([0.0, 0.9, 0.999, 0.5]), st.floats(0.0, 0.9999))
flags = st.booleans()
sgd_settings = st.fixed_dictionaries(
    {"lr": rates, "momentum": st.one_of(st.just(0.0), fractions), "dampening": fractions, "weight_decay": decays}
    | {"nesterov": flags, "maximize": flags}
).map(
    lambda s: s | ({"momentum": s["momentum"] or 0.9, "dampening": 0.0} if s["nesterov"] else {})
)  # what nesterov requires
adam_settings = st.fixed_dictionaries(
    {
        "lr": rates,
        "betas": st.tuples(fractions, fractions),
        "eps": st.sampled_from([0.0, 1e-8, 1e-3]),
        "weight_decay": decays,
    }
    | {"amsgrad": flags, "maximize": flags, "decoupled_weight_decay": flags}
)
dtypes = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)


@quick
@given(chosen=sgd_settings, dtype=dtypes, special=flags, seed=seeds, size=st.integers(0, 300))
def test_sgd(chosen, dtype, special, seed, size):
    check_same_bits(lambda params: optim.SGD(params, **chosen), size, dtype, special, seed)


@quick
@given(chosen=adam_settings, dtype=dtypes, special=flags, seed=seeds, size=st.integers(0, 300))
@example({"lr": 0.1, "eps": 0.0, "amsgrad": True}, np.float32, True, 0, 300)
def test_adam(chosen, dtype, special, seed, size):
    check_same_bits(lambda params: optim.Adam(params, **chosen), size, dtype, special, seed)


def whole_path(algorithm, name, chosen, dtype, special, seed):
    """Parameter and state after each step of any algorithm, its gradients given in the way it asks for them."""
    rng = np.random.default_rng(seed)
    p = nn.Parameter(values(rng, 300, dtype, special).reshape(100, 3))
    optimizer = ALGORITHMS[algorithm]([p], **chosen)
    snapshots = []
    with execution(name):
        for _ in range(STEPS):
            g = values(rng, 300, dtype, special).reshape(100, 3)
            if ROWS[algorithm].gradients == "rows":
                g = {"rows": np.arange(0, 100, 3), "values": g[::3]}
            with np.errstate(all="ignore"):
                take_step(algorithm, optimizer, [p], [g])
            kept = {k: np.array(v) for k, v in optimizer.state[p].items()}
            snapshots.append({"p": p.numpy().copy()} | kept)
    return snapshots


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name in ROWS])
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_every_algorithm_with_any_settings(algorithm, data):
    """Its loops that Numba and C compilers make of the same settings are test_cuda's to compare."""
    chosen = data.draw(drawn_settings(algorithm))
    drawn = [data.draw(strategy) for strategy in (dtypes, flags, seeds)]
    wanted = whole_path(algorithm, "eager", chosen, *drawn)
    for step, (ours, eagers) in enumerate(zip(whole_path(algorithm, "blocked", chosen, *drawn), wanted, strict=True)):
        assert ours.keys() == eagers.keys()
        for key, a in ours.items():
            b = eagers[key]
            same = bits(a) == bits(b) if a.dtype.kind == "f" and a.ndim else a == b
            assert a.dtype == b.dtype and np.all(same), (algorithm, chosen, step, key)


CHANGES = {1: {"lr": 0.02, "weight_decay": 0.1}, 2: {"maximize": True}, 3: {"lr": 0.3, "weight_decay": 0.0}}
FULL = {
    "SGD": lambda params: optim.SGD(params, lr=0.1),
    "SGD with everything": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda params: optim.Adam(params, lr=0.1),
    "Adam with everything": lambda params: optim.Adam(params, lr=0.1, weight_decay=0.01, amsgrad=True),
    "AdamW": lambda params: optim.Adam(params, lr=0.1, weight_decay=0.01, decoupled_weight_decay=True),
}


@pytest.mark.parametrize("make", FULL.values(), ids=FULL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_sizes_around_a_block(make, dtype, size):
    check_same_bits(make, size, dtype, True, size, CHANGES)


@pytest.mark.parametrize("make", FULL.values(), ids=FULL)
@pytest.mark.parametrize("name", ["eager", "blocked", "numba"])
def test_a_size_after_another_size(make, name):
    """Scratch that was made for one size serves others."""
    sizes = [3, BLOCK + 5, 0, 70_001, 1]
    rng = np.random.default_rng(0)
    together = [nn.Parameter(rng.normal(size=n)) for n in sizes]
    apart = [nn.Parameter(p.numpy().copy()) for p in together]
    optimizer, alone = make(together), [make([p]) for p in apart]
    for _ in range(2):
        for p, q in zip(together, apart, strict=True):
            p.grad = q.grad = rng.normal(size=p.shape)
        with execution(name):
            optimizer.step()
        with execution("eager"):
            for other in alone:
                other.step()
    for p, q in zip(together, apart, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_changing_the_execution_between_steps_changes_nothing():
    rng = np.random.default_rng(0)
    p, q = nn.Parameter(rng.normal(size=100)), nn.Parameter(np.zeros(100))
    q.data[...] = p.data
    switching, steady = (FULL["Adam with everything"]([x]) for x in (p, q))
    for name in ["numba", "eager", "blocked", "blocked", "numba", "eager"]:
        p.grad = q.grad = rng.normal(size=100)
        with execution(name):
            switching.step()
        steady.step()
    np.testing.assert_array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", ["Adam", "LAMB", "SGD"])
def test_threads_give_the_same_bits(name, threads, monkeypatch):
    monkeypatch.setattr("optim.formula.compiled.LONG", 1000)
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=10_007), rng.normal(size=(3, 10_007))
    found = []
    for count in (1, threads):
        p = nn.Parameter(start.copy())
        optimizer = getattr(optim, name)([p], lr=0.1)
        with execution("numba", threads=count):
            for g in gradients:
                p.grad = g
                optimizer.step()
        found.append(p.numpy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("name", "threads"), [("numba", 0), ("numba", 1.5), ("blocked", 2), ("eager", 2)])
def test_threads_that_there_are_not(name, threads):
    with (
        pytest.raises(ValueError, match=f"threads must be a whole number from 1.*got {threads}"),
        execution(name, threads=threads),
    ):
        pass
