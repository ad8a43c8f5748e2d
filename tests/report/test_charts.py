"""Runs in order: panels of one forecast, series of one way to train, the seeds at each weight."""

import io
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fixtures import CRITICAL, grid, results
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D

from vae_lightning.report.charts import (
    Draw,
    chart,
    draw_elbo,
    draw_kl,
    draw_rate_distortion,
    draw_units,
    phase_diagram,
)
from vae_lightning.report.frame import charted, critical_weights
from vae_lightning.report.page_charts import charts
from vae_lightning.runs.results import ACTIVE_DIRECTIONS, ACTIVE_UNITS, ELBO, FORECAST_UNITS, KL_WEIGHT, Results
from vae_lightning.runs.status import find_runs


def panels(results: list[Results]) -> list[pd.DataFrame]:
    return [panel for _, panel in charted(results).groupby("panel", sort=False)]


def titles(results: list[Results]) -> list[str]:
    return list(charted(results)["panel"].unique())


def test_seeds_become_points_and_schedules_lines(tmp_path: Path) -> None:
    grid(tmp_path)
    [panel] = panels([run.results for run in find_runs([tmp_path]).runs])
    assert set(panel["panel"]) == {"mnist, gaussian, latent 2"}
    assert critical_weights(panel) == CRITICAL
    assert list(panel["series"].unique()) == ["constant", "cyclical_linear"]
    for _, series in panel.groupby("series"):
        assert list(series[KL_WEIGHT]) == [1, 1, 5, 5, 20, 20]
        assert list(series[ELBO]) == [-101.25, -102.25, -105.25, -106.25, -120.25, -121.25]


def changed(found: Results, **settings: Any) -> Results:
    """Return results of a run with other settings, as a version without recorded facts would have left them."""
    content = {key: value for key, value in found.items() if not key.startswith("facts/")}
    other = {key.replace("__", "."): value for key, value in settings.items()}
    return Results.read({**content, "settings": {**found["settings"], **other}})


def test_each_seed_may_forecast_from_its_own_training_images() -> None:
    of_seeds = [results("a", 1.0, seed=seed, **{"forecast/critical_weights": [10.0 + seed, 4.0]}) for seed in (0, 1)]
    [panel] = panels([changed(found, data__validation_size=9) for found in of_seeds])
    assert panel[["series", KL_WEIGHT]].drop_duplicates().shape[0] == 1
    assert len(panel) == 2


def test_what_is_not_the_same_has_not_the_same_name() -> None:
    plain = results("a", 1.0)
    other_likelihood = changed(plain, likelihood__mean="identity")
    assert titles([changed(plain, likelihood__mean="sigmoid"), other_likelihood]) == [
        "mnist, gaussian, latent 2, likelihood.mean=sigmoid",
        "mnist, gaussian, latent 2, likelihood.mean=identity",
    ]
    models = ((1, "a"), (2, "b"), (3, "b"))
    [panel] = panels([changed(plain, model__hidden=[size], model__name=name) for size, name in models])
    assert sorted(panel["series"].unique()) == [
        "constant a", "constant b model.hidden=[2]", "constant b model.hidden=[3]"
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


def lines_of(draw: Draw, panel: pd.DataFrame) -> dict[str, list[list[float]]]:
    lines = chart(draw, panel).axes[0].lines
    return {str(line.get_label()): line.get_xydata().tolist() for line in lines if line.get_label()[0] != "_"}


def counted(kl_weight: float, units: int, directions: int | None, seed: int = 0, **settings: Any) -> Results:
    """Return results with these counts; without directions as an earlier version left them."""
    found = changed(results("a", kl_weight, seed=seed, **{ACTIVE_UNITS: units}), **settings)
    return Results.read({**found, ACTIVE_DIRECTIONS: directions})


def directions_drawn(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_linestyle() == "--" and line.get_xdata().size]


def numbers_told(panel: pd.DataFrame) -> list[float]:
    """Return the numbers that the words of the chart of units say of its only series."""
    [svg] = [drawn["svg"] for drawn in charts(panel) if drawn["kind"] == "units"]
    [label] = re.findall('aria-label="([^"]+)"', svg)
    return [float(number) for number in re.findall(r"\d+\.?\d*", label.partition("constant: ")[2])]


@pytest.mark.renders
def test_directions_are_a_line_beside_that_of_units() -> None:
    [panel] = panels([counted(1.0, 2, 1), counted(1.0, 2, 2, seed=1), counted(5.0, 2, 1), counted(20.0, 0, 0)])
    axes = chart(draw_units, panel).axes[0]
    [directions] = directions_drawn(axes)
    assert directions.get_xydata().tolist() == [[1, 1.5], [5, 1], [20, 0]]
    [units] = [line for line in axes.lines if line.get_color() == directions.get_color() and line != directions]
    assert units.get_xydata().tolist() == [[1, 2], [5, 2], [20, 0]]
    assert (units.get_linestyle(), units.get_fillstyle(), directions.get_fillstyle()) == ("-", "full", "none")
    assert units.get_markersize() < directions.get_markersize()  # a ring, where both coincide
    assert numbers_told(panel) == [1, 2, 1.5, 1, 2, 5, 2, 1, 20, 0, 0]


@pytest.mark.renders
def test_runs_of_an_earlier_version_have_units_only() -> None:
    old = [counted(1.0, 2, None), counted(5.0, 1, None)]
    [panel] = panels(old)
    assert directions_drawn(chart(draw_units, panel).axes[0]) == []
    drawn = lines_of(draw_units, panel)
    assert drawn.keys() == {"constant", "forecast"}
    assert drawn["constant"] == [[1, 2], [5, 1]]
    assert numbers_told(panel) == [1, 2, 5, 1]
    [mixed] = panels([*old, counted(20.0, 1, 0)])
    assert [line.get_xydata().tolist() for line in directions_drawn(chart(draw_units, mixed).axes[0])] == [[[20, 0]]]
    assert numbers_told(mixed) == [1, 2, 5, 1, 20, 1, 0]


@pytest.mark.renders
def test_long_legends_leave_the_axes_their_height() -> None:
    names = [f"a model of which the name is as long as this one, number {number}" for number in range(8)]
    runs = charted([counted(weight, 1, 1, model__name=name) for weight in (1.0, 5.0) for name in names])
    figure = phase_diagram(runs)
    assert figure is not None
    figure.draw_without_rendering()
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == len(names) + 3  # the forecast, units and directions
    for axes in figure.axes:
        assert axes.get_position().height * figure.get_figheight() > 2


def test_bounds_of_other_numbers_of_codes_are_other_lines() -> None:
    thorough = results("b", 1.0, seed=1, **{"test/log_px": -50.0, "test/log_px_samples": 5000})
    [panel] = panels([results("a", 1.0), thorough, results("c", 5.0)])
    assert lines_of(draw_elbo, panel) == {
        "constant (1 to 2 seeds), ELBO": [[1, -101.75], [5, -105.25]],
        "constant, L10": [[1, -100.5], [5, -104.5]],
        "constant, L5000": [[1, -50.0]],
    }


def test_the_plane_of_rates_has_the_means_and_lines_of_equal_elbo(tmp_path: Path) -> None:
    grid(tmp_path)
    [panel] = panels([run.results for run in find_runs([tmp_path]).runs])
    axes = chart(draw_rate_distortion, panel).axes[0]
    assert lines_of(draw_rate_distortion, panel)["constant"] == [[4.5, 96.75], [0.9, 100.75], [0.225, 115.75]]
    thin = [line.get_xydata().sum(axis=1) for line in axes.lines if line.get_label()[0] == "_"]
    assert len(thin) > 5
    for totals in thin:
        assert totals == pytest.approx(totals[0])
    assert len({round(totals[0], 6) for totals in thin}) == len(thin)


def test_seeds_are_a_band_also_at_a_weight_of_its_own() -> None:
    alone = [results("a", 5.0, seed=seed, **{"test/active_units": units}) for seed, units in ((0, 1), (1, 2))]
    axes = chart(draw_units, panels(alone)[0]).axes[0]
    [upright] = [found for found in axes.collections if isinstance(found, LineCollection)]
    assert upright.get_segments()[0].tolist() == [[5, 1], [5, 2]]
    [band] = [found for found in axes.collections if isinstance(found, PolyCollection)]
    assert band.get_datalim(axes.transData).get_points()[:, 1].tolist() == [1, 2]


def test_what_has_no_place_over_the_kl_weight_is_not_drawn_there() -> None:
    own = changed(results("a", 1.0), beta_schedule__name="geco")
    free = results("b", 0.0)
    [panel] = panels([results("c", 1.0), results("d", 5.0), own, free])
    for draw in (draw_units, draw_kl, draw_elbo):
        drawn = lines_of(draw, panel)
        assert not [name for name in drawn if "geco" in name]
        assert all(point[0] > 0 for points in drawn.values() for point in points)
    assert lines_of(draw_rate_distortion, panel) == {
        "constant": [[9.0, 95.75], [4.5, 96.75], [0.9, 100.75]],
        "geco": [[4.5, 96.75]],
    }


def test_an_autoencoder_has_no_rate_and_no_bound() -> None:
    points = {"test/log_px": None, "test/log_px_samples": 0, "test/kl": 0.0}
    [panel] = panels([changed(results("a", 1.0, **points), posterior__name="point"), results("b", 1.0)])
    for draw in (draw_elbo, draw_kl, draw_rate_distortion):
        assert not [name for name in lines_of(draw, panel) if "point" in name]


def test_the_forecast_is_of_a_plain_vae() -> None:
    own = changed(results("a", 1.0), objective__name="free_bits")
    [panel] = panels([own, results("b", 5.0)])
    assert "forecast of a plain VAE" in lines_of(draw_units, panel)
    assert lines_of(draw_kl, panel)["linear forecast"] == [[5, 2]]
    assert (own.text(FORECAST_UNITS), results("b", 5.0).text(FORECAST_UNITS)) == ("2 if plain", "1")


def test_a_cross_entropy_is_called_one() -> None:
    grey = changed(results("a", 1.0), likelihood__name="bernoulli")
    binary = changed(grey, data__binarize="dynamic")
    assert titles([grey, binary]) == [
        "mnist, bernoulli on grey pixels, latent 2",
        "mnist (dynamic binarisation), bernoulli, latent 2",
    ]


@pytest.mark.renders
def test_a_dollar_sign_in_a_name_is_one() -> None:
    [panel] = panels([changed(results("a", 1.0), model__act=act) for act in ("$x^$", "$y$")])
    page_chart = chart(draw_units, panel)
    page_chart.savefig(io.StringIO(), format="svg")


def test_a_phase_diagram_needs_two_weights() -> None:
    assert phase_diagram(charted([results("a", 1.0)])) is None
    assert phase_diagram(charted([results("a", 0.0), results("b", 1.0)])) is None
    assert phase_diagram(charted([])) is None
