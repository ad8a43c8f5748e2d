"""Runs of several processes: two CPU ranks over gloo, started by Lightning or torchrun, give what one process gives."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults_in_training import cut_power

from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.identity import identify
from vae_lightning.training import train

BIN = Path(sys.executable).parent
TINY = ["data=digits", "model=linear", "latent_dim=2", "trainer.max_epochs=1", "wandb.mode=disabled"]

ON_TWO_RANKS = {
    "free bits and the batch's own sigma": [
        "objective=free_bits", "objective.free_nats=0.3", "likelihood=gaussian_optimal"
    ],
}  # fmt: skip
MORE_ON_TWO_RANKS = {
    "elbo": [],
    "iwae": ["objective=iwae", "objective.n_samples=5"],
    # The normalisation takes the encoder's bias away again: its gradient is rounding, which a tiny eps would blow up.
    "a capacity, its KL from the samples, by feedback, and the batch's own means": [
        "objective=capacity", "estimator.kl=sampled", "beta_schedule=control_vae", "beta_schedule.minimum=0.1",
        "posterior=batch_norm", "optimizer.eps=0.001"
    ],
    "mmd, the encoder first": ["objective=mmd", "optimizer=aggressive", "optimizer.max_steps=5", "optimizer.window=2"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "choices",
    [
        *(pytest.param(choices, id=name) for name, choices in ON_TWO_RANKS.items()),
        *(pytest.param(choices, id=name, marks=pytest.mark.slow) for name, choices in MORE_ON_TWO_RANKS.items()),
    ],
)
def test_two_processes_give_the_curve_of_one(choices: list[str], tmp_path: Path) -> None:
    """Check that two CPU ranks share each global batch: one directory, the same curves and weights up to rounding.

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


@pytest.mark.slow
def test_a_batch_that_two_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    command = [BIN / "vae-train", *TINY, "data.batch_size=75", "trainer.strategy=ddp", "trainer.devices=2"]
    done = subprocess.run([*command, f"runs_dir={tmp_path}"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert done.stderr.count("data.batch_size=75:") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_torchrun_starts_the_ranks_too(tmp_path: Path) -> None:
    command = [BIN / "torchrun", "--standalone", "--nproc-per-node=2", BIN / "vae-train", *TINY]
    command += ["trainer.strategy=ddp", "trainer.devices=2", f"runs_dir={tmp_path}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    assert first.stdout.count("epoch   1/1") == 1  # one rank prints
    [results] = tmp_path.rglob("results.json")
    written = results.stat().st_mtime_ns
    subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    assert results.stat().st_mtime_ns == written  # finished, and not trained again
    assert [path.parent for path in tmp_path.rglob("metrics.jsonl")] == [results.parent]


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_devices(configure: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """Take one process, killed within an epoch; then two; then, to extend the run, one again."""
    choices = ["objective=iwae", "objective.n_samples=3", "save_every_n_steps=4"]
    choices += ["data=digits", "model=linear", "latent_dim=3", "trainer.log_every_n_steps=5"]
    config = configure(*choices, "trainer.max_epochs=2")
    folder = identify(config).directory
    cut_power(7, config)
    command = [BIN / "vae-train", *choices, "trainer.max_epochs=2"]
    command += ["wandb.mode=disabled", f"runs_dir={config['runs_dir']}"]
    two = subprocess.run(
        [*command, "trainer.strategy=ddp", "trainer.devices=2"],
        capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert f"4 from {folder}" in two.stdout
    longer = configure(*choices, "trainer.max_epochs=3", f"resume_from={folder}")
    train(longer)
    mixed = read_curves(identify(longer).directory)
    alone = configure(*choices, "trainer.max_epochs=3", f"runs_dir={tmp_path / 'alone'}")
    train(alone)
    for first, second in zip(read_curves(identify(alone).directory), mixed, strict=True):
        assert first.keys() == second.keys()
        for key in first:
            assert second[key] == pytest.approx(first[key], rel=1e-4, abs=1e-6), key
