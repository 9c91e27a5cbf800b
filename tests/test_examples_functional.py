"""The examples of differentiated optimizers run, and find what they say."""

import re

import numpy as np
import pytest

from .test_examples import PNG, loaded, printed


def test_hypergradient(tmp_path):
    lines = printed("hypergradient.py", "--iterations", 14, "--out", tmp_path, cwd=tmp_path).splitlines()
    swept, learned = (float(line.rpartition(" ")[2]) for line in lines[-2:])
    assert re.fullmatch(r"learned: lr \d\.\d+, mean loss \d\.\d+", lines[-1])
    assert learned <= swept
    assert (tmp_path / "hypergradient.png").read_bytes().startswith(PNG)


def test_hypergradient_slope_is_that_of_the_losses():
    example = loaded("hypergradient")
    task = example.Task(3)
    ((lr, loss, slope),) = example.learned(task, 0.01, 1)
    above, below = (example.losses_of_training(task, lr * (1 + h)).mean().item() for h in (1e-6, -1e-6))
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-5)
    assert below > loss > above


def test_maml(tmp_path):
    lines = printed("maml.py", "--steps", 2000, "--out", tmp_path, cwd=tmp_path).splitlines()
    table = {name: [float(number) for number in rest] for name, _, *rest in map(str.split, lines[-3:])}
    assert list(table) == ["MAML", "joint", "random"]
    assert table["MAML"][1] < 0.7 * min(table["MAML"][0], table["joint"][1], table["random"][1])
    assert table["MAML"][2] < table["MAML"][1]
    assert (tmp_path / "maml.png").read_bytes().startswith(PNG)


def test_maml_adapts_each_task_by_itself():
    """All tasks in one go are the tasks one by one."""
    example = loaded("maml")
    random = np.random.default_rng(0)
    start = example.random_start(random, "cpu")
    points = example.some_points(example.random_waves(random, 3), random, "cpu")
    together = example.adapted(start, points, 0.01, 2)[-1]
    for i in range(3):
        alone = example.adapted(start, tuple(a[i : i + 1] for a in points), 0.01, 2)[-1]
        for a, b in zip(together, alone, strict=True):
            assert a.numpy()[i] == pytest.approx(b.numpy()[0], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("option", ["--lr=0", "--iterations=0", "--seed=-1", "--out=/dev/null/x", "--device=tpu"])
def test_hypergradient_wrong_option(capsys, option):
    with pytest.raises(SystemExit, match="2"):
        loaded("hypergradient").main([option])
    assert option.split("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--steps=0", "--seed=-1", "--out=/dev/null/x", "--device=tpu"])
def test_maml_wrong_option(capsys, option):
    with pytest.raises(SystemExit, match="2"):
        loaded("maml").main([option])
    assert option.split("=")[0] in capsys.readouterr().err
