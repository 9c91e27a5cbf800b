"""Handwritten digits: an MLP learns the 1 797 real 8x8 images that scikit-learn ships.

    python examples/digits.py
    python examples/digits.py --optimizer sgd --lr 0.05 --epochs 20

Prints the accuracy on test images that training never saw, and draws how it got there. Needs the `examples` extra.
The same seed gives the same bits, on the same machine and with the same number of BLAS threads.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure, SubFigure
from sklearn.datasets import load_digits
from tqdm import tqdm

import minigrad as mg
import nn
import nn.functional as F
import optim
from nn.data import DataLoader

# name: how the optimizer is made, and a learning rate that suits it here
OPTIMIZERS: dict[str, tuple[Callable[..., optim.Optimizer], float]] = {
    "adam": (lambda params, lr: optim.Adam(params, lr=lr), 0.001),
    "sgd": (lambda params, lr: optim.SGD(params, lr=lr, momentum=0.9), 0.1),
}
TRAINING_IMAGES = 1437  # the other 360 are the test
COLORS = {"training": "#3b6fb6", "test": "#d9822b"}

Data = tuple[np.ndarray, np.ndarray]
History = dict[str, list[tuple[float, float]]]


def load_data() -> dict[str, Data]:
    """The "training" and the "test" set: images (n, 64) from 0 to 1, labels (n,). The split is always the same."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    training, test = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    return {"training": (images[training], labels[training]), "test": (images[test], labels[test])}


# --- training


def train(options: argparse.Namespace, data: dict[str, Data]) -> tuple[nn.Module, History]:
    """The trained model, and its (loss, accuracy) on each set before training and after every epoch."""
    mg.manual_seed(options.seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).to(options.device)
    criterion = nn.CrossEntropyLoss()
    make_optimizer, _ = OPTIMIZERS[options.optimizer]
    optimizer = make_optimizer(model.parameters(), options.lr)
    batches = DataLoader(data["training"], options.batch_size, shuffle=True, seed=options.seed)

    history = {name: [evaluate(model, part, options.device)] for name, part in data.items()}
    progress = tqdm(range(options.epochs), unit="epoch")
    for _ in progress:
        for images, labels in batches:
            optimizer.zero_grad()
            loss = criterion(model(images.to(options.device)), labels.to(options.device))
            loss.backward()
            optimizer.step()
        for name, part in data.items():
            history[name].append(evaluate(model, part, options.device))
        progress.set_postfix_str("loss {:.4f}, accuracy {:.1%}".format(*history["training"][-1]), refresh=False)
    return model, history


def predict(model: nn.Module, images: np.ndarray, device: str) -> mg.Tensor:
    """The model's logits (n, 10)."""
    with mg.no_grad():
        return model(mg.tensor(images, device=device))


def evaluate(model: nn.Module, data: Data, device: str) -> tuple[float, float]:
    """Mean loss and accuracy (0 to 1) on a set."""
    images, labels = data
    logits = predict(model, images, device)
    loss = F.cross_entropy(logits, mg.tensor(labels, device=device))
    return loss.item(), float((logits.numpy().argmax(axis=1) == labels).mean())


# --- drawing


def draw(model: nn.Module, history: History, test: Data, options: argparse.Namespace) -> Figure:
    """Curves of loss and accuracy on the left, the misclassified test images on the right."""
    figure = Figure(figsize=(10, 5), dpi=110, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1), wspace=0.06)
    left.suptitle(f"{options.optimizer}, lr {options.lr:g}, batches of {options.batch_size}, seed {options.seed}")
    draw_curves(left, history)
    images, labels = test
    draw_mistakes(right, images, labels, predict(model, images, options.device).numpy().argmax(axis=1))
    return figure


def draw_curves(figure: SubFigure, history: History) -> None:
    """Loss above, accuracy below, by epoch."""
    above, below = figure.subplots(2, 1, sharex=True)
    for name, values in history.items():
        losses, accuracies = np.transpose(values)
        above.plot(losses, color=COLORS[name], linewidth=1.8, label=name)
        below.plot(100 * accuracies, color=COLORS[name], linewidth=1.8)
    above.set(yscale="log", ylabel="loss")
    above.legend(frameon=False)
    first_tenth = np.quantile([accuracy for _, accuracy in history["test"]], 0.1)  # would hide the rest
    below.set(ylim=(100 * first_tenth - 1, 100.5), ylabel="accuracy, %", xlabel="epoch")
    below.xaxis.get_major_locator().set_params(integer=True)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)


def draw_mistakes(figure: SubFigure, images: np.ndarray, labels: np.ndarray, predicted: np.ndarray) -> None:
    """The wrong ones as pictures, at most 16, each with what the model took it for and what it is."""
    wrong = np.flatnonzero(predicted != labels)
    shown = wrong[:16]
    note = f"; the first {len(shown)}" if len(wrong) > len(shown) else ""
    figure.suptitle(f"{len(wrong)} of {len(labels)} test images misclassified{note}")
    columns = max(2, math.ceil(math.sqrt(len(shown))))
    grid = figure.subplots(columns, columns).ravel()
    for axes, i in zip(grid, shown, strict=False):
        axes.imshow(images[i].reshape(8, 8), cmap="gray_r")
        axes.set_title(f"predicted {predicted[i]}\ntrue {labels[i]}", fontsize=8)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
    for axes in grid[len(shown) :]:
        axes.axis("off")


# --- the command


def number(kind: type, above: float, wanted: str) -> Callable[[str], Any]:
    """A check for argparse: a finite number of a kind, above a bound."""

    def check(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not above < value < math.inf:
            raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
        return value

    return check


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked: a wrong one ends the program with a message before anything is trained."""
    count = number(int, 0, "a positive integer")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="default: adam")
    parser.add_argument("--lr", type=number(float, 0, "a positive number"), help="learning rate, default: by optimizer")
    parser.add_argument("--epochs", type=count, default=40, help="passes over the training set, default: 40")
    parser.add_argument("--batch-size", type=count, default=32, help="images a step, default: 32")
    parser.add_argument("--device", default="cpu", help='"cpu", "cuda" or "cuda:1", default: cpu')
    parser.add_argument("--seed", type=number(int, -1, "an integer from 0"), default=0, help="default: 0")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture, default: out")
    options = parser.parse_args(arguments)
    if options.lr is None:
        options.lr = OPTIMIZERS[options.optimizer][1]
    try:
        mg.tensor(0.0, device=options.device)
    except (ValueError, RuntimeError) as error:
        parser.error(f"argument --device: {error}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --out: {error}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    data = load_data()
    model, history = train(options, data)
    picture = options.out / "digits.png"
    draw(model, history, data["test"], options).savefig(picture)
    print(f"picture: {picture}")
    print(f"test accuracy: {100 * history['test'][-1][1]:.1f} %")


if __name__ == "__main__":
    main()
