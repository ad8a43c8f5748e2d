"""The whole of ``make sweep``, its own command, beside the same trainings as bare loops on all cores."""

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.bench import ROOT, Bench, environment, n_cores, program
from benchmarks.commands import CommandError, seconds_of
from benchmarks.rows import Goal, Row, spread

BARE, OURS, BEYOND = "bare loops", "ours", "beyond, a run"


class Recipe(NamedTuple):
    """The shell command of ``make sweep``, and the overrides in it."""

    text: str
    overrides: list[str]

    @property
    def jobs(self) -> list[list[str]]:
        """Return the overrides of each run."""
        choices = [[f"{key}={value}" for value in values] for key, values in map(split, self.overrides)]
        return [list(job) for job in itertools.product(*choices)]

    def cut(self, n_jobs: int) -> "Recipe":
        """Return the recipe with no more runs than so many: the longest list of values loses its last ones."""
        recipe = self
        while len(recipe.jobs) > n_jobs:
            longest = max(recipe.overrides, key=lambda override: len(split(override)[1]))
            shorter = longest.rpartition(",")[0]
            overrides = [shorter if override == longest else override for override in recipe.overrides]
            recipe = Recipe(recipe.text.replace(longest, shorter), overrides)
        return recipe


def split(override: str) -> tuple[str, list[str]]:
    key, _, values = override.partition("=")
    return key, values.split(",")


def recipe_of_make() -> Recipe:
    """Return what ``make sweep`` would run."""
    asked = ["make", "--no-print-directory", "--dry-run", "--directory", str(ROOT), "sweep"]
    printed = subprocess.run(asked, env=environment(None), check=True, capture_output=True, text=True).stdout
    command = re.search(r"\S*vae-train -m (.*?);.*", printed.replace("\\\n", " "), re.DOTALL)
    if command is None:
        raise CommandError("make sweep: no vae-train -m in its recipe")
    return Recipe(command[0], command[1].split())


def measure(bench: Bench) -> list[Row]:
    recipe = recipe_of_make()
    recipe = recipe.cut(bench.n_jobs) if bench.n_jobs else recipe
    configs = [config_of(job) for job in recipe.jobs]
    # Before and after, for the machine's pace changes.
    bare = [seconds_of_bare_loops(configs, bench.subfolder("bare-sweep", 0))]
    ours = seconds_of_sweep(recipe, bench.subfolder("sweep"))
    bare.append(seconds_of_bare_loops(configs, bench.subfolder("bare-sweep", 1)))
    values = {
        BARE: spread(bare, "s"),
        OURS: spread([ours], "s"),
        f"{OURS} / {BARE}": spread([ours / seconds for seconds in bare]),
        BEYOND: spread([(ours - seconds) * n_cores() / len(configs) for seconds in bare], "s"),
    }
    return [Row(what(configs), values, [Goal(f"{OURS} / {BARE}", 1.6)])]


def what(configs: Sequence[dict[str, Any]]) -> str:
    first = configs[0]
    sizes = "-".join(map(str, first["model"]["encoder"].get("hidden_sizes", [])))
    model = f"{first['model']['name']} of {sizes}, latent {first['latent_dim']}"
    return f"make sweep: {len(configs)} runs, {model}, {first['trainer']['max_epochs']} epochs"


def config_of(overrides: Sequence[str]) -> dict[str, Any]:
    from vae_lightning.composing import composed

    data_dir = environment(None)["VAE_DATA_DIR"]
    return composed([*overrides, f"data_dir={data_dir}"], derive=False)


def seconds_of_sweep(recipe: Recipe, folder: Path) -> float:
    """Run the recipe in an empty folder: all runs, and the report at its end."""
    here = str(Path(program("vae-train")).parent)
    text = re.sub(r"\S*/(vae-\w+)", rf"{here}/\1", recipe.text)
    return seconds_of(["sh", "-c", text], cwd=folder)


def seconds_of_bare_loops(configs: Sequence[dict[str, Any]], folder: Path) -> float:
    """Train the same models in as many processes as cores, of one thread each."""
    files = [folder / f"{number}.json" for number in range(n_cores())]
    for number, file in enumerate(files):
        file.write_text(json.dumps(configs[number :: n_cores()]))
    module = [sys.executable, "-m", "benchmarks.rivals.bare_sweep"]
    shares = [file for file in files if json.loads(file.read_text())]
    began = time.perf_counter()
    processes = [subprocess.Popen([*module, str(file)], env=environment(1), cwd=folder) for file in shares]
    codes = [process.wait() for process in processes]
    seconds = time.perf_counter() - began
    if any(codes):
        raise CommandError("a bare loop failed")
    return seconds
