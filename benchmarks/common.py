"""What the benchmarks share: timing several contestants in turn, and describing the machine they ran on."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"

Burst = Callable[[int], Any]
"""Runs so many steps in a row. What it returns is waited for where that can be done: JAX may work in the background."""


def repeated(step: Callable[[], Any]) -> Burst:
    """A burst of calls of `step`."""

    def burst(steps: int) -> Any:
        for _ in range(steps):
            answer = step()
        return answer

    return burst


def seconds(burst: Burst, steps: int) -> float:
    """How long a burst takes."""
    start = time.perf_counter()
    answer = burst(steps)
    if hasattr(answer, "block_until_ready"):
        answer.block_until_ready()
    return time.perf_counter() - start


def interleaved(bursts: Mapping[str, Burst], rounds: int = 40, budget: float = math.inf) -> dict[str, dict[str, Any]]:
    """Median and quartiles of a step's microseconds for each contestant, all measured in turn.

    In each round every contestant runs one burst, in an order drawn anew: whatever else the machine does, it does to
    all of them. A burst is timed after the contestant has run for a while: only then are the caches its own, the
    threads of the one before asleep (OpenBLAS's wait some 30 ms for more work) and its own awake.

    rounds: how many; fewer, but at least 5, where they would take longer than `budget` seconds.
    """
    lengths = {name: _lengths(burst) for name, burst in bursts.items()}
    times: dict[str, list[float]] = {name: [] for name in bursts}
    order = list(bursts)
    draw = random.Random(0)
    end = time.perf_counter() + budget
    for number in range(rounds):
        if number >= 5 and time.perf_counter() > end:
            break
        draw.shuffle(order)
        for name in order:
            unmeasured, measured = lengths[name]
            seconds(bursts[name], unmeasured)
            times[name].append(seconds(bursts[name], measured) / measured)
    return {name: _summary(values) for name, values in times.items()}


WARM, TIMED = 0.03, 0.01
"""Seconds that a contestant runs in each round, unmeasured and then measured; at least one step each."""


def _lengths(burst: Burst) -> tuple[int, int]:
    """How many steps a contestant runs in each round, unmeasured and then measured."""
    seconds(burst, 2)
    one = min(seconds(burst, 1) for _ in range(3))
    many = math.ceil(TIMED / one)
    one = seconds(burst, many) / many
    return math.ceil(WARM / one), math.ceil(TIMED / one)


def _summary(values: list[float]) -> dict[str, Any]:
    lower, median, upper = (round(1e6 * q, 3) for q in statistics.quantiles(values, n=4, method="inclusive"))
    return {"median": median, "quartiles": [lower, upper], "rounds": len(values)}


class Others:
    """How much of the machine other processes use, from when this is made until it is asked."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), _busy()

    def share(self) -> float | None:
        """The cores that they kept busy, as a share of all; None where the system doesn't tell."""
        (since, before), now = self.start, _busy()
        if before is None or now is None:
            return None
        return max(0.0, round((now - before) / (time.perf_counter() - since) / (os.cpu_count() or 1), 3))


def _busy() -> float | None:
    """Processor seconds since the system's start, less those of this process and of those that it started."""
    try:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(
            int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
        )
    except (OSError, ValueError):
        return None
    mine = os.times()
    own = mine.user + mine.system + mine.children_user + mine.children_system
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - own


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """The processor, its cores, and the threads that each library uses on them."""
    return {
        "cpu": _cpu(),
        "architecture": platform.machine(),
        "cores": cores(),
        "threads": _threads(),
        "system": platform.system(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or "unknown"


def _threads() -> dict[str, int]:
    threads = {}
    if importlib.util.find_spec("threadpoolctl"):
        pools = importlib.import_module("threadpoolctl").threadpool_info()
        threads = {pool["internal_api"]: pool["num_threads"] for pool in pools}
    if importlib.util.find_spec("torch"):
        threads["torch"] = importlib.import_module("torch").get_num_threads()
    return threads


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed."""
    blas = np.show_config("dicts")["Build Dependencies"]["blas"]
    found = {"python": platform.python_version(), "numpy": np.__version__, "blas": f"{blas['name']} {blas['version']}"}
    for name in ("numba", "torch", "jax", "optax"):
        version = package_version(name)
        if version:
            found[name] = version
    return found


def package_version(name: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def report(
    benchmark: str, settings: dict[str, Any], results: list[dict[str, Any]], notes: list[str], others: Others
) -> dict[str, Any]:
    """A benchmark's results with all that is needed to judge them."""
    share = others.share()
    if share is not None and share > 0.05:
        notes.append(f"other processes kept {share:.0%} of the machine busy meanwhile: run again when it is quiet")
        print(f"\n{notes[-1]}")
    return {
        "benchmark": benchmark,
        "date": datetime.date.today().isoformat(),
        "machine": machine() | {"busy with other processes": share},
        "versions": versions(),
        "settings": settings,
        "results": results,
        "notes": notes,
    }


def write_json(name: str, content: dict[str, Any], parser: argparse.ArgumentParser, options: Any) -> None:
    """Write results to `--out`, or if everything was measured where `table.py` reads them."""
    path, chosen = options.out, [key for key, value in vars(options).items() if value != parser.get_default(key)]
    if path is None and chosen:
        print("\nnot written: a run of all that is measured is, or one with --out FILE")
        return
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"\nwritten to {path}")


def print_table(rows: list[list[str]]) -> None:
    """Print rows as columns, the first to the left, the others to the right; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = (
            f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]))


def figure(microseconds: float) -> str:
    """A time with three significant digits, or all of those before the point."""
    return f"{microseconds:.0f}" if microseconds >= 100 else f"{microseconds:.3g}"
