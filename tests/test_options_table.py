"""The table of options says what the files say."""

import re

import pytest
import yaml

from vae_lightning.cli.door import config_folder

TABLE = (config_folder() / "README.md").read_text()
GROUPS = ("model", "likelihood", "posterior", "objective", "estimator", "beta_schedule", "optimizer", "lr_schedule")


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
        cells = [cell.strip() for row in rows for cell in row.split(" | ")]
        defaults = [cell for cell in cells if re.fullmatch(r"`[^`]+=[^`]+`", cell)]
        for key, said in re.findall(r"(\S+)=(\S+)", " ".join(defaults).replace("`", "")):
            value = node
            for part in key.split("."):
                value = value[part]
            alike = str(value) == said or float(value) == float(said)
            assert alike, f"{group}={path.stem}: the table says {key}={said}, the file {value}"
