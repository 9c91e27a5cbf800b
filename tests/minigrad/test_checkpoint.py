"""Checkpoints: what is saved comes back exactly, or not at all, and other programs read the file."""

import copy
import errno
import itertools
import json
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from collections import Counter, namedtuple
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
import optim
from minigrad import checkpoint, safetensors
from nn.data import DataLoader
from tests.minigrad.trees import DTYPES, LAYOUTS, TREES, array, same
from tests.strict_array import DEVICE, StrictArray, strict


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def run(seed: int = 0, steps: int = 2):
    """Everything that belongs to a small run, some steps on."""
    mg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1))
    optimizer = optim.Adam(
        [{"params": list(model[0].parameters())}, {"params": list(model[3].parameters()), "lr": 0.1}], lr=0.01
    )
    x = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    parts = {
        "model": model,
        "optimizer": optimizer,
        "loader": DataLoader((x, x[:, :1]), batch_size=4, shuffle=True, seed=seed),
        "random": mg.default_generator(),
    }
    train(parts, steps)
    return parts


def train(parts, steps):
    """So many steps on; at the end the loader stands in the middle of an epoch."""
    batches = itertools.islice(itertools.chain.from_iterable(itertools.repeat(parts["loader"])), steps)
    for x, y in batches:
        parts["optimizer"].zero_grad()
        nn.functional.mse_loss(parts["model"](x), y).backward()
        parts["optimizer"].step()


def states(parts):
    """A copy of all that could change."""
    return copy.deepcopy({name: checkpoint._state(part) for name, part in parts.items()})


# --- trees


def round_trip(tree):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tree")
        mg.save(path, tree)
        return mg.load(path)


@given(TREES)
def test_trees_come_back_exactly(tree):
    assert same(round_trip(tree), tree)


@given(st.dictionaries(st.text(min_size=1, max_size=5), TREES, min_size=1, max_size=4))
def test_plain_parts_come_back_exactly(parts):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tree")
        mg.save(path, **parts)
        assert same(mg.load(path), parts)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.str)
def test_arrays_of_every_type_shape_and_layout(dtype):
    shapes = [(), (0,), (5,), (3, 2), (2, 0, 3), (2, 3, 1, 2)]
    tree = {(shape, layout): array(dtype, shape, 0, layout) for shape in shapes for layout in LAYOUTS}
    assert same(round_trip(tree), tree)


def test_nothing_is_saved_only_where_none_is_given(tmp_path):
    path = tmp_path / "run"
    mg.save(path, [1, 2])
    with pytest.raises(TypeError, match="save: give one object, or parts by name, got nothing to save"):
        mg.save(path)
    with pytest.raises(TypeError, match="save: give one object, or parts by name, not both"):
        mg.save(path, None, step=3)
    assert mg.load(path) == [1, 2]
    mg.save(path, None)
    assert mg.load(path) is None


class Waves(nn.Module):
    def __init__(self, n):
        self.weight = nn.Parameter(np.arange(n) * (1 + 2j))


def test_a_complex_model_comes_back_or_stays(tmp_path):
    path, model = tmp_path / "waves", Waves(3)
    mg.save(path, model)
    model.weight.data[...] = 0
    mg.load(path, model)
    assert model.weight.tolist() == [0, 1 + 2j, 2 + 4j]
    other = Waves(2)
    with pytest.raises(mg.CheckpointError, match=r"weight has shape \(2,\), the value \(3,\); nothing was changed"):
        mg.load(path, other)
    assert other.weight.tolist() == [0, 1 + 2j]


def test_arrays_under_names_that_meet():
    names = {"a": {"b": np.zeros(1)}, "a.b": np.ones(1), "a.b~2": np.full(1, 2.0), "__metadata__": np.full(1, 3.0)}
    assert same(round_trip(names), names)
    assert same(round_trip(np.zeros(2)), np.zeros(2))


def test_schedulers_counter_and_optimizers_integer_keys():
    tree = {"milestones": Counter({30: 1, 80: 2}), "state": {0: {"step": 3}, 1: {}}, "base_lrs": [0.1, float("inf")]}
    assert same(round_trip(tree), tree)
    assert round_trip(tree)["milestones"][99] == 0


@pytest.mark.parametrize("name", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_random_streams_go_on(path, name):
    generator = np.random.Generator(getattr(np.random, name)(5))
    generator.integers(0, 9, 3, np.uint32)  # so that half a number is left over
    mg.save(path, generator=generator)
    expected = generator.standard_normal(5)
    other = np.random.Generator(getattr(np.random, name)(6))
    assert mg.load(path, generator=other) == {}
    assert (other.standard_normal(5) == expected).all()


def test_same_contents_same_bytes(tmp_path):
    tree = {"set": {"a", "b", 3, None}, "x": np.arange(3.0), "y": np.zeros(2, np.int8)}
    code = f"import minigrad as mg, numpy as np; mg.save('{tmp_path}/b', {{'set': {{'a', 'b', 3, None}}, "
    code += "'x': np.arange(3.0), 'y': np.zeros(2, np.int8)})"
    mg.save(tmp_path / "a", tree)
    for seed in "12":
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class Unpicklable:
    def __reduce__(self):
        raise AssertionError("pickled")


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Unpicklable(), "Unpicklable"),
        (Point(1, 2), "Point"),
        (lambda: 0, "function"),
        (type("Own", (dict,), {})(), "Own"),
        (np.ma.masked_array([1.0], [True]), "MaskedArray"),
        (np.dtype("f4"), "Float32DType"),
        (bytearray(b"x"), "bytearray"),
        (np.random.default_rng(0), "Generator"),
        (mg.RowSparse(np.zeros(1, int), np.ones((1, 2)), (3, 2)), "RowSparse"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_saved_is_named(path, value, name):
    with pytest.raises(TypeError, match=rf"^history\.2\.x: a {name} cannot be saved, only numbers, text"):
        mg.save(path, history=[1, 2, {"x": value}])
    assert not os.listdir(path.parent)


@pytest.mark.parametrize("dtype", ["O", "i4,f8", "V5"])
def test_arrays_that_cannot_be_saved_are_named(path, dtype):
    with pytest.raises(TypeError, match=r"^a\.b: an array of type .* cannot be saved"):
        mg.save(path, a={"b": np.zeros(2, dtype)})


def test_too_deep_a_tree(path):
    tree = []
    tree.append(tree)
    with pytest.raises(ValueError, match=r"^x\.0\.0.*nested more than 100 deep, or containing itself"):
        mg.save(path, x=tree)
    deep = []
    for _ in range(99):
        deep = [deep]
    assert same(round_trip(deep), deep)


def test_too_long_without_arrays(path, monkeypatch):
    monkeypatch.setattr(safetensors, "LONGEST_HEADER", 1000)
    mg.save(path, x=1)
    with pytest.raises(ValueError, match=r"no array, take 6,\d+ bytes, .* has room for 1,000; make long lists arrays"):
        mg.save(path, x=[0.125] * 1000)
    assert mg.load(path) == {"x": 1}
    assert os.listdir(path.parent) == [path.name]


def test_both_kinds_of_argument_at_once(path):
    with pytest.raises(TypeError, match="save: give one object, or parts by name, not both"):
        mg.save(path, 1, x=2)
    mg.save(path, x=2)
    with pytest.raises(TypeError, match="load: give one object, or parts by name, not both"):
        mg.load(path, nn.Linear(1, 1), x=nn.Linear(1, 1))


def test_arguments_may_have_any_name(path):
    mg.save(path, path=1, target=2, tree_or_object=3, self=4)
    assert mg.load(path) == {"path": 1, "target": 2, "tree_or_object": 3, "self": 4}


# --- runs


def test_a_run_goes_on_as_if_it_had_not_stopped(path):
    straight = run(steps=7)
    mg.save(path, **run(steps=2), step=2, history=[(0.5, float("nan"))])
    other = run(seed=1)
    other["random"] = mg.manual_seed(9)
    parameters = list(other["model"].parameters())
    rest = mg.load(path, **other)
    assert same(rest, {"step": 2, "history": [(0.5, float("nan"))]})
    train(other, 5)
    assert same(states(other), states(straight))
    assert all(a is b for a, b in zip(other["model"].parameters(), parameters, strict=True))


def test_parts_that_are_not_asked_for_are_returned(path):
    parts = run()
    mg.save(path, **parts, step=2)
    rest = mg.load(path, model=parts["model"])
    assert same(rest, {**{name: state for name, state in states(parts).items() if name != "model"}, "step": 2})
    assert same(mg.load(path), {**states(parts), "step": 2})


class HalfLoading:
    """An object whose load_state_dict changes half of it and then raises."""

    def __init__(self):
        self.a = self.b = 0

    def state_dict(self):
        return vars(self)

    def load_state_dict(self, state):
        self.a = state["a"]
        self.b = state["b"]


def misfits():
    """Parts that do not fit those of `run`, each with the message."""
    other = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 1))
    x = np.zeros((2, 3))
    half = HalfLoading()
    half.a = 5
    return {
        "model": (other, r"model: load_state_dict: 0\.weight has shape \(5, 3\), the value \(4, 3\)"),
        "optimizer": (optim.Adam(other.parameters()), r"optimizer: load_state_dict: groups of \[6\] parameters here, "),
        "loader": (DataLoader(x, batch_size=2), r"loader: DataLoader: the state is of batch_size 4, this loader has 2"),
        "random": (np.random.Generator(np.random.SFC64()), "random: state must be for a"),
        "half": (half, "half: 'b'"),
    }


@pytest.mark.parametrize("name", ["model", "optimizer", "loader", "random", "half"])
def test_all_or_nothing(path, name):
    saved = run()
    saved["loader"].given = 3
    mg.save(path, **saved, half={"a": 1})
    parts = run(seed=1)
    misfit, message = misfits()[name]
    parts = {**{n: p for n, p in parts.items() if n != name}, name: misfit}
    before, members = states(parts), list(parts["model"].parameters())
    with pytest.raises(mg.CheckpointError, match=rf"run\.safetensors: {message}.*; nothing was changed"):
        mg.load(path, **parts)
    assert same(states(parts), before)
    assert all(a is b for a, b in zip(parts["model"].parameters(), members, strict=True))


def test_an_interrupt_while_loading_undoes_it(path):
    class Interrupted:
        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            if state:
                raise KeyboardInterrupt

    mg.save(path, **run(), other={"a": 1})
    parts = {**run(seed=1), "other": Interrupted()}
    before = states(parts)
    with pytest.raises(KeyboardInterrupt):
        mg.load(path, **parts)
    assert same(states(parts), before)


def test_a_file_of_parts_is_not_one_object(path):
    parts = run()
    mg.save(path, model=parts["model"], step=1)
    with pytest.raises(mg.CheckpointError, match=r"it has model, step, nothing of a .*; .*load\(path, part=object\)"):
        mg.load(path, parts["model"])
    mg.save(path, parts["model"])
    with pytest.raises(mg.CheckpointError, match=r"no part model in it, .*; load\(path, object\) takes"):
        mg.load(path, model=parts["model"])


def test_missing_parts_are_named(path):
    parts = run()
    mg.save(path, model=parts["model"], step=1)
    before = states(parts)
    with pytest.raises(
        mg.CheckpointError, match=r"run\.safetensors: no part optimizer, loader, random in it, only mod"
    ):
        mg.load(path, **parts)
    assert same(states(parts), before)


def test_parts_that_cannot_be_restored_are_named(path):
    with pytest.raises(TypeError, match="load: step is a int; expected an object with load_state_dict, or a Generator"):
        mg.load(path, step=0)


def test_arrays_come_from_and_go_to_any_device(path):
    on_cpu, on_device = nn.Linear(3, 2), nn.Linear(3, 2)
    for parameter in on_device.parameters():
        parameter.data = strict(parameter.data)
    mg.save(path, model=on_device, tensor=on_device.weight, array=strict([1.0, 2.0]))
    assert same(mg.load(path, model=on_cpu)["array"], np.array([1.0, 2.0]))
    assert same(on_cpu.state_dict(), on_device.state_dict())
    on_cpu.weight.data[:] = 7
    mg.save(path, model=on_cpu)
    mg.load(path, model=on_device)
    assert isinstance(on_device.weight.data, StrictArray)
    assert on_device.weight.device == DEVICE
    assert (on_device.state_dict()["weight"] == 7).all()


# --- files


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_kinds_of_path(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    mg.save(kind("a"), x=1)
    assert mg.load(kind("a")) == mg.load(tmp_path / "a") == {"x": 1}
    assert os.listdir() == ["a"]


def test_links_are_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    for x in (1, 2):
        mg.save(tmp_path / "link", x=x)
        assert (tmp_path / "link").is_symlink()
        assert mg.load(tmp_path / "there" / "file") == mg.load(tmp_path / "link") == {"x": x}


def test_a_new_file_has_the_usual_permissions(path):
    before = os.umask(0o027)
    try:
        mg.save(path, x=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_replaced_file_hands_on_its_permissions(path):
    mg.save(path, x=1)
    path.chmod(0o600)
    mg.save(path, x=2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert mg.load(path) == {"x": 2}


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        mg.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"No such file or directory; not saved, .*nowhere/file"):
        mg.save(tmp_path / "nowhere" / "file", x=1)
    with pytest.raises(IsADirectoryError):
        mg.load(tmp_path)
    with pytest.raises(IsADirectoryError, match="Is a directory; not saved, what was there is unchanged"):
        mg.save(tmp_path, x=1)
    assert not os.listdir(tmp_path)


def test_a_pipe_does_not_hang(path):
    os.mkfifo(path)
    with pytest.raises(mg.CheckpointError, match="not a regular file"):
        mg.load(path)


def test_a_pipe_or_device_is_not_replaced(path):
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file; not saved, what was there is unchanged"):
        mg.save(path, x=1)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(path.parent) == [path.name]


def test_torchs_order_of_arguments_is_explained(path):
    model = nn.Linear(2, 1)
    with pytest.raises(TypeError, match="save: the first argument must be a path, got a Linear"):
        mg.save(model, path)
    with pytest.raises(TypeError, match="load: the first argument must be a path, got a int"):
        mg.load(3)
    with pytest.raises(TypeError, match=r"model: a Linear cannot be saved, .*; give it as a part of its own"):
        mg.save(path, {"model": model})
    with pytest.raises(TypeError, match="model: a type cannot be saved"):
        mg.save(path, model=nn.Linear)
    assert not path.exists()
    mg.save(path, model=model)
    with pytest.raises(TypeError, match="load: model is a type; expected an object with load_state_dict"):
        mg.load(path, model=nn.Linear)


@contextmanager
def limited_file_size(size):
    """Writing beyond fails, as on a full disk (Python ignores the signal SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 70_000, 99_999])
def test_no_room(path, size):
    mg.save(path, x=1)
    with limited_file_size(size), pytest.raises(OSError, match=r"File too large; not saved, .*run\.saf") as caught:
        mg.save(path, big=np.zeros(100_000, np.uint8))
    assert caught.value.errno == errno.EFBIG
    assert mg.load(path) == {"x": 1}
    assert os.listdir(path.parent) == [path.name]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("may not mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_disk_full(small_disk):
    path = small_disk / "run"
    mg.save(path, x=1)
    with pytest.raises(OSError, match="No space left on device; not saved, what was there is unchanged") as caught:
        mg.save(path, big=np.zeros(1_000_000, np.uint8))
    assert caught.value.errno == errno.ENOSPC
    assert mg.load(path) == {"x": 1}
    mg.save(path, big=np.zeros(100_000, np.uint8))


@contextmanager
def common_user():
    """Without the rights of root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_read_only_folder():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = os.path.join(folder, "run")
        mg.save(path, x=1)
        os.chmod(folder, 0o555)
        with (
            common_user(),
            pytest.raises(PermissionError, match="Permission denied; not saved, what was there is unch"),
        ):
            mg.save(path, x=2)
        assert mg.load(path) == {"x": 1}
        assert os.listdir(folder) == ["run"]
        os.chmod(folder, 0o755)


def test_unreadable_file():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "run")
        mg.save(path, x=1)
        os.chmod(path, 0)
        with common_user(), pytest.raises(PermissionError, match="run"):
            mg.load(path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt(), MemoryError()])
def test_a_failure_while_saving_leaves_the_old_file_alone(path, monkeypatch, call, error):
    mg.save(path, x=1)

    def failing(*_):
        raise error

    monkeypatch.setattr(checkpoint.os, call, failing)
    with pytest.raises(type(error)) as caught:
        mg.save(path, x=2)
    monkeypatch.undo()
    if isinstance(error, OSError):
        assert caught.value.errno == errno.EIO
        assert str(path) in str(caught.value)
        assert caught.value.__cause__ is error
    assert mg.load(path) == {"x": 1}
    assert os.listdir(path.parent) == [path.name]


def test_contents_reach_the_disk_before_the_name_and_the_name_before_save_returns(path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        calls.append((kind, os.fstat(descriptor).st_size if kind == "file" else None))
        fsync(descriptor)

    def noted_replace(a, b):
        calls.append(("replace", os.path.getsize(a)))
        replace(a, b)

    monkeypatch.setattr(checkpoint.os, "fsync", noted_fsync)
    monkeypatch.setattr(checkpoint.os, "replace", noted_replace)
    mg.save(path, x=np.zeros(10))
    size = path.stat().st_size
    assert calls == [("file", size), ("replace", size), ("folder", None)]


def folder_fails(monkeypatch, call, number):
    """Have one of the two calls fail for folders alone."""
    real = getattr(os, call)

    def failing(target, *more):
        if stat.S_ISDIR(os.stat(target).st_mode):
            raise OSError(number, os.strerror(number))
        return real(target, *more)

    monkeypatch.setattr(checkpoint.os, call, failing)


def open_descriptors():
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize(
    ("call", "number"),
    [("open", n) for n in (errno.EACCES, errno.EPERM, errno.EISDIR)]
    + [("fsync", n) for n in (errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)],
)
def test_folders_that_the_system_cannot_flush(path, monkeypatch, call, number):
    before = open_descriptors()
    folder_fails(monkeypatch, call, number)
    for i in range(2):
        mg.save(path, x=i)
        assert mg.load(path) == {"x": i}
    assert os.listdir(path.parent) == [path.name]
    assert open_descriptors() == before


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ELOOP])
def test_a_folder_that_cannot_be_opened_is_noticed_before_anything_changes(path, monkeypatch, number):
    mg.save(path, x=1)
    folder_fails(monkeypatch, "open", number)
    with pytest.raises(OSError, match=r"; not saved, what was there is unchanged: .*run.safetensors") as caught:
        mg.save(path, x=2)
    assert caught.value.errno == number
    assert mg.load(path) == {"x": 1}
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_at_the_last_step_is_not_passed_over(path, monkeypatch, number):
    mg.save(path, x=1)
    before = open_descriptors()
    folder_fails(monkeypatch, "fsync", number)
    with pytest.raises(OSError, match=r"; saved, but the disk did not confirm it: .*run.safetensors") as caught:
        mg.save(path, x=2)
    assert caught.value.errno == number
    assert mg.load(path) == {"x": 2}
    assert os.listdir(path.parent) == [path.name]
    assert open_descriptors() == before


def test_a_folder_that_may_be_written_but_not_read():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = os.path.join(folder, "run")
        os.chmod(folder, 0o333)
        with common_user():
            mg.save(path, x=1)
        assert mg.load(path) == {"x": 1}
        os.chmod(folder, 0o755)


KILLED_WHILE_SAVING = """
import os, signal, sys
import minigrad as mg
from minigrad import safetensors
def killed(file, arrays, text):
    file.write(b"half a checkpoint")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
safetensors.write = killed
mg.save(sys.argv[1], x=2)
"""


def test_what_killed_saves_leave_is_removed_by_the_next(tmp_path):
    path, neighbour = tmp_path / "run", tmp_path / "run.b"
    mg.save(path, x=1)
    for each in (path, path, neighbour):
        subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING, str(each)], check=False)
    own = tmp_path / ".run.notes.tmp"
    own.write_text("not a leftover")
    assert len(os.listdir(tmp_path)) == 4  # the second removed what the first had left
    assert mg.load(path) == {"x": 1}
    mg.save(path, x=3)
    left = sorted(os.listdir(tmp_path))
    assert len(left) == 3
    assert left[0].startswith(".run.b.")
    assert left[1:] == [".run.notes.tmp", "run"]


def test_saves_to_one_path_at_once(path):
    big = np.zeros(200_000)
    failures = []

    def saves(number):
        try:
            for i in range(20):
                mg.save(path, x=(number, i), big=big)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=saves, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            assert mg.load(path)["x"][1] in range(20)
    for thread in threads:
        thread.join()
    assert not failures
    assert os.listdir(path.parent) == [path.name]


def test_an_array_that_is_written_to_meanwhile_leaves_a_whole_file(path):
    busy, stop = np.zeros(4_000_000, np.uint8), threading.Event()

    def write():
        while not stop.is_set():
            np.add(busy, 1, out=busy)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            mg.save(path, busy=busy)
            mg.load(path)
    finally:
        stop.set()
        thread.join()


# --- other programs


def test_other_readers_read_our_weights(path):
    library = pytest.importorskip("safetensors.numpy")
    model = run()["model"]
    mg.save(path, model)
    assert same(dict(sorted(library.load_file(path).items())), dict(sorted(model.state_dict().items())))
    mg.save(path, model=model, step=3)
    assert set(library.load_file(path)) == {f"model.{name}" for name in model.state_dict()}
    assert set(library.load_file(path, backend="pread")) == {f"model.{name}" for name in model.state_dict()}


def test_arrays_begin_where_their_type_wants_it(path):
    mg.save(path, {"a": np.zeros(3, np.int8), "b": np.zeros(1), "c": np.zeros(1, np.float16), "d": np.zeros(5, "c8")})
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert length % 8 == 0
    for name, size in {"a": 1, "b": 8, "c": 2, "d": 8}.items():
        assert header[name]["data_offsets"][0] % size == 0


@given(TREES)
def test_other_readers_read_every_file(tree):
    library = pytest.importorskip("safetensors.numpy")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tree")
        mg.save(path, tree)
        with open(path, "rb") as file:
            ours, _ = safetensors.read(file)
        theirs = library.load_file(path)
        assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in ours.items()} == {
            n: (a.dtype, a.shape, a.tobytes()) for n, a in theirs.items()
        }


@pytest.mark.parametrize("metadata", [None, {"format": "np", "note": "é"}])
def test_weights_of_other_writers_load_into_a_module(path, metadata):
    library = pytest.importorskip("safetensors.numpy")
    source, model = nn.Linear(3, 2), nn.Linear(3, 2)
    library.save_file(source.state_dict(), path, metadata)
    assert mg.load(path, model) is None
    assert same(model.state_dict(), source.state_dict())
    assert same(dict(sorted(mg.load(path).items())), dict(sorted(source.state_dict().items())))


def test_weights_that_do_not_fit_are_named(path):
    library = pytest.importorskip("safetensors.numpy")
    model = nn.Linear(3, 2)
    before = model.state_dict()
    library.save_file({"weight": np.zeros((2, 4), np.float32), "bias": np.zeros(2, np.float32)}, path)
    with pytest.raises(mg.CheckpointError, match=r"run\..*: load_state_dict: weight has shape \(2, 3\), .* \(2, 4\);"):
        mg.load(path, model)
    library.save_file({"weights": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float32)}, path)
    with pytest.raises(mg.CheckpointError, match=r"missing \['weight'\], unexpected \['weights'\]; nothing was"):
        mg.load(path, model)
    with pytest.raises(mg.CheckpointError, match=r"no part model in it, only bias, weights"):
        mg.load(path, model=model)
    assert same(model.state_dict(), before)


@pytest.mark.parametrize("code", sorted(safetensors.CODES))
def test_types_of_other_writers(path, code):
    library = pytest.importorskip("safetensors.numpy")
    if code == "BF16":
        header = b'{"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes.fromhex("803f 0040 80ff c17f"))
        assert same(
            mg.load(path)["a"].view(np.uint32), np.array([0x3F800000, 0x40000000, 0xFF800000, 0x7FC10000], "u4")
        )
        return
    a = array(np.dtype(safetensors.CODES[code]), (3, 2), 0)
    library.save_file({"a": a, "b": np.array(a[0, 0])}, path)
    assert same(mg.load(path)["a"], a)
    assert same(mg.load(path)["b"], np.array(a[0, 0]))


def test_types_that_numpy_lacks_are_named(path):
    header = b'{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    with pytest.raises(
        mg.CheckpointError, match=r"run\.safetensors: array 'a' is of type 'F8_E4M3', which NumPy does n"
    ):
        mg.load(path)


def test_nothing_but_numpy_is_needed(path):
    code = f"""
import sys
for name in ("safetensors", "numba", "torch", "scipy", "pickle5"):
    sys.modules[name] = None
import minigrad as mg
mg.save({str(path)!r}, x=[1.5])
assert mg.load({str(path)!r}) == {{"x": [1.5]}}
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
