"""The wheel, built and installed elsewhere: nothing may come from the source tree."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from promptmlr import __version__
from promptmlr.web.app import PAGE

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1 << 20

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """What the command prints; nothing of this process's Python settings reaches it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of a new environment with the wheel in it.

    The dependencies are those of the running environment, seen through a path file: unlike an installation of their
    own this needs no network, and the path file does not load the editable promptmlr that may lie there too.
    """
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-index", "--no-deps", wheel, cwd=folder)
    site_packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site_packages, "dependencies.pth").write_text("\n".join(sorted(dependencies)))
    return folder / "bin"


def test_wheel_holds_weights_recipes_and_types_and_little_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        "promptmlr/backbone/scenes-vit.md",
        "promptmlr/backbone/scenes-vit.safetensors",
        "promptmlr/backbone/scenes.md",
        "promptmlr/backbone/scenes.safetensors",
        "promptmlr/py.typed",
        "promptmlr/recipes/default.toml",
        "promptmlr/recipes/released.toml",
        *(f"promptmlr/report/page.{kind}" for kind in ("css", "html", "js")),
        *(f"promptmlr/web/static/{name}" for name in PAGE),
    }
    assert expected <= names
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "promptmlr").rglob("*.py")}
    assert sources <= names
    assert {name.split("/")[0] for name in names} == {"promptmlr", f"promptmlr-{__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name]
    assert wheel.stat().st_size < 9 * MEGABYTE


def test_installed_package_is_the_one_that_runs(bin_folder: Path, tmp_path: Path) -> None:
    home = run(bin_folder / "python", "-c", "import promptmlr; print(promptmlr.__file__)", cwd=tmp_path).strip()
    assert Path(home).is_relative_to(bin_folder.parent)
    assert run(bin_folder / "promptmlr", "--version", cwd=tmp_path) == f"promptmlr {__version__}\n"
    assert "positivecoop" in run(bin_folder / "promptmlr", "methods", cwd=tmp_path)


def test_demo_runs_from_the_wheel(bin_folder: Path, tmp_path: Path) -> None:
    table = run(bin_folder / "promptmlr", "demo", "--full", "--out", "report", cwd=tmp_path)
    for method in ("positivecoop", "negativecoop", "dualcoop", "baseline", "dualembedding", "zeroshot"):
        assert method in table
    page = next((tmp_path / "report").glob("*.html"))
    assert page.stat().st_size > 10_000
