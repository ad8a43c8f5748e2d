"""The recipes of CONTRIBUTING.md are run as they stand there."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vae_lightning.composing import config_folder
from vae_lightning.training import train

REPOSITORY = Path(__file__).parents[2]
SMALL = ["model=linear", "latent_dim=2", "smoke=true"]


class Recipe(NamedTuple):
    """What a section of the page says."""

    files: dict[str, str]
    """Name, from the first comment of a block of code, and content."""
    command: list[str]


def recipe(title: str) -> Recipe:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, title
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    [command] = re.findall(r"^```bash\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    return Recipe(dict(blocks), shlex.split(command))


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Write the files of a recipe where Python finds them; return its command line."""
    monkeypatch.syspath_prepend(tmp_path)

    def follow(title: str) -> list[str]:
        found = recipe(title)
        for name, content in found.files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
        for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
            monkeypatch.delitem(sys.modules, name)
        return found.command

    return follow


needs_metrics = pytest.mark.skipif(
    "metrics:" not in (config_folder() / "config.yaml").read_text(encoding="utf-8"), reason="conf has no metrics yet"
)


@pytest.mark.parametrize(
    ("title", "key", "least"),
    [
        ("Add an objective", "test/kl", 0.0),
        ("Add a likelihood", "test/distortion", -1e9),
        ("Add a data set", "test/kl", 0.0),
        pytest.param("Add a diagnostic", "test/share_of_the_largest_unit", 0.5, marks=needs_metrics),
    ],
)
def test_a_part_of_ones_own_trains(
    title: str,
    key: str,
    least: float,
    followed: Callable[[str], list[str]],
    configure: Callable[..., dict[str, Any]],
) -> None:
    program, *overrides = followed(title)
    assert program == "vae-train"
    assert train(configure(*overrides, *SMALL))[key] > least


def test_the_objective_is_free_up_to_its_budget(followed: Callable[[str], list[str]]) -> None:
    import torch

    from vae_lightning.objectives import Pathwise
    from vae_lightning.objectives.elbo import KlTerms
    from vae_lightning.training_step import TrainingStep

    followed("Add an objective")
    from my_package.objectives import Budget  # type: ignore[import-not-found]

    objective = Budget(Pathwise(kl="closed_form"), n_samples=1, budget=5.0)
    for per_unit, expected in ((1.0, 2 * 5.0), (4.0, 2 * 8.0)):
        units = torch.full((3, 2), per_unit)
        found = objective.penalty(KlTerms(units, units), 2.0, units.unsqueeze(0), TrainingStep(0, 100, 10))
        assert float(found) == expected


def test_the_likelihood_is_torchs_laplace(followed: Callable[[str], list[str]]) -> None:
    import torch

    followed("Add a likelihood")
    from my_package.likelihoods import LaplaceLikelihood  # type: ignore[import-not-found]

    pixels, values = torch.rand(4, 1, 3, 3), torch.randn(2, 4, 1, 3, 3)
    expected = torch.distributions.Laplace(values, 0.3).log_prob(pixels).sum((-3, -2, -1))
    torch.testing.assert_close(LaplaceLikelihood(scale=0.3).log_prob(pixels, values), expected)


@pytest.mark.slow
def test_a_launcher_of_ones_own_does_the_jobs(
    followed: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *overrides = followed("Add a launcher")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [Path(sys.executable).with_name(program), *overrides, *SMALL, "wandb.mode=disabled"]
    subprocess.run([*command, f"runs_dir={tmp_path / 'runs'}"], check=True, capture_output=True)
    results = sorted((tmp_path / "runs").rglob("results.json"), key=lambda path: path.stat().st_mtime_ns)
    assert [json.loads(path.read_text())["kl_weight"] for path in results] == [2.0, 1.0]
