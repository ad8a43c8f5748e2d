"""The package as a stranger installs it: a wheel, outside any checkout; and the archive of its sources."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
CONFIGS = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "conf").rglob("*.yaml")}
PROGRAM = """
import sys
from vae_lightning.composing import config_folder
print(config_folder())
sys.argv = ["vae-train", "--cfg", "job"]
from vae_lightning.cli.train import main
main()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the archive of the sources."""
    folder = tmp_path_factory.mktemp("built")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    return folder


def test_a_wheel_finds_its_configs_outside_a_checkout(built: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(tmp_path / "site")  # noqa: S202 (built just now)
        packed = set(files.namelist())
    assert {name.removeprefix("vae_lightning/") for name in packed if name.endswith(".yaml")} == CONFIGS
    assert "vae_lightning/py.typed" in packed
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    shown = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout
    where, *config = shown.splitlines()
    assert Path(where) == tmp_path / "site" / "vae_lightning" / "conf"
    assert "kl_weight: 1.0" in config


def test_the_sources_are_complete(built: Path) -> None:
    [sources] = built.glob("*.tar.gz")
    with tarfile.open(sources) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    pages = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE", "docs/sweeps.md"}
    assert {*CONFIGS, *pages, "vae_lightning/py.typed", "tests/conftest.py", "benchmarks/__main__.py"} <= packed
    assert not {name for name in packed if name.startswith(("data/", "runs/", ".venv/"))}
