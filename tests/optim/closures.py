"""What the tests of optimizers with closures share: functions, closures of them, and a small network."""

import numpy as np

import minigrad as mg
import nn


def parameter(values, dtype="float64"):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def closure_of(optimizer, loss_of, calls=None):
    """A closure as the documentation has it; `calls` takes each loss."""

    def closure():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        if calls is not None:
            calls.append(loss.item())
        return loss

    return closure


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def quadratic(n, seed=0, condition=100.0):
    """A convex quadratic of x: the function, its matrix, and where it is least."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    a = q @ np.diag(np.geomspace(1, condition, n)) @ q.T
    least = rng.standard_normal(n)
    matrix, center = mg.tensor(a), mg.tensor(least)
    return (lambda x: 0.5 * ((x - center) @ (matrix @ (x - center)))), a, least


def network(seed=0, dtype=np.float64):
    """A small MLP, and its loss on fixed data."""
    rng = np.random.default_rng(seed)
    mg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    for p in model.parameters():
        p.data = p.data.astype(dtype)
    images, labels = rng.standard_normal((40, 5)).astype(dtype), rng.integers(0, 3, 40)
    criterion = nn.CrossEntropyLoss()
    return model, lambda: criterion(model(mg.tensor(images)), mg.tensor(labels)), (images, labels)
