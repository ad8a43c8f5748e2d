"""Composition of configs for the tests: Hydra takes 0.2 s for it, so each set of group choices is composed once.

Values are then set as Hydra itself sets them, by ``OmegaConf.update``. tests/test_compose_once.py proves it equal.
"""

import copy
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from vae_lightning.composing import composed, resolved
from vae_lightning.conf_folder import config_folder


@cache
def _parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


@cache
def _composed_groups(choices: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", overrides=list(choices))


def _is_plain(override: Override) -> bool:
    return not (override.is_delete() or override.is_add() or override.is_force_add() or override.package)


def _chooses_an_option(override: Override) -> bool:
    return isinstance(override.value(), str) and (config_folder() / override.key_or_group).is_dir()


def compose_once(*overrides: str) -> dict[str, Any]:
    """Return what ``composed(overrides, derive=False)`` returns; additions and deletions are left to Hydra."""
    parsed = [_parsed(text) for text in overrides]
    if not all(map(_is_plain, parsed)):
        return composed(overrides, derive=False)
    choices = (text for text, override in zip(overrides, parsed, strict=True) if _chooses_an_option(override))
    config = copy.deepcopy(_composed_groups(tuple(choices)))
    for override in parsed:
        if not _chooses_an_option(override):
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
    return resolved(config, derive=False)
