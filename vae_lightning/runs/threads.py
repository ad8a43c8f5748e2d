"""How many threads a training on a CPU gets: as many as pay here and now, measured once at its start.

OpenMP's threads wait for each other by spinning. With as many of them as cores, one other busy process makes a small
model's step take several times as long, where one thread loses a fifth at most on a quiet machine. Sums over another
number of threads end in other last bits, so a run that is continued keeps the number that it began with.
"""

import copy
import os
import statistics
import time
from collections.abc import Callable

import torch

from vae_lightning.data import ImageDataModule
from vae_lightning.module import VAE
from vae_lightning.optimizers import optimizer_of
from vae_lightning.randomness import Stream, generator_for
from vae_lightning.training_step import TrainingStep

GIVEN_BY = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which a user says how many."""
WORTH_IT = 0.95
"""All threads must take less than this share of the time of one."""
LONGEST_S = 1.5
MOST_PAIRS = 15
N_WARMING = 2


def threads_of_run(model: VAE, data: ImageDataModule, at_start: int | None) -> int:
    """Return the number of threads for a run: the user's, else the one it began with, else the quicker of one and all.

    ``at_start`` is what the checkpoint of a continued run says.
    """
    every = torch.get_num_threads()
    if every == 1 or any(name in os.environ for name in GIVEN_BY):
        return every
    if at_start is not None:
        return at_start
    return quicker_threads(_one_step(model, data), every)


def quicker_threads(step: Callable[[], object], every: int, clock: Callable[[], float] = time.perf_counter) -> int:
    """Return 1 or ``every``: with how many threads ``step`` is quicker, in pairs taken in turn. One where it is close.

    The number of threads of this process is afterwards what it was.
    """
    before = torch.get_num_threads()
    seconds: dict[int, list[float]] = {1: [], every: []}
    began = clock()
    try:
        for n_threads in (1, every):
            torch.set_num_threads(n_threads)
            for _ in range(N_WARMING):
                step()
        while len(seconds[1]) < MOST_PAIRS and (clock() - began < LONGEST_S or not seconds[1]):
            for n_threads in (1, every):
                torch.set_num_threads(n_threads)
                step_began = clock()
                step()
                seconds[n_threads].append(clock() - step_began)
    finally:
        torch.set_num_threads(before)
    return every if statistics.median(seconds[every]) < WORTH_IT * statistics.median(seconds[1]) else 1


def _one_step(model: VAE, data: ImageDataModule) -> Callable[[], object]:
    """Return a function that takes a training step with a copy of the model."""
    rival = copy.deepcopy(model)
    optimizer = optimizer_of(rival.optimizer, rival.parameter_groups())
    pixels = next(data.train_dataloader().batches()).pixels
    generator = generator_for(model.seed, Stream.TRAINING_NOISE)
    noise = model.posterior.noise((model.objective.n_samples, len(pixels), model.latent_dim), generator)

    def step() -> None:
        optimizer.zero_grad()
        rival.bound(pixels, noise, rival.kl_weight, TrainingStep(0, 1, 1)).loss.backward()
        optimizer.step()

    return step
