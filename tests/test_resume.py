"""A run that is killed anywhere and resumed ends with the bits of one that never stopped."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
import traceback

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from minigrad import checkpoint
from nn.data import DataLoader
from optim import lr_scheduler, swa_utils
from tests.minigrad.trees import same
from tests.optim.table import ROWS, TESTED
from tests.test_examples import ENVIRONMENT, ROOT, loaded, printed

STEPS = 40
X = np.random.default_rng(1).standard_normal((70, 5)).astype(np.float32)
Y = (X[:, :1] ** 2).astype(np.float32)
BALLAST = np.arange(100_000.0)  # so that much of the time goes into saving


# --- killed


def fresh():
    """The parts of a run, before its first step: everything in them has state."""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    return {
        "model": model,
        "optimizer": optimizer,
        "scheduler": lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=STEPS),
        "averaged": swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9)),
        "loader": DataLoader((X, Y), batch_size=8, shuffle=True, seed=3),
        "random": mg.default_generator(),
    }


def train_and_save(path):
    """Go on from the checkpoint, or begin, to the end, saving after every step."""
    parts, step, losses = fresh(), 0, []
    if path.exists():
        rest = mg.load(path, **parts)
        step, losses = rest["step"], rest["losses"]
    while step < STEPS:
        for x, y in itertools.islice(parts["loader"], STEPS - step):
            parts["optimizer"].zero_grad()
            loss = nn.functional.mse_loss(parts["model"](x), y)
            loss.backward()
            parts["optimizer"].step()
            parts["scheduler"].step()
            parts["averaged"].update_parameters(parts["model"])
            step += 1
            losses.append(loss.item())
            mg.save(path, **parts, step=step, losses=losses, ballast=BALLAST)


def forked(work, *arguments) -> int:
    """Do the work in a process of its own."""
    pid = os.fork()
    if pid:
        return pid
    try:
        with optim.execution("blocked"):
            work(*arguments)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def ended(pid) -> int | None:
    """The exit status of a child, the negative signal that killed it; None while it runs."""
    finished, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if finished else None


def kill_at_random(folder, work, kills: int) -> int:
    """Kill `work(path)`, which resumes from the path, so often; each run goes on until it ends with the right bytes.

    Returns how often a half-written file was left behind.
    """
    with optim.execution("blocked"):
        for name in ("first", "straight"):  # the first compiles, and the children then have that too
            start = time.monotonic()
            work(folder / name)
            seconds = time.monotonic() - start
    moments = random.Random(5)
    halves = 0
    for number in itertools.count():
        path = folder / f"run{number}"
        while True:
            child, deadline = forked(work, path), time.monotonic() + moments.uniform(0, seconds / 2)
            status = None
            while status is None and (not kills or time.monotonic() < deadline):
                time.sleep(0.0005)
                status = ended(child)
                assert time.monotonic() < deadline + 300, "a resumed run hangs"
            if status is not None:
                assert status == 0
                break
            os.kill(child, signal.SIGKILL)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL:
                kills -= 1
            halves += any(name.endswith(".tmp") for name in os.listdir(folder))
            if path.exists():
                mg.load(path)
        assert path.read_bytes() == (folder / "straight").read_bytes()
        path.unlink()
        if not kills:
            break
    return halves


def test_killed_at_random_moments(tmp_path):
    kill_at_random(tmp_path, train_and_save, 5)


@pytest.mark.slow
def test_killed_at_50_random_moments(tmp_path):
    halves = kill_at_random(tmp_path, train_and_save, 50)
    print(f"{halves} of 50 kills left a half-written file")
    assert halves >= 5


class Quiet:
    """tqdm without its thread, whose locks a forked child might inherit locked."""

    def __init__(self, iterable, **_):
        self.iterable = iterable

    def __iter__(self):
        return iter(self.iterable)

    def set_postfix_str(self, text, refresh):
        pass


def digits_to_the_end(schedule):
    """The example as a function of the path of its checkpoint."""
    digits = loaded("digits")
    digits.tqdm = Quiet
    data = digits.load_data()

    def work(path):
        options = f"--checkpoint {path} --resume --epochs 4 --save-every 3 --schedule {schedule} --out {path.parent}"
        digits.train(digits.parse(options.split()), data)

    return work


@pytest.mark.parametrize("schedule", ["constant", "onecycle"])
def test_digits_killed_at_random_moments(tmp_path, schedule):
    kill_at_random(tmp_path, digits_to_the_end(schedule), 3)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", loaded("digits").SCHEDULES)
def test_digits_killed_at_50_random_moments(tmp_path, schedule):
    kill_at_random(tmp_path, digits_to_the_end(schedule), 50)


@pytest.mark.slow
def test_digits_command_killed(tmp_path):
    """The command as a user gives it, with all that happens before and after training."""
    options = ("--epochs", 20, "--schedule", "cosine", "--checkpoint", "out/run.safetensors", "--resume")
    (tmp_path / "straight").mkdir()
    (tmp_path / "killed").mkdir()
    straight = printed("digits.py", *options, cwd=tmp_path / "straight")
    command = [sys.executable, str(ROOT / "examples" / "digits.py"), *map(str, options)]
    moments = random.Random(6)
    for _ in range(8):
        with open(os.devnull, "w") as nowhere:
            child = subprocess.Popen(command, cwd=tmp_path / "killed", env=ENVIRONMENT, stdout=nowhere, stderr=nowhere)
        time.sleep(moments.uniform(1, 6))
        child.kill()
        child.wait()
    assert printed("digits.py", *options, cwd=tmp_path / "killed") == straight
    for name in ("run.safetensors", "digits.png"):
        assert (tmp_path / "killed" / "out" / name).read_bytes() == (tmp_path / "straight" / "out" / name).read_bytes()


def killed_at_call(number, path, state):
    """Save, and die before the given system call of it."""
    calls = itertools.count()

    def counted(function):
        def call(*arguments, **options):
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    class File:
        """A file without a buffer: every write is a system call."""

        def __init__(self, path, mode):
            self.file = open_file(path, mode, buffering=0)
            self.write, self.seek = counted(self.file.write), self.file.seek
            self.fileno, self.close, self.flush = self.file.fileno, self.file.close, self.file.flush

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    open_file = open
    checkpoint.open = lambda path, mode: File(path, mode) if "x" in mode else open_file(path, mode)
    for name in ("fsync", "replace", "open", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    mg.save(path, **state)


def test_killed_before_every_system_call_of_a_save(tmp_path):
    path = tmp_path / "run"
    old, new = {"x": 1, "y": np.zeros(100_000)}, {"x": 2, "y": np.ones(100_000)}
    found = []
    for number in itertools.count():
        mg.save(path, **old)
        status = os.waitstatus_to_exitcode(os.waitpid(forked(killed_at_call, number, path, new), 0)[1])
        found.append(mg.load(path)["x"])
        assert same(mg.load(path), {1: old, 2: new}[found[-1]])
        assert len(os.listdir(tmp_path)) <= 2
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert len(found) > 8
    assert found == sorted(found)  # the old one up to the renaming, then the new one
    mg.save(path, **old)
    assert os.listdir(tmp_path) == ["run"]


# --- saved and loaded at every step


def sparse_or_dense(algorithm):
    """A model with dropout, for an algorithm that may take nothing but row-sparse gradients."""
    if ROWS[algorithm].gradients == "rows":
        return nn.Sequential(nn.Embedding(70, 3, sparse=True), nn.Dropout(0.3))
    matrices_only = algorithm == "Muon"
    return nn.Sequential(
        nn.Linear(5, 4, bias=not matrices_only), nn.Tanh(), nn.Dropout(0.3), nn.Linear(4, 1, bias=not matrices_only)
    )


def run(algorithm, make_scheduler, seed):
    """The parts of a run with this algorithm."""
    mg.manual_seed(seed)
    model = sparse_or_dense(algorithm)
    optimizer = getattr(optim, algorithm)(model.parameters())
    for group in optimizer.param_groups:
        group["lr"] *= 1 + seed  # what is loaded must overwrite it
    parts = {"model": model, "optimizer": optimizer, "random": mg.default_generator()}
    parts["scheduler"] = make_scheduler(optimizer)
    parts["loader"] = DataLoader((np.arange(70), X, Y), batch_size=9, shuffle=True, seed=seed)
    return parts


def one_step(parts, algorithm, batch):
    row = ROWS[algorithm]
    indices, x, y = batch
    model, optimizer = parts["model"], parts["optimizer"]

    def loss():
        if row.gradients == "rows":
            return (model(indices) ** 2).mean()
        return nn.functional.mse_loss(model(x), y)

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    if row.loss or row.closure:
        value = optimizer.step(loss if row.loss else closure)
    else:
        value = closure()
        optimizer.step()
    scheduler = parts["scheduler"]
    scheduler.step(*[value.item()] * isinstance(scheduler, lr_scheduler.ReduceLROnPlateau))


def check_every_step(path, algorithm, make_scheduler, steps=20):
    """A straight run, and one whose every step is taken by new objects that were loaded from the last step's file."""
    straight = run(algorithm, make_scheduler, 0)
    batches = endless(straight["loader"])
    mg.save(path, **straight)
    for step in range(steps):
        resumed = run(algorithm, make_scheduler, seed=1 + step)
        mg.load(path, **resumed)
        one_step(resumed, algorithm, next(endless(resumed["loader"])))
        mg.save(path, **resumed)
        mg.manual_seed(0).bit_generator.state = straight["random"].bit_generator.state
        straight["random"] = mg.default_generator()
        one_step(straight, algorithm, next(batches))
        assert same(mg.load(path), {name: checkpoint._state(part) for name, part in straight.items()})


def endless(loader):
    return itertools.chain.from_iterable(itertools.repeat(loader))


@pytest.mark.parametrize("algorithm", TESTED)
def test_every_optimizer_saved_and_loaded_at_every_step(tmp_path, algorithm):
    check_every_step(tmp_path / "run", algorithm, lambda o: lr_scheduler.CosineAnnealingLR(o, 15, eta_min=1e-4))


SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 2, 7], gamma=0.5),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4, 2),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.1, 3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, 25),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.5),
    "SWALR": lambda o: swa_utils.SWALR(o, 0.001, 5),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, total_iters=4), lr_scheduler.ExponentialLR(o, 0.9)], [4]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o), lr_scheduler.MultiStepLR(o, [3, 9])]
    ),
    "WarmupCosineLR": lambda o: lr_scheduler.WarmupCosineLR(o, 5, 18),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_saved_and_loaded_at_every_step(tmp_path, name):
    check_every_step(tmp_path / "run", "SGD", SCHEDULERS[name])
