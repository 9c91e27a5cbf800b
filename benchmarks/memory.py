"""Peak memory of a training step (zero_grad, forward, backward, Adam): ours beside PyTorch's eager mode.

    python benchmarks/memory.py [--quick] [--sizes 64,128,10@32 ...] [--out FILE]

Each contestant trains in a process of its own. The figure is resident memory as the system counts it, which holds for
any library and allocator: Linux keeps the greatest resident size of a process (VmHWM in /proc/self/status) and starts
it anew at the present size when 5 is written to /proc/self/clear_refs. Two baselines are subtracted:

    whole  the size after a few steps of a tiny model, with everything imported and compiled: what remains is the
           batch, parameters, Adam's state, gradients, and what a step needs beside them
    step   the size after some steps of the model itself: what remains is what one step needs beside all that stays
           between two steps, gradients among it

Before each of them, free memory is given back to the system (malloc_trim), so that what is merely kept for reuse
counts on neither side. Each process is started several times, and the median is taken. Memory comes in pages of 4 KiB,
and a step that does nothing shows one or two of them: below some ten pages, a ratio says nothing. Where the system has
neither file, nothing is measured.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.util
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import Others, print_table, report, write_json
from train_step import SIZES, TIMED_LR, Problem, Step, minigrad_step, parsed, shown, torch_step

DEEP = ((512,) * 9, 1024)
"""Eight layers of 512."""
TINY = ((8, 8, 8), 8)
CONTESTANTS = {"minigrad": minigrad_step, "torch": torch_step}
TARGET = 1.1
"""Times torch's that ours may be."""
STEPS = 5
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at most since the last `restart`."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def restart() -> int:
    """Start the greatest resident size anew, with all free memory given back; returns the present size."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim:
        trim(0)
    CLEAR.write_text("5")
    return resident("VmRSS")


def peak(step: Step, baseline: int) -> int:
    """The greatest resident size above `baseline` over some steps."""
    for _ in range(STEPS):
        step()
    return max(0, resident("VmHWM") - baseline)


def measured_here(contestant: str, sizes: tuple[int, ...], batch: int) -> dict[str, int]:
    """The figures of one contestant, in this process."""
    make = CONTESTANTS[contestant]
    peak(make(Problem.draw(*TINY, TIMED_LR)), 0)
    baseline = restart()
    step = make(Problem.draw(sizes, batch, TIMED_LR))
    restart()  # what making the model took and gave back is not the step's
    return {"whole": peak(step, baseline), "step": peak(step, restart())}


def measured(contestant: str, sizes: tuple[int, ...], batch: int, repeats: int) -> dict[str, float]:
    """Medians over fresh processes."""
    command = [sys.executable, __file__, "--measure", contestant, "--sizes", shown(sizes, batch)]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(repeats)
    ]
    return {kind: statistics.median(run[kind] for run in runs) for kind in ("whole", "step")}


def rows_of(results: list[dict[str, Any]], names: list[str]) -> list[list[str]]:
    """A table of MiB, and ours over torch's."""
    head = [f"{name}, {kind}" for kind in ("whole", "step") for name in [*names, "ratio"]]
    rows = [["MiB of layers@batch", *head]]
    for result in results:
        row = [shown(tuple(result["sizes"]), result["batch"])]
        for kind in ("whole", "step"):
            used = [result["bytes"][name][kind] for name in names]
            ratio = f"{used[0] / used[1]:.2f}" if len(used) > 1 and used[1] else "-"
            row += [*(f"{b / 2**20:.2f}" for b in used), ratio]
        rows.append(row)
    return rows


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=parsed, default=[*SIZES, DEEP], metavar="LAYERS@BATCH")
    parser.add_argument("--quick", action="store_true", help="one process for each figure in place of 3")
    parser.add_argument("--measure", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="where the results go")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured_here(options.measure, *options.sizes[0])))
        return
    notes: list[str] = []
    repeats = 1 if options.quick else 3
    names = [name for name in CONTESTANTS if name == "minigrad" or importlib.util.find_spec(name)]
    if not CLEAR.exists():
        raise SystemExit(f"{CLEAR} is missing: the greatest resident size of a process can't be measured here")
    if "torch" not in names:
        notes.append("torch left out: not installed")
    others = Others()
    results = []
    for sizes, batch in options.sizes:
        sizes_of = {name: measured(name, sizes, batch, repeats) for name in names}
        results.append({"sizes": list(sizes), "batch": batch, "bytes": sizes_of})
    print_table(rows_of(results, names))
    settings = {"dtype": "float32", "steps": STEPS, "repeats": repeats, "target": TARGET}
    write_json("memory", report("memory", settings, results, notes, others), parser, options)


if __name__ == "__main__":
    main()
