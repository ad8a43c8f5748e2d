"""What a job tells the sweeper that asked for it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobStatus

from vae_lightning.errors import UserError
from vae_lightning.sweeps.jobs import Job, Standing, values_of_all
from vae_lightning.sweeps.plugins import OurLauncher
from vae_lightning.training import train

Config = dict[str, Any]


def test_an_optimiser_gets_the_last_value_on_images_held_out(tiny: Callable[..., Config], tmp_path: Path) -> None:
    config = tiny("data.validation_size=500", "trainer.max_epochs=2")
    results = train(config)
    [run] = (path.parent for path in Path(config["runs_dir"]).rglob("results.json"))
    config = {**config, "run": {"directory": str(run)}}
    done = Job(0, (), config, tmp_path / "0.log", Standing.DONE, results=results)
    same = Job(1, (), config, tmp_path / "1.log", Standing.SAME)
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    at_epochs = [line["val/elbo"] for line in lines if "val/elbo" in line]
    assert len(at_epochs) == 2
    assert at_epochs[1] != at_epochs[0]
    assert values_of_all([done, same], "val/elbo") == [at_epochs[1]] * 2
    assert values_of_all([done, same], None) == [results, results]


def test_a_failed_job_is_for_an_optimiser_to_count(tmp_path: Path) -> None:
    failed = Job(0, ("seed=1",), {}, tmp_path / "0.log", Standing.FAILED, reason="its own mistake")
    launcher = OurLauncher(returns="val/elbo")
    [returned] = launcher.returns([failed])
    assert returned.status is JobStatus.FAILED
    with pytest.raises(UserError, match="its own mistake"):
        returned.return_value  # noqa: B018 (it raises)
    with pytest.raises(UserError, match="its own mistake"):
        OurLauncher(returns=None).returns([failed])
