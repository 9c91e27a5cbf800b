"""Full batches: LBFGS and Adam on all handwritten digits at once, for the same time.

    python examples/lbfgs.py
    python examples/lbfgs.py --seconds 10

Both train the same MLP from the same weights on the same 1 437 images, each step on all of them, and each for as long.
Prints the training loss that each has reached. Needs the `examples` extra.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.datasets import load_digits

import minigrad as mg
import nn
import optim

# lr of Adam: the best of 0.01, 0.03 and 0.1 here
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "Adam": lambda params: optim.Adam(params, lr=0.03),
    "LBFGS": lambda params: optim.LBFGS(params, line_search_fn="strong_wolfe", tolerance_curvature=0),
}
TRAINING_IMAGES = 1437


def train(name: str, seconds: float, seed: int, device: str = "cpu") -> tuple[float, int]:
    """The training loss that an optimizer reaches in so many seconds, and how often it has evaluated it."""
    mg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 10)).to(device)
    criterion = nn.CrossEntropyLoss()
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))[:TRAINING_IMAGES]
    images = mg.tensor((images[order] / 16).astype(np.float32), device=device)
    labels = mg.tensor(labels[order], device=device)
    optimizer = OPTIMIZERS[name](model.parameters())
    evaluations = 0

    def closure() -> mg.Tensor:
        nonlocal evaluations
        evaluations += 1
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        return loss

    closure()  # what is compiled at first use is not timed
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        optimizer.step(closure)
    with mg.no_grad():
        return criterion(model(images), labels).item(), evaluations


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each optimizer, default: 3")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, default: 0")
    parser.add_argument("--device", default="cpu", help='"cpu", "cuda" or "cuda:1", default: cpu')
    options = parser.parse_args(arguments)
    if not 0 < options.seconds < 3600:
        parser.error(f"argument --seconds: expected a number of seconds above 0, got {options.seconds}")
    try:
        mg.tensor([], device=options.device)
    except (ValueError, RuntimeError) as error:
        parser.error(f"argument --device: {error}")
    for name in OPTIMIZERS:
        loss, evaluations = train(name, options.seconds, options.seed, options.device)
        print(f"{name}: training loss {loss:.3g} after {evaluations} evaluations in {options.seconds:g} s")


if __name__ == "__main__":
    main()
