"""What a job returns to the sweeper that asked for it."""

import json
from pathlib import Path

import pytest
from fakes import RESULTS_OF_A_RUN, job
from hydra.core.utils import JobStatus

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.jobs import Job, values_of_all
from vae_lightning.sweeps.planning import check_can_return
from vae_lightning.sweeps.plugins import OurLauncher


def test_an_optimiser_gets_the_last_value_on_images_held_out(tmp_path: Path) -> None:
    done = job(0, tmp_path, status=RunStatus.FINISHED, results=RESULTS_OF_A_RUN)
    same = job(0, tmp_path, same_as=0)
    assert done.directory is not None
    lines = [{"step": 1, "val/elbo": -9.0}, {"step": 2, "val/elbo": -5.0}, {"step": 3, "train/elbo": -1.0}]
    (done.directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert values_of_all([done, same], "val/elbo") == [-5.0] * 2
    assert values_of_all([done, same], None) == [RESULTS_OF_A_RUN] * 2


def test_a_value_of_images_held_out_needs_some(tmp_path: Path) -> None:
    some = job(0, tmp_path)
    check_can_return([some], None)
    with pytest.raises(UserError) as refused:
        check_can_return([some], "val/elbo")
    assert refused.value.about == ("hydra.launcher.returns", "data.validation_size")
    some.config = some.run.changed(data=some.run.data.model_copy(update={"validation_size": 500}))
    check_can_return([some], "val/elbo")


def test_a_failed_job_is_for_an_optimiser_to_count(tmp_path: Path) -> None:
    failed = Job(0, ("seed=1",), None, tmp_path / "0.log", RunStatus.FAILED, "its own mistake")
    [returned] = OurLauncher(returns="val/elbo").returns([failed])
    assert returned.status is JobStatus.FAILED
    for read in (lambda: returned.return_value, lambda: OurLauncher(returns=None).returns([failed])):
        with pytest.raises(UserError) as raised:
            read()
        assert (raised.value.code, raised.value.about) == (Code.FAILED, ("seed=1",))
