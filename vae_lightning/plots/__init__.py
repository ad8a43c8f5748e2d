"""Pictures: arrays in, matplotlib figures out. No global plotting state, no files."""

from vae_lightning.plots.comparison import bars_with_errors, forecast_steps, lines_with_errors, panels
from vae_lightning.plots.curves import curves, forecast_curves
from vae_lightning.plots.evaluation import aggregate_posterior, collapse_curve, diagnosis, residuals, units
from vae_lightning.plots.images import drawable, image_grid, inverse_normal_grid, latent_scatter

__all__ = [
    "aggregate_posterior",
    "bars_with_errors",
    "collapse_curve",
    "curves",
    "diagnosis",
    "drawable",
    "forecast_curves",
    "forecast_steps",
    "image_grid",
    "inverse_normal_grid",
    "latent_scatter",
    "lines_with_errors",
    "panels",
    "residuals",
    "units",
]
