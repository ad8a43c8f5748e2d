"""Any folder of runs as a pandas frame: a row for each run, or for each value of their curves."""

import itertools
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.results import COLUMNS, KL_WEIGHT, RUN, SEED
from vae_lightning.runs.status import VALID, Found, FoundRun, find_runs
from vae_lightning.runs.upgrade import upgraded

if TYPE_CHECKING:
    import pandas

SETTINGS = "settings"
"""Of results.json; in a frame they are columns of their own, beside the rest of the config."""
STORED = [column for column in COLUMNS if not column.derived and column.name not in {RUN, SETTINGS}]
"""What every frame has a column for, whether a run is finished or not."""
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What a line of curves raises that is no JSON or that our logger did not write."""

Flat = dict[str, Any]
Logged = tuple[int | None, int | None, str, float | None]
"""An epoch, a step, a name and a value."""


def load_runs(
    folder: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, curves: bool = False
) -> "pandas.DataFrame":
    """Return the runs at or below a folder, or several, as a frame; unfinished and failed ones too.

    Each run is a row, by KL weight and name: ``run`` (its directory's name), ``status``, ``directory``; its config as
    ``config.kl_weight``, ``config.data.name``, …; and what ``results.json`` has under its own keys: losses and KLs in
    nats per image, lists of a value for each unit. What was not measured is missing (NaN among numbers): every result
    of an unfinished run; KL and ELBO of an autoencoder, which has none, whatever number is stored.

    With ``curves`` each logged value is a row: ``run``, ``directory``, ``epoch``, ``step``, ``name`` (``train/kl``),
    ``value``; ``config.kl_weight``, ``config.seed`` and what else of the config differs between the runs. Of a list
    each element is a row: ``test/kl_per_unit/0`` is unit 0. One warning for each file tells of lines left out because
    they cannot be read.

    Raises:
        UserError: ``NOT_FOUND`` where there is no such folder or no run in it; ``UNAVAILABLE`` without pandas.

    Example:
        >>> import vae_lightning as vl
        >>> runs = vl.load_runs("tests/runs/of_0_3")  # in a checkout of this project
        >>> runs[["status", "config.kl_weight", "test/kl", "verdict"]].round(2)
             status  config.kl_weight  test/kl    verdict
        0  finished               1.0     1.71  collapsed
        1  finished               2.0     1.56  collapsed
        >>> logged = vl.load_runs("tests/runs/of_0_3", curves=True)
        >>> kl = logged[logged["name"] == "train/kl"]
        >>> kl.groupby(["config.kl_weight", "epoch"])["value"].mean().round(2).to_dict()
        {(1.0, 0): 0.68, (1.0, 1): 1.62, (2.0, 0): 0.7, (2.0, 1): 1.66}
    """
    _pandas()  # its lack is told before anything is read
    folders = [Path(each) for each in ([folder] if isinstance(folder, str | os.PathLike) else folder)]
    found = find_runs(folders)
    if not found.runs:
        raise _no_runs(folders, found)
    configs = [_config(run) for run in found.runs]
    return _curves(found.runs, configs) if curves else _table(found.runs, configs)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        reason = f"pandas: cannot be imported ({error}); pip install pandas"
        raise UserError(reason, Code.UNAVAILABLE, ["pandas"]) from error
    return pandas


def _no_runs(folders: Sequence[Path], found: Found) -> UserError:
    places = ", ".join(map(str, folders)) or "no folder is named"
    foreign = f" ({len(found.foreign)} with a config or results that are no run's)" if found.foreign else ""
    return UserError(f"{places}: no run in it or below it{foreign}; name {VALID}", Code.NOT_FOUND, folders)


def _config(run: FoundRun) -> Flat:
    """Return a run's whole config, flat. What a finished one was trained with its results know best."""
    saved = run.config
    if run.results:
        with suppress(OSError, ValueError, UserError):  # without it there is still what the results know
            saved = directory.read_config(run.directory)
    chosen = {key: run.results[key] for key in (KL_WEIGHT, "latent_dim", SEED) if key in run.results}
    return {**dict(_leaves(upgraded(saved) if saved else {})), **chosen, **(run.results.settings or {})}


def _leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _table(runs: Sequence[FoundRun], configs: Sequence[Flat]) -> "pandas.DataFrame":
    about = [{"run": run.name, "status": run.status.value, "directory": str(run.directory)} for run in runs]
    named = [{f"config.{key}": value for key, value in config.items()} for config in configs]
    results = [_results(run) for run in runs]
    columns = dict.fromkeys([*about[0], *itertools.chain(*named, *results), *(column.name for column in STORED)])
    rows = [{**config, **found, **run} for config, found, run in zip(named, results, about, strict=True)]
    frame = _pandas().DataFrame(rows, columns=list(columns))
    numbers = [column.name for column in STORED if column.type in {float, int}]
    frame[numbers] = frame[numbers].apply(_pandas().to_numeric)  # also where no run has one
    return frame


def _results(run: FoundRun) -> Flat:
    found = {key: value for key, value in run.results.items() if key not in {RUN, SETTINGS}}
    return found | {column.name: column.value(run.results) for column in STORED if column.name in found}


def _curves(runs: Sequence[FoundRun], configs: Sequence[Flat]) -> "pandas.DataFrame":
    from vae_lightning.runs.curves import FILE_NAME  # brings torch along

    rows: list[tuple[Any, ...]] = []
    for number, run in enumerate(runs):
        rows += [(number, *logged) for logged in _logged(run.directory / FILE_NAME)]
    frame, differing = _pandas().DataFrame, _differing(configs)
    logged = frame(rows, columns=["number", "epoch", "step", "name", "value"]).astype({"value": float})
    who = frame([(run.name, str(run.directory)) for run in runs], columns=["run", "directory"])
    chosen = frame([{f"config.{key}": config.get(key) for key in differing} for config in configs])
    who, chosen = (each.iloc[logged["number"]].reset_index(drop=True) for each in (who, chosen))
    return _pandas().concat([who, logged.drop(columns="number"), chosen], axis=1)


def _differing(configs: Sequence[Flat]) -> list[str]:
    """Return KL weight, seed, and the other keys whose values differ, None where there is none; not what follows."""
    keys = dict.fromkeys(key for key in itertools.chain(*configs) if not key.startswith("run."))
    differ = (key for key in keys if any(config.get(key) != configs[0].get(key) for config in configs))
    return list(dict.fromkeys([KL_WEIGHT, SEED, *differ]))


def _logged(path: Path) -> list[Logged]:
    """Return what can be read of a run's curves, in order; an unfinished last line is left out, and no fault."""
    rows: list[Logged] = []
    lines, faults = [], []
    try:
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    except OSError as error:
        faults.append(str(error.strerror or error))
    for count, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            at = [content.pop(key) for key in ("epoch", "step")]
            epoch, step = (None if number is None else int(number) for number in at)
            rows += [(epoch, step, *each) for name in content for each in _elements(name, content[name])]
        except UNREADABLE:
            faults.append(f"line {count}")
    if faults:
        some = ", ".join(faults[:3]) + (", …" if faults[3:] else "")
        warnings.warn(f"{path}: cannot be read, and is left out: {some}", stacklevel=4)  # where load_runs is called
    return rows


def _elements(name: str, value: Any) -> Iterator[tuple[str, float | None]]:
    if isinstance(value, list):
        for number, element in enumerate(value):
            yield from _elements(f"{name}/{number}", element)
    else:
        yield name, None if value is None else float(value)
