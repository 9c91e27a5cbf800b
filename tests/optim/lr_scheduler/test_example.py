"""examples/schedules.py draws every schedule."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from .test_registry import COMPLETE

EXAMPLE = Path(__file__).parents[3] / "examples" / "schedules.py"


def test_every_schedule_has_a_panel():
    spec = importlib.util.spec_from_file_location("schedules", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    assert set(COMPLETE) <= example.PANELS.keys()
    drawn = {type(schedule).__name__ for curves in example.PANELS.values() for schedule in curves.values()}
    assert set(COMPLETE) <= drawn


def run(out):
    command, environment = [sys.executable, str(EXAMPLE), "--out", str(out)], {**os.environ, "PYTHONPATH": "."}
    return subprocess.run(command, cwd=EXAMPLE.parents[1], env=environment, capture_output=True, text=True)


def test_the_picture(tmp_path):
    done = run(tmp_path / "pictures")
    assert done.returncode == 0, done.stderr
    picture = tmp_path / "pictures" / "schedules.png"
    assert done.stdout == f"picture: {picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    done = run(tmp_path / "file")
    assert done.returncode == 2
    assert "argument --out" in done.stderr
