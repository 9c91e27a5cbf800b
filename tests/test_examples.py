"""The examples run and leave their pictures, and what the README says of them and of the code is so."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
PNG = b"\x89PNG\r\n\x1a\n"


def printed(example: str, *options: object, cwd: Path) -> str:
    """What an example prints when it is run in a folder."""
    command = [sys.executable, str(ROOT / "examples" / example), *map(str, options)]
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(name: str):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- digits


@pytest.mark.parametrize("optimizer", loaded("digits").OPTIMIZERS)
def test_digits(tmp_path, optimizer):
    lines = printed("digits.py", "--optimizer", optimizer, cwd=tmp_path).splitlines()
    (percent,) = re.fullmatch(r"test accuracy: (\d+\.\d) %", lines[-1]).groups()
    assert float(percent) >= 97
    assert (tmp_path / "out" / "digits.png").read_bytes().startswith(PNG)


def test_digits_last_line_and_picture_twice(tmp_path):
    options = ("--epochs", 3, "--batch-size", 64, "--seed", 5, "--device", "cpu")
    lines = [printed("digits.py", *options, "--out", tmp_path / out, cwd=tmp_path).splitlines()[-1] for out in "ab"]
    assert lines[0] == lines[1]
    assert (tmp_path / "a" / "digits.png").read_bytes() == (tmp_path / "b" / "digits.png").read_bytes()


@pytest.mark.parametrize("optimizer", loaded("digits").OPTIMIZERS)
def test_digits_bits_twice(tmp_path, optimizer):
    digits = loaded("digits")
    data = digits.load_data()

    def trained(seed: int) -> dict[str, bytes]:
        arguments = ["--optimizer", optimizer, "--epochs", "3", "--seed", str(seed), "--out", str(tmp_path)]
        model, _ = digits.train(digits.parse(arguments), data)
        return {name: array.tobytes() for name, array in model.state_dict().items()}

    assert trained(5) == trained(5)
    assert trained(5) != trained(6)


def test_digits_sets_share_no_image():
    data = loaded("digits").load_data()
    sizes = {name: (images.shape, labels.shape) for name, (images, labels) in data.items()}
    assert sizes == {"training": ((1437, 64), (1437,)), "test": ((360, 64), (360,))}
    training, test = ({image.tobytes() for image in images} for images, _ in data.values())
    assert not training & test
    assert all(images.min() == 0 and images.max() == 1 for images, _ in data.values())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--optimizer", "newton", "invalid choice: 'newton'"),
        ("--lr", "0", "expected a positive number, got '0'"),
        ("--lr", "nan", "expected a positive number, got 'nan'"),
        ("--lr", "fast", "expected a positive number, got 'fast'"),
        ("--epochs", "0", "expected a positive integer, got '0'"),
        ("--batch-size", "1.5", "expected a positive integer, got '1.5'"),
        ("--device", "tpu", "got 'tpu'"),
        ("--seed", "-1", "expected an integer from 0, got '-1'"),
        ("--out", "a-file/below", "a-file"),
        ("--schedule", "linear", "invalid choice: 'linear'"),
        ("--save-every", "0", "expected a positive integer, got '0'"),
        ("--checkpoint", "a-file/below/run", "a-file"),
    ],
)
def test_digits_wrong_option(tmp_path, monkeypatch, capsys, option, value, message):
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("not a folder")
    with pytest.raises(SystemExit, match="2"):
        loaded("digits").parse([f"{option}={value}"])
    said = capsys.readouterr().err
    assert f"argument {option}: " in said
    assert message in said


def test_digits_does_not_write_over_a_run(tmp_path, capsys):
    (tmp_path / "run").write_bytes(b"a run")
    with pytest.raises(SystemExit):
        loaded("digits").main(["--checkpoint", str(tmp_path / "run"), "--out", str(tmp_path)])
    assert f"argument --checkpoint: {tmp_path / 'run'} is there" in capsys.readouterr().err
    assert (tmp_path / "run").read_bytes() == b"a run"


@pytest.mark.parametrize(("options", "told"), [([], "stopped"), (["--checkpoint", "run"], "stopped; the same command")])
def test_digits_says_how_it_goes_on(options, told, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    digits = loaded("digits")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(digits, "train", interrupted)
    with pytest.raises(SystemExit, match=told):
        digits.main(options)


def test_digits_resume_needs_a_checkpoint(capsys):
    with pytest.raises(SystemExit, match="2"):
        loaded("digits").parse(["--resume"])
    assert "argument --resume: expected --checkpoint too" in capsys.readouterr().err


@pytest.mark.parametrize("schedule", loaded("digits").SCHEDULES)
def test_digits_with_every_schedule(tmp_path, schedule):
    digits = loaded("digits")
    options = digits.parse(["--schedule", schedule, "--epochs", "8", "--lr", "0.003", "--out", str(tmp_path)])
    _, history = digits.train(options, digits.load_data())
    assert history["test"][-1][1] > 0.93


def test_digits_resumed(tmp_path, capsys):
    digits = loaded("digits")
    checkpoint = tmp_path / "new" / "run.safetensors"
    options = ["--epochs", "2", "--checkpoint", str(checkpoint), "--resume", "--out", str(tmp_path)]
    digits.main(options)
    first = capsys.readouterr().out
    saved = mg.load(checkpoint)
    assert len(saved["history"]["test"]) == 3
    assert saved["batches"]["epoch"] == 2
    digits.main(options)  # at its end already: nothing is trained
    assert capsys.readouterr().out == first
    weights = {name: array.tobytes() for name, array in saved["model"].items()}
    assert {name: array.tobytes() for name, array in mg.load(checkpoint)["model"].items()} == weights
    with pytest.raises(SystemExit) as stopped:
        digits.main([*options, "--lr", "0.01", "--batch-size", "64"])
    assert stopped.value.code.splitlines() == [
        f"{checkpoint} is of a run with other options",
        "lr: saved 0.001, now 0.01",
        "batch_size: saved 32, now 64",
    ]
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    with pytest.raises(SystemExit, match=r"run\.safetensors: truncated"):
        digits.main(options)


def test_digits_diverging_ends_without_a_traceback(tmp_path):
    assert "test accuracy" in printed("digits.py", "--optimizer=sgd", "--lr=1e30", "--epochs=2", cwd=tmp_path)


# --- the others


def test_regression(tmp_path):
    lines = printed("regression.py", "--steps", 300, "--out", tmp_path, cwd=tmp_path).splitlines()
    (loss,) = re.fullmatch(r"loss: (\d+\.\d+)", lines[-1]).groups()
    assert float(loss) < 0.035  # the noise alone is 0.0225
    assert (tmp_path / "regression.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("option", ["--steps=0", "--seed=-1", "--out=/dev/null/x", "--device=tpu"])
def test_regression_wrong_option(capsys, option):
    with pytest.raises(SystemExit, match="2"):
        loaded("regression").main([option])
    assert option.split("=")[0] in capsys.readouterr().err


def test_lbfgs_is_ahead_of_adam_in_the_same_time(tmp_path):
    lines = printed("lbfgs.py", "--seconds", 2, cwd=tmp_path).splitlines()
    found = {name: float(loss) for name, loss in (re.match(r"(\w+): training loss (\S+)", s).groups() for s in lines)}
    assert found["LBFGS"] < found["Adam"] < 0.05


@pytest.mark.parametrize("option", ["--seconds=0", "--seconds=nan", "--device=tpu"])
def test_lbfgs_wrong_option(capsys, option):
    with pytest.raises(SystemExit, match="2"):
        loaded("lbfgs").main([option])
    assert option.split("=")[0] in capsys.readouterr().err


def test_own_optimizer(tmp_path):
    text = printed("own_optimizer.py", "--show", "cuda", cwd=tmp_path)
    assert r"\mathit{decay} &= \begin{cases} \lambda \, \theta & \text{if } u \, \theta \ge 0" in text
    assert 'extern "C" __global__' in text
    assert "same bits: eager, blocked" in text
    lines = re.findall(r"(\w+): loss on 30 noisy points (\S+), on the curve (\S+)", text)
    (adam, adamw, cautious) = ((float(seen), float(unseen)) for _, seen, unseen in lines)
    assert adam[0] < cautious[0] < adamw[0]
    assert adamw[1] < cautious[1] < adam[1]


@pytest.mark.parametrize(
    "option", ["--steps=0", "--seed=-1", "--lr=nan", "--weight-decay=-1", "--show=jax", "--device=tpu"]
)
def test_own_optimizer_wrong_option(capsys, option):
    with pytest.raises(SystemExit, match="2"):
        loaded("own_optimizer").main([option])
    name = option.strip("-").partition("=")[0].replace("-", "_")
    assert name in capsys.readouterr().err.splitlines()[-1]


def test_own_optimizer_is_the_paper_s():
    """One step against the paper's equation, written out on NumPy arrays."""
    g, p = np.array([0.5, 0.5, -2.0, 0.0, 1.0]), np.array([1.0, -1.0, 3.0, 2.0, 0.0])
    x = mg.tensor(p, requires_grad=True)
    x.grad = mg.tensor(g)
    loaded("own_optimizer").CautiousAdam([x], lr=0.1, weight_decay=0.25).step()
    u = g / (np.abs(g) + 1e-8)  # in the first step m_hat is g, v_hat its square
    aligned = u * p >= 0
    assert aligned.tolist() == [True, False, False, True, True]
    np.testing.assert_allclose(x.numpy(), p - 0.1 * (u + 0.25 * aligned * p), rtol=1e-12)


# --- the README


def block(before: str) -> str:
    """The code block of the README that follows a text."""
    return re.search(re.escape(before) + r"\n+```\w*\n(.*?)```", README, re.DOTALL).group(1)


def test_the_readmes_code_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        if not code.startswith("@formula"):  # which is compared with its file
            exec(code, scope)
    assert scope["best"] < 0.1 * scope["y"].var()
    assert "stopped=" in capsys.readouterr().out


def test_the_readmes_recipe_goes_on_with_the_same_bits(tmp_path, monkeypatch, capsys):
    recipe = block("## Train on your own arrays")
    stopped = recipe.replace("while loader.epoch < 40", "while loader.epoch < 15")
    assert stopped != recipe
    ended = []
    for folder, programs in {"once": [recipe], "again": [stopped, recipe, recipe]}.items():
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        for program in programs:
            exec(program, {})
        told = capsys.readouterr().out.splitlines()[-1]
        ended.append([told, *(Path(name).read_bytes() for name in ("run.safetensors", "best.safetensors"))])
    assert ended[0] == ended[1]


def test_readme_tour_is_the_example():
    source = (ROOT / "examples" / "first_steps.py").read_text(encoding="utf-8")
    assert source.split('"""\n\n', 1)[1] == block("<!-- the code of examples/first_steps.py -->")


def test_readme_tour_prints_what_it_shows(tmp_path):
    assert printed("first_steps.py", cwd=tmp_path) == block("`.venv/bin/python examples/first_steps.py` prints:")


def test_readme_formula_is_the_source():
    source = (ROOT / "optim" / "adam.py").read_text(encoding="utf-8")
    formula = re.search(r"^@formula\ndef .*?^    return [^\n]*\n", source, re.DOTALL | re.MULTILINE).group()
    assert block("<!-- the formula of optim/adam.py -->") == formula


def test_readme_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\s", README)) | set(re.findall(r"`make ([a-z-]+)`", README))
    assert {"demo", "test"} <= named <= targets


def test_readme_pip_commands_are_those_of_make():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = dict(re.findall(r"^\$\(VENV\)/\.(\w+): EXTRAS = (\S+)$", makefile, re.MULTILINE))
    for target in ("demo", "test"):
        assert f"-m pip install --editable '.[{extras[target]}]'" in README
    assert "-m pip install --editable '.[$(EXTRAS)]'" in makefile


def test_readme_options_exist(tmp_path):
    commands = re.findall(
        r"(digits|regression|lbfgs|schedules|hypergradient|maml|own_optimizer)\.py((?: --\S+ \S+)+)", README
    )
    assert commands
    for example, options in commands:
        known = set(re.findall(r"--[a-z-]+", printed(f"{example}.py", "--help", cwd=tmp_path)))
        assert set(re.findall(r"--[a-z-]+", options)) <= known


def test_readme_files_exist():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    missing = [link for link in links if not (ROOT / link).exists()]
    assert links
    assert not missing
