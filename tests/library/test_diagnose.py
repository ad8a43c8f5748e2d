"""Anyone's model gets the numbers that theory has for it, and the word that goes with them."""

from typing import Any

import numpy as np
import pytest
import torch
from evaluation.linear_models import evaluation_of, optimum
from library.linear import SPECTRUM, linear, rows
from torch import Tensor, nn
from torch.distributions import Independent, Laplace, Normal
from torch.utils.data import DataLoader, TensorDataset

import vae_lightning as vl
from vae_lightning.data.loader import as_floats
from vae_lightning.distributions import LocationScale, gaussian_noise
from vae_lightning.evaluation import Effort

X = rows()
GAUSSIAN = vl.likelihood("gaussian", variance=0.5)


def diagnosed(model: Any, x: Any = X, kl_weight: float = 1.0, **more: Any) -> vl.Diagnosis:
    return vl.diagnose(model.encode, model.decode, x, GAUSSIAN, kl_weight, **{"decoder_gives": "means", **more})


@pytest.mark.parametrize(
    ("kl_weight", "n_units", "word"),
    [
        (1.0, 3, "healthy"),  # a = 0.5: three of the spectrum are above
        (1.0, 4, "pruned"),
        (13.0, 2, "pruned"),  # a = 6.5: none is above
        (1.0, 1, "starved"),
        (1.0, 2, "starved"),
    ],
)
def test_the_linear_optimum_has_its_numbers_and_its_word(kl_weight: float, n_units: int, word: str) -> None:
    model = linear(kl_weight, n_units)
    found = diagnosed(model, kl_weight=kl_weight)
    assert found.verdict == word
    assert found.kl_per_unit == pytest.approx(model.kl_per_unit.numpy(), rel=1e-3, abs=1e-6)
    living = int(model.lives.sum())
    assert (found.active_units, found.living_units, found.active_directions) == (living, living, living)
    variance = torch.where(model.lives, 1 - model.critical / model.spectrum[:n_units], 0.0)
    assert found.variance_of_mean == pytest.approx(variance.numpy(), rel=1e-3, abs=1e-9)
    # -log p of what is left: in living directions a, in the others their eigenvalue.
    left = torch.where(model.spectrum > model.critical, model.critical, model.spectrum)
    left[n_units:] = model.spectrum[n_units:]
    distortion = 0.5 * float(left.sum()) / 0.5 + 0.5 * len(SPECTRUM) * np.log(2 * np.pi * 0.5)
    assert found.distortion.value == pytest.approx(distortion, abs=4 * found.distortion.error)
    assert found.elbo.value == pytest.approx(-distortion - float(model.kl_per_unit.sum()), abs=4 * found.elbo.error)
    low, high = found.mutual_information[:2]
    assert low - 0.15 <= float(model.kl_per_unit.sum()) <= high + 0.15  # codes are distributed as the prior


@pytest.mark.parametrize("kl_weight", [0.02, 0.3, 1.0, 4.0])
def test_the_weight_of_a_training_is_told_by_the_model(kl_weight: float) -> None:
    implied = diagnosed(linear(kl_weight, 4), kl_weight=1.0).implied_kl_weight
    assert implied.value == pytest.approx(kl_weight, rel=0.1)
    assert 0.18 * kl_weight < implied.error < 0.3 * kl_weight  # most of it is what real trainings are off


def test_a_model_of_another_weight_than_is_said_is_told_so() -> None:
    """Written 0.001, trained at 1: the coefficient is not applied."""
    found = diagnosed(linear(1.0, 3), kl_weight=0.001)
    assert any("not applied" in sentence for sentence in found.causes)
    assert diagnosed(linear(1.0, 3)).causes == ()


@pytest.mark.parametrize("how", ["fixed", "bounded"])
def test_log_variances_that_cannot_move_accuse_nobody(how: str) -> None:
    """Then only the means tell the weight of the training; a small network is trained at 0.05."""
    torch.manual_seed(0)
    body, back = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 6)), nn.Linear(3, 5)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = body(x).chunk(2, dim=1)
        return mean, torch.full_like(raw, np.log(0.8)) if how == "fixed" else -1.5 * torch.sigmoid(raw)

    optimizer = torch.optim.Adam([*body.parameters(), *back.parameters()], lr=5e-3)
    for step in range(1500):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 1500)
        batch = X[torch.randint(0, len(X), (100,))]
        mean, log_variance = encode(batch)
        codes = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        loss = ((back(codes) - batch) ** 2).sum(1).mean() + 0.05 * kl.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = vl.diagnose(encode, back, X, loss=vl.from_loss("mse_sum", weight=0.05))
    assert found.causes == ()
    assert found.implied_kl_weight.value == pytest.approx(0.05, rel=0.25)


@pytest.mark.parametrize("seed", range(8))
def test_networks_that_are_not_trained_accuse_nobody(seed: int) -> None:
    torch.manual_seed(seed)
    back = nn.Linear(2, 5)
    found = vl.diagnose(
        lambda x: (x[:, :2], 0 * x[:, :2] - 1), back, X[:400], loss=vl.from_loss("mse_mean", weight=0.01)
    )
    with pytest.raises(vl.UserError):
        _ = found.implied_kl_weight
    assert not any("as one trained" in cause for cause in found.causes)


def test_a_loss_that_is_told_as_averaged_is_not_called_averaged_once_more() -> None:
    """At a weight of 4 two directions live, at 5 values times that none."""
    model = linear(13.0, 2)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return 0.01 * x[:, :2], torch.full((len(x), 2), -1e-3)

    by_mean, by_sum = (
        vl.diagnose(encode, model.decode, X, loss=vl.from_loss(name, weight=weight))
        for name, weight in (("mse_mean", 0.8), ("mse_sum", 4.0))
    )
    assert by_mean.kl_weight == by_sum.kl_weight == pytest.approx(4.0)
    assert by_mean.verdict == by_sum.verdict == "collapsed"
    assert (len(by_mean.causes), len(by_sum.causes)) == (0, 1)


def test_where_no_unit_lives_nothing_tells_the_weight() -> None:
    with pytest.raises(vl.UserError):
        _ = diagnosed(linear(13.0, 2), kl_weight=13.0).implied_kl_weight


def test_a_model_that_ignores_what_pays_has_collapsed() -> None:
    found = diagnosed(linear(13.0, 2), kl_weight=1.0)
    assert (found.verdict, found.living_units) == ("collapsed", 0)
    assert found.margin == pytest.approx(SPECTRUM[0] / 0.5, rel=0.1)
    assert found.nats_at_stake.value > 1
    assert int(found.forecast.active_units) == 2  # no more than there are units


def test_the_weight_in_a_loss_is_told_where_it_is_larger_than_it_looks() -> None:
    model = linear(5.0, 3)
    found = vl.diagnose(model.encode, model.decode, X, loss=vl.from_loss("mse_mean", weight=1.0))
    assert found.kl_weight == pytest.approx(5.0)
    assert found.loss is not None
    assert any("5 times" in sentence for sentence in found.advice)
    by_weight = diagnosed(model, kl_weight=5.0)
    assert found.kl_per_unit.tolist() == by_weight.kl_per_unit.tolist()
    assert found.margin == by_weight.margin


class Output:
    def __init__(self, **values: Tensor) -> None:
        self.__dict__.update(values)


def encoders() -> dict[str, Any]:
    model = linear(1.0, 3)

    def as_normal(x: Tensor) -> Normal:
        mean, log_variance = model.encode(x)
        return Normal(mean, (log_variance / 2).exp())

    def named(*names: str) -> Any:
        return lambda x: Output(**dict(zip(names, model.encode(x), strict=True)))

    return {
        "pair": model.encode,
        "list": lambda x: list(model.encode(x)),
        "Normal": as_normal,
        "Independent": lambda x: Independent(as_normal(x), 1),
        "ours": lambda x: LocationScale(*model.encode(x), gaussian_noise()),
        "dict": lambda x: dict(zip(("embedding", "log_covariance"), model.encode(x), strict=True)),
        "mean, logvar": named("mean", "logvar"),
        "mu, log_var": named("mu", "log_var"),
        "z_mean, z_log_var": named("z_mean", "z_log_var"),
        "latent_dist": lambda x: Output(latent_dist=named("mean", "logvar")(x)),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("kind", encoders())
def test_an_encoder_may_return_what_is_usual(kind: str) -> None:
    model = linear(1.0, 3)
    found = vl.diagnose(encoders()[kind], model.decode, X[:500], GAUSSIAN, 1.0, decoder_gives="means")
    expected = diagnosed(model, X[:500])
    assert found.kl_per_unit.tolist() == pytest.approx(expected.kl_per_unit.tolist(), rel=1e-5)
    assert found.verdict == expected.verdict


def test_a_laplace_posterior_has_its_own_kl() -> None:
    def encode(x: Tensor) -> Laplace:
        return Laplace(0.3 * x[:, :2], torch.full((len(x), 2), 0.4))

    found = vl.diagnose(encode, linear(1.0, 2).decode, X[:300], GAUSSIAN, 1.0, decoder_gives="means")
    posterior = encode(X[:300])
    codes = posterior.sample((20_000,))
    by_samples = (posterior.log_prob(codes) - Normal(0.0, 1.0).log_prob(codes)).mean((0, 1))
    assert found.kl_per_unit == pytest.approx(by_samples.numpy(), abs=0.01)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda recon: recon,
        lambda recon: Output(sample=recon),
        lambda recon: {"reconstruction": recon},
        lambda recon: Output(recon_x=recon),
        lambda recon: Normal(recon, 1.0),
    ],
)
def test_a_decoder_may_return_what_is_usual(wrap: Any) -> None:
    model = linear(1.0, 3)
    found = vl.diagnose(model.encode, lambda z: wrap(model.decode(z)), X[:500], GAUSSIAN, 1.0, decoder_gives="means")
    assert found.elbo == diagnosed(model, X[:500]).elbo


def test_an_encoder_that_works_in_place_leaves_the_rows_as_they_are() -> None:
    model, x = linear(1.0, 3), X[:300].clone()

    def encode(rows: Tensor) -> tuple[Tensor, Tensor]:
        found = model.encode(rows.clone())
        rows.mul_(0)
        return found

    def decode(z: Tensor) -> Tensor:
        found = model.decode(z.clone())
        z.detach().mul_(0)
        return found

    found = vl.diagnose(encode, decode, x, GAUSSIAN, 1.0)
    assert torch.equal(x, X[:300])
    assert found.elbo == diagnosed(model, x).elbo


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_precision_is_fed_in_it(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    body, back = nn.Linear(5, 4), nn.Linear(2, 5)
    expected = vl.diagnose(lambda x: body(x).chunk(2, 1), back, X[:300], GAUSSIAN, 1.0).elbo.value
    body, back = body.to(dtype), back.to(dtype)
    found = vl.diagnose(lambda x: body(x).chunk(2, 1), back, X[:300], GAUSSIAN, 1.0)
    assert found.elbo.value == pytest.approx(expected, rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_a_gpu_has_the_numbers_of_one_on_the_cpu() -> None:
    torch.manual_seed(0)
    body, back = nn.Linear(5, 4), nn.Linear(2, 5)
    expected = vl.diagnose(lambda x: body(x).chunk(2, 1), back, X[:300], GAUSSIAN, 1.0).elbo.value
    body, back = body.cuda(), back.cuda()
    found = vl.diagnose(lambda x: body(x).chunk(2, 1), back, X[:300], GAUSSIAN, 1.0)
    assert found.elbo.value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("given", ["bernoulli", vl.likelihood("bernoulli")])
def test_a_name_and_an_object_read_the_decoder_alike(given: Any) -> None:
    torch.manual_seed(0)
    images = (torch.rand(600, 16) < torch.rand(16)).float()
    back = nn.Linear(2, 16)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, :2] - 0.5, torch.full((len(x), 2), -1.0)

    found = vl.diagnose(encode, lambda z: torch.sigmoid(back(z)), images, given, 1.0)
    expected = vl.diagnose(encode, back, images, "bernoulli", 1.0, decoder_gives="logits")
    assert found.elbo.value == pytest.approx(expected.elbo.value, rel=1e-5)


def test_a_unit_that_is_hardly_read_is_no_unit_that_is_not_read() -> None:
    """By draws what is read may come out below 0; only outputs that are the same number say that it is not used."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, :2], torch.full((len(x), 2), -2.0)

    def decode(z: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.nn.functional.pad(z * torch.tensor([1.0, 0.003]), (0, 3))
        return mean, torch.zeros(len(z), 5)

    found = vl.diagnose(encode, decode, X[:1000], "gaussian_per_pixel", 1.0, decoder_gives="parameters")
    assert not any("does not depend" in cause for cause in found.causes)


def test_data_may_come_as_they_are() -> None:
    model = linear(1.0, 3)
    holders = (X, X.numpy(), TensorDataset(X, torch.zeros(len(X))), DataLoader(TensorDataset(X), batch_size=100))
    assert len({diagnosed(model, holder).elbo for holder in holders}) == 1


class Noisy(nn.Module):
    """A model with drop-out and batch normalisation, which answers otherwise while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 4))
        self.back = nn.Sequential(nn.Linear(2, 5), nn.Dropout(0.5))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.layers(x).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        found: Tensor = self.back(z)
        return found


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_asked_at_rest_and_left_as_it_was(training: bool) -> None:
    torch.manual_seed(0)
    model = Noisy().train(training)
    model.back.eval()  # one part is in another mode
    before, state = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}
    by_method = vl.diagnose(*vl.encode_decode(model), X[:500], GAUSSIAN, 1.0, decoder_gives="means")

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return model.encode(x)

    def decode(z: Tensor) -> Tensor:
        return model.decode(z)

    by_closure = vl.diagnose(encode, decode, X[:500], GAUSSIAN, 1.0, decoder_gives="means")
    assert by_method.elbo == by_closure.elbo
    assert (model.training, model.layers.training, model.back.training) == (training, training, False)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_logits_and_means_are_the_same_model() -> None:
    torch.manual_seed(0)
    images = (torch.rand(600, 1, 4, 4) < torch.rand(16).reshape(1, 4, 4)).float()
    back = nn.Linear(2, 16)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1)[:, :2] - 0.5, torch.full((len(x), 2), -1.0)

    by_logits = vl.diagnose(encode, back, images, "bernoulli", 1.0, decoder_gives="logits")
    by_means = vl.diagnose(encode, lambda z: torch.sigmoid(back(z)), images, "bernoulli", 1.0)
    assert by_logits.elbo.value == pytest.approx(by_means.elbo.value, rel=1e-5)
    loss = vl.from_loss("bce_sum")
    assert vl.diagnose(encode, back, images, loss=loss, decoder_gives="logits").elbo == by_logits.elbo


def test_a_learned_variance_is_that_of_the_reconstructions() -> None:
    model = linear(1.0, 3)
    found = vl.diagnose(model.encode, model.decode, X, "gaussian_learned", 1.0)
    left = [0.5, 0.5, 0.5, 0.2, 0.1]  # a of the living, and the others
    assert found.found.readout.likelihood.variance == pytest.approx(sum(left) / 5, rel=0.1)


def test_counts_are_judged_by_their_own_likelihood() -> None:
    torch.manual_seed(0)
    rate = torch.exp(1 + torch.randn(3000, 1) * torch.tensor([0.6, 0.6, 0.0, 0.0]))
    counts = torch.poisson(rate)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(x), 2), torch.zeros(len(x), 2)

    means = counts.mean(0)
    found = vl.diagnose(encode, lambda z: means.expand(len(z), -1), counts, "poisson", 1.0)
    by_logs = vl.diagnose(
        encode, lambda z: means.log().expand(len(z), -1), counts, "poisson", 1.0, decoder_gives="parameters"
    )
    assert found.verdict == by_logs.verdict == "collapsed"
    assert found.elbo.value == pytest.approx(by_logs.elbo.value, rel=1e-6)


class Spatial:
    """Codes of two channels on 2 x 2 positions, of images of 2 x 2 x 2: each number its own linear VAE."""

    def __init__(self, gains: tuple[float, float], kl_weight: float) -> None:
        self.of_channels = torch.tensor(gains).reshape(2, 1, 1)
        self.critical = kl_weight * 0.5

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        lives = self.of_channels > self.critical
        gain = torch.where(lives, (self.of_channels - self.critical).clamp_min(0).sqrt() / self.of_channels, 0.0)
        variance = torch.where(lives, self.critical / self.of_channels, 1.0)
        return x * gain, variance.log().expand_as(x)

    def decode(self, z: Tensor) -> Tensor:
        return z * (self.of_channels - self.critical).clamp_min(0).sqrt()


def test_units_of_spatial_codes_are_channels() -> None:
    torch.manual_seed(0)
    model = Spatial((4.0, 0.1), kl_weight=1.0)
    x = torch.randn(3000, 2, 2, 2) * model.of_channels.sqrt()
    found = diagnosed(model, x)
    assert (found.verdict, found.living_units, found.active_units, found.active_directions) == ("pruned", 1, 1, 1)
    assert found.kl_per_position.shape == (2, 4)
    assert found.kl_per_unit == pytest.approx([4 * 0.5 * np.log(4.0 / 0.5), 0.0], abs=0.1)
    assert found.implied_kl_weight.value == pytest.approx(1.0, abs=4 * found.implied_kl_weight.error)
    assert len(found.to_frame()) == 2


def test_it_is_printed_framed_and_drawn() -> None:
    found = diagnosed(linear(1.0, 4))
    assert found.verdict in str(found)
    assert found.to_frame()["lives"].tolist() == [True, True, True, False]
    assert len(found.plot().axes) == 3


def test_a_decoder_without_derivatives_costs_the_implied_weight_alone() -> None:
    model = linear(1.0, 3)

    def through_numpy(z: Tensor) -> Tensor:
        return torch.from_numpy(model.decode(z.detach()).numpy())

    found = vl.diagnose(model.encode, through_numpy, X, GAUSSIAN, 1.0, decoder_gives="means")
    with pytest.raises(vl.UserError):
        _ = found.implied_kl_weight
    assert found.verdict == "healthy"
    assert "healthy" in str(found)


def test_a_curve_that_still_falls_is_heard_unless_the_encoder_is_blind() -> None:
    model = linear(13.0, 2)  # nothing lives yet

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return 0.01 * x[:, :2], torch.full((len(x), 2), -1e-3)

    still = [100 - 0.5 * step for step in range(40)]
    for curve, word in ((still, "undertrained"), ([80.0] * 40, "collapsed")):
        found = vl.diagnose(encode, model.decode, X, GAUSSIAN, 1.0, decoder_gives="means", loss_curve=curve)
        assert found.verdict == word
    assert diagnosed(model, loss_curve=still).verdict == "collapsed"  # its means are the same for every row


def test_rows_that_are_scaled_otherwise_than_in_the_training_are_told_first() -> None:
    model = linear(1.0, 3)
    found = diagnosed(model, 4 * X + 10)
    assert found.verdict == "undecided"
    assert found.evidence.cause is not None
    assert "scaled" in found.sentence


def test_a_deviation_in_the_place_of_a_log_variance_is_told_first() -> None:
    model = linear(1.0, 3)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = model.encode(x)
        return mean, (log_variance / 2).exp()

    found = vl.diagnose(encode, model.decode, X, GAUSSIAN, 1.0, decoder_gives="means")
    assert found.verdict == "undecided"
    assert "logarithm" in found.sentence


def test_units_that_the_decoder_does_not_use_are_named_first() -> None:
    model = linear(1.0, 3)
    found = vl.diagnose(
        model.encode, lambda z: model.decode(z * torch.tensor([1.0, 0, 1])), X, GAUSSIAN, 1.0, decoder_gives="means"
    )
    assert found.verdict == "undecided"
    assert found.causes == (found.evidence.cause,)
    assert "unit 1:" in found.causes[0]


def test_what_optimisers_leave_in_dead_units_is_no_waste() -> None:
    """At a price of 1,000 a KL of 0.002 nats costs 2."""
    model = linear(1000.0, 2)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full((len(x), 2), 0.045), torch.zeros(len(x), 2)

    found = vl.diagnose(encode, model.decode, X, GAUSSIAN, 1000.0, decoder_gives="means")
    assert found.kl.value == pytest.approx(0.002, rel=0.05)
    assert found.verdict == "pruned"


def test_one_column_that_hides_the_others_is_told_first() -> None:
    scales = torch.tensor([100.0, 1, 1, 1, 1])
    model = linear(1.0, 3, spectrum=tuple((torch.tensor(SPECTRUM) * scales**2).tolist()))
    assert any("standardise" in cause for cause in diagnosed(model, X * scales).causes)


def test_few_rows_are_undecided() -> None:
    found = diagnosed(linear(1.0, 3), X[:10])
    assert found.verdict == "undecided"
    assert "inf" not in found.sentence


def test_codes_far_from_the_prior_are_told_with_the_weight_that_would_mend_it() -> None:
    model = linear(1e-6, 3)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = model.encode(x)
        return 5 * mean + 2, log_variance + 2 * np.log(5)

    found = vl.diagnose(encode, lambda z: model.decode((z - 2) / 5), X, GAUSSIAN, 1e-6, decoder_gives="means")
    assert found.idle_nats.value > 10
    assert found.marginal_kl[1] > 10
    assert any("prior" in sentence for sentence in found.advice)


def test_it_finds_what_our_own_evaluation_finds(configure: Any) -> None:
    """A foreign model that has our weights: the same draws, hence the same numbers and the same word."""
    ours, data, _ = optimum(configure, 4, 1.0)
    effort = Effort(importance_samples=2, residual_samples=8, thorough=True)
    theirs = evaluation_of(ours.eval(), data, 1.0, effort).results
    with torch.no_grad():

        def encode(x: Tensor) -> tuple[Tensor, Tensor]:
            posterior = ours.encode(x)
            assert isinstance(posterior, LocationScale)
            return posterior.mean, posterior.log_squared_scale

        pixels = as_floats(data.splits["test"].pixels)
        likelihood = vl.likelihood("gaussian", variance=0.5)
        found = vl.diagnose(encode, ours.decode, pixels, likelihood, 1.0, decoder_gives="means", seed=ours.seed)
    assert found.verdict == theirs["verdict"]
    assert found.margin == pytest.approx(theirs["verdict/margin"], rel=1e-3)
    assert found.nats_at_stake.value == pytest.approx(theirs["verdict/nats"], rel=1e-3)
    assert found.elbo.value == pytest.approx(theirs["test/elbo"], rel=1e-5)
    assert found.kl.value == pytest.approx(theirs["test/kl"], rel=1e-5)
    assert found.kl_per_unit.tolist() == pytest.approx(theirs["test/kl_per_unit"], rel=1e-5)
    assert found.active_units == theirs["test/active_units"]
    assert found.active_directions == theirs["test/active_directions"]
    assert found.living_units == theirs["test/living_units"]
    assert found.variance_of_mean.tolist() == pytest.approx(theirs["test/variance_of_mean_per_unit"], rel=1e-4)
    information = theirs["test/mutual_information"]
    assert list(found.mutual_information[:2]) == pytest.approx(information, rel=1e-3, abs=1e-5)
