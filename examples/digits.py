"""Handwritten digits: an MLP learns the 1 797 real 8x8 images that scikit-learn ships.

    python examples/digits.py
    python examples/digits.py --optimizer sgd --lr 0.05 --schedule cosine --epochs 20
    python examples/digits.py --checkpoint out/run.safetensors --resume

Prints the accuracy on test images that training never saw, and draws how it got there. Needs the `examples` extra.
The same seed gives the same bits, on the same machine and with the same number of BLAS threads. The last command may be
killed at any moment and given again: it goes on where it was saved last, and ends with the bits of a run that was not
killed.
"""

import argparse
import hashlib
import math
import sys
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
from optim import lr_scheduler

# name: how the optimizer is made, and a learning rate that suits it here
OPTIMIZERS: dict[str, tuple[Callable[..., optim.Optimizer], float]] = {
    "adam": (lambda params, lr: optim.Adam(params, lr=lr), 0.001),
    "sgd": (lambda params, lr: optim.SGD(params, lr=lr, momentum=0.9), 0.1),
}
# name: how the schedule is made for a number of steps
SCHEDULES: dict[str, Callable[[optim.Optimizer, int], lr_scheduler.LRScheduler]] = {
    "constant": lambda optimizer, steps: lr_scheduler.ConstantLR(optimizer, factor=1),
    "step": lambda optimizer, steps: lr_scheduler.StepLR(optimizer, step_size=math.ceil(steps / 3)),
    "cosine": lambda optimizer, steps: lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps),
    "onecycle": lambda optimizer, steps: lr_scheduler.OneCycleLR(optimizer, optimizer.defaults["lr"], steps),
    "warmup-cosine": lambda optimizer, steps: lr_scheduler.WarmupCosineLR(optimizer, math.ceil(steps / 20), steps),
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
    scheduler = SCHEDULES[options.schedule](optimizer, options.epochs * len(batches))

    run = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "batches": batches}
    history = resume(options, run) or {name: [evaluate(model, part, options.device)] for name, part in data.items()}
    progress = tqdm(range(batches.epoch, options.epochs), unit="epoch", initial=batches.epoch, total=options.epochs)
    for _ in progress:
        for images, labels in batches:
            optimizer.zero_grad()
            loss = criterion(model(images.to(options.device)), labels.to(options.device))
            loss.backward()
            optimizer.step()
            scheduler.step()
            if scheduler.last_epoch % options.save_every == 0:
                save(options, run, history)
        for name, part in data.items():
            history[name].append(evaluate(model, part, options.device))
        save(options, run, history)
        progress.set_postfix_str("loss {:.4f}, accuracy {:.1%}".format(*history["training"][-1]), refresh=False)
    return model, history


def save(options: argparse.Namespace, run: dict[str, Any], history: History) -> None:
    """Save the run where a checkpoint is wanted."""
    if options.checkpoint:
        mg.save(options.checkpoint, **run, history=history, settings=settings(options))


def resume(options: argparse.Namespace, run: dict[str, Any]) -> History | None:
    """Restore the run from the checkpoint where that is wanted and there is one; returns its history."""
    if not options.resume or not options.checkpoint.exists():
        return None
    saved, now = mg.load(options.checkpoint).get("settings", {}), settings(options)
    differing = [name for name in now if saved.get(name) != now[name]]
    if differing:
        lines = [f"{name}: saved {saved.get(name)}, now {now[name]}" for name in differing]
        sys.exit("\n".join([f"{options.checkpoint} is of a run with other options", *lines]))
    return mg.load(options.checkpoint, **run)["history"]


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a run must keep to end with the same bits."""
    return {name: getattr(options, name) for name in ("optimizer", "lr", "schedule", "epochs", "batch_size", "seed")}


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
    parser.add_argument("--schedule", choices=SCHEDULES, default="constant", help="of the rate, default: constant")
    parser.add_argument("--epochs", type=count, default=40, help="passes over the training set, default: 40")
    parser.add_argument("--batch-size", type=count, default=32, help="images a step, default: 32")
    parser.add_argument("--device", default="cpu", help='"cpu", "cuda" or "cuda:1", default: cpu')
    parser.add_argument("--seed", type=number(int, -1, "an integer from 0"), default=0, help="default: 0")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture, default: out")
    parser.add_argument("--checkpoint", type=Path, help="file to save the run in, after every epoch and within")
    parser.add_argument("--save-every", type=count, default=20, help="steps between checkpoints, default: 20")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    options = parser.parse_args(arguments)
    if options.resume and not options.checkpoint:
        parser.error("argument --resume: expected --checkpoint too")
    if options.checkpoint and options.checkpoint.exists() and not options.resume:
        parser.error(f"argument --checkpoint: {options.checkpoint} is there; go on from it by --resume, or remove it")
    if options.lr is None:
        options.lr = OPTIMIZERS[options.optimizer][1]
    try:
        mg.tensor(0.0, device=options.device)
    except (ValueError, RuntimeError) as error:
        parser.error(f"argument --device: {error}")
    for name, folder in {"out": options.out, "checkpoint": options.checkpoint and options.checkpoint.parent}.items():
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"argument --{name}: {error}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    data = load_data()
    try:
        model, history = train(options, data)
    except mg.CheckpointError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped" + ("; the same command with --resume goes on" if options.checkpoint else ""))
    picture = options.out / "digits.png"
    draw(model, history, data["test"], options).savefig(picture)
    print(f"picture: {picture}")
    print(f"weights: {fingerprint(model)}")
    print(f"test accuracy: {100 * history['test'][-1][1]:.1f} %")


def fingerprint(model: nn.Module) -> str:
    """A text that is the same for the same bits."""
    digest = hashlib.sha256()
    for array in model.state_dict().values():
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()
