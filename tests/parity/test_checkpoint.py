"""Weights go to PyTorch and come from it through one safetensors file."""

import numpy as np
import pytest

import minigrad as mg
import nn

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
library = pytest.importorskip("safetensors.torch")


def models():
    ours = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    theirs(torch.randn(5, 4))
    ours(mg.tensor(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)))
    return ours, theirs


def assert_same_weights(ours, theirs):
    states = ours.state_dict(), {name: value.numpy() for name, value in theirs.state_dict().items()}
    assert {n: (a.shape, a.tobytes()) for n, a in states[0].items()} == {
        n: (a.shape, a.tobytes()) for n, a in states[1].items()
    }


def test_from_torch(tmp_path):
    ours, theirs = models()
    library.save_file(theirs.state_dict(), tmp_path / "weights.safetensors", {"format": "pt"})
    mg.load(tmp_path / "weights.safetensors", ours)
    assert_same_weights(ours, theirs)


def test_to_torch(tmp_path):
    ours, theirs = models()
    mg.save(tmp_path / "weights.safetensors", ours)
    theirs.load_state_dict(library.load_file(tmp_path / "weights.safetensors"))
    assert_same_weights(ours, theirs)


def test_a_part_of_a_run_to_torch(tmp_path):
    ours, theirs = models()
    mg.save(tmp_path / "run.safetensors", model=ours, step=1)
    state = library.load_file(tmp_path / "run.safetensors")
    theirs.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
    assert_same_weights(ours, theirs)


def test_bfloat16_from_torch(tmp_path):
    values = torch.tensor([1.0, -2.5, 3e38, float("inf"), float("nan"), 1e-40, -0.0], dtype=torch.bfloat16)
    library.save_file({"a": values}, tmp_path / "a")
    assert mg.load(tmp_path / "a")["a"].tobytes() == values.float().numpy().tobytes()


def test_a_checkpoint_of_another_kind(tmp_path):
    torch.save(models()[1].state_dict(), tmp_path / "weights.pt")
    with pytest.raises(mg.CheckpointError, match=r"weights\.pt: truncated, or no safetensors file"):
        mg.load(tmp_path / "weights.pt")
