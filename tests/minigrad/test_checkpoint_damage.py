"""Damaged and hostile files: `load` raises CheckpointError, quickly and in little memory, and changes nothing."""

import copy
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
import optim
from minigrad import checkpoint, tree
from tests.minigrad.trees import same

MEGABYTE = 1_000_000


def run():
    model = nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    (model(mg.tensor([[1.0, 2.0, 3.0]])) ** 2).sum().backward()
    optimizer.step()
    return {"model": model, "optimizer": optimizer, "random": np.random.default_rng(3)}


PLAIN = {"step": 17, "history": [(0.5, float("inf")), {1: np.arange(3), "z": np.zeros(2, complex)}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


def written(folder, save) -> bytes:
    save(folder / "original")
    return (folder / "original").read_bytes()


def loaded(path, parts, target=None):
    """What `load` returns; None where it raises its own error, and then nothing has changed.

    Fails for any other error, for more memory than twice the file's size and a constant, and for a long wait.
    """
    objects = parts if target is None else {"target": target}
    before = copy.deepcopy({name: checkpoint._state(part) for name, part in objects.items()})
    tracemalloc.start()
    start = time.monotonic()
    try:
        rest = mg.load(path, **parts) if target is None else mg.load(path, target) or True
    except mg.CheckpointError as error:
        assert str(path) in str(error)
        assert len(str(error)) < 1000
        rest = None
    finally:
        seconds, (_, peak) = time.monotonic() - start, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seconds < 10
    assert peak <= 2 * os.path.getsize(path) + MEGABYTE
    if rest is None:
        assert same({name: checkpoint._state(part) for name, part in objects.items()}, before)
    return rest


# --- bytes


@st.composite
def damages(draw):
    """A function of bytes that damages them as disks, transfers and editors do."""
    kind = draw(st.sampled_from(["cut", "append", "bit", "insert", "remove", "overwrite", "swap", "length", "text"]))
    at, to = draw(st.floats(0, 1)), draw(st.floats(0, 1))
    if draw(st.booleans()):  # most of what can break stands at the beginning
        at, to = at**4, to**4
    content = draw(st.binary(min_size=1, max_size=9))
    number = draw(st.sampled_from([0, 1, 2**31, 2**32, 2**63, 2**64 - 1]) | st.integers(0, 5000))
    old, new = draw(st.sampled_from(TEXTS)), draw(st.sampled_from(TEXTS))

    def damaged(raw: bytes) -> bytes:
        i, j = sorted((int(at * len(raw)), int(to * len(raw))))
        if kind == "cut":
            return raw[:i]
        if kind == "append":
            return raw + content
        if kind == "bit":
            changed = bytearray(raw)
            changed[min(i, len(raw) - 1)] ^= 1 << (number % 8)
            return bytes(changed)
        if kind == "insert":
            return raw[:i] + content + raw[i:]
        if kind == "remove":
            return raw[:i] + raw[j:]
        if kind == "overwrite":
            return raw[:i] + content[:1] * (j - i) + raw[j:]
        if kind == "swap":
            return raw[j:] + raw[i:j] + raw[:i]
        if kind == "length":
            return number.to_bytes(8, "little") + raw[8:]
        return raw.replace(old, new, 1)

    return damaged


TEXTS = [
    *(b'"F32"', b'"I64"', b'"F8_E4M3"', b'"BF16"', b"[2,3]", b"[2]", b"[3,2]", b"[0,4611686018427387904]", b"[]"),
    *(b'"dtype"', b'"shape"', b"minigrad", b"tree", b"__metadata__", b"0", b"-1", b"1e3", b"true", b"null", b"NaN"),
    *(b'"model.bias"', b'"model.weight"', b"$array", b"$dict", b"{", b"}", b"[", b"]", b",", b'"', b" ", b"\\u0000"),
]


def check_damaged_bytes(folder, damage_list):
    raw = written(folder, lambda path: mg.save(path, **run(), **PLAIN))
    changed = raw
    for damage in damage_list:
        changed = damage(changed or b"\0")
    path = folder / "damaged"
    path.write_bytes(changed)
    rest = loaded(path, run())
    event("loads" if rest is not None else "raises")
    assert (rest is not None) == (changed == raw)
    assert rest is None or same(rest, PLAIN)


def check_damaged_weights(folder, damage_list):
    """The same of a file without a checksum: some damage to the data can't be noticed."""
    fields = {"weight": ("F32", [2, 3], [0, 24]), "bias": ("F32", [2], [24, 32])}
    raw = unsealed({n: dict(zip(("dtype", "shape", "data_offsets"), f, strict=True)) for n, f in fields.items()}, 32)
    for damage in damage_list:
        raw = damage(raw or b"\0")
    path = folder / "damaged"
    path.write_bytes(raw)
    event("loads" if loaded(path, {}, nn.Linear(3, 2)) else "raises")


DAMAGE_LISTS = st.lists(damages(), min_size=1, max_size=3)
FAST = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
SLOW = settings(max_examples=3500, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FAST
@given(damage_list=DAMAGE_LISTS)
def test_damaged_bytes(folder, damage_list):
    check_damaged_bytes(folder, damage_list)


@FAST
@given(damage_list=DAMAGE_LISTS)
def test_damaged_weights(folder, damage_list):
    check_damaged_weights(folder, damage_list)


@pytest.mark.slow
@SLOW
@given(damage_list=DAMAGE_LISTS)
def test_damaged_bytes_at_length(folder, damage_list):
    check_damaged_bytes(folder, damage_list)


@pytest.mark.slow
@SLOW
@given(damage_list=DAMAGE_LISTS)
def test_damaged_weights_at_length(folder, damage_list):
    check_damaged_weights(folder, damage_list)


def test_every_single_byte_counts(folder):
    raw = written(folder, lambda path: mg.save(path, x=np.arange(3.0), y="text"))
    path = folder / "damaged"
    for i in range(len(raw)):
        for mask in (1, 0x80):
            path.write_bytes(raw[:i] + bytes([raw[i] ^ mask]) + raw[i + 1 :])
            with pytest.raises(mg.CheckpointError):
                mg.load(path)
        path.write_bytes(raw[:i])
        with pytest.raises(mg.CheckpointError, match=r"truncated|no safetensors file"):
            mg.load(path)


# --- headers


def unsealed(header, data) -> bytes:
    """A file of any library, with a header of any kind."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


def sealed(header, data) -> bytes:
    """A file that claims, with the right checksum, to be by `save`: what damages `load` then is malice."""
    rest = dict(header)
    metadata = {"minigrad": f"1 {0:016} {'0' * 64}", **rest.pop("__metadata__", {})}
    text = json.dumps({"__metadata__": metadata, **rest}, separators=(",", ":")).encode()
    size = 8 + len(text) + data
    text = text.replace(b"1 " + b"0" * 16, b"1 %016d" % size, 1)
    digest = hashlib.sha256(len(text).to_bytes(8, "little") + text.replace(b"0" * 64, b"", 1) + bytes(data))
    return unsealed(text.replace(b"0" * 64, digest.hexdigest().encode(), 1), data)


NUMBERS = st.sampled_from(
    [0, 1, 2, 3, 6, 8, 24, 32, -1, 2**31, 2**32, 2**62, 2**63, 2**64, 10**4000, 1.5, True, None, "2"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | NUMBERS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = JSON | st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F64", "BOOL", "U8", "BF16", "C64", "F4", "F8_E5M2", "f32", "", "O"]) | JSON,
        "shape": st.lists(NUMBERS, max_size=4) | st.just([1] * 65) | st.just([0, 2**62]) | JSON,
        "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2) | JSON,
    },
    optional={"more": JSON},
)
TAGS = st.sampled_from([*tree.DECODERS, "$array", "$", "$eval", "state", "param_groups"])
CONTENTS = st.sampled_from(
    ["weight", "<f4", "|O", "<U9", "<U999999999", "i4,f8", "<M8[x]", "00", "0x" + "f" * 5000, "nan", [0, 1], [[0, 1]]]
) | st.sampled_from([["weight", "<f8"], ["bias", "|O"], ["weight", ">f4"], ["<f8", "00" * 8], ["<f8", "00"], [["a"]]])
TREES = st.recursive(
    JSON | CONTENTS,
    lambda inner: (
        st.dictionaries(TAGS, inner, min_size=1, max_size=1)
        | st.lists(inner, max_size=3)
        | st.dictionaries(TAGS, inner)
    ),
    max_leaves=8,
)


@st.composite
def headers(draw):
    """A header with some of its fields replaced, and how many bytes of data follow."""
    header = {
        "weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "bias": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]},
    }
    for name in draw(st.sets(st.sampled_from(["weight", "bias", "new", "", "__metadata__", "\ud800"]), max_size=2)):
        if name in header and draw(st.booleans()):
            key = draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
            header[name] = {**header[name], key: draw(st.lists(NUMBERS, min_size=1, max_size=3) | JSON)}
        else:
            header[name] = draw(FIELDS)
    return header, draw(st.sampled_from([32, 32, 32, 0, 31, 33, 64]))


def check_header(folder, case):
    path = folder / "damaged"
    path.write_bytes(unsealed(*case))
    event("loads" if loaded(path, {}, nn.Linear(3, 2)) else "raises")


def check_tree(folder, states, parts):
    """A tree that `save` would not have written, with a right checksum."""
    header, data = {"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}, 24
    header["__metadata__"] = {"minigrad.tree": json.dumps({**states, **parts})}
    path = folder / "damaged"
    path.write_bytes(sealed(header, data))
    event("loads" if loaded(path, run()) is not None else "raises")
    event("loads as a tree" if loaded(path, {}) is not None else "raises as a tree")


PARTS = st.fixed_dictionaries({}, optional={"model": TREES, "optimizer": TREES, "random": TREES, "more": TREES})
STATES = st.just(
    {
        "model": {"weight": {"$array": "weight"}, "bias": [0.0, 0.0]},
        "optimizer": {"state": {}, "param_groups": [{"params": [0, 1]}]},
        "random": {
            "bit_generator": "PCG64",
            "state": {"state": {"$int": "0x1"}, "inc": 3},
            "has_uint32": 0,
            "uinteger": 0,
        },
    }
)


@FAST
@given(case=headers())
def test_damaged_headers(folder, case):
    check_header(folder, case)


@FAST
@given(states=STATES, parts=PARTS)
def test_hostile_trees(folder, states, parts):
    check_tree(folder, states, parts)


@pytest.mark.slow
@SLOW
@given(case=headers())
def test_damaged_headers_at_length(folder, case):
    check_header(folder, case)


@pytest.mark.slow
@SLOW
@given(states=STATES, parts=PARTS)
def test_hostile_trees_at_length(folder, states, parts):
    check_tree(folder, states, parts)


A = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": A}, 1, "data_offsets do not cover the 1 bytes of data"),
        ({"a": A}, 3, "data_offsets do not cover the 3 bytes of data"),
        ({"a": A, "b": A}, 2, "data_offsets do not cover the 2 bytes"),
        ({"a": A, "b": {**A, "data_offsets": [1, 3]}}, 3, "without gaps and overlaps"),
        ({"a": A, "b": {**A, "data_offsets": [3, 5]}}, 5, "without gaps and overlaps"),
        ({"a": {**A, "shape": [3]}}, 2, "array 'a': shape and type do not fit its data_offsets"),
        ({"a": {**A, "dtype": "F32"}}, 2, "array 'a': shape and type do not fit its data_offsets"),
        ({"a": {**A, "dtype": "f4"}}, 2, "array 'a' is of type 'f4', which NumPy does not have"),
        ({"a": {**A, "shape": [-2]}}, 2, "array 'a': shape and data_offsets must be whole numbers from 0"),
        ({"a": {**A, "shape": [2.0]}}, 2, "must be whole numbers from 0"),
        ({"a": {**A, "shape": [True, 2]}}, 2, "must be whole numbers from 0"),
        ({"a": {**A, "shape": [1] * 65}}, 2, "must be whole numbers from 0"),
        ({"a": {**A, "shape": [0, 2**70], "data_offsets": [0, 0]}}, 0, "array 'a': "),
        ({"a": {**A, "more": 1}}, 2, "array 'a' needs a dtype, a shape and data_offsets, and nothing else"),
        ({"a": {"dtype": "U8", "shape": [2]}}, 2, "array 'a' needs a dtype, a shape and data_offsets"),
        ({"a": [1]}, 2, "array 'a' needs a dtype, a shape and data_offsets"),
        ({"a": {**A, "dtype": "BOOL"}}, b"\1\2", "array 'a': a truth value that is neither 0 nor 1"),
        ({"__metadata__": [1]}, 0, "__metadata__ is not a dictionary of texts"),
        ({"__metadata__": {"format": 1}}, 0, "__metadata__ is not a dictionary of texts"),
        ({"__metadata__": {"a": "b", "minigrad": "1"}}, 0, "damaged, or rewritten by another program: the seal"),
        ([], 0, "no safetensors file: the header is a list, not a dictionary"),
        (b'{"a":1,"a":1}', 0, "the header is no JSON: a key comes twice"),
        (b'{"a":NaN}', 0, "the header is no JSON: NaN is no JSON"),
        (b'{"a":\xff}', 0, "the header is no JSON: 'utf-8' codec"),
        (b"{" + b'"a":{' * 100_000, 0, "the header is no JSON: nested too deeply"),
        (b"[" * 900_000, 0, "the header is no JSON: nested too deeply"),
        (b"1" * 900_000, 0, "the header is no JSON: Exceeds the limit"),
        (b"1" * 900_000 + b".0", 0, "the header is a float"),
        (b"<html>not found</html>", 0, "the header is no JSON: Expecting value"),
        (b" " * 1_000_001, 0, "a header of 1,000,001 bytes in a file of 1,000,009, not written by minigrad"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_said(folder, header, data, message):
    path = folder / "damaged"
    path.write_bytes(unsealed(header, data))
    with pytest.raises(mg.CheckpointError, match=f"damaged: .*{message}"):
        mg.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"$complex": {"$tensor": "weight"}}, "$tensor of a str"),
        ({"$tuple": "ab"}, "$tuple of a str"),
        ({"$float": 1}, "$float of a int"),
        ({"$array": ["weight", "|O"]}, "no type '|O'"),
        ({"$array": ["weight", "i4,f8"]}, "no type 'i4,f8'"),
        ({"$array": "bias"}, "'bias'"),
        ({"$scalar": ["|O", "00" * 8]}, "no type '|O'"),
        ({"$eval": "1"}, "'$eval'"),
        ({"$set": [[1]]}, "unhashable"),
    ],
    ids=str,
)
def test_what_is_wrong_in_a_tree_is_said(folder, content, message):
    field = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    path = folder / "damaged"
    path.write_bytes(sealed({"weight": field, "__metadata__": {"minigrad.tree": json.dumps({"x": content})}}, 24))
    with pytest.raises(mg.CheckpointError, match=f"damaged: not written by minigrad.save: {re.escape(message)}"):
        mg.load(path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "truncated, or no safetensors file: its header would begin at 8, the file is 0"),
        (b"1234567", "truncated, or no safetensors file"),
        ((2**64 - 1).to_bytes(8, "little"), "its header would be 18,446,744,073,709,551,615 bytes long, the file is 8"),
        ((100).to_bytes(8, "little") + b"{}", "its header would be 100 bytes long, the file is 10"),
        (b"PK\3\4" + bytes(100), "truncated, or no safetensors file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "truncated, or no safetensors file"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_files_of_other_kinds(folder, raw, message):
    path = folder / "other"
    path.write_bytes(raw)
    with pytest.raises(mg.CheckpointError, match=f"other: .*{message}"):
        mg.load(path)


def test_what_happened_to_a_checkpoint_is_said(folder):
    raw = written(folder, lambda path: mg.save(path, x=np.zeros(2)))
    size = len(raw)
    for changed, message in [
        (raw[:-1], f"truncated: {size - 1} bytes, {size} were saved"),
        (raw + b"x", f"too long: {size + 1} bytes, {size} were saved"),
        (raw[:-9] + b"x" + raw[-8:], "damaged: the checksum is not that of the contents"),
        (raw.replace(b'"1 0', b'"2 0', 1), "written in version 2 of the format; this minigrad reads 1"),
        (raw.replace(b'{"__metadata__":{"mini', b'{ "__metadata__":{"mini', 1), "its header would|no JSON|rewritten"),
    ]:
        (folder / "changed").write_bytes(changed)
        with pytest.raises(mg.CheckpointError, match=f"changed: .*{message}"):
            mg.load(folder / "changed")


# --- memory, of the whole process


MEASURED = """
import sys, time
import numpy as np
import minigrad as mg
mg.save(sys.argv[2], x=np.zeros(3)), mg.load(sys.argv[2])
def peak():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
before, start = peak(), time.monotonic()
try:
    mg.load(sys.argv[1])
    outcome = "loads"
except mg.CheckpointError as error:
    outcome = "raises"
print(outcome, peak() - before, time.monotonic() - start)
"""


def save_big(path):
    mg.save(path, x=np.ones(100 * MEGABYTE // 8), y=list(range(1000)))


def flip_the_last_bit(path):
    save_big(path)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


def cut_in_half(path):
    save_big(path)
    os.truncate(path, 50 * MEGABYTE)


def header_is_the_file(path):
    """A header of a hundred million bytes of empty lists, each of which would take 64 bytes in memory."""
    path.write_bytes(unsealed(b"[" + b"[]," * 33_000_000 + b"[]]", 0))


def seal_and_header_is_the_file(path):
    seal = b'{"__metadata__":{"minigrad":"1 %016d %s","minigrad.tree":"' % (99_000_008, b"0" * 64)
    path.write_bytes(unsealed(seal + b"[]," * ((99_000_000 - len(seal)) // 3), 0))


def lists_in_a_long_header(path):
    path.write_bytes(unsealed(b"[" + b"{}," * 1_300_000 + b"{}]", 96 * MEGABYTE))


def many_empty_arrays(path):
    fields = {str(i): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(75_000)}
    path.write_bytes(unsealed(fields, 96 * MEGABYTE))


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (save_big, "loads"),
        (flip_the_last_bit, "raises"),
        (cut_in_half, "raises"),
        (header_is_the_file, "raises"),
        (seal_and_header_is_the_file, "raises"),
        (lists_in_a_long_header, "raises"),
        (many_empty_arrays, "raises"),
    ],
)
def test_memory_of_large_files(folder, make, outcome):
    path = folder / "large"
    make(path)
    size = path.stat().st_size
    command = [sys.executable, "-c", MEASURED, str(path), str(folder / "small")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    got, peak, seconds = done.stdout.split()
    path.unlink()
    print(f"{make.__name__}: {size / 1e6:.0f} MB, {got}, {int(peak) / 1e6:.0f} MB more in memory, {seconds} s")
    assert got == outcome
    assert int(peak) <= 2 * size
