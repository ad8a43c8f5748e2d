"""Draws an evaluated run: curves, units, reconstructions, prior samples; for two latent units scatter and manifold."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from torch import Tensor

from vae_lightning.data import ImageDataModule
from vae_lightning.data.loader import as_floats
from vae_lightning.diagnostics import share_collapsed
from vae_lightning.diagnostics.active_units import DELTA, THRESHOLD
from vae_lightning.evaluation import Evaluated, Evaluator
from vae_lightning.plots import (
    aggregate_posterior,
    collapse_curve,
    curves,
    drawable,
    image_grid,
    latent_scatter,
    residuals,
    units,
)
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.directory import FIGURES, LATENT_PLANE

COLUMNS = 10
N_LIVELIEST = 8
"""Units that are traversed."""
N_DIRECTIONS = 40
DPI = 110
PLANE_SIDE = 21
"""Codes along each side of the latent plane that the report's explorer shows."""
PLANE_REACH = 3.0
"""Standard deviations of the prior between which they lie."""
PLANE_QUALITY = 40
CODES_AT_ONCE = 100


class RunFigures(Callback):
    """Writes ``<run>/figures/*.png`` after the test pass, and shows them in W&B. It measures nothing.

    A figure that cannot be drawn, as of values that are not finite, becomes a caveat of the results.
    """

    def __init__(self, run_directory: Path) -> None:
        self.run_directory = run_directory

    @torch.no_grad()
    def on_test_end(self, trainer: Trainer, pl_module: Evaluator) -> None:  # type: ignore[override]
        evaluated = pl_module.evaluated
        if not trainer.is_global_zero or evaluated is None:
            return
        (self.run_directory / FIGURES).mkdir(exist_ok=True)
        drawings: dict[str, Callable[[Evaluated], Figure | None]] = {
            "curves": self._curves,
            "reconstructions": self._reconstructions,
            "samples": self._samples,
            "latent_scatter": self._latent_scatter,
            "manifold": self._manifold,
            "units": self._units,
            "collapse_curve": self._collapse_curve,
            "residual_spectrum": self._residual_spectrum,
            "aggregate_posterior": self._aggregate_posterior,
            "traversals": self._traversals,
            LATENT_PLANE: self._write_latent_plane,
        }
        for name, draw in drawings.items():
            try:
                if figure := draw(evaluated):
                    self._save(name, figure, trainer)
            except OSError:  # a full disk ends the run
                raise
            except Exception as error:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                pl_module.results["caveats"].append(f"figures/{name}: cannot be drawn ({reason})")

    def _save(self, name: str, figure: Figure, trainer: Trainer) -> None:
        path = self.run_directory / FIGURES / f"{name}.png"
        # The smallest file would take as long as the drawing.
        figure.savefig(path, dpi=DPI, pil_kwargs={"compress_level": 1})
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):  # ours, or one that a user added
                logger.log_image(f"figures/{name}", [str(path)])

    def _curves(self, evaluated: Evaluated) -> Figure:
        return curves(read_curves(self.run_directory), evaluated.data.curve_split)

    def _reconstructions(self, evaluated: Evaluated) -> Figure:
        test = evaluated.data.splits["test"]
        images = as_floats(test.pixels)[one_row_per_class(test.labels)]
        pairs = torch.stack([images, evaluated.model(images)], dim=1)
        rows = pairs.unflatten(0, (-1, COLUMNS)).transpose(1, 2).flatten(0, 2)
        title = "test images above, their reconstructions below"
        return image_grid(rows.cpu(), COLUMNS, title, value_range(evaluated.data))

    def _samples(self, evaluated: Evaluated) -> Figure:
        title = "decoder means of codes drawn from the prior"
        return image_grid(evaluated.prior_images, COLUMNS, title, value_range(evaluated.data))

    def _latent_scatter(self, evaluated: Evaluated) -> Figure | None:
        labels = evaluated.labels.cpu()
        return latent_scatter(evaluated.means.float().cpu(), labels) if evaluated.model.latent_dim == 2 else None

    def _manifold(self, evaluated: Evaluated) -> Figure | None:
        images = evaluated.manifold_images
        if images is None:
            return None
        title = "decoder means on a grid of equal prior mass"
        return image_grid(images, int(len(images) ** 0.5), title, value_range(evaluated.data))

    def _units(self, evaluated: Evaluated) -> Figure | None:
        """Draw what became of each unit; of a point there is no KL to draw."""
        if not evaluated.has_density:
            return None
        kl = evaluated.kl_per_unit.float().mean(0).cpu()
        forecast, weight = evaluated.data_forecast, _judged_weight(evaluated)
        forecast_kl = forecast.kl_per_unit(weight) if forecast and weight else None
        key = f"{evaluated.data.curve_split}/kl_per_unit"
        history = [line[key] for line in read_curves(self.run_directory) if key in line]
        # A value that was not finite lies there as null.
        kl_by_epoch = torch.tensor([[0.0 if value is None else value for value in epoch] for epoch in history])
        return units(kl, _variances(evaluated), kl_by_epoch.reshape(-1, len(kl)), forecast_kl, THRESHOLD)

    def _collapse_curve(self, evaluated: Evaluated) -> Figure | None:
        if not _thorough(evaluated):
            return None
        kl = evaluated.kl_per_unit.cpu()
        epsilons = torch.logspace(-4, math.log10(max(1.0, float(kl.max()))), 400).double()
        return collapse_curve(epsilons.float(), share_collapsed(kl, epsilons).float(), DELTA)

    def _residual_spectrum(self, evaluated: Evaluated) -> Figure | None:
        if not _thorough(evaluated) or evaluated.residual is None:
            return None
        shown = evaluated.residual.eigenvalues[:N_DIRECTIONS].float().cpu()
        forecast = evaluated.data_forecast
        critical = forecast.critical_weights[: len(shown)].float().cpu() if forecast else None
        return residuals(shown, critical, _judged_weight(evaluated))

    def _aggregate_posterior(self, evaluated: Evaluated) -> Figure | None:
        if not _thorough(evaluated):
            return None
        liveliest = _liveliest(evaluated)
        return aggregate_posterior(evaluated.codes[:, liveliest].float().cpu(), liveliest)

    def _traversals(self, evaluated: Evaluated) -> Figure | None:
        if not _thorough(evaluated):
            return None
        liveliest, model = _liveliest(evaluated), evaluated.model
        steps = torch.linspace(-3, 3, COLUMNS + 1, device=model.device)
        codes = evaluated.means[:1].float().expand(len(liveliest), len(steps), -1).clone()
        for row, unit in enumerate(liveliest):
            codes[row, :, unit] = steps
        images = model.decode(codes.flatten(0, 1)).cpu()
        title = f"units {', '.join(map(str, liveliest))} from -3 to 3, the others as for the first test image"
        return image_grid(images, len(steps), title, value_range(evaluated.data))

    def _write_latent_plane(self, evaluated: Evaluated) -> None:
        """Write what the decoder makes of a grid over the latent plane, image beside image: z_1 to the right, z_2
        upwards."""
        from torchvision.transforms.functional import to_pil_image
        from torchvision.utils import make_grid

        model, data = evaluated.model, evaluated.data
        if model.latent_dim != 2 or min(data.image_shape[1:]) == 1:  # a row of numbers is no picture
            return
        along = torch.linspace(-PLANE_REACH, PLANE_REACH, PLANE_SIDE, device=model.device)
        codes = torch.cartesian_prod(along.flip(0), along).flip(1)
        images = torch.cat([model.decode(piece).cpu() for piece in codes.split(CODES_AT_ONCE)])
        low, high = value_range(data)
        shown = drawable((images - low) / ((high - low) or 1)).clamp(0, 1)
        picture = to_pil_image(make_grid(shown, nrow=PLANE_SIDE, padding=0))
        # As small as it may be: a page holds those of many runs.
        picture.save(self.run_directory / FIGURES / LATENT_PLANE, quality=PLANE_QUALITY, method=4)


def value_range(data: ImageDataModule) -> tuple[float, float]:
    """Return what is black and what is white."""
    pixels = data.splits["test"].pixels
    return (float(pixels.min()), float(pixels.max())) if pixels.is_floating_point() else (0.0, 1.0)


def _thorough(evaluated: Evaluated) -> bool:
    """Say whether there is more to draw: a thorough evaluation of a posterior with a density."""
    return evaluated.effort.thorough and evaluated.has_density


def _judged_weight(evaluated: Evaluated) -> float | None:
    """Return the KL weight that units are judged by, None where they are not."""
    return None if evaluated.why_no_verdict else evaluated.price


def _variances(evaluated: Evaluated) -> Tensor:
    return evaluated.means.float().var(0, correction=0).cpu()


def _liveliest(evaluated: Evaluated) -> list[int]:
    """Return the units whose posterior means vary most, the most varying first."""
    order: list[int] = _variances(evaluated).argsort(descending=True)[:N_LIVELIEST].tolist()
    return order


def one_row_per_class(labels: Tensor) -> Tensor:
    """Return 30 row indices, in columns by class: the first three images of each of ten classes where there are."""
    first = [torch.nonzero(labels == kind).flatten()[:3] for kind in range(COLUMNS)]
    if any(len(rows) < 3 for rows in first):
        return torch.arange(min(3 * COLUMNS, len(labels) // COLUMNS * COLUMNS))
    return torch.stack(first, dim=1).flatten()
