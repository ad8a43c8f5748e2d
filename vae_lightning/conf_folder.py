"""Where the configs lie, and which option of each group is the ordinary one."""

from functools import cache
from pathlib import Path

import yaml


def config_folder() -> Path:
    """Return ``conf/``: inside the package when installed as a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


@cache
def default_options() -> dict[str, str]:
    """Return the option that ``conf/config.yaml`` chooses in each group, by the group's name."""
    config = yaml.safe_load((config_folder() / "config.yaml").read_text(encoding="utf-8"))
    choices = [choice for choice in config["defaults"] if isinstance(choice, dict)]
    return {group: option for choice in choices for group, option in choice.items() if option and " " not in group}
