"""Draws a finished run: curves, reconstructions, prior samples; for two latent units the scatter and the manifold."""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from torch import Tensor

from vae_lightning.callbacks.drawings import curves, image_grid, inverse_normal_grid, latent_scatter
from vae_lightning.data import ImageDataModule
from vae_lightning.data.loader import as_floats
from vae_lightning.diagnostics import NearestKinds
from vae_lightning.module import VAE
from vae_lightning.randomness import Stream, generator_for
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.directory import FIGURES

N_SAMPLES = 100
N_JUDGED = 1000
"""Real images on which the nearest neighbours are judged."""
COLUMNS = 10
DPI = 110


class RunFigures(Callback):
    """Writes ``<run>/figures/*.png`` after the test pass, and shows them in W&B."""

    def __init__(self, run_directory: Path) -> None:
        self.run_directory = run_directory
        self.kinds: dict[str, list[int] | float] = {}
        """Which classes the pictures show by nearest neighbours, and how often these are right on real images."""

    @torch.no_grad()
    def on_test_end(self, trainer: Trainer, pl_module: VAE) -> None:  # type: ignore[override]
        if not trainer.is_global_zero:
            return
        for name, figure in self._draw(pl_module, pl_module.data):
            path = self.run_directory / FIGURES / f"{name}.png"
            figure.savefig(path, dpi=DPI, bbox_inches="tight")
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    logger.log_image(f"figures/{name}", [str(path)])

    def _draw(self, model: VAE, data: ImageDataModule) -> Iterator[tuple[str, Figure]]:
        test = data.splits["test"]
        images = as_floats(test.pixels)
        value_range = (0.0, 1.0) if not test.pixels.is_floating_point() else (float(images.min()), float(images.max()))

        yield "curves", curves(read_curves(self.run_directory), data.curve_split)

        shown = one_row_per_class(test.labels)
        pairs = torch.stack([images[shown], model(images[shown])], dim=1)
        rows = pairs.unflatten(0, (-1, COLUMNS)).transpose(1, 2).flatten(0, 2)
        yield (
            "reconstructions",
            image_grid(rows.cpu(), COLUMNS, "test images above, their reconstructions below", value_range),
        )

        generator = generator_for(model.seed, Stream.PRIOR_SAMPLES, device=model.device)
        codes = torch.randn((N_SAMPLES, model.latent_dim), generator=generator, device=model.device)
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

    def _decoded(
        self, name: str, codes: Float[Tensor, "n latent"], model: VAE, data: ImageDataModule
    ) -> Float[Tensor, "n channels height width"]:
        images = model.decode(codes).cpu()
        if data.splits["train"].labels.max() > 0:
            nearest = NearestKinds(data.splits["train"])
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
