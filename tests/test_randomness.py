import torch

from vae_lightning.randomness import Stream, generator_for, seed_for


def test_draws_depend_on_the_arguments_alone() -> None:
    first = torch.randn(5, generator=generator_for(3, Stream.TRAINING_NOISE, 7))
    torch.randn(100)
    again = torch.randn(5, generator=generator_for(3, Stream.TRAINING_NOISE, 7))
    assert torch.equal(first, again)


def test_seed_stream_and_position_each_change_the_draw() -> None:
    seeds = {
        seed_for(seed, stream, *position)
        for seed in (0, 1)
        for stream in Stream
        for position in ((), (0,), (1,), (0, 1), (1, 0))
    }
    assert len(seeds) == 2 * len(Stream) * 5
