"""The package as a stranger installs it: a wheel, outside any checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def test_a_wheel_finds_its_configs_outside_a_checkout(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        packed = {name.removeprefix("vae_lightning/") for name in archive.namelist() if name.endswith(".yaml")}
    assert packed == {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "conf").rglob("*.yaml")}

    program = "import sys; sys.argv = ['vae-train', '--cfg', 'job']; from vae_lightning.cli.train import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    shown = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert "kl_weight: 1.0" in shown
    where = subprocess.run(
        [sys.executable, "-P", "-c", "from vae_lightning.composing import config_folder; print(config_folder())"],
        cwd=tmp_path, env=environment, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert Path(where.strip()) == tmp_path / "site" / "vae_lightning" / "conf"
