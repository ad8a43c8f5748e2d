"""The two properties by which latent spaces are explained to beginners, as numbers: continuity and completeness."""

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.diagnostics.sensitivity import Decode

N_STEPS = 20
AS_FAR_AS = 0.95
"""A decoded code is as close to the data as held-out images are if it is closer than this share of them."""


@torch.no_grad()
def continuity(
    decode: Decode, starts: Float[Tensor, "walks latent"], ends: Float[Tensor, "walks latent"], n_steps: int = N_STEPS
) -> float | None:
    """Return how even the change of the image is along straight walks between codes: 1 if even, 1/n_steps if one jump.

    Per walk it is (mean change per step)^2 / mean (change per step)^2, averaged over walks by their length in image
    space. None where no image changes: one image whatever the code.
    """
    at = torch.linspace(0, 1, n_steps + 1, device=starts.device)
    codes = starts + at.reshape(-1, 1, 1) * (ends - starts)
    images = decode(codes.flatten(0, 1)).flatten(1).unflatten(0, codes.shape[:2])
    change = (images[1:] - images[:-1]).double().square().sum(-1).sqrt()
    mean_square = change.square().mean(0)
    if not float(mean_square.sum()) > 0:
        return None
    evenness = torch.where(mean_square > 0, change.mean(0).square() / mean_square, 0.0)
    return float((evenness * change.sum(0)).sum() / change.sum())


def completeness(
    decoded: Float[Tensor, "codes channels height width"],
    held_out: Float[Tensor, "images channels height width"],
    references: Float[Tensor, "references channels height width"],
) -> float:
    """Return the share of decoded prior samples that are as close to the training images as held-out images are.

    Close is the Euclidean distance to the nearest of ``references``. A mean image is smoother than a real one, and so
    nearer to everything: the share says that nothing is far off, not that everything is there. A decoder with one image
    whatever the code can have all; its output variance tells.
    """
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(references.flatten(1).cpu().numpy())

    def distances(images: Tensor) -> Tensor:
        return torch.from_numpy(nearest.kneighbors(images.flatten(1).cpu().numpy())[0][:, 0])

    limit = torch.quantile(distances(held_out).double(), AS_FAR_AS)
    return float((distances(decoded).double() <= limit).double().mean())
