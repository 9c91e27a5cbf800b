"""The safetensors format, with a seal: arrays and one text in a file that other libraries read too.

    8 bytes   length of the header, little-endian
    header    JSON: {"__metadata__": {...}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
    data      the arrays, little-endian and in C order, one after the other

The metadata of a file written here begins with the seal: version, size of the file, and the SHA-256 of every other
byte. Reading checks it before anything is parsed, so that damage is found by one comparison. A file without a seal,
from another library, is read too: its header may only be short, as Python's objects take up to 25 times its size.

https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]

CODES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
    "BF16": "<u2",  # the upper half of a float32
}  # fmt: skip
CODE_OF = {np.dtype(name): code for code, name in CODES.items() if code != "BF16"}

VERSION = 1
NO_DIGEST = b"0" * 64
SEAL = re.compile(rb'\{"__metadata__":\{"minigrad":"(\d+) (\d{16}) ([0-9a-f]{64})"')
TEXT = "minigrad.tree"
LONGEST_HEADER = 100_000_000  # of the format
LONGEST_UNSEALED = 1_000_000  # or a 25th of the file
MOST_AXES = 64  # NumPy's
CHUNK = 1 << 18


class CheckpointError(ValueError):
    """A file is no checkpoint, or a damaged one, or does not fit what it is loaded into. Nothing has changed."""


# --- writing


def write(file: BinaryIO, arrays: Arrays, text: str) -> None:
    """Write arrays, of the types in `CODE_OF`, and a text into a new file.

    Raises ValueError where names and text are longer than the format allows.
    """
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))  # each then begins at its alignment
    header = _header(arrays, text)
    place = header.index(NO_DIGEST)
    digest = hashlib.sha256(len(header).to_bytes(8, "little"))
    digest.update(header.replace(NO_DIGEST, b"", 1))
    file.write(len(header).to_bytes(8, "little") + header)
    for array in arrays.values():
        for chunk in _chunks(array):
            digest.update(chunk)
            file.write(chunk)
    file.seek(8 + place)
    file.write(digest.hexdigest().encode())


def _header(arrays: Arrays, text: str) -> bytes:
    """The header, with zeros for the digest, filled up with spaces so that the data begins at a multiple of 8."""
    fields: dict[str, Any] = {}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        fields[name] = {"dtype": CODE_OF[array.dtype], "shape": array.shape, "data_offsets": [begin, end]}
    seal = b"%d %016d %s" % (VERSION, 0, NO_DIGEST)
    whole = {"__metadata__": {"minigrad": seal.decode(), TEXT: text}, **fields}
    line = json.dumps(whole, separators=(",", ":")).encode()
    header = line + b" " * (-len(line) % 8)
    if len(header) > LONGEST_HEADER:
        raise ValueError(
            f"names, and what is no array, take {len(header):,} bytes, and the format has room for "
            f"{LONGEST_HEADER:,}; make long lists arrays"
        )
    size = 8 + len(header) + end
    return header.replace(seal, b"%d %016d %s" % (VERSION, size, NO_DIGEST), 1)


def _chunks(array: np.ndarray[Any, Any]) -> Iterator[bytes]:
    """The bytes of an array, in pieces that are copies: a thread may write to it meanwhile, and the seal still fits."""
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    for begin in range(0, len(raw), CHUNK):
        yield raw[begin : begin + CHUNK].tobytes()


# --- reading


def read(file: BinaryIO) -> tuple[Arrays, str | None]:
    """The arrays of a file and its text; None for the text where the file was not written here.

    Raises CheckpointError for a file that is damaged or of another kind.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > size - 8:
        claim = f"its header would be {length:,} bytes long" if len(start) == 8 else "its header would begin at 8"
        raise CheckpointError(f"truncated, or no safetensors file: {claim}, the file is {size:,}")
    if length > LONGEST_HEADER:
        raise CheckpointError(f"the header of {length:,} bytes is longer than the format allows, {LONGEST_HEADER:,}")
    header = file.read(length)
    seal = SEAL.match(header)
    if seal:
        _check_seal(file, header, seal, size)
    elif length > max(LONGEST_UNSEALED, size // 25):
        raise CheckpointError(f"a header of {length:,} bytes in a file of {size:,}, not written by minigrad.save")
    fields = _parsed(header)
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, Mapping) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError("the header's __metadata__ is not a dictionary of texts")
    if not seal and any(key.startswith("minigrad") for key in metadata):
        raise CheckpointError("damaged, or rewritten by another program: the seal is not where minigrad.save puts it")
    layout = _layout(fields, size - 8 - length)
    file.seek(8 + length)
    return {name: _array(file, name, *entry) for name, entry in layout.items()}, metadata.get(TEXT) if seal else None


def _check_seal(file: BinaryIO, header: bytes, seal: re.Match[bytes], size: int) -> None:
    """Compare the file's version, size and digest with its seal. `file` stands at the end of the header."""
    version, written = int(seal[1]), int(seal[2])
    if version != VERSION:
        raise CheckpointError(f"written in version {version} of the format; this minigrad reads {VERSION}")
    if written != size:
        raise CheckpointError(
            f"{'truncated' if size < written else 'too long'}: {size:,} bytes, {written:,} were saved"
        )
    digest = hashlib.sha256(len(header).to_bytes(8, "little"))
    digest.update(header[: seal.start(3)])
    digest.update(memoryview(header)[seal.end(3) :])
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    if digest.hexdigest().encode() != seal[3]:
        raise CheckpointError("damaged: the checksum is not that of the contents")


def _parsed(header: bytes) -> dict[str, Any]:
    try:
        fields = parse(header.decode())
    except ValueError as error:
        raise CheckpointError(f"damaged, or no safetensors file: the header is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise CheckpointError(f"no safetensors file: the header is a {type(fields).__name__}, not a dictionary")
    return fields


def parse(text: str) -> Any:
    """JSON as its standard has it: no NaN, no key twice. Raises ValueError for any other text, however it is nested."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


Entry = tuple[str, tuple[int, ...]]  # code and shape


def _layout(fields: dict[str, Any], room: int) -> dict[str, Entry]:
    """The code and shape of each array in the order of the data, which they fill without gaps or overlaps."""
    entries = []
    for name, field in fields.items():
        match field:
            case {"dtype": str(code), "shape": list(shape), "data_offsets": [begin, end], **rest} if not rest:
                if code not in CODES:
                    raise CheckpointError(f"array {name!r:.60} is of type {code!r:.20}, which NumPy does not have")
            case _:
                raise CheckpointError(f"array {name!r:.60} needs a dtype, a shape and data_offsets, and nothing else")
        if len(shape) > MOST_AXES or any(type(n) is not int or n < 0 for n in (*shape, begin, end)):
            raise CheckpointError(f"array {name!r:.60}: shape and data_offsets must be whole numbers from 0")
        if math.prod(shape) * np.dtype(CODES[code]).itemsize != end - begin:
            raise CheckpointError(f"array {name!r:.60}: shape and type do not fit its data_offsets")
        entries.append((begin, end, name, code, tuple(shape)))
    entries.sort()
    ends = [end for _, end, *_ in entries]
    if [begin for begin, *_ in entries] != [0, *ends][: len(entries)] or [0, *ends][-1] != room:
        raise CheckpointError(f"the data_offsets do not cover the {room:,} bytes of data without gaps and overlaps")
    return {name: (code, shape) for _, _, name, code, shape in entries}


def _array(file: BinaryIO, name: str, code: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    flat = np.empty(math.prod(shape), CODES[code])
    if file.readinto(flat.view(np.uint8)) != flat.nbytes:  # type: ignore[attr-defined]
        raise CheckpointError(f"array {name!r:.60}: the file ended while it was read")
    if code == "BOOL" and flat.view(np.uint8).max(initial=0) > 1:
        raise CheckpointError(f"array {name!r:.60}: a truth value that is neither 0 nor 1")
    if code == "BF16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    try:
        return flat.reshape(shape)
    except ValueError as error:  # no elements, but an axis beyond NumPy's
        raise CheckpointError(f"array {name!r:.60}: {error}") from None
