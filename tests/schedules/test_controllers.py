"""GECO and ControlVAE against their update rules written out, and on a model whose response is known."""

import copy
import math
from functools import partial

import pytest
import torch

from vae_lightning.combinations import check_complete
from vae_lightning.errors import UserError
from vae_lightning.schedules import Controller, ControlVAE, Geco, constant, has_feedback, sigmoid
from vae_lightning.training_step import TrainingStep

MOMENT = TrainingStep(0, 100, 10)


def geco(target: float = 100.0, rate: float = 1e-3, minimum: float = 1e-3, maximum: float = 1e3) -> Geco:
    return Geco(target_distortion=target, rate=rate, decay=0.99, minimum=minimum, maximum=maximum)


def control_vae(kp: float = 0.01, ki: float = 1e-3, minimum: float = 0.0, maximum: float = 1.0) -> ControlVAE:
    return ControlVAE(target_kl=5.0, proportional_gain=kp, integral_gain=ki, minimum=minimum, maximum=maximum)


def told(controller: Controller, *, distortion: float = 0.0, kl: float = 0.0) -> float:
    controller.observe(torch.tensor(distortion), torch.tensor(kl))
    return float(controller(MOMENT))


def test_they_are_controllers_and_a_function_is_not() -> None:
    for controller in (geco(), control_vae()):
        assert has_feedback(controller)
        check_complete("beta_schedule", "", controller, Controller)
    assert not has_feedback(constant)
    assert not has_feedback(partial(sigmoid, midpoint=0.5, width=0.5))


def test_geco_multiplies_by_the_exponential_of_the_averaged_constraint() -> None:
    controller = geco()
    assert float(controller(MOMENT)) == 1
    lambda_, average = 1.0, None
    for distortion in (150.0, 180.0, 90.0, 40.0, 100.0):
        constraint = distortion - 100
        average = constraint if average is None else 0.99 * average + 0.01 * constraint
        lambda_ *= math.exp(1e-3 * average)
        assert told(controller, distortion=distortion) == pytest.approx(1 / lambda_, rel=1e-5)


def test_geco_stays_within_its_bounds_and_comes_back_from_them() -> None:
    controller = geco(rate=1.0)
    assert told(controller, distortion=500.0) == pytest.approx(1e-3)
    for _ in range(500):
        last = told(controller, distortion=0.0)
    assert last == pytest.approx(1e3)


def test_control_vae_is_a_proportional_and_an_integral_term() -> None:
    controller = control_vae()
    total = 0.0
    for kl in (10.0, 12.0, 9.0, 6.0, 4.5):
        error = 5 - kl
        total += error
        expected = 0.01 / (1 + math.exp(error)) - 1e-3 * total
        assert told(controller, kl=kl) == pytest.approx(expected, rel=1e-5)


def test_control_vae_does_not_wind_up_while_it_is_clipped() -> None:
    """After any time at a bound it leaves it at once when the error changes its sign."""
    for stuck, other, bound in ((0.0, 9.0, 0.0), (1000.0, 4.0, 1.0)):
        controller = control_vae()
        for _ in range(1000):
            clipped = told(controller, kl=stuck)
        assert clipped == bound
        assert told(controller, kl=other) != bound


@pytest.mark.parametrize("build", [geco, control_vae])
def test_a_restored_controller_goes_on_as_if_nothing_had_happened(build: object) -> None:
    generator = torch.Generator().manual_seed(0)
    controller = build()
    for value in (20 * torch.rand(50, generator=generator)).tolist():
        told(controller, distortion=90 + value, kl=value)
    restored = build()
    restored.load_state_dict(copy.deepcopy(controller.state_dict()))
    for value in (20 * torch.rand(50, generator=generator)).tolist():
        pair = [told(one, distortion=90 + value, kl=value) for one in (controller, restored)]
        assert pair[0] == pair[1]


def test_they_settle_on_a_system_with_a_known_response() -> None:
    """A linear direction of eigenvalue l at variance s2 has KL = ln(l / (w s2)) / 2 and distortion w / 2 + constant."""
    eigenvalue, variance = 50.0, 0.5
    held = control_vae(ki=3e-3, maximum=1.0)
    for _ in range(600):
        weight = 100 * max(float(held(MOMENT)), 1e-6)
        held.observe(torch.tensor(0.0), torch.tensor(max(0.0, 0.5 * math.log(eigenvalue / (weight * variance)) + 4)))
    weight = 100 * float(held(MOMENT))
    assert 0.5 * math.log(eigenvalue / (weight * variance)) + 4 == pytest.approx(5, rel=1e-3)

    reached = geco(target=101.0, rate=1e-2)
    for _ in range(2000):
        reached.observe(100 + 0.5 * reached(MOMENT), torch.tensor(0.0))
    assert 100 + 0.5 * float(reached(MOMENT)) == pytest.approx(101, abs=1e-3)


def test_bounds_in_the_wrong_order_are_refused() -> None:
    for build in (geco, control_vae):
        with pytest.raises(UserError) as refused:
            build(minimum=2.0, maximum=1.0)
        assert refused.value.about == ("beta_schedule.minimum", "beta_schedule.maximum")
