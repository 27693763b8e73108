"""The wheel holds everything it needs, and installs work beside modules of our names."""

from __future__ import annotations

import ast
import os
import site
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: The folders at the root of the repository; the wheel has all of them under `velodrome`.
FOLDERS = ("foundation", "optimizers", "results", "suites", "taskgen", "velodrome")


#: What a user's directory may well hold: names of ours as they would be without `velodrome.`.
USERS_FILES = (
    "results.py",
    "optimizers/__init__.py",
    "suites/__init__.py",
    "taskgen/__init__.py",
    "foundation/__init__.py",
)


#: One figure, because all of them take most of the time; and where our package is.
REPORT = """
import velodrome
from velodrome.cli import main
from velodrome.results.report.figures import contents
contents.MODULES = (contents.sorted_speedup,)
assert main(["report", "store"]) == 0
print(velodrome.__file__)
"""


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = out.glob("velodrome-*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> set[str]:
    with zipfile.ZipFile(wheel_file) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    tracked = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    data = {path for path in tracked if path.startswith(("results/published/", "results/partial/"))}
    field = {path for path in data if path.startswith("results/published/sprint/")}
    field = {path for path in field if path.count("/") > 3}  # its store, without the report
    published = data - field
    assert published and any(path.endswith(".parquet") for path in field)
    inside = {f"velodrome/{path.removeprefix('velodrome/')}" for path in tracked - published}
    assert inside == {name for name in wheel if ".dist-info/" not in name}
    for needed in (
        "velodrome/suites/lists/demo.json",
        "velodrome/taskgen/profiles/v100.json",
        "velodrome/optimizers/velo/weights/builtin/velo-tiny.safetensors",
        "velodrome/optimizers/velo/weights/builtin/velo-tiny.json",
        "velodrome/results/report/figures/velodrome.mplstyle",
        "velodrome/__init__.pyi",
        "velodrome/py.typed",
    ):
        assert needed in wheel


@pytest.mark.long
def test_the_source_file_of_a_release_gives_the_same_wheel(wheel, tmp_path: Path):
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True)
    (packed,) = tmp_path.glob("velodrome-*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert {"README.md", "CHANGELOG.md", "docs", "tests", "Makefile"} <= {
        path.name for path in source.iterdir()
    }
    subprocess.run([*build, "-t", "wheel"], cwd=source, check=True, capture_output=True)
    (path,) = tmp_path.glob("velodrome-*.whl")
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == wheel


def test_the_wheel_has_one_name(wheel):
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"velodrome"}


def install(environment: Path, *what: str) -> Path:
    """Make an environment that has our dependencies and what is named, and return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    # Folders in a .pth file are searched, but their own .pth files are not read: so an editable
    # install of velodrome in the running environment is not seen.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir"]
    pip = [sys.executable, "-m", "pip", "--python", python, "install", *options]
    subprocess.run([*pip, *what], check=True, env=clean_environment())
    return python


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run_in_a_directory_with_our_names(python: Path, directory: Path, workers: str) -> Path:
    """Run and report a suite from a directory with modules of our names; return our package."""
    for name in USERS_FILES:
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"raise ImportError('{name} of the user was imported')\n")

    def call(*arguments: str) -> str:
        command = [python, *arguments]
        done = subprocess.run(
            command, cwd=directory, env=clean_environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    size = ("--steps", "5", "--seeds", "1", "--optimizers", "adam", "--learning-rates", "1e-3")
    # As a module, so that the directory comes first in the search path; as it does with `-c`.
    call("-m", "velodrome", "run", "smoke/tiny-mlp", "--out", "store", "--workers", workers, *size)
    printed = call("-c", REPORT)
    assert (directory / "store" / "report" / "speedup_steps.pdf").is_file()
    return Path(printed.splitlines()[-1]).parent


@pytest.mark.long
def test_the_installed_wheel_works_where_the_user_has_modules_of_our_names(
    wheel_file: Path, tmp_path: Path
):
    python = install(tmp_path / "environment", str(wheel_file))
    package = run_in_a_directory_with_our_names(python, tmp_path / "work", workers="0")
    assert package.is_relative_to(tmp_path / "environment")
    assert (package / "taskgen").is_dir()


@pytest.mark.long
def test_the_editable_install_works_where_the_user_has_modules_of_our_names(tmp_path: Path):
    python = install(tmp_path / "environment", "--editable", str(ROOT))
    package = run_in_a_directory_with_our_names(python, tmp_path / "work", workers="1")
    assert package == ROOT / "velodrome"


def test_direct_imports_are_declared():
    """Third-party modules that the packages import are dependencies, not luck."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # The packages import these extras only where they report a missing one.
    extras = project["optional-dependencies"]
    names = ("mlflow", "prepare", "ray", "search", "slurm", "tensorboard", "wandb")
    optional = [line for name in names for line in extras[name]]
    declared = {
        line.split(">")[0].split("=")[0].split("<")[0].strip()
        for line in (*project["dependencies"], *optional)
    }
    modules = {
        "PIL": "pillow",
        "mlflow": "mlflow-skinny",
        "sklearn": "scikit-learn",
        "skimage": "scikit-image",
        "tensorflow_datasets": "tensorflow-datasets",
    }
    imported = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    imported.update(alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    imported.add(node.module.split(".")[0])
    foreign = {
        modules.get(name, name)
        for name in imported
        if name not in sys.stdlib_module_names and name != "velodrome"
    }
    assert foreign - declared == set()
