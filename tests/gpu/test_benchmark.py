"""The benchmark of the GPU runs from end to end, and tells of every target."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("benchmark_of_the_gpu", FOLDER / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    common = sys.modules["common"]
    monkeypatch.setattr(common, "WARM", 1e-5)
    monkeypatch.setattr(common, "TIMED", 1e-5)
    monkeypatch.setattr(module, "LAYERS", ((784, 256, 128, 10),))
    monkeypatch.setattr(module, "BATCHES", (64,))
    monkeypatch.setattr(module, "has_torch", lambda: False)
    shapes_of = module.shapes_of
    monkeypatch.setattr(
        module, "shapes_of", lambda count, tensors, algorithm: shapes_of(tensors * 9, tensors, algorithm)
    )
    bits = module.differing_bits
    monkeypatch.setattr(module, "differing_bits", lambda algorithm, size: bits(algorithm, 2003))
    yield module
    for name in ("common", "optim_step", "train_step"):
        sys.modules.pop(name, None)


def test_every_target_is_told_of(simulated, benchmark, tmp_path, capsys):
    benchmark.main(["--quick", "--algorithms", "Adam", "--out", str(tmp_path / "gpu.json")])
    shown = capsys.readouterr().out
    written = json.loads((tmp_path / "gpu.json").read_text())
    reached = {row["target"]: row["reached"] for row in written["targets"]}
    assert len(reached) == 6
    assert all(target in shown for target in reached)
    assert sorted(reached.values()).count("not measured") == 4, "torch is left out"
    assert [row["differing"] for row in written["bits"]] == [0, 0]
    assert written["settings"]["device"].startswith("simulated, CUDA ")
    assert len(written["results"]) == 2 * len(benchmark.SIZES) + 1
    assert written["notes"] == ["torch left out: not installed, or without CUDA"] or len(written["notes"]) == 2


def test_what_there_is_no_time_for_is_left_out_and_told(simulated, benchmark, tmp_path, capsys):
    benchmark.main(["--minutes", "0", "--algorithms", "Adam", "--out", str(tmp_path / "gpu.json")])
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert not written["results"]
    assert {row["reached"] for row in written["targets"]} == {"not measured"}
    assert "23 rows left out after 0 minutes" in capsys.readouterr().out


def test_an_error_ends_its_row_alone(simulated, benchmark, tmp_path, monkeypatch):
    def failing(*_):
        raise MemoryError("out of memory")

    monkeypatch.setattr(benchmark, "measured_optimizer", failing)
    benchmark.main(["--quick", "--parts", "optim", "--algorithms", "SGD", "--out", str(tmp_path / "gpu.json")])
    notes = json.loads((tmp_path / "gpu.json").read_text())["notes"]
    assert sum("failed: MemoryError: out of memory" in note for note in notes) == 3 * len(benchmark.SIZES)


def test_without_a_gpu_it_says_what_is_missing(tmp_path):
    hidden = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, str(FOLDER / "gpu.py"), "--minutes", "0"]
    done = subprocess.run(command, cwd=tmp_path, env=hidden, capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("benchmarks/gpu.py: device 'cuda:0'")
    assert not list(tmp_path.iterdir())
