"""Bad input gets one error that names the argument: in a process without the tests' own checks of types, as users have.

Each case is an expression; what it raises is told by its code and by what it is about.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = """
import json, sys
import numpy as np, pandas as pd, torch
import vae_lightning as vl
from torch.distributions import Categorical, Normal
from library.linear import linear, rows

x = rows(1200)
with_nan = x.clone(); with_nan[17, 2] = float("nan")
images = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(0))
bits = (images > 0.1).float()
model = linear(1.0, 3)
gaussian = vl.likelihood("gaussian", variance=0.5)
flat = lambda z: torch.zeros(len(z), 16)
to_two = lambda x: (torch.zeros(len(x), 2), torch.zeros(len(x), 2))
dropout = torch.nn.functional.dropout

def diagnose(encode=model.encode, decode=model.decode, x=x, likelihood=gaussian, kl_weight=1.0, gives="means", **more):
    return vl.diagnose(encode, decode, x, likelihood, kl_weight, decoder_gives=gives, **more)

def told(case):
    try:
        return ["returned", type(eval(case)).__name__]
    except vl.UserError as error:
        return [str(error.code), *error.about]
    except Exception as error:
        return [type(error).__name__, str(error)]

print(json.dumps([told(case) for case in json.load(sys.stdin)]))
"""
CASES = {
    # data that are none
    "vl.forecast(with_nan, gaussian)": ["not_finite", "x"],
    "vl.forecast(torch.randint(0, 10, (500,)), gaussian)": ["invalid", "x"],
    "vl.forecast(torch.randint(0, 10, (500, 1)), gaussian)": ["invalid", "x"],
    "vl.forecast(np.arange(500.), gaussian)": ["invalid", "x"],
    "vl.forecast(torch.empty(0, 5), gaussian)": ["invalid", "x"],
    "vl.forecast(torch.empty(5, 0), gaussian)": ["invalid", "x"],
    "vl.forecast(torch.randn(1, 5), gaussian)": ["invalid", "x"],
    "vl.forecast(torch.ones(50, 5), gaussian)": ["invalid", "x"],
    "vl.forecast(torch.randn(50, 5) + 0j, gaussian)": ["invalid", "x"],
    "vl.forecast([], gaussian)": ["invalid", "x"],
    "vl.forecast(['a', 'b'], gaussian)": ["invalid", "x"],
    "vl.forecast([[1, 2], [3]], gaussian)": ["invalid", "x"],
    "vl.forecast(None, gaussian)": ["invalid", "x"],
    "vl.forecast(3.0, gaussian)": ["invalid", "x"],
    "vl.forecast('x.npy', gaussian)": ["invalid", "x"],
    "vl.forecast({'y': x}, gaussian)": ["invalid", "x"],
    "vl.forecast(pd.DataFrame({'a': ['x', 'y'], 'b': [1, 2]}), gaussian)": ["invalid", "x"],
    "vl.forecast([x[:3], x[:4]], gaussian)": ["invalid", "x"],
    "vl.forecast(x, 'bernoulli')": ["incompatible", "x", "likelihood"],
    "vl.forecast(x, 'poisson')": ["incompatible", "x", "likelihood"],
    "vl.forecast(x, gaussian, binarize='dynamic')": ["incompatible", "x", "likelihood"],
    # arguments that are none
    "vl.forecast(x)": ["missing", "likelihood"],
    "vl.forecast(x, 'gausian')": ["invalid", "likelihood"],
    "vl.forecast(x, 3)": ["invalid", "likelihood"],
    "vl.forecast(x, gaussian, -1)": ["invalid", "kl_weight"],
    "vl.forecast(x, gaussian, float('inf'))": ["invalid", "kl_weight"],
    "vl.forecast(x, gaussian, 'much')": ["invalid", "kl_weight"],
    "vl.forecast(x, gaussian, [])": ["invalid", "kl_weight"],
    "vl.forecast(x, gaussian, latent_dim=0)": ["invalid", "latent_dim"],
    "vl.forecast(x, gaussian, latent_dim=2.5)": ["invalid", "latent_dim"],
    "vl.forecast(x, gaussian, latent_dim=np.int64(3))": ["returned", "DataForecast"],
    "vl.forecast(x, gaussian, latent_dim=True)": ["invalid", "latent_dim"],
    "vl.forecast(x, gaussian, binarize='static')": ["invalid", "binarize"],
    "vl.forecast(x, gaussian, loss=vl.from_loss('mse_sum'))": ["incompatible", "likelihood", "loss"],
    "vl.forecast(x, kl_weight=1.0, loss=vl.from_loss('mse_sum'))": ["incompatible", "kl_weight", "loss"],
    "vl.forecast(x, loss='mse_sum')": ["invalid", "loss"],
    "vl.likelihood('gaussian', variance=-1.0)": ["invalid", "variance"],
    "vl.likelihood('gaussian', sigma=1.0)": ["unknown_key", "sigma"],
    "vl.likelihood('gaussian', mean='identity')": ["unknown_key", "mean"],
    "vl.likelihood('student_t', degrees_of_freedom=1.0)": ["invalid", "degrees_of_freedom"],
    "vl.from_loss('mse')": ["invalid", "reconstruction"],
    "vl.from_loss('mse_sum', kl='max')": ["invalid", "kl"],
    "vl.from_loss('mse_sum', weight=-1.0)": ["invalid", "weight"],
    "vl.from_loss('mse_sum', weight=float('nan'))": ["invalid", "weight"],
    "vl.from_loss('mse_sum', weight='one')": ["invalid", "weight"],
    "vl.from_loss('mse_sum', weight=[])": ["invalid", "weight"],
    "vl.from_loss('mse_sum', reconstruction_over_batch='max')": ["invalid", "reconstruction_over_batch"],
    "vl.from_loss('mse_sum', kl_over_batch='sum')": ["missing", "batch_size"],
    "vl.from_loss('mse_sum', kl_over_batch='sum', batch_size=0)": ["missing", "batch_size"],
    "vl.encode_decode(torch.nn.Linear(2, 2))": ["invalid", "model"],
    # diagnoses
    "diagnose(x=with_nan)": ["not_finite", "x"],
    "diagnose(x=torch.randint(0, 10, (500,)))": ["invalid", "x"],
    "diagnose(x=x[:1])": ["invalid", "x"],
    "diagnose(x=torch.ones(50, 5))": ["invalid", "x"],
    "diagnose(kl_weight=0)": ["invalid", "kl_weight"],
    "diagnose(kl_weight=-1.0)": ["invalid", "kl_weight"],
    "diagnose(kl_weight=[1.0, 2.0])": ["invalid", "kl_weight"],
    "vl.diagnose(model.encode, model.decode, x)": ["missing", "likelihood"],
    "vl.diagnose(model.encode, model.decode, x, loss=vl.from_loss('mse_sum', weight=0.0))": ["invalid", "weight"],
    "diagnose(gives='mean')": ["invalid", "decoder_gives"],
    "diagnose(encode=None)": ["invalid", "encode"],
    "diagnose(decode='decode')": ["invalid", "decode"],
    "diagnose(seed=-1)": ["invalid", "seed"],
    "diagnose(loss_curve=[1.0, float('nan')])": ["not_finite", "loss_curve"],
    "diagnose(decode=lambda z: model.decode(z) + torch.randn(len(z), 5))": ["invalid", "decode"],
    "diagnose(decode=lambda z: model.decode(z) - model.decode(z).mean(0) + z.mean())": ["invalid", "decode"],
    "vl.diagnose(model, x, 'bernoulli', 1.0)": ["invalid", "encode"],
    "vl.diagnose(model.encode, x, 'bernoulli', 1.0)": ["invalid", "decode"],
    "vl.forecast(x * 1e30, gaussian)": ["incompatible", "x"],
    "vl.forecast(x, loss=vl.from_loss('mse_mean', kl='mean'))": ["missing", "latent_dim"],
    "vl.forecast(x, gaussian, latent_dim=4).kl_weight_for(1.5)": ["invalid", "active_units"],
    "vl.diagnose(model, x, loss=vl.from_loss('mse_sum'))": ["missing", "x"],
    "diagnose(encode=lambda x: (x[:, :2], x[:, :2], x))": ["invalid", "encode"],
    "diagnose(encode=lambda x: torch.nn.functional.linear(x, torch.ones(2, 7)))": ["incompatible", "encode"],
    "vl.forecast(x, gaussian).loss_weight_for(2)": ["missing", "loss"],
    "diagnose(encode=lambda x: x[:, :2])": ["invalid", "encode"],
    "diagnose(encode=lambda x: (x[:, :2],))": ["invalid", "encode"],
    "diagnose(encode=lambda x: (x[:, :2], x[:, :3]))": ["incompatible", "encode"],
    "diagnose(encode=lambda x: (x[0, :2], x[0, :2]))": ["incompatible", "encode"],
    "diagnose(encode=lambda x: (x[:, :2], x[:, :2].log()))": ["not_finite", "encode"],
    "diagnose(encode=lambda x: Categorical(logits=x))": ["invalid", "encode"],
    "diagnose(encode=lambda x: (dropout(x[:, :2]), x[:, :2]))": ["invalid", "encode"],
    "diagnose(encode=lambda x: (x[:, :2] - x[:, :2].mean(0), 0 * x[:, :2]))": ["invalid", "encode"],
    "diagnose(decode=lambda z: None)": ["invalid", "decode"],
    "diagnose(to_two, lambda z: flat(z).reshape(-1, 4, 4, 1), images)": ["incompatible", "decode"],
    "diagnose(decode=lambda z: z[:, :2])": ["incompatible", "decode"],
    "diagnose(decode=lambda z: z.sum())": ["incompatible", "decode"],
    "diagnose(decode=lambda z: model.decode(z) * float('nan'))": ["not_finite", "decode"],
    "diagnose(likelihood='categorical')": ["incompatible", "decoder_gives"],
    # means given as logits, and the other way round
    "diagnose(to_two, lambda z: flat(z) - 3, images, 'bernoulli')": ["invalid", "decoder_gives"],
    "diagnose(to_two, lambda z: flat(z) + 0.5, images, 'bernoulli', gives='logits')": ["invalid", "decoder_gives"],
    "diagnose(to_two, lambda z: flat(z) + 0.9, bits, vl.likelihood('bernoulli'), gives='parameters')": [
        "invalid",
        "decoder_gives",
    ],
    "diagnose(to_two, lambda z: flat(z) - 1, images.round() * 2, 'poisson')": ["invalid", "decoder_gives"],
}


@pytest.fixture(scope="module")
def answers() -> dict[str, list[str]]:
    here = str(Path(__file__).parent.parent)
    told = subprocess.run(
        [sys.executable, "-c", SETUP],
        input=json.dumps(list(CASES)),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": here},
    )
    return dict(zip(CASES, json.loads(told.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_the_argument_at_fault_is_named(case: str, answers: dict[str, list[str]]) -> None:
    assert answers[case] == CASES[case]
