"""The wheel: what is in it, and that it installs and works with NumPy alone. The imports: what they bring along."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("minigrad", "nn", "optim")


def output(*command: object, cwd: Path) -> str:
    """What a command prints; its error output is in the exception if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, text=True, capture_output=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing left in the checkout by an earlier build gets into it."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "tests", source / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    output(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def empty_python(tmp_path_factory, wheel):
    """The interpreter of an environment that has NumPy, the wheel, and nothing else."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    site = Path(output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip())
    for pattern in ("numpy", "numpy.libs", "numpy-*.dist-info"):
        for part in Path(np.__file__).parent.parent.glob(pattern):
            (site / part.name).symlink_to(part)
    output(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", wheel, cwd=place)
    return python


def test_wheel_holds_the_three_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert names == sources | {f"{package}/py.typed" for package in PACKAGES}


def test_wheel_needs_numpy_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (described,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        fields = archive.read(described).decode().splitlines()
    needs = [field for field in fields if field.startswith("Requires-Dist") and "extra ==" not in field]
    assert [need.split()[1].split(">")[0] for need in needs] == ["numpy"]


def test_installed_wheel_trains(empty_python, tmp_path):
    code = """
import importlib.util
import minigrad as mg, nn, optim
assert not importlib.util.find_spec("numba")
mg.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = optim.Adam(model.parameters(), lr=0.01)
x, y = mg.tensor([[0.0, 1.0], [1.0, 0.0]]), mg.tensor([[1.0], [-1.0]])
losses = []
for _ in range(50):
    optimizer.zero_grad()
    loss = nn.MSELoss()(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0] / 4, losses
print(mg.__file__)
"""
    assert Path(output(empty_python, "-c", code, cwd=tmp_path).strip()).is_relative_to(empty_python.parent.parent)


@pytest.mark.parametrize("package", ["scipy", "numba", "cupy", "matplotlib", "torch"])
def test_import_leaves_out(package):
    code = f"import sys, minigrad, nn, optim; print({package!r} in sys.modules)"
    assert output(sys.executable, "-c", code, cwd=ROOT).strip() == "False"


def test_import_writes_no_operation():
    """Writing the functions of all operations takes longer than the rest of an import: each is at its first call."""
    code = """
import minigrad as mg, nn, optim
from minigrad.tape import _first_call
functions = [f for f in vars(mg).values() if hasattr(f, "operation")]
print(len(functions), sum(f.__code__ is not _first_call.__code__ for f in functions))
"""
    operations, written = map(int, output(sys.executable, "-c", code, cwd=ROOT).split())
    assert operations > 80
    assert written == 0
