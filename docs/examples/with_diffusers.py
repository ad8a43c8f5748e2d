"""The autoencoder of a latent diffusion model: ``AutoencoderKL`` of diffusers, whose codes are spatial.

Symptom: reconstructions are good, and ``decode(torch.randn(...))`` is noise. The KL weight is 1e-5.
Call: ``vl.diagnose(*vl.encode_decode(model), x_test, loss=vl.from_loss("mse_mean", weight=1e-5), loss_curve=losses)``.
Answer: the codes, of 2 channels x 4 x 4 positions, lie tens of nats from the prior, which at this weight costs next to
nothing. That is meant where another model learns the codes, as in latent diffusion (there scale the codes); who draws
from the prior needs a larger weight. By ``loss_curve`` the diagnosis knows that the training is not over.
"""

import torch
from diffusers import AutoencoderKL
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

import vae_lightning as vl


def train(x: Tensor, weight: float) -> tuple[AutoencoderKL, list[float]]:
    """Train by the squared error, averaged, plus the weighted KL of each image; return the losses too."""
    torch.manual_seed(0)
    model = AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=2, sample_size=8, block_out_channels=(16, 16),
        down_block_types=2 * ("DownEncoderBlock2D",), up_block_types=2 * ("UpDecoderBlock2D",),
        layers_per_block=1, norm_num_groups=4, mid_block_add_attention=False,
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(250):
        batch = x[torch.randint(len(x), (32,))]
        posterior = model.encode(batch).latent_dist
        loss = F.mse_loss(model.decode(posterior.sample()).sample, batch) + weight * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return model.eval(), losses


def main() -> vl.Diagnosis:
    """Train at 1e-5, and diagnose."""
    x = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    x, x_test = x[:1400], x[1400:]
    model, losses = train(x, weight=1e-5)

    loss = vl.from_loss("mse_mean", weight=1e-5)
    diagnosis = vl.diagnose(*vl.encode_decode(model), x_test, loss=loss, loss_curve=losses)
    print(diagnosis)
    print("KL of each channel:", ", ".join(f"{each:.1f}" for each in diagnosis.kl_per_unit))
    return diagnosis


if __name__ == "__main__":
    main()
