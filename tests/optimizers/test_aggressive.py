"""Aggressive inference: who steps when, when it stops, and that its phase survives a resume."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from vae_lightning.optimizers import Aggressive, hooks_of

SLOW = partial(SGD, lr=0.1)


def two_weights(max_steps: int = 100, window: int = 5) -> tuple[nn.Parameter, nn.Parameter, Aggressive]:
    encoder, decoder = nn.Parameter(torch.tensor(4.0)), nn.Parameter(torch.tensor(1.0))
    groups = [{"params": [encoder]}, {"params": [decoder]}]
    return encoder, decoder, Aggressive(groups, encoder=SLOW, decoder=SLOW, max_steps=max_steps, window=window)


def test_the_encoder_steps_alone_until_its_loss_no_longer_falls() -> None:
    encoder, decoder, optimizer = two_weights()
    optimizer.refine(lambda index: (encoder - decoder).square() * decoder, None)
    steps = optimizer.extra_steps
    assert decoder.item() == 1
    assert decoder.grad is None
    assert encoder.item() == pytest.approx(1, abs=1e-3)
    assert steps % 5 == 0
    assert 10 <= steps < 100  # float32 reaches the bottom, and a window is no better than the last


def test_it_takes_no_more_steps_than_allowed_and_a_rising_loss_ends_it_after_two_windows() -> None:
    encoder, _, optimizer = two_weights(max_steps=12)
    optimizer.refine(lambda index: encoder.square(), None)
    assert optimizer.extra_steps == 12
    encoder, _, optimizer = two_weights(window=3)
    optimizer.refine(lambda index: encoder * 0 + index, None)
    assert optimizer.extra_steps == 6


def test_what_is_logged_counts_the_steps_since_the_last_time() -> None:
    encoder, _, optimizer = two_weights(max_steps=3)
    for _ in range(2):
        optimizer.refine(lambda index: encoder.square(), None)
    expected = {"extra_encoder_steps": 6.0, "aggressive": 1.0, "decoder_learning_rate": 0.1}
    assert hooks_of(optimizer).training_values() == expected
    assert hooks_of(optimizer).training_values() == expected | {"extra_encoder_steps": 0.0}


def test_an_optimiser_of_torchs_wants_nothing() -> None:
    hooks = hooks_of(SGD([nn.Parameter(torch.zeros(1))], lr=0.1))
    assert hooks.training_values() == {}
    assert not any((hooks.refines, hooks.wants_information, hooks.needs_density, hooks.steps_unscaled))


def test_under_mixed_precision_each_step_sees_the_weights_of_the_one_before() -> None:
    generator = torch.Generator().manual_seed(0)
    network, inputs = torch.nn.Linear(8, 8), torch.randn(20, 8, generator=generator)
    groups = [{"params": list(network.parameters())}, {"params": [nn.Parameter(torch.zeros(1))]}]
    optimizer = Aggressive(groups, encoder=SLOW, decoder=SLOW, max_steps=30, window=30)
    losses: list[float] = []

    def loss_of(index: int) -> Tensor:
        loss = (network(inputs) - inputs).float().square().sum(1).mean()
        losses.append(loss.item())
        return loss

    with torch.autocast("cpu", torch.bfloat16):
        optimizer.refine(loss_of, None)
    assert losses[-1] < losses[0] / 4


def test_gradients_are_clipped_where_asked() -> None:
    encoder, _, optimizer = two_weights(max_steps=1)
    optimizer.refine(lambda index: 100 * encoder, clip_norm=1.0)
    assert encoder.item() == pytest.approx(3.9)


def test_outside_the_loop_only_the_decoder_steps_while_it_is_aggressive_and_then_both() -> None:
    encoder, decoder, optimizer = two_weights()

    def step() -> tuple[float, float]:
        optimizer.zero_grad()
        (encoder + decoder).backward()
        optimizer.step()
        return encoder.item(), decoder.item()

    assert step() == pytest.approx((4.0, 0.9))
    optimizer.judge(1.0)
    optimizer.judge(1.5)
    assert optimizer.aggressive
    optimizer.judge(1.4)
    assert not optimizer.aggressive
    assert step() == pytest.approx((3.9, 0.8))
    optimizer.judge(9.0)
    assert not optimizer.aggressive  # it never begins again


def test_its_phase_is_in_the_state() -> None:
    _, _, optimizer = two_weights()
    optimizer.judge(2.0)
    _, _, restored = two_weights()
    restored.load_state_dict(optimizer.state_dict())
    assert restored.aggressive
    assert restored.best_information == 2
    restored.judge(1.9)
    optimizer.load_state_dict(restored.state_dict())
    assert not optimizer.aggressive
