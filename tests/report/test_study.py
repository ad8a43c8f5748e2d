"""Tables, means, differences and published numbers of a study, against what can be computed by hand or by scipy."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures import results
from scipy import stats

from vae_lightning.errors import Code, UserError
from vae_lightning.report.papers import NOT, NOT_RUN, ONE_SEED, REPRODUCED, compared
from vae_lightning.report.seeds import OverSeeds, difference, over_seeds
from vae_lightning.report.study import Study, chosen
from vae_lightning.report.study_page import page_text
from vae_lightning.report.study_tables import write_tables
from vae_lightning.report.words import Words
from vae_lightning.runs.status import FoundRun, RunStatus


def test_a_mean_has_the_standard_error_and_the_interval_of_student() -> None:
    values = [1.0, 2.0, 4.0]
    found = over_seeds(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.value, found.error, found.degrees) == pytest.approx((7 / 3, stats.sem(values), 2))
    assert (found.value - found.reach, found.value + found.reach) == pytest.approx((low, high))


def test_a_difference_has_the_interval_of_welch() -> None:
    one, other = [1.0, 2.0, 4.0], [10.0, 10.5, 11.0, 12.0]
    found = difference(over_seeds(one), over_seeds(other))
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert (found.value - found.reach, found.value + found.reach) == pytest.approx((expected.low, expected.high))


def test_of_one_run_alone_nothing_differs() -> None:
    alone = over_seeds([1.0])
    assert math.isnan(alone.error)
    assert alone.reach == math.inf
    assert difference(alone, over_seeds([5.0, 5.0])).reach == math.inf


def test_a_number_that_is_known_has_no_scatter() -> None:
    assert difference(over_seeds([1.0, 1.0]), OverSeeds(0.0, 0.0, math.inf)).reach == 0


def found_run(folder: Path, name: str, weight: float, seed: int, **values: float) -> FoundRun:
    directory = folder / name
    directory.mkdir(parents=True)
    loss = [{"epoch": epoch, "step": epoch, "train/loss": 10.0 * epoch + seed} for epoch in (0, 1)]
    loss += [{"epoch": 1, "step": 1, "test/kl": 3.0}]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in loss))
    return FoundRun(directory, RunStatus.FINISHED, {}, results(name, weight, seed, **values))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    runs = [found_run(tmp_path / "runs", f"run{w}{s}", float(w), s) for w in (1, 5) for s in (0, 1, 2)]
    folder = tmp_path / "notebook" / "quick"
    folder.mkdir(parents=True)
    write_tables(folder, runs, ["train/loss"])
    return Study.read(folder)


def test_the_table_has_what_differs_and_what_was_found(study: Study) -> None:
    row = study.runs("kl_weight=5 seed=2").iloc[0]
    assert row["test/elbo"] == -107.25
    assert row["plain_loss"] == pytest.approx(100.75 + 5 * 0.9)
    assert row["own_loss"] == 12.0
    assert row["onset"] == 10.0
    assert row["model.name"] == "mlp"
    assert "data.binarize" not in study.frame  # in which no two runs differ


def test_curves_are_kept_for_each_epoch_with_the_settings(study: Study) -> None:
    kept = study.curves[(study.curves["kl_weight"] == 5) & (study.curves["seed"] == 1)]
    assert kept["train/loss"].tolist() == [1.0, 11.0]


def test_conditions_choose_runs(study: Study) -> None:
    assert len(study.runs("seed=0|2")) == 4
    with pytest.raises(UserError) as fault:
        chosen(study.frame, "nonsense=1")
    assert fault.value.code is Code.UNKNOWN_KEY
    with pytest.raises(UserError) as fault:
        chosen(study.frame, "seed=7")
    assert fault.value.code is Code.NOT_FOUND


def test_a_claim_that_the_runs_do_not_bear_is_an_error(study: Study) -> None:
    words = Words(study)
    assert words.mean("test/elbo", "kl_weight=1") == "-102.25 ± 0.58"
    assert words.above("test/distortion", "kl_weight=5", "kl_weight=1") == "4.00"
    assert words.below("test/elbo", "kl_weight=5", "kl_weight=1") == "4.00 ± 0.82"
    assert words.alike("own_loss", "kl_weight=5", "kl_weight=1") == "0.00 ± 0.82"
    assert words.equal("test/elbo", -101, "kl_weight=1") == "-102.25 ± 0.58"
    for claim in (lambda: words.above("test/elbo", "kl_weight=5", "kl_weight=1"),
                  lambda: words.above("own_loss", "kl_weight=5", "kl_weight=1"),
                  lambda: words.above("test/elbo", "kl_weight=1 seed=0", "kl_weight=5 seed=0"),
                  lambda: words.alike("test/distortion", "kl_weight=5", "kl_weight=1")):  # fmt: skip
        with pytest.raises(UserError) as fault:
            claim()
        assert fault.value.code is Code.NOT_SAME


def test_a_mean_never_mixes_two_settings(study: Study) -> None:
    for mixed in (lambda: Words(study).mean("test/kl"), lambda: Words(study).table("test/kl", "model.name")):
        with pytest.raises(UserError) as fault:
            mixed()
        assert fault.value.code is Code.INVALID
        assert "kl_weight" in fault.value.about


def test_tables_have_a_row_for_each_group(study: Study) -> None:
    lines = Words(study).table("test/kl verdict", "kl_weight").splitlines()
    assert len(lines) == 4
    assert lines[2] == "| 1 | 4.50 | 3 healthy |"


def test_a_page_needs_its_sections(study: Study) -> None:
    (study.folder / "page.md").write_text("## Finding\n\nNone.\n")
    with pytest.raises(UserError) as fault:
        page_text(study)
    assert fault.value.code is Code.INVALID


def test_published_numbers_stand_beside_ours(study: Study) -> None:
    notebook = study.folder.parent
    lines = ["paper,place,quantity,study,runs,column,sign,published,error,rounding"]
    for runs, number, error in (
        ("kl_weight=1", "102.3", ""),
        ("kl_weight=1", "95.0", "0.1"),
        ("kl_weight=1 seed=0", "102", ""),
        ("kl_weight=9", "1", ""),
    ):
        lines.append(f"a2020,t,q,quick,{runs},test/elbo,-1,{number},{error},0.05")
    (notebook / "published.csv").write_text("\n".join(lines))
    rows = compared(notebook, "a2020")
    assert [row.verdict for row in rows] == [REPRODUCED, NOT, ONE_SEED, NOT_RUN]
    assert [row.seeds for row in rows] == [3, 3, 1, 0]
    assert rows[0].obtained == "102.2 ± 0.6"
    with pytest.raises(UserError) as fault:
        compared(notebook, "nobody1900")
    assert fault.value.code is Code.NOT_FOUND


def test_nothing_run_is_said(tmp_path: Path) -> None:
    assert "Not run so far" in page_text(Study.read(tmp_path / "quick"))
    assert isinstance(Study.read(tmp_path / "quick").frame, pd.DataFrame)
