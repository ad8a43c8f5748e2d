"""How noisy the encoder's gradient is: what tells one estimator of it from another."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from vae_lightning.diagnostics import gradient_moments
from vae_lightning.module import VAE
from vae_lightning.randomness import Stream, generator_for
from vae_lightning.training_step import TrainingStep


class GradientNoise(Callback):
    """Logs ``train/gradient_variance`` and ``train/gradient_signal`` of the loss that is minimised.

    It does so before the first step and after each epoch.

    Both are sums over the encoder's weights, in squares of nats per image: the variance over ``n_draws`` draws of the
    posterior's noise, and the squared mean without what that variance adds to it, all on the same ``n_images`` images,
    which are held out where any are, and never test images. It changes nothing in the training.
    """

    def __init__(self, *, n_draws: int = 30, n_images: int = 100) -> None:
        if n_draws < 2 or n_images < 1:
            raise ValueError(
                f"n_draws={n_draws}, n_images={n_images}: a variance needs two draws, and an image, at least"
            )
        self.n_draws = n_draws
        self.n_images = n_images

    def on_train_start(self, trainer: Trainer, pl_module: VAE) -> None:  # type: ignore[override]
        if trainer.global_step == 0:
            self._log(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: VAE) -> None:  # type: ignore[override]
        self._log(trainer, pl_module)

    def _log(self, trainer: Trainer, module: VAE) -> None:
        at = module.step_of_run(trainer.global_step)
        found = gradient_moments(self._gradients(module, at))
        values = {"train/gradient_variance": found.variance, "train/gradient_signal": found.signal}
        for logger in trainer.loggers:
            logger.log_metrics({**values, "epoch": trainer.current_epoch}, max(0, at.step - 1))

    def _gradients(self, module: VAE, at: TrainingStep) -> Iterator[Float[Tensor, " weights"]]:
        """Yield draws of the encoder's gradient as it is at a step."""
        pixels = module.data.images_to_judge_by(self.n_images).to(module.device)
        weights = module.parameter_groups()[0]["params"]
        kl_weight = module.kl_weight_in_force_at(at)
        shape = (module.objective.n_samples, len(pixels), module.latent_dim)
        # Batch statistics and a running variance follow what they see: the training must not notice.
        seen = {name: buffer.clone() for name, buffer in module.named_buffers()}
        with torch.enable_grad():
            for index in range(self.n_draws):
                generator = generator_for(module.seed, Stream.GRADIENT_NOISE, at.step, index, device=module.device)
                loss = module.bound(pixels, module.posterior.noise(shape, generator), kl_weight, at).loss
                gradients = torch.autograd.grad(loss, weights, allow_unused=True)
                yield torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])
        for name, buffer in module.named_buffers():
            buffer.copy_(seen[name])
