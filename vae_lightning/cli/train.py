"""``vae-train``: one run; with ``-m`` a sweep."""

from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import OmegaConf

from vae_lightning.cli.door import config_folder, open_door

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")
def run(hydra_config: "DictConfig") -> dict[str, Any]:
    """Train the run that a composed config names, or show its results if it is finished."""
    from vae_lightning.training import train

    config: dict[str, Any] = OmegaConf.to_container(hydra_config, resolve=True)  # type: ignore[assignment]
    return train(config)


def main() -> None:
    open_door(run)
