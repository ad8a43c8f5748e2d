"""The table of options says what the files say."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from vae_lightning.conf_folder import config_folder

TABLE = (config_folder() / "README.md").read_text()
GROUPS = ("model", "likelihood", "prior", "posterior", "objective", "estimator")
GROUPS += ("beta_schedule", "optimizer", "lr_schedule")
GROUPS += ("hydra/launcher", "hydra/sweeper")


def sections() -> dict[str, str]:
    parts = re.split(r"^## ", TABLE, flags=re.MULTILINE)[1:]
    return {group: part for part in parts for group in GROUPS if re.search(rf"\b{group}\b", part.splitlines()[0])}


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_is_in_the_table_with_its_defaults(group: str) -> None:
    section = sections()[group]
    for path in (config_folder() / group).glob("*.yaml"):
        rows = [line for line in section.splitlines() if line.startswith(f"| `{path.stem}` |")]
        assert rows, f"{group}={path.stem} is not in the table"
        node = yaml.safe_load(path.read_text())
        quoted = " ".join(text for row in rows for text in row.split("`")[1::2])
        told = dict(re.findall(r"(\S+)=(\S+)", quoted))
        for key, value in leaves(node):
            if group != "model":  # its table tells the layers in words
                assert key in told, f"{group}={path.stem}: the table does not tell the default of {key}"
                alike = yaml.safe_load(told[key]) == value or float(told[key]) == float(value)
                assert alike, f"{group}={path.stem}: the table says {key}={told[key]}, the file {value}"


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a user may choose. Two optimisers' other settings are those of adam, and told there."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        elif key not in {"_target_", "_partial_", "name", "defaults"} and (
            not prefix or key in {"lr", "degrees_of_freedom"}
        ):
            yield prefix + key, value
