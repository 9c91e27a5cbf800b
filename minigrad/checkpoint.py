"""Checkpoints: a whole run in one file, which is written whole or not at all and checked when it is read.

The file holds arrays and JSON in the safetensors format, and no pickle: reading one runs nothing that it contains.
"""

from __future__ import annotations

import copy
import errno
import glob
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO

from minigrad import safetensors, tree
from minigrad.safetensors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can't be removed anyway
    fcntl = None  # type: ignore[assignment]

NOTHING: Any = object()
"""Stands for an argument that was not given: None can be saved."""

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]

__all__ = ["CheckpointError", "load", "save"]


def save(path: PathLike, tree_or_object: Any = NOTHING, /, **parts: Any) -> None:
    """Save a run, or anything, in one file.

    path: where to; a link is followed. The folder must be there. A file that is replaced hands on its permissions.
    parts: by name, what belongs to the run. Of an object with `state_dict()` (model, optimizer, scheduler, average,
        DataLoader) that is saved, of a `numpy.random.Generator` its state. All else is plain: None, numbers, text,
        bytes, arrays and tensors, NumPy's scalars, and lists, tuples, sets and dictionaries of these, with any keys.
    tree_or_object: instead of parts, one object or plain value. A model's arrays then have the names that it gives
        them, "0.weight", as other programs expect of a file of weights; as a part `model` they are "model.0.weight".

    Arrays come from any device. Dropout draws from `minigrad.default_generator()`: save that too where it is used.

    The file is written beside, under another name, flushed to the disk, and renamed: whenever the process is killed or
    the machine stops, the path holds the whole new file or what it held before. Once `save` has returned, it is the new
    one; where the system can't flush a folder (Windows, some file systems, a folder that may be written but not read)
    the machine has to run on for some seconds for that. What a killed process leaves behind is removed by the next save
    to the same path.

    Raises TypeError for what cannot be saved, and where nothing is given (None can be, and is saved); ValueError for a
    tree that is nested too deep or is too long without its arrays (100 MB); and OSError, with the system's number,
    where the disk is full, the folder not writable, or the path that of a folder, a pipe or a device. What the path
    held is then unchanged; only where the disk fails in the last step, flushing the folder, is the new file there, and
    the error says so.

    >>> import minigrad as mg, nn, optim, tempfile, os
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(), nn.Linear(3, 1))
    >>> optimizer = optim.Adam(model.parameters())
    >>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
    >>> random = mg.default_generator()
    >>> mg.save(path, model=model, optimizer=optimizer, random=random, step=17, history=[(0.7, 0.5)])
    >>> mg.load(path, model=model, optimizer=optimizer, random=random)
    {'step': 17, 'history': [(0.7, 0.5)]}
    """
    if (tree_or_object is NOTHING) is not bool(parts):
        raise TypeError(f"save: give one object, or parts by name, {'not both' if parts else 'got nothing to save'}")
    whole = {name: _state(part) for name, part in parts.items()} if parts else _state(tree_or_object)
    place = _real("save", path)
    text, arrays = tree.dumps(whole)
    told = "not saved, what was there is unchanged"
    try:
        with _open_folder(os.path.dirname(place)) as folder:  # first: once the file is replaced, only the disk may fail
            _replace(place, lambda file: safetensors.write(file, arrays, text))
            told = "saved, but the disk did not confirm it: if the machine stops, the path may hold what was there"
            _sync_folder(folder)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {told}", place) from error


def load(path: PathLike, target: Any = None, /, **parts: Any) -> Any:
    """Restore objects in place from a file, and return the rest of what it holds.

    path: of a file by `save`, or by any program that writes safetensors.
    parts: by name, the objects to restore: what has `load_state_dict()`, or a `numpy.random.Generator`. Arrays go to
        the devices where the objects have theirs.
    target: instead of parts, the one object that the file was saved from; of a file by another program, the model
        that its weights belong to.

    Returns a dictionary of the parts that were not restored: plain values as they were saved, of objects their
    states. `load(path)` returns everything, of a file by another program the arrays by name; `load(path, target)`
    None. Arrays are NumPy's, bfloat16 comes as float32.

    Either everything is restored or nothing has changed. Raises CheckpointError, a ValueError, for a file that is
    truncated, damaged or of another kind, that lacks a part, or does not fit the objects, and says which; TypeError
    for a part that is no such object; OSError where the file can't be read.

    >>> import minigrad as mg, nn, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> mg.save(path, nn.Linear(2, 3))
    >>> {name: array.shape for name, array in mg.load(path).items()}
    {'weight': (3, 2), 'bias': (3,)}
    >>> try:
    ...     mg.load(path, nn.Linear(2, 4))
    ... except mg.CheckpointError as error:
    ...     print(str(error).partition(": ")[2])
    load_state_dict: weight has shape (4, 2), the value (3, 2); nothing was changed
    """
    if parts and target is not None:
        raise TypeError("load: give one object, or parts by name, not both")
    for name, part in parts.items() if target is None else [("target", target)]:
        if not _has(part, "load_state_dict") and not _has(part, "bit_generator"):
            raise TypeError(
                f"load: {name} is a {type(part).__name__}; expected an object with load_state_dict, or a Generator"
            )
    place = _real("load", path)
    saved = _read(place)
    if target is not None:
        _check_not_parts(place, target, saved)
        _restore(place, [("", target, saved)])
        return None
    missing = [name for name in parts if not isinstance(saved, dict) or name not in saved]
    if missing:
        hint = "; load(path, object) takes a file of one object" if len(missing) == len(parts) else ""
        raise CheckpointError(f"{place}: no part {', '.join(missing)} in it, only {_described(saved)}{hint}")
    _restore(place, [(f"{name}: ", part, saved.pop(name)) for name, part in parts.items()])
    return saved


# --- objects


def _state(part: Any) -> Any:
    """What is saved of an object; a plain value is its own state."""
    if _has(part, "bit_generator"):
        return part.bit_generator.state
    return part.state_dict() if _has(part, "state_dict") else part


def _has(part: Any, name: str) -> bool:
    """Whether an object has an attribute; a class is none that has a state."""
    return hasattr(part, name) and not isinstance(part, type)


def _put(part: Any, state: Any) -> None:
    if hasattr(part, "bit_generator"):
        part.bit_generator.state = state
    else:
        part.load_state_dict(state)


def _restore(place: str, entries: list[tuple[str, Any, Any]]) -> None:
    """Put each state into its object. Where one does not fit, all get back what they had."""
    with ExitStack() as undo:
        for name, part, state in entries:
            undo.callback(_put, part, copy.deepcopy(_state(part)))
            try:
                _put(part, state)
            except Exception as error:
                raise CheckpointError(f"{place}: {name}{error}; nothing was changed") from error
        undo.pop_all()


def _check_not_parts(place: str, target: Any, saved: Any) -> None:
    """Raise where the file has parts, and nothing under a name that the object knows."""
    own = _state(target)
    has_parts = isinstance(saved, dict) and any(isinstance(part, dict) for part in saved.values())
    if has_parts and isinstance(own, dict) and not own.keys() & saved.keys():
        raise CheckpointError(
            f"{place}: it has {_described(saved)}, nothing of a {type(target).__name__}; of a file of parts, "
            "load(path, part=object) restores one"
        )


def _described(saved: Any) -> str:
    if not isinstance(saved, dict):
        return f"a {type(saved).__name__}"
    names = [str(name) for name in saved]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


# --- files


def _real(function: str, path: PathLike) -> str:
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(f"{function}: the first argument must be a path, got a {type(path).__name__}")
    return os.path.realpath(os.fsdecode(path))


def _read(place: str) -> Any:
    with suppress(OSError):  # opening what is not there tells more
        if not stat.S_ISREG(os.stat(place).st_mode) and not os.path.isdir(place):  # reading a pipe might never end
            raise CheckpointError(f"{place}: not a regular file")
    with open(place, "rb") as file:
        try:
            arrays, text = safetensors.read(file)
            return arrays if text is None else tree.loads(text, arrays)
        except ValueError as error:
            raise CheckpointError(f"{place}: {error}") from None


def _replace(place: str, write: Callable[[BinaryIO], None]) -> None:
    """Have `write` fill a new file that then takes the place; if anything fails, the place is as it was."""
    if os.path.exists(place) and not os.path.isfile(place) and not os.path.isdir(place):  # /dev/null would be replaced
        raise OSError(errno.EINVAL, "not a regular file", place)
    folder, name = os.path.split(place)
    _remove_leftovers(folder, name)
    temporary, file = _new_file(folder, name)
    try:
        with file:
            with suppress(FileNotFoundError):
                shutil.copymode(place, temporary)
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if not fcntl:
                file.close()  # Windows renames no file that is open
            os.replace(temporary, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _new_file(folder: str, name: str) -> tuple[str, BinaryIO]:
    """A file under a new name, locked while it is open: by that others see that it is no leftover."""
    while True:
        temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
        file = open(temporary, "xb")  # noqa: SIM115 (handed to the caller)
        with suppress(OSError):  # not all file systems have locks
            _lock(file, wait=True)
        if os.path.exists(temporary):
            return temporary, file
        file.close()  # another process was quicker to lock it, and removed it


def _remove_leftovers(folder: str, name: str) -> None:
    """Remove the new files of processes that were killed: those that nobody has locked."""
    for leftover in glob.glob(f".{glob.escape(name)}.{8 * '[0-9a-f]'}.tmp", root_dir=folder, include_hidden=True):
        temporary = os.path.join(folder, leftover)
        with suppress(OSError), open(temporary, "r+b") as file:
            _lock(file, wait=False)
            os.unlink(temporary)


def _lock(file: BinaryIO, wait: bool) -> None:
    """Lock a file until it is closed. Where another has locked it: wait, or raise BlockingIOError."""
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _open_folder(path: str) -> Iterator[int | None]:
    """A folder's descriptor; None where folders have none (Windows), and where this one may be written but not read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EISDIR):
            raise
        descriptor = None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _sync_folder(descriptor: int | None) -> None:
    """Have the disk know of a file that was renamed, where the file system can do so: some can't for folders."""
    if descriptor is None:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
