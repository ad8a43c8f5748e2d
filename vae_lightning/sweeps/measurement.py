"""The measurement that steers a search: active units on images that are not test images."""

import torch

from vae_lightning.assemble import build_data, build_model
from vae_lightning.diagnostics import PosteriorMeanMoments, active_units
from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.run_config import RunConfig

N_IMAGES = 10_000
"""The largest number of images that are used; MNIST has as many for the test."""


@torch.no_grad()
def active_units_of_run(config: RunConfig) -> int:
    """Count the active units of a finished run on images held out, or on training images where none are held out.

    Raises:
        UserError: its checkpoint is not there or is damaged.
    """
    folder = config.directory
    checkpoint = directory.newest_checkpoint(folder)
    if checkpoint is None:
        message = f"{folder}: bisect counts active units by the last checkpoint, which is not there; rerun=true"
        raise UserError(message, Code.NOT_FOUND, [folder])
    data = build_data(config)
    model = build_model(config, data.image_shape).eval()
    model.load_state_dict(load_checkpoint(checkpoint)["state_dict"])
    means = PosteriorMeanMoments(model.latent_dim)
    for pixels in data.images_to_judge_by(N_IMAGES).split(data.evaluation_batch_size):
        means.update(model.encode(pixels).mean)
    return active_units(means.compute().variance)
