"""Twenty threads that train twenty models with dropout and batch norm give the bits of one after the other."""

import threading

import numpy as np

import minigrad as mg
import nn
import optim
from nn.data import DataLoader

THREADS = 20


def train(seed, barrier=None):
    """What a model is after two epochs."""
    mg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(24, 5)).astype(np.float32), rng.integers(0, 4, 24)
    model = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.3), nn.LayerNorm(8), nn.Linear(8, 4)
    )
    criterion, optimizer = nn.CrossEntropyLoss(label_smoothing=0.1), optim.Adam(model.parameters(), lr=0.01)
    if barrier is not None:
        barrier.wait()
    for _ in range(2):
        for x, labels in DataLoader(data, 6, shuffle=True, seed=seed):
            loss = criterion(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.state_dict()


def test_threads_give_the_bits_of_one_at_a_time():
    wanted, found = [train(seed) for seed in range(THREADS)], {}
    barrier = threading.Barrier(THREADS)

    def work(seed):
        found[seed] = train(seed, barrier)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(THREADS):
        for name, value in wanted[seed].items():
            np.testing.assert_array_equal(found[seed][name], value)
