"""The package as users install it: a wheel in a separate environment, used from any directory."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.cli import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy with the installed build backend, without downloads or changes in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in ("telco_stream", "data", "models"):
        shutil.copytree(ROOT / folder, source / folder)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel in an environment with this Python's dependencies, and return its `bin`."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin/python"
    _pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    site = next(home.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python.parent


def test_wheel_contains_only_package_sample_and_model(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    bundled = {name.removeprefix("telco_stream/_bundled/") for name in names if "_bundled" in name}
    assert bundled == {
        "data/sample_customers.csv",
        *(
            f"models/churn/{name}"
            for name in (
                "baseline.json",
                "contract.json",
                "golden.json",
                "manifest.json",
                "pipeline.joblib",
                "pipeline.onnx",
                "reasons.json",
                "reasons.onnx",
            )
        ),
    }
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"telco_stream"}
    assert [name for name in names if "__pycache__" in name or "test" in name] == []


def test_wheel_contains_the_report_templates(wheel: Path) -> None:
    template = "telco_stream/report/html/template/"
    names = {name.removeprefix(template) for name in zipfile.ZipFile(wheel).namelist() if name.startswith(template)}
    assert names == {path.name for path in (ROOT / template).iterdir()}


def test_installed_command_shows_the_contract_and_its_schema(installed: Path, tmp_path: Path) -> None:
    for arguments, name in (["--output", "json"], "telco.json"), (["--schema"], "contract.schema.json"):
        completed = _run(installed / "telco-stream", "contract", "show", *arguments, cwd=tmp_path)
        assert completed.stdout == (ROOT / "telco_stream/contract" / name).read_text(), completed.stderr


def test_installed_command_imports_the_wheel(installed: Path, tmp_path: Path) -> None:
    completed = _run(installed / "python", "-c", "import telco_stream; print(telco_stream.__file__)", cwd=tmp_path)
    assert completed.stdout.startswith(str(installed.parent)), completed


def test_demo_runs_from_any_directory(installed: Path, tmp_path: Path) -> None:
    completed = _run(installed / "telco-stream", "demo", "--output", "json", cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["report"]["total"] == 1_000
    assert list(tmp_path.iterdir()) == []


def test_model_show_finds_the_bundled_model_from_any_directory(installed: Path, tmp_path: Path) -> None:
    completed = _run(installed / "telco-stream", "model", "show", "--output", "json", cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    committed = json.loads((ROOT / "models/churn/manifest.json").read_text())
    assert json.loads(completed.stdout)["model_version"] == committed["model_version"]


def test_sample_reproduces_the_bundled_sample(installed: Path, tmp_path: Path) -> None:
    completed = _run(installed / "telco-stream", "sample", "--out", "sample.csv", "--quiet", cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert (tmp_path / "sample.csv").read_bytes() == (ROOT / "data/sample_customers.csv").read_bytes()


def _pip(*arguments: str) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr


def _run(program: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(program), *arguments], cwd=cwd, env=env, timeout=120, capture_output=True, text=True, check=False
    )
