"""The configs in ``conf/``, and the one interpolation of ours in them: ``${run:}``, what a run is by its own config."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vae_lightning.conf_folder import config_folder

DERIVED = "run"
"""The section that follows from the others."""
HYDRAS = "hydra"
"""The section about the command, not the run."""


def resolved(config: DictConfig, derive: bool = True) -> dict[str, Any]:
    """Return a composed config as plain values; without ``derive`` it has no ``run`` section, and imports nothing."""
    left_out = {HYDRAS} if derive else {HYDRAS, DERIVED}
    keys = [str(key) for key in config if key not in left_out]
    return OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True)  # type: ignore[return-value]


def composed(overrides: Sequence[str], derive: bool = True, also: Path | None = None) -> dict[str, Any]:
    """Return the resolved config that a command line of overrides asks for; options may come from a folder ``also``."""
    from hydra import compose, initialize_config_dir

    overrides = [*overrides, *([f"hydra.searchpath=[file://{also.absolute()}]"] if also else [])]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return resolved(compose("config", overrides=list(overrides)), derive)


def _derived(*, _root_: DictConfig) -> dict[str, str] | None:
    """Return the ``run`` section; None where the config is not valid, which is for ``checked`` to say."""
    from vae_lightning.config import checked
    from vae_lightning.errors import UserError

    keys = [str(key) for key in _root_ if key not in {DERIVED, HYDRAS}]
    plain: Any = OmegaConf.to_container(OmegaConf.masked_copy(_root_, keys), resolve=True)
    try:
        return checked(plain).identity.derived()
    except UserError:
        return None


OmegaConf.register_new_resolver(DERIVED, _derived, replace=True)
