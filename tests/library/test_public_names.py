"""What `import vae_lightning` offers: every name is there, explained by an example that is run, typed, and light."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import vae_lightning as vl

REPOSITORY = Path(__file__).parents[2]
NO_EXAMPLE = {"UserError", "plots"}
"""An exception, and a room of functions that draw."""
PUBLIC = [name for name in vl.__all__ if name not in NO_EXAMPLE]
HEAVY = ["lightning", "hydra", "wandb", "torchmetrics", "torchvision", "matplotlib", "pandas", "sklearn", "rich"]
BLOCKED = """
import importlib.abc, json, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import torch
import vae_lightning as vl
x = torch.randn(500, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 2, 1, 1, 1])
loss = vl.from_loss("mse_mean", weight=0.01)
forecast = vl.forecast(x, loss=loss, latent_dim=2)
back = torch.nn.Linear(2, 5)
diagnosis = vl.diagnose(lambda x: (x[:, :2], x[:, :2] * 0 - 1), back, x, loss=loss)
printed = f"{forecast} {diagnosis}"
refused = []
for ask in (forecast.plot, forecast.to_frame, diagnosis.plot, diagnosis.to_frame, lambda: vl.load_runs(".")):
    try:
        ask()
    except vl.UserError as error:
        refused.append([str(error.code), *error.about])
print(json.dumps([int(forecast.active_units), diagnosis.verdict, refused, sorted(set(HEAVY) & set(sys.modules))]))
"""


EXAMPLES = """
import contextlib, doctest, importlib, io, json, sys
import vae_lightning as vl

told = {}
for name in sys.argv[1:]:
    thing, printed = getattr(vl, name), io.StringIO()
    module = importlib.import_module(thing.__module__)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder(recurse=False).find(thing, name, module=module, globs={}):
        runner.run(test, out=printed.write)
    told[name] = [runner.tries, runner.failures, printed.getvalue()]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def examples() -> dict[str, tuple[int, int, str]]:
    """Run them as a user would, without the tests' own checks of types."""
    command = [sys.executable, "-c", EXAMPLES, *PUBLIC]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    found: dict[str, tuple[int, int, str]] = json.loads(told.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example_that_runs(name: str, examples: dict[str, tuple[int, int, str]]) -> None:
    n_examples, n_failed, told = examples[name]
    assert n_examples > 0
    assert n_failed == 0, told


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_member_is_explained(name: str) -> None:
    thing = getattr(vl, name)
    members = (
        [member for key, member in vars(thing).items() if not key.startswith("_")] if inspect.isclass(thing) else []
    )
    explained = [thing, *(each for each in members if callable(each) or isinstance(each, property))]
    assert all(inspect.getdoc(each) for each in explained)


def test_names_are_the_list_and_nothing_else() -> None:
    assert set(vl.__all__) < set(dir(vl))
    assert isinstance(vl.plots, ModuleType)
    with pytest.raises(AttributeError):
        _ = vl.forcast


def test_forecast_and_diagnosis_need_nothing_heavy() -> None:
    """Where the rest is not installed, drawing and frames name what is missing."""
    told = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {HEAVY}\n{BLOCKED}"], capture_output=True, text=True, check=True
    ).stdout
    living, word, refused, imported = json.loads(told.splitlines()[-1])
    assert (living, imported) == (2, [])
    assert word in {"healthy", "pruned", "collapsed", "starved", "undertrained", "undecided"}
    assert refused == [["unavailable", each] for each in ("matplotlib", "pandas", "matplotlib", "pandas", "pandas")]


def test_importing_the_package_imports_nothing() -> None:
    code = "import sys, vae_lightning; print(len({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"


@pytest.mark.slow
def test_a_strict_type_checker_sees_the_types(tmp_path: Path) -> None:
    program = tmp_path / "typed.py"
    program.write_text(
        "import numpy as np\nimport torch\nimport vae_lightning as vl\n"
        "f = vl.forecast(np.zeros((3, 2)), 'gaussian', [1.0, 2.0], 3)\n"
        "d = vl.diagnose(lambda x: (x, x), lambda z: z, torch.zeros(3, 2), loss=vl.from_loss('mse_sum'))\n"
        "right: float = f.kl_weight_for(2) + d.elbo.value + d.margin\n"
        "wrong: str = f.kl_weight_for(2)\n"
        "word: int = d.verdict\n"
        "vl.from_loss('mse')\n"
    )
    environment = {**os.environ, "MYPYPATH": str(REPOSITORY)}
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(program)],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=environment,
    ).stdout  # fmt: skip
    found = [(line.split(":")[1], line.rpartition("[")[2]) for line in told.splitlines() if ": error:" in line]
    assert found == [("7", "assignment]"), ("8", "assignment]"), ("9", "arg-type]")]
