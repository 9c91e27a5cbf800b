"""Twenty threads that train twenty models give the bits of one model after the other."""

import contextlib
import threading

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from optim.formula import execution

THREADS = 20


def train(seed, name, steps, sizes, barrier=None):
    """The parameters of a small network after some steps."""
    mg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = nn.Sequential(nn.Linear(*sizes[:2]), nn.Tanh(), nn.Linear(*sizes[1:]))
    cls = optim.Adam if seed % 2 else optim.SGD
    optimizer = cls(model.parameters(), lr=0.01 * (seed + 1), **({} if seed % 2 else {"momentum": 0.9}))
    if barrier is not None:
        barrier.wait()
    with execution(name) if name else contextlib.nullcontext():
        for _ in range(steps):
            x = rng.normal(size=(8, sizes[0])).astype(np.float32)
            loss = nn.CrossEntropyLoss()(model(x), rng.integers(0, sizes[-1], 8))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with mg.no_grad():
                model(x)
    return [p.numpy() for p in model.parameters()]


@pytest.mark.parametrize(("steps", "sizes"), [(30, (10, 16, 4)), (6, (300, 200, 4))], ids=["small", "large"])
@pytest.mark.parametrize("name", [None, "eager", "blocked", "numba"])
def test_threads_give_the_bits_of_one_at_a_time(name, steps, sizes):
    wanted = [train(seed, name, steps, sizes) for seed in range(THREADS)]
    found, errors = {}, []
    barrier = threading.Barrier(THREADS)

    def work(seed):
        try:
            found[seed] = train(seed, name, steps, sizes, barrier)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for seed in range(THREADS):
        for a, b in zip(found[seed], wanted[seed], strict=True):
            np.testing.assert_array_equal(a, b)


def test_settings_of_a_thread_are_its_own():
    seen = []

    def look():
        with execution("eager"), mg.no_grad():
            mg.manual_seed(0)
            seen.append(mg.default_generator().random())

    mg.manual_seed(0)
    first = mg.default_generator().random()
    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [first] * 4
    mg.manual_seed(0)
    assert mg.default_generator().random() == first
    assert mg.tensor(1.0, requires_grad=True).exp().requires_grad
