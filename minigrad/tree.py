"""Trees of plain Python values and arrays as JSON, and back exactly.

What JSON has stands for itself. Anything else is a dictionary of one key with a dollar: `{"$tuple": [1, 2]}`,
`{"$float": "inf"}`, `{"$dict": [[0, "a key that is no text"]]}`. Arrays are left out, `{"$array": name}`, under names
made of the keys that lead to them: "optimizer.state.0.exp_avg".
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.safetensors import CODE_OF, Arrays, parse
from minigrad.tape import Variable
from minigrad.tensor import Tensor

DEEPEST = 100
PLAIN_DTYPE = re.compile(r"[<>|][biufcmMSU]\d+(\[\d*\w+\])?")

Path = tuple[str, ...]


# --- to JSON


def dumps(tree: Any) -> tuple[str, Arrays]:
    """The JSON text of a tree, and its arrays by name, on the CPU and in types that safetensors has.

    Raises TypeError for what is none of: None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset,
    dict, OrderedDict, Counter, NumPy's scalars, arrays, Tensors. Raises ValueError for a tree that is too deep.
    """
    arrays: Arrays = {}
    return json.dumps(_encoded(tree, (), arrays), separators=(",", ":"), allow_nan=False), arrays


def _encoded(value: Any, path: Path, arrays: Arrays) -> Any:
    if len(path) > DEEPEST:
        raise ValueError(f"{_where(path[:8])}...: nested more than {DEEPEST} deep, or containing itself")
    kind = type(value)
    if kind in (type(None), bool, str):
        return value
    if kind is int:
        return value if abs(value) < 2**63 else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is complex:
        return {"$complex": [_encoded(part, path, arrays) for part in (value.real, value.imag)]}
    if kind is bytes:
        return {"$bytes": value.hex()}
    if kind in (list, tuple, set, frozenset):
        parts = [_encoded(part, (*path, str(i)), arrays) for i, part in enumerate(value)]
        if kind in (set, frozenset):
            parts.sort(key=json.dumps)  # the same set gives the same file
        return parts if kind is list else {f"${kind.__name__}": parts}
    if kind in (dict, OrderedDict, Counter):
        if kind is dict and all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _encoded(part, (*path, key), arrays) for key, part in value.items()}
        pairs = [
            [_encoded(key, path, arrays), _encoded(part, (*path, str(key)), arrays)] for key, part in value.items()
        ]
        return {f"${kind.__name__}": pairs}
    if isinstance(value, Variable):
        return {"$tensor": _encoded_array(value.data, path, arrays)}
    if isinstance(value, np.generic) and PLAIN_DTYPE.fullmatch(value.dtype.str):
        return {"$scalar": [value.dtype.str, value.tobytes().hex()]}
    if kind in (np.ndarray, np.memmap) or (backend.is_array(value) and not isinstance(value, np.ndarray)):
        return _encoded_array(value, path, arrays)
    within = "; give it as a part of its own, or its state_dict()" if hasattr(value, "state_dict") else ""
    raise TypeError(
        f"{_where(path)}: a {kind.__name__} cannot be saved, only numbers, text, bytes, None, arrays, and lists, "
        f"tuples, sets and dictionaries of these{within}"
    )


def _encoded_array(array: Any, path: Path, arrays: Arrays) -> Any:
    array = backend.to_numpy(array)
    if not PLAIN_DTYPE.fullmatch(array.dtype.str):
        raise TypeError(f"{_where(path)}: an array of type {array.dtype} cannot be saved")
    readable = array.dtype.newbyteorder("<")
    if readable in CODE_OF:
        stored = array.astype(readable, copy=False)
    else:  # as bytes, along one more axis
        stored = array.copy(order="C").reshape(*array.shape, 1).view(np.uint8)
    name = _free_name(path, arrays)
    arrays[name] = stored
    return {"$array": name if stored.dtype == array.dtype else [name, array.dtype.str]}


def _free_name(path: Path, arrays: Arrays) -> str:
    name = unused = ".".join(path).encode(errors="replace").decode() or "array"
    again = 1
    while unused in arrays or unused == "__metadata__":
        again += 1
        unused = f"{name}~{again}"
    return unused


def _where(path: Path) -> str:
    return ".".join(path) or "the whole"


# --- from JSON


def loads(text: str, arrays: Arrays) -> Any:
    """The tree of a text and arrays that `dumps` gave. Raises ValueError for any other text."""
    try:
        return _decoded(parse(text), arrays)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"not written by minigrad.save: {str(error)[:200]}") from None


def _decoded(value: Any, arrays: Arrays) -> Any:
    if type(value) is list:
        return [_decoded(part, arrays) for part in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag == "$array":
            return _decoded_array(content, arrays)
        if tag.startswith("$"):
            kind, decoder = DECODERS[tag]
            inner = _decoded(content, arrays)
            if type(inner) is not kind:
                raise TypeError(f"{tag} of a {type(inner).__name__}")
            return decoder(inner)
    return {key: _decoded(part, arrays) for key, part in value.items()}


def _decoded_array(content: Any, arrays: Arrays) -> np.ndarray[Any, Any]:
    if type(content) is str:
        return arrays[content]
    name, dtype = content
    stored, dtype = arrays[name], _plain_dtype(dtype)
    if stored.dtype != np.uint8:  # the other byte order
        return stored.astype(dtype)
    return stored.view(dtype).reshape(stored.shape[:-1])


def _plain_dtype(name: Any) -> np.dtype[Any]:
    if not PLAIN_DTYPE.fullmatch(name):
        raise ValueError(f"no type {name!r:.60}")
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype


def _scalar(content: Any) -> Any:
    dtype, raw = content
    return np.ndarray((), _plain_dtype(dtype), bytes.fromhex(raw))[()]


DECODERS: dict[str, tuple[type, Callable[[Any], Any]]] = {  # tag: what its content must be, what is made of that
    "$int": (str, lambda text: int(text, 16)),
    "$float": (str, float),
    "$complex": (list, lambda parts: complex(*parts)),
    "$bytes": (str, bytes.fromhex),
    "$tuple": (list, tuple),
    "$set": (list, set),
    "$frozenset": (list, frozenset),
    "$dict": (list, dict),
    "$OrderedDict": (list, OrderedDict),
    "$Counter": (list, lambda pairs: Counter(dict(pairs))),
    "$tensor": (np.ndarray, Tensor),
    "$scalar": (list, _scalar),
}
