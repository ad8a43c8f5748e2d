"""Is a training over, by its curve?"""

import torch

from vae_lightning.diagnostics import still_falling


def curve(total: float, n: int, noise: float = 0.0, seed: int = 0) -> list[float]:
    """Return means over n stretches of a loss that comes down as total / t."""
    at = torch.arange(n, dtype=torch.float64) + 0.5
    return (total * n / at / n + noise * torch.randn(n, generator=torch.Generator().manual_seed(seed))).tolist()


def test_a_power_law_brings_as_much_again_as_is_said() -> None:
    n, c = 400, 80.0
    found = still_falling([c / (t + 0.5) for t in range(n)])
    assert abs(found.value - 0.5 * c / n) < 0.12 * 0.5 * c / n


def test_a_flat_curve_of_noise_does_not_fall_and_its_error_is_honest() -> None:
    found = [still_falling(curve(0.0, 80, noise=1.0, seed=seed)) for seed in range(60)]
    outside = [abs(each.value) > 2 * each.error for each in found]
    assert sum(outside) <= 8  # 3 are expected
    spread = torch.tensor([each.value for each in found]).std()
    mean_error = torch.tensor([each.error for each in found]).mean()
    torch.testing.assert_close(mean_error, spread, rtol=0.25, atol=0)


def test_a_short_curve_tells_nothing() -> None:
    assert still_falling([1.0] * 15) is None
    assert still_falling([]) is None
