"""Randomness is a function, not a state: every draw is a pure function of the seed, a stream and a position.

So a run resumes exactly with no generator state saved, and batch order, noise and splits never influence each
other. Positions are epochs, steps or nothing at all; streams keep draws for different purposes independent.
"""

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What a draw is for. The numbers are part of every result: never reuse or reorder them."""

    WEIGHTS = 0
    BATCH_ORDER = 1
    TRAINING_NOISE = 2
    EVALUATION_NOISE = 3
    VALIDATION_SPLIT = 4
    TRAINING_BINARIZATION = 5
    FIXED_BINARIZATION = 6
    SYNTHETIC_DATA = 7
    PRIOR_SAMPLES = 8
    REFINEMENT_NOISE = 9
    REFINEMENT_BATCH = 10
    REFINEMENT_BINARIZATION = 11
    IMPORTANCE_NOISE = 12
    RESIDUAL_NOISE = 13
    SENSITIVITY_CODES = 14
    RANDOM_ENCODER = 15
    TEST_SPLIT = 16
    MODULES = 17
    GRADIENT_NOISE = 18


def seed_for(seed: int, stream: Stream, *position: int) -> int:
    """Mix a run's seed, a stream and a position into one 64-bit seed (numpy's SeedSequence)."""
    # The length goes in too: SeedSequence pads with zeros, so that (0,) and () would be one position.
    mixed = np.random.SeedSequence([seed, stream, len(position), *position]).generate_state(1, np.uint64)
    return int(mixed[0])


def generator_for(seed: int, stream: Stream, *position: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator on ``device`` whose draws depend on nothing but the arguments.

    Draws of equal arguments are equal on devices of one type; a CPU and a GPU draw different numbers.
    """
    generator = torch.Generator(device)
    generator.manual_seed(seed_for(seed, stream, *position))
    return generator
