"""Write the README's table of training steps from the results of `train_step.py`.

    python benchmarks/table.py [--print] [--results FILE] [--readme FILE]

The table goes between the two comments in MARKS; the rest of the README stays as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from common import RESULTS, figure

MARKS = "<!-- benchmark table -->", "<!-- end of benchmark table -->"
TITLES = {
    "minigrad": "minigrad",
    "floor": "floor",
    "numpy": "NumPy",
    "torch": "torch",
    "torch-fused": "torch, fused Adam",
    "torch-compile": "torch.compile, fused Adam",
    "jax": "JAX jit, optax",
}


def markdown(report: dict[str, Any]) -> str:
    """The table, and a line that says what was measured on what."""
    results = report["results"]
    names = [name for name in TITLES if any(name in result["microseconds"] for result in results)]
    lines = ["| layers | batch | " + " | ".join(TITLES[name] for name in names) + " |"]
    lines.append("|---|" + "---:|" * (len(names) + 1))
    for result in results:
        times = {name: figure(entry["median"]) for name, entry in result["microseconds"].items()}
        cells = ["–".join(map(str, result["sizes"])), str(result["batch"]), *(times.get(name, "") for name in names)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", source(report)])


def source(report: dict[str, Any]) -> str:
    """What the numbers are and where they come from."""
    machine, versions = report["machine"], dict(report["versions"])
    titles = {"python": "Python", "numpy": "NumPy", "numba": "Numba", "torch": "torch", "jax": "JAX", "optax": "optax"}
    packages = ", ".join(f"{title} {versions[name]}" for name, title in titles.items() if name in versions)
    return (
        f"Microseconds for one training step (zero_grad, forward, backward, Adam) in {report['settings']['dtype']}, "
        f"medians of {report['settings']['rounds']} interleaved rounds; {machine['cpu']}, {machine['cores']} cores, "
        f"{packages}; {report['date']}."
    )


def replaced(text: str, table: str) -> str:
    """`text` with `table` between the marks. Raises ValueError where they are not there, each once and in order."""
    start, end = MARKS
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise ValueError(f"expected {start} and, after it, {end}, each once")
    return f"{text.partition(start)[0]}{start}\n\n{table}\n\n{end}{text.partition(end)[2]}"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--print", action="store_true", help="print the table, and write nothing")
    parser.add_argument("--results", type=Path, default=RESULTS / "train_step.json")
    parser.add_argument("--readme", type=Path, default=Path(__file__).parents[1] / "README.md")
    options = parser.parse_args()
    table = markdown(json.loads(options.results.read_text()))
    if options.print:
        print(table)
        return
    try:
        options.readme.write_text(replaced(options.readme.read_text(), table))
    except ValueError as error:
        sys.exit(f"{options.readme}: {error}")
    print(f"written to {options.readme}")


if __name__ == "__main__":
    main()
