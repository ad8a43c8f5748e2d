"""Fixtures of all tests: configs composed once, tiny runs trained once. Shapes and types are checked all along."""

import hashlib
import io
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook

# Every function of ours is checked while the tests run (jaxtyping with beartype).
install_import_hook("vae_lightning", "beartype.beartype")

from compose_once import compose_once  # noqa: E402
from filelock import FileLock  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from vae_lightning.signals import SIGNALS  # noqa: E402

Config = dict[str, Any]
REPOSITORY = Path(__file__).parent.parent

# What a script starts in the background, or under nohup, inherits signals that it shall ignore; the tests send them.
for _number in SIGNALS:
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _figures_are_drawn_but_not_rendered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering takes most of the time of a tiny run; tests that look at the files ask for it by ``renders``."""
    if "renders" not in request.keywords:

        def saved(_: Figure, target: Path | io.BytesIO, **__: Any) -> None:
            content = b"not rendered"
            target.write(content) if isinstance(target, io.BytesIO) else Path(target).write_bytes(content)

        monkeypatch.setattr(Figure, "savefig", saved)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return where real MNIST lies; the first test that needs it fetches it."""
    return Path(os.environ.get("VAE_DATA_DIR", REPOSITORY / "data")).absolute()


@pytest.fixture
def configure(tmp_path: Path, data_dir: Path) -> Callable[..., Config]:
    """Compose a resolved config as the command line would, writing below the test's own folder, without W&B."""

    def configured(*overrides: str) -> Config:
        return compose_once(f"runs_dir={tmp_path / 'runs'}", f"data_dir={data_dir}", "wandb.mode=disabled", *overrides)

    return configured


@pytest.fixture
def tiny(configure: Callable[..., Config]) -> Callable[..., Config]:
    """Compose the config of a run of less than a second: a linear model, digits of 8x8 pixels, 15 steps an epoch."""

    def configured(*overrides: str) -> Config:
        small = ["data=digits", "data.source._target_=small_digits.small_digits", "model=linear", "latent_dim=3"]
        return configure(*small, "trainer.max_epochs=2", "trainer.log_every_n_steps=5", *overrides)

    return configured


@pytest.fixture(scope="session")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of this session share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared_runs"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def finished(tiny: Callable[..., Config], shared_runs: Path) -> Callable[..., Config]:
    """Compose a ``tiny`` config whose run lies finished in the test's own folder: a copy of one trained once."""
    from vae_lightning.training import train

    def made(*overrides: str) -> Config:
        config = tiny(*overrides)
        trained = shared_runs / hashlib.sha256(repr(overrides).encode()).hexdigest()[:16]
        with FileLock(trained.with_suffix(".lock")):
            if not trained.exists():
                train(tiny(*overrides, f"runs_dir={trained}.part"))
                Path(f"{trained}.part").rename(trained)
        shutil.copytree(trained, config["runs_dir"], dirs_exist_ok=True)
        for saved in Path(config["runs_dir"]).glob("*/*/config.yaml"):  # it names the place where it was trained
            saved.write_text(saved.read_text().replace(f"{trained}.part", config["runs_dir"]))
        return config

    return made
