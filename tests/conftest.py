"""Shapes and types of every function of ours are checked while the tests run (jaxtyping with beartype)."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook

install_import_hook("vae_lightning", "beartype.beartype")

from matplotlib.figure import Figure  # noqa: E402

from vae_lightning.composing import composed  # noqa: E402

Config = dict[str, Any]
REPOSITORY = Path(__file__).parent.parent


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
    """Where real MNIST lies; fetched there by the first test that needs it."""
    return Path(os.environ.get("VAE_DATA_DIR", REPOSITORY / "data")).absolute()


@pytest.fixture
def configure(tmp_path: Path, data_dir: Path) -> Callable[..., Config]:
    """Compose a resolved config as the command line would, writing below the test's own folder, without W&B."""

    def configured(*overrides: str) -> Config:
        fixed = [f"runs_dir={tmp_path / 'runs'}", f"data_dir={data_dir}", "wandb.mode=disabled"]
        return composed([*fixed, *overrides], derive=False)

    return configured


@pytest.fixture
def tiny(configure: Callable[..., Config]) -> Callable[..., Config]:
    """Compose the config of a run of seconds: scikit-learn's digits and a linear model."""

    def configured(*overrides: str) -> Config:
        small = ["data=digits", "model=linear", "latent_dim=3", "trainer.max_epochs=2", "trainer.log_every_n_steps=5"]
        return configure(*small, *overrides)

    return configured
