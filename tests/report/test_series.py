"""Runs in order: panels of one forecast, series of one way to train, the seeds at each weight."""

from pathlib import Path
from typing import Any

import pytest
from fixtures import CRITICAL, grid, results

from vae_lightning.report.charts import chart, draw_kl, draw_units, phase_diagram
from vae_lightning.report.series import panels
from vae_lightning.runs.state import find_runs


def test_seeds_become_points_and_schedules_lines(tmp_path: Path) -> None:
    grid(tmp_path)
    [panel] = panels([run.results for run in find_runs([tmp_path]).runs])
    assert panel.title == "mnist, gaussian, latent 2"
    assert panel.critical_weights == CRITICAL
    assert [series.name for series in panel.series] == ["constant", "cyclical_linear"]
    for series in panel.series:
        assert [point.kl_weight for point in series.points] == [1, 5, 20]
        assert [point.values("test/elbo") for point in series.points] == [
            [-101.25, -102.25], [-105.25, -106.25], [-120.25, -121.25]
        ]  # fmt: skip


def changed(found: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {**found, "settings": {**found["settings"], **{key.replace("__", "."): v for key, v in settings.items()}}}


def test_each_seed_may_forecast_from_its_own_training_images() -> None:
    of_seeds = [results("a", 1.0, seed=seed, **{"forecast/critical_weights": [10.0 + seed, 4.0]}) for seed in (0, 1)]
    [panel] = panels([changed(found, data__validation_size=9) for found in of_seeds])
    assert len(panel.series[0].points[0].runs) == 2


def test_what_is_not_the_same_has_not_the_same_name() -> None:
    plain = results("a", 1.0)
    other_likelihood = changed(plain, likelihood__mean="identity")
    assert [panel.title for panel in panels([changed(plain, likelihood__mean="sigmoid"), other_likelihood])] == [
        "mnist, gaussian, latent 2, likelihood.mean=sigmoid",
        "mnist, gaussian, latent 2, likelihood.mean=identity",
    ]
    models = ((1, "a"), (2, "b"), (3, "b"))
    [panel] = panels([changed(plain, model__hidden=[size], model__name=name) for size, name in models])
    assert sorted(series.name for series in panel.series) == [
        "constant a", "constant b, model.hidden=[2]", "constant b, model.hidden=[3]"
    ]  # fmt: skip


def test_the_charts_draw_the_numbers(tmp_path: Path) -> None:
    grid(tmp_path)
    [panel] = panels([run.results for run in find_runs([tmp_path]).runs])
    lines = {line.get_label(): line for line in chart(draw_units, panel).axes[0].lines}
    assert lines["constant (2 seeds)"].get_xydata().tolist() == [[1, 2], [5, 1], [20, 0]]
    weights, units = lines["forecast"].get_data()
    assert units.tolist() == [sum(weight < critical for critical in CRITICAL) for weight in weights.tolist()]
    drawn = {line.get_label(): line for line in chart(draw_kl, panel).axes[0].lines}
    assert drawn["cyclical_linear (2 seeds)"].get_ydata().tolist() == pytest.approx([4.5, 0.9, 0.225])
    assert drawn["linear forecast"].get_xydata().tolist() == [[1, 2], [5, 2], [20, 2]]


def test_a_phase_diagram_needs_two_weights() -> None:
    assert phase_diagram(panels([results("a", 1.0)])) is None
    assert phase_diagram(panels([results("a", 0.0), results("b", 1.0)])) is None
    assert phase_diagram([]) is None
