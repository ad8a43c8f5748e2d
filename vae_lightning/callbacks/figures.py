"""Draws an examined run: curves, units, reconstructions, prior samples; for two latent units scatter and manifold."""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from torch import Tensor

from vae_lightning.data import ImageDataModule
from vae_lightning.data.loader import as_floats
from vae_lightning.diagnostics import NearestNeighbourClassifier, share_collapsed
from vae_lightning.diagnostics.active_units import THRESHOLD
from vae_lightning.diagnostics.collapse_curve import DELTA
from vae_lightning.evaluation import Evaluator, Findings
from vae_lightning.module import VAE
from vae_lightning.plots import (
    aggregate_posterior,
    collapse_curve,
    curves,
    image_grid,
    inverse_normal_grid,
    latent_scatter,
    residuals,
    units,
)
from vae_lightning.randomness import Stream, generator_for
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.directory import FIGURES, LATENT_PLANE
from vae_lightning.theory import Forecast

N_SAMPLES = 100
N_JUDGED = 1000
"""Real images on which the nearest neighbours are judged."""
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
    """Writes ``<run>/figures/*.png`` after the test pass, and shows them in W&B."""

    def __init__(self, run_directory: Path, forecast: Forecast | None) -> None:
        self.run_directory = run_directory
        self.forecast = forecast
        self.kinds: dict[str, list[int] | float] = {}
        """Which classes the pictures show by nearest neighbours, and how often these are right on real images."""

    @torch.no_grad()
    def on_test_end(self, trainer: Trainer, pl_module: Evaluator) -> None:  # type: ignore[override]
        if not trainer.is_global_zero or pl_module.findings is None:
            return
        (self.run_directory / FIGURES).mkdir(exist_ok=True)
        figures = [*self._draw(pl_module.model, pl_module.data), *self._draw_findings(pl_module, pl_module.findings)]
        if pl_module.model.latent_dim == 2 and self._shows_images(pl_module.data):
            self._write_latent_plane(pl_module.model, pl_module.data)
        for name, figure in figures:
            path = self.run_directory / FIGURES / f"{name}.png"
            figure.savefig(path, dpi=DPI)
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):  # ours, or one that a user added
                    logger.log_image(f"figures/{name}", [str(path)])

    def _draw(self, model: VAE, data: ImageDataModule) -> Iterator[tuple[str, Figure]]:
        test = data.splits["test"]
        images = as_floats(test.pixels)
        value_range = self._value_range(data)

        yield "curves", curves(read_curves(self.run_directory), data.curve_split)

        shown = one_row_per_class(test.labels)
        pairs = torch.stack([images[shown], model(images[shown])], dim=1)
        rows = pairs.unflatten(0, (-1, COLUMNS)).transpose(1, 2).flatten(0, 2)
        yield (
            "reconstructions",
            image_grid(rows.cpu(), COLUMNS, "test images above, their reconstructions below", value_range),
        )

        generator = generator_for(model.seed, Stream.PRIOR_SAMPLES, device=model.device)
        codes = model.prior.sample((N_SAMPLES, model.latent_dim), generator)
        samples = self._decoded("samples", codes, model, data)
        yield (
            "samples",
            image_grid(samples, COLUMNS, "decoder means of codes drawn from the prior", value_range),
        )

        if model.latent_dim == 2:
            means = torch.cat([model.encode(batch).mean for batch in images.split(data.evaluation_batch_size)])
            yield "latent_scatter", latent_scatter(means.cpu(), test.labels.cpu())
            grid = inverse_normal_grid()
            manifold = self._decoded("manifold", grid.to(model.device), model, data)
            title = "decoder means on a grid of equal prior mass"
            yield "manifold", image_grid(manifold, int(len(grid) ** 0.5), title, value_range)

    def _write_latent_plane(self, model: VAE, data: ImageDataModule) -> None:
        """Write what the decoder makes of a grid over the latent plane, image beside image: z_1 to the right, z_2
        upwards."""
        from torchvision.transforms.functional import to_pil_image
        from torchvision.utils import make_grid

        along = torch.linspace(-PLANE_REACH, PLANE_REACH, PLANE_SIDE, device=model.device)
        codes = torch.cartesian_prod(along.flip(0), along).flip(1)
        images = torch.cat([model.decode(piece).cpu() for piece in codes.split(CODES_AT_ONCE)])
        low, high = self._value_range(data)
        shown = ((images - low) / (high - low)).clamp(0, 1)
        picture = to_pil_image(make_grid(shown, nrow=PLANE_SIDE, padding=0))
        # As small as it may be: a page holds those of many runs.
        picture.save(self.run_directory / FIGURES / LATENT_PLANE, quality=PLANE_QUALITY, method=4)

    @staticmethod
    def _shows_images(data: ImageDataModule) -> bool:
        """Say whether the vectors are pictures that one can look at."""
        return min(data.image_shape[1:]) > 1

    @staticmethod
    def _value_range(data: ImageDataModule) -> tuple[float, float]:
        """Return what is black and what is white."""
        pixels = data.splits["test"].pixels
        return (float(pixels.min()), float(pixels.max())) if pixels.is_floating_point() else (0.0, 1.0)

    def _draw_findings(self, evaluation: Evaluator, findings: Findings) -> Iterator[tuple[str, Figure]]:
        """Draw what was found; after a thorough evaluation all of it."""
        model, split = evaluation.model, evaluation.data.curve_split
        kl = findings.kl_per_unit.float().mean(0).cpu()
        lines = read_curves(self.run_directory)
        history = [line[f"{split}/kl_per_unit"] for line in lines if f"{split}/kl_per_unit" in line]
        # A value that was not finite lies there as null.
        kl_by_epoch = torch.tensor([[0.0 if value is None else value for value in epoch] for epoch in history])
        weight = evaluation.price if not evaluation.why_no_verdict else None
        forecast_kl = self.forecast.kl_per_unit(weight) if self.forecast and weight else None
        variances = findings.means.float().var(0, correction=0).cpu()
        if not evaluation.has_density:  # of a point there is no KL to draw
            return
        yield "units", units(kl, variances, kl_by_epoch.reshape(-1, len(kl)), forecast_kl, THRESHOLD)
        if not evaluation.effort.thorough:
            return
        epsilons = torch.logspace(-4, math.log10(max(1.0, float(findings.kl_per_unit.max()))), 400).double()
        shares = share_collapsed(findings.kl_per_unit.cpu(), epsilons)
        yield "collapse_curve", collapse_curve(epsilons.float(), shares.float(), DELTA)
        if findings.residual:
            shown = findings.residual.eigenvalues[:N_DIRECTIONS].float().cpu()
            critical = self.forecast.critical_weights[: len(shown)].float().cpu() if self.forecast else None
            yield "residual_spectrum", residuals(shown, critical, weight)
        liveliest = variances.argsort(descending=True)[:N_LIVELIEST]
        yield "aggregate_posterior", aggregate_posterior(findings.codes[:, liveliest].float().cpu(), liveliest.tolist())
        steps = torch.linspace(-3, 3, COLUMNS + 1, device=model.device)
        codes = findings.means[:1].float().expand(len(liveliest), len(steps), -1).clone()
        for row, unit in enumerate(liveliest.tolist()):
            codes[row, :, unit] = steps
        images = model.decode(codes.flatten(0, 1)).cpu()
        title = f"units {', '.join(map(str, liveliest.tolist()))} from -3 to 3, the others as for the first test image"
        yield "traversals", image_grid(images, len(steps), title, self._value_range(evaluation.data))

    def _decoded(
        self, name: str, codes: Float[Tensor, "n latent"], model: VAE, data: ImageDataModule
    ) -> Float[Tensor, "n channels height width"]:
        images = model.decode(codes).cpu()
        if data.splits["train"].labels.max() > 0:
            nearest = NearestNeighbourClassifier(data.splits["train"])
            self.kinds[f"{name}/count_per_class"] = nearest.count(images)
            test = data.splits["test"]
            rows = torch.arange(min(N_JUDGED, len(test.labels)), device=test.labels.device)
            self.kinds["kinds/accuracy_on_test_images"] = nearest.accuracy(test.select(rows))
        return images


def one_row_per_class(labels: Tensor) -> Tensor:
    """Return 30 row indices, in columns by class: the first three images of each of ten classes where there are."""
    first = [torch.nonzero(labels == kind).flatten()[:3] for kind in range(COLUMNS)]
    if any(len(rows) < 3 for rows in first):
        return torch.arange(min(3 * COLUMNS, len(labels) // COLUMNS * COLUMNS))
    return torch.stack(first, dim=1).flatten()
