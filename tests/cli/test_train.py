"""The door of vae-train: what it answers at once, what it refuses, and real processes end to end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.core.global_hydra import GlobalHydra

from vae_lightning.callbacks import UnitMonitor
from vae_lightning.cli.train import main
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.identity import identify
from vae_lightning.training import train

BIN = Path(sys.executable).parent
HEAVY = {"torch", "lightning", "torchmetrics", "wandb", "matplotlib", "sklearn", "numpy", "pydantic"}
TINY = ["data=digits", "model=linear", "latent_dim=2", "trainer.max_epochs=1", "wandb.mode=disabled"]


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call vae-train in this process with arguments it must refuse; return what it wrote for the person."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("VAE_LIGHTNING_TRACE", "0")
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "data"))

    def refused(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["vae-train", *arguments])
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 1
        assert not (tmp_path / "runs").is_dir() or not list((tmp_path / "runs").glob("*/*/results.json"))
        return capsys.readouterr().err

    return refused


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["kl_wieght=1"], ["kl_wieght: not a known key; did you mean kl_weight? valid: ", "latent_dim"]),
        (["trainer.max_epoch=1"], ["trainer.max_epoch: not a known key; did you mean max_epochs?"]),
        (["likelihood=bernoulli", "likelihood.variance=1"], ["likelihood.variance: not a known key; valid: _target_"]),
        (["model.encodr.hidden_sizes=[1]"], ["model.encodr.hidden_sizes: not a known key; did you mean encoder?"]),
        (["modle=conv"], ["modle: not a known key; did you mean model?"]),
        (["model=transformer"], ["Could not find 'model/transformer'", "conv", "linear", "mlp"]),
        (["experiment=sede"], ["Could not find 'experiment/sede'", "kl_weight", "quick", "seed"]),
        (["latent_dim=0"], ["latent_dim=0: input should be greater than or equal to 1"]),
        (["kl_weight=-1"], ["kl_weight=-1: input should be greater than or equal to 0"]),
        (["kl_weight=heavy"], ["kl_weight=heavy: input should be a valid number"]),
        (["kl_weight=[1"], ["kl_weight=[1: cannot be read"]),
        (["data=digits", "data.batch_size=7"], ["data.batch_size=7: must divide the 1500 training images; 6 and 10"]),
        (["data=digits", "optimizer.lr=-1"], ["optimizer:", "-1"]),
        (["data=digits", "trainer.accelerator=mps"], ["trainer.accelerator=mps: input should be 'cpu' or 'cuda'"]),
        (["seed.x.y=1"], ["seed.x.y: not a known key"]),
        (
            ["-m", "data=digits", "trainer.devices=2", "hydra/launcher=serial"],
            ["trainer.devices=2: the jobs of a serial sweep take one device"],
        ),
        (["-m", "data=digits", "hydra.launcher.slots=2"], ["hydra.launcher.slots: not a known key"]),
        (
            ["-m", "data=digits", "hydra.launcher.retries=-1"],
            ["hydra.launcher.retries=-1: input should be greater than or equal to 0"],
        ),
        (
            ["-m", "data=digits", "hydra.launcher.n_slots=1000", "hydra.launcher.threads=1"],
            ["hydra.launcher.n_slots=1000, hydra.launcher.threads=1: 1000 threads are more than the"],
        ),
        (
            ["-m", "data=digits", "hydra/launcher=pol"],
            ["Could not find 'hydra/launcher/pol'", "pool", "serial", "slurm"],
        ),
        (["data=digits", "runs_dir=/dev/null/runs"], ["runs_dir=/dev/null/runs: cannot write"]),
        (["data_dir=/dev/null/data"], ["data_dir=/dev/null/data: cannot write"]),
    ],
    ids=lambda value: " ".join(value) if value and "=" in value[0] else "",
)
def test_bad_input_is_refused_in_a_few_lines(arguments: list[str], told: list[str], door: Callable[..., str]) -> None:
    message = door(*arguments)
    for part in told:
        assert part in message
    assert "Traceback" not in message
    assert len(message.strip().splitlines()) <= 16
    assert "HYDRA_FULL_ERROR=1" in message


def test_missing_data_are_told_with_the_way_out(door: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    from vae_lightning.data import fetch

    def no_network(*_: object) -> dict[str, bytes]:
        raise OSError("no network")

    monkeypatch.setattr(fetch, "_download", no_network)
    monkeypatch.setattr(fetch, "fetch_wheel", no_network)
    message = door("kl_weight=2")
    assert "vae-train kl_weight=2 data=digits" in message
    assert "no network" in message


def test_a_trace_is_shown_when_asked_for(door: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    from vae_lightning.errors import UserError

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("VAE_LIGHTNING_TRACE", "1")
    monkeypatch.setattr("sys.argv", ["vae-train", "latent_dim=0"])
    GlobalHydra.instance().clear()
    with pytest.raises(UserError):
        main()


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["model=transformer"], ["kl_wieght=1"]])
def test_nothing_heavy_is_imported_before_work_starts(arguments: list[str]) -> None:
    program = f"""
import sys
sys.argv = ["vae-train", *{arguments}]
from vae_lightning.cli.train import main
try:
    main()
except SystemExit:
    pass
print("imported:", sorted({HEAVY} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported: []"


def test_help_names_the_groups_and_the_keys() -> None:
    shown = subprocess.run([BIN / "vae-train", "--help"], capture_output=True, text=True, check=True).stdout
    for part in ("model: conv, linear, mlp", "data: digits, fashion_mnist, linear_gaussian, mnist", "kl_weight: 1.0"):
        assert part in shown


@pytest.mark.parametrize(
    ("launcher", "skipped"), [([], "finished before"), (["hydra/launcher=serial"], "finished already")]
)
def test_a_sweep_ends_in_a_table_also_when_a_job_fails(launcher: list[str], skipped: str, tmp_path: Path) -> None:
    command = [BIN / "vae-train", "-m", *TINY, "kl_weight=0.1,-1,100", f"runs_dir={tmp_path}", *launcher]
    wide = {**os.environ, "COLUMNS": "140"}
    first = subprocess.run(command, capture_output=True, text=True, check=False, env=wide)
    assert first.returncode == 1
    told = "kl_weight=-1: input should be greater than or equal to 0"
    assert (first.stdout + first.stderr).count(told) == 2  # at once, and at the end
    assert ("1 of 3 jobs failed" if not launcher else "FAILED data=digits") in first.stderr
    assert "Traceback" not in first.stderr
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("results.json")]
    assert sorted(found["kl_weight"] for found in results) == [0.1, 100]
    table = first.stdout[first.stdout.index("test images, nats per image") :]
    for found in results:
        row = next(line for line in table.splitlines() if found["run"] in line)
        assert f"{found['test/elbo']:.2f}" in row
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert sum(skipped in line and "-w" in line for line in again.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("number", "sweep", "told"),
    [
        (signal.SIGINT, [], "SIGINT: all is saved; the same command (without rerun=true) goes on from there"),
        (signal.SIGTERM, ["-m", "kl_weight=1,2", "hydra/launcher=serial"], "SIGTERM: all is saved"),
    ],
)
def test_a_signal_ends_a_run_or_a_whole_sweep_and_says_how_to_go_on(
    number: signal.Signals, sweep: list[str], told: str, tmp_path: Path
) -> None:
    command = [BIN / "vae-train", *sweep, *TINY, "trainer.max_epochs=100000", f"runs_dir={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        process.send_signal(number)
        _, found = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert told in found
    assert "Traceback" not in found
    assert len(list(tmp_path.glob("default/*"))) == 1  # the next job of the sweep was not begun


ON_TWO_RANKS = {
    "elbo": [],
    "iwae": ["objective=iwae", "objective.n_samples=5"],
    "free bits and the batch's own sigma": [
        "objective=free_bits", "objective.free_nats=0.3", "likelihood=gaussian_optimal"
    ],
}  # fmt: skip
MORE_ON_TWO_RANKS = {
    # The normalisation takes the encoder's bias away again: its gradient is rounding, which a tiny eps would blow up.
    "a capacity, its KL from the samples, by feedback, and the batch's own means": [
        "objective=capacity", "estimator.kl=sampled", "beta_schedule=control_vae", "beta_schedule.minimum=0.1",
        "posterior=batch_norm", "optimizer.eps=0.001"
    ],
    "mmd, the encoder first": ["objective=mmd", "optimizer=aggressive", "optimizer.max_steps=5", "optimizer.window=2"],
}  # fmt: skip


@pytest.mark.parametrize(
    "choices",
    [
        *(pytest.param(choices, id=name) for name, choices in ON_TWO_RANKS.items()),
        *(pytest.param(choices, id=name, marks=pytest.mark.slow) for name, choices in MORE_ON_TWO_RANKS.items()),
    ],
)
def test_two_processes_give_the_curve_of_one(choices: list[str], tmp_path: Path) -> None:
    """Two CPU ranks over gloo share each global batch: one directory, the same curves and weights up to rounding.

    The chosen parts use statistics of the global batch, which the ranks know only together.
    """
    ranks = ["trainer.strategy=ddp", "trainer.devices=2"]
    for name, extra in (("one", []), ("two", ranks)):
        here = [*choices, "trainer.log_every_n_steps=5", f"runs_dir={tmp_path / name}", *extra]
        command = [BIN / "vae-train", *TINY, *here]
        subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    [one], [two] = ([path.parent for path in (tmp_path / name).rglob("results.json")] for name in ("one", "two"))
    assert one.name == two.name
    for first, second in zip(read_curves(one), read_curves(two), strict=True):
        assert first.keys() == second.keys()
        for key in first:
            assert second[key] == pytest.approx(first[key], rel=1e-4, abs=1e-6), key
    of_one, of_two = (json.loads((folder / "results.json").read_text()) for folder in (one, two))
    assert of_one.keys() == of_two.keys()
    for key in (key for key, value in of_one.items() if key.startswith(("test/", "verdict/", "forecast/"))):
        if isinstance(of_one[key], float | int | list):  # every diagnostic, whatever the number of ranks
            assert of_two[key] == pytest.approx(of_one[key], rel=1e-3, abs=1e-5), key
    [first], [second] = (list((folder / "checkpoints").glob("*.ckpt")) for folder in (one, two))
    expected, found = (torch.load(path, weights_only=True)["state_dict"] for path in (first, second))
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_a_batch_that_two_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    command = [BIN / "vae-train", *TINY, "data.batch_size=75", "trainer.strategy=ddp", "trainer.devices=2"]
    done = subprocess.run([*command, f"runs_dir={tmp_path}"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert done.stderr.count("data.batch_size=75: 2 devices cannot share it evenly; 74 or 76 would work") == 1
    assert "Traceback" not in done.stderr


def test_offline_wandb_keeps_the_run_beside_the_curves(tmp_path: Path) -> None:
    command = [BIN / "vae-train", *TINY, "wandb.mode=offline", f"runs_dir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    [run] = [path.parent for path in tmp_path.rglob("results.json")]
    [folder] = (run / "wandb").glob("offline-run-*")
    assert f"Look now: wandb leet {folder}  Upload later: wandb sync {folder}\n" in done.stdout
    assert list(folder.glob("*.wandb"))
    assert "WARNING" not in done.stderr


def test_the_run_section_is_shown_before_a_run_and_cannot_be_chosen(tmp_path: Path) -> None:
    command = [BIN / "vae-train", *TINY, f"runs_dir={tmp_path}"]
    shown = subprocess.run(
        [*command, "--cfg", "job", "--resolve", "-p", "run"], capture_output=True, text=True, check=True
    )
    here = yaml.safe_load(shown.stdout)
    assert here["directory"] == f"{tmp_path}/default/digits-linear-latent2-w1-seed0-{here['fingerprint']}"
    again = subprocess.run(
        [*command, "kl_weight=1e0", "--cfg", "job", "--resolve", "-p", "run"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout == shown.stdout
    refused = subprocess.run([*command, "run.directory=elsewhere"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "run" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(tmp_path.iterdir())


def test_torchrun_starts_the_ranks_too(tmp_path: Path) -> None:
    command = [BIN / "torchrun", "--standalone", "--nproc-per-node=2", BIN / "vae-train", *TINY]
    command += ["trainer.strategy=ddp", "trainer.devices=2", f"runs_dir={tmp_path}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    assert first.stdout.count("epoch   1/1") == 1
    [results] = tmp_path.rglob("results.json")
    again = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    assert again.stdout.count("finished already") == 1
    assert [path.parent for path in tmp_path.rglob("metrics.jsonl")] == [results.parent]


def test_a_run_goes_on_with_another_number_of_devices(
    tiny: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One process, killed within an epoch; then two; then, to extend the run, one again."""
    choices = ["objective=iwae", "objective.n_samples=3", "save_every_n_steps=4"]
    config = tiny(*choices)
    folder = identify(config).directory

    def power_cut(_: Any, trainer: Any, *__: Any) -> None:
        if trainer.global_step == 7:
            raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(UnitMonitor, "on_train_batch_end", power_cut, raising=False)
        with pytest.raises(ConnectionError):
            train(config)
    command = [BIN / "vae-train", "data=digits", "model=linear", "latent_dim=3", "trainer.max_epochs=2"]
    command += ["trainer.log_every_n_steps=5", *choices, "wandb.mode=disabled", f"runs_dir={config['runs_dir']}"]
    two = subprocess.run(
        [*command, "trainer.strategy=ddp", "trainer.devices=2"],
        capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert f"continuing after step 4 from {folder}" in two.stdout
    longer = tiny(*choices, "trainer.max_epochs=3", f"resume_from={folder}")
    train(longer)
    mixed = read_curves(identify(longer).directory)
    alone = tiny(*choices, "trainer.max_epochs=3", f"runs_dir={tmp_path / 'alone'}")
    train(alone)
    for first, second in zip(read_curves(identify(alone).directory), mixed, strict=True):
        assert first.keys() == second.keys()
        for key in first:
            assert second[key] == pytest.approx(first[key], rel=1e-4, abs=1e-6), key
